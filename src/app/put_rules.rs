//! Puts rules in force: those of the files or, where the operator wants other rules signed, those that admins signed.
//! In: a set of rules, inside the writer's unit. Out: its entry, or a change that waits for signatures.
//! Implements DESIGN §7 (`rules`), ATTACKS 100: who changes rules is in the log, and may need somebody else for it.
//! Never lets a set into force that is not in the log, nor one of which the store keeps no copy.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde_json::json;

use crate::domain::canonical;
use crate::domain::change::standing::Terms;
use crate::domain::change::{About, Change, OtherRules, Proposer};
use crate::domain::ids::{ChangeId, Digest};
use crate::domain::log::entry::Event;
use crate::domain::log::evidence::MAX_EVIDENCE;
use crate::domain::oauth::error_code::ErrorCode;
use crate::domain::rules::Rule;
use crate::domain::rules::difference::{of_sets, record};
use crate::domain::rules::set::Rules;
use crate::domain::time::{CHANGE_OPEN, Timestamp};
use crate::store::changes::{ChangeRow, ChangeState};
use crate::store::{Reader, StoreError, Unit};

use super::propose_change::append;
use super::settle_changes::note;
use super::{AppError, LoadedRules};

/// What is said where the rules of the files are not those in force.
const WAITS: &str = "the files hold other rules, which admins must sign first; cure: countersign people changes, which \
                     has the link; where it lists none, load the rules again";
/// Most rules in which files may differ from what is in force where admins sign: a page shows them all.
pub const MAX_RULES_SIGNED: u32 = 200;

/// A set of rules as the store and the log take it.
pub struct RuleSet {
    sha256: Digest,
    count: u64,
    /// The canonical forms, in order.
    document: Vec<u8>,
    /// Names and digests, in documents that each fit the evidence limit.
    lists: Vec<Vec<u8>>,
}

/// What became of the rules of the files.
pub enum Adopted {
    /// They are in force.
    InForce,
    /// They wait for admins to sign them; the change, where it was proposed just now.
    Waits(Option<Box<Change>>),
    /// So many rules differ that nobody could look at each before signing.
    TooMany(u32),
}

impl RuleSet {
    /// Makes the documents of a set.
    ///
    /// # Errors
    /// A list without canonical form, which no compiled set has.
    pub fn of(rules: &Rules) -> Result<Self, AppError> {
        // A line is a name (at most 100 characters, escaped at worst sixfold) and 64 hex digits.
        const LINES: usize = MAX_EVIDENCE / 1024;
        let list: Vec<_> = rules.iter().map(|rule| json!({ "name": rule.name, "sha256": rule.digest() })).collect();
        let mut lists = Vec::new();
        for part in list.chunks(LINES) {
            lists.push(canonical::to_bytes(&part)?);
        }
        let forms: Vec<_> = rules.iter().map(|rule| rule.canonical()).collect();
        let document = [b"[".as_slice(), &forms.join(b",".as_slice()), b"]"].concat();
        let count = u64::try_from(list.len()).unwrap_or(u64::MAX);
        Ok(Self { sha256: rules.digest(), count, document, lists })
    }

    /// Logs the set and says in the store that it is in force: by the change which that entry proposed, or by the files alone.
    fn put(&self, unit: &mut Unit<'_>, change: Option<u64>) -> Result<(), AppError> {
        let before = logged(&unit.reader())?;
        let mut evidence = BTreeMap::new();
        for (at, document) in self.lists.iter().enumerate() {
            let name = if at == 0 { "rules".to_owned() } else { format!("rules.{at}") };
            evidence.insert(name, unit.put_evidence("rules", document, None)?);
        }
        let entry = unit.append(Event::Rules { sha256: self.sha256, before, change, count: self.count, evidence })?;
        unit.keep_rule_set(&self.sha256, &self.document)?;
        unit.put_rules_in_force(&self.sha256, entry)?;
        Ok(unit.forget_rule_sets(None)?)
    }
}

/// Other rules than those in force, as admins may be asked to sign them.
pub struct Proposal {
    /// The link id.
    pub id: ChangeId,
    /// Our issuer URL.
    pub issuer: String,
    /// Which follow which.
    pub rules: OtherRules,
}

/// What admins would sign for other rules to be in force than those that are; `None` where there is nothing to sign.
///
/// # Errors
/// The store has no copy of the rules that stay in force meanwhile.
pub fn proposed(reader: &Reader<'_>, files: &Rules, terms: &Terms) -> Result<Option<OtherRules>, AppError> {
    match (logged(reader)?, terms.rule_signatures) {
        (Some(before), Some(_)) if before != files.digest() => {
            let before = copy_of(reader, &before)?;
            Ok(Some(record(&of_sets(&before, files), &before, files)))
        }
        _ => Ok(None),
    }
}

/// What became of rules that were adopted before; `None` where there is something to write. So a server whose clock is in
/// doubt, which writes nothing, starts and refuses.
pub fn adopted(
    reader: &Reader<'_>,
    set: &RuleSet,
    proposed: Option<&OtherRules>,
    now: Timestamp,
) -> Result<Option<Adopted>, AppError> {
    let waits = waiting(reader)?;
    let is_kept = reader.rule_set(&set.sha256)?.is_some_and(|document| document == set.document);
    Ok(match (proposed, waits.as_slice()) {
        (None, []) if is_kept && logged(reader)? == Some(set.sha256) => Some(Adopted::InForce),
        (Some(other), []) if other.count() > MAX_RULES_SIGNED => Some(Adopted::TooMany(other.count())),
        (Some(other), [(row, one)]) if is_kept && one == other && now <= row.change.sign_by => {
            Some(Adopted::Waits(None))
        }
        _ => None,
    })
}

/// Adopts the rules of the files: puts them in force, or proposes them where admins must sign other rules first. The
/// first rules of a state are those of its files: there is nobody yet who could sign.
///
/// # Errors
/// Other rules came into force since it was looked what admins would sign; the store or the log failed.
pub fn adopt(unit: &mut Unit<'_>, set: &RuleSet, proposal: Option<Proposal>) -> Result<Adopted, AppError> {
    let Some(Proposal { id, issuer, rules: other }) = proposal else {
        withdraw(unit, |_, _| true)?;
        if logged(&unit.reader())? == Some(set.sha256) {
            // A version that kept no copies may have logged it.
            unit.keep_rule_set(&set.sha256, &set.document)?;
            unit.forget_rule_sets(None)?;
        } else {
            set.put(unit, None)?;
        }
        return Ok(Adopted::InForce);
    };
    may_follow(&unit.reader(), &other)?;
    let now = unit.now();
    withdraw(unit, |row, waits| *waits != other || now > row.change.sign_by)?;
    if other.count() > MAX_RULES_SIGNED {
        unit.forget_rule_sets(None)?;
        return Ok(Adopted::TooMany(other.count()));
    }
    unit.keep_rule_set(&set.sha256, &set.document)?;
    unit.forget_rule_sets(Some(&set.sha256))?;
    if !waiting(&unit.reader())?.is_empty() {
        return Ok(Adopted::Waits(None));
    }
    let by = Proposer::Console;
    let change = Change { id, issuer, by, at: now, sign_by: now + CHANGE_OPEN, about: About::Rules { rules: other } };
    let entry = append(unit, &change, None)?;
    unit.insert_change(&change, entry)?;
    Ok(Adopted::Waits(Some(Box::new(change))))
}

/// Puts the rules in force for which admins signed, in the unit of the last signature.
pub fn put_signed(unit: &mut Unit<'_>, other: &OtherRules, change: u64) -> Result<(), AppError> {
    let rules = copy_of(&unit.reader(), &other.after)?;
    RuleSet::of(&rules)?.put(unit, Some(change))
}

/// Whether other rules can still follow those in force.
///
/// # Errors
/// They were to follow others.
pub fn may_follow(reader: &Reader<'_>, other: &OtherRules) -> Result<(), AppError> {
    if logged(reader)? == Some(other.before) {
        return Ok(());
    }
    Err(AppError::refused(ErrorCode::AlreadyDecided, "other rules came into force meanwhile; load the files once more"))
}

/// A set of which the store has a copy.
pub fn copy_of(reader: &Reader<'_>, sha256: &Digest) -> Result<Rules, AppError> {
    let cure = "load files that say them, or load once without `people.rule_signatures`";
    let missing = || AppError::internal(format!("the store has no copy of the rules {sha256}; {cure}"));
    let document = reader.rule_set(sha256)?.ok_or_else(missing)?;
    let rules: Vec<Rule> = serde_json::from_slice(&document).map_err(AppError::internal)?;
    let rules = Rules::from_rules(rules)?;
    if rules.digest() == *sha256 {
        return Ok(rules);
    }
    Err(StoreError::Corrupt(format!("the copy of the rules {sha256} is one of other rules; {cure}")).into())
}

/// The rules that the log says are in force, beside what the files say.
pub fn in_force(reader: &Reader<'_>, files: LoadedRules) -> Result<LoadedRules, AppError> {
    let Some(sha256) = logged(reader)?.filter(|sha256| *sha256 != files.rules.digest()) else {
        return Ok(LoadedRules { waits: None, ..files });
    };
    let rules = copy_of(reader, &sha256)?;
    let same: BTreeSet<_> = rules.iter().map(|rule| rule.digest()).collect();
    let written = files.rules.iter().filter(|rule| same.contains(&rule.digest()));
    let places = written.filter_map(|rule| Some((rule.name.clone(), files.places.get(&rule.name)?.clone()))).collect();
    Ok(LoadedRules {
        rules,
        warnings: vec![WAITS.to_owned()],
        places,
        loaded: files.loaded,
        waits: Some(Arc::new(files)),
    })
}

/// The digest of the rules that the log says are in force.
pub fn logged(reader: &Reader<'_>) -> Result<Option<Digest>, StoreError> {
    Ok(reader.rules_in_force()?.map(|(sha256, _)| sha256))
}

/// Changes of rules that may still be signed, or were until lately.
fn waiting(reader: &Reader<'_>) -> Result<Vec<(ChangeRow, OtherRules)>, StoreError> {
    let rows = reader.open_changes()?.into_iter();
    Ok(rows
        .filter_map(|row| match &row.change.about {
            About::Rules { rules } => Some((row.clone(), rules.clone())),
            About::Person(_) => None,
        })
        .collect())
}

/// Ends changes of rules that nobody wants any more.
fn withdraw(unit: &mut Unit<'_>, which: impl Fn(&ChangeRow, &OtherRules) -> bool) -> Result<(), AppError> {
    for (row, _) in waiting(&unit.reader())?.into_iter().filter(|(row, other)| which(row, other)) {
        let entry = note(unit, &row, "withdrawn", None)?;
        unit.end_change(&row.change.id, ChangeState::Withdrawn, entry)?;
    }
    Ok(())
}

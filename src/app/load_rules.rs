//! Loads rules: compiles what people typed, and has it put in force, or proposed where admins must sign it first.
//! In: the rules folder's files. Out: warnings, or every fault with file and line; a change that waits.
//! Implements DESIGN §4 (a changed digest voids), §7 (`rules`).
//! Never puts rules in force that the log does not know, and keeps the old ones where the new do not compile.

use std::collections::{BTreeMap, BTreeSet};

use crate::crypto::random;
use crate::domain::assurance::policy::DevicePolicy;
use crate::domain::change::Change;
use crate::domain::change::standing::Terms;
use crate::domain::rules::compile::{Loaded, Place, RuleError, Rules};
use crate::domain::time::Timestamp;
use crate::store::Store;

use super::decide_request::end;
use super::put_rules::{self, Adopted, Proposal, RuleSet};
use super::settings::taken_audiences;
use super::{AppError, Countersign, LoadedRules};
use crate::domain::ids::{Audience, ChangeId, Digest, IssuerName, RuleName};
use crate::domain::request::standing::Mark;

/// Most requests that one unit of the writer voids when rules are loaded; more take several units.
pub const VOIDED_AT_ONCE: usize = 100;

/// Why rules did not load.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// They do not compile; the rules before stay in force.
    #[error("{} faults in the rules", .0.len())]
    Rules(Vec<RuleError>),
    /// The store or the log failed.
    #[error(transparent)]
    App(Box<AppError>),
}

impl From<AppError> for LoadError {
    fn from(error: AppError) -> Self {
        Self::App(Box::new(error))
    }
}

/// Compiles a folder's files.
///
/// # Errors
/// Every fault.
pub fn compile(
    files: &[(String, String)],
    issuers: &[IssuerName],
    policies: &[DevicePolicy],
    taken: &BTreeSet<Audience>,
    now: Timestamp,
) -> Result<LoadedRules, Vec<RuleError>> {
    let Loaded { rules, warnings, places } = Rules::compile(files, issuers, policies)?;
    not_taken(&rules, &places, taken)?;
    let warnings = warnings.iter().map(ToString::to_string).collect();
    Ok(LoadedRules { rules, warnings, places, loaded: now, waits: None })
}

/// An audience of rules is nobody whom other tokens of ours name: a job's token must not pass for a person's, nor the
/// other way round.
fn not_taken(
    rules: &Rules,
    places: &BTreeMap<RuleName, Place>,
    taken: &BTreeSet<Audience>,
) -> Result<(), Vec<RuleError>> {
    let mut errors = Vec::new();
    for rule in rules.iter() {
        let audiences = rule.allow().into_iter().flat_map(|allow| &allow.audience);
        for audience in audiences.filter(|audience| is_taken(taken, audience)) {
            let place = places.get(&rule.name);
            errors.push(RuleError {
                file: place.map(|place| place.file.clone()).unwrap_or_default(),
                line: place.map_or(1, |place| place.line),
                rule: Some(rule.name.to_string()),
                what: format!(
                    "the audience `{audience}` is a client, a resource of a client, or this server itself, but for \
                     `https://` and a slash at its end"
                ),
                hint: Some("choose an audience that no `[[client]]` names".to_owned()),
            });
        }
    }
    if errors.is_empty() { Ok(()) } else { Err(errors) }
}

/// Whether an audience is one of those that are taken, as services that check audiences may take it.
pub(super) fn is_taken(taken: &BTreeSet<Audience>, audience: &Audience) -> bool {
    taken.iter().any(|one| bare(one) == bare(audience))
}

/// An audience without its scheme and its last slash: what many a service that checks audiences takes for the same.
fn bare(audience: &Audience) -> &str {
    let text = audience.as_str();
    text.strip_prefix("https://").unwrap_or(text).trim_end_matches('/')
}

/// Adopts the rules of the files: the rules that the log says are in force then, and a change, where one was proposed.
pub async fn adopt_rules(
    store: &Store,
    files: LoadedRules,
    (terms, issuer): (&Terms, &str),
    taken: &BTreeSet<Audience>,
) -> Result<(LoadedRules, Option<Change>), LoadError> {
    let set = RuleSet::of(&files.rules)?;
    let (other, known) = store.read(|reader| -> Result<_, AppError> {
        let other = put_rules::proposed(reader, &files.rules, terms)?;
        let now = reader.last_time()?.map_or(files.loaded, |last| last.max(files.loaded));
        let known = put_rules::adopted(reader, &set, other.as_ref(), now)?;
        Ok((other, known))
    })?;
    let outcome = if let Some(known) = known {
        known
    } else {
        let id = ChangeId::from_random(random::bytes().map_err(AppError::from)?);
        let proposal = other.map(|rules| Proposal { id, issuer: issuer.to_owned(), rules });
        store.write(move |unit| put_rules::adopt(unit, &set, proposal)).await?
    };
    let mut in_force = store.read(|reader| put_rules::in_force(reader, files))?;
    let proposed = match outcome {
        Adopted::Waits(Some(change)) => Some(*change),
        Adopted::Waits(None) | Adopted::InForce => None,
        Adopted::TooMany(count) => {
            let most = put_rules::MAX_RULES_SIGNED;
            in_force.warnings = vec![format!(
                "the files differ from the rules in force in {count} rules, and admins sign at most {most} at once, so none \
                 changes; cure: change fewer at a time"
            )];
            None
        }
    };
    // Where admins keep the rules of before, those of the files are not the ones to go by.
    not_taken(&in_force.rules, &in_force.places, taken).map_err(|mut errors| {
        for error in errors.iter_mut().filter(|_| in_force.waits.is_some()) {
            let cure = "take that client out of the configuration until admins have signed other rules";
            error.hint = Some(cure.to_owned());
        }
        LoadError::Rules(errors)
    })?;
    Ok((in_force, proposed))
}

/// Voids what waits under rules that are not in force any more, so that a rule that comes back finds nothing to go on
/// with. What a process that was killed in between left over is done at the next load, or found at the next call.
pub async fn void_changed(store: &Store, rules: &Rules) -> Result<(), AppError> {
    let now_in_force =
        |name: &RuleName, sha256: &Digest| rules.by_name(name).is_some_and(|one| one.digest() == *sha256);
    let waits_under = store.read(|reader| reader.rules_of_open_requests(reader.last_time()?.unwrap_or_default()))?;
    for (name, sha256) in waits_under.into_iter().filter(|(name, sha256)| !now_in_force(name, sha256)) {
        // In parts, so that nobody waits long for the writer.
        while store
            .write({
                let name = name.clone();
                move |unit| -> Result<bool, AppError> {
                    let rows = unit.reader().open_requests_under(&name, &sha256, unit.now(), VOIDED_AT_ONCE)?;
                    for row in &rows {
                        end(unit, row, Mark::Voided)?;
                    }
                    Ok(rows.len() == VOIDED_AT_ONCE)
                }
            })
            .await?
        {}
    }
    Ok(())
}

impl Countersign {
    /// Reloads rules: all or nothing.
    ///
    /// Where admins must sign other rules, those before stay in force until they have.
    ///
    /// # Errors
    /// The old rules stay in force.
    pub async fn load_rules(&self, files: &[(String, String)]) -> Result<Vec<String>, LoadError> {
        let issuers: Vec<_> = self.settings.issuers.iter().map(|issuer| issuer.terms.name.clone()).collect();
        let now = self.steady_now()?;
        let taken = taken_audiences(&self.settings.url, self.clients.all().iter().map(AsRef::as_ref));
        let rules = compile(files, &issuers, &self.settings.devices.policies, &taken, now).map_err(LoadError::Rules)?;
        let _one_after_another = self.rules_change.lock().await;
        let by = (&self.settings.people, self.settings.url.as_str());
        let (rules, proposed) = adopt_rules(&self.store, rules, by, &taken).await?;
        self.change_rules(rules).await;
        if let Some(change) = proposed {
            self.tell_change(&change);
        }
        Ok(self.rule_warnings()?)
    }

    /// Takes up the rules that the log has, where memory has others: after the last signature, and for whoever finds
    /// that nobody did, since the call that signed ended in between.
    pub(super) async fn catch_up_rules(&self) {
        let _one_after_another = self.rules_change.lock().await;
        let known = self.rules();
        let found = self.store.read(|reader| -> Result<_, AppError> {
            if put_rules::logged(reader)?.is_none_or(|sha256| sha256 == known.rules.digest()) {
                return Ok(None);
            }
            let files = known.waits.as_deref().unwrap_or(&known).clone();
            put_rules::in_force(reader, files).map(Some)
        });
        match found {
            Ok(None) => {}
            Ok(Some(rules)) => self.change_rules(rules).await,
            // Nothing is issued meanwhile: the log names other rules than memory has.
            Err(error) => tracing::error!(%error, "the rules in force cannot be read, and nothing is issued"),
        }
    }

    /// Puts rules in force that the log knows.
    async fn change_rules(&self, rules: LoadedRules) {
        let compiled = rules.rules.clone();
        // At once: from the entry on, nothing is issued under rules of before.
        self.swap_rules(rules);
        // A changed rule voids the requests made under the old one: their pages and jobs are told.
        self.waiting.wake_all();
        if let Err(error) = void_changed(&self.store, &compiled).await {
            // Each is found at its next call; only those are not whose rule comes back before that.
            tracing::error!(%error, "requests under rules that changed were not all voided; load the rules again");
        }
    }

    /// What people may not have meant with the rules in force, and a line for each group that a rule names and nobody
    /// is in now.
    pub fn rule_warnings(&self) -> Result<Vec<String>, AppError> {
        let (rules, known) = (self.rules(), self.store.read(|reader| reader.groups())?);
        let mut warnings = rules.warnings.clone();
        if let Some(waits) = &rules.waits {
            warnings.extend(waits.warnings.iter().map(|warning| format!("not in force yet: {warning}")));
        }
        let groups = rules.rules.groups().into_iter();
        let empty = groups.filter(|group| known.get(group).is_none_or(BTreeSet::is_empty));
        warnings
            .extend(empty.map(|group| {
                format!("group `{group}` is empty; cure: countersign people invite NAME --group {group}")
            }));
        Ok(warnings)
    }
}

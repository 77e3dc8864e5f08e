//! Loads rules: compiles what people typed, logs the set where it changed, and puts it in force.
//! In: the rules folder's files. Out: warnings, or every fault with file and line.
//! Implements DESIGN §4 (a changed digest voids), §7 (`rules`).
//! Never puts rules in force that the log does not know, and keeps the old ones where the new do not compile.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::json;

use crate::domain::assurance::policy::DevicePolicy;
use crate::domain::canonical;
use crate::domain::log::entry::Event;
use crate::domain::log::evidence::MAX_EVIDENCE;
use crate::domain::rules::compile::{Loaded, Place, RuleError, Rules};
use crate::domain::time::Timestamp;
use crate::store::Store;

use super::decide_request::end;
use super::settings::taken_audiences;
use super::{AppError, Countersign, RulesInForce};
use crate::domain::ids::{Audience, Digest, IssuerName, RuleName};
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
) -> Result<RulesInForce, Vec<RuleError>> {
    let Loaded { rules, warnings, places } = Rules::compile(files, issuers, policies)?;
    not_taken(&rules, &places, taken)?;
    let warnings = warnings.iter().map(ToString::to_string).collect();
    Ok(RulesInForce { rules, warnings, places, loaded: now })
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

/// Logs a set of rules where it differs from the one in force.
pub async fn log_rules(store: &Store, rules: &Rules) -> Result<(), AppError> {
    let sha256 = rules.digest();
    if store.read(|reader| reader.rules_in_force())?.is_some_and(|(known, _)| known == sha256) {
        return Ok(());
    }
    let mut list = Vec::new();
    for rule in rules.iter() {
        list.push(json!({ "name": rule.name, "sha256": rule.digest() }));
    }
    let count = u64::try_from(list.len()).unwrap_or(u64::MAX);
    let documents = chunks(&list)?;
    store
        .write(move |unit| -> Result<(), AppError> {
            let mut evidence = BTreeMap::new();
            for (at, document) in documents.iter().enumerate() {
                let name = if at == 0 { "rules".to_owned() } else { format!("rules.{at}") };
                evidence.insert(name, unit.put_evidence("rules", document, None)?);
            }
            let entry = unit.append(Event::Rules { sha256, count, evidence })?;
            unit.put_rules_in_force(&sha256, entry)?;
            Ok(())
        })
        .await
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

/// The list of rules, in documents that each fit the evidence limit.
fn chunks(list: &[serde_json::Value]) -> Result<Vec<Vec<u8>>, AppError> {
    // A line is a name (at most 100 characters, escaped at worst sixfold) and 64 hex digits.
    const LINES: usize = MAX_EVIDENCE / 1024;
    let mut documents = Vec::new();
    for part in list.chunks(LINES) {
        documents.push(canonical::to_bytes(&part)?);
    }
    Ok(documents)
}

impl Countersign {
    /// Reloads rules: all or nothing.
    ///
    /// # Errors
    /// The old rules stay in force.
    pub async fn load_rules(&self, files: &[(String, String)]) -> Result<Vec<String>, LoadError> {
        let issuers: Vec<_> = self.settings.issuers.iter().map(|issuer| issuer.terms.name.clone()).collect();
        let now = self.steady_now()?;
        let taken = taken_audiences(&self.settings.url, self.clients.all().iter().map(AsRef::as_ref));
        let rules = compile(files, &issuers, &self.settings.devices.policies, &taken, now).map_err(LoadError::Rules)?;
        log_rules(&self.store, &rules.rules).await?;
        let compiled = rules.rules.clone();
        // At once: from the entry on, nothing is issued under rules of before.
        self.put_rules(rules);
        // A changed rule voids the requests made under the old one: their pages and jobs are told.
        self.waiting.wake_all();
        if let Err(error) = void_changed(&self.store, &compiled).await {
            // Each is found at its next call; only those are not whose rule comes back before that.
            tracing::error!(%error, "requests under rules that changed were not all voided; load the rules again");
        }
        Ok(self.rule_warnings()?)
    }

    /// What people may not have meant with the rules in force, and a line for each group that a rule names and nobody
    /// is in now.
    pub fn rule_warnings(&self) -> Result<Vec<String>, AppError> {
        let (rules, known) = (self.rules(), self.store.read(|reader| reader.groups())?);
        let mut warnings = rules.warnings.clone();
        let groups = rules.rules.groups().into_iter();
        let empty = groups.filter(|group| known.get(group).is_none_or(BTreeSet::is_empty));
        warnings
            .extend(empty.map(|group| {
                format!("group `{group}` is empty; cure: countersign people invite NAME --group {group}")
            }));
        Ok(warnings)
    }
}

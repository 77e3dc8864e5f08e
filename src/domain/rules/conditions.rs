//! The `match` of a rule, compiled: issuer, fork, and a pattern a claim.
//! In: what was typed, the names of the issuers. Out: `Conditions`, or what is wrong with them.
//! Implements DESIGN §4 and the inventory of claims.
//! Never lets a condition stand that no job, or every job, would meet.

use std::collections::BTreeMap;

use super::compile::Notes;
use super::pattern::Pattern;
use super::source::{At, MatchSource, Source};
use crate::domain::ids::IssuerName;
use crate::domain::job::gitlab::{Claim, Form, INVENTORY, inventory, is_id};
use crate::domain::nearest::did_you_mean;

/// Claims that say whose code runs, or where; an allowing rule binds one.
pub(super) const PLACES: &[&str] = &[
    "job_project_id",
    "project_id",
    "job_namespace_id",
    "namespace_id",
    "job_project_path",
    "project_path",
    "job_namespace_path",
    "namespace_path",
];

/// An error was noted.
struct Noted;

/// Which jobs a rule matches.
pub(super) struct Conditions {
    pub(super) issuer: Option<IssuerName>,
    pub(super) fork: Option<bool>,
    pub(super) matches: BTreeMap<String, Pattern>,
}

pub(super) fn conditions(source: &Source, issuers: &[IssuerName], notes: &mut Notes<'_>) -> Option<Conditions> {
    let Some(at) = &source.matches else {
        notes.missing("match", source.line, "the rule has no `match`", "say which jobs it is for");
        return None;
    };
    let allows = source.deny.is_none();
    let mut matches = BTreeMap::new();
    for (name, pattern) in &at.value.claims {
        if let Some(pattern) = condition(name, pattern, notes) {
            matches.insert(name.clone(), pattern);
        }
    }
    let issuer = issuer(&at.value, issuers, (allows, at.line), notes);
    if !source.written.iter().any(|path| path.starts_with("match.")) {
        notes.error(at.line, "`match` is empty", "name at least one claim: an empty list means nobody, not everybody");
    } else if allows {
        check_place(source, &at.value, at.line, notes);
        check_ref(source, &at.value, notes);
    }
    let written_fork = at.value.fork.as_ref().map(|fork| fork.value);
    let fork = if allows { Some(written_fork.unwrap_or(false)) } else { written_fork };
    Some(Conditions { issuer: issuer.ok()?, fork, matches })
}

/// `Err` after an error was noted; `None` where a deny rule leaves it open.
fn issuer(
    matches: &MatchSource,
    issuers: &[IssuerName],
    (allows, line): (bool, usize),
    notes: &mut Notes<'_>,
) -> Result<Option<IssuerName>, Noted> {
    let names = || issuers.iter().map(IssuerName::as_str);
    match (&matches.issuer, issuers) {
        (Some(at), _) => {
            if let Some(known) = issuers.iter().find(|issuer| issuer.as_str() == at.value) {
                return Ok(Some(known.clone()));
            }
            let hint = did_you_mean(&at.value, names())
                .unwrap_or_else(|| format!("configured are: {}", names().collect::<Vec<_>>().join(", ")));
            notes.error(at.line, format!("there is no issuer `{}`", at.value.escape_debug()), hint);
            Err(Noted)
        }
        (None, _) if !allows => Ok(None),
        (None, [only]) => Ok(Some(only.clone())),
        (None, []) => {
            notes.error(line, "no issuer is configured", "add an `[[issuer]]` to the configuration");
            Err(Noted)
        }
        (None, _) => {
            let hint = format!("add `issuer` to `match`: one of {}", names().collect::<Vec<_>>().join(", "));
            notes.error(line, "the rule names no issuer, and there are several", hint);
            Err(Noted)
        }
    }
}

fn condition(name: &str, typed: &At<String>, notes: &mut Notes<'_>) -> Option<Pattern> {
    let line = typed.line;
    let Some(claim) = inventory(name) else {
        let known = INVENTORY.iter().filter(|claim| claim.is_matchable()).map(|claim| claim.name);
        let hint = did_you_mean(name, known.chain(["issuer", "fork"]))
            .unwrap_or_else(|| "the documentation lists the claims of a job token".to_owned());
        notes.error(line, format!("no job token has a claim `{}`", name.escape_debug()), hint);
        return None;
    };
    if !claim.is_matchable() {
        let hint = if name == "iss" { "use `issuer` with its short name" } else { "match another claim" };
        notes.error(line, format!("`{name}` cannot be matched"), hint);
        return None;
    }
    let pattern = match Pattern::parse(&typed.value) {
        Ok(pattern) => pattern,
        Err(error) => {
            notes.error(line, format!("`{name}`: {error}"), "leave the key out, or say what the claim must be");
            return None;
        }
    };
    check_form(claim, &pattern, line, notes).then_some(pattern)
}

/// A pattern that no value of the claim's form could meet would make the rule dead without a word.
fn check_form(claim: &Claim, pattern: &Pattern, line: usize, notes: &mut Notes<'_>) -> bool {
    let (name, text) = (claim.name, pattern.as_str());
    let fault = match claim.form {
        Form::Id | Form::IdOrEmpty if !is_id(text) => {
            Some(("is matched by an id: digits, without `*`", "write \"4711\""))
        }
        Form::Number if !is_number(text) => Some(("is matched by digits, without `*`", "write \"17\"")),
        Form::Flag if text != "true" && text != "false" => Some(("is \"true\" or \"false\"", "write \"true\"")),
        Form::Text if name == "ref_type" && pattern.is_exact() && text != "branch" && text != "tag" => {
            Some(("is \"branch\" or \"tag\"", "write \"branch\""))
        }
        _ => None,
    };
    if let Some((what, hint)) = fault {
        let what = format!("`{name}` {what}, not `{}`", text.escape_debug());
        notes.error(line, what, hint);
    }
    fault.is_none()
}

fn is_number(text: &str) -> bool {
    text.parse::<u64>().is_ok_and(|number| number.to_string() == text)
}

fn check_place(source: &Source, matches: &MatchSource, line: usize, notes: &mut Notes<'_>) {
    let anything = |pattern: &str| Pattern::parse(pattern).is_ok_and(|pattern| pattern.is_anything());
    let mut places = matches.claims.iter().filter(|(name, _)| PLACES.contains(&name.as_str())).peekable();
    if places.peek().is_none() && !PLACES.iter().any(|name| source.has(&format!("match.{name}"))) {
        let hint = "add `job_project_id = \"…\"` or `job_namespace_id = \"…\"` to `match`";
        notes.error(line, "the rule is for every project of the issuer", hint);
    } else if places.peek().is_some() && places.clone().all(|(_, pattern)| anything(&pattern.value)) {
        let (name, pattern) = places.next().map_or(("", line), |(name, at)| (name.as_str(), at.line));
        let what = format!("`{name}` fits every project of the issuer");
        notes.error(pattern, what, "name the project or the namespace, best by its id");
    }
}

fn check_ref(source: &Source, matches: &MatchSource, notes: &mut Notes<'_>) {
    let typed = matches.claims.iter().find(|(name, _)| name == "ref");
    if let Some((_, at)) = typed.filter(|_| !source.has("match.ref_type")) {
        let what = "`ref` without `ref_type`: a tag can have the name of a branch";
        notes.error(at.line, what, "add `ref_type = \"branch\"` to `match`");
    }
}

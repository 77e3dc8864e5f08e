//! The view of the rules in force, in the order of asking, and of refused tokens below them.
//! In: rules, refusals. Out: `RulesView`, a template.
//! Implements the screen of `/admin/rules`.
//! Never shows what hides: names, claims and sentences are others' words.

use askama::Template;

use crate::app::list_refusals::{RefusalLine, RefusalsSeen};
use crate::app::list_rules::{AllowLine, RuleLine, RulesSeen};
use crate::app::use_session::SignedIn;
use crate::domain::time::{Timestamp, humane_seconds};
use crate::http::page::{Moment, Piece, Visible, grouped, pieces, visible};

/// A rule.
#[derive(Debug, Clone, PartialEq, Eq)]
struct RuleRow {
    place: usize,
    name: Visible,
    written: Visible,
    issuer: Option<String>,
    claims: Vec<(String, Visible)>,
    fork: Option<bool>,
    deny: Option<Visible>,
    allow: Option<AllowRow>,
    digest: String,
}

/// The terms of an allowing rule.
#[derive(Debug, Clone, PartialEq, Eq)]
struct AllowRow {
    audience: Vec<Visible>,
    presence: &'static str,
    people: String,
    short: Option<(u32, u32)>,
    acr: Option<&'static str>,
    policy: Option<Visible>,
    lifetime: String,
    roles: Vec<Visible>,
}

impl AllowRow {
    fn new(allow: &AllowLine) -> Self {
        let short = allow.approval.as_ref().filter(|approval| approval.is_short());
        Self {
            audience: allow.audience.iter().map(|audience| visible(audience.as_str())).collect(),
            presence: allow.presence.as_str(),
            people: allow.people_words(),
            short: short.map(|approval| (approval.able, approval.count)),
            acr: allow.acr.map(|acr| acr.as_str()),
            policy: allow.device_policy.as_deref().map(visible),
            lifetime: humane_seconds(allow.lifetime),
            roles: allow.roles.iter().map(|role| visible(role)).collect(),
        }
    }
}

impl RuleRow {
    fn new(rule: &RuleLine) -> Self {
        Self {
            place: rule.place,
            name: visible(rule.name.as_str()),
            written: visible(&rule.written),
            issuer: rule.issuer.as_ref().map(ToString::to_string),
            claims: rule.matches.iter().map(|(name, pattern)| (name.clone(), visible(pattern))).collect(),
            fork: rule.fork,
            deny: rule.deny.as_deref().map(visible),
            allow: rule.allow.as_ref().map(AllowRow::new),
            digest: rule.digest.to_string(),
        }
    }
}

/// A refused token.
#[derive(Debug, Clone, PartialEq, Eq)]
struct RefusalRow {
    entry: u64,
    number: String,
    at: Moment,
    project: Visible,
    issuer: String,
    project_id: Visible,
    job_id: Visible,
    code: &'static str,
    sentence: Vec<Piece>,
    audience: Vec<Visible>,
    unlogged_before: Option<u64>,
}

impl RefusalRow {
    fn new(line: &RefusalLine, now: Timestamp) -> Self {
        Self {
            entry: line.entry,
            number: grouped(line.entry),
            at: Moment::new(line.at, now),
            project: line.project.as_deref().map_or_else(|| visible(&format!("project {}", line.project_id)), visible),
            issuer: line.issuer.to_string(),
            project_id: visible(&line.project_id),
            job_id: visible(&line.job_id),
            code: line.code.as_str(),
            sentence: pieces(&line.sentence),
            audience: line.audience.iter().map(|audience| visible(audience.as_str())).collect(),
            unlogged_before: line.unlogged_before,
        }
    }
}

/// The page.
#[derive(Debug, Clone, PartialEq, Eq, Template)]
#[template(path = "admin/rules.html")]
pub struct RulesView {
    host: String,
    now: String,
    here: &'static str,
    total: usize,
    loaded: Moment,
    logged: Option<(String, Moment)>,
    rules: Vec<RuleRow>,
    next: Option<usize>,
    warnings: Vec<Vec<Piece>>,
    more_warnings: usize,
    refusals: Vec<RefusalRow>,
    before: Option<u64>,
}

/// The view of rules and refused tokens.
#[must_use]
pub fn rules_view(host: &str, me: &SignedIn, rules: &RulesSeen, refusals: &RefusalsSeen) -> RulesView {
    RulesView {
        host: host.to_owned(),
        now: me.now.to_string(),
        here: "rules",
        total: rules.total,
        loaded: Moment::new(rules.loaded, me.now),
        logged: rules.logged.map(|(entry, at)| (grouped(entry), Moment::new(at, me.now))),
        rules: rules.rules.iter().map(RuleRow::new).collect(),
        next: rules.next,
        warnings: rules.warnings.iter().map(|warning| pieces(warning)).collect(),
        more_warnings: rules.more_warnings,
        refusals: refusals.refusals.iter().map(|line| RefusalRow::new(line, me.now)).collect(),
        before: refusals.before,
    }
}

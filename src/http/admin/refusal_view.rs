//! The view of a refused token: every rule that was asked, its first mismatch marked, as a tree.
//! In: an explanation. Out: `RefusalView`, a template.
//! Implements the screen of `/admin/refusals/…`.
//! Never says otherwise than `countersign rule explain`: both draw one tree.

use askama::Template;

use crate::app::explain::Explanation;
use crate::app::list_refusals::sentence;
use crate::app::use_session::SignedIn;
use crate::domain::oauth::error_code::ErrorCode;
use crate::domain::rules::explain::{Branch, NO_RULES, tree};
use crate::http::page::{Piece, Visible, grouped, pieces, visible};

/// Most rules that the page draws; the command draws all.
pub const MAX_RULES_DRAWN: usize = 1_000;

/// A rule that was asked.
#[derive(Debug, Clone, PartialEq, Eq)]
struct BranchRow {
    fits: bool,
    text: Visible,
    checks: Vec<(bool, Visible)>,
}

impl BranchRow {
    fn new(branch: &Branch) -> Self {
        let checks = branch.checks.iter().map(|check| (check.passed, visible(&check.text)));
        Self { fits: branch.fits, text: visible(&branch.text), checks: checks.collect() }
    }
}

/// The page.
#[derive(Debug, Clone, PartialEq, Eq, Template)]
#[template(path = "admin/refusal.html")]
pub struct RefusalView {
    host: String,
    now: String,
    here: &'static str,
    entry: u64,
    number: String,
    code: &'static str,
    sentence: Vec<Piece>,
    issuer: String,
    claims: Vec<(String, Visible)>,
    audience: Vec<Visible>,
    rules: Vec<BranchRow>,
    no_rules: &'static str,
    left_out: usize,
    ends: Vec<Vec<Piece>>,
}

/// The view of a refused token.
#[must_use]
pub fn refusal_view(
    host: &str,
    me: &SignedIn,
    (entry, refused): (u64, ErrorCode),
    explanation: &Explanation,
) -> RefusalView {
    let drawn = tree(&explanation.trace, &explanation.outcome);
    RefusalView {
        host: host.to_owned(),
        now: me.now.to_string(),
        here: "rules",
        entry,
        number: grouped(entry),
        code: refused.as_str(),
        sentence: pieces(sentence(refused)),
        issuer: explanation.job.issuer.to_string(),
        claims: explanation.job.claims.iter().map(|(name, text)| (name.clone(), visible(text))).collect(),
        audience: explanation.asked.iter().map(|audience| visible(audience.as_str())).collect(),
        rules: drawn.rules.iter().take(MAX_RULES_DRAWN).map(BranchRow::new).collect(),
        no_rules: NO_RULES,
        left_out: drawn.rules.len().saturating_sub(MAX_RULES_DRAWN),
        ends: drawn.ends.iter().map(|end| pieces(end)).collect(),
    }
}

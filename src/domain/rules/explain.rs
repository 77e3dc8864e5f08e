//! Explaining: the trace of a decision as lines that people read.
//! In: `Trace` and `Outcome`. Out: lines; the rule that came nearest.
//! Implements DESIGN §12 (`rule explain`) and the terminal's refusals.
//! Never prints what a claim holds without escaping it.

use super::{Check, Outcome, RuleTrace, Trace};

/// Longest text of a claim that is shown, in characters.
const MAX_SHOWN: usize = 100;
/// What stands in place of the tree where there is none.
pub const NO_RULES: &str = "there are no rules";

/// A claim's text in quotes, with everything invisible escaped and the end cut off.
#[must_use]
pub fn shown(text: &str) -> String {
    let mut short: String = text.chars().take(MAX_SHOWN).collect();
    if short.len() < text.len() {
        short.push('…');
    }
    format!("{short:?}")
}

/// The allowing rule with the most checks passed before one failed, and that one.
#[must_use]
pub fn nearest(trace: &Trace) -> Option<(&RuleTrace, &Check)> {
    let mut best: Option<(&RuleTrace, &Check)> = None;
    for rule in trace.rules.iter().filter(|rule| !rule.deny) {
        let Some(failed) = rule.checks.last().filter(|check| !check.passed) else { continue };
        if best.is_none_or(|(other, _)| rule.checks.len() > other.checks.len()) {
            best = Some((rule, failed));
        }
    }
    best
}

/// A decision as a tree: each rule looked at, each of its checks, and what follows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tree {
    /// In the order asked.
    pub rules: Vec<Branch>,
    /// What follows, then how to cure it where that is a refusal.
    pub ends: Vec<String>,
}

/// A rule that was looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Branch {
    /// Everything of it passed.
    pub fits: bool,
    /// Its name, and whether it denies.
    pub text: String,
    /// Its checks until and including the first that failed.
    pub checks: Vec<Leaf>,
}

/// A check.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Leaf {
    /// It fits.
    pub passed: bool,
    /// What was wanted and found.
    pub text: String,
}

impl Branch {
    /// The line of the rule.
    #[must_use]
    pub fn line(&self) -> String {
        format!("{} {}", mark(self.fits), self.text)
    }
}

impl Leaf {
    /// The line of the check.
    #[must_use]
    pub fn line(&self) -> String {
        format!("{} {}", mark(self.passed), self.text)
    }
}

/// The decision as a tree.
#[must_use]
pub fn tree(trace: &Trace, outcome: &Outcome) -> Tree {
    let decided = match outcome {
        Outcome::Issue { rule, .. } | Outcome::Ask { rule, .. } => Some(&rule.name),
        Outcome::Refuse(_) => None,
    };
    let branch = |rule: &RuleTrace| {
        let deny = if rule.deny { " (denies)" } else { "" };
        Branch {
            fits: decided == Some(&rule.rule) || rule.checks.iter().all(|check| check.passed),
            text: format!("{}{deny}", shown(rule.rule.as_str())),
            checks: rule.checks.iter().map(|check| Leaf { passed: check.passed, text: text(check) }).collect(),
        }
    };
    Tree { rules: trace.rules.iter().map(branch).collect(), ends: ends(outcome) }
}

fn ends(outcome: &Outcome) -> Vec<String> {
    match outcome {
        Outcome::Issue { counted, .. } if counted.is_empty() => vec!["issue".to_owned()],
        Outcome::Issue { counted, .. } => {
            let people: Vec<_> = counted.iter().map(|one| one.person.as_str()).collect();
            vec![format!("issue, signed by {}", people.join(", "))]
        }
        Outcome::Ask { signed, needed, .. } => vec![format!("ask people: {signed} of {needed} have signed")],
        Outcome::Refuse(refusal) => vec![
            format!("refuse: {} ({})", refusal.sentence(), refusal.code.as_str()),
            format!("cure: {}", refusal.hint.as_deref().unwrap_or(refusal.code.cure())),
        ],
    }
}

/// The tree in lines, as the terminal prints it.
#[must_use]
pub fn lines(trace: &Trace, outcome: &Outcome) -> Vec<String> {
    let tree = tree(trace, outcome);
    let mut lines = Vec::new();
    for rule in &tree.rules {
        lines.push(rule.line());
        lines.extend(rule.checks.iter().map(|check| format!("    {}", check.line())));
    }
    if tree.rules.is_empty() {
        lines.push(NO_RULES.to_owned());
    }
    let ends = tree.ends.iter().enumerate();
    lines.extend(ends.map(|(at, end)| format!("{} {end}", if at == 0 { "→" } else { " " })));
    lines
}

const fn mark(passed: bool) -> &'static str {
    if passed { "✓" } else { "✕" }
}

fn text(check: &Check) -> String {
    let Check { subject, wanted, found, passed } = check;
    match found {
        Some(found) if *passed && found == wanted => format!("{subject} {}", shown(found)),
        Some(found) => format!("{subject}: wants {}, there is {}", shown(wanted), shown(found)),
        None => format!("{subject}: wants {}, there is none", shown(wanted)),
    }
}

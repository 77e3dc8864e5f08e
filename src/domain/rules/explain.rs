//! Explaining: the trace of a decision as lines that people read.
//! In: `Trace` and `Outcome`. Out: lines; the rule that came nearest.
//! Implements DESIGN §12 (`rule explain`) and the terminal's refusals.
//! Never prints what a claim holds without escaping it.

use super::{Check, Outcome, RuleTrace, Trace};

/// Longest text of a claim that is shown, in characters.
const MAX_SHOWN: usize = 100;

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

/// The decision as a tree: each rule looked at, each of its checks, and what follows.
#[must_use]
pub fn lines(trace: &Trace, outcome: &Outcome) -> Vec<String> {
    let mut lines = Vec::new();
    let decided = match outcome {
        Outcome::Issue { rule, .. } | Outcome::Ask { rule, .. } => Some(&rule.name),
        Outcome::Refuse(_) => None,
    };
    for rule in &trace.rules {
        let fits = decided == Some(&rule.rule) || rule.checks.iter().all(|check| check.passed);
        let deny = if rule.deny { " (denies)" } else { "" };
        lines.push(format!("{} {}{deny}", mark(fits), shown(rule.rule.as_str())));
        lines.extend(rule.checks.iter().map(|check| format!("    {}", line(check))));
    }
    if trace.rules.is_empty() {
        lines.push("there are no rules".to_owned());
    }
    match outcome {
        Outcome::Issue { counted, .. } if counted.is_empty() => lines.push("→ issue".to_owned()),
        Outcome::Issue { counted, .. } => {
            let people: Vec<_> = counted.iter().map(|one| one.person.as_str()).collect();
            lines.push(format!("→ issue, signed by {}", people.join(", ")));
        }
        Outcome::Ask { signed, needed, .. } => lines.push(format!("→ ask people: {signed} of {needed} have signed")),
        Outcome::Refuse(refusal) => {
            lines.push(format!("→ refuse: {} ({})", refusal.sentence(), refusal.code.as_str()));
            lines.push(format!("  cure: {}", refusal.hint.as_deref().unwrap_or(refusal.code.cure())));
        }
    }
    lines
}

const fn mark(passed: bool) -> &'static str {
    if passed { "✓" } else { "✕" }
}

fn line(check: &Check) -> String {
    let Check { subject, wanted, found, passed } = check;
    let mark = mark(*passed);
    match found {
        Some(found) if *passed && found == wanted => format!("{mark} {subject} {}", shown(found)),
        Some(found) => format!("{mark} {subject}: wants {}, there is {}", shown(wanted), shown(found)),
        None => format!("{mark} {subject}: wants {}, there is none", shown(wanted)),
    }
}

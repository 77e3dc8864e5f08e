//! The steps of a verification as a person reads them: those that hold together share a line.
//! In: a report. Out: lines; a step that is not checked has one of its own, the failed one is in the answer.
//! Implements SCREENS' words for `verify`.
//! Never hides a step that does not hold, and never changes what `--json` says.

use crate::domain::bundle::report::{Report, Step, StepOutcome};

/// One line of steps that hold: what it is called, which step speaks for it, which it begins with, which it takes.
struct Line {
    label: &'static str,
    speaker: &'static str,
    steps: &'static [&'static str],
}

const LINES: &[Line] = &[
    Line { label: "checkpoint", speaker: "checkpoint", steps: &["format", "checkpoint"] },
    Line { label: "inclusion", speaker: "inclusion", steps: &["inclusion", "documents", "parts", "times"] },
    Line {
        label: "statement · challenge · assertion · enrolment",
        speaker: "enrolment",
        steps: &["request", "statement", "enrolment", "attestation", "assertion", "membership"],
    },
    Line { label: "job token", speaker: "job token", steps: &["issuer keys", "job token"] },
    Line {
        label: "rule · claims",
        speaker: "rule",
        steps: &["rule text", "starter", "rule", "claims", "signing key", "completeness"],
    },
];

/// The lines of a report's steps.
pub(super) fn lines(report: &Report) -> Vec<String> {
    let mut lines = Vec::new();
    let mut open: Vec<&Step> = Vec::new();
    for step in &report.steps {
        let goes_on = step.outcome == StepOutcome::Ok
            && open.last().is_some_and(|last| same_line(last, step))
            && !open.iter().any(|one| one.name == step.name);
        if !goes_on {
            lines.extend(fold(&open));
            open.clear();
        }
        match step.outcome {
            StepOutcome::Ok => open.push(step),
            StepOutcome::NotChecked => lines.push(line(step.outcome, step.name, &step.text)),
            StepOutcome::Failed => {}
        }
    }
    lines.extend(fold(&open));
    lines
}

fn same_line(one: &Step, other: &Step) -> bool {
    LINES.iter().any(|line| line.steps.contains(&one.name) && line.steps.contains(&other.name))
}

fn fold(steps: &[&Step]) -> Option<String> {
    let last = steps.last()?;
    let whole = LINES.iter().find_map(|line| {
        let speaker = steps.iter().find(|step| step.name == line.speaker)?;
        Some((line.label.to_owned(), &speaker.text))
    });
    let (label, text) = whole.unwrap_or_else(|| {
        let names: Vec<_> = steps.iter().map(|step| step.name).collect();
        (names.join(" · "), &last.text)
    });
    Some(line(StepOutcome::Ok, &label, text))
}

fn line(outcome: StepOutcome, label: &str, text: &str) -> String {
    // A label that fills its column is set apart all the same.
    let gap = if label.chars().count() < 15 { "" } else { "     " };
    format!("{:<13}{label:<16}{gap}{text}", outcome.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(steps: &[(&'static str, StepOutcome)]) -> Report {
        let steps = steps.iter().map(|(name, outcome)| Step { name, outcome: *outcome, text: format!("<{name}>") });
        Report { steps: steps.collect(), ..Report::default() }
    }

    #[test]
    fn what_holds_together_shares_a_line_and_what_does_not_hold_has_its_own() {
        use StepOutcome::{NotChecked, Ok};
        let whole = report(&[
            ("format", Ok),
            ("checkpoint", Ok),
            ("inclusion", Ok),
            ("documents", Ok),
            ("request", Ok),
            ("statement", Ok),
            ("enrolment", Ok),
            ("assertion", Ok),
            ("membership", Ok),
            ("statement", Ok),
            ("enrolment", Ok),
            ("assertion", Ok),
            ("membership", Ok),
            ("issuer keys", Ok),
            ("job token", NotChecked),
            ("rule", Ok),
            ("claims", Ok),
        ]);
        let expected = [
            "ok           checkpoint      <checkpoint>",
            "ok           inclusion       <inclusion>",
            "ok           statement · challenge · assertion · enrolment     <enrolment>",
            "ok           statement · challenge · assertion · enrolment     <enrolment>",
            "ok           issuer keys     <issuer keys>",
            "not checked  job token       <job token>",
            "ok           rule · claims   <rule>",
        ];
        assert_eq!(lines(&whole), expected);
    }

    #[test]
    fn before_a_step_that_failed_only_what_was_seen_to_hold_is_told() {
        use StepOutcome::{Failed, Ok};
        let broken =
            report(&[("format", Ok), ("checkpoint", Ok), ("request", Ok), ("statement", Ok), ("enrolment", Failed)]);
        let expected =
            ["ok           checkpoint      <checkpoint>", "ok           request · statement     <statement>"];
        assert_eq!(lines(&broken), expected);
    }

    #[test]
    fn every_step_stands_on_one_line() {
        let all: Vec<_> = LINES.iter().flat_map(|line| line.steps).collect();
        let mut distinct = all.clone();
        distinct.sort_unstable();
        distinct.dedup();
        assert_eq!(all.len(), distinct.len());
        assert!(LINES.iter().all(|line| line.steps.contains(&line.speaker)));
    }
}

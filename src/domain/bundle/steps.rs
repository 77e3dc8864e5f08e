//! The steps of a verification as they are taken.
//! In: each step's result. Out: a line of the report, and the value to go on with.
//! Implements DESIGN §7's three outcomes of a step.
//! Never goes on after a step that failed: it gives nothing to go on with.

use super::report::{Report, Step, StepOutcome};

/// What was taken so far.
pub(super) struct Steps {
    pub(super) report: Report,
}

impl Steps {
    pub(super) fn ok(&mut self, name: &'static str, text: impl Into<String>) {
        self.report.steps.push(Step { name, outcome: StepOutcome::Ok, text: text.into() });
    }

    pub(super) fn run<T>(&mut self, name: &'static str, result: Result<(T, String), String>) -> Option<T> {
        match result {
            Ok((value, text)) => {
                self.ok(name, text);
                Some(value)
            }
            Err(text) => {
                self.report.steps.push(Step { name, outcome: StepOutcome::Failed, text });
                None
            }
        }
    }

    pub(super) fn skip(&mut self, name: &'static str, text: impl Into<String>) {
        self.report.steps.push(Step { name, outcome: StepOutcome::NotChecked, text: text.into() });
    }
}

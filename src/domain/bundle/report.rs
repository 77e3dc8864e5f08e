//! What a verification found, step by step.
//! In: outcomes. Out: lines that a person reads, and one answer.
//! Implements DESIGN §7 (`yes`, `yes, with N steps not checked`, `no`).
//! Never one boolean alone.

use serde::Serialize;

/// How a step ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub enum StepOutcome {
    /// It holds.
    #[serde(rename = "ok")]
    Ok,
    /// It does not: the answer is no.
    #[serde(rename = "failed")]
    Failed,
    /// A logged entry shows that it cannot be checked now, or an earlier step failed.
    #[serde(rename = "not checked")]
    NotChecked,
}

impl StepOutcome {
    /// As a person reads it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Failed => "failed",
            Self::NotChecked => "not checked",
        }
    }
}

/// One step.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Step {
    /// Its name.
    pub name: &'static str,
    /// How it ended.
    pub outcome: StepOutcome,
    /// What was found.
    pub text: String,
}

/// All steps, and what they prove.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct Report {
    /// In order.
    pub steps: Vec<Step>,
    /// In one sentence, once nothing failed.
    pub proven: Option<String>,
    /// What remains open, in one sentence.
    pub not_proven: Option<String>,
}

impl Report {
    /// The step that failed, if one did.
    #[must_use]
    pub fn failed(&self) -> Option<&Step> {
        self.steps.iter().find(|step| step.outcome == StepOutcome::Failed)
    }

    /// How many steps ended so.
    #[must_use]
    pub fn count(&self, outcome: StepOutcome) -> usize {
        self.steps.iter().filter(|step| step.outcome == outcome).count()
    }

    /// The answer, in SCREENS' words.
    #[must_use]
    pub fn answer(&self) -> String {
        if let Some(step) = self.failed() {
            return format!("no: {} failed: {}", step.name, step.text);
        }
        match self.count(StepOutcome::NotChecked) {
            0 => "yes".to_owned(),
            1 => "yes, with 1 step not checked".to_owned(),
            n => format!("yes, with {n} steps not checked"),
        }
    }
}

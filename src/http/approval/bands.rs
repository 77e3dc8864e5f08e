//! The bands above the question: the environment, and what deserves a second look.
//! In: a request and what GitLab says beside it. Out: bands, in the order shown.
//! Implements the bands of the screen of `/a/⟨id⟩`.
//! Never names a fork as the project in which the job runs.

use crate::http::approval::view::ApprovalInput;
use crate::http::page::{Visible, visible};

/// What deserves a second look, above the question.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Band {
    /// The environment, as the token spells it.
    Environment(Visible),
    /// The job names none.
    NoEnvironment,
    /// The code comes from another project.
    Fork {
        /// Path of the project that the code comes from.
        from: Visible,
        /// Its id.
        from_id: Visible,
        /// The project in which the job runs.
        runs_in: Visible,
        /// Its id.
        runs_in_id: Visible,
    },
    /// The first request for this project and environment.
    First,
    /// The branch or tag (the word given) is not protected.
    NotProtected(&'static str),
    /// A bot started the job; this person answers for it.
    Bot(Visible),
}

/// The project in which the job runs: its path, or its id where no path is known.
#[must_use]
pub fn project(input: &ApprovalInput<'_>) -> Visible {
    let request = input.request;
    request.project_path(input.display.job_project_path.as_deref()).map_or_else(
        || visible(&format!("project {}", request.job_claim("job_project_id").unwrap_or("not stated"))),
        visible,
    )
}

/// The bands of a request, the environment first.
#[must_use]
pub fn bands(input: &ApprovalInput<'_>) -> Vec<Band> {
    let request = input.request;
    let claim = |name: &str| request.job_claim(name).filter(|text| !text.is_empty());
    let mut bands = vec![claim("environment").map_or(Band::NoEnvironment, |name| Band::Environment(visible(name)))];
    if request.is_fork() {
        bands.push(Band::Fork {
            from: visible(claim("project_path").unwrap_or("another project")),
            from_id: visible(claim("project_id").unwrap_or_default()),
            runs_in: project(input),
            runs_in_id: visible(claim("job_project_id").unwrap_or_default()),
        });
    }
    if input.first_for_place {
        bands.push(Band::First);
    }
    if claim("ref_protected") == Some("false") {
        bands.push(Band::NotProtected(if claim("ref_type") == Some("tag") { "Tag" } else { "Branch" }));
    }
    bands.extend(input.display.bot_owner.as_deref().map(|owner| Band::Bot(visible(owner))));
    bands
}

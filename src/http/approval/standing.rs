//! Where a request stands, as its page tells it.
//! In: the state, with what each needs. Out: heading and sentences, as values for the template.
//! Implements the states of the screen of `/a/⟨id⟩`.
//! Never judges: the use case says which state it is.

use crate::domain::time::Timestamp;
use crate::http::page::{Moment, Visible, grouped, visible};

/// Where a request stands, as the page tells it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PageState {
    /// Signatures are missing.
    Waiting,
    /// The reader has just signed; more are missing.
    CountedMoreNeeded,
    /// Enough have signed; the job has not fetched its token.
    ApprovedNotCollected {
        /// The reader's signature is one of them.
        by_you: bool,
        /// When the last signature landed.
        at: Timestamp,
        /// Until when the job may fetch.
        use_by: Timestamp,
    },
    /// The job has its token.
    Approved {
        /// The reader's signature is one of them.
        by_you: bool,
        /// When the last signature landed.
        at: Timestamp,
        /// The log entry of the token.
        entry: u64,
    },
    /// Somebody said no.
    Denied {
        /// The reader did.
        by_you: bool,
        /// Why, in that person's words.
        reason: Option<String>,
        /// The log entry of the denial.
        entry: u64,
    },
    /// Another caller tried to collect.
    Contested,
    /// Nobody decided, or the job did not fetch, in time.
    Expired {
        /// When it ended.
        at: Timestamp,
    },
    /// The rule is another one now.
    Changed,
}

impl PageState {
    /// The state's name in `data-state` and in the stream of events.
    #[must_use]
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Waiting | Self::CountedMoreNeeded => "waiting",
            Self::ApprovedNotCollected { .. } => "approved",
            Self::Approved { .. } => "collected",
            Self::Denied { .. } => "denied",
            Self::Contested => "contested",
            Self::Expired { .. } => "expired",
            Self::Changed => "changed",
        }
    }

    /// Somebody entitled may still say no.
    #[must_use]
    pub const fn takes_a_denial(&self) -> bool {
        matches!(self, Self::Waiting | Self::CountedMoreNeeded | Self::ApprovedNotCollected { .. } | Self::Contested)
    }
}

/// The state as heading and sentences.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// Nothing to tell yet: the question stands.
    Open,
    /// The reader's signature counts.
    Counted,
    /// Approved; `use_by` where the job has yet to fetch its token, `entry` where it has.
    Approved {
        /// The reader signed.
        by_you: bool,
        /// When.
        at: Moment,
        /// Until when the job may fetch.
        use_by: Option<Moment>,
        /// The token's log entry.
        entry: Option<String>,
    },
    /// Denied.
    Denied {
        /// The reader denied.
        by_you: bool,
        /// Why.
        reason: Option<Visible>,
        /// The denial's log entry.
        entry: String,
    },
    /// Contested.
    Contested,
    /// Expired.
    Expired(Moment),
    /// Changed.
    Changed,
}

/// The heading and sentences of a state, read at `now`.
#[must_use]
pub fn outcome(state: &PageState, now: Timestamp) -> Outcome {
    match state {
        PageState::Waiting => Outcome::Open,
        PageState::CountedMoreNeeded => Outcome::Counted,
        PageState::ApprovedNotCollected { by_you, at, use_by } => Outcome::Approved {
            by_you: *by_you,
            at: Moment::new(*at, now),
            use_by: Some(Moment::new(*use_by, now)),
            entry: None,
        },
        PageState::Approved { by_you, at, entry } => {
            Outcome::Approved { by_you: *by_you, at: Moment::new(*at, now), use_by: None, entry: Some(grouped(*entry)) }
        }
        PageState::Denied { by_you, reason, entry } => {
            Outcome::Denied { by_you: *by_you, reason: reason.as_deref().map(visible), entry: grouped(*entry) }
        }
        PageState::Contested => Outcome::Contested,
        PageState::Expired { at } => Outcome::Expired(Moment::new(*at, now)),
        PageState::Changed => Outcome::Changed,
    }
}

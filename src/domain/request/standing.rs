//! Where a request stands, and what may still happen to it.
//! In: its record, what was stored of it, the time of the log. Out: `Standing`, and which decisions it still takes.
//! Implements DESIGN §5 (waiting) and §6.
//! Never goes back: a standing that ended stays ended, whatever the clock does.

use crate::domain::oauth::error_code::ErrorCode;
use crate::domain::statement::Choice;
use crate::domain::time::Timestamp;

use super::Request;

/// What the store keeps of a request's state; everything but `Open` is final.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mark {
    /// People may sign, the job may collect.
    Open,
    /// Every audience has its token.
    Collected,
    /// Somebody said no.
    Denied,
    /// A second collector appeared before the issue.
    Contested,
    /// The rule changed.
    Voided,
    /// Too late.
    Expired,
}

impl Mark {
    /// As the store and the log spell it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Collected => "collected",
            Self::Denied => "denied",
            Self::Contested => "contested",
            Self::Voided => "voided",
            Self::Expired => "expired",
        }
    }

    /// Reads the store's spelling.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Open, Self::Collected, Self::Denied, Self::Contested, Self::Voided, Self::Expired]
            .into_iter()
            .find(|mark| mark.as_str() == text)
    }
}

/// Where a request stands at a moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// Signatures are missing.
    Waiting,
    /// Enough people signed; the job has not collected everything. Not final: an entitled person may still deny.
    Approved,
    /// Every audience has its token.
    Collected,
    /// Somebody said no.
    Denied,
    /// A second collector appeared before the issue: it can only be denied.
    Contested,
    /// The rule changed.
    Voided,
    /// Too late.
    Expired,
}

/// Where the request stands at `now` (the log's time, which never goes back).
#[must_use]
pub fn standing(request: &Request, mark: Mark, enough: bool, now: Timestamp) -> Standing {
    match mark {
        Mark::Collected => Standing::Collected,
        Mark::Denied => Standing::Denied,
        Mark::Contested => Standing::Contested,
        Mark::Voided => Standing::Voided,
        Mark::Expired => Standing::Expired,
        Mark::Open if now > request.use_by => Standing::Expired,
        Mark::Open if enough => Standing::Approved,
        Mark::Open if now > request.decide_by => Standing::Expired,
        Mark::Open => Standing::Waiting,
    }
}

impl Standing {
    /// As the page's script spells it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Approved => "approved",
            Self::Collected => "collected",
            Self::Denied => "denied",
            Self::Contested => "contested",
            Self::Voided => "changed",
            Self::Expired => "expired",
        }
    }

    /// Whether a decision still counts; consumes the standing, since a decision makes a new one.
    ///
    /// # Errors
    /// The code that the page answers with.
    pub const fn take(self, choice: Choice) -> Result<(), ErrorCode> {
        match (self, choice) {
            (Self::Waiting, _) | (Self::Approved | Self::Contested, Choice::Deny) => Ok(()),
            (Self::Approved, Choice::Approve) => Err(ErrorCode::AlreadyApproved),
            (Self::Contested, Choice::Approve) => Err(ErrorCode::RequestContested),
            (Self::Collected | Self::Denied, _) => Err(ErrorCode::AlreadyDecided),
            (Self::Voided, _) => Err(ErrorCode::RuleChanged),
            (Self::Expired, _) => Err(ErrorCode::RequestExpired),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::time::Duration;

    use crate::domain::ids::{Code, Digest, RequestId, RuleName};
    use crate::domain::request::RuleRef;

    use super::*;

    fn request() -> Request {
        let start = Timestamp::from_seconds(1_000_000);
        Request {
            id: RequestId::from_random([1; 16]),
            issuer: "https://sign.example.com".to_owned(),
            code: Code::from_random([1; 6]),
            collector: Digest::of(b"collector"),
            decide_by: start + Duration::from_mins(15),
            use_by: start + Duration::from_mins(20),
            job: BTreeMap::new(),
            access: Vec::new(),
            rule: RuleRef { name: RuleName::parse("r").unwrap(), sha256: Digest::of(b"rule") },
        }
    }

    #[test]
    fn time_ends_a_request_in_two_steps() {
        let request = request();
        let at = |seconds: i64| Timestamp::from_seconds(1_000_000 + seconds);
        assert_eq!(standing(&request, Mark::Open, false, at(900)), Standing::Waiting);
        assert_eq!(standing(&request, Mark::Open, false, at(901)), Standing::Expired);
        assert_eq!(standing(&request, Mark::Open, true, at(901)), Standing::Approved);
        assert_eq!(standing(&request, Mark::Open, true, at(1200)), Standing::Approved);
        assert_eq!(standing(&request, Mark::Open, true, at(1201)), Standing::Expired);
    }

    #[test]
    fn an_end_is_an_end_whatever_the_clock_does() {
        let long_ago = Timestamp::from_seconds(0);
        for mark in [Mark::Collected, Mark::Denied, Mark::Contested, Mark::Voided, Mark::Expired] {
            for enough in [true, false] {
                let ended = standing(&request(), mark, enough, long_ago);
                assert!(ended.take(Choice::Approve).is_err(), "{mark:?}");
            }
            assert_eq!(Mark::parse(mark.as_str()), Some(mark));
        }
    }

    #[test]
    fn a_no_counts_until_the_token_is_recorded() {
        assert_eq!(Standing::Approved.take(Choice::Deny), Ok(()));
        assert_eq!(Standing::Contested.take(Choice::Deny), Ok(()));
        assert_eq!(Standing::Collected.take(Choice::Deny), Err(ErrorCode::AlreadyDecided));
        assert_eq!(Standing::Approved.take(Choice::Approve), Err(ErrorCode::AlreadyApproved));
    }
}

//! Rules: which jobs get which tokens, and what is required of humans.
//! In: what people typed. Out: compiled `Rules`, and a `Verdict` for a job with the trace of every check.
//! Implements DESIGN §4.
//! Never reads a clock or a store, never skips a rule that cannot be evaluated.

mod caution;
pub mod compile;
mod conditions;
pub mod decide;
pub mod difference;
pub mod explain;
mod facts;
mod matching;
pub mod pattern;
pub mod set;
mod shadow;
pub mod source;
mod steps;
mod terms;

#[cfg(test)]
pub(crate) mod samples;

pub use facts::{Approver, Facts, StarterFault};

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::domain::assurance::Acr;
use crate::domain::assurance::policy::DevicePolicy;
use crate::domain::canonical::{self, CanonicalError};
use crate::domain::ids::{Audience, Digest, GroupName, IssuerName, RuleName};
use crate::domain::job::gitlab::inventory;
use crate::domain::oauth::error_code::ErrorCode;
use crate::domain::request::Presence;
use crate::domain::token::template::Template;
use pattern::Pattern;
use set::SealedRule;

/// Most rules that load.
pub const MAX_RULES: usize = 10_000;
/// Largest rules file, in bytes.
pub const MAX_RULES_FILE: usize = 1024 * 1024;
/// Largest rule, in bytes of its canonical form: it is evidence of every request and token under it.
pub const MAX_RULE: usize = 16 * 1024;
/// Most signatures that a rule may demand: `approver` joins that many ids, and AWS takes 256 characters of it.
pub const MAX_COUNT: u32 = 10;
/// Longest sentence of a deny rule, in characters.
pub const MAX_SENTENCE_CHARS: usize = 200;

/// A compiled rule. Its canonical JSON is what its digest is over and what the log keeps as evidence.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rule {
    /// Unique among the rules.
    pub name: RuleName,
    /// The issuer whose jobs it matches; a deny rule may leave it open.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub issuer: Option<IssuerName>,
    /// Claims by GitLab's name and what each must be.
    #[serde(rename = "match")]
    pub matches: BTreeMap<String, Pattern>,
    /// `Some(true)`: forks only; `Some(false)`: never forks. An allowing rule always has one; an open deny rule none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fork: Option<bool>,
    /// What follows.
    pub effect: Effect,
}

/// What follows when a rule matches.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Effect {
    /// Refused, with this sentence.
    Deny(String),
    /// Allowed, under these terms.
    Allow(Box<Allow>),
}

/// The terms of an allowing rule.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Allow {
    /// Audiences that may be asked for.
    pub audience: Vec<Audience>,
    /// What is required of humans.
    pub require: Require,
    /// The level that every counted person must reach; only with `Require::Approval`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub acr: Option<Acr>,
    /// The policy that every counted person's device must meet; only with `Require::Approval`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub device_policy: Option<DevicePolicy>,
    /// What the token carries.
    pub token: TokenTerms,
    /// AWS claims, for tokens whose audience is `aws.audience`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub aws: Option<AwsTerms>,
    /// Names of signers may be told to the job.
    pub show_approvers: bool,
}

/// What is required of humans.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Require {
    /// Nothing.
    None,
    /// Signatures of distinct people.
    Approval(ApprovalTerms),
}

/// Who must sign, and until when.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ApprovalTerms {
    /// Groups whose members may sign.
    pub of: BTreeSet<GroupName>,
    /// How many distinct people.
    pub count: u32,
    /// Who may not sign although in a group.
    pub not: BTreeSet<Excluded>,
    /// Seconds from asking to `decide_by`.
    pub within: u64,
}

impl ApprovalTerms {
    /// `within` as a span.
    #[must_use]
    pub const fn within(&self) -> Duration {
        Duration::from_secs(self.within)
    }
}

/// Who may not sign.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Excluded {
    /// The person linked to the GitLab user who started the job.
    Starter,
}

/// What the issued token carries.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TokenTerms {
    /// Lifetime in seconds.
    pub lifetime: u64,
    /// Claims of the job forwarded as `gitlab_<name>`.
    pub forward: BTreeSet<String>,
    /// Signing algorithm.
    pub alg: TokenAlg,
    /// A template of `sub`; absent means DESIGN §6's default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sub: Option<String>,
}

/// The algorithms that we sign tokens with (RFC 7518 §3.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum TokenAlg {
    /// RSASSA-PKCS1-v1_5 with SHA-256.
    #[serde(rename = "RS256")]
    Rs256,
    /// ECDSA with P-256 and SHA-256.
    #[serde(rename = "ES256")]
    Es256,
}

impl TokenAlg {
    /// As JOSE spells it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Rs256 => "RS256",
            Self::Es256 => "ES256",
        }
    }
}

/// AWS claims of the token.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AwsTerms {
    /// The audience whose tokens carry these claims.
    pub audience: Audience,
    /// Roles that the token is pinned to.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub roles: Vec<String>,
    /// Session tags, by the name of the issued claim that each carries.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub tags: BTreeSet<String>,
    /// A template of the source identity.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source_identity: Option<String>,
}

impl Allow {
    /// Claims of the job that go into the token: the forwarded ones, and those that a template names. People sign them.
    #[must_use]
    pub fn issued_claims(&self) -> BTreeSet<String> {
        let source_identity = self.aws.as_ref().and_then(|aws| aws.source_identity.as_ref());
        let templates = [self.token.sub.as_ref(), source_identity];
        let templates = templates.into_iter().flatten().filter_map(|text| Template::parse(text).ok());
        let mut names = self.token.forward.clone();
        for template in templates {
            let claims = template.slots().filter(|slot| inventory(slot).is_some());
            names.extend(claims.map(str::to_owned));
        }
        names
    }

    /// What is required of humans, in one word.
    #[must_use]
    pub const fn presence(&self) -> Presence {
        match self.require {
            Require::None => Presence::None,
            Require::Approval(_) => Presence::Approval,
        }
    }
}

impl Rule {
    /// The terms, where the rule allows.
    #[must_use]
    pub fn allow(&self) -> Option<&Allow> {
        match &self.effect {
            Effect::Allow(allow) => Some(allow),
            Effect::Deny(_) => None,
        }
    }

    /// SHA-256 of the canonical form.
    ///
    /// # Errors
    /// A rule without canonical form, which no compiled rule is.
    pub fn digest(&self) -> Result<Digest, CanonicalError> {
        canonical::digest(self)
    }
}

/// The answer of `decide`, with the trace of every check.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verdict {
    /// What follows.
    pub outcome: Outcome,
    /// Every rule looked at and every check on the way.
    pub trace: Trace,
}

/// What follows for the job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// The token may be issued; the approvals that count, oldest first (none with `Require::None`).
    Issue {
        /// The rule that says so.
        rule: Arc<SealedRule>,
        /// The people whose signatures count.
        counted: Vec<Approver>,
    },
    /// People must sign first.
    Ask {
        /// The rule that says so.
        rule: Arc<SealedRule>,
        /// How many signatures count so far.
        signed: u32,
        /// How many are needed.
        needed: u32,
    },
    /// No.
    Refuse(Refusal),
}

/// Why not. Not an error inside: only `http/problem.rs` chooses the wire form.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// The stable code.
    pub code: ErrorCode,
    /// What, in one sentence without full stop, lower-case start.
    pub description: String,
    /// The cause, in one more line, where there is more to tell: the nearest rule, whose clock is ahead.
    pub detail: Option<Box<str>>,
    /// The cure, if better than the code's own.
    pub hint: Option<String>,
    /// The rule that refused, or that came nearest.
    pub rule: Option<RuleName>,
}

impl Refusal {
    /// A refusal with the code's own cure.
    #[must_use]
    pub fn new(code: ErrorCode, description: impl Into<String>) -> Self {
        Self { code, description: description.into(), detail: None, hint: None, rule: None }
    }

    /// With the cause.
    #[must_use]
    pub fn because(mut self, detail: impl Into<Box<str>>) -> Self {
        self.detail = Some(detail.into());
        self
    }

    /// What and why in one line.
    #[must_use]
    pub fn sentence(&self) -> String {
        self.detail.as_ref().map_or_else(|| self.description.clone(), |why| format!("{}; {why}", self.description))
    }

    /// With a better cure than the code's own.
    #[must_use]
    pub fn with_hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// By this rule.
    #[must_use]
    pub fn by(mut self, rule: &RuleName) -> Self {
        self.rule = Some(rule.clone());
        self
    }
}

/// Every rule looked at, in order.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Trace {
    /// A line a rule.
    pub rules: Vec<RuleTrace>,
}

/// What one rule said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RuleTrace {
    /// Which rule.
    pub rule: RuleName,
    /// It denies.
    pub deny: bool,
    /// Each check until and including the first that failed.
    pub checks: Vec<Check>,
}

/// One comparison.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Check {
    /// What was looked at: a claim's name, `issuer`, `fork`, `audience`, `group …`, `signatures`, …
    pub subject: String,
    /// What the rule wants.
    pub wanted: String,
    /// What the job has; `None` where it has nothing.
    pub found: Option<String>,
    /// Whether that fits.
    pub passed: bool,
}

//! Lists the rules in force, in the order in which they are asked, and who could sign for each.
//! In: from which one on. Out: lines that print or serialise.
//! Implements SCREENS' Admin (Rules), DESIGN §12.
//! Never changes anything.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::domain::assurance::Acr;
use crate::domain::ids::{Audience, Digest, GroupName, IssuerName, PersonId, RuleName};
use crate::domain::request::Presence;
use crate::domain::rules::set::SealedRule;
use crate::domain::rules::{Allow, ApprovalTerms, Effect, Excluded, Require};
use crate::domain::time::{Timestamp, humane};
use crate::store::Reader;

use super::apply_change::active_passkeys;
use super::check_first_run::time_of;
use super::{AppError, Countersign, LoadedRules};

/// Most rules that one page or one answer of the console shows.
pub const MAX_RULES_LISTED: usize = 100;
/// Most warnings of a load that are shown.
pub const MAX_WARNINGS_LISTED: usize = 100;

/// A rule, listed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RuleLine {
    /// Its place in the order of asking, from 1.
    pub place: usize,
    /// Its name.
    pub name: RuleName,
    /// Where it was written: `rules/production.toml:12`.
    pub written: String,
    /// The issuer whose jobs it matches.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub issuer: Option<IssuerName>,
    /// Claims by GitLab's name and what each must be.
    #[serde(rename = "match")]
    pub matches: BTreeMap<String, String>,
    /// Whether it is for forks; none where a deny rule leaves it open.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fork: Option<bool>,
    /// The sentence of a deny rule.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deny: Option<String>,
    /// The terms of an allowing rule.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub allow: Option<AllowLine>,
    /// SHA-256 of its canonical form: what people sign, and what entries name.
    pub digest: Digest,
}

/// The terms of an allowing rule, listed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AllowLine {
    /// Audiences that may be asked for.
    pub audience: Vec<Audience>,
    /// What is required of humans, in one word.
    pub presence: Presence,
    /// Who signs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub approval: Option<ApprovalLine>,
    /// The level that every counted person must reach.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub acr: Option<Acr>,
    /// The policy that every counted person's device must meet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub device_policy: Option<String>,
    /// Lifetime of the token in seconds.
    pub lifetime: u64,
    /// AWS roles that the token is pinned to.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub roles: Vec<String>,
}

/// Who signs under a rule, and who could.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ApprovalLine {
    /// Groups whose members may sign.
    pub of: BTreeSet<GroupName>,
    /// How many distinct people.
    pub count: u32,
    /// Whoever started the job may not.
    pub not_starter: bool,
    /// Seconds from asking to the last signature.
    pub within: u64,
    /// How many people of the groups have a passkey that works.
    pub able: u32,
}

impl RuleLine {
    /// Which jobs it matches: `issuer gitlab, environment production, not from forks`.
    pub fn match_words(&self) -> String {
        let mut words: Vec<_> = self.issuer.iter().map(|issuer| format!("issuer {issuer}")).collect();
        words.extend(self.matches.iter().map(|(name, pattern)| format!("{name} {pattern:?}")));
        words.extend(self.fork.map(|fork| if fork { "forks only" } else { "not from forks" }.to_owned()));
        words.join(", ")
    }
}

impl ApprovalLine {
    /// Fewer can sign than must.
    pub const fn is_short(&self) -> bool {
        self.able < self.count
    }
}

impl AllowLine {
    /// Who is asked: `2 of release-managers (5 can sign), not whoever started the job, within 15 min`.
    pub fn people_words(&self) -> String {
        let Some(approval) = &self.approval else { return "nobody".to_owned() };
        let groups: Vec<_> = approval.of.iter().map(ToString::to_string).collect();
        let not = if approval.not_starter { ", not whoever started the job" } else { "" };
        let within = humane(std::time::Duration::from_secs(approval.within));
        format!("{} of {} ({} can sign){not}, within {within}", approval.count, groups.join(" or "), approval.able)
    }
}

/// A part of the rules in force.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RulesSeen {
    /// How many there are.
    pub total: usize,
    /// SHA-256 over the digests of all.
    pub digest: Digest,
    /// When they were read.
    pub loaded: Timestamp,
    /// The log entry since which this very set is in force, and when that was made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub logged: Option<(u64, Timestamp)>,
    /// The part.
    pub rules: Vec<RuleLine>,
    /// From which one on the next part is, where there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<usize>,
    /// What people may not have meant.
    pub warnings: Vec<String>,
    /// How many more warnings there are.
    pub more_warnings: usize,
}

/// Who could sign: members of groups, and which of them have a passkey that works.
pub(super) struct Signers {
    /// Active members of each group.
    pub groups: BTreeMap<GroupName, BTreeSet<PersonId>>,
    /// Those who could.
    pub able: BTreeSet<PersonId>,
}

impl Signers {
    pub(super) fn read(reader: &Reader<'_>) -> Result<Self, AppError> {
        let groups = reader.groups()?;
        let mut able = BTreeSet::new();
        for member in groups.values().flatten() {
            if !able.contains(member) && !active_passkeys(reader, member)?.is_empty() {
                able.insert(member.clone());
            }
        }
        Ok(Self { groups, able })
    }

    /// How many could sign under these terms.
    pub(super) fn of(&self, terms: &ApprovalTerms) -> u32 {
        let members = terms.of.iter().filter_map(|group| self.groups.get(group)).flatten();
        let able: BTreeSet<_> = members.filter(|person| self.able.contains(*person)).collect();
        u32::try_from(able.len()).unwrap_or(u32::MAX)
    }
}

impl Countersign {
    /// The rules in force, from the `first` one on (counted from 1).
    pub fn list_rules(&self, first: usize) -> Result<RulesSeen, AppError> {
        let in_force = self.rules();
        let warnings = self.rule_warnings()?;
        let (digest, total) = (in_force.rules.digest(), in_force.rules.len());
        let (signers, logged) = self.store.read(|reader| -> Result<_, AppError> {
            let logged = reader.rules_in_force()?.filter(|(logged, _)| *logged == digest);
            let logged = logged.map(|(_, entry)| Ok::<_, AppError>((entry, time_of(reader, entry)?))).transpose()?;
            Ok((Signers::read(reader)?, logged))
        })?;
        let skipped = first.saturating_sub(1);
        let part = in_force.rules.iter().enumerate().skip(skipped).take(MAX_RULES_LISTED);
        let rules: Vec<_> = part.map(|(at, rule)| line(at + 1, rule, &in_force, &signers)).collect();
        let after = skipped.saturating_add(rules.len());
        Ok(RulesSeen {
            total,
            digest,
            loaded: in_force.loaded,
            logged,
            next: (after < total && !rules.is_empty()).then_some(after + 1),
            rules,
            more_warnings: warnings.len().saturating_sub(MAX_WARNINGS_LISTED),
            warnings: warnings.into_iter().take(MAX_WARNINGS_LISTED).collect(),
        })
    }
}

fn line(place: usize, rule: &SealedRule, in_force: &LoadedRules, signers: &Signers) -> RuleLine {
    let written = in_force.places.get(&rule.name).map(|place| format!("{}:{}", place.file, place.line));
    let (deny, allow) = match &rule.effect {
        Effect::Deny(sentence) => (Some(sentence.clone()), None),
        Effect::Allow(allow) => (None, Some(allow_line(allow, signers))),
    };
    RuleLine {
        place,
        name: rule.name.clone(),
        written: written.unwrap_or_default(),
        issuer: rule.issuer.clone(),
        matches: rule.matches.iter().map(|(name, pattern)| (name.clone(), pattern.as_str().to_owned())).collect(),
        fork: rule.fork,
        deny,
        allow,
        digest: rule.digest(),
    }
}

fn allow_line(allow: &Allow, signers: &Signers) -> AllowLine {
    let approval = match &allow.require {
        Require::None => None,
        Require::Approval(terms) => Some(ApprovalLine {
            of: terms.of.clone(),
            count: terms.count,
            not_starter: terms.not.contains(&Excluded::Starter),
            within: terms.within,
            able: signers.of(terms),
        }),
    };
    AllowLine {
        audience: allow.audience.clone(),
        presence: allow.presence(),
        approval,
        acr: allow.acr,
        device_policy: allow.device_policy.as_ref().map(|policy| policy.name.clone()),
        lifetime: allow.token.lifetime,
        roles: allow.aws.as_ref().map(|aws| aws.roles.clone()).unwrap_or_default(),
    }
}

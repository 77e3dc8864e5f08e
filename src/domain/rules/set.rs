//! The rules in force: compiled, ordered, never changed.
//! In: compiled rules in the order of their files. Out: deny rules first, and one digest over all.
//! Implements DESIGN §4.
//! Never holds a rule whose canonical form cannot be hashed.

use std::collections::{BTreeSet, HashMap};
use std::ops::Deref;
use std::sync::Arc;

use super::matching::Condition;
use super::steps::Steps;
use super::{Effect, Require, Rule};
use crate::domain::canonical::{self, CanonicalError};
use crate::domain::ids::{Digest, GroupName, RuleName};
use crate::domain::job::Job;

/// A rule with its canonical form and the digest of it, which are made once: it never changes again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SealedRule {
    rule: Rule,
    canonical: Vec<u8>,
    digest: Digest,
    conditions: Vec<Condition>,
    places: usize,
}

impl SealedRule {
    /// Seals a rule.
    ///
    /// # Errors
    /// A rule without canonical form, which no compiled rule is.
    pub fn new(rule: Rule) -> Result<Self, CanonicalError> {
        let canonical = canonical::to_bytes(&rule)?;
        let digest = Digest::of(&canonical);
        let conditions = Condition::of(&rule);
        let places = conditions.iter().take_while(|condition| condition.is_place()).count();
        Ok(Self { rule, canonical, digest, conditions, places })
    }

    /// What it compares, in the order of comparing.
    pub(super) fn conditions(&self) -> &[Condition] {
        &self.conditions
    }

    /// How many of the conditions say where the job runs.
    pub(super) const fn places(&self) -> usize {
        self.places
    }

    /// Anyone who may open a merge request starts its pipeline, so a rule must say that it means those too.
    pub(super) fn takes_no_merge_request(&self) -> bool {
        self.rule.allow().is_some() && !self.rule.matches.contains_key("pipeline_source")
    }

    /// The canonical form.
    #[must_use]
    pub fn canonical(&self) -> &[u8] {
        &self.canonical
    }

    /// SHA-256 of the canonical form.
    #[must_use]
    pub const fn digest(&self) -> Digest {
        self.digest
    }
}

impl Deref for SealedRule {
    type Target = Rule;

    fn deref(&self) -> &Rule {
        &self.rule
    }
}

/// The rules in force, in the order in which they are asked: deny rules first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rules {
    in_order: Vec<Arc<SealedRule>>,
    /// Those that are for one project alone, by its id; positions in `in_order`, ascending.
    of_project: HashMap<String, Vec<usize>>,
    /// All others.
    elsewhere: Vec<usize>,
    steps: Steps,
    digest: Digest,
}

impl Rules {
    /// Takes compiled rules in the order of their files.
    ///
    /// # Errors
    /// A rule without canonical form, which no compiled rule is.
    pub fn from_rules(rules: Vec<Rule>) -> Result<Self, CanonicalError> {
        let (deny, allow): (Vec<_>, Vec<_>) =
            rules.into_iter().partition(|rule| matches!(rule.effect, Effect::Deny(_)));
        let rules = deny.into_iter().chain(allow).map(|rule| SealedRule::new(rule).map(Arc::new));
        let rules = rules.collect::<Result<Vec<_>, _>>()?;
        let digests: Vec<_> = rules.iter().map(|rule| rule.digest()).collect();
        let digest = canonical::digest(&digests)?;
        let (mut of_project, mut elsewhere) = (HashMap::<_, Vec<_>>::new(), Vec::new());
        for (at, rule) in rules.iter().enumerate() {
            match rule.matches.get("job_project_id").filter(|pattern| pattern.is_exact()) {
                Some(project) => of_project.entry(project.as_str().to_owned()).or_default().push(at),
                None => elsewhere.push(at),
            }
        }
        let steps = Steps::of(&rules);
        Ok(Self { in_order: rules, of_project, elsewhere, steps, digest })
    }

    /// What they compare.
    pub(super) const fn steps(&self) -> &Steps {
        &self.steps
    }

    /// The rules that can fit a job, in the order asked, with their positions: all but those that are for another project
    /// alone.
    pub(super) fn candidates(&self, job: &Job) -> impl Iterator<Item = (usize, &Arc<SealedRule>)> {
        let own = self.of_project.get(job.job_project_id()).map(Vec::as_slice).unwrap_or_default();
        let (mut own, mut others) = (own.iter().peekable(), self.elsewhere.iter().peekable());
        std::iter::from_fn(move || match (own.peek(), others.peek()) {
            (Some(one), Some(other)) if one < other => own.next(),
            (_, Some(_)) => others.next(),
            (_, None) => own.next(),
        })
        .filter_map(|at| Some((*at, self.in_order.get(*at)?)))
    }

    /// Every rule, in the order asked.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &Arc<SealedRule>> {
        self.in_order.iter()
    }

    /// How many.
    #[must_use]
    pub fn len(&self) -> usize {
        self.in_order.len()
    }

    /// There is none, so every job is refused.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.in_order.is_empty()
    }

    /// SHA-256 over the canonical list of the rules' digests, in the order asked.
    #[must_use]
    pub const fn digest(&self) -> Digest {
        self.digest
    }

    /// The rule of that name.
    #[must_use]
    pub fn by_name(&self, name: &RuleName) -> Option<&Arc<SealedRule>> {
        self.in_order.iter().find(|rule| rule.name == *name)
    }

    /// Every group that a rule names.
    #[must_use]
    pub fn groups(&self) -> BTreeSet<GroupName> {
        let terms = self.in_order.iter().filter_map(|rule| match &rule.allow()?.require {
            Require::Approval(terms) => Some(terms),
            Require::None => None,
        });
        terms.flat_map(|terms| terms.of.iter().cloned()).collect()
    }
}

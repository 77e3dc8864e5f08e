//! The rules in force: compiled, ordered, never changed.
//! In: compiled rules in the order of their files. Out: deny rules first, and one digest over all.
//! Implements DESIGN §4.
//! Never holds a rule whose canonical form cannot be hashed.

use std::collections::BTreeSet;
use std::ops::Deref;
use std::sync::Arc;

use super::{Effect, Require, Rule};
use crate::domain::canonical::{self, CanonicalError};
use crate::domain::ids::{Digest, GroupName, RuleName};

/// A rule with its canonical form and the digest of it, which are made once: it never changes again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SealedRule {
    rule: Rule,
    canonical: Vec<u8>,
    digest: Digest,
}

impl SealedRule {
    /// Seals a rule.
    ///
    /// # Errors
    /// A rule without canonical form, which no compiled rule is.
    pub fn new(rule: Rule) -> Result<Self, CanonicalError> {
        let canonical = canonical::to_bytes(&rule)?;
        let digest = Digest::of(&canonical);
        Ok(Self { rule, canonical, digest })
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
    rules: Vec<Arc<SealedRule>>,
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
        Ok(Self { rules, digest })
    }

    /// Every rule, in the order asked.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &Arc<SealedRule>> {
        self.rules.iter()
    }

    /// How many.
    #[must_use]
    pub fn len(&self) -> usize {
        self.rules.len()
    }

    /// There is none, so every job is refused.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.rules.is_empty()
    }

    /// SHA-256 over the canonical list of the rules' digests, in the order asked.
    #[must_use]
    pub const fn digest(&self) -> Digest {
        self.digest
    }

    /// The rule of that name.
    #[must_use]
    pub fn by_name(&self, name: &RuleName) -> Option<&Arc<SealedRule>> {
        self.rules.iter().find(|rule| rule.name == *name)
    }

    /// Every group that a rule names.
    #[must_use]
    pub fn groups(&self) -> BTreeSet<GroupName> {
        let terms = self.rules.iter().filter_map(|rule| match &rule.allow()?.require {
            Require::Approval(terms) => Some(terms),
            Require::None => None,
        });
        terms.flat_map(|terms| terms.of.iter().cloned()).collect()
    }
}

//! Scopes: what a client asks to be told and allowed, and the claims that OpenID Connect ties to them.
//! In: the `scope` parameter, names of claims. Out: `Scopes`, or what is wrong with them.
//! Implements RFC 6749 §3.3, OpenID Connect Core 1.0 §5.4, §5.5, §11.
//! Never widens: a scope that was not asked for or not allowed is never added.

use std::collections::BTreeSet;
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::domain::assurance::Acr;

/// Longest scope, in bytes.
pub const MAX_SCOPE_BYTES: usize = 64;
/// Most scopes of a client, or of a request.
pub const MAX_SCOPES: usize = 32;

/// One scope: an RFC 6749 §3.3 `scope-token`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Scope(String);

/// This is OpenID Connect: an ID token is wanted.
pub const OPENID: &str = "openid";
/// The person's name.
pub const PROFILE: &str = "profile";
/// The person's e-mail address.
pub const EMAIL: &str = "email";
/// The groups that the person is in.
pub const GROUPS: &str = "groups";
/// A refresh token that outlives the session (OpenID Connect Core 1.0 §11).
pub const OFFLINE_ACCESS: &str = "offline_access";

/// The scopes that mean something to us; every other is the business of a resource server.
pub const KNOWN: [&str; 5] = [OPENID, PROFILE, EMAIL, GROUPS, OFFLINE_ACCESS];

/// Text that is no scope.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ScopeError {
    /// Something that RFC 6749 §3.3 does not allow, or too long.
    #[error("`{0}` is no scope (1 to {MAX_SCOPE_BYTES} printable ASCII characters without space, quote and backslash)")]
    Malformed(String),
    /// Too many.
    #[error("more than {MAX_SCOPES} scopes")]
    TooMany,
}

impl Scope {
    /// Checks the form.
    ///
    /// # Errors
    /// `ScopeError::Malformed`.
    pub fn parse(text: &str) -> Result<Self, ScopeError> {
        let fits = (1..=MAX_SCOPE_BYTES).contains(&text.len())
            && text.bytes().all(|b| b.is_ascii_graphic() && b != b'"' && b != b'\\');
        if fits { Ok(Self(text.to_owned())) } else { Err(ScopeError::Malformed(text.chars().take(100).collect())) }
    }

    /// The scope as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for Scope {
    type Error = ScopeError;
    fn try_from(text: String) -> Result<Self, ScopeError> {
        Self::parse(&text)
    }
}

impl From<Scope> for String {
    fn from(scope: Scope) -> Self {
        scope.0
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Scopes, each once; written as one string, parted by spaces, in order.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Scopes(BTreeSet<Scope>);

impl Scopes {
    /// Reads the `scope` parameter; the order and repetitions mean nothing.
    ///
    /// # Errors
    /// `ScopeError` for the first that is no scope, or too many.
    pub fn parse(text: &str) -> Result<Self, ScopeError> {
        let mut scopes = BTreeSet::new();
        for part in text.split(' ').filter(|part| !part.is_empty()) {
            scopes.insert(Scope::parse(part)?);
            if scopes.len() > MAX_SCOPES {
                return Err(ScopeError::TooMany);
            }
        }
        Ok(Self(scopes))
    }

    /// `openid` alone: a person signs in, and nothing more is told of them.
    #[must_use]
    pub fn openid() -> Self {
        Self(BTreeSet::from([Scope(OPENID.to_owned())]))
    }

    /// Whether a scope is among them.
    #[must_use]
    pub fn has(&self, scope: &str) -> bool {
        self.0.iter().any(|one| one.as_str() == scope)
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether all of these are among the others.
    #[must_use]
    pub fn within(&self, others: &Self) -> bool {
        self.0.is_subset(&others.0)
    }

    /// Those that are among the others too.
    #[must_use]
    pub fn common(&self, others: &Self) -> Self {
        Self(self.0.intersection(&others.0).cloned().collect())
    }

    /// Those that are not among the others.
    #[must_use]
    pub fn beyond(&self, others: &Self) -> Self {
        Self(self.0.difference(&others.0).cloned().collect())
    }

    /// These and the others.
    #[must_use]
    pub fn and(&self, others: &Self) -> Self {
        Self(self.0.union(&others.0).cloned().collect())
    }

    /// Without one of them.
    #[must_use]
    pub fn without(&self, scope: &str) -> Self {
        Self(self.0.iter().filter(|one| one.as_str() != scope).cloned().collect())
    }

    /// Each, in order.
    pub fn iter(&self) -> impl Iterator<Item = &Scope> {
        self.0.iter()
    }
}

impl FromIterator<Scope> for Scopes {
    fn from_iter<I: IntoIterator<Item = Scope>>(scopes: I) -> Self {
        Self(scopes.into_iter().collect())
    }
}

impl TryFrom<String> for Scopes {
    type Error = ScopeError;
    fn try_from(text: String) -> Result<Self, ScopeError> {
        Self::parse(&text)
    }
}

impl From<Scopes> for String {
    fn from(scopes: Scopes) -> Self {
        scopes.to_string()
    }
}

impl fmt::Display for Scopes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, scope) in self.0.iter().enumerate() {
            if at > 0 {
                f.write_str(" ")?;
            }
            f.write_str(scope.as_str())?;
        }
        Ok(())
    }
}

/// The names of claims that a request wants beside those of its scopes, by where (OpenID Connect Core 1.0 §5.5).
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WantedClaims {
    /// In the ID token.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub id_token: BTreeSet<String>,
    /// From the userinfo endpoint.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub userinfo: BTreeSet<String>,
    /// Where nothing but certain levels will do, the highest of them: the ID token names no other (§5.5.1.1).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub acr_most: Option<Acr>,
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn scopes_read_in_any_order_and_write_in_one() {
        let scopes = Scopes::parse("  profile openid profile ").unwrap();
        assert_eq!(scopes.to_string(), "openid profile");
        assert!(scopes.has(OPENID) && !scopes.has("open"));
        assert!(Scopes::parse("").unwrap().is_empty());
        let more = Scopes::parse("openid groups").unwrap();
        assert_eq!(scopes.common(&more).to_string(), "openid");
        assert_eq!(more.beyond(&scopes).to_string(), "groups");
        assert_eq!(more.and(&scopes).to_string(), "groups openid profile");
        assert_eq!(more.without(OPENID).to_string(), "groups");
        assert!(scopes.common(&more).within(&scopes) && !more.within(&scopes));
    }

    #[test]
    fn what_rfc_6749_does_not_allow_is_no_scope() {
        for text in ["a\"b", "a\\b", "a\tb", "é", &"a".repeat(MAX_SCOPE_BYTES + 1)] {
            assert!(matches!(Scopes::parse(text), Err(ScopeError::Malformed(_))), "{text}");
        }
        assert!(Scopes::parse(&"a".repeat(MAX_SCOPE_BYTES)).is_ok());
        let many = |count: usize| (0..count).map(|n| format!("s{n} ")).collect::<Vec<_>>().concat();
        assert!(Scopes::parse(&many(MAX_SCOPES)).is_ok());
        assert_eq!(Scopes::parse(&many(MAX_SCOPES + 1)), Err(ScopeError::TooMany));
    }

    proptest! {
        #[test]
        fn what_is_written_reads_back(text in "[!#-\\[\\]-~ ]{0,100}") {
            if let Ok(scopes) = Scopes::parse(&text) {
                prop_assert_eq!(Scopes::parse(&scopes.to_string()), Ok(scopes.clone()));
                prop_assert!(scopes.within(&scopes) && scopes.beyond(&scopes).is_empty());
            }
        }
    }
}

//! The claims of tokens about people and of clients: what a grant and its scopes give, and nothing else.
//! In: who signed in and how, for whom, what was allowed. Out: claims of ID tokens, access tokens and userinfo.
//! Implements OpenID Connect Core 1.0 §2, §3.1.3.6, §5.1, §5.3, RFC 9068 §2.2, RFC 9449 §6.1, DESIGN §6 (never over-claim).
//! Never tells a client what neither its scopes nor its request gave it.

use std::collections::BTreeSet;

use data_encoding::BASE64URL_NOPAD;
use serde_json::{Map, Value, json};

use super::client::{CLIENT_PREFIX, Client};
use super::scope::{EMAIL, GROUPS, PROFILE, Scopes, WantedClaims};
use crate::domain::assurance::Assurance;
use crate::domain::ids::{Audience, Digest, GroupName, Kid, PersonId, SessionId};
use crate::domain::people::email::Email;
use crate::domain::time::{ID_TOKEN, Timestamp};

/// Every claim that tokens and userinfo may carry, as metadata lists them.
pub const CLAIMS: &[&str] = &[
    "iss",
    "sub",
    "aud",
    "exp",
    "iat",
    "jti",
    "auth_time",
    "nonce",
    "acr",
    "amr",
    "amr_missing",
    "sid",
    "at_hash",
    "name",
    "preferred_username",
    "email",
    "groups",
    "log",
];

/// Claims about a person, and the scope that gives each.
const OF_SCOPES: &[(&str, &str)] =
    &[("name", PROFILE), ("preferred_username", PROFILE), ("email", EMAIL), ("groups", GROUPS)];

/// The scope that gives a claim about a person.
#[must_use]
pub fn scope_of(claim: &str) -> Option<&'static str> {
    OF_SCOPES.iter().find(|(name, _)| *name == claim).map(|(_, scope)| *scope)
}

/// A person, as tokens tell of them.
#[derive(Debug, Clone)]
pub struct Subject<'a> {
    /// Who.
    pub person: &'a PersonId,
    /// What people call them.
    pub name: &'a str,
    /// What admins say is their e-mail address; nobody verified it, so `email_verified` is never said.
    pub email: Option<&'a Email>,
    /// Where they are in.
    pub groups: &'a BTreeSet<GroupName>,
    /// What their sign-in proved, by today's knowledge.
    pub assurance: &'a Assurance,
    /// What ties it to the session in which they signed in.
    pub sid: &'a SessionId,
}

/// What a token is made of, beside whom it tells of.
#[derive(Debug, Clone)]
pub struct Terms<'a> {
    /// Our issuer URL.
    pub issuer: &'a str,
    /// For whom.
    pub client: &'a Client,
    /// What was allowed, as far as this token goes.
    pub scopes: &'a Scopes,
    /// The log's time.
    pub now: Timestamp,
}

impl Terms<'_> {
    /// Claims about a person that the scopes or the request give; what the client may not ask for, no request gives.
    fn about(&self, subject: &Subject<'_>, wanted: &BTreeSet<String>) -> Map<String, Value> {
        let mut claims = Map::new();
        for (name, scope) in OF_SCOPES {
            let given = self.scopes.has(scope) || (wanted.contains(*name) && self.client.scopes.has(scope));
            if given {
                let value = match *name {
                    "email" => match subject.email {
                        Some(email) => json!(email),
                        None => continue,
                    },
                    "groups" => json!(subject.groups),
                    _ => json!(subject.name),
                };
                claims.insert((*name).to_owned(), value);
            }
        }
        claims
    }

    /// The claims of an ID token, without `at_hash` and `log`: these follow from what is signed and logged.
    #[must_use]
    pub fn id_token(
        &self,
        subject: &Subject<'_>,
        jti: &str,
        nonce: Option<&str>,
        wanted: &WantedClaims,
    ) -> Map<String, Value> {
        let mut claims = self.about(subject, &wanted.id_token);
        let iat = self.now.seconds();
        put(&mut claims, "iss", json!(self.issuer));
        put(&mut claims, "sub", json!(subject.person));
        put(&mut claims, "aud", json!(self.client.id));
        put(&mut claims, "iat", json!(iat));
        put(&mut claims, "exp", json!((self.now + ID_TOKEN).seconds()));
        put(&mut claims, "jti", json!(jti));
        if let Some(nonce) = nonce {
            put(&mut claims, "nonce", json!(nonce));
        }
        put_sign_in(&mut claims, subject);
        if let Some(most) = wanted.acr_most {
            // A client compares exactly, and a higher level holds the lower.
            put(&mut claims, "acr", json!(subject.assurance.acr.min(most)));
        }
        if !subject.assurance.amr_missing.is_empty() {
            put(&mut claims, "amr_missing", json!(subject.assurance.amr_missing));
        }
        claims
    }

    /// The claims of an access token of a person.
    #[must_use]
    pub fn access_token(
        &self,
        subject: &Subject<'_>,
        jti: &str,
        audience: &Audience,
        jkt: Option<&Kid>,
    ) -> Map<String, Value> {
        let mut claims = self.access(subject.person.as_str(), jti, audience, jkt);
        put_sign_in(&mut claims, subject);
        if self.scopes.has(GROUPS) {
            put(&mut claims, "groups", json!(subject.groups));
        }
        claims
    }

    /// The claims of a client's own access token.
    #[must_use]
    pub fn own_access_token(&self, jti: &str, audience: &Audience, jkt: Option<&Kid>) -> Map<String, Value> {
        self.access(&format!("{CLIENT_PREFIX}:{}", self.client.id), jti, audience, jkt)
    }

    fn access(&self, sub: &str, jti: &str, audience: &Audience, jkt: Option<&Kid>) -> Map<String, Value> {
        let mut claims = Map::new();
        put(&mut claims, "iss", json!(self.issuer));
        put(&mut claims, "sub", json!(sub));
        put(&mut claims, "aud", json!(audience));
        put(&mut claims, "client_id", json!(self.client.id));
        put(&mut claims, "iat", json!(self.now.seconds()));
        put(&mut claims, "exp", json!((self.now + self.client.lifetimes.access_token).seconds()));
        put(&mut claims, "jti", json!(jti));
        if !self.scopes.is_empty() {
            put(&mut claims, "scope", json!(self.scopes));
        }
        if let Some(jkt) = jkt {
            put(&mut claims, "cnf", json!({ "jkt": jkt }));
        }
        claims
    }

    /// What the userinfo endpoint answers.
    #[must_use]
    pub fn userinfo(&self, subject: &Subject<'_>, wanted: &WantedClaims) -> Map<String, Value> {
        let mut claims = self.about(subject, &wanted.userinfo);
        put(&mut claims, "sub", json!(subject.person));
        claims
    }
}

fn put(claims: &mut Map<String, Value>, name: &str, value: Value) {
    claims.insert(name.to_owned(), value);
}

/// How and when the person signed in: the level that was reached, which is what tools ask for.
fn put_sign_in(claims: &mut Map<String, Value>, subject: &Subject<'_>) {
    let Subject { assurance, sid, .. } = subject;
    put(claims, "auth_time", json!(assurance.auth_time.seconds()));
    put(claims, "acr", json!(assurance.acr));
    put(claims, "amr", json!(assurance.amr));
    put(claims, "sid", json!(sid));
}

/// `at_hash` (OpenID Connect Core 1.0 §3.1.3.6): the left half of the access token's SHA-256, for RS256 and ES256.
#[must_use]
pub fn at_hash(access_token: &str) -> String {
    let digest = Digest::of(access_token.as_bytes());
    BASE64URL_NOPAD.encode(digest.as_bytes().split_at(16).0)
}

#[cfg(test)]
mod tests;

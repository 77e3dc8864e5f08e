//! Uses an access token: at our own userinfo endpoint, and for whoever asks about it.
//! In: a token's text, the key that was proven. Out: what it says and the grant that it came of, judged now.
//! Implements RFC 9068 §4, RFC 6750 §2.1, RFC 9449 §7.1, OpenID Connect Core 1.0 §5.3.
//! Never believes a signature alone: a token that was given back, or whose grant is over, is none.

use serde_json::{Map, Value};

use crate::domain::ids::{Audience, ClientId, Kid};
use crate::domain::oauth::error_code::ErrorCode;
use crate::domain::oauth::scope::{OPENID, Scopes};
use crate::domain::oauth::tokens::Terms;
use crate::domain::time::Timestamp;
use crate::store::Reader;

use super::judge_grant::{By, Holding, judge};
use super::own_tokens::ACCESS_TYPE;
use super::possession::Proven;
use super::use_session::log_time;
use super::{AppError, Countersign};

/// An access token that counts.
#[derive(Debug, Clone)]
pub struct Accepted {
    /// Its claims.
    pub claims: Map<String, Value>,
    /// Its `jti`.
    pub jti: String,
    /// For whom it was issued.
    pub client: ClientId,
    /// For which resource server.
    pub audience: Audience,
    /// What was allowed.
    pub scopes: Scopes,
    /// The key to which it is bound.
    pub jkt: Option<Kid>,
    /// The grant that it came of; a client's own token has none.
    pub holding: Option<Holding>,
}

fn invalid(what: &str) -> AppError {
    AppError::refused(ErrorCode::AccessTokenInvalid, what)
}

impl Countersign {
    /// What an access token says, if it counts now.
    pub(super) fn accept(&self, token: &str) -> Result<Accepted, AppError> {
        let wall = self.steady_now()?;
        // RFC 9068 §4: another kind of token is none, whoever signed it.
        let claims = self.own_claims(token, ACCESS_TYPE);
        let claims = claims.ok_or_else(|| invalid("this is no access token of this server"))?;
        let text = |name: &str| claims.get(name).and_then(Value::as_str);
        let malformed = || AppError::internal("an access token of ours lacks a claim");
        let jti = text("jti").ok_or_else(malformed)?.to_owned();
        let client = text("client_id").and_then(|id| ClientId::parse(id).ok()).ok_or_else(malformed)?;
        let audience = text("aud").and_then(|aud| Audience::parse(aud).ok()).ok_or_else(malformed)?;
        let scopes = Scopes::parse(text("scope").unwrap_or_default()).map_err(|_| malformed())?;
        let jkt = claims.get("cnf").and_then(|cnf| cnf.get("jkt")).and_then(Value::as_str);
        let jkt = jkt.map(|jkt| Kid::parse(jkt).map_err(|_| malformed())).transpose()?;
        let exp = claims.get("exp").and_then(Value::as_i64).map(Timestamp::from_seconds).ok_or_else(malformed)?;
        let holding = self.store.read(|reader| -> Result<_, AppError> {
            let now = log_time(reader, wall)?;
            if now >= exp {
                return Err(invalid("the access token has expired"));
            }
            self.holding_of(reader, &jti, &client, now)
        })?;
        Ok(Accepted { claims, jti, client, audience, scopes, jkt, holding })
    }

    fn holding_of(
        &self,
        reader: &Reader<'_>,
        jti: &str,
        client: &ClientId,
        now: Timestamp,
    ) -> Result<Option<Holding>, AppError> {
        let row = reader.access_token(jti)?.ok_or_else(|| invalid("the access token was given back, or has ended"))?;
        let client = self.clients.find(client).ok_or_else(|| invalid("its client is not known any more"))?;
        let Some(entry) = row.grant else { return Ok(None) };
        let grant = reader.grant(entry)?.ok_or_else(|| invalid("the access token has ended"))?;
        let trusted = self.trusted();
        let by = By { client: &client, limits: self.settings.sessions, trusted: &trusted, now };
        match judge(reader, grant, by) {
            Ok(holding) => Ok(Some(holding)),
            // A resource server's answer is another code than the token endpoint's, and tells no more.
            Err(AppError::Refused { refusal, .. }) => Err(invalid(&refusal.description)),
            Err(fault) => Err(fault),
        }
    }

    /// What the userinfo endpoint answers to an access token of a person, with the proof of a key that is used by this.
    pub fn userinfo(&self, token: &str, proven: Option<&Proven>) -> Result<Map<String, Value>, AppError> {
        let accepted = self.accept(token)?;
        if accepted.jkt.as_ref() != proven.map(|proven| &proven.jkt) {
            let what = if accepted.jkt.is_some() {
                "the access token is bound to a key that was not proven"
            } else {
                "the access token is bound to no key, and comes with a proof of one"
            };
            return Err(invalid(what));
        }
        if accepted.audience.as_str() != self.settings.url {
            return Err(invalid("the access token is for another resource server"));
        }
        let holding = accepted.holding.ok_or_else(|| invalid("the access token is about nobody"))?;
        if !accepted.scopes.has(OPENID) {
            return Err(AppError::refused(ErrorCode::ScopeInsufficient, "the access token has no scope `openid`"));
        }
        let client = self.clients.find(&accepted.client).ok_or_else(|| invalid("its client is not known any more"))?;
        let now = self.clock.now();
        if let Some(proven) = proven {
            self.possession.spend(proven, &accepted.client, now)?;
        }
        let terms = Terms { issuer: &self.settings.url, client: &client, scopes: &accepted.scopes, now };
        Ok(terms.userinfo(&holding.subject(), &holding.grant.claims))
    }
}

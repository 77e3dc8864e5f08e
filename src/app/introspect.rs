//! Answers a client that asks about a token: its own, or one that is meant for it.
//! In: an authenticated client, a token's text. Out: what the token says if it counts now; else that it does not, and no more.
//! Implements RFC 7662 §2, RFC 9449 §6.2.
//! Never tells one client about another's tokens.

use serde_json::{Map, Value, json};

use crate::domain::oauth::client::Client;
use crate::domain::oauth::token_form::RefreshToken;

use super::judge_grant::{By, judge};
use super::use_session::log_time;
use super::{AppError, Countersign};

/// What access tokens say that whoever asks may know, beside `active` and `token_type`.
const TOLD: [&str; 13] =
    ["iss", "sub", "aud", "client_id", "scope", "iat", "exp", "jti", "auth_time", "acr", "amr", "groups", "cnf"];

fn inactive() -> Map<String, Value> {
    Map::from_iter([("active".to_owned(), json!(false))])
}

impl Countersign {
    /// What a client may know of a token.
    pub fn introspect(&self, client: &Client, token: &str) -> Result<Map<String, Value>, AppError> {
        let told = match RefreshToken::parse(token) {
            Some(refresh) => self.introspect_refresh(client, &refresh),
            None => self.introspect_access(client, token),
        };
        match told {
            Ok(Some(told)) => Ok(told),
            // Whoever asks learns that it does not count, and not why.
            Ok(None) | Err(AppError::Refused { .. }) => Ok(inactive()),
            Err(fault) => Err(fault),
        }
    }

    fn introspect_access(&self, client: &Client, token: &str) -> Result<Option<Map<String, Value>>, AppError> {
        let accepted = self.accept(token)?;
        if accepted.client != client.id && !client.serves.contains(&accepted.audience) {
            return Ok(None);
        }
        let mut told: Map<String, Value> =
            accepted.claims.into_iter().filter(|(name, _)| TOLD.contains(&name.as_str())).collect();
        told.insert("active".to_owned(), json!(true));
        told.insert("token_type".to_owned(), json!(if accepted.jkt.is_some() { "DPoP" } else { "Bearer" }));
        Ok(Some(told))
    }

    fn introspect_refresh(
        &self,
        client: &Client,
        token: &RefreshToken,
    ) -> Result<Option<Map<String, Value>>, AppError> {
        let (wall, trusted) = (self.steady_now()?, self.trusted());
        self.store.read(|reader| {
            let Some(row) = reader.refresh_token(&token.family_digest())? else { return Ok(None) };
            let Some(grant) = reader.grant(row.grant)?.filter(|grant| grant.client == client.id) else {
                return Ok(None);
            };
            let now = log_time(reader, wall)?;
            let rests = client.lifetimes.rest(grant.offline);
            let ends = grant.ends.min(row.issued + rests);
            if row.token_sha256 != token.digest() || now > ends {
                return Ok(None);
            }
            let by = By { client, limits: self.settings.sessions, trusted: &trusted, now };
            let holding = judge(reader, grant, by)?;
            let told = json!({
                "active": true, "iss": self.settings.url, "sub": holding.person.id, "client_id": client.id,
                "scope": holding.grant.scopes, "exp": ends.seconds(),
            });
            Ok(told.as_object().cloned())
        })
    }
}

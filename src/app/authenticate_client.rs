//! Authenticates a client: who calls is who they say they are.
//! In: what a call claims. Out: the client, or one refusal for whoever is unknown, wrong, or comes another way.
//! Implements RFC 6749 §2.3, RFC 7523 §3, ATTACKS 69.
//! Never tells whether a client exists, and never takes an assertion twice.

use std::sync::Arc;

use crate::crypto::client_keys::{ClientKeys, is_secret};
use crate::crypto::jwt::UnverifiedToken;
use crate::domain::ids::{ClientId, Digest};
use crate::domain::oauth::client::{Client, ClientAuth};
use crate::domain::oauth::client_auth::{AssertionTerms, Claimed, ClientSecret, judge_assertion};
use crate::domain::oauth::error_code::ErrorCode;
use crate::domain::oauth::exchange::SubjectToken;

use super::{AppError, Countersign};

fn unknown() -> AppError {
    AppError::refused(ErrorCode::ClientUnknown, "the client is unknown, or did not prove who it is")
}

fn invalid_assertion(why: impl std::fmt::Display) -> AppError {
    AppError::refused(ErrorCode::ClientAssertionInvalid, format!("the client's assertion does not count: {why}"))
}

impl Countersign {
    /// The client that a call is from.
    pub async fn authenticate_client(&self, claimed: Claimed) -> Result<Arc<Client>, AppError> {
        match claimed {
            Claimed::Id(id) => self.by_id(&id).filter(|client| client.is_public()).ok_or_else(unknown),
            Claimed::Basic(id, secret) => self.by_secret(&id, &secret, |auth| match auth {
                ClientAuth::Basic(known) => known,
                _ => &[],
            }),
            Claimed::Post(id, secret) => self.by_secret(&id, &secret, |auth| match auth {
                ClientAuth::Post(known) => known,
                _ => &[],
            }),
            Claimed::Assertion(id, token) => self.by_assertion(id.as_deref(), &token).await,
        }
    }

    fn by_id(&self, id: &str) -> Option<Arc<Client>> {
        self.clients.find(&ClientId::parse(id).ok()?)
    }

    /// An unknown client costs what a wrong secret costs: the same digest, the same comparison.
    fn by_secret(
        &self,
        id: &str,
        secret: &ClientSecret,
        known: impl Fn(&ClientAuth) -> &[Digest],
    ) -> Result<Arc<Client>, AppError> {
        let client = self.by_id(id);
        let known = client.as_ref().map(|client| known(&client.auth)).unwrap_or_default();
        if is_secret(&secret.digest(), known) { client.ok_or_else(unknown) } else { Err(unknown()) }
    }

    async fn by_assertion(&self, id: Option<&str>, token: &SubjectToken) -> Result<Arc<Client>, AppError> {
        let unverified = UnverifiedToken::parse(token.expose()).map_err(invalid_assertion)?;
        // Of the unverified text it goes by `iss` and nothing else.
        let named = unverified.unverified_issuer().map(str::to_owned);
        if id.is_some() && id != named.as_deref() {
            return Err(invalid_assertion("`client_id` is another one than its `iss`"));
        }
        // Until a signature proves that a client of this id calls, every fault is the same: nobody learns who is a client,
        // nor how one proves who it is, nor which keys it has.
        let unproven = || invalid_assertion("no key of a client of that id signed it, by an algorithm of that key");
        let client = named.and_then(|named| self.by_id(&named)).ok_or_else(unproven)?;
        let ClientAuth::PrivateKeyJwt(jwks) = &client.auth else { return Err(unproven()) };
        let verified = ClientKeys::parse(jwks)?.verify(unverified).map_err(|_| unproven())?;
        let now = self.steady_now()?;
        let resumed = self.store.read(|reader| reader.resumed())?;
        let terms = AssertionTerms { client: &client.id, issuer: &self.settings.url, resumed, now };
        let spent = judge_assertion(&verified.get().claims, terms).map_err(invalid_assertion)?;
        let id = client.id.clone();
        let first = self.store.write(move |unit| unit.spend_assertion(&id, &spent.jti_sha256, spent.ends)).await?;
        if first { Ok(client) } else { Err(invalid_assertion("it was used before")) }
    }
}

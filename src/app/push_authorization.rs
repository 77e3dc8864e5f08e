//! Takes requests that clients push themselves, and hands each one out once.
//! In: an authenticated client and its parameters; later its browser's `request_uri`. Out: a `request_uri`; the request.
//! Implements RFC 9126 §2.1, §2.2 and §4, RFC 9449 §10.1.
//! Never hands a request to another client, nor twice, nor late.

use std::sync::Arc;

use crate::crypto::random;
use crate::domain::ids::{ClientId, Digest, Kid};
use crate::domain::network::Network;
use crate::domain::oauth::authorize::AuthorizationRequest;
use crate::domain::oauth::authorize::parameters::Parameters;
use crate::domain::oauth::authorize::table::{Endpoint, examine};
use crate::domain::oauth::client::Client;
use crate::domain::oauth::error_code::ErrorCode;
use crate::domain::time::PUSHED;
use crate::store::shares::Payer;

use super::keep_authorization::{Coming, keep, read};
use super::possession::Proven;
use super::use_session::log_time;
use super::{AppError, Countersign};

/// How a `request_uri` of ours begins (RFC 9126 §2.2).
pub const REQUEST_URI: &str = "urn:ietf:params:oauth:request_uri:";

/// RFC 9449 §10.1: a proof says which key must redeem the code, as `dpop_jkt` does; the two must say the same.
fn bind(request: &mut AuthorizationRequest, proven: &Kid) -> Result<(), AppError> {
    if request.dpop_jkt.as_ref().is_some_and(|said| said != proven) {
        let text = "`dpop_jkt` is not the thumbprint of the key that the `DPoP` header proves";
        return Err(
            AppError::refused(ErrorCode::ParameterInvalid, text).with_hint("send one of the two, or the same key")
        );
    }
    request.dpop_jkt = Some(proven.clone());
    Ok(())
}

impl Countersign {
    /// Keeps what a client pushed; its `request_uri`.
    pub async fn push_authorization(
        &self,
        client: &Arc<Client>,
        said: &Parameters,
        (proven, from): (Option<Proven>, Network),
    ) -> Result<String, AppError> {
        self.steady_now()?;
        let clients = self.clients.all();
        let asked = self.asked(said, Some(&client.id), &clients);
        let mut request = examine(&asked, Endpoint::Par).map_err(|fault| AppError::from(fault.refusal().clone()))?;
        if let Some(proven) = &proven {
            bind(&mut request, &proven.jkt)?;
        }
        let id = random::text::<32>()?;
        let id_sha256 = Digest::of(id.as_bytes());
        let payer = Payer::of(client, from);
        // What strangers push takes no room in the memory: pushed again, a proof only binds another request to its own key.
        let spent = proven.filter(|_| payer == Payer::Client);
        let coming = Coming { id_sha256, pushed: true, lives: PUSHED };
        let possession = Arc::clone(&self.possession);
        let kept = self.store.write_new(move |unit| {
            let client = request.client.clone();
            keep(unit, &coming, request, payer)?;
            spent.map_or(Ok(()), |proven| possession.spend(&proven, &client, unit.now()))
        });
        kept.await?;
        Ok(format!("{REQUEST_URI}{id}"))
    }

    /// The request that a browser's `request_uri` names, and whether its client proved who it is; nothing where it
    /// names none of ours.
    pub(super) async fn pushed(&self, said: &Parameters) -> Result<Option<(AuthorizationRequest, bool)>, AppError> {
        let Some(id) = said.get("request_uri").and_then(|uri| uri.strip_prefix(REQUEST_URI)) else { return Ok(None) };
        // Whose it was, is not told: another client's, a used one and one that never was are the same to whoever asks.
        let unknown = || {
            AppError::refused(
                ErrorCode::RequestUriUnknown,
                "`request_uri` was used before, is over, or is another client's",
            )
        };
        let client = said.get("client_id").and_then(|id| ClientId::parse(id).ok()).ok_or_else(unknown)?;
        let id = Digest::of(id.as_bytes());
        let wall = self.steady_now()?;
        let waits = self.store.read(|reader| -> Result<bool, AppError> {
            let now = log_time(reader, wall)?;
            let row = reader.authorization_request(&id)?;
            Ok(row.is_some_and(|row| row.pushed && row.client == client && row.taken.is_none() && now <= row.ends))
        });
        if !waits? {
            return Err(unknown());
        }
        let taken = self.store.write(move |unit| -> Result<_, AppError> {
            let now = unit.now();
            let row = unit.take_authorization_request(&id)?;
            Ok(row.filter(|row| row.taken.is_none() && now <= row.ends))
        });
        let row = taken.await?.ok_or_else(unknown)?;
        Ok(Some((read(&row)?.request, row.proven)))
    }
}

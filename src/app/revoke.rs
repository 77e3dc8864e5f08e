//! Takes a token back that its client does not need any more.
//! In: an authenticated client, a token's text. Out: nothing; whether there was such a token is not told.
//! Implements RFC 7009 §2.
//! Never ends what is another client's.

use crate::domain::ids::{ClientId, Digest};
use crate::domain::log::entry::{Event, GrantFields};
use crate::domain::oauth::client::Client;
use crate::domain::oauth::grant::{GrantEnd, IssuedToken, TokenKind};
use crate::domain::oauth::token_form::RefreshToken;
use crate::domain::time::Timestamp;
use crate::store::{StoreError, Unit};

use super::grants::end;
use super::{AppError, Countersign};

impl Countersign {
    /// Ends the grant of a refresh token, or one access token alone.
    pub async fn revoke(&self, client: &Client, token: &str) -> Result<(), AppError> {
        self.steady_now()?;
        let id = client.id.clone();
        if let Some(refresh) = RefreshToken::parse(token) {
            let family = refresh.family_digest();
            if self.store.read(|reader| reader.refresh_token(&family))?.is_none() {
                return Ok(());
            }
            return Ok(self.store.write(move |unit| end_family(unit, &id, &family)).await?);
        }
        let accepted = match self.accept(token) {
            Ok(accepted) if accepted.client == id => accepted,
            Ok(_) | Err(AppError::Refused { .. }) => return Ok(()),
            Err(fault) => return Err(fault),
        };
        let claims = crate::domain::canonical::digest(&accepted.claims)?;
        let grant = accepted.holding.map(|holding| (holding.grant.entry, holding.person.id));
        let jti = accepted.jti;
        let back = move |unit: &mut Unit<'_>| -> Result<(), StoreError> {
            let Some(row) = unit.reader().access_token(&jti)? else { return Ok(()) };
            unit.delete_access(&jti)?;
            let token = access(jti, claims, row.ends);
            let (grant, person) = grant.unzip();
            unit.append(Event::Grant(GrantFields {
                person,
                grant,
                tokens: vec![token],
                ..GrantFields::new("revoked", id)
            }))?;
            Ok(())
        };
        Ok(self.store.write(back).await?)
    }
}

fn access(jti: String, sha256: Digest, exp: Timestamp) -> IssuedToken {
    IssuedToken { typ: TokenKind::Access, jti: Some(jti), sha256, exp }
}

fn end_family(unit: &mut Unit<'_>, client: &ClientId, family: &Digest) -> Result<(), StoreError> {
    let Some(row) = unit.reader().refresh_token(family)? else { return Ok(()) };
    match unit.reader().grant(row.grant)? {
        Some(grant) if grant.client == *client => end(unit, &grant, GrantEnd::Revoked),
        _ => Ok(()),
    }
}

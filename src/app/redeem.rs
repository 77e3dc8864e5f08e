//! Redeems what a client brings: a code, a refresh token, the code of a device, or nothing but who it is.
//! In: an authenticated client, its trade, the key that it proved. Out: tokens, or a refusal.
//! Implements RFC 6749 §4.1.3, §4.4, §6, RFC 7636 §4.6, RFC 9700 §2.1.1, §4.14, RFC 9449 §5, ATTACKS 64, 65, 68.
//! Never gives anything for a code or a refresh token that was used; what was given for it ends.

use std::sync::Arc;

use crate::domain::assurance::models::Trusted;
use crate::domain::ids::Kid;
use crate::domain::oauth::client::{Client, GrantType};
use crate::domain::oauth::error_code::ErrorCode;
use crate::domain::oauth::grant::GrantEnd;
use crate::domain::oauth::pkce;
use crate::domain::oauth::refresh::{Family, Turn};
use crate::domain::oauth::token_form::{CodeText, Offer, RefreshToken, Trade, Verifier};
use crate::domain::rules::Refusal;
use crate::domain::session::SessionLimits;
use crate::store::Unit;
use crate::store::grants::{GrantRow, RefreshRow};

use super::grants::end;
use super::issue_tokens::{Draft, Tokens, Wanted, draft, draft_own};
use super::judge_grant::{By, Holding, judge};
use super::load_clients::Clients;
use super::possession::{Possession, Proven};
use super::vouching::Vouching;
use super::{AppError, Countersign};

/// What a unit found: tokens, or a refusal that keeps what the unit did (the end of a grant).
pub(super) enum Found {
    Draft(Box<Draft>),
    Over(ErrorCode, &'static str),
}

/// What redeeming needs of the server, inside the unit.
pub(super) struct Counter {
    issuer: String,
    pub(super) client: Arc<Client>,
    clients: Clients,
    limits: SessionLimits,
    vouching: Vouching,
    possession: Arc<Possession>,
    proven: Option<Proven>,
}

pub(super) fn refused(code: ErrorCode, what: &str) -> AppError {
    Refusal::new(code, what).into()
}

impl Countersign {
    /// Redeems. The proof of a key is used where tokens are given, and not before: whoever brings junk takes no room.
    pub async fn redeem(&self, client: Arc<Client>, trade: Trade, proven: Option<Proven>) -> Result<Tokens, AppError> {
        self.steady_now()?;
        if let Offer::Device(code) = &trade.offer {
            self.poll_device(&client, code)?;
        }
        let counter = Counter {
            issuer: self.settings.url.clone(),
            client: Arc::clone(&client),
            clients: self.clients.clone(),
            limits: self.settings.sessions,
            vouching: self.vouching.clone(),
            possession: Arc::clone(&self.possession),
            proven,
        };
        let found = self.store.write_new_unmarked(move |unit| counter.serve(unit, trade)).await?;
        // Signed while the mark is synced; what was signed leaves after it.
        let answer = match found.recorded() {
            Found::Draft(draft) => self.sign_draft(&client, draft),
            Found::Over(code, what) => Err(refused(*code, what)),
        };
        found.marked().await?;
        answer
    }
}

impl Counter {
    fn serve(mut self, unit: &mut Unit<'_>, trade: Trade) -> Result<Found, AppError> {
        // It proved who it is before it waited for the writer; what it may, it may now.
        let now = self.clients.find(&self.client.id);
        self.client = now.ok_or_else(|| refused(ErrorCode::ClientUnknown, "the client is not known any more"))?;
        let found = self.trade(unit, trade)?;
        if let (Found::Draft(_), Some(proven)) = (&found, &self.proven) {
            self.possession.spend(proven, &self.client.id, unit.now())?;
        }
        Ok(found)
    }

    fn jkt(&self) -> Option<&Kid> {
        self.proven.as_ref().map(|proven| &proven.jkt)
    }

    fn trade(&self, unit: &mut Unit<'_>, trade: Trade) -> Result<Found, AppError> {
        let Trade { offer, scopes, resource } = trade;
        let wanted = Wanted { scopes, resource, jkt: self.jkt().cloned(), refresh: None, nonce: None };
        match offer {
            Offer::Nothing => Ok(Found::Draft(Box::new(draft_own(unit, &self.issuer, &self.client, wanted)?))),
            Offer::Code { code, redirect_uri, verifier } => self.code(unit, &code, &redirect_uri, &verifier, wanted),
            Offer::Device(code) => self.device(unit, &code, wanted),
            Offer::Refresh(Some(token)) => self.refresh(unit, &token, wanted),
            Offer::Refresh(None) => Err(refused(ErrorCode::RefreshTokenInvalid, "this is no refresh token of ours")),
        }
    }

    pub(super) fn holding(&self, unit: &Unit<'_>, grant: GrantRow) -> Result<Holding, AppError> {
        let trusted: Arc<Trusted> = self.vouching.in_unit_or_busy(&unit.reader())?;
        let by = By { client: &self.client, limits: self.limits, trusted: &trusted, now: unit.now() };
        judge(&unit.reader(), grant, by)
    }

    fn code(
        &self,
        unit: &mut Unit<'_>,
        code: &CodeText,
        redirect_uri: &str,
        verifier: &Verifier,
        wanted: Wanted,
    ) -> Result<Found, AppError> {
        let invalid = |what: &str| Err(refused(ErrorCode::CodeInvalid, what));
        let digest = code.digest();
        let Some(row) = unit.reader().code(&digest)? else { return invalid("the code is none of this server's") };
        // Whose it is not learns nothing of it, and takes nothing away.
        if row.client != self.client.id {
            return invalid("the code is none of this client's");
        }
        let grant = unit.reader().grant(row.grant)?.ok_or_else(|| AppError::internal("a code without its grant"))?;
        if row.used.is_some() {
            end(unit, &grant, GrantEnd::Replayed)?;
            return Ok(Found::Over(ErrorCode::CodeUsed, "the code was used before"));
        }
        if unit.now() > row.ends {
            return invalid("the code is older than a minute");
        }
        if redirect_uri != row.redirect_uri {
            return invalid("`redirect_uri` is not the one that the code was asked with");
        }
        if !pkce::fits(verifier.expose(), &row.code_challenge) {
            return invalid("`code_verifier` does not fit the challenge that the code was asked with");
        }
        if let Some(bound) = &grant.dpop_jkt
            && self.jkt() != Some(bound)
        {
            return Err(refused(ErrorCode::DpopKeyWrong, "the code is bound to another key"));
        }
        let holding = self.holding(unit, grant)?;
        unit.take_code(&digest)?;
        self.first_tokens(unit, &holding, wanted)
    }

    /// The first tokens of a grant that holds.
    pub(super) fn first_tokens(
        &self,
        unit: &mut Unit<'_>,
        holding: &Holding,
        mut wanted: Wanted,
    ) -> Result<Found, AppError> {
        // A public client has nothing else that ties its refresh tokens to it (RFC 9449 §5).
        let bound = self.jkt().filter(|_| self.client.is_public());
        unit.bind_grant(holding.grant.entry, bound)?;
        if self.client.may(GrantType::RefreshToken) {
            let refresh = RefreshToken::new(unit.random()?, unit.random()?);
            unit.insert_refresh(&refresh.family_digest(), holding.grant.entry, &refresh.digest())?;
            wanted.refresh = Some(refresh);
        }
        wanted.nonce.clone_from(&holding.grant.nonce);
        Ok(Found::Draft(Box::new(draft(unit, &self.issuer, &self.client, holding, wanted)?)))
    }

    fn refresh(&self, unit: &mut Unit<'_>, token: &RefreshToken, mut wanted: Wanted) -> Result<Found, AppError> {
        let invalid = |what: &str| Err(refused(ErrorCode::RefreshTokenInvalid, what));
        let Some(row) = unit.reader().refresh_token(&token.family_digest())? else {
            return invalid("the refresh token is unknown, or over for long");
        };
        let grant = unit.reader().grant(row.grant)?.ok_or_else(|| AppError::internal("a token without its grant"))?;
        // Whose it is not learns nothing of it; but somebody has it who should not.
        if grant.client != self.client.id {
            end(unit, &grant, GrantEnd::Replayed)?;
            return Ok(Found::Over(ErrorCode::RefreshTokenUsed, "the refresh token is another client's"));
        }
        if grant.dpop_jkt.is_some() && grant.dpop_jkt.as_ref() != self.jkt() {
            return Err(refused(ErrorCode::DpopKeyWrong, "the refresh token is bound to another key"));
        }
        let successor = token.successor(unit.random()?);
        let turn = match family(&row).turn(token.digest(), unit.now()) {
            Turn::Replay => {
                end(unit, &grant, GrantEnd::Replayed)?;
                return Ok(Found::Over(ErrorCode::RefreshTokenUsed, "the refresh token was used before"));
            }
            Turn::Together => return Err(refused(ErrorCode::RefreshTokenBusy, "the refresh token is being used")),
            turn => turn,
        };
        let client = &self.client;
        let rests = client.lifetimes.rest(grant.offline);
        if unit.now() > row.issued + rests {
            return invalid("the refresh token was not used for too long");
        }
        let holding = self.holding(unit, grant)?;
        if turn == Turn::Lost {
            unit.replace_refresh(&row, &successor.digest())?;
        } else {
            unit.rotate_refresh(&row, &successor.digest())?;
        }
        wanted.refresh = Some(successor);
        Ok(Found::Draft(Box::new(draft(unit, &self.issuer, client, &holding, wanted)?)))
    }
}

const fn family(row: &RefreshRow) -> Family {
    let before = match (row.before_sha256, row.rotated) {
        (Some(before), Some(used)) => Some((before, used)),
        _ => None,
    };
    Family { current: row.token_sha256, before }
}

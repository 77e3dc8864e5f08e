//! Issues tokens to clients: claims, entry and rows in the writer's unit, signatures after its commit.
//! In: a grant that holds, or a client alone. Out: drafts, then signed tokens.
//! Implements RFC 6749 §5.1, RFC 9068, OpenID Connect Core 1.0 §3.1.3.3, DESIGN §7 (the record comes before the token).
//! Never signs what is not in the log.

use serde_json::{Map, Value};

use crate::domain::canonical;
use crate::domain::ids::{Audience, Digest, Kid};
use crate::domain::log::entry::{Event, GrantFields};
use crate::domain::oauth::client::Client;
use crate::domain::oauth::error_code::ErrorCode;
use crate::domain::oauth::grant::{IssuedToken, TokenKind};
use crate::domain::oauth::scope::{KNOWN, OPENID, Scopes};
use crate::domain::oauth::token_form::RefreshToken;
use crate::domain::oauth::tokens::{Terms, at_hash};
use crate::domain::rules::Refusal;
use crate::domain::time::{ID_TOKEN, Timestamp};
use crate::store::Unit;
use crate::store::grants::AccessRow;

use super::judge_grant::Holding;
use super::own_tokens::ACCESS_TYPE;
use super::record_token::log_claim;
use super::{AppError, Countersign};

/// Tokens that are recorded and not yet signed.
#[derive(Debug)]
pub struct Draft {
    access: Vec<u8>,
    id: Option<Map<String, Value>>,
    refresh: Option<RefreshToken>,
    scopes: Scopes,
    bound: bool,
    entry: u64,
}

/// What a client is answered.
pub struct Tokens {
    /// The access token.
    pub access_token: String,
    /// It is bound to a key (RFC 9449 §5).
    pub bound: bool,
    /// Seconds that it lives.
    pub expires_in: u64,
    /// The ID token, with `openid`.
    pub id_token: Option<String>,
    /// The refresh token, where the client may have one.
    pub refresh_token: Option<RefreshToken>,
    /// What was granted.
    pub scopes: Scopes,
}

/// What is asked for.
#[derive(Debug, Clone)]
pub(super) struct Wanted {
    /// The scopes, where the call names them.
    pub scopes: Option<Scopes>,
    /// The resource, where the call names one.
    pub resource: Option<Audience>,
    /// The key that was proven.
    pub jkt: Option<Kid>,
    /// The refresh token that goes with it.
    pub refresh: Option<RefreshToken>,
    /// What the ID token repeats.
    pub nonce: Option<String>,
}

/// The scopes of this call, within those that were granted (RFC 6749 §6).
fn narrowed(wanted: Option<Scopes>, granted: &Scopes) -> Result<Scopes, Refusal> {
    match wanted {
        None => Ok(granted.clone()),
        Some(scopes) if scopes.within(granted) => Ok(scopes),
        Some(scopes) => {
            let text = format!("`{}` was not granted", scopes.beyond(granted));
            Err(Refusal::new(ErrorCode::ScopeNotGranted, text))
        }
    }
}

/// For whom the access token is: the resource that is asked for, the only one that there is, or ourselves.
fn audience(wanted: Option<Audience>, granted: &[Audience], own: &str) -> Result<Audience, AppError> {
    match (wanted, granted) {
        (Some(one), _) if granted.contains(&one) => Ok(one),
        (Some(one), _) => {
            let text = format!("the resource `{one}` was not granted");
            Err(Refusal::new(ErrorCode::ResourceNotAllowed, text).into())
        }
        (None, []) => Audience::parse(own).map_err(AppError::internal),
        (None, [only]) => Ok(only.clone()),
        (None, _) => {
            let text = "several resources were granted, and the call names none";
            Err(Refusal::new(ErrorCode::ResourceNotAllowed, text).with_hint("name one: `resource`").into())
        }
    }
}

fn fresh_id(unit: &Unit<'_>) -> Result<String, AppError> {
    Ok(data_encoding::BASE64URL_NOPAD.encode(&unit.random::<16>()?))
}

/// Records the tokens of a grant that holds.
pub(super) fn draft(
    unit: &mut Unit<'_>,
    issuer: &str,
    client: &Client,
    holding: &Holding,
    wanted: Wanted,
) -> Result<Draft, AppError> {
    let grant = &holding.grant;
    let scopes = narrowed(wanted.scopes, &grant.scopes)?;
    let audience = audience(wanted.resource, &grant.resources, issuer)?;
    let (now, subject) = (unit.now(), holding.subject());
    let terms = Terms { issuer, client, scopes: &scopes, now };
    let access_jti = fresh_id(unit)?;
    let access = terms.access_token(&subject, &access_jti, &audience, wanted.jkt.as_ref());
    let access = canonical::to_bytes(&access)?;
    let access_ends = now + client.lifetimes.access_token;
    let mut tokens = vec![issued(TokenKind::Access, Some(&access_jti), Digest::of(&access), access_ends)];
    let id = if scopes.has(OPENID) {
        let jti = fresh_id(unit)?;
        let claims = terms.id_token(&subject, &jti, wanted.nonce.as_deref(), &grant.claims);
        tokens.push(issued(TokenKind::Id, Some(&jti), canonical::digest(&claims)?, now + ID_TOKEN));
        Some(claims)
    } else {
        None
    };
    if let Some(refresh) = &wanted.refresh {
        let rest = client.lifetimes.rest(grant.offline);
        tokens.push(issued(TokenKind::Refresh, None, refresh.digest(), grant.ends.min(now + rest)));
    }
    let entry = unit.append(Event::Grant(GrantFields {
        person: Some(grant.person.clone()),
        grant: Some(grant.entry),
        scopes: scopes.clone(),
        tokens,
        ..GrantFields::new("issued", client.id.clone())
    }))?;
    unit.insert_access(&AccessRow { jti: access_jti, grant: Some(grant.entry), ends: access_ends })?;
    unit.note_client(&client.id)?;
    Ok(Draft { access, id, refresh: wanted.refresh, scopes, bound: wanted.jkt.is_some(), entry })
}

fn issued(typ: TokenKind, jti: Option<&str>, sha256: Digest, exp: Timestamp) -> IssuedToken {
    IssuedToken { typ, jti: jti.map(str::to_owned), sha256, exp }
}

/// Records a client's own access token (RFC 6749 §4.4).
pub(super) fn draft_own(unit: &mut Unit<'_>, issuer: &str, client: &Client, wanted: Wanted) -> Result<Draft, AppError> {
    // Nobody signed in, so nothing is told about anybody.
    let granted = KNOWN.iter().fold(client.scopes.clone(), |scopes, known| scopes.without(known));
    let scopes = narrowed(wanted.scopes, &granted)?;
    let audience = audience(wanted.resource, &client.resources, issuer)?;
    let (now, jti) = (unit.now(), fresh_id(unit)?);
    let terms = Terms { issuer, client, scopes: &scopes, now };
    let access = canonical::to_bytes(&terms.own_access_token(&jti, &audience, wanted.jkt.as_ref()))?;
    let ends = now + client.lifetimes.access_token;
    let entry = unit.append(Event::Grant(GrantFields {
        scopes: scopes.clone(),
        tokens: vec![issued(TokenKind::Access, Some(&jti), Digest::of(&access), ends)],
        ..GrantFields::new("issued", client.id.clone())
    }))?;
    unit.insert_access(&AccessRow { jti, grant: None, ends })?;
    unit.note_client(&client.id)?;
    Ok(Draft { access, id: None, refresh: None, scopes, bound: wanted.jkt.is_some(), entry })
}

impl Countersign {
    /// Signs what is recorded; nobody is answered before the mark. If the process dies before this, the tokens are in the log and nobody has
    /// them.
    pub(super) fn sign_draft(&self, client: &Client, draft: &Draft) -> Result<Tokens, AppError> {
        let key = self.signer(client.alg)?.key;
        let access_token = key.sign_typed(ACCESS_TYPE, &draft.access)?;
        let id_token = match draft.id.clone() {
            None => None,
            Some(mut claims) => {
                claims.insert("at_hash".to_owned(), at_hash(&access_token).into());
                claims.insert("log".to_owned(), log_claim(&self.settings.origin, draft.entry));
                Some(key.sign(&canonical::to_bytes(&claims)?)?)
            }
        };
        Ok(Tokens {
            access_token,
            bound: draft.bound,
            expires_in: client.lifetimes.access_token.as_secs(),
            id_token,
            refresh_token: draft.refresh.clone(),
            scopes: draft.scopes.clone(),
        })
    }
}

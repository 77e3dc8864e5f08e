//! Answers with a token that is recorded: signs its claims.
//! In: the row of an issue whose entry is committed. Out: the token with what comes with it, or a refusal that is logged.
//! Implements DESIGN §5 (lost answers), §9 (a key that was revoked signs nothing).
//! Never signs what is not in the log, and never with a key that is not published.

use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, IgnoredAny, MapAccess, Visitor};
use serde_json::{Map, Value};

use crate::domain::ids::PersonId;
use crate::domain::oauth::exchange::ExchangeForm;
use crate::store::tokens::IssuedRow;

use super::course::Call;
use super::exchange::{Answer, refused_call};
use super::{AppError, Countersign, record_token, summary};

/// A token and what comes with it.
#[derive(Debug)]
pub struct TokenAnswer {
    /// The compact JWS.
    pub access_token: String,
    /// Seconds until it expires.
    pub expires_in: u64,
    /// The log entry.
    pub log: u64,
    /// The `approval` claim, where people were asked.
    pub approval: Option<Value>,
    /// The lines that a terminal shows.
    pub summary: Vec<String>,
}

impl Countersign {
    /// Names of those who signed, where the rule lets the job log have them; decoration, never a claim.
    fn names_to_tell(&self, row: &IssuedRow, claims: &Map<String, Value>) -> Result<Vec<String>, AppError> {
        let Some(id) = &row.request else { return Ok(Vec::new()) };
        self.store.read(|reader| {
            let shown =
                reader.request(id)?.is_some_and(|request| request.rule.allow().is_some_and(|a| a.show_approvers));
            let by = claims.get("approval").and_then(|approval| approval.get("by")).and_then(Value::as_array);
            let mut names = Vec::new();
            for person in by.into_iter().flatten().filter(|_| shown) {
                let person = person.get("sub").and_then(Value::as_str).and_then(|id| PersonId::parse(id).ok());
                let row = person.map(|id| reader.person(&id)).transpose()?.flatten();
                names.extend(row.map(|row| row.name));
            }
            Ok(names)
        })
    }

    /// The token, or the refusal where its key was revoked meanwhile, logged like any other.
    pub(super) async fn token_or_refusal(
        &self,
        form: &ExchangeForm,
        call: &Call,
        issuer_keys: u64,
        signed: Result<TokenAnswer, AppError>,
    ) -> Result<Answer, AppError> {
        match signed {
            Ok(token) => Ok(Answer::Token(Box::new(token))),
            Err(AppError::Refused { refusal, log: None }) => {
                Err(self.log_refusal(refused_call(&form.subject_token, call, issuer_keys), refusal).await)
            }
            Err(error) => Err(error),
        }
    }

    /// Signs recorded claims; called only with a row whose entry is committed. Nobody is answered before the mark has it too.
    pub(super) fn token_answer(&self, row: &IssuedRow) -> Result<TokenAnswer, AppError> {
        let ToldClaims(mut told) = serde_json::from_slice(&row.claims).map_err(AppError::internal)?;
        let lines = summary::issued(&told, &self.names_to_tell(row, &told)?, row.entry);
        let log = record_token::log_claim(&self.settings.origin, row.entry);
        let signer = self.signer_by_kid(&row.kid)?;
        let access_token = signer.key.sign(&with_log(&row.claims, &log)?)?;
        let expires_in = row.exp.since(self.clock.now()).as_secs();
        Ok(TokenAnswer { access_token, expires_in, log: row.entry, approval: told.remove("approval"), summary: lines })
    }
}

/// Recorded claims with their `log` behind them: the bytes that were recorded, so that nothing else can be signed.
fn with_log(claims: &[u8], log: &Value) -> Result<Vec<u8>, AppError> {
    let open = claims.strip_suffix(b"}").filter(|open| open.len() > 1);
    let open = open.ok_or_else(|| AppError::internal("recorded claims are no object"))?;
    let mut bytes = Vec::with_capacity(claims.len() + 128);
    bytes.extend_from_slice(open);
    bytes.extend_from_slice(b",\"log\":");
    serde_json::to_writer(&mut bytes, log).map_err(AppError::internal)?;
    bytes.push(b'}');
    Ok(bytes)
}

/// Those of the claims that the answer tells of beside the token; the others are not even read.
struct ToldClaims(Map<String, Value>);

/// What the lines of a terminal and the answer are made of.
const TOLD: [&str; 6] = ["acr", "amr", "amr_missing", "approval", "exp", "iat"];

impl<'de> Deserialize<'de> for ToldClaims {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(ToldVisitor)
    }
}

struct ToldVisitor;

impl<'de> Visitor<'de> for ToldVisitor {
    type Value = ToldClaims;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("claims")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<ToldClaims, A::Error> {
        let mut told = Map::new();
        while let Some(name) = members.next_key::<String>()? {
            if TOLD.contains(&name.as_str()) {
                told.insert(name, members.next_value()?);
            } else {
                members.next_value::<IgnoredAny>()?;
            }
        }
        Ok(ToldClaims(told))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_signed_is_what_was_recorded_and_where() {
        let log = json!({ "index": 7, "origin": "x/log" });
        let signed = with_log(br#"{"aud":"a","exp":1}"#, &log).unwrap();
        assert_eq!(signed, br#"{"aud":"a","exp":1,"log":{"index":7,"origin":"x/log"}}"#);
        assert!(with_log(b"{}", &log).is_err() && with_log(b"", &log).is_err());
    }

    #[test]
    fn what_is_told_is_read_and_nothing_else() {
        let told: ToldClaims =
            serde_json::from_str(r#"{"approval":{"by":[]},"exp":9,"sub":"s","x":[1,{"exp":2}]}"#).unwrap();
        assert_eq!(Value::Object(told.0), json!({ "approval": { "by": [] }, "exp": 9 }));
    }
}

//! Answers with a token that is recorded: signs its claims.
//! In: the row of an issue whose entry is committed. Out: the token with what comes with it, or a refusal that is logged.
//! Implements DESIGN §5 (lost answers), §9 (a key that was revoked signs nothing).
//! Never signs what is not in the log, and never with a key that is not published.

use serde_json::{Map, Value};

use crate::domain::ids::PersonId;
use crate::domain::oauth::exchange::ExchangeForm;
use crate::store::tokens::IssuedRow;

use super::course::Call;
use super::exchange::{Answer, TokenAnswer, refused_call};
use super::{AppError, Countersign, record_token, summary};

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

    /// The token of a row, or the refusal where its key was revoked meanwhile, logged like any other.
    pub(super) async fn token_or_refusal(
        &self,
        form: &ExchangeForm,
        call: &Call,
        issuer_keys: u64,
        row: &IssuedRow,
    ) -> Result<Answer, AppError> {
        match self.token_answer(row) {
            Ok(token) => Ok(Answer::Token(Box::new(token))),
            Err(AppError::Refused { refusal, log: None }) => {
                Err(self.log_refusal(refused_call(&form.subject_token, call, issuer_keys), refusal).await)
            }
            Err(error) => Err(error),
        }
    }

    /// Signs recorded claims; called only with a row whose entry is committed.
    fn token_answer(&self, row: &IssuedRow) -> Result<TokenAnswer, AppError> {
        let mut claims: Map<String, Value> = serde_json::from_slice(&row.claims).map_err(AppError::internal)?;
        let approval = claims.get("approval").cloned();
        let lines = summary::issued(&claims, &self.names_to_tell(row, &claims)?, row.entry);
        claims.insert("log".to_owned(), record_token::log_claim(&self.settings.origin, row.entry));
        let signer = self.signer_by_kid(&row.kid)?;
        let access_token = signer.key.sign(&serde_json::to_vec(&claims).map_err(AppError::internal)?)?;
        let expires_in = row.exp.since(self.clock.now()).as_secs();
        Ok(TokenAnswer { access_token, expires_in, log: row.entry, approval, summary: lines })
    }
}

//! `--dpop`: a key of this run alone, which collects in place of an `Idempotency-Key`.
//! In: the plan, answers, chance and time. Out: the `DPoP` header of each call.
//! Implements RFC 9449 §8 as a client.
//! Never asks twice with one nonce that did not help.

use serde::Deserialize;

use super::Problem;
use super::client::Reply;
use super::plan::Plan;
use crate::app::prove_key::ProofKey;
use crate::cli::exit::Exit;
use crate::domain::time::Timestamp;

/// A key, and where it is proven.
pub struct Prover {
    key: ProofKey,
    url: String,
    /// The server's nonce, once it gave one.
    nonce: Option<String>,
}

#[derive(Deserialize)]
struct ErrorBody {
    error: String,
}

impl Prover {
    /// Makes a key for the plan's server.
    pub fn new(plan: &Plan) -> Result<Self, Problem> {
        let key = ProofKey::generate().map_err(|_| no_key())?;
        Ok(Self { key, url: format!("{}/token", plan.url), nonce: None })
    }

    /// A proof for one call.
    pub fn prove(&self, chance: [u8; 32], now: Timestamp) -> Result<String, Problem> {
        self.key.prove(&self.url, self.nonce.as_deref(), chance, now).map_err(|_| no_key())
    }

    /// Takes the nonce that an answer brings; says whether the call is to be made again with it.
    pub fn learns(&mut self, reply: &Reply) -> bool {
        let Some(nonce) = reply.dpop_nonce.as_ref().filter(|nonce| self.nonce.as_ref() != Some(nonce)) else {
            return false;
        };
        self.nonce = Some(nonce.clone());
        serde_json::from_slice::<ErrorBody>(&reply.body).is_ok_and(|body| body.error == "use_dpop_nonce")
    }
}

fn no_key() -> Problem {
    Problem::new(Exit::OurFault, "this system makes no key", "run the job on another machine, or without --dpop")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reply(nonce: Option<&str>, body: &str) -> Reply {
        let body = body.as_bytes().to_vec();
        Reply { status: 400, retry_after: None, date: None, dpop_nonce: nonce.map(ToOwned::to_owned), body }
    }

    #[test]
    fn a_nonce_is_asked_for_once_and_kept() {
        let mut prover = Prover { key: ProofKey::generate().unwrap(), url: String::new(), nonce: None };
        let wanted = r#"{"error":"use_dpop_nonce"}"#;
        assert!(!prover.learns(&reply(None, wanted)), "nothing to prove it with");
        assert!(prover.learns(&reply(Some("n1"), wanted)));
        assert!(!prover.learns(&reply(Some("n1"), wanted)), "it did not help");
        assert!(!prover.learns(&reply(Some("n2"), r#"{"error":"authorization_pending"}"#)));
        assert_eq!(prover.nonce.as_deref(), Some("n2"));
    }
}

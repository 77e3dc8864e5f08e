//! `--dpop`: a key of this run alone, which collects in place of an `Idempotency-Key`.
//! In: the server's URL, chance and time. Out: the `DPoP` header of one call.
//! Implements RFC 9449 §4.2, §8 as a client.
//! Never writes the key anywhere: it ends with the run.

use data_encoding::BASE64URL_NOPAD;
use serde::Deserialize;
use serde_json::json;

use super::Problem;
use super::client::Reply;
use super::plan::Plan;
use crate::cli::exit::Exit;
use crate::crypto::signing::SigningKey;
use crate::domain::rules::TokenAlg;
use crate::domain::time::Timestamp;

/// A key, and where it is proven.
pub struct ProofKey {
    key: SigningKey,
    url: String,
    /// The server's nonce, once it gave one.
    nonce: Option<String>,
}

#[derive(Deserialize)]
struct ErrorBody {
    error: String,
}

impl ProofKey {
    /// Makes a key for the plan's server.
    pub fn new(plan: &Plan) -> Result<Self, Problem> {
        let key = SigningKey::generate(TokenAlg::Es256, 0).map_err(|_| no_key())?;
        Ok(Self { key, url: format!("{}/token", plan.url), nonce: None })
    }

    /// A proof for one call.
    pub fn prove(&self, chance: [u8; 32], now: Timestamp) -> Result<String, Problem> {
        let mut claims = json!({
            "htm": "POST", "htu": self.url, "iat": now.seconds(), "jti": BASE64URL_NOPAD.encode(&chance),
        });
        if let (Some(nonce), Some(members)) = (&self.nonce, claims.as_object_mut()) {
            members.insert("nonce".to_owned(), json!(nonce));
        }
        self.key.sign_proof(claims.to_string().as_bytes()).map_err(|_| no_key())
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
    use crate::crypto::client_keys::Proof;

    fn key() -> ProofKey {
        let key = SigningKey::generate(TokenAlg::Es256, 0).unwrap();
        ProofKey { key, url: "https://s.example/token".to_owned(), nonce: None }
    }

    fn reply(nonce: Option<&str>, body: &str) -> Reply {
        let body = body.as_bytes().to_vec();
        Reply { status: 400, retry_after: None, date: None, dpop_nonce: nonce.map(ToOwned::to_owned), body }
    }

    #[test]
    fn a_proof_is_one_that_the_server_takes() {
        let key = key();
        let proof = Proof::verify(&key.prove([7; 32], Timestamp::from_seconds(1_795_430_400)).unwrap()).unwrap();
        assert_eq!(proof.jkt, *key.key.kid());
        let proven = proof.claims.get();
        let jti = BASE64URL_NOPAD.encode(&[7; 32]);
        let said = json!({ "htm": "POST", "htu": "https://s.example/token", "iat": 1_795_430_400, "jti": jti });
        assert_eq!(json!(proven.claims), said);
        assert_eq!(proven.header["typ"], "dpop+jwt");
        let secret = key.key.to_secret_json().unwrap();
        let secret: serde_json::Value = serde_json::from_str(&secret).unwrap();
        assert!(!json!(proven.header).to_string().contains(secret["d"].as_str().unwrap()));
    }

    #[test]
    fn a_nonce_is_asked_for_once_and_kept() {
        let mut key = key();
        let wanted = r#"{"error":"use_dpop_nonce"}"#;
        assert!(!key.learns(&reply(None, wanted)), "nothing to prove it with");
        assert!(key.learns(&reply(Some("n1"), wanted)));
        assert!(!key.learns(&reply(Some("n1"), wanted)), "it did not help");
        assert!(!key.learns(&reply(Some("n2"), r#"{"error":"authorization_pending"}"#)));
        let proof = Proof::verify(&key.prove([7; 32], Timestamp::from_seconds(0)).unwrap()).unwrap();
        assert_eq!(proof.claims.get().claims["nonce"], "n2");
    }
}

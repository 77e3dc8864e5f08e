//! Proves a key to a server, as a job does that collects with it (`countersign token --dpop`).
//! In: the call's URL, the server's nonce, chance and time. Out: the `DPoP` header of one call.
//! Implements RFC 9449 §4.2 as a client.
//! Never writes the key anywhere: it ends with the process.

use data_encoding::BASE64URL_NOPAD;
use serde_json::json;

use crate::crypto::signing::SigningKey;
use crate::domain::rules::TokenAlg;
use crate::domain::time::Timestamp;

use super::AppError;

/// A P-256 key of one run.
#[derive(Debug)]
pub struct ProofKey(SigningKey);

impl ProofKey {
    /// Makes a key.
    ///
    /// # Errors
    /// `Internal` where the system makes none.
    pub fn generate() -> Result<Self, AppError> {
        Ok(Self(SigningKey::generate(TokenAlg::Es256, 0)?))
    }

    /// A proof for one `POST` to this URL; `chance` is its `jti`.
    ///
    /// # Errors
    /// `Internal` where the system signs nothing.
    pub fn prove(&self, url: &str, nonce: Option<&str>, chance: [u8; 32], now: Timestamp) -> Result<String, AppError> {
        let jti = BASE64URL_NOPAD.encode(&chance);
        let mut claims = json!({ "htm": "POST", "htu": url, "iat": now.seconds(), "jti": jti });
        if let (Some(nonce), Some(members)) = (nonce, claims.as_object_mut()) {
            members.insert("nonce".to_owned(), json!(nonce));
        }
        Ok(self.0.sign_proof(claims.to_string().as_bytes())?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crypto::client_keys::Proof;

    #[test]
    fn a_proof_is_one_that_the_server_takes() {
        let key = ProofKey::generate().unwrap();
        let now = Timestamp::from_seconds(1_795_430_400);
        let proof = key.prove("https://s.example/token", None, [7; 32], now).unwrap();
        let proof = Proof::verify(&proof).unwrap();
        assert_eq!(proof.jkt, *key.0.kid());
        let proven = proof.claims.get();
        let jti = BASE64URL_NOPAD.encode(&[7; 32]);
        let said = json!({ "htm": "POST", "htu": "https://s.example/token", "iat": 1_795_430_400, "jti": jti });
        assert_eq!(json!(proven.claims), said);
        assert_eq!(proven.header["typ"], "dpop+jwt");
        let secret: serde_json::Value = serde_json::from_str(&key.0.to_secret_json().unwrap()).unwrap();
        assert!(!json!(proven.header).to_string().contains(secret["d"].as_str().unwrap()));
        let proof = key.prove("https://s.example/token", Some("n"), [7; 32], now).unwrap();
        assert_eq!(Proof::verify(&proof).unwrap().claims.get().claims["nonce"], "n");
    }
}

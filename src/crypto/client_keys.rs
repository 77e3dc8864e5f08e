//! Keys of clients: those that a client registered, and the one that a proof of possession brings along.
//! In: JWKs, compact JWS. Out: verified claims, and the thumbprint of the key that signed them.
//! Implements RFC 7517, RFC 7523 §2.2 (`private_key_jwt`), RFC 9449 §4.2, §4.3, RFC 7638, RFC 8037.
//! Never takes a symmetric or a private key, nor an algorithm that is not the key's.

use data_encoding::BASE64URL_NOPAD;
use josekit::jwk::Jwk;
use josekit::jws::{ES256, EdDSA, JwsVerifier, PS256, RS256};
use serde_json::{Map, Value, json};

use super::CryptoError;
use super::jwk::{self, PRIVATE_MEMBERS, octets, shown, text};
use super::jwt::{TokenError, UnverifiedToken};
use crate::domain::canonical;
use crate::domain::ids::{Digest, Kid};
use crate::domain::oauth::client_auth::CLIENT_ALGS;
use crate::domain::verified::{RawClaims, Verified};

/// Most keys of a client.
pub const MAX_CLIENT_KEYS: usize = 20;
/// Largest JWK set of a client, in bytes.
pub const MAX_CLIENT_KEYS_BYTES: usize = 64 * 1024;

/// A public key of a client.
pub struct PublicKey {
    kid: Option<String>,
    /// The algorithms that it may be used with, each with its parsed verifier.
    verifiers: Vec<(&'static str, Box<dyn JwsVerifier>)>,
    thumbprint: Kid,
}

impl std::fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "PublicKey({})", self.thumbprint)
    }
}

impl PublicKey {
    /// Reads a JWK.
    ///
    /// # Errors
    /// What is wrong with it, as a clause.
    pub fn parse(entry: &Value) -> Result<Self, String> {
        if !entry.is_object() {
            return Err("it is not an object".to_owned());
        }
        if let Some(name) = PRIVATE_MEMBERS.iter().find(|name| entry.get(**name).is_some()) {
            return Err(format!("it has the private member `{name}`; make a new key, and keep that one to the client"));
        }
        jwk::check_purpose(entry)?;
        let kid = match entry.get("kid") {
            None => None,
            Some(Value::String(kid)) if kid.len() <= jwk::MAX_KID => Some(kid.clone()),
            Some(_) => return Err(format!("its `kid` is no string of at most {} bytes", jwk::MAX_KID)),
        };
        let (public, mut algs) = public_members(entry)?;
        if let Some(stated) = entry.get("alg") {
            algs.retain(|alg| stated == alg);
            if algs.is_empty() {
                return Err(format!("its `alg` is none of {}, or not for its kind of key", CLIENT_ALGS.join(", ")));
            }
        }
        let thumbprint = jwk::thumbprint(&Value::Object(public.clone())).map_err(|error| error.to_string())?;
        let mut verifiers = Vec::new();
        for alg in algs {
            verifiers.push((alg, verifier(alg, &public)?));
        }
        Ok(Self { kid, verifiers, thumbprint })
    }

    /// The RFC 7638 thumbprint.
    #[must_use]
    pub const fn thumbprint(&self) -> &Kid {
        &self.thumbprint
    }

    fn check(&self, alg: &str, input: &[u8], signature: &[u8]) -> Result<(), TokenError> {
        let found = self.verifiers.iter().find(|(known, _)| *known == alg);
        let (_, verifier) = found.ok_or_else(|| TokenError::AlgNotAllowed(shown(alg)))?;
        verifier.verify(input, signature).map_err(|_| TokenError::SignatureInvalid)
    }
}

/// The members that count, and the algorithms that such a key can be used with.
fn public_members(entry: &Value) -> Result<(Map<String, Value>, Vec<&'static str>), String> {
    let (public, algs) = match text(entry, "kty")? {
        "RSA" => {
            let (n, e) = jwk::rsa(entry)?;
            (json!({ "kty": "RSA", "n": n, "e": e }), vec!["RS256", "PS256"])
        }
        "EC" => {
            let (x, y) = jwk::ec(entry)?;
            (json!({ "kty": "EC", "crv": "P-256", "x": x, "y": y }), vec!["ES256"])
        }
        "OKP" => {
            let crv = text(entry, "crv")?;
            if crv != "Ed25519" {
                return Err(format!("its `crv` is `{}`, not `Ed25519`", shown(crv)));
            }
            let x = octets(entry, "x")?;
            if x.len() != 32 {
                return Err("its `x` has not 32 octets".to_owned());
            }
            (json!({ "kty": "OKP", "crv": "Ed25519", "x": BASE64URL_NOPAD.encode(&x) }), vec!["EdDSA"])
        }
        other => return Err(format!("its `kty` is `{}`, not `RSA`, `EC` or `OKP`", shown(other))),
    };
    match public {
        Value::Object(members) => Ok((members, algs)),
        _ => Err("it is not an object".to_owned()),
    }
}

fn verifier(alg: &str, public: &Map<String, Value>) -> Result<Box<dyn JwsVerifier>, String> {
    let jwk = Jwk::from_map(public.clone()).map_err(|_| "it is not a JWK".to_owned())?;
    let unusable = |_| "OpenSSL does not take it (is its point on the curve?)".to_owned();
    Ok(match alg {
        "RS256" => Box::new(RS256.verifier_from_jwk(&jwk).map_err(unusable)?),
        "PS256" => Box::new(PS256.verifier_from_jwk(&jwk).map_err(unusable)?),
        "ES256" => Box::new(ES256.verifier_from_jwk(&jwk).map_err(unusable)?),
        _ => Box::new(EdDSA.verifier_from_jwk(&jwk).map_err(unusable)?),
    })
}

/// The keys that a client registered.
#[derive(Debug)]
pub struct ClientKeys(Vec<PublicKey>);

impl ClientKeys {
    /// Reads a client's JWK set. One key that cannot be used makes the set unusable: its operator must see that.
    ///
    /// # Errors
    /// `KeySet` says what is wrong.
    pub fn parse(bytes: &[u8]) -> Result<Self, CryptoError> {
        if bytes.len() > MAX_CLIENT_KEYS_BYTES {
            return Err(CryptoError::KeySet(format!("it is longer than {MAX_CLIENT_KEYS_BYTES} bytes")));
        }
        let document = canonical::strict_value(bytes).map_err(|error| CryptoError::KeySet(error.to_string()))?;
        let entries = document.get("keys").and_then(Value::as_array);
        let entries = entries.ok_or_else(|| CryptoError::KeySet("it has no array `keys`".to_owned()))?;
        if !(1..=MAX_CLIENT_KEYS).contains(&entries.len()) {
            let what = format!("it has {} keys; 1 to {MAX_CLIENT_KEYS} are possible", entries.len());
            return Err(CryptoError::KeySet(what));
        }
        let mut keys = Vec::new();
        for (at, entry) in entries.iter().enumerate() {
            let key = PublicKey::parse(entry);
            keys.push(key.map_err(|why| CryptoError::KeySet(format!("key number {}: {why}", at + 1)))?);
        }
        Ok(Self(keys))
    }

    /// Verifies what a client signed: by the key of its `kid`, or by any where it names none.
    ///
    /// # Errors
    /// `AlgNotAllowed`, `UnknownKey` or `SignatureInvalid`.
    pub fn verify(&self, token: UnverifiedToken) -> Result<Verified<RawClaims>, TokenError> {
        token.verify_by(|alg, kid, input, signature| {
            let named = |key: &&PublicKey| kid.is_none() || key.kid.as_deref() == kid;
            let mut answer = Err(TokenError::UnknownKey(shown(kid.unwrap_or_default())));
            for key in self.0.iter().filter(named) {
                answer = key.check(alg, input, signature);
                if answer.is_ok() {
                    break;
                }
            }
            answer
        })
    }
}

/// A proof of possession (RFC 9449 §4.2), its signature checked by the key that it brings along.
#[derive(Debug)]
pub struct Proof {
    /// The thumbprint of that key.
    pub jkt: Kid,
    /// What it says.
    pub claims: Verified<RawClaims>,
}

impl Proof {
    /// Takes a proof apart and checks its signature; whether it fits the call is for `domain::oauth::dpop`.
    ///
    /// # Errors
    /// What is wrong with it, as a clause.
    pub fn verify(text: &str) -> Result<Self, String> {
        let token = UnverifiedToken::parse(text).map_err(|error| error.to_string())?;
        let key = token.header_jwk().ok_or_else(|| "its header has no `jwk`".to_owned())?;
        let key = PublicKey::parse(key).map_err(|why| format!("its `jwk` cannot be used: {why}"))?;
        let claims = token
            .verify_by(|alg, _, input, signature| key.check(alg, input, signature))
            .map_err(|error| error.to_string())?;
        Ok(Self { jkt: key.thumbprint.clone(), claims })
    }
}

/// Whether a secret is one of those whose SHA-256 are known, in a time that does not tell how near it came.
#[must_use]
pub fn is_secret(secret: &Digest, known: &[Digest]) -> bool {
    // Every one is looked at, and for whoever is unknown one that nobody has.
    let nobodys = [Digest::from_bytes([0; 32])];
    let looked_at = if known.is_empty() { &nobodys } else { known };
    let same =
        looked_at.iter().fold(false, |found, one| found | openssl::memcmp::eq(secret.as_bytes(), one.as_bytes()));
    same && !known.is_empty()
}

#[cfg(test)]
mod tests;

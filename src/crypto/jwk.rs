//! JWK sets: the keys of an issuer, read without tolerance, each with its parsed verifier.
//! In: the bytes of a JWK set. Out: a `KeySet`, and a line for every key that was left out.
//! Implements RFC 7517, RFC 7518 §6 (RSA, EC P-256), RFC 7638, RFC 8725 §3.5.
//! Never keeps a private or symmetric member, and never takes a key from a token.

use std::collections::{BTreeMap, BTreeSet};

use data_encoding::BASE64URL_NOPAD;
use josekit::jwk::Jwk;
use josekit::jws::{ES256, JwsVerifier, RS256};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::CryptoError;
use super::jwt::TokenError;
use crate::domain::canonical;
use crate::domain::ids::{Digest, Kid};
use crate::domain::rules::TokenAlg;

mod weak;

/// Most keys that a set may hold.
pub const MAX_KEYS: usize = 100;
/// Largest JWK set, in bytes.
pub const MAX_KEY_SET: usize = 256 * 1024;
/// Smallest RSA modulus, in bits (RFC 7518 §3.3).
pub const MIN_RSA_BITS: usize = 2048;
/// Largest RSA modulus, in bits: verifying costs the square of it.
pub const MAX_RSA_BITS: usize = 8192;
/// Longest key id of an issuer, in bytes.
pub const MAX_KID: usize = 256;

/// The public members of a key, normalised; what is not named here is never kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kty", deny_unknown_fields)]
enum Public {
    #[serde(rename = "RSA")]
    Rsa { n: String, e: String },
    #[serde(rename = "EC")]
    Ec { crv: String, x: String, y: String },
}

#[derive(Debug)]
struct Key {
    alg: TokenAlg,
    public: Public,
    verifier: Box<dyn JwsVerifier>,
}

/// The keys that an issuer signs with, by key id.
#[derive(Debug)]
pub struct KeySet {
    keys: BTreeMap<String, Key>,
}

impl KeySet {
    /// Reads a JWK set. Keys that cannot be used are left out, each with a warning that names it and why; two
    /// different keys under one id are both left out.
    ///
    /// # Errors
    /// `KeySet` where the document as a whole is not one: not JSON, repeated members, no `keys`, too many of them.
    pub fn parse(bytes: &[u8]) -> Result<(Self, Vec<String>), CryptoError> {
        if bytes.len() > MAX_KEY_SET {
            return Err(CryptoError::KeySet(format!("it is longer than {MAX_KEY_SET} bytes")));
        }
        let document = canonical::strict_value(bytes).map_err(|e| CryptoError::KeySet(e.to_string()))?;
        let entries = document
            .get("keys")
            .and_then(Value::as_array)
            .ok_or_else(|| CryptoError::KeySet("it has no array `keys`".to_owned()))?;
        if entries.len() > MAX_KEYS {
            return Err(CryptoError::KeySet(format!("it has {} keys, at most {MAX_KEYS} are read", entries.len())));
        }
        let mut keys: BTreeMap<String, Key> = BTreeMap::new();
        let mut warnings = Vec::new();
        let mut twice = BTreeSet::new();
        for (at, entry) in entries.iter().enumerate() {
            match read_key(entry) {
                Err(why) => warnings.push(format!("key {} was left out: {why}", name_of(entry, at))),
                Ok((kid, key)) => match keys.get(&kid) {
                    None => drop(keys.insert(kid, key)),
                    Some(known) if known.public == key.public => {}
                    Some(_) => drop(twice.insert(kid)),
                },
            }
        }
        for kid in twice {
            keys.remove(&kid);
            warnings.push(format!("key `{}` was left out: different keys have this id", shown(&kid)));
        }
        Ok((Self { keys }, warnings))
    }

    /// The same set without the keys of other algorithms: an issuer's list of allowed ones.
    #[must_use]
    pub fn allowing(mut self, algs: &[TokenAlg]) -> Self {
        self.keys.retain(|_, key| algs.contains(&key.alg));
        self
    }

    /// The set as RFC 8785 JSON, sorted by key id: the evidence that the log keeps. It reads back as the same set.
    #[must_use]
    pub fn document(&self) -> Vec<u8> {
        let keys: Vec<Value> = self.keys.iter().map(|(kid, key)| member(kid, key.alg, &key.public)).collect();
        // Strings alone always have a canonical form.
        canonical::to_bytes(&json!({ "keys": keys })).unwrap_or_default()
    }

    /// How many keys.
    #[must_use]
    pub fn len(&self) -> usize {
        self.keys.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    /// Each key's id and algorithm, by id.
    pub fn ids(&self) -> impl Iterator<Item = (&str, TokenAlg)> {
        self.keys.iter().map(|(kid, key)| (kid.as_str(), key.alg))
    }

    /// Whether a key has this id.
    #[must_use]
    pub fn has(&self, kid: &str) -> bool {
        self.keys.contains_key(kid)
    }

    /// Checks a signature. The key, chosen by id alone, decides the algorithm; the header's must be the same.
    pub(super) fn check(&self, alg: &str, kid: Option<&str>, input: &[u8], sig: &[u8]) -> Result<(), TokenError> {
        let known = [TokenAlg::Rs256, TokenAlg::Es256].into_iter().find(|known| known.as_str() == alg);
        let wrong_alg = || TokenError::AlgNotAllowed(shown(alg));
        let alg = known.ok_or_else(wrong_alg)?;
        if !self.keys.is_empty() && self.keys.values().all(|key| key.alg != alg) {
            return Err(wrong_alg());
        }
        let kid = kid.ok_or(TokenError::NoKeyId)?;
        let key = self.keys.get(kid).ok_or_else(|| TokenError::UnknownKey(shown(kid)))?;
        if key.alg != alg {
            return Err(wrong_alg());
        }
        key.verifier.verify(input, sig).map_err(|_| TokenError::SignatureInvalid)
    }
}

/// The RFC 7638 thumbprint of a public key.
///
/// # Errors
/// `Key` where a required member is missing.
pub fn thumbprint(public_jwk: &Value) -> Result<Kid, CryptoError> {
    let members: &[&str] = match public_jwk.get("kty").and_then(Value::as_str) {
        Some("RSA") => &["e", "kty", "n"],
        Some("EC") => &["crv", "kty", "x", "y"],
        Some("OKP") => &["crv", "kty", "x"],
        _ => return Err(CryptoError::Key("`kty` is neither `RSA`, `EC` nor `OKP`".to_owned())),
    };
    let mut required = Map::new();
    for name in members {
        let value = text(public_jwk, name).map_err(CryptoError::Key)?;
        required.insert((*name).to_owned(), Value::from(value));
    }
    let bytes = canonical::to_bytes(&Value::Object(required)).map_err(CryptoError::key)?;
    Kid::parse(&BASE64URL_NOPAD.encode(Digest::of(&bytes).as_bytes())).map_err(CryptoError::key)
}

fn member(kid: &str, alg: TokenAlg, public: &Public) -> Value {
    match public {
        Public::Rsa { n, e } => json!({"kty": "RSA", "kid": kid, "alg": alg.as_str(), "use": "sig", "n": n, "e": e}),
        Public::Ec { crv, x, y } => {
            json!({"kty": "EC", "kid": kid, "alg": alg.as_str(), "use": "sig", "crv": crv, "x": x, "y": y})
        }
    }
}

fn read_key(entry: &Value) -> Result<(String, Key), String> {
    if !entry.is_object() {
        return Err("it is not an object".to_owned());
    }
    let kid = text(entry, "kid")?;
    if kid.is_empty() || kid.len() > MAX_KID {
        return Err(format!("its `kid` is empty or longer than {MAX_KID} bytes"));
    }
    // A private key that was published is nobody's secret any more.
    if let Some(name) = PRIVATE_MEMBERS.iter().find(|name| entry.get(**name).is_some()) {
        return Err(format!("it has the private member `{name}`; withdraw it"));
    }
    check_purpose(entry)?;
    let (alg, public) = match text(entry, "kty")? {
        "RSA" => {
            let (n, e) = rsa(entry)?;
            (TokenAlg::Rs256, Public::Rsa { n, e })
        }
        "EC" => {
            let (x, y) = ec(entry)?;
            (TokenAlg::Es256, Public::Ec { crv: "P-256".to_owned(), x, y })
        }
        other => return Err(format!("its `kty` is `{}`, not `RSA` or `EC`", shown(other))),
    };
    match entry.get("alg") {
        None => {}
        Some(Value::String(stated)) if stated == alg.as_str() => {}
        Some(_) => return Err(format!("its `alg` is not `{}`", alg.as_str())),
    }
    let verifier = verifier(alg, member(kid, alg, &public))?;
    Ok((kid.to_owned(), Key { alg, public, verifier }))
}

pub(super) const PRIVATE_MEMBERS: [&str; 8] = ["d", "p", "q", "dp", "dq", "qi", "oth", "k"];

pub(super) fn check_purpose(entry: &Value) -> Result<(), String> {
    if entry.get("use").is_some_and(|purpose| purpose != "sig") {
        return Err("its `use` is not `sig`".to_owned());
    }
    let may_verify = |ops: &Value| ops.as_array().is_some_and(|ops| ops.iter().any(|op| op == "verify"));
    if entry.get("key_ops").is_some_and(|ops| !may_verify(ops)) {
        return Err("its `key_ops` lack `verify`".to_owned());
    }
    Ok(())
}

/// The modulus and the exponent, in their shortest spelling.
pub(super) fn rsa(entry: &Value) -> Result<(String, String), String> {
    let n = number(entry, "n")?;
    let e = number(entry, "e")?;
    let bits = bit_length(&n);
    if !(MIN_RSA_BITS..=MAX_RSA_BITS).contains(&bits) {
        return Err(format!("its modulus has {bits} bits, not {MIN_RSA_BITS} to {MAX_RSA_BITS}"));
    }
    let odd = |value: &[u8]| value.last().is_some_and(|byte| byte & 1 == 1);
    if !odd(&n) {
        return Err("its modulus is even".to_owned());
    }
    // OpenSSL takes no larger exponent with a large modulus, and nobody uses one.
    if !odd(&e) || e == [1] || bit_length(&e) > 64 {
        return Err("its exponent is even, 1 or longer than 64 bits".to_owned());
    }
    if weak::is_roca(&n) {
        return Err("its modulus was made by a faulty chip (CVE-2017-15361)".to_owned());
    }
    Ok((BASE64URL_NOPAD.encode(&n), BASE64URL_NOPAD.encode(&e)))
}

/// The coordinates of a point of P-256; whether it lies on the curve, OpenSSL says.
pub(super) fn ec(entry: &Value) -> Result<(String, String), String> {
    let crv = text(entry, "crv")?;
    if crv != "P-256" {
        return Err(format!("its `crv` is `{}`, not `P-256`", shown(crv)));
    }
    for name in ["x", "y"] {
        if octets(entry, name)?.len() != 32 {
            return Err(format!("its `{name}` has not 32 octets"));
        }
    }
    Ok((text(entry, "x")?.to_owned(), text(entry, "y")?.to_owned()))
}

fn verifier(alg: TokenAlg, public: Value) -> Result<Box<dyn JwsVerifier>, String> {
    let Value::Object(members) = public else { return Err("it is not an object".to_owned()) };
    let jwk = Jwk::from_map(members).map_err(|_| "it is not a JWK".to_owned())?;
    let unusable = |_| "OpenSSL does not take it (is its point on the curve?)".to_owned();
    Ok(match alg {
        TokenAlg::Rs256 => Box::new(RS256.verifier_from_jwk(&jwk).map_err(unusable)?),
        TokenAlg::Es256 => Box::new(ES256.verifier_from_jwk(&jwk).map_err(unusable)?),
    })
}

pub(super) fn text<'a>(entry: &'a Value, name: &str) -> Result<&'a str, String> {
    entry.get(name).and_then(Value::as_str).ok_or_else(|| format!("it has no string `{name}`"))
}

pub(super) fn octets(entry: &Value, name: &str) -> Result<Vec<u8>, String> {
    BASE64URL_NOPAD
        .decode(text(entry, name)?.as_bytes())
        .map_err(|_| format!("its `{name}` is not base64url without padding"))
}

/// A Base64urlUInt without leading zeros.
fn number(entry: &Value, name: &str) -> Result<Vec<u8>, String> {
    let bytes: Vec<u8> = octets(entry, name)?.into_iter().skip_while(|byte| *byte == 0).collect();
    if bytes.is_empty() { Err(format!("its `{name}` is zero")) } else { Ok(bytes) }
}

fn bit_length(number: &[u8]) -> usize {
    number.first().map_or(0, |first| number.len() * 8 - first.leading_zeros() as usize)
}

fn name_of(entry: &Value, at: usize) -> String {
    match entry.get("kid").and_then(Value::as_str) {
        Some(kid) => format!("`{}`", shown(kid)),
        None => format!("number {}", at + 1),
    }
}

/// What came from outside, shortened and on one line.
pub(super) fn shown(text: &str) -> String {
    let mut short: String =
        text.chars().take(48).map(|c| if c.is_control() || c == '`' { '\u{fffd}' } else { c }).collect();
    if text.chars().nth(48).is_some() {
        short.push('…');
    }
    short
}

#[cfg(test)]
mod tests;

//! The keys that sign issued tokens.
//! In: an algorithm, or a private JWK out of the store. Out: compact JWS, and the public JWK.
//! Implements RFC 7515 §3.1, RFC 7517, RFC 7518 §3.3, §3.4 and §6, RFC 9449 §4.2.
//! Never shows a private member but to whoever wraps it for the store.

use std::sync::Arc;

use data_encoding::BASE64URL_NOPAD;
use josekit::jwk::Jwk;
use josekit::jws::{ES256, JwsSigner, JwsVerifier, RS256};
use openssl::bn::{BigNum, BigNumContext, BigNumRef};
use openssl::ec::{EcGroup, EcKey, EcPoint};
use openssl::nid::Nid;
use openssl::pkey::{PKey, Private};
use openssl::rsa::{Rsa, RsaPrivateKeyBuilder};
use serde_json::{Value, json};
use zeroize::{Zeroize as _, Zeroizing};

use super::jwt::{TokenError, UnverifiedToken};
use super::{CryptoError, jwk};
use crate::domain::canonical::strict_value;
use crate::domain::ids::Kid;
use crate::domain::rules::TokenAlg;
use crate::domain::verified::{RawClaims, Verified};

/// Sizes of RSA keys that are made.
pub const RSA_BITS: [u32; 2] = [2048, 3072];

/// A key that signs tokens, parsed once.
pub struct SigningKey {
    alg: TokenAlg,
    kid: Kid,
    public: Value,
    key: PKey<Private>,
    signer: Box<dyn JwsSigner>,
    verifier: Box<dyn JwsVerifier>,
    /// The protected header, encoded: the same bytes in every token.
    header: String,
}

impl std::fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "SigningKey({}, {}, redacted)", self.alg.as_str(), self.kid)
    }
}

impl SigningKey {
    /// Makes a new key; `rsa_bits` counts for RS256 alone.
    ///
    /// # Errors
    /// `Key` for another size than `RSA_BITS`, or where OpenSSL cannot make one.
    pub fn generate(alg: TokenAlg, rsa_bits: u32) -> Result<Self, CryptoError> {
        let key = match alg {
            TokenAlg::Rs256 if !RSA_BITS.contains(&rsa_bits) => {
                return Err(CryptoError::Key(format!("an RSA key of {rsa_bits} bits is not made, only 2048 or 3072")));
            }
            TokenAlg::Rs256 => Rsa::generate(rsa_bits).and_then(PKey::from_rsa),
            TokenAlg::Es256 => p256().and_then(|group| EcKey::generate(&group)).and_then(PKey::from_ec_key),
        };
        Self::from_key(alg, key.map_err(CryptoError::key)?)
    }

    /// Makes a new key of the same algorithm and size.
    ///
    /// # Errors
    /// As `generate`.
    pub fn another(&self) -> Result<Self, CryptoError> {
        Self::generate(self.alg, self.key.bits())
    }

    /// Reads the private JWK that `to_secret_json` gave.
    ///
    /// # Errors
    /// `Key` where it is anything else, or where its parts do not belong together.
    pub fn from_secret_json(json: &str) -> Result<Self, CryptoError> {
        let members = SecretJwk::parse(json)?;
        let alg = match members.text("alg")? {
            "RS256" => TokenAlg::Rs256,
            "ES256" => TokenAlg::Es256,
            _ => return Err(CryptoError::Key("its `alg` is neither `RS256` nor `ES256`".to_owned())),
        };
        let key = match alg {
            TokenAlg::Rs256 => rsa_from(&members)?,
            TokenAlg::Es256 => ec_from(&members)?,
        };
        let read = Self::from_key(alg, key)?;
        if members.text("kid")? != read.kid.as_str() {
            return Err(CryptoError::Key("its `kid` is not the thumbprint of its public part".to_owned()));
        }
        Ok(read)
    }

    /// The private JWK, to be wrapped before it goes anywhere.
    ///
    /// # Errors
    /// `Key` where OpenSSL does not give the parts away.
    pub fn to_secret_json(&self) -> Result<Zeroizing<String>, CryptoError> {
        let mut json = Zeroizing::new(String::with_capacity(4096));
        for piece in ["{\"alg\":\"", self.alg.as_str(), "\",\"kid\":\"", self.kid.as_str(), "\",\"use\":\"sig\""] {
            json.push_str(piece);
        }
        let mut add = |name: &str, value: &str| {
            for piece in [",\"", name, "\":\"", value, "\""] {
                json.push_str(piece);
            }
        };
        for name in ["kty", "n", "e", "crv", "x", "y"] {
            if let Some(value) = self.public.get(name).and_then(Value::as_str) {
                add(name, value);
            }
        }
        for (name, value) in self.private_members()? {
            add(name, &value);
        }
        json.push('}');
        Ok(json)
    }

    /// The key id: the RFC 7638 thumbprint.
    #[must_use]
    pub const fn kid(&self) -> &Kid {
        &self.kid
    }

    /// The algorithm.
    #[must_use]
    pub const fn alg(&self) -> TokenAlg {
        self.alg
    }

    /// The public JWK, with the members that every consumer takes and no other.
    #[must_use]
    pub fn public_jwk(&self) -> Value {
        self.public.clone()
    }

    /// Signs claims, given as JSON: compact JWS.
    ///
    /// # Errors
    /// `Sign` where OpenSSL fails.
    pub fn sign(&self, claims: &[u8]) -> Result<String, CryptoError> {
        self.sign_under(&self.header, claims)
    }

    /// The same under another `typ` (RFC 8725 §3.11), such as `at+jwt`.
    ///
    /// # Errors
    /// `Sign` where OpenSSL fails.
    pub fn sign_typed(&self, typ: &str, claims: &[u8]) -> Result<String, CryptoError> {
        self.sign_under(&header(self.alg, &self.kid, typ), claims)
    }

    /// A proof that whoever makes it has this key, whose public part stands in the header (RFC 9449 §4.2).
    ///
    /// # Errors
    /// `Sign` where OpenSSL fails.
    pub fn sign_proof(&self, claims: &[u8]) -> Result<String, CryptoError> {
        let header = json!({ "typ": "dpop+jwt", "alg": self.alg.as_str(), "jwk": self.public });
        self.sign_under(&BASE64URL_NOPAD.encode(header.to_string().as_bytes()), claims)
    }

    fn sign_under(&self, header: &str, claims: &[u8]) -> Result<String, CryptoError> {
        let mut token = format!("{header}.{}", BASE64URL_NOPAD.encode(claims));
        let signature = self.sign_raw(token.as_bytes())?;
        token.push('.');
        token.push_str(&BASE64URL_NOPAD.encode(&signature));
        Ok(token)
    }

    pub(super) fn sign_raw(&self, input: &[u8]) -> Result<Vec<u8>, CryptoError> {
        self.signer.sign(input).map_err(|e| CryptoError::Sign(e.to_string()))
    }

    fn from_key(alg: TokenAlg, key: PKey<Private>) -> Result<Self, CryptoError> {
        let mut public = public_of(alg, &key).map_err(CryptoError::key)?;
        let kid = jwk::thumbprint(&public)?;
        if let Value::Object(members) = &mut public {
            members.insert("alg".to_owned(), alg.as_str().into());
            members.insert("use".to_owned(), "sig".into());
            members.insert("kid".to_owned(), kid.as_str().into());
        }
        let der = Zeroizing::new(key.private_key_to_pkcs8().map_err(CryptoError::key)?);
        let signer: Box<dyn JwsSigner> = match alg {
            TokenAlg::Rs256 => Box::new(RS256.signer_from_der(&*der).map_err(CryptoError::key)?),
            TokenAlg::Es256 => Box::new(ES256.signer_from_der(&*der).map_err(CryptoError::key)?),
        };
        let verifier = verifier(alg, &public)?;
        let header = header(alg, &kid, "JWT");
        Ok(Self { alg, kid, public, key, signer, verifier, header })
    }

    fn private_members(&self) -> Result<Vec<(&'static str, Zeroizing<String>)>, CryptoError> {
        let missing = || CryptoError::Key("it lacks a private part".to_owned());
        if self.alg == TokenAlg::Es256 {
            let key = self.key.ec_key().map_err(CryptoError::key)?;
            let d = Zeroizing::new(key.private_key().to_vec_padded(32).map_err(CryptoError::key)?);
            return Ok(vec![("d", Zeroizing::new(BASE64URL_NOPAD.encode(&d)))]);
        }
        let key = self.key.rsa().map_err(CryptoError::key)?;
        Ok(vec![
            ("d", secret_b64(key.d())),
            ("p", secret_b64(key.p().ok_or_else(missing)?)),
            ("q", secret_b64(key.q().ok_or_else(missing)?)),
            ("dp", secret_b64(key.dmp1().ok_or_else(missing)?)),
            ("dq", secret_b64(key.dmq1().ok_or_else(missing)?)),
            ("qi", secret_b64(key.iqmp().ok_or_else(missing)?)),
        ])
    }
}

/// A protected header, encoded.
fn header(alg: TokenAlg, kid: &Kid, typ: &str) -> String {
    let header = format!(r#"{{"alg":"{}","kid":"{kid}","typ":"{typ}"}}"#, alg.as_str());
    BASE64URL_NOPAD.encode(header.as_bytes())
}

fn verifier(alg: TokenAlg, public: &Value) -> Result<Box<dyn JwsVerifier>, CryptoError> {
    let members = public.as_object().cloned().unwrap_or_default();
    let jwk = Jwk::from_map(members).map_err(CryptoError::key)?;
    Ok(match alg {
        TokenAlg::Rs256 => Box::new(RS256.verifier_from_jwk(&jwk).map_err(CryptoError::key)?),
        TokenAlg::Es256 => Box::new(ES256.verifier_from_jwk(&jwk).map_err(CryptoError::key)?),
    })
}

/// Verifies a token of our own by the key that it names, if that is one of ours.
///
/// # Errors
/// As `UnverifiedToken::parse` and `verify`.
pub fn verify_own(
    token: &str,
    key_of: impl Fn(&str) -> Option<Arc<SigningKey>>,
) -> Result<Verified<RawClaims>, TokenError> {
    UnverifiedToken::parse(token)?.verify_by(|alg, kid, input, signature| {
        let kid = kid.ok_or(TokenError::NoKeyId)?;
        let key = key_of(kid).ok_or_else(|| TokenError::UnknownKey(jwk::shown(kid)))?;
        if key.alg.as_str() != alg {
            return Err(TokenError::AlgNotAllowed(jwk::shown(alg)));
        }
        key.verifier.verify(input, signature).map_err(|_| TokenError::SignatureInvalid)
    })
}

fn p256() -> Result<EcGroup, openssl::error::ErrorStack> {
    EcGroup::from_curve_name(Nid::X9_62_PRIME256V1)
}

fn public_of(alg: TokenAlg, key: &PKey<Private>) -> Result<Value, openssl::error::ErrorStack> {
    match alg {
        TokenAlg::Rs256 => {
            let key = key.rsa()?;
            Ok(json!({
                "kty": "RSA",
                "n": BASE64URL_NOPAD.encode(&key.n().to_vec()),
                "e": BASE64URL_NOPAD.encode(&key.e().to_vec()),
            }))
        }
        TokenAlg::Es256 => {
            let key = key.ec_key()?;
            let (mut x, mut y) = (BigNum::new()?, BigNum::new()?);
            let mut context = BigNumContext::new()?;
            key.public_key().affine_coordinates(key.group(), &mut x, &mut y, &mut context)?;
            Ok(json!({
                "kty": "EC",
                "crv": "P-256",
                "x": BASE64URL_NOPAD.encode(&x.to_vec_padded(32)?),
                "y": BASE64URL_NOPAD.encode(&y.to_vec_padded(32)?),
            }))
        }
    }
}

fn rsa_from(members: &SecretJwk) -> Result<PKey<Private>, CryptoError> {
    let key = RsaPrivateKeyBuilder::new(members.number("n")?, members.number("e")?, members.number("d")?)
        .map_err(CryptoError::key)?
        .set_factors(members.number("p")?, members.number("q")?)
        .map_err(CryptoError::key)?
        .set_crt_params(members.number("dp")?, members.number("dq")?, members.number("qi")?)
        .map_err(CryptoError::key)?
        .build();
    if !key.check_key().unwrap_or(false) {
        return Err(CryptoError::Key("its parts do not belong together".to_owned()));
    }
    PKey::from_rsa(key).map_err(CryptoError::key)
}

fn ec_from(members: &SecretJwk) -> Result<PKey<Private>, CryptoError> {
    let d = members.number("d")?;
    let made = p256().and_then(|group| {
        // The public part is computed, so it cannot disagree with the private one; the `kid` tells whether it should.
        let mut point = EcPoint::new(&group)?;
        let mut context = BigNumContext::new_secure()?;
        point.mul_generator2(&group, &d, &mut context)?;
        let key = EcKey::from_private_components(&group, &d, &point)?;
        key.check_key()?;
        PKey::from_ec_key(key)
    });
    made.map_err(CryptoError::key)
}

fn secret_b64(number: &BigNumRef) -> Zeroizing<String> {
    Zeroizing::new(BASE64URL_NOPAD.encode(&Zeroizing::new(number.to_vec())))
}

/// A private JWK while it is read; wiped afterwards.
struct SecretJwk(Value);

impl SecretJwk {
    fn parse(json: &str) -> Result<Self, CryptoError> {
        // The parser's own words may quote what it read.
        strict_value(json.as_bytes()).map(Self).map_err(|_| CryptoError::Key("it is not a JWK".to_owned()))
    }

    fn text(&self, name: &str) -> Result<&str, CryptoError> {
        self.0.get(name).and_then(Value::as_str).ok_or_else(|| CryptoError::Key(format!("it has no string `{name}`")))
    }

    fn number(&self, name: &str) -> Result<BigNum, CryptoError> {
        let bytes = BASE64URL_NOPAD
            .decode(self.text(name)?.as_bytes())
            .map(Zeroizing::new)
            .map_err(|_| CryptoError::Key(format!("its `{name}` is not base64url")))?;
        let mut number = BigNum::new_secure().map_err(CryptoError::key)?;
        number.copy_from_slice(&bytes).map_err(CryptoError::key)?;
        Ok(number)
    }
}

impl Drop for SecretJwk {
    fn drop(&mut self) {
        if let Value::Object(members) = &mut self.0 {
            for member in members.values_mut() {
                if let Value::String(text) = member {
                    text.zeroize();
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use josekit::jwk::Jwk;
    use josekit::jws;

    use super::*;
    use crate::crypto::fixtures::{EC, RSA, set_of};
    use crate::crypto::jwt::UnverifiedToken;

    #[test]
    fn what_is_signed_verifies_here_and_with_the_jose_library_alone() {
        for key in [&*RSA, &*EC] {
            let token = key.sign(br#"{"iss":"https://sign.example.com","sub":"x"}"#).unwrap();
            let verified = UnverifiedToken::parse(&token).unwrap().verify(&set_of(&[key])).unwrap();
            assert_eq!(verified.get().claims.get("sub").unwrap(), "x");
            let jwk = Jwk::from_bytes(key.public_jwk().to_string()).unwrap();
            let verifier: Box<dyn jws::JwsVerifier> = match key.alg() {
                TokenAlg::Rs256 => Box::new(RS256.verifier_from_jwk(&jwk).unwrap()),
                TokenAlg::Es256 => Box::new(ES256.verifier_from_jwk(&jwk).unwrap()),
            };
            let (_, header) = jws::deserialize_compact(&token, &*verifier).unwrap();
            assert_eq!(header.key_id(), Some(key.kid().as_str()));
        }
    }

    #[test]
    fn the_header_is_the_same_bytes_every_time() {
        let token = RSA.sign(b"{}").unwrap();
        let header = BASE64URL_NOPAD.decode(token.split('.').next().unwrap().as_bytes()).unwrap();
        let expected = format!(r#"{{"alg":"RS256","kid":"{}","typ":"JWT"}}"#, RSA.kid());
        assert_eq!(header, expected.as_bytes());
        assert_eq!(token, RSA.sign(b"{}").unwrap(), "RS256 is deterministic");
    }

    #[test]
    fn an_es256_signature_always_has_64_octets() {
        let set = set_of(&[&EC]);
        for at in 0..2000_u32 {
            let input = at.to_be_bytes();
            let signature = EC.sign_raw(&input).unwrap();
            assert_eq!(signature.len(), 64);
            set.check("ES256", Some(EC.kid().as_str()), &input, &signature).unwrap();
        }
    }

    #[test]
    fn the_public_jwk_has_the_members_that_every_consumer_takes() {
        let names = |key: &SigningKey| {
            let mut names: Vec<String> = key.public_jwk().as_object().unwrap().keys().cloned().collect();
            names.sort();
            names.join(" ")
        };
        assert_eq!(names(&RSA), "alg e kid kty n use");
        assert_eq!(names(&EC), "alg crv kid kty use x y");
    }

    #[test]
    fn a_key_comes_back_from_its_secret_form() {
        for key in [&*RSA, &*EC] {
            let secret = key.to_secret_json().unwrap();
            let back = SigningKey::from_secret_json(&secret).unwrap();
            assert_eq!((back.kid(), back.alg(), back.public_jwk()), (key.kid(), key.alg(), key.public_jwk()));
            let token = back.sign(b"{}").unwrap();
            assert!(UnverifiedToken::parse(&token).unwrap().verify(&set_of(&[key])).is_ok());
        }
    }

    #[test]
    fn a_secret_form_whose_parts_do_not_fit_is_refused() {
        let secret = RSA.to_secret_json().unwrap();
        let mut broken: Value = serde_json::from_str(&secret).unwrap();
        broken["d"] = "AQAB".into();
        assert!(SigningKey::from_secret_json(&broken.to_string()).is_err());
        let mut renamed: Value = serde_json::from_str(&secret).unwrap();
        renamed["kid"] = EC.kid().as_str().into();
        assert!(SigningKey::from_secret_json(&renamed.to_string()).is_err());
        let mut other: Value = serde_json::from_str(&EC.to_secret_json().unwrap()).unwrap();
        other["d"] = "AQAB".into();
        assert!(SigningKey::from_secret_json(&other.to_string()).is_err(), "the kid belongs to another point");
        for text in ["", "{}", "[]", r#"{"alg":"HS256"}"#] {
            assert!(SigningKey::from_secret_json(text).is_err());
        }
    }

    #[test]
    fn another_key_is_of_the_same_kind_and_another_one() {
        let large = SigningKey::generate(TokenAlg::Rs256, 3072).unwrap();
        for key in [&*RSA, &*EC, &large] {
            let other = key.another().unwrap();
            assert_eq!((other.alg(), other.key.bits()), (key.alg(), key.key.bits()));
            assert_ne!(other.kid(), key.kid());
        }
    }

    #[test]
    fn other_sizes_are_not_made() {
        for bits in [0, 512, 1024, 2047, 4096, 16_384] {
            assert!(SigningKey::generate(TokenAlg::Rs256, bits).is_err(), "{bits}");
        }
    }
}

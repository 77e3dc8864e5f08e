//! Messages that only one browser can read, and the word to its push service who sends them.
//! In: a plain message and a browser's keys; an origin and a time. Out: a sealed body; the `Authorization` header.
//! Implements RFC 8291 (over RFC 8188, `aes128gcm`, one record) and RFC 8292 (VAPID).
//! Never seals two messages with one key or salt, and never lets a message's length tell what it says.

use data_encoding::BASE64URL_NOPAD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use openssl::bn::BigNumContext;
use openssl::derive::Deriver;
use openssl::ec::{EcGroup, EcKey, EcPoint, PointConversionForm};
use openssl::nid::Nid;
use openssl::pkey::{PKey, Private};
use openssl::symm::{Cipher, encrypt_aead};
use serde_json::{Value, json};
use sha2::Sha256;
use zeroize::Zeroizing;

use super::signing::SigningKey;
use super::{CryptoError, random};
use crate::domain::rules::TokenAlg;
use crate::domain::time::Timestamp;

/// Size of the one record; every message is padded to it.
pub const RECORD: usize = 1024;
/// Longest message, in bytes.
pub const MAX_MESSAGE: usize = RECORD - TAG - 1;
/// How long the word to a push service is good, in seconds; RFC 8292 §2 allows 24 h.
pub const VAPID_SECONDS: i64 = 3600;
const TAG: usize = 16;
const SALT: usize = 16;

/// The key that says to push services who sends.
#[derive(Debug)]
pub struct VapidKey {
    key: SigningKey,
    point: String,
}

impl VapidKey {
    /// Makes a new key.
    ///
    /// # Errors
    /// `Key` where OpenSSL cannot make one.
    pub fn generate() -> Result<Self, CryptoError> {
        Self::of(SigningKey::generate(TokenAlg::Es256, 0)?)
    }

    /// Reads what `to_secret_json` gave.
    ///
    /// # Errors
    /// `Key` where it is anything else.
    pub fn from_secret_json(json: &str) -> Result<Self, CryptoError> {
        Self::of(SigningKey::from_secret_json(json)?)
    }

    /// The private JWK, to be wrapped before it goes anywhere.
    ///
    /// # Errors
    /// `Key` where OpenSSL does not give the parts away.
    pub fn to_secret_json(&self) -> Result<Zeroizing<String>, CryptoError> {
        self.key.to_secret_json()
    }

    /// The public key as browsers and services take it: base64url of 65 bytes.
    #[must_use]
    pub fn public(&self) -> &str {
        &self.point
    }

    /// The `Authorization` header for a service's origin.
    ///
    /// # Errors
    /// `Sign` where OpenSSL fails.
    pub fn authorization(&self, audience: &str, subject: &str, now: Timestamp) -> Result<String, CryptoError> {
        let claims = json!({ "aud": audience, "exp": now.seconds() + VAPID_SECONDS, "sub": subject });
        let part = |value: Value| BASE64URL_NOPAD.encode(value.to_string().as_bytes());
        let mut token = format!("{}.{}", part(json!({ "typ": "JWT", "alg": "ES256" })), part(claims));
        let signature = self.key.sign_raw(token.as_bytes())?;
        token.push('.');
        token.push_str(&BASE64URL_NOPAD.encode(&signature));
        Ok(format!("vapid t={token}, k={}", self.point))
    }

    fn of(key: SigningKey) -> Result<Self, CryptoError> {
        let jwk = key.public_jwk();
        let coordinate = |name: &str| jwk.get(name).and_then(Value::as_str).map(str::as_bytes).unwrap_or_default();
        let [x, y] = ["x", "y"].map(|name| BASE64URL_NOPAD.decode(coordinate(name)).map_err(CryptoError::key));
        let point = [&[4][..], &x?, &y?].concat();
        if point.len() != 65 {
            return Err(CryptoError::Key("it is no P-256 key".to_owned()));
        }
        Ok(Self { key, point: BASE64URL_NOPAD.encode(&point) })
    }
}

/// Seals a message for a browser.
///
/// # Errors
/// `Key` where the browser's key is no point of the curve, or where the message is too long.
pub fn seal(message: &[u8], key: &[u8; 65], auth: &[u8; 16]) -> Result<Vec<u8>, CryptoError> {
    let group = EcGroup::from_curve_name(Nid::X9_62_PRIME256V1).map_err(CryptoError::key)?;
    let own = EcKey::generate(&group).map_err(CryptoError::key)?;
    if message.len() > MAX_MESSAGE {
        return Err(CryptoError::Key(format!("a message of {} bytes is too long", message.len())));
    }
    // RFC 8188 §2: the delimiter of a last record, then zeros.
    let mut plain = Zeroizing::new(message.to_vec());
    plain.push(2);
    plain.resize(RECORD - TAG, 0);
    seal_with(&plain, (key, auth), &own, random::bytes::<SALT>()?, 4096)
}

fn seal_with(
    record: &[u8],
    (key, auth): (&[u8; 65], &[u8; 16]),
    own: &EcKey<Private>,
    salt: [u8; SALT],
    size: u32,
) -> Result<Vec<u8>, CryptoError> {
    let (shared, own_point) = agree(own, key).map_err(CryptoError::key)?;
    let info = [b"WebPush: info\0", &key[..], &own_point].concat();
    let input = expand(&keyed(auth, &shared)?, &info)?;
    let secret = keyed(&salt, &input)?;
    let content_key = expand(&secret, b"Content-Encoding: aes128gcm\0")?;
    let nonce = expand(&secret, b"Content-Encoding: nonce\0")?;
    let [content_key, nonce] = [content_key.get(..16), nonce.get(..12)].map(Option::unwrap_or_default);
    let mut tag = [0; TAG];
    let sealed = encrypt_aead(Cipher::aes_128_gcm(), content_key, Some(nonce), &[], record, &mut tag);
    let sealed = sealed.map_err(CryptoError::key)?;
    let length = u8::try_from(own_point.len()).map_err(CryptoError::key)?;
    Ok([&salt[..], &size.to_be_bytes(), &[length], &own_point, &sealed, &tag].concat())
}

type Agreed = (Zeroizing<Vec<u8>>, Vec<u8>);

/// ECDH with the browser's key, which must be a point of the curve; beside it our own point.
fn agree(own: &EcKey<Private>, key: &[u8]) -> Result<Agreed, openssl::error::ErrorStack> {
    let group = own.group();
    let mut context = BigNumContext::new()?;
    let theirs = EcPoint::from_bytes(group, key, &mut context)?;
    let theirs = EcKey::from_public_key(group, &theirs)?;
    theirs.check_key()?;
    let point = own.public_key().to_bytes(group, PointConversionForm::UNCOMPRESSED, &mut context)?;
    let (own, theirs) = (PKey::from_ec_key(own.clone())?, PKey::from_ec_key(theirs)?);
    let mut deriver = Deriver::new(&own)?;
    deriver.set_peer(&theirs)?;
    Ok((Zeroizing::new(deriver.derive_to_vec()?), point))
}

/// HKDF-Extract (RFC 5869 §2.2), HMAC-SHA-256.
fn keyed(salt: &[u8], input: &[u8]) -> Result<Zeroizing<Vec<u8>>, CryptoError> {
    let mut mac = Hmac::<Sha256>::new_from_slice(salt).map_err(CryptoError::key)?;
    mac.update(input);
    Ok(Zeroizing::new(mac.finalize().into_bytes().to_vec()))
}

/// HKDF-Expand (RFC 5869 §2.3) to at most one block.
fn expand(secret: &[u8], info: &[u8]) -> Result<Zeroizing<Vec<u8>>, CryptoError> {
    keyed(secret, &[info, &[1]].concat())
}

#[cfg(test)]
mod tests {
    use openssl::bn::BigNum;

    use super::*;

    fn decode(text: &str) -> Vec<u8> {
        BASE64URL_NOPAD.decode(text.as_bytes()).unwrap()
    }

    fn private(text: &str) -> EcKey<Private> {
        let group = EcGroup::from_curve_name(Nid::X9_62_PRIME256V1).unwrap();
        let d = BigNum::from_slice(&decode(text)).unwrap();
        let mut point = EcPoint::new(&group).unwrap();
        point.mul_generator2(&group, &d, &mut BigNumContext::new().unwrap()).unwrap();
        EcKey::from_private_components(&group, &d, &point).unwrap()
    }

    const BROWSER: &str = "BCVxsr7N_eNgVRqvHtD0zTZsEc6-VV-JvLexhqUzORcxaOzi6-AYWXvTBHm4bjyPjs7Vd8pZGH6SRpkNtoIAiw4";

    #[test]
    fn the_example_of_rfc_8291_comes_out() {
        let own = private("yfWPiYE-n46HLnH0KqZOF1fJJU3MYrct3AELtAQ-oRw");
        let key: [u8; 65] = decode(BROWSER).try_into().unwrap();
        let auth: [u8; 16] = decode("BTBZMqHH6r4Tts7J_aSIgg").try_into().unwrap();
        let salt = decode("DGv6ra1nlYgDCS1FRnbzlw").try_into().unwrap();
        let record = b"When I grow up, I want to be a watermelon\x02";
        let sealed = seal_with(record, (&key, &auth), &own, salt, 4096).unwrap();
        let expected = "DGv6ra1nlYgDCS1FRnbzlwAAEABBBP4z9KsN6nGRTbVYI_c7VJSPQTBtkgcy27mlmlMoZIIgDll6e3vCYLocInmYWAmS6Tl\
                        zAC8wEqKK6PBru3jl7A_yl95bQpu6cVPTpK4Mqgkf1CXztLVBSt2Ks3oZwbuwXPXLWyouBWLVWGNWQexSgSxsj_Qulcy4a-fN";
        assert_eq!(BASE64URL_NOPAD.encode(&sealed), expected);
    }

    #[test]
    fn no_two_messages_are_alike_and_all_are_of_one_length() {
        let key: [u8; 65] = decode(BROWSER).try_into().unwrap();
        let [one, two] = [0, 1].map(|_| seal(b"x", &key, &[7; 16]).unwrap());
        assert_ne!(one, two);
        assert_ne!(one[..SALT], two[..SALT]);
        let long = seal(&[b'x'; MAX_MESSAGE], &key, &[7; 16]).unwrap();
        assert_eq!((one.len(), long.len()), (86 + RECORD, 86 + RECORD));
        assert!(seal(&[b'x'; MAX_MESSAGE + 1], &key, &[7; 16]).is_err());
    }

    #[test]
    fn a_key_off_the_curve_seals_nothing() {
        let mut key: [u8; 65] = decode(BROWSER).try_into().unwrap();
        key[64] ^= 1;
        assert!(seal(b"x", &key, &[7; 16]).is_err());
        assert!(seal(b"x", &[4; 65], &[7; 16]).is_err());
        assert!(seal(b"x", &[0; 65], &[7; 16]).is_err());
    }

    #[test]
    fn the_word_to_a_service_is_signed_for_it_alone_and_short() {
        let key = VapidKey::generate().unwrap();
        let again = VapidKey::from_secret_json(&key.to_secret_json().unwrap()).unwrap();
        assert_eq!(key.public(), again.public());
        let now = Timestamp::from_seconds(1_795_430_400);
        let header = again.authorization("https://push.example.com", "https://sign.example.com", now).unwrap();
        let token = header.strip_prefix("vapid t=").unwrap().split(", k=").next().unwrap();
        assert!(header.ends_with(&format!(", k={}", key.public())));
        let mut parts = token.split('.');
        assert_eq!(decode(parts.next().unwrap()), br#"{"typ":"JWT","alg":"ES256"}"#);
        let claims: Value = serde_json::from_slice(&decode(parts.next().unwrap())).unwrap();
        let expected =
            json!({ "aud": "https://push.example.com", "exp": 1_795_434_000, "sub": "https://sign.example.com" });
        assert_eq!(claims, expected);
        assert!(!format!("{key:?}").contains(&*key.to_secret_json().unwrap()));
    }
}

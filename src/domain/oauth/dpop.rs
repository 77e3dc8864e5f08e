//! A proof of possession: whether it is for this call, this moment and this token.
//! In: its verified header and claims, the call. Out: what is remembered of it, or what is wrong.
//! Implements RFC 9449 §4.2, §4.3, §8, §9, §11.1.
//! Never takes a proof for longer than a minute, nor one for another URL, method or token.

use std::time::Duration;

use data_encoding::BASE64URL_NOPAD;
use hmac::{Hmac, KeyInit, Mac};
use serde_json::{Map, Value};
use sha2::Sha256;
use url::Url;

use super::client_auth::MAX_JTI;
use crate::domain::ids::{Digest, Kid};
use crate::domain::time::{LEEWAY, Timestamp};

/// How old a proof may be.
pub const DPOP_AGE: Duration = Duration::from_mins(1);
/// How long one server nonce is given out; the one before it counts, too.
pub const DPOP_NONCE: Duration = Duration::from_mins(5);
/// Longest proof, in bytes.
pub const MAX_DPOP_PROOF: usize = 8 * 1024;

/// The call that a proof must be for.
#[derive(Debug, Clone, Copy)]
pub struct Call<'a> {
    /// Its method.
    pub method: &'a str,
    /// Its URL, without query and fragment.
    pub url: &'a str,
    /// The access token that it brings, at a resource.
    pub access_token: Option<&'a str>,
}

/// What is remembered of a good proof, so that it does not come again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    /// SHA-256 over the key and its `jti`.
    pub digest: Digest,
    /// Until when it could come again.
    pub ends: Timestamp,
    /// It carries a nonce of ours: it was made after that was given out.
    pub with_nonce: bool,
}

/// Why a proof does not count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// What is wrong with it, as a clause.
    Invalid(&'static str),
    /// A nonce of ours is wanted, and this has none or an old one.
    Nonce,
}

/// Judges a proof whose signature was checked by its own key; `wanted` where it must carry a nonce of ours.
///
/// # Errors
/// The first that is wrong.
pub fn judge(
    (header, claims): (&Map<String, Value>, &Map<String, Value>),
    jkt: &Kid,
    call: Call<'_>,
    (nonces, wanted): (&Nonces, bool),
    now: Timestamp,
) -> Result<Seen, Fault> {
    let text = |name: &str| claims.get(name).and_then(Value::as_str);
    if header.get("typ").and_then(Value::as_str) != Some("dpop+jwt") {
        return Err(Fault::Invalid("its `typ` is not `dpop+jwt`"));
    }
    if text("htm") != Some(call.method) {
        return Err(Fault::Invalid("its `htm` is not the method of this call"));
    }
    if !text("htu").is_some_and(|htu| is_same_url(htu, call.url)) {
        return Err(Fault::Invalid("its `htu` is not the URL of this call"));
    }
    let made = claims.get("iat").and_then(Value::as_i64).map(Timestamp::from_seconds);
    let made = made.ok_or(Fault::Invalid("it has no `iat`"))?;
    if made > now + LEEWAY || now > made + DPOP_AGE + LEEWAY {
        return Err(Fault::Invalid("its `iat` is too old, or in the future"));
    }
    let jti = text("jti").filter(|jti| !jti.is_empty() && jti.len() <= MAX_JTI);
    let jti = jti.ok_or(Fault::Invalid("it has no `jti`, or one that is too long"))?;
    let ath = call.access_token.map(|token| BASE64URL_NOPAD.encode(Digest::of(token.as_bytes()).as_bytes()));
    if ath.is_some() && text("ath") != ath.as_deref() {
        return Err(Fault::Invalid("its `ath` is not the digest of the access token"));
    }
    let with_nonce = text("nonce").is_some_and(|nonce| nonces.knows(nonce, now));
    if wanted && !with_nonce {
        return Err(Fault::Nonce);
    }
    let digest = Digest::of(format!("{jkt}\0{jti}").as_bytes());
    Ok(Seen { digest, ends: made + DPOP_AGE + LEEWAY, with_nonce })
}

/// RFC 9449 §4.3: query and fragment aside, as RFC 3986 §6.2.2 and §6.2.3 normalise.
fn is_same_url(stated: &str, wanted: &str) -> bool {
    let plain = |text: &str| {
        let mut url = Url::parse(text).ok()?;
        url.set_query(None);
        url.set_fragment(None);
        (url.username().is_empty() && url.password().is_none()).then_some(url)
    };
    plain(stated).zip(plain(wanted)).is_some_and(|(stated, wanted)| stated == wanted)
}

/// Our nonces: a keyed digest of the time, so that none has to be remembered.
pub struct Nonces([u8; 32]);

impl std::fmt::Debug for Nonces {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Nonces(redacted)")
    }
}

impl Nonces {
    /// Nonces under a key that nobody else has.
    #[must_use]
    pub const fn new(key: [u8; 32]) -> Self {
        Self(key)
    }

    /// The nonce of this moment.
    #[must_use]
    pub fn now(&self, now: Timestamp) -> String {
        self.of(step(now))
    }

    fn of(&self, step: i64) -> String {
        let mut block = [0; 64];
        for (place, byte) in block.iter_mut().zip(&self.0) {
            *place = *byte;
        }
        let mut mac = Hmac::<Sha256>::new(&block.into());
        mac.update(&step.to_be_bytes());
        let digest: [u8; 32] = mac.finalize().into_bytes().into();
        BASE64URL_NOPAD.encode(digest.split_at(16).0)
    }

    /// Whether a nonce is the one of this moment or the one before it.
    #[must_use]
    pub fn knows(&self, nonce: &str, now: Timestamp) -> bool {
        let step = step(now);
        [step, step - 1].into_iter().any(|step| self.of(step) == nonce)
    }
}

fn step(now: Timestamp) -> i64 {
    now.seconds().div_euclid(i64::try_from(DPOP_NONCE.as_secs()).unwrap_or(i64::MAX))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const URL: &str = "https://sign.example.com/token";

    fn now() -> Timestamp {
        Timestamp::from_seconds(1_795_430_400)
    }

    fn judged(header: &Value, claims: &Value, token: Option<&str>, nonces: Option<&Nonces>) -> Result<Seen, Fault> {
        let call = Call { method: "POST", url: URL, access_token: token };
        let jkt = Kid::parse(&BASE64URL_NOPAD.encode(&[7; 32])).unwrap();
        let ours = Nonces::new([9; 32]);
        let nonces = (nonces.unwrap_or(&ours), nonces.is_some());
        judge((header.as_object().unwrap(), claims.as_object().unwrap()), &jkt, call, nonces, now())
    }

    fn claims() -> Value {
        json!({ "htm": "POST", "htu": URL, "iat": now().seconds(), "jti": "1" })
    }

    fn with(name: &str, value: &Value) -> Value {
        let mut claims = claims();
        claims[name] = value.clone();
        claims
    }

    #[test]
    fn attack_070_a_proof_is_for_one_call() {
        let header = json!({ "typ": "dpop+jwt" });
        let seen = judged(&header, &claims(), None, None).unwrap();
        assert_eq!(seen.ends, now() + Duration::from_secs(90));
        let seconds = now().seconds();
        for (name, value) in [
            ("htm", json!("GET")),
            ("htm", json!("post")),
            ("htu", json!("https://sign.example.com/userinfo")),
            ("htu", json!("https://other.example.com/token")),
            ("htu", json!("https://a@sign.example.com/token")),
            ("htu", json!("/token")),
            ("iat", json!(seconds - 91)),
            ("iat", json!(seconds + 31)),
            ("iat", json!("now")),
            ("jti", json!("")),
            ("jti", json!("x".repeat(MAX_JTI + 1))),
        ] {
            assert!(judged(&header, &with(name, &value), None, None).is_err(), "{name}: {value}");
        }
        for (name, value) in [
            ("htu", json!("https://SIGN.example.com:443/token?x=1#y")),
            ("iat", json!(seconds - 90)),
            ("iat", json!(seconds + 30)),
        ] {
            assert!(judged(&header, &with(name, &value), None, None).is_ok(), "{name}: {value}");
        }
        assert!(judged(&json!({ "typ": "JWT" }), &claims(), None, None).is_err());
        assert!(judged(&json!({}), &claims(), None, None).is_err());
    }

    #[test]
    fn attack_070_at_a_resource_it_is_for_one_token() {
        let header = json!({ "typ": "dpop+jwt" });
        assert!(judged(&header, &claims(), Some("token"), None).is_err());
        let ath = BASE64URL_NOPAD.encode(Digest::of(b"token").as_bytes());
        assert!(judged(&header, &with("ath", &json!(ath)), Some("token"), None).is_ok());
        assert!(judged(&header, &with("ath", &json!(ath)), Some("other"), None).is_err());
    }

    #[test]
    fn a_nonce_counts_for_five_to_ten_minutes() {
        let (nonces, header) = (Nonces::new([7; 32]), json!({ "typ": "dpop+jwt" }));
        assert_eq!(judged(&header, &claims(), None, Some(&nonces)), Err(Fault::Nonce));
        let nonce = nonces.now(now());
        assert!(judged(&header, &with("nonce", &json!(nonce)), None, Some(&nonces)).unwrap().with_nonce);
        assert!(!judged(&header, &with("nonce", &json!(nonce)), None, None).unwrap().with_nonce, "another's");
        assert!(nonces.knows(&nonce, now() + DPOP_NONCE));
        assert!(!nonces.knows(&nonce, now() + DPOP_NONCE * 2));
        assert!(!nonces.knows(&Nonces::new([8; 32]).now(now()), now()));
        assert!(!format!("{nonces:?}").contains('7'));
    }
}

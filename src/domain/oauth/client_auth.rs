//! How a client says who it is, read without tolerance; and what its assertion must say.
//! In: the `Authorization` header and the form; verified claims. Out: one claim to be someone, or the first fault.
//! Implements RFC 6749 §2.3.1, RFC 7523 §3, OpenID Connect Core 1.0 §9, RFC 9700 §2.5.
//! Never takes two ways at once, and never an audience that another server could share.

use std::fmt;
use std::time::Duration;

use data_encoding::BASE64;
use serde_json::{Map, Value};

use super::error_code::ErrorCode;
use super::exchange::SubjectToken;
use super::form::Form;
use crate::domain::ids::{ClientId, Digest};
use crate::domain::rules::Refusal;
use crate::domain::time::{LEEWAY, Timestamp};

/// Longest client secret that is looked at, in bytes.
pub const MAX_CLIENT_SECRET: usize = 256;
/// Longest assertion of a client, in bytes.
pub const MAX_CLIENT_ASSERTION: usize = 8 * 1024;
/// Longest `jti` of an assertion or a proof, in bytes.
pub const MAX_JTI: usize = 256;
/// How long an assertion of a client may live: as long as its `jti` is remembered.
pub const CLIENT_ASSERTION_MOST: Duration = Duration::from_hours(1);

/// What clients may sign assertions and proofs with, as metadata lists it.
pub const CLIENT_ALGS: [&str; 4] = ["ES256", "RS256", "PS256", "EdDSA"];

/// RFC 7523 §2.2 `client_assertion_type`.
pub const ASSERTION_TYPE: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

/// A secret that nobody may read in diagnostics.
#[derive(Clone, PartialEq, Eq)]
pub struct ClientSecret(String);

impl ClientSecret {
    /// Its SHA-256, the only form that is compared.
    #[must_use]
    pub fn digest(&self) -> Digest {
        Digest::of(self.0.as_bytes())
    }
}

impl fmt::Debug for ClientSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ClientSecret(redacted)")
    }
}

/// Who a client says it is, and by what; nothing of it is proven.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Claimed {
    /// By its id alone: a public client.
    Id(String),
    /// `client_secret_basic`.
    Basic(String, ClientSecret),
    /// `client_secret_post`.
    Post(String, ClientSecret),
    /// `private_key_jwt`; the id where the form has one, too.
    Assertion(Option<String>, SubjectToken),
}

impl Claimed {
    /// Reads how a client says who it is.
    ///
    /// # Errors
    /// `client_auth_mixed` for two ways at once, `client_unknown` for what cannot be anybody, `parameter_missing`.
    pub fn read(authorization: Option<&str>, form: &Form) -> Result<Self, Refusal> {
        let id = form.get("client_id").map(str::to_owned);
        let secret = form.get("client_secret");
        let assertion = form.get("client_assertion");
        let ways = [authorization.is_some(), secret.is_some(), assertion.is_some()];
        if ways.into_iter().filter(|used| *used).count() > 1 {
            let text = "the client says in more than one way who it is";
            return Err(Refusal::new(ErrorCode::ClientAuthMixed, text));
        }
        if let Some(header) = authorization {
            let (named, secret) = basic(header)?;
            if id.is_some_and(|id| id != named) {
                let text = "`client_id` is another one than the header's";
                return Err(Refusal::new(ErrorCode::ClientAuthMixed, text));
            }
            return Ok(Self::Basic(named, secret));
        }
        if let Some(token) = assertion {
            if form.require("client_assertion_type")? != ASSERTION_TYPE {
                let text = format!("`client_assertion_type` is not `{ASSERTION_TYPE}`");
                return Err(Refusal::new(ErrorCode::ClientAssertionInvalid, text));
            }
            if token.len() > MAX_CLIENT_ASSERTION {
                let text = format!("`client_assertion` is longer than {MAX_CLIENT_ASSERTION} bytes");
                return Err(Refusal::new(ErrorCode::ClientAssertionInvalid, text));
            }
            return Ok(Self::Assertion(id, SubjectToken::new(token.to_owned())));
        }
        let Some(id) = id else {
            return Err(Refusal::new(ErrorCode::ClientUnknown, "the call does not say which client it is from"));
        };
        match secret {
            Some(secret) => Ok(Self::Post(id, bounded(secret)?)),
            None => Ok(Self::Id(id)),
        }
    }
}

fn unknown(text: &str) -> Refusal {
    Refusal::new(ErrorCode::ClientUnknown, text)
}

fn bounded(secret: &str) -> Result<ClientSecret, Refusal> {
    if secret.is_empty() {
        return Err(unknown("the client is unknown, or did not prove who it is"));
    }
    if secret.len() > MAX_CLIENT_SECRET {
        return Err(unknown("the secret is longer than any that this server makes"));
    }
    Ok(ClientSecret(secret.to_owned()))
}

/// RFC 7617 with RFC 6749 §2.3.1's encoding of both halves.
fn basic(header: &str) -> Result<(String, ClientSecret), Refusal> {
    let malformed = || unknown("the `Authorization` header is not `Basic` with a client id and a secret");
    let (scheme, credentials) = header.split_once(' ').ok_or_else(malformed)?;
    if !scheme.eq_ignore_ascii_case("basic") || credentials.len() > 4 * MAX_CLIENT_SECRET {
        return Err(malformed());
    }
    let decoded = BASE64.decode(credentials.trim().as_bytes()).map_err(|_| malformed())?;
    let decoded = String::from_utf8(decoded).map_err(|_| malformed())?;
    let (id, secret) = decoded.split_once(':').ok_or_else(malformed)?;
    let id = form_decoded(id).ok_or_else(malformed)?;
    let secret = form_decoded(secret).ok_or_else(malformed)?;
    Ok((id, bounded(&secret)?))
}

/// One value of `application/x-www-form-urlencoded`.
fn form_decoded(text: &str) -> Option<String> {
    let mut pairs = url::form_urlencoded::parse(text.as_bytes());
    match (pairs.next(), pairs.next()) {
        (None, None) => Some(String::new()),
        (Some((name, value)), None) if value.is_empty() && !text.contains('=') => Some(name.into_owned()),
        _ => None,
    }
}

/// What is remembered of an assertion that is good.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Spent {
    /// SHA-256 of its `jti`.
    pub jti_sha256: Digest,
    /// Until when it could come again.
    pub ends: Timestamp,
}

/// What a client's assertion is judged by.
#[derive(Debug, Clone, Copy)]
pub struct AssertionTerms<'a> {
    /// Whose it must be.
    pub client: &'a ClientId,
    /// Whom it must be meant for.
    pub issuer: &'a str,
    /// When the log went on after a restore, if it did: what was used in the part that is lost is not known any more.
    pub resumed: Option<Timestamp>,
    /// The present.
    pub now: Timestamp,
}

/// Judges what a client's assertion says (RFC 7523 §3), its signature being checked.
///
/// # Errors
/// What is wrong, as a clause.
pub fn judge_assertion(claims: &Map<String, Value>, terms: AssertionTerms<'_>) -> Result<Spent, &'static str> {
    let AssertionTerms { client, issuer, resumed, now } = terms;
    let text = |name: &str| claims.get(name).and_then(Value::as_str);
    if text("iss") != Some(client.as_str()) || text("sub") != Some(client.as_str()) {
        return Err("`iss` and `sub` are not both the client's id");
    }
    // Alone and as one string: an assertion that is meant for others too could be theirs to replay.
    if text("aud") != Some(issuer) {
        return Err("`aud` is not this server's issuer, alone and as a string");
    }
    let time = |name: &str| match claims.get(name) {
        None => Ok(None),
        Some(value) => {
            value.as_i64().map(|seconds| Some(Timestamp::from_seconds(seconds))).ok_or("a time is no number")
        }
    };
    let ends = time("exp")?.ok_or("`exp` is missing")?;
    if now >= ends + LEEWAY {
        return Err("it has expired");
    }
    if ends > now + CLIENT_ASSERTION_MOST + LEEWAY {
        return Err("it lives longer than an hour");
    }
    for name in ["iat", "nbf"] {
        if time(name)?.is_some_and(|at| at > now + LEEWAY) {
            return Err("it is from the future");
        }
    }
    // One that was signed before a restore may have been used in the part that is lost. Without `iat` it may be as old as
    // its end allows.
    let signed = time("iat")?.unwrap_or(ends - CLIENT_ASSERTION_MOST);
    if resumed.is_some_and(|resumed| signed <= resumed + LEEWAY) {
        return Err("the log went on after a restore, and it may have been used before; sign it later, with `iat`");
    }
    match text("jti") {
        Some(jti) if !jti.is_empty() && jti.len() <= MAX_JTI => {
            Ok(Spent { jti_sha256: Digest::of(jti.as_bytes()), ends: ends + LEEWAY })
        }
        _ => Err("`jti` is missing, empty or too long"),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn read(authorization: Option<&str>, body: &str) -> Result<Claimed, ErrorCode> {
        Claimed::read(authorization, &Form::read(body.as_bytes()).unwrap()).map_err(|refusal| refusal.code)
    }

    fn header(pair: &str) -> String {
        format!("Basic {}", BASE64.encode(pair.as_bytes()))
    }

    #[test]
    fn each_way_is_read_and_no_secret_is_shown() {
        let secret = |text: &str| ClientSecret(text.to_owned());
        assert_eq!(read(None, "client_id=spa"), Ok(Claimed::Id("spa".to_owned())));
        let basic = read(Some(&header("grafana:cs%5Fx%2By")), "client_id=grafana").unwrap();
        assert_eq!(basic, Claimed::Basic("grafana".to_owned(), secret("cs_x+y")));
        let post = read(None, "client_id=grafana&client_secret=cs_x").unwrap();
        assert_eq!(post, Claimed::Post("grafana".to_owned(), secret("cs_x")));
        let assertion = format!("client_assertion=a.b.c&client_assertion_type={ASSERTION_TYPE}");
        let assertion = read(None, &assertion).unwrap();
        for shown in [basic, post, assertion] {
            let shown = format!("{shown:?}");
            assert!(!shown.contains("cs_x") && !shown.contains("a.b.c"), "{shown}");
        }
    }

    #[test]
    fn attack_069_one_way_at_a_time() {
        let basic = header("grafana:cs_x");
        for body in ["client_id=grafana&client_secret=cs_x", "client_assertion=a.b.c", "client_id=other"] {
            assert_eq!(read(Some(&basic), body), Err(ErrorCode::ClientAuthMixed), "{body}");
        }
        let both = "client_id=grafana&client_secret=cs_x&client_assertion=a.b.c";
        assert_eq!(read(None, both), Err(ErrorCode::ClientAuthMixed));
        assert_eq!(read(None, ""), Err(ErrorCode::ClientUnknown));
        for wrong in ["Bearer x", "Basic", "Basic ?", &header("nothing"), &header("a:b&c"), &header("a=b:c")] {
            assert_eq!(read(Some(wrong), ""), Err(ErrorCode::ClientUnknown), "{wrong}");
        }
        let long = format!("client_id=a&client_secret={}", "x".repeat(MAX_CLIENT_SECRET + 1));
        assert_eq!(read(None, &long), Err(ErrorCode::ClientUnknown));
        assert_eq!(read(Some(&header("grafana:")), ""), Err(ErrorCode::ClientUnknown), "no secret is none");
        let assertion =
            |bytes: usize| format!("client_assertion_type={ASSERTION_TYPE}&client_assertion={}", "a".repeat(bytes));
        assert!(read(None, &assertion(MAX_CLIENT_ASSERTION)).is_ok());
        assert_eq!(read(None, &assertion(MAX_CLIENT_ASSERTION + 1)), Err(ErrorCode::ClientAssertionInvalid));
        let other = "client_assertion=a.b.c&client_assertion_type=urn:x";
        assert_eq!(read(None, other), Err(ErrorCode::ClientAssertionInvalid));
    }

    #[test]
    fn attack_069_an_assertion_is_meant_for_us_alone_and_for_now() {
        let (now, client) = (Timestamp::from_seconds(1_795_430_400), ClientId::parse("ci").unwrap());
        let issuer = "https://sign.example.com";
        let good = json!({ "iss": "ci", "sub": "ci", "aud": issuer, "exp": now.seconds() + 60, "jti": "1" });
        let judge = |change: &dyn Fn(&mut Map<String, Value>)| {
            let mut claims = good.as_object().unwrap().clone();
            change(&mut claims);
            judge_assertion(&claims, AssertionTerms { client: &client, issuer, resumed: None, now })
        };
        let spent = judge(&|_| {}).unwrap();
        assert_eq!(spent.ends, now + Duration::from_secs(90));
        for (name, value) in [
            ("iss", json!("other")),
            ("sub", json!("other")),
            ("aud", json!([issuer])),
            ("aud", json!([issuer, "https://other.example"])),
            ("aud", json!("https://sign.example.com/")),
            ("aud", json!("https://sign.example.com/token")),
            ("aud", json!("https://other.example/token")),
            ("exp", json!(now.seconds() - 30)),
            ("exp", json!(now.seconds() + 3_631)),
            ("exp", json!("soon")),
            ("iat", json!(now.seconds() + 31)),
            ("nbf", json!(now.seconds() + 31)),
            ("jti", json!("")),
            ("jti", json!("x".repeat(MAX_JTI + 1))),
            ("jti", json!(1)),
        ] {
            let answer = judge(&|claims| drop(claims.insert(name.to_owned(), value.clone())));
            assert!(answer.is_err(), "{name}: {value}");
        }
        for name in ["iss", "sub", "aud", "exp", "jti"] {
            assert!(judge(&|claims| drop(claims.remove(name))).is_err(), "{name}");
        }
        assert!(judge(&|claims| drop(claims.insert("iat".to_owned(), json!(now.seconds() + 30)))).is_ok());
    }

    #[test]
    fn attack_069_an_assertion_of_before_a_restore_counts_no_more() {
        let now = Timestamp::from_seconds(1_795_430_400);
        let (client, issuer) = (ClientId::parse("grafana").unwrap(), "https://sign.example.com");
        let judge = |iat: Option<i64>, exp: i64, resumed: i64| {
            let seconds = now.seconds();
            let mut claims =
                json!({ "iss": "grafana", "sub": "grafana", "aud": issuer, "exp": seconds + exp, "jti": "1" });
            if let Some(iat) = iat {
                claims["iat"] = json!(seconds + iat);
            }
            let resumed = Some(Timestamp::from_seconds(seconds + resumed));
            let terms = AssertionTerms { client: &client, issuer, resumed, now };
            judge_assertion(claims.as_object().unwrap(), terms).is_ok()
        };
        // The clocks may be half a minute apart.
        assert!(!judge(Some(-60), 300, -60) && !judge(Some(-60), 300, -90) && judge(Some(-60), 300, -91));
        assert!(!judge(Some(0), 300, 0));
        // Without `iat` it may be an hour older than its end.
        assert!(!judge(None, 60, -3_569) && judge(None, 60, -3_571));
        assert!(!judge(None, 3_600, -30) && judge(None, 3_600, -31));
    }

    proptest! {
        #[test]
        fn whatever_is_encoded_for_the_header_reads_back(id in "[a-z0-9._-]{1,20}", secret in "\\PC{1,40}") {
            let encoded: String = url::form_urlencoded::byte_serialize(secret.as_bytes()).collect();
            let found = read(Some(&header(&format!("{id}:{encoded}"))), "");
            prop_assert_eq!(found, Ok(Claimed::Basic(id, ClientSecret(secret))));
        }
    }
}

//! A simulated GitLab: keys, a key set, and the whole claim set of a deploy job.
//! In: what a test changes. Out: signed job tokens, true and forged.
//! Implements GitLab's ID tokens, RFC 7515 §3.1.
//! Never answers over the network: the server has its key set pinned.

use std::sync::LazyLock;
use std::sync::atomic::{AtomicU64, Ordering};

use countersign::crypto::signing::SigningKey;
use countersign::domain::rules::TokenAlg;
use data_encoding::BASE64URL_NOPAD;
use josekit::jwk::Jwk;
use josekit::jws::{ES256, JwsSigner, RS256};
use serde_json::{Map, Value, json};

use super::server::URL;

/// A party that signs job tokens.
pub struct Issuer {
    /// Its short name.
    pub name: &'static str,
    /// Its `iss`.
    pub url: &'static str,
    /// The id of its key.
    pub kid: &'static str,
    /// The public key, as the set has it.
    pub public: Value,
    signer: Box<dyn JwsSigner + Send + Sync>,
}

/// The id that both issuers' key sets have, each for a key of its own.
pub const SHARED_KID: &str = "shared";

static GITLAB: LazyLock<Issuer> = LazyLock::new(|| Issuer::new("gitlab", "https://gitlab.shop.example", "gitlab-1"));
static OTHER: LazyLock<Issuer> = LazyLock::new(|| Issuer::new("other", "https://gitlab.other.example", "other-1"));
static NEXT: AtomicU64 = AtomicU64::new(555_000);

/// The GitLab of every test.
pub fn gitlab() -> &'static Issuer {
    &GITLAB
}

/// A second issuer that the server trusts as well.
pub fn other() -> &'static Issuer {
    &OTHER
}

/// A number that no job had before.
pub fn fresh_id() -> u64 {
    NEXT.fetch_add(1, Ordering::Relaxed)
}

/// A signer for any header, from a key of ours.
pub fn raw_signer(key: &SigningKey) -> Box<dyn JwsSigner + Send + Sync> {
    let jwk = Jwk::from_bytes(key.to_secret_json().unwrap().as_bytes()).unwrap();
    match key.alg() {
        TokenAlg::Rs256 => Box::new(RS256.signer_from_jwk(&jwk).unwrap()),
        TokenAlg::Es256 => Box::new(ES256.signer_from_jwk(&jwk).unwrap()),
    }
}

impl Issuer {
    /// A party with a fresh key.
    pub fn new(name: &'static str, url: &'static str, kid: &'static str) -> Self {
        let key = SigningKey::generate(TokenAlg::Rs256, 2048).unwrap();
        let mut public = key.public_jwk();
        public["kid"] = kid.into();
        Self { name, url, kid, public, signer: raw_signer(&key) }
    }

    /// The key set: the key under its own id and under the one that both issuers use.
    pub fn jwks(&self) -> Vec<u8> {
        let mut second = self.public.clone();
        second["kid"] = SHARED_KID.into();
        json!({ "keys": [self.public, second] }).to_string().into_bytes()
    }

    /// A signature by the issuer's key.
    pub fn sign_raw(&self, input: &[u8]) -> Vec<u8> {
        self.signer.sign(input).unwrap()
    }
}

/// A job token before it is signed.
#[derive(Debug, Clone)]
pub struct JobToken {
    /// The protected header.
    pub header: Map<String, Value>,
    /// The claims.
    pub claims: Map<String, Value>,
}

fn members(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(members) => members,
        other => panic!("{other} is no object"),
    }
}

/// base64url of JSON.
pub fn encode(value: &impl serde::Serialize) -> String {
    BASE64URL_NOPAD.encode(serde_json::to_string(value).unwrap().as_bytes())
}

impl JobToken {
    /// A deploy job on a protected branch, five seconds old at `now`; every job has its own id and `jti`.
    pub fn valid(now: i64) -> Self {
        let (job, issuer) = (fresh_id(), gitlab());
        let claims = json!({
            "project_id": "4711", "project_path": "shop/api", "namespace_id": "310", "namespace_path": "shop",
            "user_id": "88", "user_login": "mara", "user_email": "mara@shop.example",
            "user_access_level": "maintainer", "job_project_id": "4711", "job_project_path": "shop/api",
            "job_namespace_id": "310", "job_namespace_path": "shop", "pipeline_id": "90210",
            "pipeline_source": "push", "job_id": job.to_string(), "ref": "main", "ref_type": "branch",
            "ref_path": "refs/heads/main", "ref_protected": "true", "groups_direct": ["shop", "platform/sre"],
            "environment": "production", "environment_protected": "true", "deployment_tier": "production",
            "environment_action": "start", "job_source": "push", "runner_id": 17,
            "runner_environment": "self-hosted", "sha": "0b2c6d1f6f8f4b7e9c1f2a3d4e5f60718293a4b5",
            "project_visibility": "private",
            "user_identities": [{ "provider": "openid_connect", "extern_uid": "pmq4zx7k2hv5ntr3b" }],
            "ci_config_ref_uri": "gitlab.shop.example/shop/api//.gitlab-ci.yml@refs/heads/main",
            "ci_config_sha": "0b2c6d1f6f8f4b7e9c1f2a3d4e5f60718293a4b5",
            "jti": format!("6c0b3f0e-2f56-4a0e-8a51-{job:012}"), "iss": issuer.url, "iat": now - 5, "nbf": now - 10,
            "exp": now + 3595, "sub": "project_path:shop/api:ref_type:branch:ref:main", "aud": URL,
        });
        let header = json!({ "alg": "RS256", "kid": issuer.kid, "typ": "JWT" });
        Self { header: members(header), claims: members(claims) }
    }

    /// With this claim.
    pub fn with(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.claims.insert(name.to_owned(), value.into());
        self
    }

    /// With all these claims.
    pub fn with_all(mut self, changes: Value) -> Self {
        self.claims.extend(members(changes));
        self
    }

    /// Without this claim.
    pub fn without(mut self, name: &str) -> Self {
        self.claims.remove(name);
        self
    }

    /// With this member of the header.
    pub fn header(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.header.insert(name.to_owned(), value.into());
        self
    }

    /// In another environment.
    pub fn environment(self, name: &str) -> Self {
        self.with("environment", name)
    }

    /// Another token of the same job.
    pub fn again(&self) -> Self {
        self.clone().with("jti", format!("again-{}", fresh_id()))
    }

    /// What is signed.
    pub fn signing_input(&self) -> String {
        format!("{}.{}", encode(&self.header), encode(&self.claims))
    }

    /// Signed by GitLab.
    pub fn sign(&self) -> String {
        self.sign_by(gitlab())
    }

    /// Signed by another issuer's key; the header stays as it is.
    pub fn sign_by(&self, issuer: &Issuer) -> String {
        let input = self.signing_input();
        self.with_signature(&issuer.sign_raw(input.as_bytes()))
    }

    /// With any signature.
    pub fn with_signature(&self, signature: &[u8]) -> String {
        format!("{}.{}", self.signing_input(), BASE64URL_NOPAD.encode(signature))
    }

    /// A claim as text.
    pub fn claim(&self, name: &str) -> &str {
        self.claims.get(name).and_then(Value::as_str).unwrap_or_default()
    }
}

/// The claims of a compact JWS, unverified.
pub fn claims_of(token: &str) -> Value {
    let payload = token.split('.').nth(1).unwrap();
    serde_json::from_slice(&BASE64URL_NOPAD.decode(payload.as_bytes()).unwrap()).unwrap()
}

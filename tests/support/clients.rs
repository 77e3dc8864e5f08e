//! Clients that people sign in to, and what those bring to the token endpoint.
//! In: a person's session, what a test wants otherwise. Out: codes, calls, proofs of possession.
//! Implements RFC 6749 §4.1.3, RFC 7636, RFC 9449 as clients do.
//! Never keeps anything between calls.

use std::collections::BTreeSet;
use std::sync::Arc;

use countersign::crypto::random;
use countersign::crypto::signing::SigningKey;
use countersign::domain::ids::{ClientId, Digest, Kid};
use countersign::domain::oauth::client::{Client, ClientAuth, GrantType};
use countersign::domain::oauth::scope::Scopes;
use countersign::domain::rules::TokenAlg;
use data_encoding::{BASE64, BASE64URL_NOPAD};
use josekit::jws::JwsSigner;
use serde_json::{Value, json};

use super::gitlab::{encode, raw_signer};
use super::ledger::Snapshot;
use super::server::{Options, Server, URL};
use super::wire::{Answer, Call, form};

/// Where the usual client takes its codes.
pub const REDIRECT: &str = "https://grafana.example/cb";
/// What requests give to be repeated in the ID token.
pub const NONCE: &str = "n-0S6_WzA2Mj";
/// The secret of every client with one.
pub const SECRET: &str = "cs_a-secret-of-256-bits";

/// The usual client: confidential, with refresh tokens.
pub fn client(id: &str) -> Client {
    Client {
        auth: ClientAuth::Basic(vec![Digest::of(SECRET.as_bytes())]),
        redirect_uris: vec![REDIRECT.to_owned()],
        grants: BTreeSet::from([GrantType::AuthorizationCode, GrantType::RefreshToken]),
        scopes: Scopes::parse("openid profile email groups offline_access").unwrap(),
        ..Client::plain(ClientId::parse(id).unwrap(), "Grafana".to_owned())
    }
}

/// A public client.
pub fn public(id: &str) -> Client {
    Client { auth: ClientAuth::None, ..client(id) }
}

/// A server with these clients.
pub fn server_with(clients: Vec<Client>) -> Server {
    Server::with(Options { clients: clients.into_iter().map(Arc::new).collect(), ..Options::default() })
}

/// A code, and what it must be redeemed with.
#[derive(Clone)]
pub struct Code {
    /// As the client gets it.
    pub text: String,
    /// The verifier of its challenge.
    pub verifier: String,
    /// The entry that began its grant.
    pub grant: u64,
}

/// What a client gets of whoever has this session: by its request, through the browser.
pub fn code(server: &Server, session: &str, client: &str, scopes: &str) -> Code {
    code_with(server, session, client, scopes, &[])
}

/// As `code`, with what a request may say beside, or instead.
pub fn code_with(server: &Server, session: &str, client: &str, scopes: &str, more: &[(&str, &str)]) -> Code {
    let verifier = BASE64URL_NOPAD.encode(&random::bytes::<32>().unwrap());
    let challenge = BASE64URL_NOPAD.encode(Digest::of(verifier.as_bytes()).as_bytes());
    let answer = authorize(server, session, (client, scopes, &challenge), more);
    let location = url::Url::parse(answer.header("location").unwrap()).unwrap();
    assert!(location.as_str().starts_with(REDIRECT), "{location}");
    let code = location.query_pairs().find(|(name, _)| name == "code");
    let code = code.unwrap_or_else(|| panic!("no code: {location}")).1.into_owned();
    let snapshot = Snapshot::of(server);
    let started = snapshot.of_kind("grant").filter(|entry| entry["outcome"] == "started").last().unwrap();
    Code { text: code, verifier, grant: started["seq"].as_u64().unwrap() }
}

/// How the browser of whoever has this session goes back from `/authorize` to the client.
pub fn authorize(
    server: &Server,
    session: &str,
    (client, scopes, challenge): (&str, &str, &str),
    more: &[(&str, &str)],
) -> Answer {
    let usual = [
        ("client_id", client),
        ("redirect_uri", REDIRECT),
        ("response_type", "code"),
        ("scope", scopes),
        ("code_challenge", challenge),
        ("code_challenge_method", "S256"),
        ("nonce", NONCE),
    ];
    let mut pairs: Vec<_> =
        usual.into_iter().filter(|(name, _)| !more.iter().any(|(other, _)| other == name)).collect();
    pairs.extend(more);
    let asked = server.call("GET", &format!("/authorize?{}", form(&pairs))).header("cookie", session).send();
    let waits = asked.expect(303).header("location").unwrap().to_owned();
    server.call("GET", &waits).header("cookie", session).send().expect(303)
}

/// `Authorization: Basic …`.
pub fn basic(id: &str, secret: &str) -> String {
    format!("Basic {}", BASE64.encode(format!("{id}:{secret}").as_bytes()))
}

/// A form to one of the endpoints that clients call.
pub fn post(server: &Server, path: &str, pairs: &[(&str, &str)]) -> Call {
    server.call("POST", path).body("application/x-www-form-urlencoded", form(pairs))
}

/// The parameters that redeem a code.
pub fn code_pairs(code: &Code) -> Vec<(&str, &str)> {
    vec![
        ("grant_type", "authorization_code"),
        ("code", &code.text),
        ("redirect_uri", REDIRECT),
        ("code_verifier", &code.verifier),
    ]
}

/// Redeems a code as the client with the usual secret.
pub fn redeem(server: &Server, client: &str, code: &Code) -> Answer {
    post(server, "/token", &code_pairs(code)).header("authorization", &basic(client, SECRET)).send()
}

/// Refreshes as the client with the usual secret.
pub fn refresh(server: &Server, client: &str, token: &str) -> Answer {
    let pairs = [("grant_type", "refresh_token"), ("refresh_token", token)];
    post(server, "/token", &pairs).header("authorization", &basic(client, SECRET)).send()
}

/// `GET /userinfo` with a bearer token.
pub fn userinfo(server: &Server, token: &str) -> Answer {
    server.call("GET", "/userinfo").header("authorization", &format!("Bearer {token}")).send()
}

/// What a client is told of a token.
pub fn introspect(server: &Server, client: &str, token: &str) -> Value {
    let call = post(server, "/introspect", &[("token", token)]).header("authorization", &basic(client, SECRET));
    call.send().expect(200).json()
}

/// Signs a JWS with any header.
pub fn signed(signer: &dyn JwsSigner, header: &Value, claims: &Value) -> String {
    let input = format!("{}.{}", encode(header), encode(claims));
    let signature = signer.sign(input.as_bytes()).unwrap();
    format!("{input}.{}", BASE64URL_NOPAD.encode(&signature))
}

/// Somebody who proves a key.
pub struct Prover {
    /// The key.
    pub key: SigningKey,
    signer: Box<dyn JwsSigner + Send + Sync>,
}

impl Prover {
    /// A fresh ES256 key.
    pub fn new() -> Self {
        let key = SigningKey::generate(TokenAlg::Es256, 0).unwrap();
        let signer = raw_signer(&key);
        Self { key, signer }
    }

    /// Its thumbprint.
    pub fn jkt(&self) -> Kid {
        self.key.kid().clone()
    }

    /// What a good proof says.
    pub fn claims(server: &Server, method: &str, path: &str) -> Value {
        let jti = BASE64URL_NOPAD.encode(&random::bytes::<16>().unwrap());
        json!({ "htm": method, "htu": format!("{URL}{path}"), "iat": server.now(), "jti": jti })
    }

    /// The header of a good proof.
    pub fn header(&self) -> Value {
        json!({ "typ": "dpop+jwt", "alg": "ES256", "jwk": self.key.public_jwk() })
    }

    /// A proof of anything.
    pub fn sign(&self, header: &Value, claims: &Value) -> String {
        signed(&*self.signer, header, claims)
    }

    /// A good proof for a call.
    pub fn proof(&self, server: &Server, method: &str, path: &str) -> String {
        self.sign(&self.header(), &Self::claims(server, method, path))
    }

    /// A good proof for a call with an access token.
    pub fn proof_with(&self, server: &Server, method: &str, path: &str, token: &str) -> String {
        let mut claims = Self::claims(server, method, path);
        claims["ath"] = json!(BASE64URL_NOPAD.encode(Digest::of(token.as_bytes()).as_bytes()));
        self.sign(&self.header(), &claims)
    }
}

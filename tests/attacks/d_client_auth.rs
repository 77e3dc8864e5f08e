//! Clients that are not who they say they are.

use std::sync::LazyLock;

use countersign::clock::Clock;
use countersign::crypto::signing::SigningKey;
use countersign::domain::ids::Digest;
use countersign::domain::oauth::client::{Client, ClientAuth};
use countersign::domain::oauth::client_auth::{ASSERTION_TYPE, Claimed};
use countersign::domain::oauth::form::Form;
use countersign::domain::rules::TokenAlg;
use serde_json::{Value, json};

use crate::support::clients::{SECRET, basic, client, post, public, refresh, server_with, signed};
use crate::support::gitlab::raw_signer;
use crate::support::server::block_on;
use crate::support::{Answer, Logged, Options, Server, Snapshot, URL, refused};

static KEY: LazyLock<SigningKey> = LazyLock::new(|| SigningKey::generate(TokenAlg::Es256, 0).unwrap());

/// A client that proves itself by a key.
fn by_key() -> Client {
    let jwks = json!({ "keys": [KEY.public_jwk()] });
    Client { auth: ClientAuth::PrivateKeyJwt(jwks.to_string().into_bytes()), ..client("ci") }
}

fn server() -> Server {
    let post = Client { auth: ClientAuth::Post(vec![Digest::of(SECRET.as_bytes())]), ..client("argo") };
    server_with(vec![client("grafana"), post, public("spa"), by_key()])
}

/// Refused with 401, and nothing has moved.
fn unknown(server: &Server, code: &str, send: impl FnOnce() -> Answer) -> Answer {
    let before = Snapshot::of(server);
    let answer = send().expect_error(401, "invalid_client", code);
    refused(server, &before, &answer, Logged::No);
    answer
}

/// A good client reaches the grant: its refresh token is none.
fn known(answer: Answer) {
    answer.expect_error(400, "invalid_grant", "refresh_token_invalid");
}

const REFRESH: [(&str, &str); 2] = [("grant_type", "refresh_token"), ("refresh_token", "x")];

#[test]
fn attack_069_a_wrong_secret_and_an_unknown_client_are_told_the_same() {
    let server = server();
    known(refresh(&server, "grafana", "x"));
    let send = |id: &str, secret: &str| {
        let header = basic(id, secret);
        unknown(&server, "client_unknown", || post(&server, "/token", &REFRESH).header("authorization", &header).send())
    };
    let mut told = Vec::new();
    for (id, secret) in [
        ("grafana", "cs_wrong"),
        ("grafana", ""),
        ("nobody", SECRET),
        ("spa", SECRET),
        ("argo", SECRET),
        ("ci", SECRET),
        ("", ""),
        ("Grafana", SECRET),
    ] {
        let answer = send(id, secret);
        let challenge = answer.header("www-authenticate").unwrap();
        assert!(challenge.starts_with("Basic realm="), "{challenge}");
        told.push((answer.member("error_description"), answer.member("hint")));
    }
    told.dedup();
    assert_eq!(told.len(), 1, "{told:?}");
}

#[test]
fn attack_069_a_client_says_in_one_way_who_it_is_and_in_its_own() {
    let server = server();
    let with = |more: &[(&'static str, &'static str)]| [REFRESH.as_slice(), more].concat();
    let own = [("client_id", "argo"), ("client_secret", SECRET)];
    known(post(&server, "/token", &with(&own)).send());
    known(post(&server, "/token", &with(&[("client_id", "spa")])).send());
    // Both header and body, and the id of another client beside the header.
    for more in [own.as_slice(), &[("client_id", "grafana"), ("client_secret", SECRET)], &[("client_id", "argo")]] {
        unknown(&server, "client_auth_mixed", || {
            post(&server, "/token", &with(more)).header("authorization", &basic("grafana", SECRET)).send()
        });
    }
    unknown(&server, "client_auth_mixed", || {
        let header = basic("grafana", SECRET);
        let call = post(&server, "/token", &REFRESH).header("authorization", &header);
        call.header("authorization", &header).send()
    });
    for more in [
        [("client_id", "grafana"), ("client_secret", SECRET)].as_slice(),
        &[("client_id", "grafana")],
        &[("client_id", "argo"), ("client_secret", "cs_wrong")],
        &[("client_id", "spa"), ("client_secret", SECRET)],
        &[],
    ] {
        let answer = unknown(&server, "client_unknown", || post(&server, "/token", &with(more)).send());
        assert!(answer.header("www-authenticate").is_none(), "the header was not used");
    }
}

fn assertion(header: &Value, claims: &Value) -> String {
    signed(&*raw_signer(&KEY), header, claims)
}

fn good(server: &Server, jti: &str) -> (Value, Value) {
    let claims = json!({ "iss": "ci", "sub": "ci", "aud": URL, "exp": server.now() + 60, "jti": jti });
    (json!({ "alg": "ES256", "kid": KEY.kid() }), claims)
}

fn present(server: &Server, assertion: &str) -> Answer {
    let more = [("client_assertion_type", ASSERTION_TYPE), ("client_assertion", assertion)];
    post(server, "/token", &[REFRESH.as_slice(), &more].concat()).send()
}

#[test]
fn attack_069_an_assertion_counts_once_and_for_us_alone() {
    let server = server();
    let (header, claims) = good(&server, "one");
    let once = assertion(&header, &claims);
    known(present(&server, &once));
    unknown(&server, "client_assertion_invalid", || present(&server, &once));
    let changed = |name: &str, value: Value| {
        let (header, mut claims) = good(&server, name);
        claims[name] = value;
        assertion(&header, &claims)
    };
    let now = server.now();
    for (name, value) in [
        ("aud", json!([URL])),
        ("aud", json!([URL, "https://other.example"])),
        ("aud", json!(format!("{URL}/token"))),
        ("aud", json!("https://other.example/token")),
        ("exp", json!(now - 31)),
        ("exp", json!(now + 4_000)),
        ("iat", json!(now + 40)),
        ("iss", json!("grafana")),
        ("iss", json!("nobody")),
        ("sub", json!("grafana")),
        ("jti", json!("")),
        ("jti", json!(null)),
    ] {
        unknown(&server, "client_assertion_invalid", || present(&server, &changed(name, value.clone())));
    }
    let (header, claims) = good(&server, "two");
    let more = [
        ("client_assertion_type", ASSERTION_TYPE),
        ("client_assertion", &assertion(&header, &claims)),
        ("client_id", "grafana"),
    ];
    unknown(&server, "client_assertion_invalid", || {
        post(&server, "/token", &[REFRESH.as_slice(), &more].concat()).send()
    });
    // The same `jti` as before is none of another minute's business: it is remembered as long as it could come again.
    server.pass(120);
    unknown(&server, "client_assertion_invalid", || present(&server, &once));
}

#[test]
fn attack_069_an_assertion_is_signed_with_the_clients_key_and_algorithm() {
    let server = server();
    let (_, claims) = good(&server, "alg");
    for alg in ["none", "HS256", "RS256", "PS256", "EdDSA", "es256"] {
        let forged = assertion(&json!({ "alg": alg, "kid": KEY.kid() }), &claims);
        unknown(&server, "client_assertion_invalid", || present(&server, &forged));
    }
    // HS256 keyed with the public key.
    let mac = {
        use countersign::crypto::jwk::thumbprint;
        assert_eq!(thumbprint(&KEY.public_jwk()).unwrap(), *KEY.kid());
        let signer = josekit::jws::HS256.signer_from_bytes(KEY.public_jwk().to_string().as_bytes()).unwrap();
        signed(&signer, &json!({ "alg": "HS256", "kid": KEY.kid() }), &claims)
    };
    unknown(&server, "client_assertion_invalid", || present(&server, &mac));
    let other = SigningKey::generate(TokenAlg::Es256, 0).unwrap();
    for header in
        [json!({ "alg": "ES256", "kid": KEY.kid() }), json!({ "alg": "ES256" }), json!({ "alg": "ES256", "kid": "x" })]
    {
        let forged = signed(&*raw_signer(&other), &header, &claims);
        unknown(&server, "client_assertion_invalid", || present(&server, &forged));
    }
    unknown(&server, "client_assertion_invalid", || present(&server, "junk"));
    // The control: without a key id every key of the client is tried.
    known(present(&server, &assertion(&json!({ "alg": "ES256" }), &claims)));
}

#[test]
fn attack_069_wrong_secrets_of_one_address_have_an_end() {
    let options = Options { ceremonies_a_minute: 3, ..Options::default() };
    let server = Server::with(Options { clients: vec![std::sync::Arc::new(client("grafana"))], ..options });
    for _ in 0..3 {
        let answer = post(&server, "/token", &REFRESH).header("authorization", &basic("grafana", "cs_x")).send();
        answer.expect_error(401, "invalid_client", "client_unknown");
    }
    for path in ["/token", "/introspect", "/revoke"] {
        let answer = post(&server, path, &REFRESH).header("authorization", &basic("grafana", "cs_x")).send();
        answer.expect_error(429, "temporarily_unavailable", "rate_limited");
    }
    // Whoever is right is not kept out by others at the same address.
    known(refresh(&server, "grafana", "x"));
    server.pass(61);
    known(refresh(&server, "grafana", "x"));
}

#[test]
fn attack_069_an_unknown_client_takes_as_long_as_a_wrong_secret() {
    const RUNS: usize = 10_000;
    let server = server();
    let claimed = |id: &str| Claimed::read(Some(&basic(id, "cs_wrong")), &Form::read(b"").unwrap()).unwrap();
    let (clock, mut spent) = (Clock::system(), [Vec::new(), Vec::new()]);
    block_on(async {
        for run in 0..2 * RUNS {
            let which = run % 2;
            let claimed = claimed(if which == 0 { "grafana" } else { "nobody-" });
            let start = clock.monotonic();
            assert!(server.app.authenticate_client(claimed).await.is_err());
            spent[which].push(clock.monotonic().saturating_sub(start));
        }
    });
    let [wrong, unknown] = spent.map(|mut times| {
        times.sort_unstable();
        times[RUNS / 2].as_secs_f64()
    });
    let ratio = wrong / unknown;
    assert!(
        (0.5..2.0).contains(&ratio),
        "{:.0} ns for a wrong secret, {:.0} ns for nobody",
        wrong * 1e9,
        unknown * 1e9
    );
}

#[test]
fn attack_069_an_assertion_tells_nobody_who_is_a_client() {
    let server = server();
    let other = SigningKey::generate(TokenAlg::Es256, 0).unwrap();
    let mut told = Vec::new();
    // A client with keys, with a secret, without either, and none; signed by nobody's key, and under its key's name.
    for client in ["ci", "grafana", "spa", "nobody"] {
        for kid in [KEY.kid(), other.kid()] {
            let mut claims = good(&server, "who").1;
            claims["iss"] = json!(client);
            claims["sub"] = json!(client);
            let forged = signed(&*raw_signer(&other), &json!({ "alg": "ES256", "kid": kid }), &claims);
            let answer = unknown(&server, "client_assertion_invalid", || present(&server, &forged));
            told.push((answer.status, answer.member("error_description"), answer.member("hint")));
        }
    }
    told.dedup();
    assert_eq!(told.len(), 1, "{told:?}");
}

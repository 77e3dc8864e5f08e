//! DPoP: tokens that whoever stole them cannot use.

use countersign::domain::ids::Digest;
use countersign::domain::oauth::client::Client;
use countersign::domain::oauth::dpop::MAX_DPOP_PROOF;
use data_encoding::BASE64URL_NOPAD;
use serde_json::{Value, json};

use crate::support::clients::{
    Code, Prover, REDIRECT, SECRET, basic, client, code, code_pairs, code_with, post, public, server_with, userinfo,
};
use crate::support::wire::form;
use crate::support::{Answer, Logged, Person, Server, Snapshot, refused};

struct Scene {
    server: Server,
    session: String,
    prover: Prover,
}

fn scene() -> Scene {
    let bound = Client { dpop: true, ..client("bound") };
    let server = server_with(vec![client("grafana"), public("spa"), bound]);
    let session = Person::manager(&server, "Mara").sign_in(&server);
    Scene { server, session, prover: Prover::new() }
}

impl Scene {
    fn code(&self, client: &str) -> Code {
        code(&self.server, &self.session, client, "openid")
    }

    /// Redeems with this in the `DPoP` header.
    fn redeem(&self, client: &str, code: &Code, proof: &str) -> Answer {
        let mut pairs = code_pairs(code);
        if client == "spa" {
            pairs.push(("client_id", client));
        }
        let call = post(&self.server, "/token", &pairs).header("dpop", proof);
        if client == "spa" { call.send() } else { call.header("authorization", &basic(client, SECRET)).send() }
    }

    fn refuses(&self, code: &Code, proof: &str) {
        let before = Snapshot::of(&self.server);
        let answer = self.redeem("grafana", code, proof).expect_error(400, "invalid_dpop_proof", "dpop_proof_invalid");
        refused(&self.server, &before, &answer, Logged::No);
    }

    fn refresh(&self, token: &str, proof: Option<&str>) -> Answer {
        let pairs = [("grant_type", "refresh_token"), ("refresh_token", token), ("client_id", "spa")];
        let call = post(&self.server, "/token", &pairs);
        proof.map_or_else(|| call.clone(), |proof| call.clone().header("dpop", proof)).send()
    }

    /// `GET /userinfo` with a bound token and this proof: 401 with a challenge.
    fn userinfo(&self, token: &str, proof: &str) -> Answer {
        self.server
            .call("GET", "/userinfo")
            .header("authorization", &format!("DPoP {token}"))
            .header("dpop", proof)
            .send()
    }
}

#[test]
fn attack_070_a_proof_is_for_this_call_and_counts_once() {
    let scene = scene();
    let code = scene.code("grafana");
    let header = scene.prover.header();
    let changed = |name: &str, value: Value| {
        let mut claims = Prover::claims(&scene.server, "POST", "/token");
        claims[name] = value;
        scene.prover.sign(&header, &claims)
    };
    let now = scene.server.now();
    for (name, value) in [
        ("htu", json!("https://sign.shop.example/userinfo")),
        ("htu", json!("https://other.example/token")),
        ("htm", json!("GET")),
        ("padding", json!("a".repeat(MAX_DPOP_PROOF))),
        ("iat", json!(now - 91)),
        ("iat", json!(now + 31)),
        ("jti", json!(null)),
    ] {
        scene.refuses(&code, &changed(name, value));
    }
    let claims = Prover::claims(&scene.server, "POST", "/token");
    let secret: Value = serde_json::from_str(&scene.prover.key.to_secret_json().unwrap()).unwrap();
    for (name, value) in [
        ("alg", json!("none")),
        ("alg", json!("HS256")),
        ("alg", json!("RS256")),
        ("typ", json!("JWT")),
        ("jwk", secret),
        ("jwk", json!({ "kty": "oct", "k": "AAAA" })),
        ("jwk", Prover::new().key.public_jwk()),
        ("jwk", json!(null)),
    ] {
        let mut header = header.clone();
        header[name] = value;
        scene.refuses(&code, &scene.prover.sign(&header, &claims));
    }
    for junk in ["", "x", "a.b.c"] {
        scene.refuses(&code, junk);
    }
    let proof = scene.prover.proof(&scene.server, "POST", "/token");
    let answer = post(&scene.server, "/token", &code_pairs(&code)).header("authorization", &basic("grafana", SECRET));
    let answer = answer.header("dpop", &proof).header("dpop", &proof).send();
    answer.expect_error(400, "invalid_dpop_proof", "dpop_proof_invalid");
    let tokens = scene.redeem("grafana", &code, &proof).expect(200);
    assert_eq!(tokens.member("token_type"), "DPoP");
    assert_eq!(tokens.claims()["cnf"]["jkt"], scene.prover.jkt().as_str());
    scene.refuses(&scene.code("grafana"), &proof);
}

#[test]
fn attack_070_where_a_nonce_is_required_a_proof_without_it_is_none() {
    let scene = scene();
    let code = scene.code("bound");
    let answer =
        post(&scene.server, "/token", &code_pairs(&code)).header("authorization", &basic("bound", SECRET)).send();
    answer.expect_error(400, "invalid_dpop_proof", "dpop_proof_invalid");
    let before = Snapshot::of(&scene.server);
    let proof = scene.prover.proof(&scene.server, "POST", "/token");
    let answer = scene.redeem("bound", &code, &proof).expect_error(400, "use_dpop_nonce", "dpop_nonce_wanted");
    refused(&scene.server, &before, &answer, Logged::No);
    let nonce = answer.header("dpop-nonce").unwrap().to_owned();
    let with = |nonce: &str| {
        let mut claims = Prover::claims(&scene.server, "POST", "/token");
        claims["nonce"] = json!(nonce);
        scene.prover.sign(&scene.prover.header(), &claims)
    };
    scene.redeem("bound", &code, &with("AAAA")).expect_error(400, "use_dpop_nonce", "dpop_nonce_wanted");
    let tokens = scene.redeem("bound", &code, &with(&nonce)).expect(200);
    assert!(tokens.header("dpop-nonce").is_some());
    // A nonce has an end.
    scene.server.pass(601);
    let code = scene.code("bound");
    scene.redeem("bound", &code, &with(&nonce)).expect_error(400, "use_dpop_nonce", "dpop_nonce_wanted");
}

#[test]
fn attack_070_a_bound_token_is_nothing_without_its_key() {
    let scene = scene();
    let proof = scene.prover.proof(&scene.server, "POST", "/token");
    let tokens = scene.redeem("grafana", &scene.code("grafana"), &proof).expect(200);
    let token = tokens.member("access_token");
    let before = Snapshot::of(&scene.server);
    let answer = userinfo(&scene.server, &token).expect_error(401, "invalid_token", "access_token_invalid");
    assert_eq!(answer.header("www-authenticate"), Some("Bearer error=\"invalid_token\""));
    let thief = Prover::new();
    let stolen = thief.proof_with(&scene.server, "GET", "/userinfo", &token);
    let answer = scene.userinfo(&token, &stolen).expect_error(401, "invalid_token", "access_token_invalid");
    assert_eq!(answer.header("www-authenticate"), Some("DPoP error=\"invalid_token\""));
    for proof in [
        scene.prover.proof(&scene.server, "GET", "/userinfo"),
        scene.prover.proof_with(&scene.server, "GET", "/userinfo", "other"),
        scene.prover.proof_with(&scene.server, "POST", "/userinfo", &token),
        scene.prover.proof_with(&scene.server, "GET", "/token", &token),
        "junk".to_owned(),
    ] {
        let answer = scene.userinfo(&token, &proof);
        let answer = answer.expect_error(401, "invalid_dpop_proof", "dpop_proof_invalid");
        assert!(answer.header("www-authenticate").unwrap().starts_with("DPoP error=\"invalid_dpop_proof\""));
        refused(&scene.server, &before, &answer, Logged::No);
    }
    let good = scene.prover.proof_with(&scene.server, "GET", "/userinfo", &token);
    scene.userinfo(&token, &good).expect(200);
    scene.userinfo(&token, &good).expect_error(401, "invalid_dpop_proof", "dpop_proof_invalid");
    // A token without a key is none with one.
    let plain = crate::support::clients::redeem(&scene.server, "grafana", &scene.code("grafana")).expect(200);
    let plain = plain.member("access_token");
    let proof = scene.prover.proof_with(&scene.server, "GET", "/userinfo", &plain);
    scene.userinfo(&plain, &proof).expect_error(401, "invalid_token", "access_token_invalid");
}

#[test]
fn attack_070_a_public_clients_refresh_token_is_bound_to_its_key() {
    let scene = scene();
    let proof = || scene.prover.proof(&scene.server, "POST", "/token");
    let tokens = scene.redeem("spa", &scene.code("spa"), &proof()).expect(200);
    let token = tokens.member("refresh_token");
    let before = Snapshot::of(&scene.server);
    for proof in [None, Some(Prover::new().proof(&scene.server, "POST", "/token"))] {
        let answer = scene.refresh(&token, proof.as_deref()).expect_error(400, "invalid_grant", "dpop_key_wrong");
        refused(&scene.server, &before, &answer, Logged::No);
    }
    let answer = scene.refresh(&token, Some(&proof())).expect(200);
    assert_eq!(answer.claims()["cnf"]["jkt"], scene.prover.jkt().as_str());
}

#[test]
fn attack_070_a_code_that_is_bound_to_a_key_is_redeemed_with_it() {
    let scene = scene();
    let jkt = scene.prover.jkt();
    let code = code_with(&scene.server, &scene.session, "grafana", "openid", &[("dpop_jkt", jkt.as_str())]);
    let before = Snapshot::of(&scene.server);
    let answer = crate::support::clients::redeem(&scene.server, "grafana", &code);
    let answer = answer.expect_error(400, "invalid_grant", "dpop_key_wrong");
    refused(&scene.server, &before, &answer, Logged::No);
    let other = Prover::new().proof(&scene.server, "POST", "/token");
    scene.redeem("grafana", &code, &other).expect_error(400, "invalid_grant", "dpop_key_wrong");
    scene.redeem("grafana", &code, &scene.prover.proof(&scene.server, "POST", "/token")).expect(200);
}

#[test]
fn attack_070_a_restart_forgets_proofs_and_takes_none_from_before_it() {
    let mut scene = scene();
    // A clock that is ahead dates a proof into the time after the start.
    let mut claims = Prover::claims(&scene.server, "POST", "/token");
    claims["iat"] = json!(scene.server.now() + 20);
    let proofs =
        [scene.prover.proof(&scene.server, "POST", "/token"), scene.prover.sign(&scene.prover.header(), &claims)];
    for proof in &proofs {
        scene.redeem("grafana", &scene.code("grafana"), proof).expect(200);
    }
    scene.server.pass(2);
    scene.server.restart();
    let code = scene.code("grafana");
    let before = Snapshot::of(&scene.server);
    for proof in &proofs {
        let answer = scene.redeem("grafana", &code, proof).expect_error(400, "use_dpop_nonce", "dpop_nonce_wanted");
        refused(&scene.server, &before, &answer, Logged::No);
        // With a nonce of this process a proof was made after it began.
        claims["nonce"] = json!(answer.header("dpop-nonce").unwrap());
    }
    claims["jti"] = json!("after the start");
    let fresh = scene.prover.sign(&scene.prover.header(), &claims);
    scene.redeem("grafana", &code, &fresh).expect(200);
    scene.server.pass(31);
    let code = scene.code("grafana");
    scene.redeem("grafana", &code, &scene.prover.proof(&scene.server, "POST", "/token")).expect(200);
}

#[test]
fn attack_070_a_proof_of_a_refused_call_takes_no_room() {
    let scene = scene();
    let proof = scene.prover.proof(&scene.server, "POST", "/token");
    let junk = Code { text: "co_junk".to_owned(), ..scene.code("spa") };
    scene.redeem("spa", &junk, &proof).expect_error(400, "invalid_grant", "code_invalid");
    scene.refresh("junk", Some(&proof)).expect_error(400, "invalid_grant", "refresh_token_invalid");
    // It was not remembered, so it is good for its one call.
    let tokens = scene.redeem("spa", &scene.code("spa"), &proof).expect(200);
    let again = scene.refresh(&tokens.member("refresh_token"), Some(&proof));
    again.expect_error(400, "invalid_dpop_proof", "dpop_proof_invalid");
    let fresh = scene.prover.proof(&scene.server, "POST", "/token");
    scene.refresh(&tokens.member("refresh_token"), Some(&fresh)).expect(200);
}

#[test]
fn attack_070_a_pushed_request_is_bound_to_the_key_that_its_proof_proves() {
    let scene = scene();
    let server = &scene.server;
    let verifier = BASE64URL_NOPAD.encode(&[7; 32]);
    let challenge = BASE64URL_NOPAD.encode(Digest::of(verifier.as_bytes()).as_bytes());
    let push = |client: &str, proof: &str, more: &[(&str, &str)]| {
        let usual = [
            ("client_id", client),
            ("redirect_uri", REDIRECT),
            ("response_type", "code"),
            ("scope", "openid"),
            ("code_challenge", challenge.as_str()),
            ("code_challenge_method", "S256"),
        ];
        let call = post(server, "/par", &[usual.as_slice(), more].concat()).header("dpop", proof);
        if client == "spa" { call.send() } else { call.header("authorization", &basic(client, SECRET)).send() }
    };
    let fresh = |path: &str| scene.prover.proof(server, "POST", path);
    let before = Snapshot::of(server);
    for proof in [fresh("/token"), scene.prover.proof(server, "GET", "/par"), "a.b.c".to_owned()] {
        let answer = push("grafana", &proof, &[]).expect_error(400, "invalid_dpop_proof", "dpop_proof_invalid");
        refused(server, &before, &answer, Logged::No);
    }
    let another = Prover::new().jkt();
    let answer = push("grafana", &fresh("/par"), &[("dpop_jkt", another.as_str())]);
    refused(server, &before, &answer.invalid("parameter_invalid"), Logged::No);
    let answer = push("bound", &fresh("/par"), &[]).expect_error(400, "use_dpop_nonce", "dpop_nonce_wanted");
    assert!(answer.header("dpop-nonce").is_some());
    refused(server, &before, &answer, Logged::No);

    let jkt = scene.prover.jkt();
    for (client, more) in [("grafana", vec![]), ("spa", vec![("dpop_jkt", jkt.as_str())])] {
        let proof = fresh("/par");
        let uri = push(client, &proof, &more).expect(201).member("request_uri");
        // Of what strangers push nothing is remembered: pushed again, it binds another request to the same key.
        let again = push(client, &proof, &more);
        if client == "spa" {
            again.expect(201);
        } else {
            again.expect_error(400, "invalid_dpop_proof", "dpop_proof_invalid");
        }
        let query = form(&[("client_id", client), ("request_uri", &uri)]);
        let asked = server.call("GET", &format!("/authorize?{query}")).send().expect(303);
        let back = server.call("GET", asked.header("location").unwrap()).header("cookie", &scene.session).send();
        let location = url::Url::parse(back.expect(303).header("location").unwrap()).unwrap();
        let text = location.query_pairs().find(|(name, _)| name == "code").unwrap().1.into_owned();
        let code = Code { text, verifier: verifier.clone(), grant: 0 };
        let thief = Prover::new().proof(server, "POST", "/token");
        scene.redeem(client, &code, &thief).expect_error(400, "invalid_grant", "dpop_key_wrong");
        scene.redeem(client, &code, &fresh("/token")).expect(200);
    }
}

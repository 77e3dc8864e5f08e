//! Issuers whose keys are fetched: floods, rotation, withdrawal, and what they cost.

use std::time::Duration;

use data_encoding::BASE64URL_NOPAD;
use serde_json::{Value, json};

use crate::a_issuers::hostile_issuer;
use crate::support::gitlab::Issuer;
use crate::support::hostile::Hostile;
use crate::support::rules::{AWS, RULES};
use crate::support::{JobToken, Logged, Options, Server, Snapshot, refused};

/// The rule by which jobs of the fetched issuer get a token.
const RULE: &str = "[[rule]]\nname = \"fetched\"\nrequire = \"none\"\naudience = [\"sts.amazonaws.com\"]\n\
    match = { issuer = \"fetched\", job_project_id = \"4711\", environment = \"staging\" }\n";

struct Scene {
    hostile: Hostile,
    server: Server,
    one: Issuer,
    two: Issuer,
}

/// A server whose issuer `fetched` publishes the first of two keys.
fn scene() -> Scene {
    let hostile = Hostile::start();
    let (one, two) = (Issuer::new("fetched", "", "one"), Issuer::new("fetched", "", "two"));
    hostile.publish("fetched", &[&one.public]);
    let mut options = Options::rules(&format!("{RULES}{RULE}"));
    options.issuers.push(hostile_issuer("fetched", &format!("{}/fetched", hostile.url), &hostile.ca, true));
    Scene { server: Server::with(options), hostile, one, two }
}

impl Scene {
    fn job(&self, kid: impl Into<Value>) -> JobToken {
        let iss = format!("{}/fetched", self.hostile.url);
        self.server.job().environment("staging").with("iss", iss).header("kid", kid)
    }

    fn passes(&self, key: &Issuer) {
        self.server.exchange(&self.job(key.kid).sign_by(key), &[AWS]).send().expect(200);
    }

    fn junk(&self, token: &str, code: &str) {
        let before = Snapshot::of(&self.server);
        let answer = self.server.exchange(token, &[AWS]).send().invalid(code);
        refused(&self.server, &before, &answer, Logged::No);
    }

    fn key_fetches(&self) -> usize {
        self.hostile.calls("fetched/jwks")
    }
}

#[test]
fn attack_004_an_address_in_the_token_is_never_asked() {
    let scene = scene();
    scene.passes(&scene.one);
    let stranger = Issuer::new("stranger", "", "one");
    // The attacker's own certificate, as `x5c` would bring it.
    let own = rcgen::generate_simple_self_signed(["gitlab.shop.example".to_owned()]).unwrap();
    let x5c = json!([data_encoding::BASE64.encode(own.cert.der())]);
    let base = &scene.hostile.url;
    for (name, value) in [
        ("jwk", stranger.public.clone()),
        ("x5c", x5c),
        // Somebody else's place, and one at the issuer's own host that sends on to it.
        ("jku", json!(format!("{base}/attacker/jwks"))),
        ("jku", json!(format!("{base}/redirect?to=attacker/jwks"))),
        ("x5u", json!(format!("{base}/attacker/chain.pem"))),
        ("x5u", json!("file:///etc/passwd")),
        ("jku", json!("http://169.254.169.254/latest")),
    ] {
        scene.junk(&scene.job("one").header(name, value.clone()).sign_by(&stranger), "signature_invalid");
        let mut without = scene.job("one").header(name, value);
        without.header.remove("kid");
        scene.junk(&without.sign_by(&stranger), "unknown_key");
    }
    assert_eq!(scene.hostile.calls("attacker") + scene.hostile.calls("redirect"), 0, "the token's address was asked");
    assert_eq!(scene.key_fetches(), 1, "a token without a key id asks nobody");
}

#[test]
fn attack_005_strange_key_ids_cause_one_fetch_at_most() {
    let scene = scene();
    scene.passes(&scene.one);
    let long = "k".repeat(16_000);
    for kid in [
        json!("../../../../dev/null"),
        json!("' OR 1=1--"),
        json!(long),
        json!("\0"),
        json!(""),
        json!(1),
        json!(["one"]),
        json!({ "one": 1 }),
        Value::Null,
    ] {
        scene.junk(&scene.job(kid).sign_by(&scene.one), "unknown_key");
    }
    assert_eq!(scene.key_fetches(), 2);
    // One of 64 kB does not even pass the form.
    let whole = scene.job("k".repeat(65_536)).sign_by(&scene.one);
    let before = Snapshot::of(&scene.server);
    let answer = scene.server.exchange(&whole, &[AWS]).send().expect_error(413, "invalid_request", "body_too_large");
    refused(&scene.server, &before, &answer, Logged::No);
    let part = scene.job("k".repeat(24_000)).sign_by(&scene.one);
    scene.junk(&part, "parameter_invalid");
}

#[test]
fn attack_014_a_flood_of_unknown_keys_asks_the_issuer_once_a_minute() {
    const FLOOD: usize = 10_000;
    let scene = scene();
    scene.passes(&scene.one);
    let before = Snapshot::of(&scene.server);
    // Nobody looks at the signature of a key that is not there.
    let no_signature = BASE64URL_NOPAD.encode(&[0; 256]);
    let (mut job, server) = (scene.job("x"), &scene.server);
    let tokens: Vec<String> = (0..FLOOD)
        .map(|n| {
            job = job.clone().header("kid", format!("random-{n}"));
            format!("{}.{no_signature}", job.signing_input())
        })
        .collect();
    std::thread::scope(|scope| {
        let shares = tokens.chunks(FLOOD / 8).map(|share| {
            scope.spawn(move || {
                for token in share {
                    server.exchange(token, &[AWS]).send().invalid("unknown_key");
                }
            })
        });
        let shares: Vec<_> = shares.collect();
        // The others go on meanwhile, and so does this issuer for the key that it has.
        server.exchange(&server.job().environment("staging").sign(), &[AWS]).send().expect(200);
        scene.passes(&scene.one);
        for share in shares {
            share.join().unwrap();
        }
    });
    assert_eq!(scene.key_fetches(), 2, "the first, and one for all of them");
    let after = Snapshot::of(server);
    assert_eq!(after.since(&before).len(), 2, "only the two tokens are in the log");
    server.pass(61);
    server.exchange(&tokens[0], &[AWS]).send().invalid("unknown_key");
    server.exchange(&tokens[1], &[AWS]).send().invalid("unknown_key");
    assert_eq!(scene.key_fetches(), 3);
}

#[test]
fn attack_015_known_keys_serve_until_their_own_limit_and_then_it_is_busy() {
    let scene = scene();
    scene.passes(&scene.one);
    scene.hostile.take_down("fetched");
    scene.server.pass(3_601);
    scene.passes(&scene.one);
    let ready = scene.server.get("/readyz").expect(503).text();
    assert!(ready.contains("issuer `fetched`: url: ") && ready.contains("500"), "{ready}");
    // Whether a key that is not known is good cannot be told now.
    let before = Snapshot::of(&scene.server);
    let answer = scene.server.exchange(&scene.job("two").sign_by(&scene.two), &[AWS]).send();
    let answer = answer.expect_error(503, "temporarily_unavailable", "issuer_unavailable");
    refused(&scene.server, &before, &answer, Logged::No);
    // A day after they were fetched.
    scene.server.pass(24 * 3_600);
    let before = Snapshot::of(&scene.server);
    let answer = scene.server.exchange(&scene.job("one").sign_by(&scene.one), &[AWS]).send();
    let answer = answer.expect_error(503, "temporarily_unavailable", "issuer_unavailable");
    assert!(answer.header("retry-after").is_some());
    refused(&scene.server, &before, &answer, Logged::No);
    scene.server.exchange(&scene.server.job().environment("staging").sign(), &[AWS]).send().expect(200);
    // It recovers by itself.
    scene.hostile.publish("fetched", &[&scene.one.public]);
    scene.server.pass(Duration::from_secs(16).as_secs());
    scene.passes(&scene.one);
    scene.server.get("/readyz").expect(200);
}

#[test]
fn attack_016_a_new_key_signs_at_once_and_a_withdrawn_one_dies_within_the_hour() {
    let scene = scene();
    scene.passes(&scene.one);
    assert_eq!(scene.key_fetches(), 1);
    scene.hostile.publish("fetched", &[&scene.one.public, &scene.two.public]);
    scene.passes(&scene.two);
    assert_eq!(scene.key_fetches(), 2, "one forced refresh");
    scene.passes(&scene.one);
    scene.passes(&scene.two);
    assert_eq!(scene.key_fetches(), 2);
    // Each set that was used is in the log.
    assert_eq!(Snapshot::of(&scene.server).of_kind("issuer-keys").filter(|e| e["issuer"] == "fetched").count(), 2);

    scene.hostile.publish("fetched", &[&scene.two.public]);
    scene.server.pass(3_599);
    scene.passes(&scene.one);
    // The issuer says that a day would do; ours is an hour.
    scene.server.pass(2);
    scene.junk(&scene.job("one").sign_by(&scene.one), "unknown_key");
    scene.passes(&scene.two);
}

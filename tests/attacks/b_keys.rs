//! Collecting with a key: proven at each call, and nothing else in its place.

use countersign::app::verify_bundle::verify_bundle;
use countersign::domain::log::note::VerifierKey;
use countersign::domain::oauth::exchange::key_collector;
use serde_json::{Value, json};

use crate::support::clients::Prover;
use crate::support::exchange::Exchange;
use crate::support::rules::{AWS, GCP, VAULT};
use crate::support::server::until;
use crate::support::wire::{find, finish};
use crate::support::{Answer, Logged, Person, Server, Snapshot, collector, refused};

/// What somebody may bring who has the job token and not the key.
fn strangers<'a>(call: &Exchange<'a>, prover: &Prover) -> Vec<Exchange<'a>> {
    vec![
        call.clone(),
        call.clone().proof(&Prover::new()),
        call.clone().collector(&collector()),
        call.clone().collector(prover.jkt().as_str()),
    ]
}

/// Proofs that are none for this call, and one that was used.
fn no_proofs(server: &Server, prover: &Prover, used: &str) -> Vec<String> {
    let mut old = Prover::claims(server, "POST", "/token");
    old["iat"] = json!(server.now() - 91);
    let elsewhere = json!({ "htm": "POST", "htu": "https://other.example/token", "iat": server.now(), "jti": "1" });
    vec![
        prover.proof(server, "GET", "/token"),
        prover.proof(server, "POST", "/par"),
        prover.sign(&prover.header(), &elsewhere),
        prover.sign(&prover.header(), &old),
        used.to_owned(),
        "a.b.c".to_owned(),
        String::new(),
    ]
}

fn no_proof(answer: Answer) -> Answer {
    answer.expect_error(400, "invalid_dpop_proof", "dpop_proof_invalid")
}

#[test]
fn attack_020_a_token_is_collected_by_the_key_of_its_first_call_alone() {
    let mut server = Server::start();
    let mut mara = Person::manager(&server, "Mara");
    let (token, prover) = (server.job().sign(), Prover::new());
    let id = server.exchange(&token, &[AWS]).proof(&prover).send().pending().member("approval_id");
    mara.approve(&server, &id);
    let used = prover.proof(&server, "POST", "/token");
    let answer = server.exchange(&token, &[AWS]).header("dpop", &used).send().expect(200);
    assert_eq!(answer.member("token_type"), "N_A");
    let first = answer.claims();
    assert_eq!(first["cnf"], json!({ "jkt": prover.jkt() }));
    for round in 0..2 {
        let before = Snapshot::of(&server);
        let call = server.exchange(&token, &[AWS]);
        assert_eq!(call.clone().proof(&prover).send().expect(200).claims(), first);
        Snapshot::of(&server).assert_identical(&before);
        for stranger in strangers(&call, &prover) {
            let before = Snapshot::of(&server);
            refused(&server, &before, &stranger.send().invalid("other_collector"), Logged::Yes);
        }
        let before = Snapshot::of(&server);
        if round == 0 {
            for proof in no_proofs(&server, &prover, &used) {
                refused(&server, &before, &no_proof(call.clone().header("dpop", &proof).send()), Logged::No);
            }
            let two = call.clone().proof(&prover).proof(&prover);
            refused(&server, &before, &no_proof(two.send()), Logged::No);
            let both = call.clone().proof(&prover).collector(&collector()).send().invalid("collector_malformed");
            assert!(both.member("hint").contains("one of the two"), "{}", both.text());
            refused(&server, &before, &both, Logged::No);
        }
        let answer = server.exchange(&token, &[VAULT]).proof(&prover).send().invalid("token_spent");
        refused(&server, &before, &answer, Logged::Yes);
        if round == 0 {
            server.restart();
            server.pass(31);
        }
    }
    server.pass(568);
    assert_eq!(server.exchange(&token, &[AWS]).proof(&prover).send().expect(200).claims(), first);
    server.pass(1);
    let before = Snapshot::of(&server);
    let answer = server.exchange(&token, &[AWS]).proof(&prover).send().invalid("token_spent");
    refused(&server, &before, &answer, Logged::Yes);
    assert_eq!(Snapshot::of(&server).count("token"), 1);
}

#[test]
fn attack_020_another_key_before_the_issue_contests_the_request() {
    let server = Server::start();
    let mut mara = Person::manager(&server, "Mara");
    let prover = Prover::new();
    for at in 0..4 {
        let token = server.job().with("job_id", format!("7{at}")).sign();
        let call = server.exchange(&token, &[AWS]);
        let id = call.clone().proof(&prover).send().pending().member("approval_id");
        mara.approve(&server, &id);
        strangers(&call, &prover).remove(at).send().invalid("other_collector");
        let answer = call.clone().proof(&prover).send();
        answer.expect_error(400, "access_denied", "request_contested");
    }
    // Nor does a key come in for an `Idempotency-Key`, that key's own thumbprint included.
    for (at, key) in [collector(), prover.jkt().as_str().to_owned()].into_iter().enumerate() {
        let token = server.job().with("job_id", format!("8{at}")).sign();
        let id = server.ask(&token, &key);
        mara.approve(&server, &id);
        server.exchange(&token, &[AWS]).proof(&prover).send().invalid("other_collector");
        let answer = server.exchange(&token, &[AWS]).collector(&key).send();
        answer.expect_error(400, "access_denied", "request_contested");
    }
    assert_eq!(Snapshot::of(&server).count("token"), 0);
}

#[test]
fn attack_020_what_is_no_proof_contests_nothing() {
    let server = Server::start();
    let mut mara = Person::manager(&server, "Mara");
    let (token, prover) = (server.job().sign(), Prover::new());
    let used = prover.proof(&server, "POST", "/token");
    let call = server.exchange(&token, &[AWS]);
    let id = call.clone().header("dpop", &used).send().pending().member("approval_id");
    let before = Snapshot::of(&server);
    for proof in no_proofs(&server, &prover, &used) {
        refused(&server, &before, &no_proof(call.clone().header("dpop", &proof).send()), Logged::No);
    }
    let both = call.clone().proof(&prover).collector(&collector()).send().invalid("collector_malformed");
    refused(&server, &before, &both, Logged::No);
    mara.approve(&server, &id);
    call.clone().proof(&prover).send().expect(200);
}

#[test]
fn attack_020_a_key_is_kept_hashed_and_people_sign_the_hash() {
    let server = Server::start();
    let mut mara = Person::manager(&server, "Mara");
    let (token, prover) = (server.job().sign(), Prover::new());
    let id = server.exchange(&token, &[AWS]).proof(&prover).send().pending().member("approval_id");
    let jkt = prover.jkt();
    server.app.store.write_blocking(|unit| unit.reader().size()).unwrap();
    for file in std::fs::read_dir(&server.directory).unwrap() {
        let bytes = std::fs::read(file.unwrap().path()).unwrap();
        assert!(find(&bytes, jkt.as_str().as_bytes()).is_none(), "the thumbprint lies on the disk");
    }
    mara.approve(&server, &id);
    server.exchange(&token, &[AWS]).proof(&prover).send().expect(200);
    let bundle = newest_bundle(&server);
    let request = evidence(&bundle, "request").unwrap();
    assert_eq!(request["collector"], json!(key_collector(&jkt)));
}

#[test]
fn attack_020_where_nobody_is_asked_a_key_has_its_token_again_and_no_other_does() {
    let server = Server::start();
    let (token, prover) = (server.job().environment("staging").sign(), Prover::new());
    let call = server.exchange(&token, &[AWS, VAULT]);
    let used = prover.proof(&server, "POST", "/token");
    let first = call.clone().header("dpop", &used).send().expect(200).claims();
    assert_eq!(first["cnf"]["jkt"], prover.jkt().as_str());
    assert_eq!(call.clone().proof(&prover).send().expect(200).claims(), first);
    for stranger in strangers(&call, &prover) {
        let before = Snapshot::of(&server);
        refused(&server, &before, &stranger.send().invalid("other_collector"), Logged::Yes);
    }
    let before = Snapshot::of(&server);
    refused(&server, &before, &no_proof(call.clone().header("dpop", &used).send()), Logged::No);
    let second = server.exchange(&token, &[VAULT]).proof(&prover).send().expect(200).claims();
    assert_eq!((&second["aud"], &second["cnf"]), (&json!(VAULT), &first["cnf"]));
    assert_eq!(Snapshot::of(&server).count("token"), 2);
}

#[test]
fn attack_070_a_jobs_token_of_several_audiences_is_bound_to_its_key_in_each() {
    let server = Server::start();
    let mut mara = Person::manager(&server, "Mara");
    let (job, prover) = (server.job(), Prover::new());
    let (token, second) = (job.clone().sign(), job.clone().with("jti", "another").sign());
    let list = [AWS, VAULT, GCP];
    let id = server.exchange(&token, &list).proof(&prover).send().pending().member("approval_id");
    // Another token of the job joins with the key alone.
    server.pass(6);
    assert_eq!(server.exchange(&second, &list).proof(&prover).send().pending().member("approval_id"), id);
    mara.approve(&server, &id);
    for audience in list {
        let claims = server.exchange(&second, &[audience]).proof(&prover).send().expect(200).claims();
        assert_eq!((&claims["aud"], &claims["cnf"]), (&json!(audience), &json!({ "jkt": prover.jkt() })));
    }
    let plain = server.job().with("job_id", "77").environment("staging").sign();
    let claims = server.exchange(&plain, &[AWS]).collector(&collector()).send().expect(200).claims();
    assert!(claims.get("cnf").is_none(), "an `Idempotency-Key` binds no token");
}

#[test]
fn attack_070_a_held_call_is_its_keys_and_a_repeated_proof_does_not_replace_it() {
    let server = Server::start();
    let mut mara = Person::manager(&server, "Mara");
    let (token, prover) = (server.job().sign(), Prover::new());
    let call = server.exchange(&token, &[AWS]);
    let id = call.clone().proof(&prover).send().pending().member("approval_id");
    let used = prover.proof(&server, "POST", "/token");
    let held = call.clone().header("dpop", &used).wait(50).call().start();
    until("one held", || server.app.waiting().count() == 1);
    let before = Snapshot::of(&server);
    let again = call.clone().header("dpop", &used).wait(50).send();
    refused(&server, &before, &no_proof(again), Logged::No);
    mara.approve(&server, &id);
    let answer = finish(held).expect(200);
    server.note(&answer);
    assert_eq!(answer.claims()["cnf"]["jkt"], prover.jkt().as_str());
    no_proof(call.clone().header("dpop", &used).send());
}

#[test]
fn attack_070_a_jobs_proof_that_came_too_fast_is_used_too() {
    let server = Server::start();
    let mut mara = Person::manager(&server, "Mara");
    let (token, prover) = (server.job().sign(), Prover::new());
    let call = server.exchange(&token, &[AWS]);
    let id = call.clone().proof(&prover).send().pending().member("approval_id");
    let used = prover.proof(&server, "POST", "/token");
    let fast = call.clone().header("dpop", &used).send().expect_error(400, "slow_down", "polled_too_fast");
    assert_eq!(fast.json()["interval"], 10);
    mara.approve(&server, &id);
    server.pass(10);
    let before = Snapshot::of(&server);
    refused(&server, &before, &no_proof(call.clone().header("dpop", &used).send()), Logged::No);
    call.clone().proof(&prover).send().expect(200);
}

#[test]
fn attack_070_a_proof_of_a_refused_job_takes_no_room() {
    let server = Server::start();
    let prover = Prover::new();
    let proof = prover.proof(&server, "POST", "/token");
    let call = |environment: &str, job: &str| {
        let token = server.job().with("job_id", job).environment(environment).sign();
        server.exchange(&token, &[AWS]).header("dpop", &proof).send()
    };
    call("elsewhere", "1").invalid("no_rule_matches");
    call("forbidden", "2").expect_error(400, "access_denied", "denied_by_rule");
    // It was not remembered, so it is good for its one call.
    call("staging", "3").expect(200);
    let before = Snapshot::of(&server);
    refused(&server, &before, &no_proof(call("staging", "4")), Logged::No);
}

#[test]
fn attack_070_of_one_proof_sent_many_times_at_once_one_counts() {
    let server = Server::start();
    let (token, prover) = (server.job().environment("staging").sign(), Prover::new());
    let call = server.exchange(&token, &[AWS]).proof(&prover).call();
    let calls: Vec<_> = (0..20).map(|_| call.clone().start()).collect();
    let answers: Vec<_> = calls.into_iter().map(finish).collect();
    let (given, refused): (Vec<_>, Vec<_>) = answers.into_iter().partition(|answer| answer.status == 200);
    for answer in &given {
        server.note(answer);
    }
    assert_eq!((given.len(), refused.len()), (1, 19));
    for answer in refused {
        no_proof(answer);
    }
    assert_eq!(Snapshot::of(&server).count("token"), 1);
}

#[test]
fn attack_070_after_a_restart_a_jobs_proof_needs_a_nonce_and_is_told_which() {
    let mut server = Server::start();
    let mut mara = Person::manager(&server, "Mara");
    let (token, prover) = (server.job().sign(), Prover::new());
    let used = prover.proof(&server, "POST", "/token");
    let id = server.exchange(&token, &[AWS]).header("dpop", &used).send().pending().member("approval_id");
    mara.approve(&server, &id);
    server.pass(2);
    server.restart();
    let call = server.exchange(&token, &[AWS]);
    let before = Snapshot::of(&server);
    for call in [call.clone().header("dpop", &used), call.clone().proof(&prover)] {
        let answer = call.send().expect_error(400, "use_dpop_nonce", "dpop_nonce_wanted");
        assert!(answer.header("dpop-nonce").is_some());
        refused(&server, &before, &answer, Logged::No);
    }
    let answer = call.clone().proof(&prover).send();
    let mut claims = Prover::claims(&server, "POST", "/token");
    claims["nonce"] = json!(answer.header("dpop-nonce").unwrap());
    call.clone().header("dpop", &prover.sign(&prover.header(), &claims)).send().expect(200);
}

/// The newest token's bundle.
fn newest_bundle(server: &Server) -> Value {
    let snapshot = Snapshot::of(server);
    let entry = snapshot.of_kind("token").last().unwrap()["seq"].as_u64().unwrap();
    serde_json::to_value(server.app.make_bundle(entry).unwrap()).unwrap()
}

/// The document of a bundle that has this member.
fn evidence(bundle: &Value, name: &str) -> Option<Value> {
    let mut documents = bundle["evidence"].as_object().unwrap().values();
    documents.find_map(|document| {
        let value: Value = serde_json::from_str(document["text"].as_str()?).ok()?;
        value.get(name).cloned()
    })
}

#[test]
fn attack_085_a_bundle_is_of_the_key_that_collected() {
    let server = Server::start();
    let mut mara = Person::manager(&server, "Mara");
    let verifier = VerifierKey::parse(&server.app.log_vkey).unwrap();
    let prover = Prover::new();
    for (environment, says) in
        [("production", "another key than the request says"), ("staging", "not those that were logged")]
    {
        let token = server.job().with("job_id", environment.len().to_string()).environment(environment).sign();
        let call = server.exchange(&token, &[AWS]);
        if environment == "production" {
            let id = call.clone().proof(&prover).send().pending().member("approval_id");
            mara.approve(&server, &id);
        }
        call.proof(&prover).send().expect(200);
        // The job token is spent for all that it may have: it leaves in the bundle.
        let mut bundle = newest_bundle(&server);
        let verify = |bundle: &Value| verify_bundle(bundle.to_string().as_bytes(), &verifier);
        let report = verify(&bundle);
        assert_eq!(report.answer(), "yes", "{report:#?}");
        assert_eq!(bundle["claims"]["cnf"]["jkt"], prover.jkt().as_str());
        let whole = bundle.clone();
        for cnf in [json!({ "jkt": Prover::new().jkt() }), json!({ "jkt": "x" }), json!({}), Value::Null] {
            bundle["claims"]["cnf"] = cnf;
            let report = verify(&bundle);
            assert_eq!(report.failed().unwrap().name, "claims", "{report:#?}");
        }
        bundle["claims"]["cnf"] = json!({ "jkt": Prover::new().jkt() });
        assert!(verify(&bundle).answer().contains(says), "{}", verify(&bundle).answer());
        bundle = whole;
        bundle["claims"].as_object_mut().unwrap().remove("cnf");
        assert_eq!(verify(&bundle).failed().unwrap().name, "claims");
    }
}

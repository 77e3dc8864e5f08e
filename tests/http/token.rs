//! `POST /token`: the happy thread and its neighbours.

use crate::support::rules::{AWS, GCP, VAULT};
use crate::support::{Person, Server, Snapshot, collector};

#[test]
fn a_job_that_a_rule_trusts_gets_its_token_at_once() {
    let server = Server::start();
    let job = server.job().environment("staging");
    let answer = server.exchange(&job.sign(), &[AWS]).send().expect(200);
    let body = answer.json();
    assert_eq!(body["token_type"], "N_A");
    assert_eq!(body["issued_token_type"], "urn:ietf:params:oauth:token-type:jwt");
    assert_eq!(body["expires_in"], 600);
    assert_eq!(body["log"]["origin"], "sign.shop.example/log");
    let claims = answer.claims();
    assert_eq!(claims["sub"], "gitlab:4711:env:staging:none");
    assert_eq!(claims["aud"], AWS);
    assert!(claims.get("amr").is_none() && claims.get("acr").is_none() && claims.get("approver").is_none());
    let entries = Snapshot::of(&server).entries;
    let index = usize::try_from(body["log"]["index"].as_u64().unwrap()).unwrap();
    assert_eq!(entries[index]["jti"], claims["jti"]);
}

#[test]
fn an_approved_job_gets_a_token_that_says_who_stood_behind_it() {
    let server = Server::start();
    let mut mara = Person::manager(&server, "Mara");
    let (token, key) = (server.job().sign(), collector());
    let pending = server.exchange(&token, &[AWS]).collector(&key).send().pending();
    let body = pending.json();
    let id = body["approval_id"].as_str().unwrap();
    assert_eq!(body["approval_uri"], format!("https://sign.shop.example/a/{id}"));
    assert_eq!((&body["expires_in"], &body["interval"]), (&900.into(), &5.into()));
    assert_eq!(body["approval_code"].as_str().unwrap().len(), 7);
    let page = server.get(&format!("/a/{id}")).expect(200).text();
    assert!(page.contains("shop/api") && page.contains(body["approval_code"].as_str().unwrap()));
    let told = mara.approve(&server, id).json();
    assert_eq!(told["state"], "approved");
    server.pass(9);
    let answer = server.exchange(&token, &[AWS]).collector(&key).send().expect(200);
    let claims = answer.claims();
    assert_eq!(claims["sub"], "gitlab:4711:env:production:approval:phr");
    assert_eq!(claims["approver"], mara.id.as_str());
    assert_eq!((&claims["acr"], &claims["presence"]), (&"phr".into(), &"approval".into()));
    assert_eq!(claims["approval"]["id"], id);
    assert_eq!(claims["approval"]["by"][0]["sub"], mara.id.as_str());
    assert_eq!(claims["gitlab_pipeline_id"], "90210");
    assert_eq!(answer.json()["approval"], claims["approval"]);
    assert!(!answer.text().contains("Mara"), "a job log names nobody");
}

#[test]
fn several_audiences_are_one_touch() {
    let server = Server::start();
    let mut mara = Person::manager(&server, "Mara");
    let (token, key) = (server.job().sign(), collector());
    let id = server.ask_for(&token, &key, &[AWS, VAULT, GCP]);
    mara.approve(&server, &id);
    let first = server.exchange(&token, &[AWS, VAULT, GCP]).collector(&key).send().expect(200).claims();
    assert_eq!(first["aud"], AWS);
    for audience in [GCP, VAULT] {
        let claims = server.exchange(&token, &[audience]).collector(&key).send().expect(200).claims();
        assert_eq!(claims["aud"], audience);
        assert_eq!(claims["approval"], first["approval"]);
        assert_ne!(claims["jti"], first["jti"]);
    }
    let snapshot = Snapshot::of(&server);
    assert_eq!((snapshot.count("token"), snapshot.count("decision")), (3, 1));
}

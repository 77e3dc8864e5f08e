//! More than the rule gives, words put into our mouth, and forms that are not one.

use serde_json::{Value, json};

use crate::support::application::grafana;
use crate::support::exchange::exchange_pairs;
use crate::support::rules::{AWS, VAULT};
use crate::support::wire::form;
use crate::support::{Logged, Options, Person, Server, Snapshot, URL, collector, refused};

const FORM: &str = "application/x-www-form-urlencoded";

#[test]
fn attack_041_an_audience_is_on_the_rules_list_or_refused() {
    // Nor is it a client of ours, or what a client has tokens for.
    let server = Server::for_clients(vec![grafana()]);
    let key = collector();
    for environment in ["staging", "production"] {
        for audience in [
            "https://evil.example",
            "sts.amazonaws.com/",
            "STS.amazonaws.com",
            "sts.amazonaws.co",
            URL,
            "grafana",
            "https://api.example.com",
            "*",
        ] {
            let token = server.job().environment(environment).sign();
            for asked in [vec![audience], vec![AWS, audience], vec![audience, AWS]] {
                let before = Snapshot::of(&server);
                let answer = server.exchange(&token, &asked).collector(&key).send();
                let answer = answer.expect_error(400, "invalid_target", "audience_not_allowed");
                refused(&server, &before, &answer, Logged::Yes);
                server.pass(61);
            }
            let before = Snapshot::of(&server);
            let answer = server.exchange(&token, &[AWS]).pair("resource", audience).collector(&key).send();
            let answer = answer.expect_error(400, "invalid_target", "audience_not_allowed");
            refused(&server, &before, &answer, Logged::Yes);
        }
    }
}

#[test]
fn attack_041_types_scopes_and_lifetimes_are_ours() {
    let server = Server::start();
    let token = server.job().environment("staging").sign();
    let before = Snapshot::of(&server);
    let call = server.exchange(&token, &[AWS]);
    for kind in ["refresh_token", "access_token", "saml2", "saml1", "JWT"] {
        let kind = format!("urn:ietf:params:oauth:token-type:{kind}");
        let answer = call.clone().pair("requested_token_type", &kind).send().invalid("parameter_invalid");
        refused(&server, &before, &answer, Logged::No);
    }
    for scope in ["admin", "openid", "*"] {
        let answer = call.clone().pair("scope", scope).send();
        let answer = answer.expect_error(400, "invalid_scope", "scope_not_allowed");
        refused(&server, &before, &answer, Logged::No);
    }
    for pair in [("actor_token", token.as_str()), ("actor_token_type", "urn:ietf:params:oauth:token-type:jwt")] {
        refused(&server, &before, &call.clone().pair(pair.0, pair.1).send().invalid("actor_unsupported"), Logged::No);
    }
    let answer = call.clone().header("dpop", "x").send();
    let answer = answer.expect_error(400, "invalid_dpop_proof", "dpop_proof_invalid");
    refused(&server, &before, &answer, Logged::No);
    let more = call.pair("expires_in", "86400").pair("lifetime", "24h").pair("requested_lifetime", "86400");
    let answer = more.send().expect(200);
    assert_eq!(answer.json()["expires_in"], 600);
    assert!(answer.json().get("refresh_token").is_none());
}

#[test]
fn attack_043_nobody_but_us_says_what_a_person_did() {
    let server = Server::start();
    let mut mara = Person::manager(&server, "Mara");
    let claimed = json!({
        "amr": ["hwk", "user", "mfa", "pin"], "acr": "phrh", "auth_time": 1, "approved_by": "ada", "approver": "ada",
        "approval": { "id": "x" }, "presence": "approval", "act": { "sub": "bot" }, "may_act": { "sub": "x" },
        "amr_missing": {}, "log": { "index": 1 }, "cnf": { "jkt": "x" }, "https://aws.amazon.com/tags": {}
    });
    let said = [("amr", "hwk"), ("acr", "phrh"), ("auth_time", "1"), ("approved_by", "ada"), ("presence", "approval")];
    let send = |token: &str, key: &str| {
        let mut call = server.exchange(token, &[AWS]).collector(key);
        for (name, value) in said {
            call = call.pair(name, value);
        }
        call.call().send()
    };
    let (token, key) = (server.job().environment("staging").with_all(claimed.clone()).sign(), collector());
    let answer = send(&token, &key).expect(200);
    let claims = answer.claims();
    for name in
        ["amr", "acr", "auth_time", "approved_by", "approver", "approval", "act", "may_act", "amr_missing", "cnf"]
    {
        assert!(claims.get(name).is_none(), "{name}: {claims}");
    }
    assert_eq!((&claims["presence"], &claims["log"]["origin"]), (&json!("none"), &json!("sign.shop.example/log")));

    let (token, key) = (server.job().with_all(claimed).sign(), collector());
    let id = send(&token, &key).pending().member("approval_id");
    mara.approve(&server, &id);
    let claims = send(&token, &key).expect(200).claims();
    assert_eq!(claims["approver"], mara.id.as_str());
    assert_eq!(claims["acr"], "phr");
    assert_eq!(claims["auth_time"], server.now());
    let amr: Vec<&str> = claims["amr"].as_array().unwrap().iter().filter_map(Value::as_str).collect();
    assert!(amr.contains(&"pop") && amr.contains(&"user"), "{amr:?}");
    for never in ["hwk", "mfa", "pin", "fpt", "face"] {
        assert!(!amr.contains(&never), "{never} without attestation");
    }
    assert_eq!(claims["amr_missing"]["hwk"], "no_attestation");
    assert!(claims.get("act").is_none() && claims.get("may_act").is_none() && claims.get("cnf").is_none());
}

#[test]
fn attack_044_polling_and_asking_have_limits() {
    let server = Server::with(Options {
        limits: countersign::app::course::CallLimits { open_of_project: 5, ..Options::default().limits },
        ..Options::default()
    });
    let mut mara = Person::manager(&server, "Mara");
    let (token, key) = (server.job().sign(), collector());
    let id = server.ask(&token, &key);
    let mut interval = 5;
    for _ in 0..4 {
        interval += 5;
        let answer = server.exchange(&token, &[AWS]).collector(&key).send();
        let answer = answer.expect_error(400, "slow_down", "polled_too_fast");
        assert_eq!(answer.json()["interval"], interval);
    }
    server.pass(interval);
    server.exchange(&token, &[AWS]).collector(&key).send().pending();
    for _ in 0..4 {
        server.ask(&server.job().sign(), &collector());
    }
    let before = Snapshot::of(&server);
    let answer = server.exchange(&server.job().sign(), &[AWS]).collector(&collector()).call().send();
    let answer = answer.expect_error(429, "temporarily_unavailable", "rate_limited");
    assert!(answer.header("retry-after").is_some());
    refused(&server, &before, &answer, Logged::No);
    // A link that nobody gave leads nowhere, and a link alone does nothing.
    let guessed = format!("{}x", &id[..id.len() - 1]);
    server.get(&format!("/a/{guessed}")).expect(404);
    mara.approve(&server, &id);
    let before = Snapshot::of(&server);
    let answer = server.exchange(&server.job().environment("staging").sign(), &[AWS]).pair("approval_id", &id).send();
    assert!(answer.claims().get("approval").is_none());
    assert_eq!(Snapshot::of(&server).entries.len(), before.entries.len() + 1);
}

#[test]
fn attack_046_a_parameter_occurs_once_and_in_the_body() {
    let server = Server::start();
    let token = server.job().environment("staging").sign();
    let before = Snapshot::of(&server);
    let post = |path: &str, kind: &str, body: &str| server.call("POST", path).body(kind, body).send();
    let whole = form(&exchange_pairs(&token, &[AWS]));
    for name in ["grant_type", "subject_token", "subject_token_type", "requested_token_type", "scope", "x"] {
        let body = format!("{whole}&{name}=a&{name}=a");
        refused(&server, &before, &post("/token", FORM, &body).invalid("parameter_repeated"), Logged::No);
    }
    for kind in [
        "application/json",
        "multipart/form-data; boundary=x",
        "application/x-www-form-urlencoded; charset=utf-16",
        "text/plain",
        "",
    ] {
        let answer = post("/token", kind, &whole).expect(415);
        assert_eq!(answer.header("accept"), Some(FORM));
        refused(&server, &before, &answer, Logged::No);
    }
    let answer = post(&format!("/token?{whole}"), FORM, "x=1").invalid("parameter_missing");
    refused(&server, &before, &answer, Logged::No);
    let array = whole.replace("audience=", "audience%5B%5D=").replace("subject_token=", "subject_token[]=");
    refused(&server, &before, &post("/token", FORM, &array).invalid("parameter_missing"), Logged::No);
    for grant in ["URN:ietf:params:oauth:grant-type:token-exchange", "token-exchange", "implicit", "password"] {
        let answer = server.exchange(&token, &[AWS]).set("grant_type", grant).send();
        let answer = answer.expect_error(400, "unsupported_grant_type", "grant_unsupported");
        refused(&server, &before, &answer, Logged::No);
    }
    for kind in ["", "urn:ietf:params:oauth:token-type:access_token", "id_token"] {
        let code = if kind.is_empty() { "parameter_missing" } else { "parameter_invalid" };
        let answer = server.exchange(&token, &[AWS]).set("subject_token_type", kind).send().invalid(code);
        refused(&server, &before, &answer, Logged::No);
    }
    let parameters = |count: usize| (0..count).fold(String::new(), |form, n| form + "&p" + &n.to_string() + "=1");
    let many = parameters(5_000);
    refused(
        &server,
        &before,
        &post("/token", FORM, &format!("{whole}{many}")).invalid("parameter_invalid"),
        Logged::No,
    );
    let some = parameters(50);
    let body = format!("{whole}{some}&audience={VAULT}");
    let answer = post("/token", "Application/X-WWW-Form-Urlencoded; charset=UTF-8", &body).expect(200);
    server.note(&answer);
}

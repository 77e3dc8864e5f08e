//! Issuers that are not ours, crossed, or hostile.

use std::net::TcpListener;
use std::time::Duration;

use countersign::domain::ids::IssuerName;
use countersign::domain::job::gitlab::IssuerTerms;

use crate::support::gitlab::{SHARED_KID, gitlab, other};
use crate::support::hostile::Hostile;
use crate::support::rules::AWS;
use crate::support::{Logged, Options, Server, Snapshot, URL, refused};

fn junk(server: &Server, token: &str, code: &str) {
    let before = Snapshot::of(server);
    let answer = server.exchange(token, &[AWS]).send().invalid(code);
    refused(server, &before, &answer, Logged::No);
}

#[test]
fn attack_013_an_issuer_is_a_key_of_a_table() {
    let server = Server::start();
    for iss in [
        "https://gitlab.shop.example.evil.example",
        "https://gitlab.shop.example@evil.example",
        "https://gitlab.shop.example/",
        "https://GITLAB.shop.example",
        "http://gitlab.shop.example",
        "https://gitlab.shop.example:443",
        "https://gitlab.shop.example%2f..",
        "https://g\u{456}tlab.shop.example",
        "gitlab.shop.example",
        "",
        "https://token.actions.githubusercontent.com",
    ] {
        junk(&server, &server.job().environment("staging").with("iss", iss).sign(), "unknown_issuer");
    }
    for iss in [serde_json::json!(["https://gitlab.shop.example"]), serde_json::json!(1), serde_json::Value::Null] {
        junk(&server, &server.job().with("iss", iss).sign(), "unknown_issuer");
    }
    junk(&server, &server.job().without("iss").sign(), "not_a_job_token");
    junk(&server, &server.job().with("iss", URL).sign(), "not_a_job_token");
}

#[test]
fn attack_013_a_key_is_its_own_issuers_alone() {
    let server = Server::start();
    let crossed = server.job().environment("staging").with("iss", other().url);
    junk(&server, &crossed.sign_by(gitlab()), "unknown_key");
    let shared = crossed.header("kid", SHARED_KID);
    junk(&server, &shared.sign_by(gitlab()), "signature_invalid");
    // The control: each issuer's own key under the shared id is taken.
    let own = server.job().environment("staging").header("kid", SHARED_KID);
    server.exchange(&own.sign(), &[AWS]).send().expect(200);
    let answer = server.exchange(&shared.sign_by(other()), &[AWS]).send();
    assert_eq!(answer.code(), "no_rule_matches", "the rules are for the other issuer");
}

#[test]
fn attack_014_unknown_keys_and_issuers_ask_nobody() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let place = format!("https://127.0.0.1:{}", listener.local_addr().unwrap().port());
    let server = Server::start();
    for n in 0..20 {
        let job = server.job().header("kid", format!("k{n}")).header("jku", format!("{place}/jwks"));
        junk(&server, &job.sign(), "unknown_key");
        junk(&server, &job.with("iss", place.as_str()).sign(), "unknown_issuer");
    }
    assert!(listener.accept().is_err(), "somebody connected");
}

pub fn hostile_issuer(
    name: &str,
    url: &str,
    ca: &std::path::Path,
    allow_private: bool,
) -> countersign::app::settings::IssuerSettings {
    countersign::app::settings::IssuerSettings {
        terms: IssuerTerms {
            name: IssuerName::parse(name).unwrap(),
            url: url.to_owned(),
            our_url: URL.to_owned(),
            legacy: std::collections::BTreeSet::new(),
            identity_provider: None,
            projects: None,
            namespaces: None,
        },
        jwks_host: None,
        pinned_jwks: None,
        ca_file: Some(ca.to_owned()),
        allow_private,
        stale_use: Duration::from_hours(24),
    }
}

#[test]
fn attack_015_a_hostile_issuer_costs_nobody_but_itself() {
    let hostile = Hostile::start();
    let kinds =
        ["redirect", "large", "html", "broken", "other-issuer", "other-origin", "plain-jwks", "garbage-keys", "good"];
    let mut options = Options::default();
    for kind in kinds {
        let url = format!("{}/{kind}", hostile.url);
        options.issuers.push(hostile_issuer(kind, &url, &hostile.ca, true));
    }
    options.issuers.push(hostile_issuer("private", &format!("{}/private", hostile.url), &hostile.ca, false));
    let server = Server::with(options);
    for kind in kinds.into_iter().filter(|kind| *kind != "good").chain(["private"]) {
        let before = Snapshot::of(&server);
        let job = server.job().with("iss", format!("{}/{kind}", hostile.url));
        let answer = server.exchange(&job.sign(), &[AWS]).send();
        let answer = answer.expect_error(503, "temporarily_unavailable", "issuer_unavailable");
        assert!(answer.header("retry-after").is_some());
        refused(&server, &before, &answer, Logged::No);
    }
    assert_eq!(hostile.calls("private"), 0, "a private address without `allow_private` is never asked");
    assert_eq!(hostile.calls("redirected"), 0, "no redirect is followed");
    let ready = server.get("/readyz").expect(503).text();
    for (kind, field) in [
        ("redirect", "url"),
        ("large", "url"),
        ("html", "url"),
        ("broken", "url"),
        ("other-issuer", "issuer"),
        ("other-origin", "jwks_uri"),
        ("plain-jwks", "jwks_uri"),
        ("garbage-keys", "keys"),
        ("private", "url"),
    ] {
        assert!(ready.contains(&format!("issuer `{kind}`: {field}: ")), "{kind} and {field} are not named: {ready}");
    }
    // The others go on.
    server.exchange(&server.job().environment("staging").sign(), &[AWS]).send().expect(200);
    let good = server.job().with("iss", format!("{}/good", hostile.url));
    assert_eq!(server.exchange(&good.sign(), &[AWS]).send().code(), "no_rule_matches");
}

//! Job tokens with a true signature whose claims are not for us, not of a job, or of the wrong form.

use data_encoding::BASE64URL_NOPAD;
use serde_json::{Value, json};

use crate::support::gitlab::{encode, gitlab};
use crate::support::rules::AWS;
use crate::support::{Logged, Server, Snapshot, URL, refused};

fn not_taken(server: &Server, token: &str, code: &str) {
    let before = Snapshot::of(server);
    let answer = server.exchange(token, &[AWS]).send().invalid(code);
    refused(server, &before, &answer, Logged::No);
}

#[test]
fn attack_011_times_have_one_leeway() {
    let server = Server::start();
    let now = server.now();
    let job = || server.job().environment("staging");
    for (name, value, code) in [
        ("exp", json!(now - 30), "token_expired"),
        ("exp", json!(now - 3600), "token_expired"),
        ("exp", json!("9999999999"), "bad_claim_type"),
        ("exp", json!(i64::MIN), "bad_claim_type"),
        ("exp", json!(-1), "token_expired"),
        ("exp", json!(1e300), "bad_claim_type"),
        ("exp", json!(u64::MAX), "bad_claim_type"),
        ("nbf", json!(now + 31), "token_from_future"),
        ("iat", json!(now + 31), "token_from_future"),
    ] {
        not_taken(&server, &job().with(name, value).sign(), code);
    }
    not_taken(&server, &job().without("exp").sign(), "not_a_job_token");
    let before = Snapshot::of(&server);
    let old = job().with_all(json!({ "iat": now - 3601, "nbf": now - 3601, "exp": now + 86_400 })).sign();
    let answer = server.exchange(&old, &[AWS]).send().invalid("token_too_old");
    refused(&server, &before, &answer, Logged::Yes);
    for passes in [
        json!({ "nbf": now + 29, "iat": now + 29 }),
        json!({ "exp": now + 30 * 86_400 }),
        json!({ "exp": f64::from(1_795_434_000) }),
    ] {
        server.exchange(&job().with_all(passes).sign(), &[AWS]).send().expect(200);
    }
}

#[test]
fn attack_012_the_audience_is_us_alone_and_exactly() {
    let server = Server::start();
    for (aud, code) in [
        (json!([URL, "https://evil.example"]), "aud_not_exclusive"),
        (json!(["https://evil.example", URL]), "aud_not_exclusive"),
        (json!([URL, URL]), "aud_not_exclusive"),
        (json!([]), "aud_wrong"),
        (json!({}), "aud_wrong"),
        (json!(1), "aud_wrong"),
        (json!([1]), "aud_wrong"),
        (json!(format!("{URL}/")), "aud_wrong"),
        (json!("https://SIGN.shop.example"), "aud_wrong"),
        (json!(format!("{URL}.evil.example")), "aud_wrong"),
        (json!(["https://evil.example"]), "aud_wrong"),
        (json!(""), "aud_wrong"),
        (Value::Null, "aud_missing"),
    ] {
        not_taken(&server, &server.job().environment("staging").with("aud", aud).sign(), code);
    }
    not_taken(&server, &server.job().without("aud").sign(), "aud_missing");
    let list = server.job().environment("staging").with("aud", json!([URL]));
    server.exchange(&list.sign(), &[AWS]).send().expect(200);
}

#[test]
fn attack_018_other_tokens_of_the_same_issuer_are_no_job_tokens() {
    let server = Server::start();
    let now = server.now();
    let mut login = server.job();
    login.claims = match json!({
        "iss": gitlab().url, "sub": "88", "aud": URL, "iat": now - 5, "exp": now + 600, "jti": "login",
        "auth_time": now - 60, "name": "Mara", "email": "mara@shop.example"
    }) {
        Value::Object(claims) => claims,
        _ => unreachable!(),
    };
    not_taken(&server, &login.sign(), "not_a_job_token");
    for claim in ["job_id", "pipeline_id", "project_id", "ref_type", "ref", "ref_protected", "jti", "iat"] {
        not_taken(&server, &server.job().without(claim).sign(), "not_a_job_token");
    }
    for typ in ["at+jwt", "dpop+jwt", "logout+jwt", "jwt", "secevent+jwt"] {
        not_taken(&server, &server.job().header("typ", typ).sign(), "not_a_job_token");
    }
    let events = json!({ "http://schemas.openid.net/event/backchannel-logout": {} });
    not_taken(&server, &server.job().with("events", events).sign(), "not_a_job_token");
    // The predecessors of `id_tokens:`.
    not_taken(&server, &server.job().with("iss", "gitlab.shop.example").without("aud").sign(), "not_a_job_token");
    not_taken(&server, &server.job().with("aud", gitlab().url).sign(), "aud_wrong");
    // Our own.
    let own = server.exchange(&server.job().environment("staging").sign(), &[AWS]).send().expect(200);
    not_taken(&server, &own.member("access_token"), "not_a_job_token");
    // Somebody else's: a workflow's token of another forge, an opaque job token, a forge's access tokens.
    let mut workflow = server.job();
    workflow.claims = match json!({
        "iss": "https://token.actions.githubusercontent.com", "sub": "repo:shop/api:ref:refs/heads/main", "aud": URL,
        "iat": now - 5, "nbf": now - 5, "exp": now + 300, "jti": "workflow", "repository": "shop/api", "ref": "refs/heads/main"
    }) {
        Value::Object(claims) => claims,
        _ => unreachable!(),
    };
    not_taken(&server, &workflow.sign(), "not_a_job_token");
    for opaque in
        ["glcbt-64_x7RkS2pQw9LmN4vB8cTz", "glpat-x7RkS2pQw9LmN4vB8cTz", "ghs_x7RkS2pQw9LmN4vB8cTzx7RkS2pQw9LmN4"]
    {
        not_taken(&server, opaque, "not_a_job_token");
    }
}

#[test]
fn attack_019_nothing_is_coerced() {
    let server = Server::start();
    let job = || server.job().environment("staging");
    for (name, value) in [
        ("project_id", json!(4711)),
        ("job_project_id", json!(4711)),
        ("job_project_id", json!("04711")),
        ("ref_protected", json!(true)),
        ("ref_protected", json!("True")),
        ("ref_protected", json!(" true")),
        ("ref_protected", json!("1")),
        ("ref_protected", json!("")),
        ("ref_protected", Value::Null),
        ("job_id", json!("1e3")),
        ("job_id", json!("007")),
        ("job_id", json!("-1")),
        ("job_id", json!("1".repeat(40))),
        ("job_id", json!("\u{661}\u{662}")),
        ("job_id", json!("")),
        ("pipeline_id", json!([])),
        ("user_id", json!(88)),
        ("user_id", Value::Null),
        ("ref", json!("main\n")),
        ("ref", json!("ma\u{0}in")),
        ("ref", json!("ma\u{85}in")),
        ("ref", json!("main\u{202e}nogol")),
        ("environment", json!("\u{2067}production")),
        ("user_login", json!("mara\u{202d}")),
        ("groups_direct", json!(["shop", "ops\u{2066}"])),
        ("ref", json!(["main"])),
        ("ref", json!("")),
        ("environment", json!("x".repeat(2049))),
        ("environment", json!({ "name": "staging" })),
        ("groups_direct", json!("shop")),
        ("groups_direct", json!([1])),
        ("jti", json!(1)),
        ("jti", json!("")),
    ] {
        not_taken(&server, &job().with(name, value).sign(), "bad_claim_type");
    }
    let claims = serde_json::to_string(&job().with("ref", "X").claims).unwrap().replace("\"X\"", "\"\\ud800\"");
    let input = format!("{}.{}", encode(&job().header), BASE64URL_NOPAD.encode(claims.as_bytes()));
    let signature = BASE64URL_NOPAD.encode(&gitlab().sign_raw(input.as_bytes()));
    not_taken(&server, &format!("{input}.{signature}"), "not_compact_jws");
    server.exchange(&job().with("unheard_of", json!({ "a": [1] })).sign(), &[AWS]).send().expect(200);
}

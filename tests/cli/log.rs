//! `token`, `log`, `verify` and `rule explain`, from a job to its proof.

use std::time::{SystemTime, UNIX_EPOCH};

use countersign::crypto::signing::SigningKey;
use countersign::domain::rules::TokenAlg;
use rustix::process::Signal;
use serde_json::{Value, json};

use crate::support::{Place, Server, URL};

const GITLAB: &str = "https://gitlab.invalid";
const RULES: &str = "[[rule]]
name = \"reports\"
match = { issuer = \"gitlab\", job_project_id = \"4711\", environment = \"reports\", ref_protected = \"true\" }
audience = [\"reports.example.com\"]
require = \"none\"
";

/// A place whose GitLab's keys are pinned, and the key that signs job tokens.
pub fn with_gitlab() -> (Place, SigningKey) {
    let place = Place::initialised();
    let key = SigningKey::generate(TokenAlg::Rs256, 2048).unwrap();
    place.write("jwks.json", &json!({ "keys": [key.public_jwk()] }).to_string());
    place.change("countersign.toml", GITLAB, &format!("{GITLAB}\"\njwks_file = \"jwks.json"));
    place.write("rules/reports.toml", RULES);
    (place, key)
}

#[expect(clippy::disallowed_methods, reason = "the binary under test reads the system's clock too")]
fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}

fn job_token(key: &SigningKey, environment: &str) -> String {
    job_token_of(key, environment, 555_123)
}

/// A job token of a job with this number.
pub fn job_token_of(key: &SigningKey, environment: &str, job: u64) -> String {
    let claims = json!({
        "project_id": "4711", "project_path": "shop/api", "namespace_id": "310", "namespace_path": "shop",
        "user_id": "88", "user_login": "mara", "user_email": "mara@shop.example",
        "user_access_level": "maintainer", "job_project_id": "4711", "job_project_path": "shop/api",
        "job_namespace_id": "310", "job_namespace_path": "shop", "pipeline_id": "90210",
        "pipeline_source": "push", "job_id": job.to_string(), "ref": "main", "ref_type": "branch",
        "ref_path": "refs/heads/main", "ref_protected": "true", "environment": environment,
        "environment_protected": "true", "deployment_tier": "other", "environment_action": "start",
        "job_source": "push", "runner_id": 17, "runner_environment": "self-hosted",
        "sha": "0b2c6d1f6f8f4b7e9c1f2a3d4e5f60718293a4b5", "project_visibility": "private",
        "ci_config_ref_uri": "gitlab.invalid/shop/api//.gitlab-ci.yml@refs/heads/main",
        "ci_config_sha": "0b2c6d1f6f8f4b7e9c1f2a3d4e5f60718293a4b5",
        "jti": format!("6c0b3f0e-2f56-4a0e-8a51-{environment}-{job}"), "iss": GITLAB, "iat": now() - 5,
        "nbf": now() - 10, "exp": now() + 3595, "sub": "project_path:shop/api:ref_type:branch:ref:main", "aud": URL,
    });
    key.sign(claims.to_string().as_bytes()).unwrap()
}

/// The log entry that an answer names.
pub fn index(answer: &Value) -> String {
    answer["log"]["index"].as_u64().unwrap_or_else(|| panic!("{answer}")).to_string()
}

/// Posts a job token as `countersign.sh` does; the port is not the URL's, so the `Host` is written by hand.
pub fn exchange(server: &Server, token: &str) -> Value {
    exchange_at(server.address(), token)
}

/// The same, of a server of which a thread knows the address alone.
pub fn exchange_at(address: std::net::SocketAddr, token: &str) -> Value {
    use std::io::{Read as _, Write as _};
    let body = format!(
        "grant_type=urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Atoken-exchange&subject_token_type=urn%3Aietf%3Aparams\
         %3Aoauth%3Atoken-type%3Aid_token&audience=reports.example.com&subject_token={token}"
    );
    let mut stream = std::net::TcpStream::connect(address).unwrap();
    let head = format!(
        "POST /token HTTP/1.1\r\nHost: localhost:18080\r\nConnection: close\r\nContent-Length: {}\r\n\
         Content-Type: application/x-www-form-urlencoded\r\n\r\n",
        body.len()
    );
    stream.write_all(format!("{head}{body}").as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    serde_json::from_str(answer.split_once("\r\n\r\n").unwrap().1).unwrap()
}

#[test]
fn a_token_is_proven_offline_and_its_rule_explained_beside_the_running_server_and_without_it() {
    let (place, key) = with_gitlab();
    let token = job_token(&key, "reports");
    place.write("job.jwt", &token);
    place.run(&["rule", "explain", "job.jwt", "--audience", "reports.example.com"]).expect(0, "→ issue");
    let server = place.serve();
    let issued = exchange(&server, &token);
    let entry = index(&issued);
    let refused = exchange(&server, &job_token(&key, "production"));
    assert_eq!(refused["error_code"], "no_rule_matches", "{refused}");
    let refusal = index(&refused);
    let examine = || {
        place.run(&["log", "show", &entry]).expect(0, "\"kind\":\"token\"");
        place
            .run(&["log", "bundle", &entry, "--out", "bundle.json"])
            .expect(0, "countersign verify --log-key keys/log-key.pub");
        place.run(&["verify", "--log-key", "keys/log-key.pub", "bundle.json"]).expect(0, "\nyes");
        place.run(&["rule", "explain", &entry]).expect(0, "→ issue");
        let explained = place.run(&["rule", "explain", &refusal]).expect(0, "refused at the time: no_rule_matches");
        assert!(
            explained.out.contains("✕ environment: wants \"reports\", there is \"production\""),
            "{}",
            explained.out
        );
    };
    examine();
    assert_eq!(server.stop(), 0);
    examine();
    place.run(&["log", "bundle", "0"]).expect(1, "not a token");
    place.run(&["rule", "explain", "0"]).expect(1, "keeps no job token");
    place.run(&["rule", "explain", "absent.jwt"]).expect(2, "absent.jwt");
}

#[test]
fn verify_answers_no_without_a_pinned_key_and_2_where_it_cannot_read() {
    let (place, key) = with_gitlab();
    let server = place.serve();
    let issued = exchange(&server, &job_token(&key, "reports"));
    let entry = index(&issued);
    assert_eq!(server.stop(), 0);
    place.run(&["log", "bundle", &entry, "--out", "bundle.json"]).expect(0, "written");
    let unpinned = place.run(&["verify", "bundle.json"]).expect(1, "no: no log key pinned. This bundle names key ");
    assert!(unpinned.out.ends_with("; get it from somebody you trust, then: --log-key FILE\n"), "{}", unpinned.out);
    let other = Place::initialised();
    let foreign = other.at("keys/log-key.pub").display().to_string();
    place.run(&["verify", "--log-key", &foreign, "bundle.json"]).expect(1, "no: checkpoint failed: ");
    place.change("bundle.json", "reports", "secrets");
    let changed = place.run(&["--json", "verify", "--log-key", "keys/log-key.pub", "bundle.json"]).expect(1, "");
    let report: Value = serde_json::from_str(&changed.out).unwrap();
    assert!(report["answer"].as_str().unwrap().starts_with("no: "), "{report}");
    place.run(&["verify", "--log-key", "keys/log-key", "bundle.json"]).expect(2, "secret key");
    place.run(&["verify", "--log-key", "absent", "bundle.json"]).expect(2, "absent");
    place.run(&["verify", "--log-key", "keys/log-key.pub", "absent"]).expect(2, "absent");
}

#[test]
fn a_database_put_back_alone_is_refused_and_named() {
    let place = Place::initialised();
    std::fs::copy(place.at("state/countersign.db"), place.at("copy.db")).unwrap();
    place.run(&["people", "invite", "Ada"]).expect(0, "");
    for ending in ["-wal", "-shm"] {
        let _ = std::fs::remove_file(place.at(&format!("state/countersign.db{ending}")));
    }
    std::fs::copy(place.at("copy.db"), place.at("state/countersign.db")).unwrap();
    place.run(&["log", "check"]).expect(1, "the high-water mark names");
    place.run(&["serve"]).expect(2, "another copy was put");
    place.run(&["doctor"]).expect(1, "another copy was put");
    place.run(&["log", "show", "0"]).expect(0, "genesis");
}

#[test]
fn attack_100_rules_that_nobody_signed_wait_and_the_console_says_so() {
    let (place, key) = with_gitlab();
    let text = place.read("countersign.toml");
    assert!(!text.contains("\n[people]"));
    place.write("countersign.toml", &format!("{text}\n[people]\nrule_signatures = 2\n"));
    let mut server = place.serve();
    exchange(&server, &job_token_of(&key, "reports", 1));
    let weak = RULES.replace(", environment = \"reports\"", "");
    let weak = format!("{weak}token = {{ sub = \"gitlab:{{job_project_id}}\" }}\n");
    place.write("rules/reports.toml", &weak);
    server.signal(Signal::HUP);
    server.until("those before stay in force until admins have signed");
    let refused = |server: &Server, job: u64| {
        let answer = exchange(server, &job_token_of(&key, "production", job));
        assert_eq!(answer["error_code"], "no_rule_matches", "{answer}");
    };
    refused(&server, 2);
    let told = place.run(&["people", "changes"]).expect(0, "put other rules in force (1 changed)");
    assert!(told.out.contains("0 of 2") && told.out.contains("/changes/"), "{}", told.out);
    let told = place.run(&["--json", "doctor"]);
    for part in ["the files hold other rules", "other rules need 2 admins to sign, and 0 can"] {
        assert!(told.out.contains(part), "{part}: {}", told.out);
    }
    // Looking shows what is in force, also where no server runs.
    let in_force = place.run(&["rule", "list"]).expect(0, "environment \"reports\"");
    assert_eq!(server.stop(), 0);
    assert_eq!(place.run(&["rule", "list"]).expect(0, "environment \"reports\"").out, in_force.out);
    let server = place.serve();
    refused(&server, 3);
    let told = place.run(&["log", "show", "--rule", "reports"]).expect(0, "in force");
    assert_eq!(told.out.lines().count(), 1, "{}", told.out);
    assert_eq!(server.stop(), 0);
}

#[test]
fn attack_100_a_rule_that_was_weakened_used_and_put_back_shows_its_windows() {
    let (place, key) = with_gitlab();
    let mut server = place.serve();
    let first = index(&exchange(&server, &job_token_of(&key, "reports", 1)));
    let reload = |server: &mut Server, rules: &str| {
        place.write("rules/reports.toml", rules);
        server.signal(Signal::HUP);
        server.until("rules reloaded");
    };
    // An operator lets every environment of the project in, uses that, and puts the rule back.
    let weak = RULES.replace(", environment = \"reports\"", "");
    let weak = format!("{weak}token = {{ sub = \"gitlab:{{job_project_id}}\" }}\n");
    reload(&mut server, &weak);
    let used = index(&exchange(&server, &job_token_of(&key, "production", 2)));
    reload(&mut server, RULES);
    let told = place.run(&["log", "show", "--rule", "reports"]).expect(0, "in force");
    let lines: Vec<_> = told.out.lines().collect();
    assert_eq!(lines.len(), 3, "{}", told.out);
    assert!(lines[0].contains(" · until ") && lines[0].ends_with(&format!("1 token: entry {first}")), "{}", lines[0]);
    assert!(lines[1].contains(" · until ") && lines[1].ends_with(&format!("1 token: entry {used}")), "{}", lines[1]);
    assert!(lines[2].contains(" · in force · ") && lines[2].ends_with("no token"), "{}", lines[2]);
    let json: Value = serde_json::from_str(&place.run(&["--json", "log", "show", "--rule", "reports"]).out).unwrap();
    assert_eq!(json[0]["sha256"], json[2]["sha256"]);
    assert_ne!(json[0]["sha256"], json[1]["sha256"]);
    assert_eq!(json[1]["until"][0], json[2]["entry"]);
    place.run(&["log", "show", "--rule", "no such"]).expect(1, "was ever in force");
    assert_eq!(server.stop(), 0);
    // Without a rule of that name it ends, and is still told.
    place.write("rules/reports.toml", &RULES.replace("name = \"reports\"", "name = \"others\""));
    assert_eq!(place.serve().stop(), 0);
    let told = place.run(&["log", "show", "--rule", "reports"]).expect(0, "no token");
    assert!(!told.out.contains("in force") && told.out.lines().count() == 3, "{}", told.out);
}

//! Names: what looks alike, what moved, and what the job says of itself.

use serde_json::{Value, json};

use crate::support::rules::{AWS, RULES};
use crate::support::{Logged, Options, Person, Server, Snapshot, collector, refused};

/// Pairs that look alike, or nearly, and are not the same bytes.
const ALIKE: [(&str, &str); 6] = [
    ("caf\u{e9}", "cafe\u{301}"),
    ("a/b", "a\u{ff0f}b"),
    ("istanbul", "\u{131}stanbul"),
    ("group", "gro\u{200d}up"),
    ("group", "gr\u{43e}up"),
    ("\u{fb01}nance", "finance"),
];

fn one_rule(condition: &str) -> String {
    format!(
        "[[rule]]\nname = \"one\"\nmatch = {{ issuer = \"gitlab\", {condition} }}\naudience = [\"{AWS}\"]\n\
         require = \"none\"\ntoken = {{ sub = \"{{issuer}}:{{job_project_id}}\" }}\n"
    )
}

/// Whether a rule takes a job; a no changes nothing but its entry, and says which claim it was.
fn takes(server: &Server, changes: &Value, claim: &str) -> bool {
    server.pass(61);
    let before = Snapshot::of(server);
    let answer = server.exchange(&server.job().with_all(changes.clone()).sign(), &[AWS]).send();
    if answer.status == 200 {
        return true;
    }
    let answer = answer.invalid("no_rule_matches");
    let said = format!("{} {}", answer.member("error_description"), answer.json()["summary"]);
    assert!(said.contains(claim), "{claim}: {}", answer.text());
    refused(server, &before, &answer, Logged::Yes);
    false
}

#[test]
fn attack_035_a_look_alike_is_another_name() {
    for (named, sent) in ALIKE {
        for (pattern, other) in [(named, sent), (sent, named)] {
            let server = Server::with(Options::rules(&one_rule(&format!(
                "job_project_id = \"4711\", environment = \"{pattern}\""
            ))));
            assert!(takes(&server, &json!({ "environment": pattern }), ""), "{pattern:?} is itself");
            assert!(!takes(&server, &json!({ "environment": other }), "environment"), "{pattern:?} took {other:?}");
        }
    }
}

#[test]
fn attack_035_what_is_signed_is_what_was_sent_and_what_is_shown_can_be_seen() {
    let server = Server::start();
    let _mara = Person::manager(&server, "Mara");
    for (name, strange) in [("cafe\u{301}", '\u{301}'), ("gro\u{200d}up", '\u{200d}'), ("a\u{ff0f}b", '\u{ff0f}')] {
        let job = server.job().with("ref", name).with("user_login", name);
        let id = server.ask(&job.sign(), &collector());
        let options = server.post_page(&format!("/a/{id}/options"), &json!({ "decision": "approve" })).expect(200);
        let statement: Value = serde_json::from_str(&options.member("statement")).unwrap();
        assert_eq!(statement["request"]["job"]["ref"], name, "nothing is normalised");
        // Escaped where it hides, and named where it is only another letter.
        let page = server.get(&format!("/a/{id}")).expect(200).text();
        let facts = page.split("<dl class=\"facts\">").nth(1).unwrap().split("</dl>").next().unwrap();
        let escaped = strange.escape_unicode().to_string();
        assert!(facts.contains(&escaped) || facts.contains(strange), "{name:?}: {facts}");
        assert!(facts.contains("class=\"flag\""), "{name:?} is not flagged: {facts}");
        assert!(strange != '\u{200d}' || !facts.contains(strange), "what hides is shown as it is");
    }
}

#[test]
fn attack_038_ids_decide_where_paths_moved() {
    let server = Server::with(Options::rules(&one_rule("job_project_id = \"4711\", job_namespace_id = \"310\"")));
    assert!(takes(&server, &json!({}), ""));
    // The path was given up and registered anew: another project, and the trace names the id.
    let taken = json!({ "project_id": "9003", "job_project_id": "9003" });
    assert!(!takes(&server, &taken, "none is for its project (9003)"));
    // The same project under a new path.
    let moved = json!({ "project_path": "shop/new", "job_project_path": "shop/new" });
    assert!(takes(&server, &moved, ""));
    // The same path in another namespace.
    assert!(!takes(&server, &json!({ "namespace_id": "9", "job_namespace_id": "9" }), ""));
    // By the path alone everybody who has it is the project; the load says so.
    let by_path = one_rule("job_project_path = \"shop/api\"");
    let files = [("rules.toml".to_owned(), by_path)];
    let warnings = crate::support::server::block_on(server.app.load_rules(&files)).unwrap();
    assert!(warnings.concat().contains("paths can be renamed and registered anew"), "{warnings:?}");
}

#[test]
fn attack_039_a_reference_has_a_kind_and_protection_of_its_own() {
    let condition = "job_project_id = \"4711\", ref = \"release/*\", ref_type = \"branch\", ref_protected = \"true\"";
    let server = Server::with(Options::rules(&one_rule(condition)));
    assert!(takes(&server, &json!({ "ref": "release/1", "ref_path": "refs/heads/release/1" }), ""));
    for (changes, claim) in [
        (json!({ "ref": "release/1", "ref_protected": "false" }), "ref_protected"),
        (json!({ "ref": "release/1", "ref_type": "tag" }), "ref_type"),
        (json!({ "ref": "release/1/2" }), "ref"),
        (json!({ "ref": "refs/heads/release/1" }), "ref"),
    ] {
        assert!(!takes(&server, &changes, claim), "{changes}");
    }
    let path = "job_project_id = \"4711\", ref_path = \"refs/heads/main\", ref_protected = \"true\"";
    let server = Server::with(Options::rules(&one_rule(path)));
    assert!(takes(&server, &json!({}), ""));
    for sent in ["refs/tags/main", "main", "refs/heads/main/", "refs/heads/Main", "refs/merge-requests/1/head"] {
        assert!(!takes(&server, &json!({ "ref_path": sent }), "ref_path"), "{sent}");
    }
    let without = server.job().without("ref_path");
    let answer = server.exchange(&without.sign(), &[AWS]).send();
    assert_ne!(answer.status, 200, "absence never matches: {}", answer.text());
}

#[test]
fn attack_040_what_a_job_says_of_itself_is_no_authority() {
    let mut server = Server::start();
    for (condition, says) in [
        ("sub = \"project_path:shop/api:ref_type:branch:ref:main\"", "composed by the project"),
        ("aud = \"https://sign.shop.example\"", "chosen by the job"),
        ("user_login = \"mara\"", "not that a person is present"),
        ("user_email = \"mara@shop.example\"", "not that a person is present"),
        ("groups_direct = \"shop\"", "holds paths"),
        ("runner_environment = \"self-hosted\"", "which runner"),
        ("ci_config_ref_uri = \"gitlab.shop.example/other/ci//.gitlab-ci.yml@refs/heads/main\"", "another project"),
        ("pipeline_source = \"api\"", "no person"),
        ("pipeline_source = \"trigger\"", "no person"),
    ] {
        let text = one_rule(&format!("job_project_id = \"4711\", environment = \"production\", {condition}"));
        let files = [("rules.toml".to_owned(), text)];
        let warnings = crate::support::server::block_on(server.app.load_rules(&files)).unwrap().concat();
        assert!(warnings.contains(says), "{condition}: {warnings}");
    }
    // GitLab's word about the starter gives no factor and no level, and the page tells the two apart.
    server.load_rules(RULES);
    let mut ben = Person::manager(&server, "Ben");
    let said = json!({ "user_login": "ben", "user_email": "ben@shop.example", "user_access_level": "owner" });
    let (token, key) = (server.job().with_all(said).sign(), collector());
    let id = server.ask(&token, &key);
    let page = server.get(&format!("/a/{id}")).expect(200).text();
    let starter = page.split("Started by").nth(1).unwrap().split("</div>").next().unwrap();
    assert!(starter.contains("@<bdi>ben</bdi>") && starter.contains("says GitLab"), "{starter}");
    ben.approve(&server, &id);
    server.pass(6);
    let claims = server.exchange(&token, &[AWS]).collector(&key).send().expect(200).claims();
    assert_eq!(claims["approver"], ben.id.as_str(), "a passkey, and not a login");
    assert!(claims.get("gitlab_user_login").is_none());
    let staging = server.exchange(&server.job().environment("staging").sign(), &[AWS]).send().expect(200).claims();
    assert!(staging.get("amr").is_none() && staging.get("acr").is_none(), "{staging}");
}

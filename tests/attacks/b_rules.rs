//! Rules: changed in between, and matched by the whole of every claim.

use std::future::Future as _;

use countersign::app::load_rules::VOIDED_AT_ONCE;
use serde_json::{Value, json};

use crate::support::person::decide;
use crate::support::rules::{AWS, RULES, VAULT};
use crate::support::server::block_on;
use crate::support::{Logged, Options, Person, Server, Snapshot, collector, refused};

fn changed() -> [String; 3] {
    [
        RULES.replacen("\"https://iam.googleapis.com/pool\"", "\"https://evil.example\"", 1),
        RULES.replacen("of = [\"release-managers\"]", "of = [\"release-managers\", \"others\"]", 1),
        RULES.replacen("name     = \"production deploy\"", "name     = \"production deployment\"", 1),
    ]
}

#[test]
fn attack_033_a_rule_that_changes_before_the_signature_voids() {
    for rules in changed() {
        let mut server = Server::start();
        let mut mara = Person::manager(&server, "Mara");
        let (token, key) = (server.job().sign(), collector());
        let id = server.ask(&token, &key);
        let signed = mara.sign(&server, &id, "approve");
        server.load_rules(&rules);
        mara.decide(&server, &id, "approve").expect_error(409, "invalid_request", "rule_changed");
        decide(&server, &id, &signed).expect_error(409, "invalid_request", "rule_changed");
        // For good, though the old rule comes back.
        server.load_rules(RULES);
        mara.decide(&server, &id, "approve").expect_error(409, "invalid_request", "rule_changed");
        server.pass(6);
        server.exchange(&token, &[AWS]).collector(&key).send().invalid("rule_changed");
        server.ask(&server.job().sign(), &key);
        assert_eq!(Snapshot::of(&server).count("decision"), 0);
    }
}

#[test]
fn attack_033_a_rule_that_comes_back_before_anybody_calls_finds_nothing_to_go_on_with() {
    for rules in changed() {
        let mut server = Server::start();
        let mut mara = Person::manager(&server, "Mara");
        let (token, key) = (server.job().sign(), collector());
        let approved = server.ask(&token, &key);
        mara.approve(&server, &approved);
        // More than one unit of the writer voids; and what waits under another rule goes on.
        let more: Vec<_> = (0..VOIDED_AT_ONCE).map(|_| server.ask(&server.job().sign(), &collector())).collect();
        let careful = server.ask(&server.job().environment("finance").sign(), &collector());
        let before = Snapshot::of(&server);
        server.load_rules(&rules);
        let after = Snapshot::of(&server);
        let new = after.since(&before);
        assert_eq!(new[0]["kind"], "rules");
        let ended: Vec<_> = new[1..].iter().map(|entry| (&entry["kind"], &entry["outcome"])).collect();
        assert_eq!(ended.len(), more.len() + 1);
        assert!(ended.iter().all(|one| *one == (&json!("request"), &json!("voided"))), "{ended:?}");
        server.load_rules(RULES);
        for request in [&approved, &more[0], more.last().unwrap()] {
            mara.decide(&server, request, "approve").expect_error(409, "invalid_request", "rule_changed");
        }
        server.pass(6);
        server.exchange(&token, &[AWS]).collector(&key).send().invalid("rule_changed");
        mara.approve(&server, &careful);
        // A server that starts under other rules does the same.
        let (token, key) = (server.job().sign(), collector());
        let last = server.ask(&token, &key);
        server.restart_with(&rules);
        server.load_rules(RULES);
        mara.decide(&server, &last, "approve").expect_error(409, "invalid_request", "rule_changed");
        assert_eq!(Snapshot::of(&server).count("token"), 0);
    }
}

#[test]
fn attack_033_new_rules_are_in_force_before_what_waited_under_others_ends() {
    let server = Server::start();
    let _mara = Person::manager(&server, "Mara");
    // More than two units of the writer void.
    let requests = 2 * VOIDED_AT_ONCE + 1;
    for _ in 0..requests {
        server.ask(&server.job().sign(), &collector());
    }
    let [_, _, renamed] = changed();
    let files = [("rules.toml".to_owned(), renamed)];
    let (before, known) = (server.app.rules().rules.digest(), Snapshot::of(&server).count("rules"));
    // Each time that the reload waits for the writer: whether memory has the new rules, and what the log has.
    let mut turns = Vec::new();
    block_on(async {
        let mut load = std::pin::pin!(server.app.load_rules(&files));
        std::future::poll_fn(|context| {
            let polled = load.as_mut().poll(context);
            let log = Snapshot::of(&server);
            let voided = log.of_kind("request").filter(|entry| entry["outcome"] == "voided").count();
            turns.push((server.app.rules().rules.digest() != before, log.count("rules") > known, voided));
            polled
        })
        .await
        .unwrap();
    });
    assert_eq!(turns.last(), Some(&(true, true, requests)), "{turns:?}");
    for (in_force, logged, voided) in &turns {
        assert!(!in_force || *logged, "nothing is in force that the log does not know: {turns:?}");
        assert!(*in_force || *voided == 0, "nothing ends while memory still has the old rules: {turns:?}");
    }
    assert!(turns.iter().any(|(in_force, _, voided)| *in_force && *voided < requests), "{turns:?}");
}

#[test]
fn attack_033_a_rule_that_changes_before_the_collection_voids() {
    for rules in changed() {
        let mut server = Server::start();
        let mut mara = Person::manager(&server, "Mara");
        let (token, key) = (server.job().sign(), collector());
        let id = server.ask(&token, &key);
        mara.approve(&server, &id);
        server.load_rules(&rules);
        server.pass(6);
        server.exchange(&token, &[AWS]).collector(&key).send().invalid("rule_changed");
        server.load_rules(RULES);
        server.pass(6);
        server.exchange(&token, &[AWS]).collector(&key).send().invalid("rule_changed");
        assert!(server.get(&format!("/a/{id}")).text().contains("data-state=\"changed\""));
        assert_eq!(Snapshot::of(&server).count("token"), 0);
    }
}

#[test]
fn attack_033_more_access_fewer_people_or_no_rule_at_all_void_at_each_gap() {
    let finance = RULES.split("[[rule]]").find(|rule| rule.contains("finance deploy")).unwrap();
    let edits = [
        (
            "audience was",
            RULES.replace(finance, &finance.replace("[\"sts.amazonaws.com\"]", &format!("[{AWS:?}, {VAULT:?}]"))),
        ),
        ("count was 2, is 1", RULES.replace(finance, &finance.replace("count = 2", "count = 1"))),
        ("there is no rule of that name any more", RULES.replace(&format!("[[rule]]{finance}"), "")),
    ];
    for (says, rules) in &edits {
        // After the request, after the first signature, after the last one.
        for signatures in 0..=2 {
            let mut server = Server::start();
            let mut people = [Person::manager(&server, "Mara"), Person::manager(&server, "Ben")];
            let mut late = Person::manager(&server, "Cem");
            let (token, key) = (server.job().environment("finance").sign(), collector());
            let id = server.ask(&token, &key);
            people[..signatures].iter_mut().for_each(|person| drop(person.approve(&server, &id)));
            // Once two have signed nobody else is asked.
            let held = (signatures < 2).then(|| late.sign(&server, &id, "approve"));
            server.load_rules(rules);
            let page = server.get(&format!("/a/{id}")).expect(200).text();
            assert!(page.contains("data-state=\"changed\"") && page.contains(says), "{says}: {page}");
            server.pass(6);
            match held {
                Some(held) => drop(decide(&server, &id, &held).expect_error(409, "invalid_request", "rule_changed")),
                None => drop(server.exchange(&token, &[AWS]).collector(&key).send().invalid("rule_changed")),
            }
            // For good, though the old rule comes back.
            server.load_rules(RULES);
            server.pass(6);
            let before = Snapshot::of(&server);
            let answer = server.exchange(&token, &[AWS]).collector(&key).send().invalid("rule_changed");
            refused(&server, &before, &answer, Logged::Yes);
            assert_eq!(Snapshot::of(&server).count("token"), 0);
            server.ask(&server.job().environment("finance").sign(), &collector());
        }
    }
}

#[test]
fn attack_033_rules_that_do_not_compile_change_nothing() {
    let server = Server::start();
    let broken = [("rules.toml".to_owned(), "[[rule]]\nname = \"x\"\naudiance = []".to_owned())];
    assert!(crate::support::server::block_on(server.app.load_rules(&broken)).is_err());
    server.exchange(&server.job().environment("staging").sign(), &[AWS]).send().expect(200);
}

/// One rule over one claim, which asks nobody.
fn rule(claim: &str, pattern: &str) -> String {
    let more = match claim {
        "ref" => ", ref_type = \"branch\", job_project_id = \"4711\"",
        "job_project_path" => "",
        _ => ", job_project_id = \"4711\"",
    };
    format!(
        "[[rule]]\nname = \"one\"\nmatch = {{ issuer = \"gitlab\", {claim} = {pattern:?}{more} }}\n\
         audience = [\"{AWS}\"]\nrequire = \"none\"\ntoken = {{ sub = \"{{issuer}}:{{job_project_id}}\" }}\n"
    )
}

fn matches(server: &Server, changes: &Value) -> bool {
    // The cap on logged refusals of a project is a minute's.
    server.pass(61);
    let before = Snapshot::of(server);
    let answer = server.exchange(&server.job().with_all(changes.clone()).sign(), &[AWS]).send();
    if answer.status == 200 {
        return true;
    }
    refused(server, &before, &answer.invalid("no_rule_matches"), Logged::Yes);
    false
}

#[test]
fn attack_034_a_path_is_matched_whole_and_byte_by_byte() {
    let server = Server::with(Options::rules(&rule("job_project_path", "group/app")));
    assert!(matches(&server, &json!({ "job_project_path": "group/app" })));
    for path in [
        "Group/App",
        "group/app2",
        "xgroup/app",
        "group/app/../other",
        "group/app%2f..",
        "group/app ",
        " group/app",
        "group//app",
        "group/ap",
        "group\u{ff0f}app",
        "group/app\u{200d}",
        "group/\u{430}pp",
    ] {
        assert!(!matches(&server, &json!({ "job_project_path": path })), "{path}");
    }
    let before = Snapshot::of(&server);
    let token = server.job().with("job_project_path", "group/app\n").sign();
    refused(&server, &before, &server.exchange(&token, &[AWS]).send().invalid("bad_claim_type"), Logged::No);
}

#[test]
fn attack_034_a_star_stays_between_slashes_and_is_the_only_one() {
    let server = Server::with(Options::rules(&rule("job_project_path", "group/*")));
    assert!(matches(&server, &json!({ "job_project_path": "group/app" })));
    for path in ["group/a/b", "group", "groups/a", "xgroup/a"] {
        assert!(!matches(&server, &json!({ "job_project_path": path })), "{path}");
    }
    for pattern in ["prod?", "prod[a-z]", "^prod", "prod.*", "(production)"] {
        let mut server = Server::with(Options::rules(RULES));
        let files = [("rules.toml".to_owned(), rule("environment", pattern))];
        if crate::support::server::block_on(server.app.load_rules(&files)).is_ok() {
            server.load_rules(&rule("environment", pattern));
            assert!(!matches(&server, &json!({ "environment": "production" })), "{pattern}");
        }
    }
}

#[test]
fn attack_036_no_two_jobs_share_a_sub() {
    let rules = "[[rule]]\nname = \"any\"\naudience = [\"sts.amazonaws.com\"]\nrequire = \"none\"\n\
         match = { issuer = \"gitlab\", job_namespace_id = \"310\", environment = \"*\" }\n\
         [[rule]]\nname = \"deep\"\naudience = [\"sts.amazonaws.com\"]\nrequire = \"none\"\n\
         match = { issuer = \"gitlab\", job_namespace_id = \"310\", environment = \"*/*\" }\n\
         [[rule]]\nname = \"fork\"\naudience = [\"sts.amazonaws.com\"]\nrequire = \"none\"\n\
         match = { issuer = \"gitlab\", job_namespace_id = \"310\", environment = \"*\", fork = true }\n";
    let server = Server::with(Options::rules(rules));
    let mut subs = std::collections::BTreeSet::new();
    let jobs = [
        json!({ "environment": "main" }),
        json!({ "environment": "main:environment:production" }),
        json!({ "environment": "main%3Aenvironment%3Aproduction" }),
        json!({ "environment": "main:none" }),
        json!({ "environment": "a/b:ref:main" }),
        json!({ "environment": "a%2Fb:ref:main" }),
        json!({ "environment": "1:env:main", "job_project_id": "47", "project_id": "47" }),
        json!({ "environment": "main", "job_project_id": "47", "project_id": "47" }),
        json!({ "environment": "main", "job_project_id": "47", "project_id": "48" }),
        json!({ "environment": "main", "job_project_id": "48", "project_id": "47" }),
        json!({ "environment": "main-123456" }),
        json!({ "environment": "m\u{e4}in" }),
        json!({ "environment": "ma\u{308}in" }),
        json!({ "environment": "Main" }),
    ];
    for job in &jobs {
        let answer = server.exchange(&server.job().with_all(job.clone()).sign(), &[AWS]).send().expect(200);
        let sub = answer.claims()["sub"].as_str().unwrap().to_owned();
        assert!(sub.bytes().all(|b| b.is_ascii_alphanumeric() || b"._/-%:".contains(&b)), "{sub}");
        assert!(subs.insert(sub.clone()), "{sub} twice");
    }
    let long = server.job().environment(&"e".repeat(128)).sign();
    server.exchange(&long, &[AWS]).send().invalid("rule_not_evaluable");
}

#[test]
fn attack_037_a_forks_merge_request_is_not_the_project() {
    let server = Server::start();
    let fork = json!({
        "project_id": "9002", "project_path": "mallory/api", "namespace_id": "666", "namespace_path": "mallory",
        "pipeline_source": "merge_request_event"
    });
    for environment in ["production", "staging"] {
        let mut changes = fork.clone();
        changes["environment"] = environment.into();
        assert!(!matches(&server, &changes), "{environment}");
        changes["pipeline_source"] = "push".into();
        assert!(!matches(&server, &changes), "a fork is a fork whatever started it");
        let own = json!({ "pipeline_source": "merge_request_event", "environment": environment });
        assert!(!matches(&server, &own), "merge requests need a rule that says so");
    }
    let allowing = "[[rule]]\nname = \"merge requests\"\naudience = [\"sts.amazonaws.com\"]\n\
         require = { approval = { of = [\"release-managers\"] } }\n\
         match = { issuer = \"gitlab\", job_project_id = \"4711\", environment = \"production\", fork = true, pipeline_source = \"merge_request_event\" }\n";
    let server = Server::with(Options::rules(allowing));
    let _mara = Person::manager(&server, "Mara");
    let id = server.ask(&server.job().with_all(fork).sign(), &collector());
    let page = server.get(&format!("/a/{id}")).expect(200).text();
    for shown in ["4711", "9002", "mallory/api"] {
        assert!(page.contains(shown), "{shown} is not shown");
    }
}

#[test]
fn attack_038_a_name_that_changed_hands_is_not_the_project() {
    let server = Server::start();
    let taken = json!({ "project_id": "9003", "job_project_id": "9003", "environment": "staging" });
    assert!(!matches(&server, &taken), "the same path, another project");
    let renamed = json!({ "project_path": "shop/new", "job_project_path": "shop/new", "environment": "staging" });
    assert!(matches(&server, &renamed), "the same project under another name");
}

#[test]
fn attack_039_protected_means_exactly_true() {
    let server = Server::with(Options::rules(
        &RULES.replace("ref_protected = \"true\"", "ref_protected = \"true\", ref = \"main\", ref_type = \"branch\""),
    ));
    let _mara = Person::manager(&server, "Mara");
    for changes in [
        json!({ "ref_protected": "false" }),
        json!({ "ref_type": "tag" }),
        json!({ "ref": "refs/heads/main" }),
        json!({ "ref": "Main" }),
        json!({ "environment": "production/eu" }),
        json!({ "environment": "Production" }),
        json!({ "environment": "production " }),
        json!({ "environment": "" }),
        json!({ "job_project_id": "47110" }),
    ] {
        assert!(!matches(&server, &changes), "{changes}");
    }
    let before = Snapshot::of(&server);
    let without = server.job().without("environment").sign();
    refused(&server, &before, &server.exchange(&without, &[AWS]).send().invalid("no_rule_matches"), Logged::Yes);
    let before = Snapshot::of(&server);
    let without = server.job().without("ref_protected").sign();
    refused(&server, &before, &server.exchange(&without, &[AWS]).send().invalid("not_a_job_token"), Logged::No);
    server.ask(&server.job().sign(), &collector());

    let wants = rule("environment", "production").replace(
        "environment = \"production\"",
        "environment = \"production\", environment_protected = \"true\", deployment_tier = \"production\"",
    );
    let server = Server::with(Options::rules(&wants));
    assert!(matches(&server, &json!({})));
    for changes in [
        json!({ "environment_protected": "false" }),
        json!({ "deployment_tier": "development" }),
        json!({ "deployment_tier": null }),
    ] {
        assert!(!matches(&server, &changes), "{changes}");
    }
    // A rule with `ref` and no `ref_type` does not load.
    let loose = rule("ref", "main").replace(", ref_type = \"branch\"", "");
    assert!(crate::support::server::block_on(server.app.load_rules(&[("r.toml".to_owned(), loose)])).is_err());
}

#[test]
fn attack_098_a_deny_rule_wins_over_every_other() {
    let server = Server::start();
    let before = Snapshot::of(&server);
    let token = server.job().environment("forbidden").sign();
    let answer = server.exchange(&token, &[AWS]).send().expect_error(400, "access_denied", "denied_by_rule");
    assert!(answer.member("error_description").contains("Deploy from the project itself."));
    refused(&server, &before, &answer, Logged::Yes);
    server.exchange(&server.job().environment("staging").sign(), &[VAULT]).send().expect(200);
}

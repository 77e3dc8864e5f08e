use proptest::prelude::*;

use super::*;
use crate::domain::job::samples::{NOW, changed, fork, job, now, read};
use crate::domain::rules::samples::{DEPLOY, audience, compile, open_rule, rules};

const AWS: &str = "sts.amazonaws.com";

fn rule(text: &str) -> Rule {
    Rule::clone(rules(text).iter().find(|rule| rule.allow().is_some()).unwrap())
}

fn assurance(acr: Acr, amr: &[&str], missing: &[(&str, &str)], at: i64) -> Assurance {
    Assurance {
        amr: amr.iter().map(|text| (*text).to_owned()).collect(),
        acr,
        auth_time: Timestamp::from_millis(at * 1000 + 700),
        amr_missing: missing.iter().map(|(name, why)| ((*name).to_owned(), (*why).to_owned())).collect(),
    }
}

fn signed(n: u8, assurance: Assurance) -> SignedBy {
    SignedBy {
        person: PersonId::from_random([n; 10]),
        assurance,
        credential: Digest::of(&[n]),
        statement: Digest::of(&[n, n]),
    }
}

fn plain(n: u8) -> SignedBy {
    signed(n, assurance(Acr::Phr, &["pop", "user"], &[("hwk", "no_attestation")], NOW))
}

fn issue(rule: &Rule, job: &Job, target: &str, by: Option<Vec<SignedBy>>) -> Result<Map<String, Value>, Refusal> {
    let access = access(job, rule, &audience(target))?;
    let id = RequestId::from_random([7; 16]);
    let approval = by.map(|by| ApprovalClaims { id: &id, request_sha256: Digest::of(b"request"), by });
    build(&Issue {
        jkt: None,
        our_issuer: "https://sign.shop.example",
        job,
        rule,
        access: &access,
        jti: "j-1",
        now: now(),
        approval,
    })
}

fn has_null(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Array(items) => items.iter().any(has_null),
        Value::Object(members) => members.values().any(has_null),
        _ => false,
    }
}

#[test]
fn an_approved_deploy_gets_exactly_these_claims() {
    let claims = issue(&rule(DEPLOY), &job(&json!({})), AWS, Some(vec![plain(1)])).unwrap();
    let person = PersonId::from_random([1; 10]);
    let expected = json!({
        "iss": "https://sign.shop.example", "aud": AWS, "sub": "gitlab:4711:env:production:approval:phr",
        "iat": NOW, "nbf": NOW, "exp": NOW + 600, "jti": "j-1", "presence": "approval", "acr": "phr",
        "amr": ["pop", "user"], "auth_time": NOW, "amr_missing": {"hwk": "no_attestation"}, "approver": person,
        "approval": {
            "id": RequestId::from_random([7; 16]), "request": Digest::of(b"request"),
            "by": [{"sub": person, "amr": ["pop", "user"], "acr": "phr", "auth_time": NOW,
                "credential": Digest::of(&[1]), "statement": Digest::of(&[1, 1])}],
        },
        "gitlab_pipeline_id": "90210", "gitlab_job_id": "555123",
        "gitlab_sha": "0b2c6d1f6f8f4b7e9c1f2a3d4e5f60718293a4b5",
        "https://aws.amazon.com/tags": {"principal_tags": {"acr": ["phr"], "gitlab_job_id": ["555123"]}},
        "https://aws.amazon.com/source_identity": person,
        "https://aws.amazon.com/roles": ["arn:aws:iam::111122223333:role/deploy"],
    });
    assert_eq!(Value::Object(claims), expected);
}

#[test]
fn a_job_that_nobody_approves_says_nothing_of_people() {
    let claims = issue(&rule(&open_rule("")), &job(&json!({})), "vault", None).unwrap();
    let names: BTreeSet<_> = claims.keys().map(String::as_str).collect();
    assert_eq!(names, ["aud", "exp", "iat", "iss", "jti", "nbf", "presence", "sub"].into());
    assert_eq!(claims.get("sub"), Some(&json!("gitlab:4711:env:production:none")));
}

#[test]
fn of_several_people_the_token_claims_what_all_proved() {
    let two = rule(&DEPLOY.replace("count = 1", "count = 2"));
    let strong = signed(2, assurance(Acr::Phrh, &["hwk", "pop", "user"], &[("mfa", "uv_not_attested")], NOW - 60));
    let synced = signed(1, assurance(Acr::Phr, &["pop", "swk", "user"], &[("hwk", "backup_eligible")], NOW));
    let claims = issue(&two, &job(&json!({})), AWS, Some(vec![strong, synced])).unwrap();
    assert_eq!(claims.get("amr"), Some(&json!(["pop", "user"])));
    assert_eq!(claims.get("auth_time"), Some(&json!(NOW - 60)));
    assert_eq!(claims.get("acr"), Some(&json!("phr")), "what the rule demands, not what was reached");
    assert_eq!(claims.get("amr_missing"), Some(&json!({"hwk": "backup_eligible", "mfa": "uv_not_attested"})));
    let ids = [PersonId::from_random([1; 10]), PersonId::from_random([2; 10])].map(|id| id.to_string());
    assert_eq!(claims.get("approver"), Some(&json!(ids.join("+"))), "sorted");
}

#[test]
fn fewer_or_weaker_signatures_than_the_rule_demands_make_no_token() {
    let two = rule(&DEPLOY.replace("count = 1", "count = 2"));
    let hardware = rule(&DEPLOY.replace("\"phr\"", "\"phrh\""));
    let shared = SignedBy { credential: Digest::of(&[1]), ..plain(2) };
    for (rule, by) in [
        (&two, Some(vec![plain(1)])),
        (&two, Some(vec![plain(1), plain(1)])),
        (&two, Some(vec![plain(1), shared])),
        (&hardware, Some(vec![plain(1)])),
        (&two, None),
        (&two, Some(vec![])),
    ] {
        assert_eq!(issue(rule, &job(&json!({})), AWS, by).unwrap_err().code, ErrorCode::RuleNotEvaluable);
    }
    let open = rule(&open_rule(""));
    assert!(issue(&open, &job(&json!({})), "vault", Some(vec![plain(1)])).is_err());
}

#[test]
fn attack_030_a_token_never_outlives_the_job_token() {
    let exp = |job: &Job| issue(&rule(&open_rule("")), job, "vault", None).map(|claims| claims.get("exp").cloned());
    assert_eq!(exp(&job(&json!({}))).unwrap(), Some(json!(NOW + 600)));
    assert_eq!(exp(&job(&json!({"exp": NOW + 20}))).unwrap(), Some(json!(NOW + 20)));
    assert_eq!(exp(&job(&json!({"exp": NOW}))).unwrap_err().code, ErrorCode::TokenExpired);
    assert_eq!(exp(&job(&json!({"exp": NOW - 20}))).unwrap_err().code, ErrorCode::TokenExpired);
}

#[test]
fn attack_043_what_the_job_token_says_of_people_is_ignored() {
    let forged = json!({
        "amr": ["hwk", "pin", "mfa"], "acr": "phrh", "auth_time": NOW, "approved_by": "me", "approver": "pme",
        "presence": "approval", "act": {"sub": "root"}, "may_act": {"sub": "x"}, "cnf": {"jkt": "x"},
        "https://aws.amazon.com/tags": {"principal_tags": {"acr": ["phrh"]}}, "log": {"index": 1}
    });
    let open = rule(&open_rule(""));
    let honest = issue(&open, &job(&json!({})), "vault", None).unwrap();
    assert_eq!(issue(&open, &job(&forged), "vault", None).unwrap(), honest);
    let deploy = rule(DEPLOY);
    let honest = issue(&deploy, &job(&json!({})), AWS, Some(vec![plain(1)])).unwrap();
    assert_eq!(issue(&deploy, &job(&forged), AWS, Some(vec![plain(1)])).unwrap(), honest);
}

#[test]
fn a_claim_that_the_job_lacks_refuses() {
    let forward = rule(&format!("{}token = {{ forward = [\"deployment_tier\"] }}\n", open_rule("")));
    let tierless = job(&json!({"deployment_tier": null}));
    let refusal = issue(&forward, &tierless, "vault", None).unwrap_err();
    assert_eq!(refusal.code, ErrorCode::RuleNotEvaluable);
    assert!(refusal.description.contains("deployment_tier") && refusal.description.contains("\"open\""));
    let template = rule(&format!("{}token = {{ sub = \"x:{{deployment_tier}}\" }}\n", open_rule("")));
    assert!(issue(&template, &tierless, "vault", None).is_err());
    assert_eq!(issue(&template, &job(&json!({})), "vault", None).unwrap().get("sub"), Some(&json!("x:production")));
    let anywhere = job(&json!({"environment": null}));
    assert!(access(&anywhere, &rule(&open_rule("")), &audience("vault")).is_err());
}

#[test]
fn on_an_old_gitlab_the_project_stands_in() {
    let forward = rule(&format!("{}token = {{ forward = [\"job_project_id\"] }}\n", open_rule("")));
    let old = job(&json!({"job_project_id": null, "job_namespace_id": null}));
    let claims = issue(&forward, &old, "vault", None).unwrap();
    assert_eq!(claims["gitlab_job_project_id"], json!("4711"));
    assert_eq!(claims["sub"], json!("gitlab:4711:env:production:none"));
}

#[test]
fn limits_of_the_targets_hold_at_issue() {
    let rule_any = rule(&open_rule("").replace("\"production\"", "\"*\""));
    let long = |bytes: usize| access(&job(&json!({"environment": "e".repeat(bytes)})), &rule_any, &audience("vault"));
    let room = MAX_SUB - "gitlab:4711:env::none".len();
    assert_eq!(long(room).unwrap().sub.len(), MAX_SUB);
    assert_eq!(long(room + 1).unwrap_err().code, ErrorCode::RuleNotEvaluable);
    let tagged = format!(
        "{}token = {{ forward = [\"ref\"] }}\naws = {{ tags = [\"gitlab_ref\"], source_identity = \"gl-{{ref}}\" }}\n",
        open_rule("").replace("vault", AWS)
    );
    let tagged = rule(&tagged);
    let claims = issue(&tagged, &job(&json!({"ref": "a b:c/d"})), AWS, None).unwrap();
    assert_eq!(claims["https://aws.amazon.com/tags"]["principal_tags"]["gitlab_ref"], json!(["a=20b:c/d"]));
    assert_eq!(claims["https://aws.amazon.com/source_identity"], json!("gl-a=20b=3Ac=2Fd"));
    for branch in ["é".repeat(50), "x".repeat(257), "x".repeat(62)] {
        let refusal = issue(&tagged, &job(&json!({ "ref": branch })), AWS, None).unwrap_err();
        assert_eq!(refusal.code, ErrorCode::RuleNotEvaluable);
    }
}

#[test]
fn aws_claims_go_to_their_audience_only() {
    let both = rule(&DEPLOY.replace("[\"sts.amazonaws.com\"]", "[\"sts.amazonaws.com\", \"vault\"]"));
    let claims = issue(&both, &job(&json!({})), "vault", Some(vec![plain(1)])).unwrap();
    assert!(claims.keys().all(|name| !name.contains("amazon")));
    assert!(access(&job(&json!({})), &both, &audience("vault")).unwrap().roles.is_empty());
    assert_eq!(access(&job(&json!({})), &both, &audience("other")).unwrap_err().code, ErrorCode::AudienceNotAllowed);
}

#[test]
fn attack_036_injected_separators_stay_in_their_part() {
    let open = rule(&open_rule("").replace("\"production\"", "\"*\""));
    let sub = |environment: &str| {
        access(&job(&json!({ "environment": environment })), &open, &audience("vault")).unwrap().sub
    };
    assert_eq!(sub("production:approval:phr"), "gitlab:4711:env:production%3Aapproval%3Aphr:none");
    let forks = rule(&open_rule(", fork = true, pipeline_source = \"merge_request_event\""));
    let parent = access(&read(fork()).unwrap(), &forks, &audience("vault")).unwrap().sub;
    assert_eq!(parent, "gitlab:4711:fork:9002:env:production:none");
}

/// Placeholders, and what may stand between them.
const PARTS: &[&str] = &["{environment}", "{ref}", "{job_id}", ":", "-", "/", "%", "x"];

proptest! {
    #[test]
    fn attack_036_no_two_jobs_share_a_sub(
        one in (1..30_u32, 1..30_u32, "[ -~é]{1,12}"), other in (1..30_u32, 1..30_u32, "[ -~é]{1,12}")
    ) {
        let open = rule(&open_rule("").replace("job_project_id = \"4711\", environment = \"production\"", "job_namespace_id = \"310\", environment = \"*\""));
        let sub = |(runs, comes, environment): &(u32, u32, String)| {
            let claims = changed(&json!({
                "job_project_id": runs.to_string(), "project_id": comes.to_string(), "environment": environment
            }));
            access(&read(claims).unwrap(), &open, &audience("vault")).unwrap().sub
        };
        prop_assert_eq!(one == other, sub(&one) == sub(&other));
        prop_assert!(sub(&one).len() <= MAX_SUB);
    }

    #[test]
    fn attack_036_every_template_that_loads_tells_jobs_apart(
        parts in proptest::collection::vec(prop::sample::select(PARTS), 1..7), words in ("[aé]{1,2}", "[aé]{1,2}", "[aé]{1,2}"),
        between in prop::sample::select(&["", ":", "-", "/", "%"][..]), ids in (1..3_u32, 1..3_u32)
    ) {
        let template = format!("gitlab:{}", parts.concat());
        let typed = format!("{}token = {{ sub = \"{template}\" }}\n", open_rule("").replace("\"production\"", "\"*\""));
        let Ok(loaded) = compile(&typed, &["gitlab"]) else { return Ok(()) };
        let rule = loaded.rules.iter().next().unwrap();
        let made = |environment: String, branch: String, id: u32| {
            let job = job(&json!({"environment": environment, "ref": branch, "job_id": id.to_string()}));
            let named: Vec<_> = ["environment", "ref", "job_id"]
                .iter()
                .filter(|name| template.contains(&format!("{{{name}}}")))
                .map(|name| job.claim(name).unwrap().to_owned())
                .collect();
            (named, access(&job, rule, &audience("vault")).unwrap().sub)
        };
        // What stands between two values moves from the one into the other.
        let (a, b, c) = words;
        let one = made(a.clone(), format!("{b}{between}{c}"), ids.0);
        let other = made(format!("{a}{between}{b}"), c, ids.1);
        prop_assert_eq!(one.0 == other.0, one.1 == other.1, "{}", template);
    }

    #[test]
    fn attack_043_without_a_signature_no_method_is_claimed_and_nothing_is_null(environment in "\\PC{1,20}", email in "\\PC{1,20}") {
        let open = rule(&format!("{}token = {{ forward = [\"user_email\", \"environment\"] }}\n", open_rule("").replace("\"production\"", "\"*\"")));
        let changes = json!({"environment": environment, "user_email": email, "amr": ["hwk", "swk", "user", "pin", "mfa"]});
        if let Ok(claims) = issue(&open, &job(&changes), "vault", None) {
            prop_assert!(["amr", "acr", "auth_time", "approver", "approval"].iter().all(|name| !claims.contains_key(*name)));
            prop_assert!(!has_null(&Value::Object(claims)));
        }
    }
}

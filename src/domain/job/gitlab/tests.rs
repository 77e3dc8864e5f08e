use std::time::Duration;

use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::domain::job::JobTokenKind;
use crate::domain::job::samples::{GITLAB, NOW, US, changed, deploy, fork, now, read, terms, verified};

fn code(changes: &Value) -> ErrorCode {
    match read(changed(changes)) {
        Ok(_) => panic!("accepted: {changes}"),
        Err(refusal) => refusal.code,
    }
}

fn accepted(changes: &Value) -> Job {
    read(changed(changes)).unwrap_or_else(|refusal| panic!("{changes}: {refusal:?}"))
}

#[test]
fn a_deploy_job_reads_whole() {
    let job = accepted(&json!({}));
    assert_eq!((job.job_project_id(), job.project_id(), job.job_id()), ("4711", "4711", "555123"));
    assert_eq!(job.claim("ref_protected"), Some("true"));
    assert_eq!(job.claim("runner_id"), Some("17"));
    assert_eq!(job.claim("groups_direct"), Some(r#"["shop","platform/sre"]"#));
    assert_eq!(job.claim("user_identities"), None);
    assert_eq!(job.claim("iss"), None);
    assert_eq!(job.user_id(), Some("88"));
    assert_eq!(job.kind, JobTokenKind::IdToken);
    assert!(job.unknown_claims.is_empty() && !job.is_fork());
    assert_eq!(job.expires_at.seconds(), NOW + 3595);
}

#[test]
fn every_form_of_a_true_token_is_read() {
    assert!(read(fork()).unwrap().is_fork());
    let none = json!({"environment": null, "environment_protected": null, "deployment_tier": null, "environment_action": null});
    assert_eq!(accepted(&none).claim("environment"), None);
    assert_eq!(accepted(&json!({"aud": [US]})).claim("aud"), Some(US));
    let old = json!({"job_project_id": null, "job_project_path": null, "job_namespace_id": null,
        "job_namespace_path": null, "job_source": null});
    assert_eq!(accepted(&old).job_project_id(), "4711");
    assert_eq!(accepted(&json!({"user_id": ""})).user_id(), None);
    assert_eq!(
        accepted(&json!({"user_login": "project_4711_bot_0a1b"})).claim("user_login"),
        Some("project_4711_bot_0a1b")
    );
    assert_eq!(accepted(&json!({"runner_id": "17"})).claim("runner_id"), None, "in this form it is as if absent");
    assert!(accepted(&json!({"exp": NOW + 30 * 86_400})).expires_at.seconds() > NOW + 86_400);
    assert_eq!(accepted(&json!({"ref": "größe/ünïcode:x"})).claim("ref"), Some("größe/ünïcode:x"));
    let mut nulls = deploy();
    for name in ["ci_config_ref_uri", "ci_config_sha", "user_login", "deployment_tier"] {
        nulls.insert(name.to_owned(), Value::Null);
    }
    assert_eq!(read(nulls).unwrap().claim("ci_config_ref_uri"), None);
    let groups: Vec<_> =
        (0..200).map(|n| format!("a/long/path/of/a/group/that/takes/its/room/number-{n:04}")).collect();
    accepted(&json!({ "groups_direct": groups }));
}

#[test]
fn attack_018_every_required_claim_is_demanded() {
    for row in INVENTORY.iter().filter(|row| row.sent == Sent::Required) {
        let mut claims = deploy();
        claims.remove(row.name);
        let refusal = read(claims).expect_err(row.name);
        assert_eq!(refusal.code, ErrorCode::NotAJobToken, "{}", row.name);
        assert!(refusal.description.contains(row.name));
    }
    for name in ["job_id", "pipeline_id", "project_id", "ref_type", "jti", "ref_protected", "pipeline_source"] {
        assert!(inventory(name).is_some_and(|row| row.sent == Sent::Required), "{name}");
    }
}

#[test]
fn every_other_claim_may_be_absent_and_an_unknown_one_is_counted() {
    for row in INVENTORY.iter().filter(|row| row.sent != Sent::Required && row.name != "aud") {
        let mut claims = deploy();
        claims.remove(row.name);
        assert_eq!(read(claims).expect(row.name).claim(row.name), None);
    }
    let job = accepted(&json!({"zz_new": {"a": [1]}, "aa_new": true, "amr": ["hwk"], "act": {"sub": "x"}}));
    assert_eq!(job.unknown_claims, ["aa_new", "act", "amr", "zz_new"]);
    assert!(!job.claims.contains_key("amr") && !job.claims.contains_key("act"));
}

#[test]
fn the_inventory_names_each_claim_once_and_the_sample_has_them_all() {
    let names: BTreeSet<_> = INVENTORY.iter().map(|row| row.name).collect();
    assert_eq!(names.len(), INVENTORY.len());
    assert!(deploy().keys().all(|name| names.contains(name.as_str())));
}

#[test]
fn attack_018_other_kinds_of_token() {
    let with_header = |typ: Value| {
        let mut token = verified(deploy()).get().clone();
        token.header.insert("typ".to_owned(), typ);
        parse(&Verified::after_checking_the_signature(token), &terms(), now())
    };
    for typ in [json!("at+jwt"), json!("dpop+jwt"), json!("logout+jwt"), json!(7), Value::Null] {
        assert_eq!(with_header(typ.clone()).unwrap_err().code, ErrorCode::NotAJobToken, "{typ}");
    }
    let mut untyped = verified(deploy()).get().clone();
    untyped.header.remove("typ");
    assert!(parse(&Verified::after_checking_the_signature(untyped), &terms(), now()).is_ok());
    assert_eq!(code(&json!({"events": {}})), ErrorCode::NotAJobToken);
    let login = json!({"iss": GITLAB, "sub": "88", "aud": "client-id", "exp": NOW + 100, "iat": NOW, "auth_time": NOW});
    assert_eq!(read(login.as_object().cloned().unwrap()).unwrap_err().code, ErrorCode::NotAJobToken);
    assert_eq!(read(Map::new()).unwrap_err().code, ErrorCode::NotAJobToken);
}

#[test]
fn attack_011_times() {
    for (changes, expected) in [
        (json!({"exp": NOW - 30}), ErrorCode::TokenExpired),
        (json!({"exp": NOW - 100_000}), ErrorCode::TokenExpired),
        (json!({"exp": -1}), ErrorCode::TokenExpired),
        (json!({"exp": "9999999999"}), ErrorCode::BadClaimType),
        (json!({"exp": true}), ErrorCode::BadClaimType),
        (json!({"exp": 9_223_372_036_854_775_808_u64}), ErrorCode::BadClaimType),
        (json!({"exp": i64::MAX}), ErrorCode::BadClaimType),
        (json!({"exp": i64::MIN}), ErrorCode::BadClaimType),
        (json!({"exp": 1e300}), ErrorCode::BadClaimType),
        (json!({"iat": NOW + 31}), ErrorCode::TokenFromFuture),
        (json!({"iat": NOW + 214}), ErrorCode::TokenFromFuture),
        (json!({"nbf": NOW + 31}), ErrorCode::TokenFromFuture),
        (json!({"nbf": "0"}), ErrorCode::BadClaimType),
        (json!({"iat": []}), ErrorCode::BadClaimType),
    ] {
        assert_eq!(code(&changes), expected, "{changes}");
    }
    for changes in [
        json!({"exp": NOW - 29}),
        json!({"exp": NOW}),
        json!({"iat": NOW + 29}),
        json!({"nbf": NOW + 29}),
        json!({"iat": NOW + 30}),
        json!({"exp": 1_795_440_000.5}),
        json!({"iat": -5}),
    ] {
        accepted(&changes);
    }
    let mut null = deploy();
    null.insert("exp".to_owned(), Value::Null);
    assert_eq!(read(null).unwrap_err().code, ErrorCode::BadClaimType);
    let refusal = read(changed(&json!({"iat": NOW + 214}))).unwrap_err();
    assert!(refusal.sentence().contains("GitLab's clock is 214 s ahead"), "{}", refusal.sentence());
    let refusal = read(changed(&json!({"exp": NOW - 100}))).unwrap_err();
    assert!(refusal.description.contains("expired 100 s ago"), "{}", refusal.description);
}

#[test]
fn attack_011_age_is_judged_apart() {
    let job = accepted(&json!({"iat": NOW - 3600}));
    let hour = Duration::from_hours(1);
    assert!(check_age(&job, now(), hour).is_ok());
    let late = check_age(&job, now() + Duration::from_secs(1), hour).unwrap_err();
    assert_eq!(late.code, ErrorCode::TokenTooOld);
    assert!(check_age(&accepted(&json!({"iat": NOW + 20})), now(), Duration::ZERO).is_ok());
}

#[test]
fn attack_012_audience() {
    for (aud, expected) in [
        (json!([US, "https://evil.example"]), ErrorCode::AudNotExclusive),
        (json!([US, US]), ErrorCode::AudNotExclusive),
        (json!([]), ErrorCode::AudWrong),
        (json!({}), ErrorCode::AudWrong),
        (json!([7]), ErrorCode::AudWrong),
        (json!([[US]]), ErrorCode::AudWrong),
        (json!(""), ErrorCode::AudWrong),
        (json!(format!("{US}/")), ErrorCode::AudWrong),
        (json!("https://SIGN.shop.example"), ErrorCode::AudWrong),
        (json!(format!("{US}.evil.example")), ErrorCode::AudWrong),
        (json!(GITLAB), ErrorCode::AudWrong),
    ] {
        assert_eq!(code(&json!({ "aud": aud })), expected, "{aud}");
    }
    assert_eq!(code(&json!({"aud": null})), ErrorCode::AudMissing);
}

#[test]
fn attack_013_issuer_is_byte_exact() {
    for iss in [
        "https://gitlab.shop.example/",
        "https://GITLAB.shop.example",
        "http://gitlab.shop.example",
        "gitlab.shop.example",
        "https://gitlab.shop.example.evil.io",
        "https://gitlab.shop.example:443",
        "https://gіtlab.shop.example",
        "",
    ] {
        assert_eq!(code(&json!({ "iss": iss })), ErrorCode::UnknownIssuer, "{iss}");
    }
    assert_eq!(code(&json!({"iss": [GITLAB]})), ErrorCode::UnknownIssuer);
    let with_path = IssuerTerms { url: "https://s3.example/gitlab/".to_owned(), ..terms() };
    let token = verified(changed(&json!({"iss": "https://s3.example/gitlab/"})));
    assert!(parse(&token, &with_path, now()).is_ok());
}

#[test]
fn attack_019_claim_types() {
    for changes in [
        json!({"project_id": 4711}),
        json!({"ref_protected": true}),
        json!({"ref_protected": "True"}),
        json!({"ref_protected": " true"}),
        json!({"ref_protected": 1}),
        json!({"ref_protected": ""}),
        json!({"job_id": "1e3"}),
        json!({"job_id": "007"}),
        json!({"job_id": "-1"}),
        json!({"job_id": ""}),
        json!({"job_id": "9".repeat(40)}),
        json!({"job_id": "٣"}),
        json!({"job_id": "0"}),
        json!({"environment_protected": false}),
        json!({"user_id": 88}),
        json!({"user_id": "x"}),
        json!({"ref": ""}),
        json!({"ref": "a\nb"}),
        json!({"ref": "a\u{1b}[2J"}),
        json!({"ref": "a\u{0}"}),
        json!({"ref": "a\u{7f}"}),
        json!({"ref": ["main"]}),
        json!({"environment": {"name": "production"}}),
        json!({"user_login": "x".repeat(MAX_CLAIM + 1)}),
        json!({"groups_direct": "shop"}),
        json!({"groups_direct": ["a\n"]}),
        json!({"jti": 5}),
        json!({"jti": ""}),
        json!({"job_project_id": "x"}),
    ] {
        assert_eq!(code(&changes), ErrorCode::BadClaimType, "{changes}");
    }
    let mut null = deploy();
    null.insert("job_project_id".to_owned(), Value::Null);
    assert_eq!(read(null).unwrap_err().code, ErrorCode::BadClaimType, "only nullable claims may be null");
    for text in ["a\u{202e}b", "\u{2066}a", "a\u{85}", "a\u{9b}31m"] {
        assert_eq!(code(&json!({ "ref": text })), ErrorCode::BadClaimType, "{text:?} draws");
    }
    for text in ["a\u{200d}b", "a\u{feff}", "ｍain", "<script>", "{{7*7}}"] {
        assert_eq!(accepted(&json!({ "ref": text })).claim("ref"), Some(text), "data, to be escaped where shown");
    }
    accepted(&json!({"ref": "x".repeat(MAX_CLAIM)}));
}

#[test]
fn attack_037_an_old_gitlab_hides_forks_so_merge_requests_are_refused() {
    let old = json!({"job_project_id": null, "job_namespace_id": null, "pipeline_source": "merge_request_event"});
    assert_eq!(code(&old), ErrorCode::NotAJobToken);
    accepted(&json!({"pipeline_source": "merge_request_event"}));
}

#[test]
fn a_shared_issuer_admits_listed_projects_and_namespaces_only() {
    let set = |id: &str| Some(BTreeSet::from([id.to_owned()]));
    let admits = |projects, namespaces, claims: Map<String, Value>| {
        parse(&verified(claims), &IssuerTerms { projects, namespaces, ..terms() }, now()).map_err(|r| r.code)
    };
    assert!(admits(set("4711"), None, deploy()).is_ok());
    assert!(admits(None, set("310"), deploy()).is_ok());
    assert!(admits(set("1"), set("310"), deploy()).is_ok());
    for (projects, namespaces) in
        [(set("1"), None), (None, set("1")), (Some(BTreeSet::new()), None), (set("555123"), set("4711"))]
    {
        assert_eq!(admits(projects, namespaces, deploy()).unwrap_err(), ErrorCode::NotAdmitted);
    }
    assert!(admits(set("4711"), None, fork()).is_ok(), "where it runs counts");
    assert_eq!(admits(set("9002"), set("666"), fork()).unwrap_err(), ErrorCode::NotAdmitted);
    let mut hidden = fork();
    hidden.remove("job_namespace_id");
    assert_eq!(admits(None, set("666"), hidden).unwrap_err(), ErrorCode::NotAdmitted);
}

fn legacy(kinds: &[Legacy], changes: &Value) -> Result<JobTokenKind, ErrorCode> {
    let terms = IssuerTerms { legacy: kinds.iter().copied().collect(), ..terms() };
    parse(&verified(changed(changes)), &terms, now()).map(|job| job.kind).map_err(|refusal| refusal.code)
}

#[test]
fn predecessors_are_accepted_by_configuration_only_and_exactly() {
    let v1 = json!({"iss": "gitlab.shop.example", "aud": null, "sub": "job_555123", "job_project_id": null});
    let v2 = json!({"aud": GITLAB, "job_project_id": null});
    let both = [Legacy::JwtV1, Legacy::JwtV2];
    assert_eq!(legacy(&[], &v1), Err(ErrorCode::UnknownIssuer));
    assert_eq!(legacy(&[], &v2), Err(ErrorCode::AudWrong));
    assert_eq!(legacy(&[Legacy::JwtV1], &v1), Ok(JobTokenKind::JwtV1));
    assert_eq!(legacy(&[Legacy::JwtV2], &v2), Ok(JobTokenKind::JwtV2));
    assert_eq!(legacy(&[Legacy::JwtV2], &v1), Err(ErrorCode::UnknownIssuer));
    assert_eq!(legacy(&[Legacy::JwtV1], &v2), Err(ErrorCode::AudWrong));
    assert_eq!(legacy(&both, &json!({})), Ok(JobTokenKind::IdToken));
    assert_eq!(legacy(&both, &json!({"iss": "gitlab.shop.example"})), Err(ErrorCode::UnknownIssuer), "our aud");
    assert_eq!(legacy(&both, &json!({"aud": [US, GITLAB]})), Err(ErrorCode::AudNotExclusive));
    assert_eq!(legacy(&both, &json!({"aud": "https://other.example"})), Err(ErrorCode::AudWrong));
    assert_eq!(legacy(&both, &json!({"aud": format!("{GITLAB}/")})), Err(ErrorCode::AudWrong));
    assert_eq!(legacy(&both, &json!({"aud": null})), Err(ErrorCode::AudMissing));
    let other_job = json!({"iss": "gitlab.shop.example", "aud": null, "sub": "job_1"});
    assert_eq!(legacy(&both, &other_job), Err(ErrorCode::UnknownIssuer));
    assert_eq!(Legacy::parse("CI_JOB_JWT_V2"), Some(Legacy::JwtV2));
    let old = IssuerTerms { legacy: both.into_iter().collect(), ..terms() };
    assert!(old.has_iss("gitlab.shop.example") && old.has_iss(GITLAB) && !old.has_iss("shop.example"));
    assert!(!terms().has_iss("gitlab.shop.example"));
}

fn any_value() -> impl Strategy<Value = Value> {
    prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        "\\PC{0,12}".prop_map(Value::from),
        proptest::collection::vec("\\PC{0,5}", 0..3).prop_map(Value::from),
        Just(json!({"a": {}})),
    ]
}

proptest! {
    #[test]
    fn no_value_of_any_claim_panics(row in 0..INVENTORY.len(), value in any_value()) {
        let mut claims = deploy();
        claims.insert(INVENTORY[row].name.to_owned(), value);
        if let Ok(job) = read(claims) {
            prop_assert!(job.claims.values().all(|text| !text.is_empty()));
        }
    }

    #[test]
    fn the_order_of_claims_changes_nothing(seed in any::<u64>()) {
        let mut members: Vec<_> = changed(&json!({"new_b": 1, "new_a": 2})).into_iter().collect();
        let length = members.len();
        for at in 0..length {
            members.swap(at, usize::try_from(seed.rotate_left(u32::try_from(at).unwrap()) % 97).unwrap() % length);
        }
        prop_assert_eq!(read(members.into_iter().collect()), read(changed(&json!({"new_a": 2, "new_b": 1}))));
    }
}

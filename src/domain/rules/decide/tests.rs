use serde_json::{Value, json};

use super::*;
use crate::domain::assurance::policy::Device;
use crate::domain::ids::{Digest, GroupName};
use crate::domain::job::samples::{fork, job, now, read};
use crate::domain::rules::explain::{lines, nearest};
use crate::domain::rules::samples::{DEPLOY, audience, open_rule, rules};

const AWS: &str = "sts.amazonaws.com";

fn person(n: u8) -> PersonId {
    PersonId::from_random([n; 10])
}

fn signed(n: u8) -> Approver {
    Approver {
        person: person(n),
        credential: Digest::of(&[n]),
        acr: Acr::Phr,
        device: Device::default(),
        at: now(),
        void: false,
    }
}

fn group(name: &str, members: &[u8]) -> (GroupName, BTreeSet<PersonId>) {
    (GroupName::parse(name).unwrap(), members.iter().map(|n| person(*n)).collect())
}

/// Three release managers; person 9 started the job.
fn facts(approvals: &[Approver]) -> Facts {
    Facts {
        groups: [group("release-managers", &[1, 2, 3])].into(),
        starter: Some(person(9)),
        approvals: approvals.to_vec(),
        ..Facts::default()
    }
}

fn verdict(text: &str, job: &Job, audiences: &[&str], facts: &Facts) -> Verdict {
    let asked: Vec<_> = audiences.iter().map(|text| audience(text)).collect();
    let rules = rules(text);
    let whole = explain(&rules, job, &asked, facts, now());
    assert_eq!(decide(&rules, job, &asked, facts, now()).outcome, whole.outcome, "explaining changes nothing");
    whole
}

fn refused(verdict: &Verdict) -> &Refusal {
    match &verdict.outcome {
        Outcome::Refuse(refusal) => refusal,
        other => panic!("{other:?}"),
    }
}

fn code(text: &str, changes: &Value) -> Option<ErrorCode> {
    match verdict(text, &job(changes), &["vault"], &Facts::default()).outcome {
        Outcome::Refuse(refusal) => Some(refusal.code),
        _ => None,
    }
}

/// Signatures that count and are needed, or the code of a refusal.
fn standing(text: &str, facts: &Facts) -> Result<(u32, u32), ErrorCode> {
    match verdict(text, &job(&json!({})), &[AWS], facts).outcome {
        Outcome::Ask { signed, needed, .. } => Ok((signed, needed)),
        Outcome::Issue { counted, .. } => Ok((u32::try_from(counted.len()).unwrap(), 0)),
        Outcome::Refuse(refusal) => Err(refusal.code),
    }
}

#[test]
fn a_deploy_job_asks_and_is_issued_once_a_release_manager_signs() {
    assert_eq!(standing(DEPLOY, &facts(&[])), Ok((0, 1)));
    assert_eq!(standing(DEPLOY, &facts(&[signed(1)])), Ok((1, 0)));
    let text = open_rule("");
    let verdict = verdict(&text, &job(&json!({})), &["vault"], &Facts::default());
    assert!(matches!(verdict.outcome, Outcome::Issue { counted, .. } if counted.is_empty()));
}

#[test]
fn the_nearest_rule_and_its_first_mismatch_are_named() {
    let branch = job(&json!({"ref_protected": "false", "ref": "hotfix-12"}));
    let verdict = verdict(DEPLOY, &branch, &[AWS], &facts(&[]));
    let refusal = refused(&verdict);
    assert_eq!(refusal.code, ErrorCode::NoRuleMatches);
    assert_eq!(refusal.description, "no rule matches this job");
    let near = r#"nearest: "production deploy" wants ref_protected "true", the job has "false""#;
    assert_eq!(refusal.detail.as_deref(), Some(near));
    assert_eq!(refusal.hint.as_deref(), Some("run the job on a protected branch, or protect `hotfix-12` in GitLab"));
    assert_eq!(refusal.rule.as_ref().unwrap().as_str(), "production deploy");
    let lines = lines(&verdict.trace, &verdict.outcome);
    assert_eq!(lines[0], "✕ \"never from forks\" (denies)");
    assert!(lines.contains(&"    ✓ job_project_id \"4711\"".to_owned()), "{lines:#?}");
    assert!(lines.contains(&"    ✕ ref_protected: wants \"true\", there is \"false\"".to_owned()), "{lines:#?}");
    assert!(lines.last().unwrap().contains("protect `hotfix-12`"));
}

#[test]
fn rules_of_other_projects_are_not_named_to_a_job() {
    let elsewhere = job(&json!({"job_project_id": "1", "project_id": "1"}));
    let verdict = verdict(DEPLOY, &elsewhere, &[AWS], &facts(&[]));
    let refusal = refused(&verdict);
    assert_eq!((refusal.code, &refusal.rule), (ErrorCode::NoRuleMatches, &None));
    assert!(!refusal.description.contains("production deploy"), "{}", refusal.description);
    let (near, check) = nearest(&verdict.trace).unwrap();
    assert_eq!((near.rule.as_str(), check.subject.as_str()), ("production deploy", "job_project_id"));
}

#[test]
fn no_rules_refuse_everything() {
    assert_eq!(code("", &json!({})), Some(ErrorCode::NoRuleMatches));
}

#[test]
fn attack_034_claims_are_compared_whole_and_by_case() {
    let rule = open_rule("").replace("job_project_id = \"4711\"", "project_path = \"group/app\"");
    let glob = rule.replace("group/app", "group/*");
    assert_eq!(code(&rule, &json!({"project_path": "group/app"})), None);
    for path in
        ["Group/App", "group/app2", "xgroup/app", "group/app/../other", "group/app%2f..", "group/app ", "group//app"]
    {
        assert_eq!(code(&rule, &json!({ "project_path": path })), Some(ErrorCode::NoRuleMatches), "{path}");
    }
    assert_eq!(code(&glob, &json!({"project_path": "group/a/b"})), Some(ErrorCode::NoRuleMatches));
    assert_eq!(code(&glob, &json!({"project_path": "group/a"})), None);
}

#[test]
fn attack_037_forks_and_merge_requests_need_to_be_named() {
    let decide_fork = |text: &str| {
        let verdict = verdict(text, &read(fork()).unwrap(), &["vault"], &Facts::default());
        matches!(verdict.outcome, Outcome::Issue { .. })
    };
    assert!(!decide_fork(&open_rule("")));
    assert!(!decide_fork(&open_rule("").replace("job_project_id", "project_id")));
    assert!(!decide_fork(&open_rule(", fork = true")), "and its source is a merge request");
    assert!(!decide_fork(&open_rule(", pipeline_source = \"merge_request_event\"")));
    assert!(decide_fork(&open_rule(", fork = true, pipeline_source = \"merge_request_event\"")));
    assert!(!decide_fork(&open_rule(", fork = false, pipeline_source = \"*\"")));
    let own = json!({"pipeline_source": "merge_request_event"});
    assert_eq!(code(&open_rule(""), &own), Some(ErrorCode::NoRuleMatches));
    assert_eq!(code(&open_rule(", pipeline_source = \"merge_request_event\""), &own), None);
    let denied = verdict(DEPLOY, &read(fork()).unwrap(), &[AWS], &facts(&[]));
    assert_eq!(refused(&denied).code, ErrorCode::DeniedByRule);
    assert!(refused(&denied).description.contains("Deploy from the project itself."));
}

#[test]
fn attack_038_a_reregistered_path_is_another_project() {
    let verdict = verdict(DEPLOY, &job(&json!({"project_id": "9", "job_project_id": "9"})), &[AWS], &facts(&[]));
    assert_eq!(refused(&verdict).code, ErrorCode::NoRuleMatches);
    assert_eq!(verdict.trace.rules[1].checks.last().unwrap().found.as_deref(), Some("9"));
    let moved = job(&json!({"project_path": "new/home", "job_project_path": "new/home", "namespace_id": "7"}));
    assert!(matches!(
        super::super::decide::decide(&rules(DEPLOY), &moved, &[audience(AWS)], &facts(&[]), now()).outcome,
        Outcome::Ask { .. }
    ));
}

#[test]
fn attack_039_protected_refs_and_environments_are_exact() {
    let guarded = open_rule(
        ", ref_protected = \"true\", ref = \"main\", ref_type = \"branch\", environment_protected = \"true\"",
    );
    assert_eq!(code(&guarded, &json!({})), None);
    for changes in [
        json!({"ref_protected": "false"}),
        json!({"ref_type": "tag"}),
        json!({"ref": "refs/heads/main"}),
        json!({"ref": "Main"}),
        json!({"environment": null}),
        json!({"environment": "production/eu"}),
        json!({"environment": "Production"}),
        json!({"environment_protected": "false"}),
        json!({"environment_protected": null}),
    ] {
        assert_eq!(code(&guarded, &changes), Some(ErrorCode::NoRuleMatches), "{changes}");
    }
    let tier = open_rule(", deployment_tier = \"production\"");
    assert_eq!(code(&tier, &json!({"deployment_tier": "development"})), Some(ErrorCode::NoRuleMatches));
    assert_eq!(code(&tier, &json!({"deployment_tier": null})), Some(ErrorCode::NoRuleMatches));
    let release = open_rule(", ref = \"release/*\", ref_type = \"branch\", ref_protected = \"true\"");
    assert_eq!(code(&release, &json!({"ref": "release/1", "ref_protected": "false"})), Some(ErrorCode::NoRuleMatches));
    assert_eq!(code(&release, &json!({"ref": "release/1"})), None);
}

#[test]
fn an_absent_claim_never_matches_not_even_an_asterisk() {
    let any = open_rule(", deployment_tier = \"*\"");
    assert_eq!(code(&any, &json!({"deployment_tier": null})), Some(ErrorCode::NoRuleMatches));
    assert_eq!(code(&any, &json!({})), None);
    let verdict = verdict(&any, &job(&json!({"deployment_tier": null})), &["vault"], &Facts::default());
    assert!(refused(&verdict).sentence().ends_with("the job has no such claim"));
}

#[test]
fn a_list_fits_where_one_item_does() {
    let text = open_rule(", groups_direct = \"platform/sre\"");
    assert_eq!(code(&text, &json!({})), None);
    assert_eq!(code(&text, &json!({"groups_direct": ["platform/sre-2"]})), Some(ErrorCode::NoRuleMatches));
    assert_eq!(code(&text, &json!({"groups_direct": null})), Some(ErrorCode::NoRuleMatches));
}

#[test]
fn attack_041_every_audience_asked_must_be_listed() {
    let text = open_rule("").replace("[\"vault\"]", "[\"vault\", \"https://k8s.example\"]");
    let outcome = |asked: &[&str]| match verdict(&text, &job(&json!({})), asked, &Facts::default()).outcome {
        Outcome::Refuse(refusal) => Some(refusal.code),
        _ => None,
    };
    assert_eq!(outcome(&["vault"]), None);
    assert_eq!(outcome(&["https://k8s.example", "vault"]), None);
    for asked in [&["vault", "other"][..], &["Vault"], &["https://k8s.example/"], &["other"], &[]] {
        assert_eq!(outcome(asked), Some(ErrorCode::AudienceNotAllowed), "{asked:?}");
    }
    let verdict = verdict(&text, &job(&json!({})), &["vault", "other"], &Facts::default());
    assert!(refused(&verdict).description.contains("`other`"));
}

#[test]
fn a_later_rule_may_have_the_audience() {
    let second = open_rule("").replace("\"open\"", "\"second\"").replace("vault", "other");
    let text = format!("{}{second}", open_rule(""));
    let verdict = verdict(&text, &job(&json!({})), &["other"], &Facts::default());
    assert!(matches!(verdict.outcome, Outcome::Issue { rule, .. } if rule.name.as_str() == "second"));
}

#[test]
fn attack_024_an_unknown_starter_fails_where_it_is_excluded() {
    let unlinked = Facts { starter: None, ..facts(&[signed(1)]) };
    assert_eq!(standing(DEPLOY, &unlinked), Err(ErrorCode::StarterNotLinked));
    let self_signed = Facts { starter: Some(person(1)), ..facts(&[signed(1)]) };
    assert_eq!(standing(DEPLOY, &self_signed), Ok((0, 1)));
    let anyone = DEPLOY.replace("not = [\"starter\"], ", "");
    assert_eq!(standing(&anyone, &Facts { starter: None, ..facts(&[signed(1)]) }), Ok((1, 0)));
}

#[test]
fn attack_024_who_proves_a_user_alone_is_excluded_beside_the_starter_and_never_instead() {
    let proved = |starter, people: &[u8]| Facts {
        starter,
        proved: people.iter().map(|n| person(*n)).collect(),
        ..facts(&[signed(1), signed(2)])
    };
    // It makes nobody known: the rule still refuses.
    assert_eq!(standing(DEPLOY, &proved(None, &[1])), Err(ErrorCode::StarterNotLinked));
    // The starter whom an admin named stays excluded, whoever else says that the user is theirs.
    assert_eq!(standing(DEPLOY, &proved(Some(person(1)), &[2])), Ok((0, 1)));
    assert_eq!(standing(DEPLOY, &proved(Some(person(1)), &[3])), Ok((1, 0)));
    // Where the rule does not ask who started, it changes nothing.
    let anyone = DEPLOY.replace("not = [\"starter\"], ", "");
    assert_eq!(standing(&anyone, &proved(None, &[1, 2])), standing(&anyone, &proved(None, &[])));
}

#[test]
fn empty_groups_refuse_before_anybody_is_asked() {
    assert_eq!(
        standing(DEPLOY, &Facts { groups: [group("release-managers", &[])].into(), ..facts(&[]) }),
        Err(ErrorCode::GroupEmpty)
    );
    assert_eq!(standing(DEPLOY, &Facts { starter: Some(person(1)), ..Facts::default() }), Err(ErrorCode::GroupEmpty));
    let two = DEPLOY.replace("[\"release-managers\"]", "[\"release-managers\", \"sre\"]");
    let one_empty =
        Facts { groups: [group("release-managers", &[]), group("sre", &[4])].into(), ..facts(&[signed(4)]) };
    assert_eq!(standing(&two, &one_empty), Ok((1, 0)));
}

#[test]
fn attack_031_one_person_or_one_key_counts_once() {
    let two = DEPLOY.replace("count = 1", "count = 2");
    let second_key = Approver { credential: Digest::of(b"another"), ..signed(1) };
    assert_eq!(standing(&two, &facts(&[signed(1), second_key])), Ok((1, 2)));
    let shared_key = Approver { person: person(2), ..signed(1) };
    assert_eq!(standing(&two, &facts(&[signed(1), shared_key])), Ok((1, 2)));
    assert_eq!(standing(&two, &facts(&[signed(1), signed(2)])), Ok((2, 0)));
}

#[test]
fn attack_032_only_those_count_who_may_sign_now() {
    let void = Approver { void: true, ..signed(1) };
    assert_eq!(standing(DEPLOY, &facts(&[void])), Ok((0, 1)));
    assert_eq!(standing(DEPLOY, &facts(&[signed(7)])), Ok((0, 1)), "not in the group");
    let hardware = DEPLOY.replace("\"phr\"", "\"phrh\"");
    assert_eq!(standing(&hardware, &facts(&[signed(1)])), Ok((0, 1)));
    let strong = Approver { acr: Acr::Phrh, ..signed(2) };
    assert_eq!(standing(&hardware, &facts(&[signed(1), strong.clone()])), Ok((1, 0)));
    assert_eq!(standing(DEPLOY, &facts(&[strong])), Ok((1, 0)));
}

#[test]
fn more_signatures_than_people_are_asked_for_and_said() {
    let text = DEPLOY.replace("count = 1", "count = 3");
    let verdict = verdict(&text, &job(&json!({})), &[AWS], &Facts { starter: Some(person(1)), ..facts(&[]) });
    assert!(matches!(verdict.outcome, Outcome::Ask { signed: 0, needed: 3, .. }));
    let checks = &verdict.trace.rules.last().unwrap().checks;
    assert!(checks.iter().any(|check| check.subject == "people who may sign" && check.found.as_deref() == Some("2")));
}

#[test]
fn attack_030_nothing_is_issued_past_the_job_tokens_end() {
    let job = job(&json!({}));
    let at = |now: Timestamp| decide(&rules(DEPLOY), &job, &[audience(AWS)], &facts(&[signed(1)]), now).outcome;
    assert!(matches!(at(job.expires_at), Outcome::Refuse(refusal) if refusal.code == ErrorCode::TokenExpired));
    assert!(matches!(at(Timestamp::from_millis(job.expires_at.millis() - 1)), Outcome::Issue { .. }));
}

#[test]
fn what_a_claim_holds_is_shown_escaped() {
    let text = DEPLOY.replace("environment = \"production\"", "environment = \"production\", sha = \"0\"");
    let bad = job(&json!({"environment": "prod\u{200e}uction\u{feff}"}));
    let verdict = verdict(&text, &bad, &[AWS], &facts(&[]));
    let all = lines(&verdict.trace, &verdict.outcome).join("\n") + &refused(&verdict).sentence();
    assert!(!all.contains('\u{200e}') && !all.contains('\u{feff}') && all.contains("\\u{200e}"), "{all}");
}

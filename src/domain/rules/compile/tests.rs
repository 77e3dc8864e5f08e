use serde_json::json;

use super::*;
use crate::domain::assurance::Acr;
use crate::domain::ids::Digest;
use crate::domain::job::samples::job;
use crate::domain::rules::samples::{DEPLOY, audience, compile, open_rule, rules};
use crate::domain::rules::{Excluded, Require, TokenAlg};

/// The one rule of these tests with one line replaced or added; `key = ` decides which.
fn rule_with(line: &str) -> String {
    let base = [
        "name = \"deploy\"",
        "match = { job_project_id = \"4711\", environment = \"production\", ref_protected = \"true\" }",
        "audience = [\"sts.amazonaws.com\"]",
        "require = { approval = { of = [\"release-managers\"] } }",
    ];
    let key = line.split('=').next().unwrap_or_default().trim().to_owned();
    let mut lines: Vec<_> = base.iter().filter(|old| !old.starts_with(&key) || key.is_empty()).copied().collect();
    lines.push(line);
    format!("[[rule]]\n{}\n", lines.join("\n"))
}

fn without(key: &str) -> String {
    rule_with("").lines().filter(|line| !line.starts_with(key)).collect::<Vec<_>>().join("\n")
}

fn errors(text: &str) -> Vec<RuleError> {
    match compile(text, &["gitlab"]) {
        Ok(_) => panic!("compiled: {text}"),
        Err(errors) => errors,
    }
}

#[track_caller]
fn refused(text: &str, part: &str) {
    let errors = errors(text);
    assert!(errors.iter().any(|error| error.to_string().contains(part)), "{part}: {errors:#?}");
    assert!(errors.iter().all(|error| error.line >= 1 && error.file == "rules.toml"));
}

fn warnings(text: &str) -> String {
    let loaded = compile(text, &["gitlab"]).unwrap_or_else(|errors| panic!("{text}\n{errors:#?}"));
    loaded.warnings.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}

#[test]
fn the_documented_rules_compile_to_what_they_say() {
    let rules = rules(DEPLOY);
    let names: Vec<_> = rules.iter().map(|rule| rule.name.to_string()).collect();
    assert_eq!(names, ["never from forks", "production deploy"], "deny rules first");
    let rule = rules.by_name(&RuleName::parse("production deploy").unwrap()).unwrap();
    let allow = rule.allow().unwrap();
    assert_eq!((rule.fork, allow.acr, allow.token.lifetime), (Some(false), Some(Acr::Phr), 600));
    let Require::Approval(terms) = &allow.require else { panic!("{allow:?}") };
    assert_eq!((terms.count, terms.within, terms.not.contains(&Excluded::Starter)), (1, 900, true));
    assert_eq!(rules.groups().iter().map(ToString::to_string).collect::<Vec<_>>(), ["release-managers"]);
    assert_eq!(warnings(DEPLOY), "");
}

#[test]
fn defaults_are_those_of_the_documentation() {
    let rules = rules(&rule_with(""));
    let rule = rules.iter().next().unwrap();
    let allow = rule.allow().unwrap();
    let Require::Approval(terms) = &allow.require else { panic!("{allow:?}") };
    assert_eq!((terms.count, terms.within, terms.not.len()), (1, 900, 0));
    assert_eq!((allow.acr, allow.token.lifetime, allow.token.alg), (Some(Acr::Phr), 600, TokenAlg::Rs256));
    assert!(
        allow.token.forward.is_empty() && allow.token.sub.is_none() && allow.aws.is_none() && !allow.show_approvers
    );
    assert_eq!(rule.issuer.as_ref().map(IssuerName::as_str), Some("gitlab"), "the only issuer is bound");
}

#[test]
fn a_rule_reads_back_from_its_canonical_form_with_the_same_digest() {
    let compiled = rules(DEPLOY);
    let read: Vec<Rule> = compiled
        .iter()
        .map(|rule| {
            crate::domain::canonical::from_bytes(&crate::domain::canonical::to_bytes(&***rule).unwrap()).unwrap()
        })
        .collect();
    assert_eq!(Rules::from_rules(read).unwrap(), compiled);
    assert_ne!(rules(&DEPLOY.replace("release-managers", "everybody")).digest(), compiled.digest());
    assert_ne!(rules(&DEPLOY.replace("15m", "16m")).digest(), compiled.digest());
    assert_eq!(rules("").digest(), Digest::of(b"[]"));
}

#[test]
fn attack_098_mistakes_of_form_are_named_with_line_rule_and_cure() {
    let error = &errors(&rule_with("audiance = [\"x\"]"))[0];
    assert_eq!(
        error.to_string(),
        "rules.toml:6: rule \"deploy\": unknown key `audiance` in a rule (did you mean `audience`?)"
    );
    refused(&rule_with("colour = 1"), "takes `name`, `match`");
    refused("[rule]\nname = \"x\"", "write `[[rule]]`");
    refused("[[rules]]\nname = \"x\"", "did you mean `rule`?");
    refused("[[rule]]\nname = \"a\"\nname = \"b\"", "rules.toml:3: this is not TOML");
    refused("rule = [1]", "not a table");
    refused("[[rule]]\nname = [[[", "not TOML");
    refused(&rule_with("match = { job_project_id = 4711 }"), "write \"4711\"");
    refused(&rule_with("match = { job_project_id = \"4711\", ref_protected = true }"), "write \"true\"");
    refused(&rule_with("match = { job_project_id = \"4711\", fork = \"true\" }"), "write true without quotes");
    refused(&rule_with("audience = \"vault\""), "write [\"vault\"]");
    refused(&rule_with("require = true"), "`require` is true or false");
    refused(&rule_with("require = { aproval = { of = [\"g\"] } }"), "did you mean `approval`?");
    refused(&rule_with("require = { approval = { of = [\"g\"], cuont = 1 } }"), "did you mean `count`?");
    refused(&rule_with("token = { lifetme = \"1m\" }"), "did you mean `lifetime`?");
    refused(&rule_with("aws = { role = [\"x\"] }"), "did you mean `roles`?");
    refused(&rule_with("name = \" x\""), "not a rule name");
    refused(&without("name"), "no `name`");
}

#[test]
fn one_mistake_gives_one_error() {
    for line in [
        "audience = \"vault\"",
        "name = 7",
        "match = 1",
        "require = true",
        "require = { approval = { of = \"g\" } }",
        "match = { job_project_id = 4711, environment = \"p\" }",
        "match = { job_project_id = \"4711\", environment = 1 }",
        "match = { job_project_id = \"4711\", environment = \"p\", ref = \"main\", ref_type = 1 }",
        "token = { sub = 1 }",
        "match = { job_project_id = \"4711\", environment = \"\" }",
        "match = { issuer = 1, job_project_id = \"4711\", environment = \"p\" }",
    ] {
        let errors = errors(&rule_with(line));
        assert_eq!(errors.len(), 1, "{line}: {errors:#?}");
    }
}

#[test]
fn attack_098_a_bomb_is_refused_soon() {
    refused(&format!("{}#", " ".repeat(MAX_RULES_FILE)), "1048576 is the most");
    refused(&format!("a = {}", "[".repeat(100_000)), "not TOML");
    refused(&format!("{} = 1", "a.".repeat(100_000)), "not TOML");
    refused(&"[[rule]]\n".repeat(MAX_RULES + 1), "more than 10000 rules");
}

#[test]
fn attack_098_what_is_missing_means_no() {
    refused(&without("match"), "no `match`");
    refused(&without("audience"), "no `audience`");
    refused(&without("require"), "nothing of who must approve");
    refused(&rule_with("match = {}"), "`match` is empty");
    refused(&rule_with("audience = []"), "nobody, never everybody");
    refused(&rule_with("audience = [\"a\", \"a\"]"), "listed twice");
    refused(&rule_with("audience = [\"two words\"]"), "not an audience");
    refused(&rule_with("require = { approval = { of = [] } }"), "nobody, never everybody");
    refused(&rule_with("require = { approval = {} }"), "names no group");
    refused(&rule_with("require = { approval = { of = [\"Bad Group\"] } }"), "not a group name");
    refused(&rule_with("require = { approval = { of = [\"g\"], not = [\"startr\"] } }"), "did you mean `starter`?");
    refused(&rule_with("require = { approval = { of = [\"g\"], not = [] } }"), "`not` is an empty list");
    refused(&rule_with("require = \"non\""), "did you mean `none`?");
    refused(&rule_with("aws = {}"), "`aws` is empty");
    refused(&rule_with("aws = { roles = [] }"), "nobody, never everybody");
    refused("[[rule]]\nname = \"d\"\nmatch = {}\ndeny = \"No.\"", "`match` is empty");
    refused("[[rule]]\nname = \"d\"\nmatch = { fork = true }\ndeny = \"\"", "not a sentence");
    refused(
        "[[rule]]\nname = \"d\"\nmatch = { fork = true }\ndeny = \"No.\"\nrequire = \"none\"",
        "`require` beside `deny`",
    );
}

#[test]
fn attack_098_bounds() {
    for (lifetime, fits) in [("0s", false), ("1s", true), ("1h", true), ("3601s", false), ("2h", false), ("x", false)] {
        let text = rule_with(&format!("token = {{ lifetime = \"{lifetime}\" }}"));
        assert_eq!(compile(&text, &["gitlab"]).is_ok(), fits, "{lifetime}");
    }
    for (within, fits) in [("59s", false), ("1m", true), ("24h", true), ("1d", true), ("25h", false)] {
        let text = rule_with(&format!("require = {{ approval = {{ of = [\"g\"], within = \"{within}\" }} }}"));
        assert_eq!(compile(&text, &["gitlab"]).is_ok(), fits, "{within}");
    }
    for (count, fits) in
        [("0", false), ("-1", false), ("1", true), ("10", true), ("11", false), ("9223372036854775807", false)]
    {
        let text = rule_with(&format!("require = {{ approval = {{ of = [\"g\"], count = {count} }} }}"));
        assert_eq!(compile(&text, &["gitlab"]).is_ok(), fits, "{count}");
    }
    refused(&rule_with("acr = \"prh\""), "did you mean `phr`?");
    refused(&rule_with("token = { alg = \"HS256\" }"), "did you mean `RS256`?");
    refused(&format!("{}acr = \"phr\"\n", open_rule("")), "`acr` beside");
}

#[test]
fn attack_098_everybodys_project_is_no_project() {
    for place in ["project_path = \"*\"", "project_path = \"*/*\"", "namespace_path = \"**\""] {
        refused(&rule_with(&format!("match = {{ {place}, environment = \"production\" }}")), "every project");
    }
    refused(&rule_with("match = { job_project_id = \"*\", environment = \"production\" }"), "digits");
    refused(&rule_with("match = { environment = \"production\" }"), "every project");
    let group = rule_with("match = { job_namespace_id = \"310\", environment = \"production\" }");
    assert!(compile(&group, &["gitlab"]).is_ok());
}

#[test]
fn attack_039_a_condition_that_could_not_be_met_is_an_error() {
    for (condition, part) in [
        ("ref = \"main\"", "`ref` without `ref_type`"),
        ("ref_protected = \"True\"", "is \"true\" or \"false\""),
        ("ref_protected = \"*\"", "is \"true\" or \"false\""),
        ("ref_type = \"brnach\"", "is \"branch\" or \"tag\""),
        ("pipeline_id = \"007\"", "digits"),
        ("environment = \"\"", "an empty pattern"),
        ("ref_protectd = \"true\"", "did you mean `ref_protected`?"),
        ("iss = \"x\"", "use `issuer`"),
        ("exp = \"1\"", "cannot be matched"),
        ("user_identities = \"x\"", "cannot be matched"),
    ] {
        refused(
            &rule_with(&format!(
                "match = {{ job_project_id = \"4711\", environment_action = \"start\", {condition} }}"
            )),
            part,
        );
    }
    let both = "match = { job_project_id = \"4711\", environment = \"p\", ref = \"main\", ref_type = \"branch\" }";
    assert!(compile(&rule_with(both), &["gitlab"]).is_ok());
}

#[test]
fn names_are_unique_across_files_and_files_count_by_name() {
    let file = |name: &str, text: String| (name.to_owned(), text);
    let files =
        [file("b.toml", open_rule(", ref_type = \"tag\"")), file("a.toml", open_rule(", ref_type = \"branch\""))];
    let issuers = [IssuerName::parse("gitlab").unwrap()];
    let errors = Rules::compile(&files, &issuers, &[]).unwrap_err();
    assert_eq!(errors.len(), 1);
    assert_eq!((errors[0].file.as_str(), errors[0].line), ("b.toml", 2));
    assert!(errors[0].what.contains("a.toml:1"));
}

#[test]
fn every_fault_is_told_at_once_in_the_order_of_lines() {
    let text =
        "[[rule]]\nname = \"x\"\naudiance = []\nmatch = { projct_id = \"1\" }\n[[rule]]\nname = \"x\"\nacr = 7\n";
    let errors = errors(text);
    assert!(errors.len() >= 7, "{errors:#?}");
    assert!(errors.is_sorted());
    for line in [1, 3, 4, 5, 6, 7] {
        assert!(errors.iter().any(|error| error.line == line), "{line}: {errors:#?}");
    }
}

#[test]
fn an_allowing_rule_names_its_issuer_where_there_are_several() {
    let text = rule_with("");
    let two = compile(&text, &["gitlab", "other"]).unwrap_err();
    assert!(two[0].what.contains("names no issuer") && two[0].hint.as_deref().unwrap().contains("gitlab, other"));
    assert!(compile(&text, &[]).unwrap_err()[0].what.contains("no issuer is configured"));
    let misspelt = text.replace("{ job_project_id", "{ issuer = \"gitlub\", job_project_id");
    refused(&misspelt, "did you mean `gitlab`?");
    let deny = "[[rule]]\nname = \"d\"\nmatch = { fork = true }\ndeny = \"No.\"";
    let loaded = compile(deny, &["gitlab", "other"]).unwrap();
    assert_eq!(loaded.rules.iter().next().unwrap().issuer, None);
}

#[test]
fn a_rule_for_jobs_without_environment_states_its_sub() {
    let base = "match = { job_project_id = \"4711\", ref_protected = \"true\" }";
    refused(&rule_with(base), "jobs without an environment");
    let stated = |sub: &str| format!("{}token = {{ sub = \"{sub}\" }}\n", rule_with(base));
    assert!(compile(&stated("gitlab:{job_project_id}:{presence}:{acr}"), &["gitlab"]).is_ok());
    for (sub, part) in [
        ("gitlab:{job_projct_id}", "did you mean `job_project_id`?"),
        ("gitlab:{approver}", "not known when the job asks"),
        ("gitlab:{ref}-{sha}", "fill neighbouring placeholders alike"),
        ("gitlab:{groups_direct}", "cannot go into a token"),
        ("gitlab:{", "a brace"),
        ("", "empty"),
        ("pmq4zx7k2hv5ntr3b", "taken for a person's"),
        ("a b:{job_id}", "printable ASCII"),
    ] {
        refused(&stated(sub), part);
    }
    refused(&format!("{}token = {{ sub = \"x:{{acr}}\" }}\n", open_rule("")), "where nobody signs");
}

#[test]
fn limits_of_aws_are_checked_at_load() {
    let tokens = "token = { forward = [\"job_id\"] }\n";
    for (aws, part) in [
        ("roles = [\"deploy\"]", "not the ARN of a role"),
        ("roles = [\"arn:aws:iam::111122223333:role/*\"]", "not the ARN of a role"),
        ("tags = [\"gitlab_sha\"]", "add `sha` to token.forward"),
        ("tags = [\"job_id\"]", "did you mean `gitlab_job_id`?"),
        ("tags = [\"acr\"], audience = \"sts\"", "does not list `sts`"),
        ("source_identity = \"a b\"", "what AWS refuses"),
        ("source_identity = \"{job_id}{sha}\"", "put `,` or `@` between them"),
    ] {
        refused(&format!("{}{tokens}aws = {{ {aws} }}\n", rule_with("")), part);
    }
    let many = rule_with("require = { approval = { of = [\"g\"], count = 4 } }");
    refused(&format!("{many}aws = {{ source_identity = \"{{approver}}\" }}\n"), "longer than the 64 characters");
    let elsewhere = rule_with("audience = [\"vault\"]");
    refused(&format!("{elsewhere}aws = {{ tags = [\"acr\"] }}\n"), "does not list `sts.amazonaws.com`");
    let nobody = open_rule("").replace("vault", "sts.amazonaws.com");
    refused(&format!("{nobody}aws = {{ tags = [\"acr\"] }}\n"), "where nobody signs");
}

fn pair(first: &str, second: &str) -> Result<Loaded, Vec<RuleError>> {
    let second = second.replace("name = \"open\"", "name = \"later\"");
    compile(&format!("{first}{second}"), &["gitlab"])
}

#[test]
fn attack_098_a_rule_that_can_never_apply_is_an_error() {
    let shadowed = |first: &str, second: &str| match pair(first, second) {
        Ok(_) => false,
        Err(errors) => {
            assert!(errors.iter().all(|error| error.what.contains("can never apply")), "{errors:#?}");
            true
        }
    };
    let on = |text: &str| open_rule(text);
    assert!(shadowed(&on(""), &on("")));
    assert!(shadowed(&on(""), &on(", ref_protected = \"true\"")));
    assert!(!shadowed(&on(", ref_protected = \"true\""), &on("")));
    assert!(shadowed(&on(", user_login = \"m*\""), &on(", user_login = \"mara\"")));
    assert!(shadowed(&on(", user_login = \"m*\""), &on(", user_login = \"ma*\"")));
    assert!(!shadowed(&on(", user_login = \"ma*\""), &on(", user_login = \"m*\"")));
    assert!(!shadowed(&on(""), &on("").replace("[\"vault\"]", "[\"vault\", \"other\"]")));
    assert!(shadowed(&on("").replace("[\"vault\"]", "[\"vault\", \"other\"]"), &on("")));
    assert!(!shadowed(&on(""), &on(", fork = true")));
    assert!(!shadowed(&on(""), &on(", pipeline_source = \"merge_request_event\"")), "the first does not take those");
    assert!(shadowed(&on(""), &on(", pipeline_source = \"push\"")));
    let deny = "[[rule]]\nname = \"no\"\nmatch = { job_project_id = \"4711\" }\ndeny = \"No.\"\n";
    assert!(shadowed(&on(""), deny), "deny rules come first wherever they stand");
    assert!(!shadowed(&on(""), &deny.replace("4711", "4712")));
    assert!(!shadowed("", &on("")));
}

#[test]
fn attack_040_claims_that_are_no_authority_load_with_a_warning() {
    for (condition, part) in [
        ("sub = \"project_path:shop/api:ref_type:branch:ref:main\"", "composed by the project"),
        ("aud = \"https://sign.example\"", "chosen by the job"),
        ("user_login = \"mara\"", "not that a person is present"),
        ("user_email = \"mara@shop.example\"", "not that a person is present"),
        ("user_id = \"88\"", "not that a person is present"),
        ("groups_direct = \"shop\"", "holds paths"),
        ("runner_environment = \"self-hosted\"", "which runner"),
        ("ci_config_ref_uri = \"x\"", "another project"),
        ("pipeline_source = \"api\"", "no person"),
        ("pipeline_source = \"trigger\"", "no person"),
        ("deployment_tier = \"prod*\"", "`prod-evil` too"),
        ("deployment_tier = \"prod?\"", "stands for itself"),
    ] {
        let text = open_rule(&format!(", ref_protected = \"true\", {condition}"));
        assert!(warnings(&text).contains(part), "{condition}: {}", warnings(&text));
    }
    assert!(
        !warnings(&open_rule(", ref_protected = \"true\", pipeline_source = \"push\"")).contains("pipeline_source")
    );
}

#[test]
fn attack_038_a_project_known_by_its_path_alone_loads_with_a_warning() {
    let path = rule_with("match = { project_path = \"shop/api\", environment = \"production\" }");
    assert!(warnings(&path).contains("renamed and registered anew"));
    assert!(warnings(&rule_with("")).is_empty(), "{}", warnings(&rule_with("")));
}

#[test]
fn other_doubts_are_told() {
    assert!(warnings(&open_rule("")).contains("every branch"));
    assert!(warnings(&open_rule(", fork = true").replace("job_project_id", "project_id")).contains("in which project"));
    let forwards = format!("{}token = {{ forward = [\"user_login\", \"deployment_tier\"] }}\n", rule_with(""));
    assert!(warnings(&forwards).contains("names a person") && warnings(&forwards).contains("not every job"));
}

#[test]
fn the_most_rules_compile() {
    let one = |n: usize| open_rule("").replace("4711", &(n + 1).to_string()).replace("open", &format!("r{n}"));
    let text: String = (0..MAX_RULES).map(one).collect();
    let half = text.len() / 2;
    let cut = half + text.get(half..).unwrap().find("[[rule]]").unwrap();
    let files = [("a".to_owned(), text[..cut].to_owned()), ("b".to_owned(), text[cut..].to_owned())];
    let issuers = [IssuerName::parse("gitlab").unwrap()];
    let rules = Rules::compile(&files, &issuers, &[]).unwrap().rules;
    assert_eq!(rules.len(), MAX_RULES);
    let (answer, _) = rules.matching(&job(&json!({})), &[audience("vault")]);
    let trace = rules.trace(&job(&json!({})), &[audience("vault")]);
    assert_eq!(answer.unwrap().name.as_str(), "r4710");
    assert_eq!(trace.rules.len(), 4711);
}

#[test]
fn a_rule_that_is_too_large_to_be_evidence_is_an_error() {
    let with = |count: usize| {
        let audiences: Vec<_> = (0..count).map(|n| format!("\"https://service-{n:04}.shop.example\"")).collect();
        let text = open_rule("").replace("[\"vault\"]", &format!("[{}]", audiences.join(", ")));
        compile(&text, &["gitlab"])
    };
    assert!(with(400).is_ok());
    let errors = with(500).unwrap_err();
    assert!(errors[0].what.contains("16384 is the most"), "{}", errors[0]);
}

#[test]
fn attack_053_a_named_policy_is_part_of_the_rule_and_of_its_digest() {
    let issuers = [IssuerName::parse("gitlab").unwrap()];
    let files = [("rules.toml".to_owned(), rule_with("device_policy = \"security keys\""))];
    let policy =
        DevicePolicy { name: "security keys".to_owned(), attestation: true, synced: false, ..DevicePolicy::default() };
    let digest = |policy: &DevicePolicy| {
        let rules = Rules::compile(&files, &issuers, std::slice::from_ref(policy)).unwrap().rules;
        rules.iter().next().unwrap().digest()
    };
    let stricter = DevicePolicy { roaming: true, ..policy.clone() };
    assert_ne!(digest(&policy), digest(&stricter), "a changed policy is a changed rule");
    let misspelt = DevicePolicy { name: "security key".to_owned(), ..policy };
    let errors = Rules::compile(&files, &issuers, &[misspelt]).unwrap_err();
    assert!(errors[0].what.contains("no device policy") && errors[0].hint.as_deref().unwrap().contains("security key"));
    refused(&rule_with("device_policy = \"security keys\""), "no device policy");
    let open = rule_with("require = \"none\"") + "device_policy = \"security keys\"\n";
    refused(&open, "`device_policy` where nobody signs");
    refused(
        "[[rule]]\nname = \"n\"\nmatch = { fork = true }\ndeny = \"No.\"\ndevice_policy = \"p\"\n",
        "beside `deny`",
    );
}

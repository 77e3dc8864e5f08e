use std::collections::BTreeMap;

use proptest::collection::{btree_map, btree_set, vec};
use proptest::option;
use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::domain::assurance::policy::Device;
use crate::domain::ids::{Digest, GroupName, IssuerName, RuleName};
use crate::domain::job::samples::{job as sample, now};
use crate::domain::rules::matching::{View, trace_of};
use crate::domain::rules::pattern::Pattern;
use crate::domain::rules::{Allow, Effect, StarterFault, TokenAlg, TokenTerms};

const CLAIMS: &[&str] = &[
    "job_project_id",
    "project_id",
    "job_namespace_id",
    "environment",
    "ref",
    "ref_protected",
    "pipeline_source",
    "groups_direct",
    "user_login",
    "no_such_claim",
];
const VALUES: &[&str] =
    &["1", "2", "a/b", "main", "true", "merge_request_event", "[\"a\",\"b/c\"]", "[not json", "x\u{1b}y"];
const PATTERNS: &[&str] = &["*", "1", "2", "*/*", "m*", "true", "merge_request_event", "a", "b/*", "x*y"];
const AUDIENCES: &[&str] = &["vault", "aws", "gcp"];
const GROUPS: &[&str] = &["sre", "leads"];

fn one_of(list: &'static [&'static str]) -> impl Strategy<Value = String> {
    prop::sample::select(list).prop_map(str::to_owned)
}

fn audience() -> impl Strategy<Value = Audience> {
    one_of(AUDIENCES).prop_map(|text| Audience::parse(&text).unwrap())
}

fn group() -> impl Strategy<Value = GroupName> {
    one_of(GROUPS).prop_map(|text| GroupName::parse(&text).unwrap())
}

fn issuer() -> impl Strategy<Value = IssuerName> {
    prop_oneof![4 => Just("gitlab"), 1 => Just("other")].prop_map(|text| IssuerName::parse(text).unwrap())
}

fn acr() -> impl Strategy<Value = Acr> {
    prop_oneof![Just(Acr::Phr), Just(Acr::Phrh)]
}

fn person() -> impl Strategy<Value = PersonId> {
    (0_u8..5).prop_map(|n| PersonId::from_random([n; 10]))
}

fn terms() -> impl Strategy<Value = ApprovalTerms> {
    (btree_set(group(), 0..3), 0_u32..4, any::<bool>(), 0..=1_u64 << 53).prop_map(|(of, count, not, within)| {
        ApprovalTerms { of, count, not: not.then_some(Excluded::Starter).into_iter().collect(), within }
    })
}

fn effect() -> impl Strategy<Value = Effect> {
    let require = prop_oneof![Just(Require::None), terms().prop_map(Require::Approval)];
    let allow = (vec(audience(), 0..3), require, option::of(acr())).prop_map(|(audience, require, acr)| {
        let token = TokenTerms { lifetime: 600, forward: BTreeSet::new(), alg: TokenAlg::Es256, sub: None };
        Effect::Allow(Box::new(Allow {
            audience,
            require,
            acr,
            device_policy: None,
            token,
            aws: None,
            show_approvers: false,
        }))
    });
    prop_oneof![1 => "[a-z]{1,3}".prop_map(Effect::Deny), 3 => allow]
}

/// Rules that no compiler would make are among these: deciding must be total over them too.
fn rule() -> impl Strategy<Value = Rule> {
    let pattern = one_of(PATTERNS).prop_map(|text| Pattern::parse(&text).unwrap());
    (option::of(issuer()), btree_map(one_of(CLAIMS), pattern, 0..3), option::of(any::<bool>()), effect()).prop_map(
        |(issuer, matches, fork, effect)| Rule {
            name: RuleName::parse("rule").unwrap(),
            issuer,
            matches,
            fork,
            effect,
        },
    )
}

fn rules() -> impl Strategy<Value = Vec<Rule>> {
    vec(rule(), 0..6).prop_map(|mut rules| {
        for (at, rule) in rules.iter_mut().enumerate() {
            rule.name = RuleName::parse(&format!("rule {at}")).unwrap();
        }
        rules
    })
}

fn job() -> impl Strategy<Value = Job> {
    (issuer(), btree_map(one_of(CLAIMS), one_of(VALUES), 0..9)).prop_map(|(issuer, claims)| {
        let mut job = sample(&json!({}));
        (job.issuer, job.claims) = (issuer, claims);
        job
    })
}

fn fault() -> impl Strategy<Value = Option<StarterFault>> {
    option::weighted(0.1, person().prop_map(|identity| StarterFault::Unknown { identity }))
}

fn facts() -> impl Strategy<Value = Facts> {
    let groups: BoxedStrategy<BTreeMap<_, _>> = btree_map(group(), btree_set(person(), 0..5), 0..3).boxed();
    let approver = (person(), 0_u8..5, acr(), any::<i32>(), prop::bool::weighted(0.2));
    let approvals = vec(
        approver.prop_map(|(person, key, acr, at, void)| {
            let at = Timestamp::from_seconds(i64::from(at));
            Approver { person, credential: Digest::of(&[key]), acr, device: Device::default(), at, void }
        }),
        0..7,
    );
    (groups, option::of(person()), fault(), btree_set(person(), 0..3), approvals).prop_map(
        |(groups, starter, starter_fault, proved, approvals)| Facts {
            groups,
            starter,
            starter_fault,
            proved,
            approvals,
        },
    )
}

fn asked() -> impl Strategy<Value = Vec<Audience>> {
    prop_oneof![4 => vec(audience(), 1..2), 1 => vec(audience(), 0..4)]
}

fn outcome(rules: &[Rule], job: &Job, asked: &[Audience], facts: &Facts) -> Outcome {
    decide(&Rules::from_rules(rules.to_vec()).unwrap(), job, asked, facts, now()).outcome
}

/// What follows, without the words.
fn effect_of(outcome: &Outcome) -> Result<(bool, &RuleName, Vec<&Approver>, u32), ErrorCode> {
    match outcome {
        Outcome::Issue { rule, counted } => Ok((true, &rule.name, counted.iter().collect(), 0)),
        Outcome::Ask { rule, signed, needed } => Ok((false, &rule.name, Vec::new(), needed - signed)),
        Outcome::Refuse(refusal) => Err(refusal.code),
    }
}

fn is_deny(rule: &Rule) -> bool {
    matches!(rule.effect, Effect::Deny(_))
}

/// What a yes must rest on, said without the code that says yes.
fn is_earned(rule: &Rule, counted: &[Approver], facts: &Facts) -> bool {
    let Effect::Allow(allow) = &rule.effect else { return false };
    let Require::Approval(terms) = &allow.require else { return counted.is_empty() };
    let people: BTreeSet<_> = counted.iter().map(|one| &one.person).collect();
    let keys: BTreeSet<_> = counted.iter().map(|one| &one.credential).collect();
    let may = |one: &Approver| {
        terms.of.iter().any(|group| facts.groups.get(group).is_some_and(|members| members.contains(&one.person)))
    };
    let excluded = |one: &Approver| {
        terms.not.contains(&Excluded::Starter)
            && (facts.starter_fault.is_some()
                || facts.starter.as_ref().is_none_or(|starter| *starter == one.person)
                || facts.proved.contains(&one.person))
    };
    people.len() == counted.len()
        && keys.len() == counted.len()
        && u32::try_from(counted.len()).unwrap() >= terms.count.max(1)
        && counted.iter().all(|one| {
            facts.approvals.contains(one)
                && !one.void
                && may(one)
                && !excluded(one)
                && one.acr >= allow.acr.unwrap_or(Acr::Phr)
        })
}

/// The rules in the order that these numbers give them.
fn shuffled(rules: &[Rule], order: &[u8]) -> Vec<Rule> {
    let mut numbered: Vec<_> = rules.iter().enumerate().collect();
    numbered.sort_by_key(|(at, _)| (order.get(*at).copied(), *at));
    numbered.into_iter().map(|(_, rule)| rule.clone()).collect()
}

/// What a person proves alone takes away that person's own signature, where the starter may not sign, and nothing else.
fn only_excludes(
    rules: &[Rule],
    job: &Job,
    asked: &[Audience],
    facts: &Facts,
    person: &PersonId,
) -> Result<(), TestCaseError> {
    let mut before = facts.clone();
    before.proved.remove(person);
    let mut after = before.clone();
    after.proved.insert(person.clone());
    let (before, after) = (outcome(rules, job, asked, &before), outcome(rules, job, asked, &after));
    match (&before, &after) {
        // What is refused stays refused, for the same reason: a starter whom nobody else knows stays unknown.
        (Outcome::Refuse(was), Outcome::Refuse(is)) => prop_assert_eq!(was.code, is.code),
        (Outcome::Ask { signed, needed, .. }, Outcome::Ask { signed: left, needed: still, .. }) => {
            prop_assert!(left <= signed && still == needed);
        }
        (Outcome::Issue { counted, .. }, Outcome::Issue { counted: left, .. }) => {
            // Nobody counts who did not before, but for somebody with the very key of whoever is excluded now.
            let shares = |one: &Approver| {
                facts.approvals.iter().any(|two| two.person == *person && two.credential == one.credential)
            };
            prop_assert!(left.iter().all(|one| counted.contains(one) || shares(one)));
        }
        (Outcome::Issue { .. }, Outcome::Ask { .. }) => {}
        (before, after) => prop_assert!(false, "{before:?} {after:?}"),
    }
    let Outcome::Issue { rule, counted } = &after else { return Ok(()) };
    let terms = rule.allow().map(|allow| &allow.require);
    if matches!(terms, Some(Require::Approval(terms)) if terms.not.contains(&Excluded::Starter)) {
        prop_assert!(counted.iter().all(|one| one.person != *person), "{counted:?}");
    } else {
        prop_assert_eq!(&before, &after, "a rule that does not ask who started the job");
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]

    #[test]
    fn a_rule_asked_in_numbers_answers_as_in_words(rules in rules(), job in job()) {
        let rules = Rules::from_rules(rules).unwrap();
        let view = View::of(&job);
        let numbered = rules.steps().numbered(&view);
        for (at, rule) in rules.iter().enumerate() {
            let mut words = trace_of(rule, &view, &[]).checks;
            words.retain(|check| check.subject != "audience");
            let fits = words.iter().all(|check| check.passed);
            prop_assert_eq!(rules.steps().ask(at, &numbered), (fits, words.len()), "{}", rule.name);
        }
    }

    #[test]
    fn deciding_is_total_and_repeatable_and_every_yes_is_earned(
        rules in rules(), job in job(), asked in asked(), facts in facts(), late in prop::bool::weighted(0.1)
    ) {
        let compiled = Rules::from_rules(rules).unwrap();
        let now = if late { job.expires_at } else { now() };
        let verdict = decide(&compiled, &job, &asked, &facts, now);
        prop_assert_eq!(&verdict, &decide(&compiled, &job, &asked, &facts, now));
        // The short way passes over rules for other projects; the trace looks at every one.
        let trace = compiled.trace(&job, &asked);
        let fits = trace.rules.iter().find(|rule| rule.checks.iter().all(|check| check.passed)).map(|rule| &rule.rule);
        let fell_under = compiled.matching(&job, &asked).0;
        let named = fell_under.as_ref().map_or_else(
            |refusal| refusal.rule.as_ref().filter(|_| refusal.code == ErrorCode::DeniedByRule),
            |rule| Some(&rule.name),
        );
        prop_assert_eq!(fits, named);
        prop_assert_eq!(compiled.allowing(&job, &asked), fell_under.as_ref().ok());
        if let Outcome::Issue { rule, counted } = &verdict.outcome {
            prop_assert!(!late && is_earned(rule, counted, &facts), "{rule:?} {counted:?}");
            prop_assert!(!asked.is_empty() && asked.iter().all(|one| rule.allow().unwrap().audience.contains(one)));
        }
    }

    #[test]
    fn a_deny_rule_anywhere_only_ever_refuses(
        rules in rules(), deny in rule(), at: prop::sample::Index, job in job(), asked in asked(), facts in facts()
    ) {
        let before = outcome(&rules, &job, &asked, &facts);
        let mut more = rules.clone();
        let deny = Rule { name: RuleName::parse("no").unwrap(), effect: Effect::Deny("No.".to_owned()), ..deny };
        more.insert(at.index(rules.len() + 1), deny);
        let after = outcome(&more, &job, &asked, &facts);
        let denied = effect_of(&after) == Err(ErrorCode::DeniedByRule);
        prop_assert!(denied || effect_of(&after) == effect_of(&before), "{before:?} {after:?}");
    }

    #[test]
    fn where_deny_rules_stand_changes_nothing(
        rules in rules(), order in vec(any::<u8>(), 6), job in job(), asked in asked(), facts in facts()
    ) {
        let (deny, allow): (Vec<_>, Vec<_>) = rules.iter().cloned().partition(is_deny);
        let apart = [allow, shuffled(&deny, &order)].concat();
        let (one, other) = (outcome(&rules, &job, &asked, &facts), outcome(&apart, &job, &asked, &facts));
        prop_assert_eq!(effect_of(&one), effect_of(&other));
    }

    #[test]
    fn the_order_of_allowing_rules_matters_only_where_two_fit(
        rules in rules(), order in vec(any::<u8>(), 6), job in job(), asked in asked(), facts in facts()
    ) {
        let fits = |rule: &Rule| {
            let alone = Rules::from_rules(vec![rule.clone()]).unwrap();
            !is_deny(rule) && alone.matching(&job, &asked).0.is_ok()
        };
        let other = shuffled(&rules, &order);
        if rules.iter().filter(|rule| fits(rule)).count() < 2 {
            let (one, other) = (outcome(&rules, &job, &asked, &facts), outcome(&other, &job, &asked, &facts));
            prop_assert_eq!(effect_of(&one), effect_of(&other));
        }
    }

    #[test]
    fn the_order_of_audiences_and_their_repetition_change_nothing(
        rules in rules(), job in job(), asked in vec(audience(), 1..4), facts in facts()
    ) {
        let backwards: Vec<_> = asked.iter().rev().chain(&asked).cloned().collect();
        let (one, other) = (outcome(&rules, &job, &asked, &facts), outcome(&rules, &job, &backwards, &facts));
        prop_assert_eq!(effect_of(&one), effect_of(&other));
    }

    #[test]
    fn less_never_grants(
        rules in rules(), job in job(), asked in asked(), facts in facts(), gone in 0_u8..5, what in 0_u8..3
    ) {
        let mut less = facts.clone();
        let person = PersonId::from_random([gone; 10]);
        match what {
            0 => less.groups.values_mut().for_each(|members| members.retain(|one| *one != person)),
            1 => less.approvals.iter_mut().for_each(|one| one.void |= one.person == person),
            _ => less.approvals.retain(|one| one.person != person),
        }
        let issues = |facts: &Facts| matches!(outcome(&rules, &job, &asked, facts), Outcome::Issue { .. });
        // One key in two people's hands counts for whoever signed first; without him it counts for the other.
        let shared = facts.approvals.iter().any(|one| {
            one.person == person && facts.approvals.iter().any(|two| two.person != person && two.credential == one.credential)
        });
        prop_assert!(shared || !issues(&less) || issues(&facts));
    }

    #[test]
    fn attack_024_what_a_person_proves_alone_only_ever_excludes_them(
        rules in rules(), job in job(), asked in asked(), facts in facts(), who in 0_u8..5
    ) {
        only_excludes(&rules, &job, &asked, &facts, &PersonId::from_random([who; 10]))?;
    }

    #[test]
    fn attack_024_whoever_proved_the_user_counts_nowhere_that_the_starter_may_not(
        terms in terms(), facts in facts(), who in 0_u8..5
    ) {
        let (job, asked) = (sample(&json!({})), [Audience::parse("vault").unwrap()]);
        let allow = Allow {
            audience: asked.to_vec(),
            require: Require::Approval(terms),
            acr: None,
            device_policy: None,
            token: TokenTerms { lifetime: 600, forward: BTreeSet::new(), alg: TokenAlg::Es256, sub: None },
            aws: None,
            show_approvers: false,
        };
        let rule = Rule {
            name: RuleName::parse("rule").unwrap(),
            issuer: Some(job.issuer.clone()),
            matches: BTreeMap::new(),
            fork: None,
            effect: Effect::Allow(Box::new(allow)),
        };
        only_excludes(&[rule], &job, &asked, &facts, &PersonId::from_random([who; 10]))?;
    }
}

//! Deciding over as many rules as load, in its worst cases.
//! In: nothing. Out: rules, a job, and the median time of a verdict.
//! Implements nothing: it calls what the server calls.
//! Never a case whose verdict was not looked at.

use std::collections::BTreeSet;
use std::hint::black_box;
use std::time::{Duration, Instant};

use countersign::cli::demo::gitlab::SimulatedJob;
use countersign::clock::Clock;
use countersign::crypto::jwk::KeySet;
use countersign::crypto::jwt::UnverifiedToken;
use countersign::crypto::signing::SigningKey;
use countersign::domain::ids::{Audience, IssuerName};
use countersign::domain::job::Job;
use countersign::domain::job::gitlab::{IssuerTerms, parse};
use countersign::domain::rules::compile::Rules;
use countersign::domain::rules::decide::decide;
use countersign::domain::rules::{Facts, MAX_RULES, Outcome, TokenAlg};
use countersign::domain::time::Timestamp;
use serde_json::{Value, json};

use super::tokens::GITLAB;
use super::world::{RS256, URL};

/// Rules in one file, so that it stays below its limit.
const IN_ONE_FILE: usize = 2_000;
/// Verdicts whose median counts.
const VERDICTS: usize = 101;

/// The present.
pub fn now() -> Timestamp {
    Clock::system().now()
}

/// The issuer's short name.
pub fn issuer() -> IssuerName {
    IssuerName::parse("gitlab").unwrap()
}

/// What the configuration says of the issuer.
pub fn terms() -> IssuerTerms {
    IssuerTerms {
        name: issuer(),
        url: GITLAB.to_owned(),
        our_url: URL.to_owned(),
        legacy: BTreeSet::new(),
        identity_provider: None,
        projects: None,
        namespaces: None,
    }
}

/// An issuer's key, its key set, and a job token of a deploy.
pub fn job_token() -> (KeySet, String) {
    let key = SigningKey::generate(TokenAlg::Rs256, 2048).unwrap();
    let (keys, _) = KeySet::parse(json!({ "keys": [key.public_jwk()] }).to_string().as_bytes()).unwrap();
    let job = SimulatedJob::deploy(GITLAB, URL, 1, now());
    (keys, key.sign(Value::Object(job.claims).to_string().as_bytes()).unwrap())
}

/// As the server takes a job token in.
pub fn take_in(keys: &KeySet, token: &str, terms: &IssuerTerms, now: Timestamp) -> Job {
    parse(&UnverifiedToken::parse(token).unwrap().verify(keys).unwrap(), terms, now).unwrap()
}

/// A verified deploy job.
pub fn job() -> Job {
    let (keys, token) = job_token();
    take_in(&keys, &token, &terms(), now())
}

/// The audience asked for.
pub fn aws() -> Audience {
    Audience::parse(RS256).unwrap()
}

/// As many rules as load. `place` says for which project the nth rule is; all are for an environment of their own but the
/// last, where `fits`.
fn rules(place: impl Fn(usize) -> usize, fits: bool) -> Rules {
    let one = |n: usize| {
        let environment = if fits && n + 1 == MAX_RULES { "production".to_owned() } else { format!("env-{n}") };
        format!(
            "[[rule]]\nname = \"rule {n}\"\nmatch = {{ issuer = \"gitlab\", job_project_id = \"{}\", \
             environment = \"{environment}\", ref_protected = \"true\" }}\naudience = [\"{RS256}\"]\nrequire = \"none\"\n",
            place(n)
        )
    };
    let all: Vec<_> = (0..MAX_RULES).map(one).collect();
    let files: Vec<_> =
        all.chunks(IN_ONE_FILE).enumerate().map(|(n, part)| (format!("{n}.toml"), part.concat())).collect();
    Rules::compile(&files, &[issuer()], &[]).unwrap().rules
}

/// Either every rule but the last is for another project, or all are for the job's own and fall at a later condition.
pub fn cases() -> Vec<(&'static str, Rules)> {
    let own = |_| 4_711;
    let other = |n| 100_000 + n;
    let last_own = |n| if n + 1 == MAX_RULES { 4_711 } else { 100_000 + n };
    let cases = [
        ("the last fits, the others are for other projects", rules(last_own, true), true),
        ("none fits, all for other projects", rules(other, false), false),
        ("the last fits, all for this project", rules(own, true), true),
        ("none fits, all for this project", rules(own, false), false),
    ];
    let job = job();
    for (name, rules, issues) in &cases {
        let verdict = decide(rules, &job, &[aws()], &Facts::default(), now());
        assert_eq!(matches!(verdict.outcome, Outcome::Issue { .. }), *issues, "{name}");
    }
    cases.into_iter().map(|(name, rules, _)| (name, rules)).collect()
}

/// The median time of a verdict in each case.
pub fn measure() -> Vec<(&'static str, Duration)> {
    let (job, asked, facts) = (job(), [aws()], Facts::default());
    let median = |rules: &Rules| {
        let mut times: Vec<_> = (0..VERDICTS)
            .map(|_| {
                let start = Instant::now();
                black_box(decide(black_box(rules), &job, &asked, &facts, now()));
                start.elapsed()
            })
            .collect();
        times.sort_unstable();
        times[VERDICTS / 2]
    };
    cases().iter().map(|(name, rules)| (*name, median(rules))).collect()
}

//! What each step of an exchange and of an approval costs by itself: `cargo bench`.
//! In: rules, tokens and passkeys made here. Out: criterion's estimates.
//! Implements nothing; the load client (`benches/load`) measures the whole.
//! Never a step that the server does not take just so.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stderr,
    clippy::disallowed_methods,
    dead_code,
    reason = "a tool that measures, with the load client's state and tokens"
)]

#[path = "client/deciding.rs"]
mod deciding;
#[path = "client/tokens.rs"]
mod tokens;
#[path = "client/wire.rs"]
mod wire;
#[path = "client/world.rs"]
mod world;

use std::hint::black_box;
use std::path::Path;
use std::time::Duration;

use countersign::app::ask::job_record;
use countersign::app::start::start;
use countersign::cli::demo::authenticator::SoftAuthenticator;
use countersign::cli::open;
use countersign::clock::Clock;
use countersign::crypto::random;
use countersign::crypto::signing::SigningKey;
use countersign::domain::canonical::{self, Bytes};
use countersign::domain::ids::{Code, Digest, RequestId};
use countersign::domain::job::Job;
use countersign::domain::log::entry::{Event, JobFields};
use countersign::domain::oauth::error_code::ErrorCode;
use countersign::domain::request::{Request, RuleRef};
use countersign::domain::rules::compile::Rules;
use countersign::domain::rules::decide::decide;
use countersign::domain::rules::{Facts, MAX_RULES, Rule, TokenAlg};
use countersign::domain::statement::{Approval, Choice, Statement, challenge};
use countersign::domain::token::claims;
use countersign::passkeys::assertion::{self, StoredCredential};
use countersign::passkeys::{RelyingParty, registration};
use countersign::store::StoreError;
use criterion::{Criterion, criterion_group, criterion_main};

use deciding::{aws, cases, issuer, job, job_token, now, take_in, terms};
use world::{RS256, URL, World, block_on};

/// Entries of one large unit of the writer.
const GROUP: usize = 256;
fn over_rules(c: &mut Criterion) {
    let (job, asked, facts) = (job(), [aws()], Facts::default());
    let mut group = c.benchmark_group(format!("decide over {MAX_RULES} rules"));
    for (name, rules) in &cases() {
        group.bench_function(*name, |b| b.iter(|| decide(black_box(rules), &job, &asked, &facts, now())));
    }
    group.finish();
}

fn one_rule() -> Rule {
    let text = format!(
        "[[rule]]\nname = \"deploy\"\nmatch = {{ job_project_id = \"4711\", environment = \"production\" }}\n\
         audience = [\"{RS256}\"]\nrequire = \"none\"\ntoken = {{ forward = [\"pipeline_id\", \"job_id\", \"sha\"] }}\n"
    );
    let loaded = Rules::compile(&[("rules.toml".to_owned(), text)], &[issuer()], &[]).unwrap();
    let rule = loaded.rules.iter().next().unwrap();
    Rule::clone(rule)
}

fn exchange(c: &mut Criterion) {
    let (keys, token) = job_token();
    let terms = terms();
    c.bench_function("job token: parse, verify RS256-2048, read every claim", |b| {
        b.iter(|| take_in(&keys, black_box(&token), &terms, now()));
    });

    let (job, rule, aws) = (job(), one_rule(), aws());
    let build = || {
        let access = claims::access(&job, &rule, &aws).unwrap();
        let issue = claims::Issue {
            jkt: None,
            our_issuer: URL,
            job: &job,
            rule: &rule,
            access: &access,
            jti: "hTOzxB9idGbn-5Evcz9IYw",
            now: now(),
            approval: None,
        };
        canonical::to_bytes(&claims::build(&issue).unwrap()).unwrap()
    };
    c.bench_function("claims: build, canonical bytes", |b| b.iter(build));

    let made = build();
    for alg in [TokenAlg::Rs256, TokenAlg::Es256] {
        let key = SigningKey::generate(alg, 2048).unwrap();
        c.bench_function(&format!("token: sign {}", alg.as_str()), |b| b.iter(|| key.sign(black_box(&made)).unwrap()));
    }
}

fn refusal(job: &Job) -> Event {
    Event::Refusal {
        outcome: ErrorCode::NoRuleMatches,
        job: JobFields {
            issuer: job.issuer.clone(),
            job_project_id: job.job_project_id().to_owned(),
            pipeline_id: job.pipeline_id().to_owned(),
            job_id: job.job_id().to_owned(),
        },
        person: None,
        request: None,
        audiences: Vec::new(),
        issuer_keys: None,
        suppressed: None,
        evidence: std::collections::BTreeMap::new(),
    }
}

fn appending(c: &mut Criterion) {
    let under = Path::new(env!("CARGO_TARGET_TMPDIR")).join("micro");
    std::fs::create_dir_all(&under).unwrap();
    let world = World::found(&under, "{\"keys\":[]}");
    let app = block_on(start(open::parts(&world.settings(), Clock::system()).unwrap(), None)).unwrap();
    let event = refusal(&job());
    let append = |count: usize| {
        let event = event.clone();
        app.store
            .write_blocking(move |unit| -> Result<(), StoreError> {
                for _ in 0..count {
                    unit.append(event.clone())?;
                }
                Ok(())
            })
            .unwrap();
    };
    c.bench_function("log: append one entry, durable, with checkpoint and mark", |b| b.iter(|| append(1)));
    c.bench_function(&format!("log: append {GROUP} entries in one commit"), |b| b.iter(|| append(GROUP)));
    app.store.close();
}

fn request(job: &Job, rule: &Rule) -> Request {
    let at = now();
    Request {
        id: RequestId::from_random(random::bytes().unwrap()),
        issuer: URL.to_owned(),
        code: Code::from_random(random::bytes().unwrap()),
        collector: Digest::of(b"collector"),
        decide_by: at + Duration::from_mins(15),
        use_by: at + Duration::from_mins(20),
        job: job_record(job, rule),
        access: vec![claims::access(job, rule, &aws()).unwrap()],
        rule: RuleRef { name: rule.name.clone(), sha256: rule.digest().unwrap() },
    }
}

fn approval(c: &mut Criterion) {
    let request = request(&job(), &one_rule());
    let statement = || {
        let approval = Approval {
            decision: Choice::Approve,
            nonce: Bytes(random::bytes::<32>().unwrap().to_vec()),
            at: now(),
            request: request.clone(),
            reason: None,
        };
        let bytes = Statement::Approval(approval).to_bytes().unwrap();
        (challenge(&bytes), bytes)
    };
    c.bench_function("statement: make, canonical bytes, challenge", |b| b.iter(statement));

    let rp = RelyingParty::new("localhost", URL, "Countersign").unwrap();
    let mut authenticator = SoftAuthenticator::new(URL, Box::new(|bytes| random::fill(bytes).unwrap()));
    // As synced passkeys do, so that one answer can be verified again and again.
    authenticator.behaviour.counter_step = 0;
    let (handle, first) = ([7; 16], Digest::of(b"register"));
    let options = registration::options(&rp, &handle, "ada", "Ada", &[], first).unwrap();
    let registered = registration::finish(&rp, first, &authenticator.create(&options).unwrap()).unwrap();
    let stored = StoredCredential {
        credential: &registered.credential,
        credential_id: &registered.credential_id,
        user_handle: &handle,
    };
    let (challenge, _) = statement();
    let answer = authenticator.get(&assertion::options(&rp, challenge, &[])).unwrap();
    c.bench_function("assertion: verify ES256", |b| {
        b.iter(|| assertion::verify(&rp, challenge, &stored, black_box(&answer)).unwrap());
    });
}

criterion_group! {
    name = steps;
    config = Criterion::default().warm_up_time(Duration::from_millis(500)).measurement_time(Duration::from_secs(2)).sample_size(30);
    targets = over_rules, exchange, appending, approval
}
criterion_main!(steps);

//! Verifies a bundle, step by step, trusting the pinned log key alone.
//! In: a bundle, the key, and a checker of signatures. Out: a `Report` whose every step has a name.
//! Implements DESIGN §7 and the order of checks of facts about mixed bundles: every part must be named by another.
//! Never takes trust from the bundle, and never counts a missing part as checked.

use std::collections::BTreeMap;

use crate::domain::job::Job;
use crate::domain::log::checkpoint::Checkpoint;
use crate::domain::log::entry::Entry;
use crate::domain::log::note::VerifierKey;
use crate::domain::request::Request;

use super::Bundle;
use super::case::Case;
use super::report::Report;
use super::ruling::facts;
use super::signatures::Signatures;
use super::signer::Signer;
use super::steps::Steps;
use super::{proof, roles};

/// Verifies a bundle under a pinned key. The first step that fails ends the verification.
pub fn verify(bundle: &[u8], key: &VerifierKey, signatures: &dyn Signatures) -> Report {
    let mut steps = Steps { report: Report::default() };
    let _ = all(bundle, key, signatures, &mut steps);
    steps.report
}

fn all(bytes: &[u8], key: &VerifierKey, signatures: &dyn Signatures, steps: &mut Steps) -> Option<()> {
    let form = Bundle::parse(bytes).map(|bundle| (bundle, "countersign/bundle/v1".to_owned()));
    let bundle = steps.run("format", form.map_err(|error| error.to_string()))?;
    let checkpoint = proof::checkpoint(&bundle, key, signatures);
    let checkpoint = steps.run(
        "checkpoint",
        checkpoint.map(|tree| {
            let text = format!("size {}, signed by your pinned key", tree.size);
            (tree, text)
        }),
    )?;
    let entries = proof::inclusion(&bundle, &checkpoint).map(|entries| {
        let list: Vec<_> = entries.keys().map(ToString::to_string).collect();
        let newest = entries.last_key_value().map(|(_, entry)| format!(", the newest of {}", entry.time));
        (entries, format!("entries {}{}", list.join(", "), newest.unwrap_or_default()))
    });
    let entries = steps.run("inclusion", entries)?;
    let documents = proof::documents(&bundle, &entries);
    steps.run("documents", documents.map(|()| ((), format!("{} documents as logged", bundle.evidence.len()))))?;
    Verification { bundle: &bundle, entries: &entries, checkpoint: &checkpoint, signatures, steps }.walk()
}

struct Verification<'a> {
    bundle: &'a Bundle,
    entries: &'a BTreeMap<u64, Entry>,
    checkpoint: &'a Checkpoint,
    signatures: &'a dyn Signatures,
    steps: &'a mut Steps,
}

impl Verification<'_> {
    fn walk(self) -> Option<()> {
        let Self { bundle, entries, checkpoint, signatures, steps } = self;
        let roles = roles::assign(entries, checkpoint.size).and_then(|roles| {
            let same = roles.genesis.origin == checkpoint.origin;
            if same { Ok(roles) } else { Err("the log's first entry names another origin".to_owned()) }
        });
        let roles = steps.run("parts", roles.map(|roles| (roles, "each entry is named by another".to_owned())))?;
        let case = Case { bundle, roles: &roles, signatures };
        let order = case.times();
        steps.run("times", order.map(|text| ((), text)))?;
        let mut request = None;
        let mut signers = Vec::new();
        if let Some(part) = &roles.asked {
            let read = case.request(part);
            let made = steps.run("request", read.map(|made| (made, "as the log recorded it".to_owned())))?;
            for decision in &roles.decisions {
                signers.push(case.signer(&made, decision, steps)?);
            }
            request = Some(made);
        }
        let job = case.job_token(request.as_ref(), steps)?.job;
        let rule = case.rule(request.as_ref());
        let rule = steps.run(
            "rule text",
            rule.map(|rule| {
                let text = format!("\"{}\"", rule.name);
                (rule, text)
            }),
        )?;
        let starter = steps.run("starter", case.starter(request.as_ref(), &rule))?;
        let facts = facts(&rule, &signers, starter);
        if let Some(job) = &job {
            let counted = steps.run("rule", case.decides(&rule, job, request.as_ref(), &facts))?;
            let claims = case.claims(&rule, job, request.as_ref(), &counted, &signers);
            steps.run("claims", claims.map(|text| ((), text)))?;
        } else {
            steps.skip("rule", "nothing but the withheld job token says what the job was");
            steps.run("claims", case.claims_as_logged().map(|_| ((), "as logged".to_owned())))?;
        }
        let key = case.signing_key();
        steps.run("signing key", key.map(|text| ((), text)))?;
        let used = case.everything_used();
        steps.run("completeness", used.map(|text| ((), text)))?;
        case.conclude(request.as_ref(), job.as_ref(), &signers, steps);
        Some(())
    }
}

impl Case<'_> {
    fn conclude(&self, request: Option<&Request>, job: Option<&Job>, signers: &[Signer], steps: &mut Steps) {
        let token = self.roles.token.seq;
        let job_id = self.roles.token_part().map(|part| part.job.job_id.clone()).unwrap_or_default();
        let place = [
            job.and_then(|job| job.claim("sha"))
                .map(|sha| format!("commit {}", sha.chars().take(7).collect::<String>())),
            job.and_then(|job| job.claim("environment")).map(str::to_owned),
            self.roles.token_part().ok().map(|part| part.audience.to_string()),
        ];
        let place: Vec<_> = place.into_iter().flatten().collect();
        let demo = if self.roles.genesis.demo { " This is a demo's log." } else { "" };
        let keys = if signers.len() == 1 { "this key" } else { "these keys" };
        steps.report.proven = Some(if request.is_some() {
            let first = self.roles.decisions.first().map_or(token, |decision| decision.index);
            let enrolled: Vec<_> = self.roles.decisions.iter().map(|d| d.passkey.time.day_month()).collect();
            format!(
                "{keys}, enrolled {}, signed \"approve\" for job {}, {}, in entry {first}, before entry {token}.{demo}",
                enrolled.join(" and "),
                job_id,
                place.join(", ")
            )
        } else {
            format!(
                "rule and job token gave this token to job {}, {}, in entry {token}; nobody was asked.{demo}",
                job_id,
                place.join(", ")
            )
        });
        steps.report.not_proven = Some(if signers.is_empty() {
            "time (nothing outside this log bounds it).".to_owned()
        } else if signers.iter().all(Signer::is_proven) {
            "that the certificate of the key's maker was listed for its model (the log's word); time (nothing outside \
             this log bounds it)."
                .to_owned()
        } else {
            "the key's model (claimed, not attested); time (nothing outside this log bounds it).".to_owned()
        });
    }
}

//! The rehearsal: whether a token can be made of a job, before people are asked for it.
//! In: a job, its rule, what it asks for. Out: nothing, or the refusal that would meet it after everybody signed.
//! Implements DESIGN §6 (templates name only claims that exist; a missing one refuses).
//! Never issues: the people in it are stand-ins, and what it builds is thrown away.

use super::claims::{self, ApprovalClaims, Issue, SignedBy};
use crate::domain::assurance::Assurance;
use crate::domain::ids::{Digest, PersonId, RequestId};
use crate::domain::job::Job;
use crate::domain::request::Access;
use crate::domain::rules::{Refusal, Require, Rule};

/// Builds the claims as if as many people had signed as the rule demands.
///
/// # Errors
/// As `claims::build`.
pub fn rehearse(our_issuer: &str, job: &Job, rule: &Rule, access: &Access) -> Result<(), Refusal> {
    let id = RequestId::from_random([0; 16]);
    let approval =
        stand_ins(job, rule).map(|by| ApprovalClaims { id: &id, request_sha256: Digest::of(b"rehearsal"), by });
    let issue = Issue { our_issuer, job, rule, access, jti: "rehearsal", jkt: None, now: job.issued_at, approval };
    claims::build(&issue).map(drop)
}

fn stand_ins(job: &Job, rule: &Rule) -> Option<Vec<SignedBy>> {
    let allow = rule.allow()?;
    let Require::Approval(terms) = &allow.require else { return None };
    let people = (0..=u8::MAX).take(usize::try_from(terms.count).unwrap_or(usize::MAX));
    let acr = allow.acr?;
    let signed = people.map(|n| SignedBy {
        person: PersonId::from_random([n; 10]),
        assurance: Assurance {
            amr: std::collections::BTreeSet::new(),
            acr,
            auth_time: job.issued_at,
            amr_missing: std::collections::BTreeMap::new(),
        },
        credential: Digest::of(&[n]),
        statement: Digest::of(&[n]),
    });
    Some(signed.collect())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::domain::job::samples::{US, job};
    use crate::domain::oauth::error_code::ErrorCode;
    use crate::domain::rules::samples::{DEPLOY, audience, rules};

    fn rehearsed(rule: &str, claims: &serde_json::Value) -> Result<(), Refusal> {
        let rules = rules(rule);
        let rule = rules.iter().find(|rule| rule.allow().is_some()).unwrap();
        let job = job(claims);
        let access = claims::access(&job, rule, &audience("sts.amazonaws.com")).unwrap();
        rehearse(US, &job, rule, &access)
    }

    #[test]
    fn what_could_not_be_issued_is_refused_before_anybody_signs() {
        assert_eq!(rehearsed(DEPLOY, &json!({})), Ok(()));
        let two = DEPLOY.replace("count = 1", "count = 2");
        assert_eq!(rehearsed(&two, &json!({})), Ok(()));
        let named = DEPLOY.replace("\"{approver}\"", "\"{approver},{deployment_tier}\"");
        assert_eq!(rehearsed(&named, &json!({})), Ok(()));
        for (rule, claims, word) in [
            (&named, json!({ "deployment_tier": null }), "deployment_tier"),
            (&named, json!({ "deployment_tier": "x".repeat(60) }), "source identity"),
            (&DEPLOY.to_owned(), json!({ "sha": null }), "sha"),
            (
                &DEPLOY.replace("\"sha\"]", "\"sha\", \"ref\"]").replace("[\"gitlab_job_id\"", "[\"gitlab_ref\""),
                json!({ "ref": "x".repeat(300) }),
                "gitlab_ref",
            ),
        ] {
            let refusal = rehearsed(rule, &claims).unwrap_err();
            assert_eq!(refusal.code, ErrorCode::RuleNotEvaluable, "{word}");
            assert!(refusal.description.contains(word), "{}", refusal.description);
        }
    }
}

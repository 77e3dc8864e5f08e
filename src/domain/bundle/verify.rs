//! Verifies a bundle, step by step, trusting the pinned log key alone.
//! In: a bundle, the key, and a checker of signatures. Out: a `Report` whose every step has a name.
//! Implements DESIGN §7 and the order of checks of facts about mixed bundles: every part must be named by another.
//! Never takes trust from the bundle, and never counts a missing part as checked.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::domain::assurance::{AuthenticatorFacts, assess};
use crate::domain::canonical::{self, Bytes};
use crate::domain::ids::{Digest, GroupName, IssuerName, Kid, PersonId};
use crate::domain::job::{Job, JobTokenKind};
use crate::domain::log::checkpoint::Checkpoint;
use crate::domain::log::entry::{Entry, EvidenceDigests};
use crate::domain::log::note::VerifierKey;
use crate::domain::request::{Access, Request};
use crate::domain::rules::compile::Rules;
use crate::domain::rules::{Approver, Effect, Facts, Outcome, Require, Rule};
use crate::domain::statement::{Choice, Statement, challenge};
use crate::domain::time::{LEEWAY, SECOND_PASSKEY, Timestamp};
use crate::domain::token::claims::{self, ApprovalClaims, Issue, SignedBy};
use crate::domain::verified::{RawClaims, Verified};

use super::proof;
use super::report::{Report, Step, StepOutcome};
use super::roles::{self, AskedPart, DecisionPart, Roles, TokenPart};
use super::{Bundle, Document};

/// What a browser answered to an approval.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AssertionEvidence {
    /// WebAuthn L3 §6.1.
    pub authenticator_data: Bytes,
    /// WebAuthn L3 §5.8.1.
    pub client_data_json: Bytes,
    /// The credential's id.
    pub credential_id: Bytes,
    /// The signature.
    pub signature: Bytes,
}

/// What a browser answered to a registration.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RegistrationEvidence {
    /// WebAuthn L3 §6.5.
    pub attestation_object: Bytes,
    /// WebAuthn L3 §5.8.1.
    pub client_data_json: Bytes,
    /// What the browser says of transports; unsigned.
    pub transports: Vec<String>,
}

/// A passkey as its registration shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RegisteredKey {
    /// COSE bytes.
    pub public_key: Vec<u8>,
    /// Their SHA-256.
    pub sha256: Digest,
    /// The credential's id.
    pub credential_id: Vec<u8>,
    /// What the authenticator said.
    pub facts: AuthenticatorFacts,
}

/// Where a ceremony took place.
#[derive(Debug, Clone, Copy)]
pub struct Place<'a> {
    /// The WebAuthn RP id.
    pub rp_id: &'a str,
    /// The exact origin.
    pub origin: &'a str,
}

/// Checks signatures; the floor above brings the libraries.
pub trait Signatures {
    /// Ed25519 over a note's text.
    fn note(&self, public_key: &[u8; 32], message: &[u8], signature: &[u8]) -> bool;
    /// A job token under a set of keys.
    ///
    /// # Errors
    /// What is wrong, as a sentence.
    fn job_token(&self, token: &str, jwks: &[u8]) -> Result<Verified<RawClaims>, String>;
    /// An assertion: type, challenge, origin, RP id, UP, UV, signature.
    ///
    /// # Errors
    /// What is wrong, as a sentence.
    fn assertion(
        &self,
        place: Place<'_>,
        challenge: Digest,
        public_key: &[u8],
        answer: &AssertionEvidence,
    ) -> Result<AuthenticatorFacts, String>;
    /// A registration: type, challenge, origin, RP id, UP, UV.
    ///
    /// # Errors
    /// What is wrong, as a sentence.
    fn registration(
        &self,
        place: Place<'_>,
        challenge: Digest,
        answer: &RegistrationEvidence,
    ) -> Result<RegisteredKey, String>;
    /// RFC 7638 thumbprint of a public JWK.
    fn thumbprint(&self, jwk: &Value) -> Option<Kid>;
}

/// The evidence of an issuer's keys.
#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct IssuerKeysDocument {
    issuer: String,
    name: IssuerName,
    jwks: Value,
}

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct LinkDocument {
    by: String,
    issuer: IssuerName,
    person: PersonId,
    user_id: String,
}

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct MembershipDocument {
    act: String,
    by: String,
    groups: Vec<GroupName>,
    person: PersonId,
}

/// A signature that was checked.
struct Signer {
    person: PersonId,
    key: RegisteredKey,
    facts: AuthenticatorFacts,
    at: Timestamp,
    statement: Digest,
    groups: Vec<GroupName>,
}

struct Steps {
    report: Report,
}

impl Steps {
    fn ok(&mut self, name: &'static str, text: impl Into<String>) {
        self.report.steps.push(Step { name, outcome: StepOutcome::Ok, text: text.into() });
    }

    fn run<T>(&mut self, name: &'static str, result: Result<(T, String), String>) -> Option<T> {
        match result {
            Ok((value, text)) => {
                self.ok(name, text);
                Some(value)
            }
            Err(text) => {
                self.report.steps.push(Step { name, outcome: StepOutcome::Failed, text });
                None
            }
        }
    }

    fn skip(&mut self, name: &'static str, text: impl Into<String>) {
        self.report.steps.push(Step { name, outcome: StepOutcome::NotChecked, text: text.into() });
    }
}

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
        (entries, format!("entries {}", list.join(", ")))
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
        let job = case.job_token(request.as_ref(), steps)?;
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

/// What the steps share.
struct Case<'a> {
    bundle: &'a Bundle,
    roles: &'a Roles<'a>,
    signatures: &'a dyn Signatures,
}

impl Case<'_> {
    fn document(&self, evidence: &EvidenceDigests, name: &str) -> Result<&Document, String> {
        let digest = evidence.get(name).ok_or_else(|| format!("the entry names no `{name}`"))?;
        self.bundle.evidence.get(digest).ok_or_else(|| format!("`{name}` ({digest}) is missing"))
    }

    fn read<T: serde::de::DeserializeOwned>(&self, evidence: &EvidenceDigests, name: &str) -> Result<T, String> {
        let document = self.document(evidence, name)?;
        let value = canonical::strict_value(document.text.as_bytes()).map_err(|error| format!("`{name}`: {error}"))?;
        serde_json::from_value(value).map_err(|error| format!("`{name}`: {error}"))
    }

    fn place(&self) -> Place<'_> {
        // The origin of an issuer URL is the URL up to its path.
        let issuer = self.roles.genesis.issuer;
        let after = issuer.find("://").map_or(0, |at| at + 3);
        let end = issuer.get(after..).and_then(|rest| rest.find('/')).map_or(issuer.len(), |at| after + at);
        Place { rp_id: self.roles.genesis.rp_id, origin: issuer.get(..end).unwrap_or(issuer) }
    }

    fn times(&self) -> Result<String, String> {
        let token = self.roles.token.time;
        if let Some(asked) = &self.roles.asked {
            for decision in &self.roles.decisions {
                if decision.time < asked.time || decision.time > asked.asked.decide_by || decision.time > token {
                    return Err(format!("decision {} was not made between asking and issuing", decision.index));
                }
                if decision.passkey.time > decision.time {
                    return Err(format!("the passkey of decision {} was added later", decision.index));
                }
                if decision.passkey.time > decision.passkey.expires + SECOND_PASSKEY {
                    return Err(format!(
                        "the passkey of decision {} was added after its invitation ended",
                        decision.index
                    ));
                }
            }
        }
        Ok(format!("in order, issued at {token}"))
    }

    fn request(&self, part: &AskedPart<'_>) -> Result<Request, String> {
        let document = self.document(part.evidence, "request")?;
        let request: Request =
            canonical::from_bytes(document.text.as_bytes()).map_err(|error| format!("`request`: {error}"))?;
        if Digest::of(document.text.as_bytes()) != part.asked.request_sha256 {
            return Err("the request is not the one that was asked".to_owned());
        }
        let same = request.id == *part.request
            && request.issuer == self.roles.genesis.issuer
            && request.decide_by == part.asked.decide_by
            && request.rule.sha256 == part.asked.rule
            && request.audiences().eq(part.asked.intake.audiences.iter())
            && request.job_claim("issuer") == Some(part.job.issuer.as_str())
            && request.job_claim("job_id") == Some(part.job.job_id.as_str())
            && request.job_claim("pipeline_id") == Some(part.job.pipeline_id.as_str())
            && request.job_claim("job_project_id").or(request.job_claim("project_id"))
                == Some(part.job.job_project_id.as_str());
        if same { Ok(request) } else { Err("the request and its entry differ".to_owned()) }
    }

    fn signer(&self, request: &Request, decision: &DecisionPart<'_>, steps: &mut Steps) -> Option<Signer> {
        let statement = steps.run("statement", self.statement(request, decision))?;
        let key = steps.run("enrolment", self.enrolment(decision))?;
        let facts = steps.run("assertion", self.assertion(decision, statement, &key))?;
        let groups = steps.run("membership", self.membership(decision))?;
        Some(Signer { person: decision.person.clone(), key, facts, at: decision.time, statement, groups })
    }

    fn statement(&self, request: &Request, decision: &DecisionPart<'_>) -> Result<(Digest, String), String> {
        let document = self.document(decision.evidence, "statement")?;
        let bytes = document.text.as_bytes();
        match Statement::from_bytes(bytes).map_err(|error| error.to_string())? {
            Statement::Approval(approval) => {
                if approval.decision != Choice::Approve {
                    return Err("the statement denies".to_owned());
                }
                if approval.request != *request {
                    return Err("the statement is over another request".to_owned());
                }
                Ok((challenge(bytes), "\"approve\", over exactly this request".to_owned()))
            }
            Statement::Registration(_) => Err("the statement is over a registration".to_owned()),
        }
    }

    fn enrolment(&self, decision: &DecisionPart<'_>) -> Result<(RegisteredKey, String), String> {
        let passkey = &decision.passkey;
        let statement = self.document(passkey.evidence, "statement")?;
        let Ok(Statement::Registration(registration)) = Statement::from_bytes(statement.text.as_bytes()) else {
            return Err("the registration's statement is of another type".to_owned());
        };
        let same = registration.person == *passkey.person
            && passkey.person == decision.person
            && passkey.person == passkey.invited
            && registration.invitation == *passkey.invitation
            && registration.issuer == self.roles.genesis.issuer;
        if !same {
            return Err("the passkey was registered for another person or invitation".to_owned());
        }
        self.document(passkey.invitation_evidence, "invitation")?;
        let answer: RegistrationEvidence = self.read(passkey.evidence, "registration")?;
        let key = self.signatures.registration(self.place(), challenge(statement.text.as_bytes()), &answer)?;
        if key.sha256 != *passkey.credential {
            return Err("the registered key is not the one that the log names".to_owned());
        }
        let text = format!("person {} (name not disclosed), key enrolled {}", passkey.person, passkey.time.day_month());
        Ok((key, text))
    }

    fn assertion(
        &self,
        decision: &DecisionPart<'_>,
        statement: Digest,
        key: &RegisteredKey,
    ) -> Result<(AuthenticatorFacts, String), String> {
        let answer: AssertionEvidence = self.read(decision.evidence, "assertion")?;
        if answer.credential_id.0 != key.credential_id {
            return Err("the answer names another credential".to_owned());
        }
        let facts = self.signatures.assertion(self.place(), statement, &key.public_key, &answer)?;
        if facts.backup_eligible != key.facts.backup_eligible {
            return Err("backup eligibility changed since the enrolment".to_owned());
        }
        Ok((facts, "signed by that key, user present and verified".to_owned()))
    }

    fn membership(&self, decision: &DecisionPart<'_>) -> Result<(Vec<GroupName>, String), String> {
        let (person, evidence) = decision.membership;
        let document: MembershipDocument = self.read(evidence, "act")?;
        if document.act != "joined"
            || document.by != "console"
            || document.person != *person
            || person != decision.person
        {
            return Err("the membership is another person's".to_owned());
        }
        let groups: Vec<_> = document.groups.iter().map(ToString::to_string).collect();
        let text = format!("of {}", groups.join(", "));
        Ok((document.groups, text))
    }

    /// The job, from the token where it is here, else from the signed request; `Some(None)` where neither tells.
    fn job_token(&self, request: Option<&Request>, steps: &mut Steps) -> Option<Option<Job>> {
        let token = match self.roles.token_part() {
            Ok(token) => token,
            Err(text) => return steps.run("job token", Err(text)),
        };
        let keys = steps.run("issuer keys", self.issuer_keys(&token))?;
        let (evidence, intake) = match &self.roles.asked {
            Some(part) => (part.evidence, &part.asked.intake),
            None => (token.evidence, token.intake?),
        };
        let here = evidence.get("job_token").is_some_and(|digest| self.bundle.evidence.contains_key(digest));
        let due = self.roles.newest.time > intake.job_token_exp + LEEWAY || intake.audiences.len() == 1;
        if here || due {
            let read = self.read_job_token(request, evidence, &keys, intake.job_token_exp);
            return steps.run("job token", read.map(|(job, text)| (Some(job), text)));
        }
        let job = match request.map(|request| job_of(request, intake.job_token_exp)).transpose() {
            Ok(job) => job,
            Err(text) => return steps.run("job token", Err(text)),
        };
        let until = intake.job_token_exp;
        steps.skip("job token", format!("withheld until {until}: another audience may still be collected"));
        Some(job)
    }

    fn issuer_keys(&self, token: &TokenPart<'_>) -> Result<(Vec<u8>, String), String> {
        let (name, evidence) = self.roles.issuer_keys;
        let document: IssuerKeysDocument = self.read(evidence, "keys")?;
        if document.name != *name || token.job.issuer != *name {
            return Err("the keys are another issuer's".to_owned());
        }
        let jwks = canonical::to_bytes(&document.jwks).map_err(|error| error.to_string())?;
        Ok((jwks, format!("of {}, as this server fetched them", document.issuer)))
    }

    fn read_job_token(
        &self,
        request: Option<&Request>,
        evidence: &EvidenceDigests,
        jwks: &[u8],
        exp: Timestamp,
    ) -> Result<(Job, String), String> {
        let token = self.document(evidence, "job_token")?;
        let verified = self.signatures.job_token(&token.text, jwks)?;
        let (name, keys) = self.roles.issuer_keys;
        let document: IssuerKeysDocument = self.read(keys, "keys")?;
        let job = crate::domain::job::gitlab::from_log(&verified, name, &document.issuer, self.roles.genesis.issuer)
            .map_err(|refusal| refusal.description)?;
        if job.expires_at != exp {
            return Err("the job token's `exp` is not the one that was logged".to_owned());
        }
        if let Some(request) = request {
            let same = request.job.iter().all(|(member, value)| match member.as_str() {
                "issuer" => value == job.issuer.as_str(),
                "token_sha256" => *value == job.token_sha256.to_string(),
                _ => job.claim(member) == Some(value),
            });
            if !same {
                return Err("the job token says something else than the request".to_owned());
            }
        }
        let text = format!("signed by {}, says what the request says", document.issuer);
        Ok((job, text))
    }

    fn rule(&self, request: Option<&Request>) -> Result<Rule, String> {
        let token = self.roles.token_part()?;
        let evidence = self.roles.asked.as_ref().map_or(token.evidence, |part| part.evidence);
        let document = self.document(evidence, "rule")?;
        let rule: Rule = canonical::from_bytes(document.text.as_bytes()).map_err(|error| format!("`rule`: {error}"))?;
        let digest = Digest::of(document.text.as_bytes());
        if digest != *token.rule || request.is_some_and(|request| request.rule.sha256 != digest) {
            return Err("the rule is not the one that the token was issued under".to_owned());
        }
        if request.is_some_and(|request| request.rule.name != rule.name) {
            return Err("the request names another rule".to_owned());
        }
        Ok(rule)
    }

    fn starter(&self, request: Option<&Request>, rule: &Rule) -> Result<(Option<PersonId>, String), String> {
        let Some((part, request)) = self.roles.asked.as_ref().zip(request) else {
            return Ok((None, "nobody was asked".to_owned()));
        };
        let Some((person, issuer, evidence)) = part.starter else {
            let excluded = matches!(&rule.effect, Effect::Allow(allow)
                if matches!(&allow.require, Require::Approval(terms) if !terms.not.is_empty()));
            if excluded {
                return Err("the rule excludes the starter, and nothing says who that is".to_owned());
            }
            return Ok((None, "the rule does not ask who started the job".to_owned()));
        };
        let link: LinkDocument = self.read(evidence, "link")?;
        let same = link.by == "console"
            && link.person == *person
            && link.issuer == *issuer
            && *issuer == part.job.issuer
            && request.job_claim("user_id") == Some(link.user_id.as_str());
        if !same {
            return Err("the starter's link is another user's".to_owned());
        }
        Ok((Some(person.clone()), format!("person {person} started the job")))
    }

    fn decides(
        &self,
        rule: &Rule,
        job: &Job,
        request: Option<&Request>,
        facts: &Facts,
    ) -> Result<(Vec<Approver>, String), String> {
        let token = self.roles.token_part()?;
        let asked = match (request, token.intake) {
            (Some(request), _) => request.audiences().cloned().collect(),
            (None, Some(intake)) => intake.audiences.clone(),
            (None, None) => vec![token.audience.clone()],
        };
        let rules = Rules::from_rules(vec![rule.clone()]).map_err(|error| error.to_string())?;
        let verdict = crate::domain::rules::decide::decide(&rules, job, &asked, facts, self.roles.token.time);
        match verdict.outcome {
            Outcome::Issue { rule, counted } => {
                let text = format!("\"{}\" says yes to these values", rule.name);
                Ok((counted, text))
            }
            Outcome::Ask { signed, needed, .. } => Err(format!("{signed} of {needed} signatures count")),
            Outcome::Refuse(refusal) => Err(refusal.description),
        }
    }

    fn claims(
        &self,
        rule: &Rule,
        job: &Job,
        request: Option<&Request>,
        counted: &[Approver],
        signers: &[Signer],
    ) -> Result<String, String> {
        let token = self.roles.token_part()?;
        let access: Access = match request {
            Some(request) => {
                let found = request.access.iter().find(|access| access.audience == *token.audience);
                found.cloned().ok_or("the request does not name the token's audience")?
            }
            None => claims::access(job, rule, token.audience).map_err(|refusal| refusal.description)?,
        };
        if signers.len() != counted.len() {
            return Err("the token's entry names decisions that do not count".to_owned());
        }
        let approval = request
            .map(|request| -> Result<_, String> {
                Ok(ApprovalClaims {
                    id: &request.id,
                    request_sha256: canonical::digest(request).map_err(|error| error.to_string())?,
                    by: signers.iter().map(signed_by).collect(),
                })
            })
            .transpose()?;
        let built = claims::build(&Issue {
            our_issuer: self.roles.genesis.issuer,
            job,
            rule,
            access: &access,
            jti: token.jti,
            now: self.roles.token.time,
            approval,
        })
        .map_err(|refusal| refusal.description)?;
        let built = canonical::to_bytes(&built).map_err(|error| error.to_string())?;
        if built != self.claims_as_logged()? {
            return Err("the claims do not follow from the rule and the signatures".to_owned());
        }
        let expires = self.bundle.claims.get("exp").and_then(Value::as_i64).map(Timestamp::from_seconds);
        if expires != Some(token.exp) || token.job != self.job_fields(token.job) {
            return Err("the token's entry and its claims differ".to_owned());
        }
        Ok(format!("follow from the rule and the signatures, for {}", token.audience))
    }

    /// The claims' canonical bytes, which the token's entry holds the digest of.
    fn claims_as_logged(&self) -> Result<Vec<u8>, String> {
        let given = canonical::to_bytes(&self.bundle.claims).map_err(|error| error.to_string())?;
        if Digest::of(&given) == *self.roles.token_part()?.claims_sha256 {
            Ok(given)
        } else {
            Err("the claims are not those that were logged".to_owned())
        }
    }

    fn job_fields<'b>(
        &'b self,
        own: &'b crate::domain::log::entry::JobFields,
    ) -> &'b crate::domain::log::entry::JobFields {
        self.roles.asked.as_ref().map_or(own, |part| part.job)
    }

    fn signing_key(&self) -> Result<String, String> {
        let (kid, alg, evidence) = self.roles.signing_key;
        let jwk: Value = self.read(evidence, "jwk")?;
        let same = self.signatures.thumbprint(&jwk).as_ref() == Some(kid);
        let named = matches!(&self.roles.token.event,
            crate::domain::log::entry::Event::Token { kid: used, .. } if used == kid);
        if same && named {
            Ok(format!("{} {kid}", alg.as_str()))
        } else {
            Err("the signing key is not the one that the token's entry names".to_owned())
        }
    }

    /// Every document is one that a step read.
    fn everything_used(&self) -> Result<String, String> {
        let mut read: Vec<&EvidenceDigests> = vec![self.roles.issuer_keys.1, self.roles.signing_key.2];
        if let Some(part) = &self.roles.asked {
            read.push(part.evidence);
            read.extend(part.starter.map(|(_, _, evidence)| evidence));
        }
        for decision in &self.roles.decisions {
            read.extend([
                decision.evidence,
                decision.passkey.evidence,
                decision.passkey.invitation_evidence,
                decision.membership.1,
            ]);
        }
        let token = self.roles.token_part()?;
        read.push(token.evidence);
        let known: std::collections::BTreeSet<_> = read.into_iter().flat_map(BTreeMap::values).collect();
        match self.bundle.evidence.keys().find(|digest| !known.contains(digest)) {
            None => Ok("nothing in the file is left over".to_owned()),
            Some(digest) => Err(format!("document {digest} plays no part in this proof")),
        }
    }

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
                "Proven: {keys}, enrolled {}, signed \"approve\" for job {}, {}, in entry {first}, before entry {token}.{demo}",
                enrolled.join(" and "),
                job_id,
                place.join(", ")
            )
        } else {
            format!(
                "Proven: rule and job token gave this token to job {}, {}, in entry {token}; nobody was asked.{demo}",
                job_id,
                place.join(", ")
            )
        });
        steps.report.not_proven = Some(if signers.is_empty() {
            "Not proven: time (nothing outside this log bounds it).".to_owned()
        } else {
            "Not proven: the key's model (claimed, not attested); time (nothing outside this log bounds it).".to_owned()
        });
    }
}

fn signed_by(signer: &Signer) -> SignedBy {
    SignedBy {
        person: signer.person.clone(),
        assurance: assess(&signer.facts, &signer.key.facts, signer.at),
        credential: signer.key.sha256,
        statement: signer.statement,
    }
}

/// What `decide` needs, from what was proven.
fn facts(rule: &Rule, signers: &[Signer], starter: Option<PersonId>) -> Facts {
    let mut facts = Facts { starter, ..Facts::default() };
    if let Effect::Allow(allow) = &rule.effect
        && let Require::Approval(terms) = &allow.require
    {
        for group in &terms.of {
            let members = signers.iter().filter(|signer| signer.groups.contains(group)).map(|s| s.person.clone());
            facts.groups.insert(group.clone(), members.collect());
        }
    }
    facts.approvals = signers
        .iter()
        .map(|signer| Approver {
            person: signer.person.clone(),
            credential: signer.key.sha256,
            acr: assess(&signer.facts, &signer.key.facts, signer.at).acr,
            at: signer.at,
            void: false,
        })
        .collect();
    facts
}

/// The job as the signed request tells it, while the job token is withheld.
fn job_of(request: &Request, exp: Timestamp) -> Result<Job, String> {
    let mut claims = request.job.clone();
    let issuer = claims.remove("issuer").ok_or("the request names no issuer")?;
    let token = claims.remove("token_sha256").ok_or("the request names no job token")?;
    Ok(Job {
        issuer: IssuerName::parse(&issuer).map_err(|error| error.to_string())?,
        kind: JobTokenKind::IdToken,
        token_sha256: Digest::parse(&token).map_err(|error| error.to_string())?,
        jti: String::new(),
        issued_at: exp,
        expires_at: exp,
        claims,
        unknown_claims: Vec::new(),
    })
}

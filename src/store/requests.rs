//! Requests and the decisions over them.
//! In: what a job asks, what people signed. Out: rows, and counts that limits ask for.
//! Implements DESIGN §5, §6.
//! Never changes a request's record: only its state moves, and only once.

use rusqlite::{Row, params};

use crate::domain::assurance::AuthenticatorFacts;
use crate::domain::assurance::evidence::Vouched;
use crate::domain::canonical;
use crate::domain::ids::{Digest, IssuerName, PersonId, RequestId, RuleName};
use crate::domain::request::Request;
use crate::domain::request::standing::Mark;
use crate::domain::rules::Rule;
use crate::domain::statement::Choice;
use crate::domain::time::Timestamp;

use super::columns::{as_i64, collect, corrupt, digest, first, index, optional_index, parsed, time};
use super::passkeys::vouched;
use super::{Reader, StoreError, Unit};

/// Among how many of the newest requests contested ones are looked for.
const CONTESTED_LOOKED_AT: i64 = 2_000;

/// A request and where it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RequestRow {
    /// The immutable record.
    pub request: Request,
    /// The rule as it was compiled when the job asked.
    pub rule: Rule,
    /// Short name of the job's issuer.
    pub issuer: IssuerName,
    /// What GitLab says of names, for the page alone: JSON.
    pub display: String,
    /// Its stored state.
    pub mark: Mark,
    /// When the job asked.
    pub created: Timestamp,
    /// `exp` of the job token that asked.
    pub token_exp: Timestamp,
    /// The log entry that asked.
    pub entry: u64,
    /// The log entry that ended it, if one did.
    pub ended_by: Option<u64>,
}

/// One person's decision.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DecisionRow {
    /// Who.
    pub person: PersonId,
    /// What.
    pub choice: Choice,
    /// With which passkey (our row id).
    pub passkey: i64,
    /// SHA-256 of the public key.
    pub public_key_sha256: Digest,
    /// SHA-256 of the signed statement.
    pub statement_sha256: Digest,
    /// What the authenticator said.
    pub facts: AuthenticatorFacts,
    /// What it said when it was registered.
    pub registered: AuthenticatorFacts,
    /// What the passkey's attestation proved, and what it may carry at most.
    pub vouched: Vouched,
    /// The passkey or its owner was suspended since.
    pub void: bool,
    /// Why not, in the person's words.
    pub reason: Option<String>,
    /// When it was recorded.
    pub at: Timestamp,
    /// The log entry of the decision.
    pub entry: u64,
}

fn request(row: &Row<'_>) -> Result<RequestRow, StoreError> {
    let record: Vec<u8> = row.get("request")?;
    let rule: Vec<u8> = row.get("rule")?;
    Ok(RequestRow {
        request: canonical::from_bytes(&record).map_err(|_| corrupt("request"))?,
        rule: canonical::from_bytes(&rule).map_err(|_| corrupt("rule"))?,
        issuer: parsed(row, "issuer", IssuerName::parse)?,
        display: row.get("display")?,
        mark: parsed(row, "state", |text| Mark::parse(text).ok_or(()))?,
        created: time(row, "created")?,
        token_exp: time(row, "token_exp")?,
        entry: index(row, "entry")?,
        ended_by: optional_index(row, "state_entry")?,
    })
}

fn decision(row: &Row<'_>) -> Result<DecisionRow, StoreError> {
    let facts: String = row.get("facts")?;
    let registered: String = row.get("registered")?;
    Ok(DecisionRow {
        person: parsed(row, "person", PersonId::parse)?,
        choice: parsed(row, "choice", |text| match text {
            "approve" => Ok(Choice::Approve),
            "deny" => Ok(Choice::Deny),
            _ => Err(()),
        })?,
        passkey: row.get("passkey")?,
        public_key_sha256: digest(row, "public_key_sha256")?,
        statement_sha256: digest(row, "statement_sha256")?,
        facts: serde_json::from_str(&facts).map_err(|_| corrupt("facts"))?,
        registered: serde_json::from_str(&registered).map_err(|_| corrupt("registered"))?,
        vouched: vouched(row)?,
        void: row.get("void")?,
        reason: row.get("reason")?,
        at: time(row, "at")?,
        entry: index(row, "entry")?,
    })
}

impl Reader<'_> {
    /// A request by its link id.
    pub fn request(&self, id: &RequestId) -> Result<Option<RequestRow>, StoreError> {
        let sql = "SELECT * FROM request WHERE id = ?1";
        first(&mut self.conn().prepare_cached(sql)?, params![id.as_str()], request)
    }

    /// Every request of a job, oldest first.
    pub fn requests_of_job(&self, issuer: &IssuerName, job_id: &str) -> Result<Vec<RequestRow>, StoreError> {
        let sql = "SELECT * FROM request WHERE issuer = ?1 AND job_id = ?2 ORDER BY created, id";
        collect(&mut self.conn().prepare_cached(sql)?, params![issuer.as_str(), job_id], request)
    }

    /// Every decision over a request, oldest first.
    pub fn decisions(&self, id: &RequestId) -> Result<Vec<DecisionRow>, StoreError> {
        let sql = "SELECT decision.*, passkey.registered, passkey.attestation, passkey.admitted,
                   (passkey.suspended IS NOT NULL OR person.suspended IS NOT NULL OR decision.ended) AS void
                   FROM decision JOIN passkey ON passkey.id = decision.passkey
                   JOIN person ON person.id = decision.person
                   WHERE request = ?1 ORDER BY decision.entry";
        collect(&mut self.conn().prepare_cached(sql)?, params![id.as_str()], decision)
    }

    /// Requests that still bother people and whose rule may name a group of this person, the one that ends first in
    /// front. Whether it does is for the rule to say: a group's name may stand in it otherwise.
    pub fn open_requests_for(
        &self,
        person: &PersonId,
        now: Timestamp,
        most: usize,
    ) -> Result<Vec<RequestRow>, StoreError> {
        let sql = "SELECT * FROM request WHERE state = 'open' AND use_by >= ?2
                   AND EXISTS (SELECT 1 FROM membership WHERE person = ?1
                               AND instr(CAST(rule AS TEXT), '\"' || group_name || '\"') > 0)
                   ORDER BY use_by LIMIT ?3";
        let most = i64::try_from(most).unwrap_or(i64::MAX);
        collect(&mut self.conn().prepare_cached(sql)?, params![person.as_str(), now.millis(), most], request)
    }

    /// Requests that people or their job may still act on, the one that ends first in front. Contested ones are looked
    /// for among the newest `CONTESTED_LOOKED_AT`: no index holds them, and none lives long.
    pub fn live_requests(&self, now: Timestamp, most: usize) -> Result<Vec<RequestRow>, StoreError> {
        let sql = "SELECT * FROM (
                       SELECT * FROM request INDEXED BY request_open_of_rule WHERE state = 'open' AND use_by >= ?1
                       UNION ALL
                       SELECT * FROM request WHERE state = 'contested' AND use_by >= ?1
                       AND rowid > (SELECT max(rowid) FROM request) - ?2)
                   ORDER BY use_by, id LIMIT ?3";
        let most = i64::try_from(most).unwrap_or(i64::MAX);
        let values = params![now.millis(), CONTESTED_LOOKED_AT, most];
        collect(&mut self.conn().prepare_cached(sql)?, values, request)
    }

    /// A person's decisions, newest first, those before an entry where one is named; each with its request's id.
    pub fn decisions_of(
        &self,
        person: &PersonId,
        before: Option<u64>,
        most: usize,
    ) -> Result<Vec<(DecisionRow, RequestId)>, StoreError> {
        let sql = "SELECT decision.*, passkey.registered, passkey.attestation, passkey.admitted,
                   (passkey.suspended IS NOT NULL) AS void
                   FROM decision JOIN passkey ON passkey.id = decision.passkey
                   WHERE decision.person = ?1 AND decision.entry < ?2 ORDER BY decision.entry DESC LIMIT ?3";
        let before = before.map_or(Ok(i64::MAX), as_i64)?;
        let most = i64::try_from(most).unwrap_or(i64::MAX);
        collect(&mut self.conn().prepare_cached(sql)?, params![person.as_str(), before, most], |row| {
            Ok((decision(row)?, parsed(row, "request", RequestId::parse)?))
        })
    }

    /// Requests of an issuer that people or their job may still act on.
    pub fn live_requests_of_issuer(&self, issuer: &IssuerName, now: Timestamp) -> Result<Vec<RequestRow>, StoreError> {
        let sql = "SELECT * FROM request INDEXED BY request_live
                   WHERE issuer = ?1 AND state IN ('open', 'contested') AND use_by >= ?2";
        collect(&mut self.conn().prepare_cached(sql)?, params![issuer.as_str(), now.millis()], request)
    }

    /// Open requests of a project: those that still bother people.
    pub fn open_requests_of_project(
        &self,
        issuer: &IssuerName,
        project: &str,
        now: Timestamp,
    ) -> Result<u64, StoreError> {
        let sql = "SELECT count(*) AS n FROM request WHERE issuer = ?1 AND job_project_id = ?2 AND state = 'open'
                   AND use_by >= ?3";
        let count = self
            .conn()
            .prepare_cached(sql)?
            .query_row(params![issuer.as_str(), project, now.millis()], |row| row.get::<_, i64>("n"))?;
        u64::try_from(count).map_err(|_| corrupt("n"))
    }

    /// Open requests of a rule.
    pub fn open_requests_of_rule(&self, rule: &RuleName, now: Timestamp) -> Result<u64, StoreError> {
        let sql = "SELECT count(*) AS n FROM request WHERE rule_name = ?1 AND state = 'open' AND use_by >= ?2";
        let count = self
            .conn()
            .prepare_cached(sql)?
            .query_row(params![rule.as_str(), now.millis()], |row| row.get::<_, i64>("n"))?;
        u64::try_from(count).map_err(|_| corrupt("n"))
    }

    /// The rules under which requests are open: name and digest of each.
    pub fn rules_of_open_requests(&self, now: Timestamp) -> Result<Vec<(RuleName, Digest)>, StoreError> {
        let sql = "SELECT DISTINCT rule_name, rule_sha256 FROM request WHERE state = 'open' AND use_by >= ?1";
        collect(&mut self.conn().prepare_cached(sql)?, params![now.millis()], |row| {
            Ok((parsed(row, "rule_name", RuleName::parse)?, digest(row, "rule_sha256")?))
        })
    }

    /// Open requests under a rule of this very digest, oldest first, at most so many.
    pub fn open_requests_under(
        &self,
        rule: &RuleName,
        sha256: &Digest,
        now: Timestamp,
        most: usize,
    ) -> Result<Vec<RequestRow>, StoreError> {
        let sql = "SELECT * FROM request WHERE rule_name = ?1 AND rule_sha256 = ?2 AND state = 'open' AND use_by >= ?3
                   ORDER BY entry LIMIT ?4";
        let most = i64::try_from(most).unwrap_or(i64::MAX);
        let values = params![rule.as_str(), sha256.as_bytes(), now.millis(), most];
        collect(&mut self.conn().prepare_cached(sql)?, values, request)
    }

    /// Whether nothing was asked for this project and environment before.
    pub fn is_first_for_place(&self, of: &RequestRow) -> Result<bool, StoreError> {
        let sql = "SELECT NOT EXISTS (SELECT 1 FROM request WHERE issuer = ?1 AND job_project_id = ?2
                   AND environment IS ?3 AND entry < ?4)";
        let values = params![
            of.issuer.as_str(),
            of.request.job_claim("job_project_id"),
            of.request.job_claim("environment"),
            as_i64(of.entry)?
        ];
        Ok(self.conn().prepare_cached(sql)?.query_row(values, |row| row.get(0))?)
    }

    /// The commit and time of the last collected request of a project and environment before `before`.
    pub fn last_collected(&self, of: &RequestRow) -> Result<Option<(String, Timestamp)>, StoreError> {
        let sql = "SELECT * FROM request WHERE issuer = ?1 AND job_project_id = ?2 AND environment IS ?3
                   AND state = 'collected' AND created < ?4 ORDER BY created DESC LIMIT 1";
        let values = params![
            of.issuer.as_str(),
            of.request.job_claim("job_project_id"),
            of.request.job_claim("environment"),
            of.created.millis()
        ];
        let found = first(&mut self.conn().prepare_cached(sql)?, values, request)?;
        Ok(found.and_then(|row| row.request.job_claim("sha").map(|sha| (sha.to_owned(), row.created))))
    }
}

impl Unit<'_> {
    /// Records a request that waits for people. A second request of the job for one of its audiences is a conflict.
    pub fn insert_request(&mut self, row: &RequestRow) -> Result<(), StoreError> {
        let record = canonical::to_bytes(&row.request).map_err(|_| corrupt("request"))?;
        let rule = canonical::to_bytes(&row.rule).map_err(|_| corrupt("rule"))?;
        let request = &row.request;
        let job_id = request.job_claim("job_id").unwrap_or_default();
        let sql = "INSERT INTO request (id, issuer, job_project_id, job_id, environment, rule_name, rule_sha256, rule,
                   request, display, state, created, use_by, token_exp, entry)
                   VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, 'open', ?11, ?12, ?13, ?14)";
        let values = params![
            request.id.as_str(),
            row.issuer.as_str(),
            request.job_claim("job_project_id").unwrap_or_default(),
            job_id,
            request.job_claim("environment"),
            request.rule.name.as_str(),
            request.rule.sha256.as_bytes(),
            rule,
            record,
            row.display,
            row.created.millis(),
            request.use_by.millis(),
            row.token_exp.millis(),
            as_i64(row.entry)?
        ];
        self.conn().prepare_cached(sql)?.execute(values)?;
        let sql = "INSERT INTO request_audience (issuer, job_id, audience, request) VALUES (?1, ?2, ?3, ?4)";
        let mut statement = self.conn().prepare_cached(sql)?;
        for audience in request.audiences() {
            statement.execute(params![row.issuer.as_str(), job_id, audience.as_str(), request.id.as_str()])?;
        }
        Ok(())
    }

    /// Ends a request; a request that has ended does not change again.
    pub fn end_request(&mut self, id: &RequestId, mark: Mark, entry: u64) -> Result<(), StoreError> {
        // A contested request may still be denied.
        let sql = "UPDATE request SET state = ?2, state_entry = ?3
                   WHERE id = ?1 AND (state = 'open' OR (state = 'contested' AND ?2 = 'denied'))";
        let changed = self.conn().prepare_cached(sql)?.execute(params![id.as_str(), mark.as_str(), as_i64(entry)?])?;
        if changed == 1 { Ok(()) } else { Err(StoreError::Invalid("the request has ended".to_owned())) }
    }

    /// Records a decision; a second one of the same person or key is a conflict.
    pub fn insert_decision(&mut self, id: &RequestId, row: &DecisionRow) -> Result<(), StoreError> {
        let facts = serde_json::to_string(&row.facts).map_err(|_| corrupt("facts"))?;
        let sql = "INSERT INTO decision (request, person, choice, passkey, public_key_sha256, statement_sha256, facts,
                   reason, at, entry) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)";
        let values = params![
            id.as_str(),
            row.person.as_str(),
            row.choice.as_str(),
            row.passkey,
            row.public_key_sha256.as_bytes(),
            row.statement_sha256.as_bytes(),
            facts,
            row.reason,
            row.at.millis(),
            as_i64(row.entry)?
        ];
        self.conn().prepare_cached(sql)?.execute(values)?;
        Ok(())
    }
}

//! Who may decide a request, and whether it is still open to a decision.
//! In: a request, a person's passkey, what their signature reached. Out: the membership that counts, or the refusal.
//! Implements DESIGN §2 (decision) and §6: only people whom the rule names, each once, never the starter where it says so.
//! Never records: `decide_request` does, in the same unit.

use std::collections::BTreeMap;

use crate::domain::assurance::models::Trusted;
use crate::domain::assurance::policy::DevicePolicy;
use crate::domain::assurance::{Acr, Assurance, Reason};
use crate::domain::oauth::error_code::ErrorCode;
use crate::domain::request::standing::{Standing, standing};
use crate::domain::rules::compile::Rules;
use crate::domain::rules::decide::counting;
use crate::domain::rules::{Effect, Excluded, Facts, Rule};
use crate::domain::statement::Choice;
use crate::domain::time::Timestamp;
use crate::passkeys::assertion::Verification;
use crate::store::passkeys::PasskeyRow;
use crate::store::people::PersonRow;
use crate::store::requests::RequestRow;
use crate::store::{Reader, StoreError, Unit};

use super::AppError;
use super::find_passkey::{able, unknown};
use super::known::{approval_terms, approvers, device_of, groups_of, judged};
use super::starters::{Starters, starters_of};

/// Judges whether a person may decide, in the writer's savepoint. Answers with the entry of the membership that counts;
/// none where the job's starter withdraws.
pub(super) fn entitled(
    unit: &mut Unit<'_>,
    (rules, trusted): (&Rules, &Trusted),
    row: &RequestRow,
    choice: Choice,
    passkey: &PasskeyRow,
    verified: &Verification,
) -> Result<Option<u64>, AppError> {
    let person = &passkey.person;
    let auditor = is_known(&unit.reader(), passkey)?.auditor;
    if choice == Choice::Approve && !unchanged(rules, row) {
        return Err(AppError::refused(ErrorCode::RuleChanged, describe(ErrorCode::RuleChanged)));
    }
    let terms = approval_terms(&row.rule)
        .ok_or_else(|| AppError::refused(ErrorCode::RuleChanged, describe(ErrorCode::RuleChanged)))?;
    let starters = starters_of(&unit.reader(), row)?;
    // An auditor signs nothing, whatever group they were in before.
    let memberships = if auditor { BTreeMap::new() } else { unit.reader().memberships(person)? };
    let membership = terms.of.iter().find_map(|group| memberships.get(group).copied());
    match (choice, membership) {
        (Choice::Approve, _) if starters.include(person) && terms.not.contains(&Excluded::Starter) => {
            return Err(AppError::refused(
                ErrorCode::SelfApproval,
                "you started this job, and this rule wants somebody else",
            ));
        }
        // To withdraw takes more than one's own word.
        (Choice::Deny, None) if starters.known() == Some(person) => {}
        (_, None) => {
            let groups: Vec<_> = terms.of.iter().map(ToString::to_string).collect();
            let text = format!("only {} can sign this", groups.join(" or "));
            return Err(AppError::refused(ErrorCode::NotAnApprover, text));
        }
        (_, Some(_)) => {}
    }
    distinct(unit, row, choice, passkey)?;
    still_open(&unit.reader(), row, (choice, trusted), unit.now())?;
    if choice == Choice::Approve {
        may_approve(passkey, unit.now())?;
        let signed = (verified.facts, passkey.registered);
        let device = device_of(trusted, signed, &passkey.vouched);
        if let Some(miss) = device_policy(&row.rule).and_then(|policy| policy.miss(&device)) {
            let text = format!("this rule's policy \"{}\" does not take this passkey: {}", miss.policy, miss.what);
            return Err(AppError::refused(ErrorCode::PolicyNotMet, text).with_hint(&miss.cure));
        }
        let reached = judged(trusted, signed, &passkey.vouched, unit.now());
        if demanded(&row.rule).is_some_and(|acr| reached.acr < acr) {
            return Err(AppError::refused(ErrorCode::AcrNotReached, too_weak(&reached, &passkey.name)));
        }
    }
    Ok(membership)
}

/// The person of a passkey, where both are active and nothing else was signed with it meanwhile.
pub(super) fn is_known(reader: &Reader<'_>, passkey: &PasskeyRow) -> Result<PersonRow, AppError> {
    let known = reader.passkey(&passkey.credential_id)?.ok_or_else(unknown)?;
    let person = able(reader, &known)?;
    // Two answers of one key at once: the second was verified against a counter that is old by now.
    if known.credential != passkey.credential {
        return Err(AppError::refused(ErrorCode::AssertionInvalid, "this passkey was used at the same moment"));
    }
    Ok(person)
}

/// A passkey made after a recovery, or by the word of another one, approves nothing for a while, neither a request nor a
/// change: whoever else holds it is seen before it counts.
pub(super) fn may_approve(passkey: &PasskeyRow, now: Timestamp) -> Result<(), AppError> {
    if let Some(until) = passkey.rests_until.filter(|until| now < *until) {
        let text = format!("this passkey was made after a recovery, and approves nothing before {}", until.dated());
        return Err(AppError::refused(ErrorCode::PasskeyRests, text));
    }
    if now < passkey.approves_from() {
        let until = passkey.approves_from().hour_minute();
        let text = format!("this passkey was added by another one, and approves nothing before {until} UTC");
        return Err(AppError::refused(ErrorCode::PasskeyTooNew, text));
    }
    Ok(())
}

/// Whether the rule of a request is still the one that people would sign under.
pub fn unchanged(rules: &Rules, row: &RequestRow) -> bool {
    rules.by_name(&row.request.rule.name).is_some_and(|rule| rule.digest() == row.request.rule.sha256)
}

/// Where a request stands, with the signatures that count now.
pub fn standing_of(
    reader: &Reader<'_>,
    row: &RequestRow,
    (starters, trusted): (&Starters, &Trusted),
    now: Timestamp,
) -> Result<(Standing, u32, u32), StoreError> {
    let decisions = reader.decisions(&row.request.id)?;
    let Some(terms) = approval_terms(&row.rule) else { return Ok((Standing::Voided, 0, 0)) };
    let facts = Facts {
        groups: groups_of(reader, &row.rule)?,
        starter: starters.known().cloned(),
        starter_fault: starters.fault(),
        proved: starters.proved_people(),
        approvals: approvers(&decisions, trusted),
    };
    let signed = counting(&row.rule, &facts).len();
    let signed = u32::try_from(signed).unwrap_or(u32::MAX);
    Ok((standing(&row.request, row.mark, signed >= terms.count, now), signed, terms.count))
}

/// Why a passkey does not reach the level that a rule demands, in the words of the approval page.
fn too_weak(reached: &Assurance, name: &str) -> String {
    let why = reached.amr_missing.get("hwk").map(String::as_str);
    if why == Some(Reason::BackupEligible.as_str()) {
        return format!("this rule needs a hardware key, and the key of \"{name}\" can be copied");
    }
    let why = why.and_then(Reason::sentence).unwrap_or("nothing proves more");
    format!("this rule needs a hardware key with proof from its maker: {why}")
}

fn device_policy(rule: &Rule) -> Option<&DevicePolicy> {
    rule.allow().and_then(|allow| allow.device_policy.as_ref())
}

fn demanded(rule: &Rule) -> Option<Acr> {
    match &rule.effect {
        Effect::Allow(allow) => allow.acr,
        Effect::Deny(_) => None,
    }
}

pub(super) fn still_open(
    reader: &Reader<'_>,
    row: &RequestRow,
    (choice, trusted): (Choice, &Trusted),
    now: Timestamp,
) -> Result<(), AppError> {
    let (standing, _, _) = standing_of(reader, row, (&starters_of(reader, row)?, trusted), now)?;
    standing.take(choice).map_err(|code| AppError::refused(code, describe(code)))
}

const fn describe(code: ErrorCode) -> &'static str {
    match code {
        ErrorCode::AlreadyApproved => "this request is approved already",
        ErrorCode::AlreadyDecided => "this request is decided already",
        ErrorCode::RequestContested => "somebody else tried to collect this token",
        ErrorCode::RuleChanged => "the rule changed after this request was made",
        _ => "too late: this request has ended",
    }
}

fn distinct(unit: &Unit<'_>, row: &RequestRow, choice: Choice, passkey: &PasskeyRow) -> Result<(), AppError> {
    let decisions = unit.reader().decisions(&row.request.id)?;
    let same = decisions.iter().any(|decision| {
        decision.choice == choice
            && (decision.person == passkey.person || decision.public_key_sha256 == passkey.public_key_sha256)
    });
    if same && choice == Choice::Approve {
        return Err(AppError::refused(ErrorCode::AlreadyApproved, "your signature counts already"));
    }
    Ok(())
}

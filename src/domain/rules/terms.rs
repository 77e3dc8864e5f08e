//! The terms of an allowing rule, compiled: audience, what is required of people, the token, AWS's claims.
//! In: what was typed. Out: `Allow`, or what is wrong with it.
//! Implements DESIGN §4's defaults and bounds.
//! Never takes an empty list for everybody, never rounds a bound.

use std::collections::BTreeSet;
use std::time::Duration;

use super::compile::Notes;
use super::source::{ApprovalSource, At, RequireSource, Source, TokenSource};
use super::{Allow, ApprovalTerms, AwsTerms, Excluded, MAX_COUNT, Require, TokenAlg, TokenTerms};
use crate::domain::assurance::Acr;
use crate::domain::assurance::policy::DevicePolicy;
use crate::domain::ids::{Audience, GroupName};
use crate::domain::job::gitlab::{INVENTORY, inventory};
use crate::domain::nearest::did_you_mean;
use crate::domain::time::{
    LIFETIME_DEFAULT, LIFETIME_MOST, WITHIN_DEFAULT, WITHIN_LEAST, WITHIN_MOST, humane, parse_duration,
};
use crate::domain::token::aws;
use crate::domain::token::claims::MAX_SUB;
use crate::domain::token::template::Template;

pub(super) fn allow(source: &Source, policies: &[DevicePolicy], notes: &mut Notes<'_>) -> Option<Allow> {
    let audience = audiences(source, notes);
    let require = require(source, notes);
    let acr = require.as_ref().and_then(|require| acr(source, require, notes));
    let device_policy = require.as_ref().and_then(|require| device_policy(source, require, policies, notes));
    let default = TokenSource::default();
    let token_source = source.token.as_ref().map_or(&default, |at| &at.value);
    let token = token(token_source, require.as_ref(), notes);
    check_sub(source, token_source, notes);
    let aws = match (&audience, &require, &token) {
        (Some(audience), Some(require), Some(token)) => aws_terms(source, audience, require, token, notes),
        _ => None,
    };
    let show_approvers = source.show_approvers.as_ref().is_some_and(|at| at.value);
    Some(Allow { audience: audience?, require: require?, acr, device_policy, token: token?, aws, show_approvers })
}

fn audiences(source: &Source, notes: &mut Notes<'_>) -> Option<Vec<Audience>> {
    let Some(at) = &source.audience else {
        notes.missing("audience", source.line, "the rule has no `audience`", "say who the tokens are for");
        return None;
    };
    let parsed = each(at, "audience", notes, |text| Audience::parse(text).map_err(|error| error.to_string()))?;
    let distinct: BTreeSet<_> = parsed.iter().collect();
    if distinct.len() < parsed.len() {
        notes.error(at.line, "an audience is listed twice", "list each once");
    }
    Some(parsed)
}

/// Every item of a list that must not be empty.
fn each<T>(
    at: &At<Vec<At<String>>>,
    key: &str,
    notes: &mut Notes<'_>,
    parse: impl Fn(&str) -> Result<T, String>,
) -> Option<Vec<T>> {
    if at.value.is_empty() {
        let hint = "an empty list means nobody, never everybody; name at least one, or leave the key out";
        notes.error(at.line, format!("`{key}` is an empty list"), hint);
        return None;
    }
    let mut items = Vec::new();
    for item in &at.value {
        match parse(&item.value) {
            Ok(parsed) => items.push(parsed),
            Err(what) => notes.error_maybe(item.line, format!("`{key}`: {what}"), None),
        }
    }
    (items.len() == at.value.len()).then_some(items)
}

fn require(source: &Source, notes: &mut Notes<'_>) -> Option<Require> {
    let Some(at) = &source.require else {
        let hint = "write require = { approval = { of = [\"group\"] } }, or require = \"none\"";
        notes.missing("require", source.line, "the rule says nothing of who must approve", hint);
        return None;
    };
    match &at.value {
        RequireSource::Approval(approval) => approval_terms(approval, at.line, notes).map(Require::Approval),
        RequireSource::Word(word) => {
            let at = At { value: word.clone(), line: at.line };
            notes.word("require", &at, &[("none", ())]).map(|()| Require::None)
        }
    }
}

/// The policy that is named, with all that it says: a changed policy is a changed rule.
fn device_policy(
    source: &Source,
    require: &Require,
    policies: &[DevicePolicy],
    notes: &mut Notes<'_>,
) -> Option<DevicePolicy> {
    let at = source.device_policy.as_ref()?;
    if *require == Require::None {
        notes.error(at.line, "`device_policy` where nobody signs", "take it out, or require an approval");
        return None;
    }
    let found = policies.iter().find(|policy| policy.name == at.value);
    if found.is_none() {
        let what = format!("there is no device policy \"{}\"", at.value.escape_debug());
        let hint = did_you_mean(&at.value, policies.iter().map(|policy| policy.name.as_str()))
            .unwrap_or_else(|| "write it into the configuration: [[device_policy]] with this name".to_owned());
        notes.error(at.line, what, hint);
    }
    found.cloned()
}

fn approval_terms(approval: &ApprovalSource, line: usize, notes: &mut Notes<'_>) -> Option<ApprovalTerms> {
    if approval.of.is_none() {
        notes.missing("approval.of", line, "`approval` names no group", "write of = [\"group\"]");
    }
    let parse = |text: &str| GroupName::parse(text).map_err(|error| error.to_string());
    let of = approval.of.as_ref().and_then(|at| each(at, "of", notes, parse));
    let count = match &approval.count {
        None => Some(1),
        Some(at) => {
            let count = u32::try_from(at.value).ok().filter(|count| (1..=MAX_COUNT).contains(count));
            if count.is_none() {
                let what = format!("`count` is {}; it is 1 to {MAX_COUNT}", at.value);
                notes.error(at.line, what, "say how many people must sign");
            }
            count
        }
    };
    let mut not = BTreeSet::new();
    for item in approval.not.iter().flat_map(|at| &at.value) {
        not.extend(notes.word("not", item, &[("starter", Excluded::Starter)]));
    }
    if let Some(at) = approval.not.as_ref().filter(|at| at.value.is_empty()) {
        notes.error(at.line, "`not` is an empty list", "leave it out, or write [\"starter\"]");
    }
    let within = duration("within", approval.within.as_ref(), (WITHIN_LEAST, WITHIN_DEFAULT, WITHIN_MOST), notes);
    Some(ApprovalTerms { of: of?.into_iter().collect(), count: count?, not, within: within?.as_secs() })
}

fn duration(
    key: &str,
    typed: Option<&At<String>>,
    (least, default, most): (Duration, Duration, Duration),
    notes: &mut Notes<'_>,
) -> Option<Duration> {
    let Some(at) = typed else { return Some(default) };
    let Some(span) = parse_duration(&at.value) else {
        let what = format!("`{key}` is `{}`, which is not a duration", at.value.escape_debug());
        notes.error(at.line, what, "write a whole number and s, m, h or d, as in \"10m\"");
        return None;
    };
    if span < least || span > most {
        let what = format!("`{key}` is {}; it is {} to {}", humane(span), humane(least), humane(most));
        notes.error_maybe(at.line, what, None);
        return None;
    }
    Some(span)
}

fn acr(source: &Source, require: &Require, notes: &mut Notes<'_>) -> Option<Acr> {
    match (require, &source.acr) {
        (Require::None, None) => None,
        (Require::None, Some(at)) => {
            let hint = "nobody signs, so there is no level; take `acr` out, or require an approval";
            notes.error(at.line, "`acr` beside `require = \"none\"`", hint);
            None
        }
        (Require::Approval(_), None) => Some(Acr::Phr),
        (Require::Approval(_), Some(at)) => notes.word("acr", at, &[("phr", Acr::Phr), ("phrh", Acr::Phrh)]),
    }
}

fn token(typed: &TokenSource, require: Option<&Require>, notes: &mut Notes<'_>) -> Option<TokenTerms> {
    let bounds = (Duration::from_secs(1), LIFETIME_DEFAULT, LIFETIME_MOST);
    let lifetime = duration("lifetime", typed.lifetime.as_ref(), bounds, notes);
    let mut forward = BTreeSet::new();
    for item in typed.forward.iter().flat_map(|at| &at.value) {
        if is_forwardable("forward", &item.value, item.line, notes) {
            forward.insert(item.value.clone());
        }
    }
    let alg = match &typed.alg {
        None => Some(TokenAlg::Rs256),
        Some(at) => notes.word("alg", at, &[("RS256", TokenAlg::Rs256), ("ES256", TokenAlg::Es256)]),
    };
    if let Some(at) = &typed.sub {
        check_template("sub", at, require, notes);
    }
    Some(TokenTerms {
        lifetime: lifetime?.as_secs(),
        forward,
        alg: alg?,
        sub: typed.sub.as_ref().map(|at| at.value.clone()),
    })
}

fn is_forwardable(key: &str, name: &str, line: usize, notes: &mut Notes<'_>) -> bool {
    match inventory(name) {
        Some(claim) if claim.is_forwardable() => true,
        Some(_) => {
            notes.error(line, format!("`{key}`: `{name}` cannot go into a token"), "tokens carry flat texts only");
            false
        }
        None => {
            let known = INVENTORY.iter().filter(|claim| claim.is_forwardable()).map(|claim| claim.name);
            let what = format!("`{key}`: no job token has a claim `{}`", name.escape_debug());
            notes.error_maybe(line, what, did_you_mean(name, known));
            false
        }
    }
}

/// A template names only what exists, and two jobs never fill it alike.
fn check_template(key: &str, at: &At<String>, require: Option<&Require>, notes: &mut Notes<'_>) -> Option<Template> {
    let template = match Template::parse(&at.value) {
        Ok(template) => template,
        Err(error) => {
            notes.error(at.line, format!("`{key}`: {error}"), "write {claim}, as in \"gitlab:{job_project_id}\"");
            return None;
        }
    };
    for slot in template.slots() {
        match slot {
            "acr" | "approver" if require == Some(&Require::None) => {
                let what = format!("`{key}`: there is no {{{slot}}} where nobody signs");
                notes.error(at.line, what, "take it out, or require an approval");
            }
            "approver" if key == "sub" => {
                let hint = "people sign the `sub` itself, so it cannot name them; the token has `approver`";
                notes.error(at.line, "`sub`: {approver} is not known when the job asks", hint);
            }
            "issuer" | "presence" | "acr" | "approver" => {}
            claim => {
                is_forwardable(key, claim, at.line, notes);
            }
        }
    }
    let separator: fn(char) -> bool =
        if key == "sub" { crate::domain::token::template::separates_sub } else { aws::separates_source_identity };
    if !template.is_injective(separator) {
        let example = if key == "sub" { "`:`" } else { "`,` or `@`" };
        let what = format!("`{key}`: two jobs could fill neighbouring placeholders alike");
        notes.error(at.line, what, format!("put {example} between them"));
    }
    Some(template)
}

fn check_sub(source: &Source, token: &TokenSource, notes: &mut Notes<'_>) {
    match &token.sub {
        None => {
            if source.matches.is_some() && !source.has("match.environment") && !source.has("token.sub") {
                let what = "the rule can match jobs without an environment, which the default `sub` names";
                let hint =
                    "add `environment` to `match`, or state token.sub, as in \"gitlab:{job_project_id}:{presence}\"";
                notes.error(source.line, what, hint);
            }
        }
        Some(at) => {
            // A person's `sub` is a bare id; one with a colon can never be taken for it.
            let literal: String = Template::parse(&at.value).map(|template| template.literals()).unwrap_or_default();
            if !literal.contains(':') {
                let hint = "begin it with a prefix and `:`, as in \"gitlab:{job_project_id}\"";
                notes.error(at.line, "`sub` could be taken for a person's", hint);
            }
            if !literal.bytes().all(|b| b.is_ascii_graphic()) || literal.len() > MAX_SUB {
                let what = format!("`sub` is not at most {MAX_SUB} printable ASCII characters without spaces");
                notes.error_maybe(at.line, what, None);
            }
        }
    }
}

fn aws_terms(
    source: &Source,
    audience: &[Audience],
    require: &Require,
    token: &TokenTerms,
    notes: &mut Notes<'_>,
) -> Option<AwsTerms> {
    let at = source.aws.as_ref()?;
    let typed = &at.value;
    let (text, line) = typed.audience.as_ref().map_or((aws::AUDIENCE, at.line), |at| (at.value.as_str(), at.line));
    let target = audience.iter().find(|audience| audience.as_str() == text).cloned();
    if target.is_none() {
        let what = format!("the rule's `audience` does not list `{}`, which `aws` is for", text.escape_debug());
        notes.error(line, what, "add it there, or set aws.audience to one of that list");
    }
    if typed.roles.is_none() && typed.tags.is_none() && typed.source_identity.is_none() {
        notes.error(at.line, "`aws` is empty", "name roles, tags or a source_identity, or take it out");
    }
    let owned = |what: &str| what.to_owned();
    let roles = typed.roles.as_ref().map(|roles| {
        let parse = |role: &str| aws::check_role(role).map(|()| owned(role)).map_err(|error| error.to_string());
        each(roles, "roles", notes, parse)
    });
    let tags = typed.tags.as_ref().map(|tags| {
        let parse = |tag: &str| check_tag(tag, require, token).map(|()| owned(tag));
        each(tags, "tags", notes, parse)
    });
    if let Some(tags) = typed.tags.as_ref().filter(|tags| tags.value.len() > aws::MAX_TAGS) {
        notes.error_maybe(tags.line, format!("{} tags; AWS takes {}", tags.value.len(), aws::MAX_TAGS), None);
    }
    if let Some(at) = &typed.source_identity {
        check_source_identity(at, require, notes);
    }
    Some(AwsTerms {
        audience: target?,
        roles: roles.map_or(Some(Vec::new()), |roles| roles)?,
        tags: tags.map_or(Some(Vec::new()), |tags| tags)?.into_iter().collect(),
        source_identity: typed.source_identity.as_ref().map(|at| at.value.clone()),
    })
}

/// A tag carries a claim of the issued token.
fn check_tag(tag: &str, require: &Require, token: &TokenTerms) -> Result<(), String> {
    match tag {
        "acr" | "approver" if *require == Require::None => {
            return Err(format!("there is no `{tag}` where nobody signs"));
        }
        "sub" | "presence" | "jti" | "acr" | "approver" => return Ok(()),
        _ => {}
    }
    let Some(claim) = tag.strip_prefix("gitlab_") else {
        return Err(format!("`{}` is no text claim of our tokens; did you mean `gitlab_{tag}`?", tag.escape_debug()));
    };
    if token.forward.contains(claim) {
        return Ok(());
    }
    Err(format!("the token does not carry `{}`; add `{}` to token.forward", tag.escape_debug(), claim.escape_debug()))
}

fn check_source_identity(at: &At<String>, require: &Require, notes: &mut Notes<'_>) {
    let Some(template) = check_template("source_identity", at, Some(require), notes) else { return };
    let literal = template.literals();
    if !literal.chars().all(aws::is_source_identity_char) {
        let hint = "letters, digits and _ + = , . @ - only";
        notes.error(at.line, "`source_identity` holds what AWS refuses", hint);
    }
    let people = match require {
        Require::Approval(terms) => usize::try_from(terms.count).unwrap_or(usize::MAX),
        Require::None => 0,
    };
    let least: usize =
        template.slots().map(|slot| if slot == "approver" { (people * 18).saturating_sub(1) } else { 1 }).sum();
    if literal.len() + least > aws::MAX_SOURCE_IDENTITY {
        let what = format!(
            "`source_identity` would be longer than the {} characters that AWS takes",
            aws::MAX_SOURCE_IDENTITY
        );
        notes.error(at.line, what, "name fewer claims, or ask fewer people");
    }
}

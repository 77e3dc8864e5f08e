//! Matching: which rule a job falls under.
//! In: rules, a job, the audiences asked. Out: the rule, or why none; on demand, every check of every rule.
//! Implements DESIGN §4: deny rules first, then the first rule that fits.
//! Never lets an absent claim match, and never answers otherwise with the trace than without.

use std::borrow::Cow;
use std::sync::Arc;

use super::conditions::PLACES;
use super::explain::{nearest, shown};
use super::pattern::Pattern;
use super::set::{Rules, SealedRule};
use super::{Check, Effect, Refusal, Rule, RuleTrace, Trace};
use crate::domain::ids::Audience;
use crate::domain::job::Job;
use crate::domain::job::gitlab::{Form, INVENTORY};
use crate::domain::oauth::error_code::ErrorCode;

const MERGE_REQUEST: &str = "merge_request_event";

/// A claim that a rule names, as its row of the inventory, and what it must be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Condition {
    name: String,
    /// `None` for a claim that no job has.
    row: Option<usize>,
    pattern: Pattern,
    /// It has no `*`, so that texts are compared and not matched.
    exact: bool,
    /// A rule fits where one item of the claim does.
    list: bool,
}

impl Condition {
    /// A rule's conditions in the order in which they are asked: places first, then the others by name.
    pub(super) fn of(rule: &Rule) -> Vec<Self> {
        let places = PLACES.iter().filter_map(|name| rule.matches.get_key_value(*name));
        let others = rule.matches.iter().filter(|(name, _)| !PLACES.contains(&name.as_str()));
        let conditions = places.chain(others).map(|(name, pattern)| {
            let row = INVENTORY.iter().position(|claim| claim.name == name);
            Self {
                name: name.clone(),
                row,
                pattern: pattern.clone(),
                exact: pattern.is_exact(),
                list: row.and_then(|row| INVENTORY.get(row)).is_some_and(|claim| claim.form == Form::List),
            }
        });
        conditions.collect()
    }

    /// The claim's row of the inventory; none for a claim that no job has.
    pub(super) const fn row(&self) -> Option<usize> {
        self.row
    }

    /// The text that the whole claim must be, where it must be one.
    pub(super) fn text(&self) -> Option<&str> {
        (self.exact && !self.list).then_some(self.pattern.as_str())
    }

    fn holds(&self, text: &str) -> bool {
        match (self.list, self.exact) {
            (true, _) => any_item(&self.pattern, text),
            (false, true) => self.pattern.as_str() == text,
            (false, false) => self.pattern.matches(text),
        }
    }

    pub(super) fn is_place(&self) -> bool {
        PLACES.contains(&self.name.as_str())
    }
}

/// A job's claims by their row of the inventory: found at once, however many rules ask.
pub(super) struct View<'a> {
    job: &'a Job,
    claims: Vec<Option<&'a str>>,
    fork: bool,
    merge_request: bool,
}

impl<'a> View<'a> {
    pub(super) fn of(job: &'a Job) -> Self {
        // On old instances `project_id` stands in, as it does in every other place.
        let claim = |name: &str| if name == "job_project_id" { Some(job.job_project_id()) } else { job.claim(name) };
        Self {
            job,
            claims: INVENTORY.iter().map(|row| claim(row.name)).collect(),
            fork: job.is_fork(),
            merge_request: job.claim("pipeline_source") == Some(MERGE_REQUEST),
        }
    }

    fn claim(&self, condition: &Condition) -> Option<&'a str> {
        self.of_row(condition.row?)
    }

    pub(super) fn of_row(&self, row: usize) -> Option<&'a str> {
        self.claims.get(row).copied().flatten()
    }

    pub(super) fn meets(&self, condition: &Condition) -> bool {
        self.claim(condition).is_some_and(|text| condition.holds(text))
    }

    pub(super) fn issuer(&self) -> &str {
        self.job.issuer.as_str()
    }

    pub(super) const fn is_fork(&self) -> bool {
        self.fork
    }

    pub(super) const fn is_merge_request(&self) -> bool {
        self.merge_request
    }
}

/// One comparison, before anybody asked for it in words.
struct Compared<'a> {
    subject: &'a str,
    wanted: Cow<'a, str>,
    found: Option<&'a str>,
    passed: bool,
}

impl Compared<'_> {
    fn check(&self) -> Check {
        Check {
            subject: self.subject.to_owned(),
            wanted: self.wanted.clone().into_owned(),
            found: self.found.map(str::to_owned),
            passed: self.passed,
        }
    }
}

/// Each condition until the first that fails: issuer, places, fork, then the others by name. Whether all passed.
fn walk<'a>(rule: &'a SealedRule, view: &View<'a>, see: &mut dyn FnMut(&Compared<'a>)) -> bool {
    let mut compare = |subject, wanted: &'a str, found: Option<&'a str>, passed| {
        see(&Compared { subject, wanted: Cow::Borrowed(wanted), found, passed });
        passed
    };
    let flag = |value| if value { "true" } else { "false" };
    let (places, others) = rule.conditions().split_at(rule.places());
    let claim = |condition: &'a Condition| {
        let found = view.claim(condition);
        (found, found.is_some_and(|text| condition.holds(text)))
    };
    if let Some(wanted) = &rule.issuer
        && !compare("issuer", wanted.as_str(), Some(view.job.issuer.as_str()), *wanted == view.job.issuer)
    {
        return false;
    }
    for condition in places {
        let (found, holds) = claim(condition);
        if !compare(&condition.name, condition.pattern.as_str(), found, holds) {
            return false;
        }
    }
    if let Some(wanted) = rule.fork
        && !compare("fork", flag(wanted), Some(flag(view.fork)), wanted == view.fork)
    {
        return false;
    }
    if view.merge_request && rule.takes_no_merge_request() {
        return compare("pipeline_source", "not a merge request", Some(MERGE_REQUEST), false);
    }
    others.iter().all(|condition| {
        let (found, holds) = claim(condition);
        compare(&condition.name, condition.pattern.as_str(), found, holds)
    })
}

fn any_item(pattern: &Pattern, json: &str) -> bool {
    let items: Vec<String> = serde_json::from_str(json).unwrap_or_default();
    items.iter().any(|item| pattern.matches(item))
}

fn grants(allowed: &[Audience], asked: &[Audience]) -> bool {
    !asked.is_empty() && asked.iter().all(|audience| allowed.contains(audience))
}

/// What one rule says of a job, in words.
pub(super) fn trace_of(rule: &SealedRule, view: &View<'_>, asked: &[Audience]) -> RuleTrace {
    let mut checks = Vec::new();
    let fits = walk(rule, view, &mut |compared| checks.push(compared.check()));
    if let (true, Some(allow)) = (fits, rule.allow()) {
        let join = |list: &[Audience]| list.iter().map(Audience::as_str).collect::<Vec<_>>().join(" ");
        checks.push(Check {
            subject: "audience".to_owned(),
            wanted: join(&allow.audience),
            found: (!asked.is_empty()).then(|| join(asked)),
            passed: grants(&allow.audience, asked),
        });
    }
    RuleTrace { rule: rule.name.clone(), deny: matches!(rule.effect, Effect::Deny(_)), checks }
}

impl Rules {
    /// The rule that the job falls under for these audiences, or why none; and what that rule, or the nearest, says.
    pub fn matching(&self, job: &Job, asked: &[Audience]) -> (Result<Arc<SealedRule>, Refusal>, Trace) {
        let view = View::of(job);
        let mut other_audiences = None;
        let mut near: Option<(usize, &Arc<SealedRule>)> = None;
        let numbered = self.steps().numbered(&view);
        for (at, rule) in self.candidates(job) {
            let (fits, passed) = self.steps().ask(at, &numbered);
            if !fits {
                if near.is_none_or(|(most, _)| passed > most) && rule.allow().is_some() {
                    near = Some((passed, rule));
                }
                continue;
            }
            if rule.allow().is_some_and(|allow| !grants(&allow.audience, asked)) {
                other_audiences = other_audiences.or(Some(rule));
                continue;
            }
            return (answer(rule), Trace { rules: vec![trace_of(rule, &view, asked)] });
        }
        let told = other_audiences.or(near.map(|(_, rule)| rule));
        let trace = Trace { rules: told.iter().map(|rule| trace_of(rule, &view, asked)).collect() };
        let refusal = other_audiences.map_or_else(|| no_rule(&trace, job), |rule| wrong_audience(rule, asked));
        (Err(refusal), trace)
    }

    /// The rule that the job falls under for these audiences, if one allows it; as `matching`, without a word.
    #[must_use]
    pub fn allowing(&self, job: &Job, asked: &[Audience]) -> Option<&Arc<SealedRule>> {
        let view = View::of(job);
        let numbered = self.steps().numbered(&view);
        let fits = |at: usize, rule: &SealedRule| {
            self.steps().ask(at, &numbered).0 && rule.allow().is_none_or(|allow| grants(&allow.audience, asked))
        };
        let (_, rule) = self.candidates(job).find(|(at, rule)| fits(*at, rule))?;
        rule.allow().is_some().then_some(rule)
    }

    /// Every check of every rule until the one that the job falls under.
    #[must_use]
    pub fn trace(&self, job: &Job, asked: &[Audience]) -> Trace {
        let view = View::of(job);
        let mut trace = Trace::default();
        for rule in self.iter() {
            trace.rules.push(trace_of(rule, &view, asked));
            if trace.rules.last().is_some_and(|rule| rule.checks.last().is_none_or(|check| check.passed)) {
                break;
            }
        }
        trace
    }
}

fn answer(rule: &Arc<SealedRule>) -> Result<Arc<SealedRule>, Refusal> {
    match &rule.effect {
        Effect::Deny(sentence) => {
            let what = format!("the rule \"{}\" refuses this job: {sentence}", rule.name);
            Err(Refusal::new(ErrorCode::DeniedByRule, what).by(&rule.name))
        }
        Effect::Allow(_) => Ok(Arc::clone(rule)),
    }
}

fn wrong_audience(rule: &Rule, asked: &[Audience]) -> Refusal {
    let allowed = rule.allow().map(|allow| allow.audience.as_slice()).unwrap_or_default();
    let what = match asked.iter().find(|audience| !allowed.contains(audience)) {
        Some(audience) => format!("the rule \"{}\" matches this job, but not for the audience `{audience}`", rule.name),
        None => "no audience was asked for".to_owned(),
    };
    Refusal::new(ErrorCode::AudienceNotAllowed, what).by(&rule.name)
}

/// Names the nearest rule, unless it is one for other projects: their rules are none of this job's business.
fn no_rule(trace: &Trace, job: &Job) -> Refusal {
    let refusal = |what: &str| Refusal::new(ErrorCode::NoRuleMatches, what);
    let near =
        nearest(trace).filter(|(_, check)| check.subject != "issuer" && !PLACES.contains(&check.subject.as_str()));
    let Some((rule, check)) = near else {
        let project = job.job_project_id();
        return refusal("no rule matches this job")
            .because(format!("none is for its project ({project})"))
            .with_hint(format!("add a rule that matches job_project_id = \"{project}\""));
    };
    let found = check.found.as_deref().map_or_else(|| "no such claim".to_owned(), shown);
    let nearest =
        format!("nearest: \"{}\" wants {} {}, the job has {found}", rule.rule, check.subject, shown(&check.wanted));
    let answer = refusal("no rule matches this job").because(nearest).by(&rule.rule);
    match cure(check, job) {
        Some(cure) => answer.with_hint(cure),
        None => answer,
    }
}

fn cure(check: &Check, job: &Job) -> Option<String> {
    let of_job = |name: &str| job.claim(name).map(|text| text.escape_debug().to_string());
    match check.subject.as_str() {
        "ref_protected" if check.wanted == "true" => Some(match (of_job("ref"), of_job("ref_type").as_deref()) {
            (Some(name), Some("tag")) => format!("run the job on a protected tag, or protect `{name}` in GitLab"),
            (Some(name), _) => format!("run the job on a protected branch, or protect `{name}` in GitLab"),
            (None, _) => "run the job on a protected branch".to_owned(),
        }),
        "environment" => {
            Some(format!("give the job `environment: {}`, or add a rule for its own", check.wanted.escape_debug()))
        }
        "fork" if check.wanted == "false" => Some("run the job in the project itself, not from a fork".to_owned()),
        "pipeline_source" if job.claim("pipeline_source") == Some(MERGE_REQUEST) => Some(
            "run the job in a branch pipeline; a rule must name `pipeline_source` to take merge requests".to_owned(),
        ),
        _ => None,
    }
}

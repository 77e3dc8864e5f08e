//! The approval page's view: what is asked, by whom, for what, and where it stands.
//! In: a request, what GitLab's token says of people, the state. Out: `ApprovalView`, a template.
//! Implements the screen of `/a/⟨id⟩`.
//! Never reads clock, store or network; never writes a link or a text that could mislead.

use askama::Template;

use crate::domain::canonical::Bytes;
use crate::domain::ids::GroupName;
use crate::domain::request::{Access, Request};
use crate::domain::statement::{Approval, Choice, Statement};
use crate::domain::time::{Timestamp, humane_seconds};
use crate::http::approval::bands::{Band, bands, project};
use crate::http::approval::rows::{Row, rows};
pub use crate::http::approval::standing::PageState;
use crate::http::approval::standing::{Outcome, outcome};
use crate::http::page::{Moment, Visible, by_four, left, safe_link, visible};

/// Characters of a commit that the page shows; all of it is in the list of what is signed.
const SHORT_SHA: usize = 7;
/// Rows that belong to one signature, not to the request: the script fills them from the statement.
const PER_SIGNATURE: &[&str] = &["decision", "nonce", "at"];

/// What the job token says beside what the request records; shown as GitLab's word, never signed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct JobDisplay {
    /// Login of the user who started the job.
    pub user_login: Option<String>,
    /// That user's highest role in the project, lower case.
    pub user_access_level: Option<String>,
    /// Path of the project in which the job runs.
    pub job_project_path: Option<String>,
    /// The project's page.
    pub project_url: Option<String>,
    /// The job's page.
    pub job_url: Option<String>,
    /// When the job token was made.
    pub started_at: Option<Timestamp>,
    /// Who answers for the bot that started the job.
    pub bot_owner: Option<String>,
}

impl JobDisplay {
    /// The project in which the job runs, as lists name it: its path, or its id where no path is known.
    #[must_use]
    pub fn project<'a>(&'a self, request: &'a Request) -> &'a str {
        self.job_project_path.as_deref().or_else(|| request.job_claim("job_project_id")).unwrap_or("a project")
    }
}

/// What the page is made from.
pub struct ApprovalInput<'a> {
    /// The request, as it will be signed.
    pub request: &'a Request,
    /// GitLab's word about people and places.
    pub display: &'a JobDisplay,
    /// The groups that the rule names.
    pub rule_groups: Vec<GroupName>,
    /// How many people must sign.
    pub needed: u32,
    /// How many have.
    pub signed: u32,
    /// Where the request stands.
    pub state: PageState,
    /// The last commit approved for this place, and when.
    pub since_last: Option<(String, Timestamp)>,
    /// Nothing was ever asked for this project and environment before.
    pub first_for_place: bool,
    /// What changed in the rule, where that ended the request.
    pub differences: &'a [String],
    /// Our host, as people see it in the address bar.
    pub host: &'a str,
    /// The time of this answer.
    pub now: Timestamp,
}

/// One token that is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Gets {
    /// `AWS`, where the audience is one that everybody knows.
    pub known: Option<&'static str>,
    /// The audience.
    pub audience: Visible,
    /// The roles: name, and account where there is one.
    pub roles: Vec<(Visible, Option<Visible>)>,
    /// `10 min`.
    pub lifetime: String,
    /// How many tokens.
    pub tokens: u32,
}

/// The commit approved before this one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Since {
    /// Its first characters.
    pub sha: Visible,
    /// When it was approved.
    pub at: Moment,
    /// GitLab's comparison of the two.
    pub compare: Option<String>,
}

/// The approval page. `as_main()` renders what stands inside `<main>`.
#[derive(Debug, Clone, Template)]
#[template(path = "approval/page.html", blocks = ["main"])]
pub struct ApprovalView {
    host: String,
    now: String,
    id: String,
    state: &'static str,
    outcome: Outcome,
    differences: Vec<Visible>,
    deniable: bool,
    decide_by: Moment,
    use_by: Moment,
    left: String,
    bands: Vec<Band>,
    project: Visible,
    question: Question,
    starter: Starter,
    commit: Commit,
    job: JobIds,
    gets: Vec<Gets>,
    since: Option<Since>,
    signed: u32,
    needed: u32,
    groups: String,
    rule: Visible,
    code: String,
    rows: Vec<Row>,
}

#[derive(Debug, Clone)]
struct Question {
    deploys: bool,
    to: Visible,
    others: usize,
}

#[derive(Debug, Clone)]
struct Starter {
    login: Option<Visible>,
    level: Option<Visible>,
    user_id: Option<Visible>,
    at: Option<Moment>,
}

#[derive(Debug, Clone)]
struct Commit {
    sha: Visible,
    spoken: String,
    link: Option<String>,
    kind: &'static str,
    name: Option<Visible>,
    protected: Option<bool>,
}

#[derive(Debug, Clone)]
struct JobIds {
    job: Visible,
    pipeline: Visible,
    project: Visible,
    link: Option<String>,
}

/// The view of a request.
#[must_use]
pub fn approval_view(input: &ApprovalInput<'_>) -> ApprovalView {
    let request = input.request;
    let claim = |name: &str| request.job_claim(name).filter(|text| !text.is_empty());
    let shown = |name: &str| visible(claim(name).unwrap_or("not stated"));
    let runs_in = claim("job_project_id").or_else(|| claim("project_id")).unwrap_or_default();
    ApprovalView {
        host: input.host.to_owned(),
        now: input.now.to_string(),
        id: request.id.to_string(),
        state: input.state.as_str(),
        outcome: outcome(&input.state, input.now),
        differences: input.differences.iter().map(|line| visible(line)).collect(),
        deniable: input.state.takes_a_denial(),
        decide_by: Moment::new(request.decide_by, input.now),
        use_by: Moment::new(request.use_by, input.now),
        left: left(request.decide_by, input.now),
        bands: bands(input),
        project: project(input),
        question: question(request),
        starter: Starter {
            login: input.display.user_login.as_deref().map(visible),
            level: input.display.user_access_level.as_deref().map(|level| visible(&capital(level))),
            user_id: claim("user_id").map(visible),
            at: input.display.started_at.map(|at| Moment::new(at, input.now)),
        },
        commit: commit(input),
        job: JobIds {
            job: shown("job_id"),
            pipeline: shown("pipeline_id"),
            project: visible(runs_in),
            link: input.display.job_url.as_deref().and_then(safe_link),
        },
        gets: request.access.iter().map(gets).collect(),
        since: since(input),
        signed: input.signed,
        needed: input.needed,
        groups: input.rule_groups.iter().map(GroupName::as_str).collect::<Vec<_>>().join(", "),
        rule: visible(request.rule.name.as_str()),
        code: request.code.to_string(),
        rows: preview(request, input.now, input.state.takes_a_denial()),
    }
}

impl ApprovalView {
    fn pending(row: &Row) -> bool {
        PER_SIGNATURE.contains(&row.field.as_str())
    }

    fn others_signed(&self) -> u32 {
        self.needed.saturating_sub(1)
    }

    fn missing(&self) -> u32 {
        self.needed.saturating_sub(self.signed)
    }

    fn spoken_code(&self) -> String {
        let letters: Vec<String> = self.code.chars().filter(|letter| *letter != '-').map(String::from).collect();
        letters.join(" ")
    }
}

/// The rows that stand before anybody has asked for a statement: the request itself, and, while something can be
/// signed, places for what each signature adds.
fn preview(request: &Request, now: Timestamp, signable: bool) -> Vec<Row> {
    let statement = Statement::Approval(Approval {
        decision: Choice::Approve,
        nonce: Bytes::default(),
        at: now,
        request: request.clone(),
        reason: None,
    });
    // A request is plain data, so it always has a JSON form.
    let mut list = serde_json::to_value(statement).map(|value| rows(&value)).unwrap_or_default();
    list.retain(|row| signable || row.field.starts_with("request."));
    list
}

/// The places that everybody knows by another name than their audience.
fn known_place(audience: &str) -> Option<&'static str> {
    match audience {
        "sts.amazonaws.com" => Some("AWS"),
        "api://AzureADTokenExchange" => Some("Azure"),
        _ if audience.contains("//iam.googleapis.com/") => Some("Google Cloud"),
        _ => None,
    }
}

fn question(request: &Request) -> Question {
    let audience = request.audiences().next().map_or("", |audience| audience.as_str());
    let known = known_place(audience);
    Question {
        deploys: known.is_some() && request.job_claim("environment").is_some_and(|name| !name.is_empty()),
        to: visible(known.unwrap_or(audience)),
        others: request.access.len().saturating_sub(1),
    }
}

fn gets(access: &Access) -> Gets {
    Gets {
        known: known_place(access.audience.as_str()),
        audience: visible(access.audience.as_str()),
        roles: access.roles.iter().map(|role| role_and_account(role)).collect(),
        lifetime: humane_seconds(access.lifetime),
        tokens: access.tokens,
    }
}

/// `arn:aws:iam::111122223333:role/path/deploy` as `path/deploy` and the account; any other text whole.
fn role_and_account(role: &str) -> (Visible, Option<Visible>) {
    let parts: Vec<&str> = role.splitn(6, ':').collect();
    match parts.as_slice() {
        ["arn", "aws", "iam", "", account, name] if name.starts_with("role/") => {
            (visible(name.trim_start_matches("role/")), Some(visible(account)))
        }
        _ => (visible(role), None),
    }
}

fn short(sha: &str) -> Visible {
    visible(&sha.chars().take(SHORT_SHA).collect::<String>())
}

fn is_sha(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

fn commit(input: &ApprovalInput<'_>) -> Commit {
    let request = input.request;
    let sha = request.job_claim("sha").unwrap_or_default();
    // A fork's commit is not in the project that the link would lead to.
    let link = project_page(input).filter(|_| is_sha(sha)).map(|page| format!("{page}/-/commit/{sha}"));
    Commit {
        sha: if sha.is_empty() { visible("not stated") } else { short(sha) },
        spoken: by_four(sha),
        link,
        kind: if request.job_claim("ref_type") == Some("tag") { "tag" } else { "branch" },
        name: request.job_claim("ref").filter(|name| !name.is_empty()).map(visible),
        protected: match request.job_claim("ref_protected") {
            Some("true") => Some(true),
            Some("false") => Some(false),
            _ => None,
        },
    }
}

fn project_page(input: &ApprovalInput<'_>) -> Option<String> {
    let page = input.display.project_url.as_deref().filter(|_| !input.request.is_fork()).and_then(safe_link)?;
    Some(page.trim_end_matches('/').to_owned()).filter(|page| !page.contains(['?', '#']))
}

fn since(input: &ApprovalInput<'_>) -> Option<Since> {
    let (before, at) = input.since_last.as_ref()?;
    let sha = input.request.job_claim("sha").unwrap_or_default();
    let compare = project_page(input)
        .filter(|_| is_sha(sha) && is_sha(before))
        .map(|page| format!("{page}/-/compare/{before}...{sha}"));
    Some(Since { sha: short(before), at: Moment::new(*at, input.now), compare })
}

fn capital(word: &str) -> String {
    let mut letters = word.chars();
    letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
}

#[cfg(test)]
mod tests;

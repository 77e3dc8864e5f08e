//! `/a/{id}`: the approval page, its stream of changes, and the two calls of a signature.
//! In: a link id and a browser's answers. Out: HTML, server-sent events, JSON.
//! Implements SCREENS' approval page, WebAuthn L3 §7.2 through the use cases.
//! Never acts on a link alone.

use std::time::Duration;

use actix_web::http::{Method, StatusCode, header};
use actix_web::web::{Bytes, Path, Payload};
use actix_web::{HttpRequest, HttpResponse};
use askama::Template;
use futures_util::stream;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::app::decide_request::{Decided, Intent};
use crate::app::view_request::Seen;
use crate::app::waiting::{Subscription, Woken};
use crate::app::{AppError, Countersign};
use crate::domain::ids::{IssuerName, RequestId};
use crate::domain::oauth::error_code::ErrorCode;
use crate::domain::request::Request;
use crate::domain::request::standing::Standing;
use crate::domain::statement::Choice;
use crate::http::edge::{Shared, ceremony_answer, json_answer};
use crate::http::problem;

use super::view::{ApprovalInput, ApprovalView, JobDisplay, PageState, approval_view};

/// How often a page's stream says that it lives, so that proxies keep it open.
const HEARTBEAT: Duration = Duration::from_secs(20);
/// Most changes that one stream tells before the page must open a new one.
const MAX_EVENTS: u32 = 1000;

/// What a page asks to sign.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OptionsBody {
    decision: Choice,
    #[serde(default)]
    reason: Option<String>,
    #[serde(default)]
    user: Option<String>,
}

fn unknown() -> AppError {
    AppError::refused(ErrorCode::NotFound, "there is no such request")
}

fn find(app: &Countersign, id: &str) -> Result<Seen, AppError> {
    let id = RequestId::parse(id).map_err(|_| unknown())?;
    app.view_request(&id)?.ok_or_else(unknown)
}

/// The page.
pub async fn page(id: Path<String>, edge: Shared) -> HttpResponse {
    match find(&edge.app, &id) {
        Ok(seen) => problem::html(StatusCode::OK, &view(&edge.app, &seen, None)),
        Err(error) => edge.fail_page(error),
    }
}

/// Starts a signature.
pub async fn options(request: HttpRequest, id: Path<String>, payload: Payload, edge: Shared) -> HttpResponse {
    let body: OptionsBody = match edge.start_from_our_page(&request, payload).await {
        Ok(body) => body,
        Err(answer) => return answer,
    };
    let Ok(id) = RequestId::parse(&id) else { return edge.fail_script(unknown()) };
    let intent = Intent { choice: body.decision, reason: body.reason, user: body.user };
    match edge.app.begin_decision(&id, intent).await {
        Ok(ceremony) => ceremony_answer(&ceremony),
        Err(error) => edge.fail_script(error),
    }
}

/// Finishes a signature.
pub async fn decision(request: HttpRequest, id: Path<String>, payload: Payload, edge: Shared) -> HttpResponse {
    let body = match edge.passkey_from_our_page(&request, payload).await {
        Ok(body) => body,
        Err(answer) => return answer,
    };
    let Ok(id) = RequestId::parse(&id) else { return edge.fail_script(unknown()) };
    match edge.app.finish_decision(&id, &body.ceremony, &body.response).await {
        Ok(decided) => match find(&edge.app, id.as_str()) {
            Ok(seen) => json_answer(&state(&edge.app, &seen, Some(&decided))),
            Err(error) => edge.fail_script(error),
        },
        Err(error) => edge.fail_ceremony(&request, error),
    }
}

/// What the script takes: the state, and the page's main part as HTML.
fn state(app: &Countersign, seen: &Seen, by: Option<&Decided>) -> Value {
    let view = view(app, seen, by);
    let html = view.as_main().render().unwrap_or_default();
    json!({ "state": page_state(seen, by).as_str(), "signed": seen.signed, "needed": seen.needed, "html": html })
}

fn view(app: &Countersign, seen: &Seen, by: Option<&Decided>) -> ApprovalView {
    let request = &seen.row.request;
    let groups = crate::app::known::approval_terms(&seen.row.rule).map(|terms| terms.of.iter().cloned().collect());
    let said = display(app, &seen.row.display, request, &seen.row.issuer);
    let display = JobDisplay { bot_owner: seen.bot_owner.clone(), ..said };
    approval_view(&ApprovalInput {
        request,
        display: &display,
        rule_groups: groups.unwrap_or_default(),
        needed: seen.needed,
        signed: seen.signed,
        state: page_state(seen, by),
        since_last: seen.since_last.clone(),
        first_for_place: seen.first_for_place,
        differences: &seen.differences,
        host: app.settings.host(),
        now: seen.now,
    })
}

fn page_state(seen: &Seen, by: Option<&Decided>) -> PageState {
    let approved_by_you = by.is_some_and(|decided| decided.choice == Choice::Approve);
    let last = seen.decisions.iter().rev().find(|decision| decision.choice == Choice::Approve);
    let at = last.map_or(seen.row.created, |decision| decision.at);
    match seen.standing {
        Standing::Waiting if approved_by_you => PageState::CountedMoreNeeded,
        Standing::Waiting => PageState::Waiting,
        Standing::Approved => {
            PageState::ApprovedNotCollected { by_you: approved_by_you, at, use_by: seen.row.request.use_by }
        }
        Standing::Collected => {
            let entry = seen.issued.last().copied().unwrap_or(seen.row.entry);
            PageState::Approved { by_you: approved_by_you, at, entry }
        }
        Standing::Denied => {
            let denial = seen.decisions.iter().find(|decision| decision.choice == Choice::Deny);
            PageState::Denied {
                by_you: by.is_some_and(|decided| decided.choice == Choice::Deny),
                reason: denial.and_then(|decision| decision.reason.clone()),
                entry: denial.map_or(seen.row.entry, |decision| decision.entry),
            }
        }
        Standing::Contested => PageState::Contested,
        Standing::Voided => PageState::Changed,
        Standing::Expired => {
            PageState::Expired { at: if last.is_some() { seen.row.request.use_by } else { seen.row.request.decide_by } }
        }
    }
}

/// What the job token says beside what a request records.
pub fn display(app: &Countersign, said: &str, request: &Request, issuer: &IssuerName) -> JobDisplay {
    let members: serde_json::Map<String, Value> = serde_json::from_str(said).unwrap_or_default();
    let text = |name: &str| members.get(name).and_then(Value::as_str).map(str::to_owned);
    let path = request.project_path(text("job_project_path").as_deref()).map(str::to_owned);
    let gitlab = app.settings.issuer(issuer).map(|issuer| issuer.terms.url.clone());
    let project_url = gitlab.zip(path.as_ref()).map(|(url, path)| format!("{}/{path}", url.trim_end_matches('/')));
    let job_url =
        project_url.as_ref().zip(request.job_claim("job_id")).map(|(project, job)| format!("{project}/-/jobs/{job}"));
    JobDisplay {
        user_login: text("user_login"),
        user_access_level: text("user_access_level"),
        job_project_path: path,
        started_at: members.get("iat").and_then(Value::as_i64).map(crate::domain::time::Timestamp::from_seconds),
        project_url,
        job_url,
        bot_owner: None,
    }
}

struct Stream {
    edge: Shared,
    id: RequestId,
    subscription: Subscription,
    told: Option<String>,
    /// How long until time alone changes the state; `None` once nothing can.
    limit: Option<Duration>,
    left: u32,
    _place: crate::http::caller::Place,
}

/// The stream of changes (HTML Living Standard §9.2). It ends with the request.
pub async fn events(request: HttpRequest, id: Path<String>, edge: Shared) -> HttpResponse {
    let seen = match find(&edge.app, &id) {
        Ok(seen) => seen,
        Err(error) => return edge.fail_script(error),
    };
    let mut answer = HttpResponse::Ok();
    answer
        .insert_header((header::CACHE_CONTROL, "no-store"))
        .insert_header(("x-accel-buffering", "no"))
        .insert_header((header::CONTENT_ENCODING, "identity"))
        .content_type("text/event-stream");
    if request.method() == Method::HEAD {
        // There is nothing to wait for: a body that nobody gets would hold the connection.
        return answer.finish();
    }
    if is_over(seen.standing) {
        // The page shows it already; this status tells a browser not to come again.
        return answer.status(StatusCode::NO_CONTENT).finish();
    }
    let Some(place) = edge.streams.enter(edge.address(&request)) else {
        return edge.fail_script(AppError::refused(ErrorCode::RateLimited, "too many pages of this address are open"));
    };
    let id = seen.row.request.id.clone();
    let subscription = edge.app.waiting().watch(&id);
    let limit = until_it_ends(&seen);
    let first = Stream { edge, id, subscription, told: None, limit, left: MAX_EVENTS, _place: place };
    let stream = stream::unfold(first, |mut state| async move {
        let chunk = next(&mut state).await?;
        Some((Ok::<_, actix_web::Error>(chunk), state))
    });
    answer.streaming(Box::pin(stream))
}

/// The next event: the state where it differs from the one told last, else a sign of life.
async fn next(state: &mut Stream) -> Option<Bytes> {
    state.left = state.left.checked_sub(1)?;
    if state.told.is_some() && state.subscription.wait(state.limit?.min(HEARTBEAT)).await == Woken::Replaced {
        return None;
    }
    let seen = find(&state.edge.app, state.id.as_str()).ok()?;
    state.limit = until_it_ends(&seen);
    let kind = format!("{} {}", page_state(&seen, None).as_str(), seen.signed);
    if state.told.as_ref() == Some(&kind) {
        return Some(Bytes::from_static(b": still here\n\n"));
    }
    state.told = Some(kind);
    let data = self::state(&state.edge.app, &seen, None);
    Some(Bytes::from(format!("event: state\ndata: {data}\n\n")))
}

/// Nothing can change any more.
const fn is_over(standing: Standing) -> bool {
    matches!(standing, Standing::Collected | Standing::Denied | Standing::Voided | Standing::Expired)
}

/// How long until time alone changes the state; `None` where nothing changes it.
fn until_it_ends(seen: &Seen) -> Option<Duration> {
    let end = match seen.standing {
        Standing::Waiting => seen.row.request.decide_by,
        // A contested request can still be denied.
        Standing::Approved | Standing::Contested => seen.row.request.use_by,
        Standing::Collected | Standing::Denied | Standing::Voided | Standing::Expired => return None,
    };
    Some(end.since(seen.now) + Duration::from_millis(50))
}

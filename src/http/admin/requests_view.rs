//! The view of what waits now, grouped by rule.
//! In: requests. Out: `RequestsView`, a template.
//! Implements the screen of `/admin/requests`.
//! Never shows a collector or a code, nor who signed: the link opens the request.

use askama::Template;

use crate::app::list_requests::{RequestLine, RequestsSeen, Waits};
use crate::app::use_session::SignedIn;
use crate::domain::time::Timestamp;
use crate::http::page::{Moment, Visible, left, visible};

/// A request.
#[derive(Debug, Clone, PartialEq, Eq)]
struct RequestRow {
    id: String,
    project: Visible,
    environment: Option<Visible>,
    pipeline: Visible,
    job: Visible,
    audience: Vec<Visible>,
    signed: u32,
    needed: u32,
    state: &'static str,
    contested: bool,
    asked: Moment,
    left: String,
    ends: Moment,
}

impl RequestRow {
    fn new(line: &RequestLine, now: Timestamp) -> Self {
        Self {
            id: line.request.to_string(),
            project: line.project.as_deref().map_or_else(|| visible(&format!("project {}", line.project_id)), visible),
            environment: line.environment.as_deref().map(visible),
            pipeline: visible(&line.pipeline_id),
            job: visible(&line.job_id),
            audience: line.audience.iter().map(|audience| visible(audience.as_str())).collect(),
            signed: line.signed,
            needed: line.needed,
            state: line.waits.words(),
            contested: line.waits == Waits::Denial,
            asked: Moment::new(line.asked, now),
            left: left(line.ends(), now),
            ends: Moment::new(line.ends(), now),
        }
    }
}

/// The requests under one rule.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Group {
    rule: Visible,
    requests: Vec<RequestRow>,
}

/// The page.
#[derive(Debug, Clone, PartialEq, Eq, Template)]
#[template(path = "admin/requests.html")]
pub struct RequestsView {
    host: String,
    now: String,
    here: &'static str,
    count: usize,
    more: bool,
    groups: Vec<Group>,
}

/// The view of what waits.
#[must_use]
pub fn requests_view(host: &str, me: &SignedIn, seen: &RequestsSeen) -> RequestsView {
    let groups = seen.requests.chunk_by(|one, next| one.rule == next.rule).filter_map(|group| {
        let rule = visible(group.first()?.rule.as_str());
        Some(Group { rule, requests: group.iter().map(|line| RequestRow::new(line, seen.now)).collect() })
    });
    RequestsView {
        host: host.to_owned(),
        now: me.now.to_string(),
        here: "requests",
        count: seen.requests.len(),
        more: seen.more,
        groups: groups.collect(),
    }
}

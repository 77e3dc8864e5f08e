//! The lines that a terminal shows, made here so that every client prints the same.
//! In: a request or issued claims. Out: lines without colour or control characters.
//! Implements DESIGN §1, §5 (`summary`).
//! Never names a person unless the rule says so: job logs are read by others.

use std::time::Duration;

use serde_json::{Map, Value};

use crate::domain::request::Request;
use crate::domain::rules::Rule;
use crate::domain::time::{Timestamp, humane, humane_seconds};

use super::known::approval_terms;

/// Characters of a commit that are shown.
const SHORT_SHA: usize = 7;

/// What a waiting job prints.
pub fn pending(request: &Request, rule: &Rule, uri: &str, now: Timestamp) -> Vec<String> {
    let mut what = vec![shown(request, "project_path").unwrap_or_else(|| "a job".to_owned())];
    what.extend(shown(request, "environment"));
    what.extend(request.job_claim("sha").map(|sha| sha.chars().take(SHORT_SHA).collect()));
    let who = approval_terms(rule).map_or_else(String::new, |terms| {
        let groups: Vec<_> = terms.of.iter().map(ToString::to_string).collect();
        format!(", {} of {}", terms.count, groups.join(" or "))
    });
    // To the nearest minute: a call that arrives a moment after the job token's second has 15 min, not 14.
    let left = request.decide_by.since(now);
    let left = humane(if left.as_secs() < 120 { left } else { left + Duration::from_secs(30) });
    vec![
        format!("Approval needed: {}", what.join(" · ")),
        format!("  rule \"{}\"{who}", plain(request.rule.name.as_str())),
        format!("  open  {uri}"),
        format!("  code  {}      until {} UTC ({left})", request.code, request.decide_by.hour_minute()),
    ]
}

/// What a job prints that has its token.
pub fn issued(claims: &Map<String, Value>, approvers: &[String], entry: u64) -> Vec<String> {
    let text = |name: &str| claims.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
    let seconds = |name: &str| claims.get(name).and_then(Value::as_i64).unwrap_or_default();
    let lifetime = u64::try_from(seconds("exp") - seconds("iat")).unwrap_or(0);
    let mut parts = Vec::new();
    if claims.contains_key("approval") {
        let amr: Vec<_> =
            claims.get("amr").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str).collect();
        parts.push("approved".to_owned());
        parts.push(amr.join(" "));
        parts.push(text("acr"));
        if let Some(reason) = claims.get("amr_missing").and_then(|missing| missing.get("hwk")).and_then(Value::as_str) {
            parts.push(format!("not hwk: {}", reason.replace('_', " ")));
        }
    } else {
        parts.push("issued; the rule asks nobody".to_owned());
    }
    let mut lines = vec![parts.join(" · ")];
    if !approvers.is_empty() {
        let names: Vec<_> = approvers.iter().map(|name| plain(name)).collect();
        lines.push(format!("  by {}", names.join(" and ")));
    }
    lines.push(format!("valid {} · log entry {entry}", humane_seconds(lifetime)));
    lines
}

fn shown(request: &Request, name: &str) -> Option<String> {
    request.job_claim(name).map(plain)
}

/// Printable: control characters and those that turn or hide text are escaped, so that a branch cannot draw in a terminal.
pub fn plain(text: &str) -> String {
    text.chars()
        .flat_map(|c| {
            let hidden = c.is_control()
                || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}');
            if hidden { c.escape_unicode().collect::<Vec<_>>() } else { vec![c] }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_job_log_names_people_only_where_the_rule_says_so() {
        let claims = serde_json::json!({
            "iat": 0, "exp": 600, "acr": "phr", "amr": ["pop", "user"],
            "amr_missing": { "hwk": "no_attestation" }, "approval": {},
        });
        let claims = claims.as_object().unwrap();
        let silent = issued(claims, &[], 7);
        assert_eq!(silent, ["approved · pop user · phr · not hwk: no attestation", "valid 10 min · log entry 7"]);
        let told = issued(claims, &["Ada Lind".to_owned(), "Tom\u{1b}[2J Ahl".to_owned()], 7);
        assert_eq!(told.get(1).map(String::as_str), Some("  by Ada Lind and Tom\\u{1b}[2J Ahl"));
    }

    #[test]
    fn names_cannot_draw_in_a_terminal() {
        assert_eq!(plain("a\u{1b}[2Jb"), "a\\u{1b}[2Jb");
        assert_eq!(plain("x\u{202e}y"), "x\\u{202e}y");
        assert_eq!(plain("shop/äpi"), "shop/äpi");
    }
}

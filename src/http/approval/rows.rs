//! Everything that a person signs, as a list: plain word, value, field name.
//! In: a statement as JSON. Out: one row for every leaf of it, in reading order.
//! Implements the completeness that the approval page promises.
//! Never leaves a leaf out, never shows one that is not there.

use std::fmt::Write as _;

use serde_json::Value;

use crate::http::page::{Visible, visible};

/// One value of a statement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// What it is, in plain words.
    pub word: String,
    /// The value, made visible.
    pub value: Visible,
    /// Where it stands in the statement: `request.access[0].audience`.
    pub field: String,
    /// The value as an ASCII JSON literal, so that the script can compare it with what is signed.
    pub exact: String,
}

/// Every leaf of the statement. An empty list or object is a leaf too.
#[must_use]
pub fn rows(statement: &Value) -> Vec<Row> {
    let tokens = statement.pointer("/request/access").and_then(Value::as_array).map_or(0, Vec::len);
    let mut found = Vec::new();
    walk(statement, String::new(), &mut |field, value| {
        found.push(Row { word: word(&field, tokens), value: visible(&plain(value)), field, exact: ascii_json(value) });
    });
    found.sort_by_key(|row| rank(&row.field));
    found
}

fn walk(value: &Value, field: String, leaf: &mut impl FnMut(String, &Value)) {
    match value {
        Value::Object(members) if !members.is_empty() => {
            for (name, member) in members {
                let path = if field.is_empty() { name.clone() } else { format!("{field}.{name}") };
                walk(member, path, leaf);
            }
        }
        Value::Array(items) if !items.is_empty() => {
            for (at, item) in items.iter().enumerate() {
                walk(item, format!("{field}[{at}]"), leaf);
            }
        }
        _ => leaf(field, value),
    }
}

fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// JSON with nothing but ASCII in it: no parser or editor on the way can change what it says.
fn ascii_json(value: &Value) -> String {
    let mut text = String::new();
    for letter in value.to_string().chars() {
        if letter.is_ascii_graphic() || letter == ' ' {
            text.push(letter);
        } else {
            for unit in letter.encode_utf16(&mut [0; 2]) {
                // Writing to a string cannot fail.
                let _ = write!(text, "\\u{unit:04x}");
            }
        }
    }
    text
}

/// Reading order: the decision, the job, what it gets, the rule, then the rest. Equal ranks keep their order.
fn rank(field: &str) -> u8 {
    const ORDER: &[&str] = &[
        "decision",
        "reason",
        "request.job.",
        "request.access",
        "request.rule",
        "request.code",
        "change.act",
        "change.",
    ];
    ORDER
        .iter()
        .position(|start| field.starts_with(start))
        .and_then(|at| u8::try_from(at).ok())
        .unwrap_or(if field.starts_with("request.") { 100 } else { 101 })
}

/// Plain words for the fields whose names do not say it themselves.
const WORDS: &[(&str, &str)] = &[
    ("type", "Kind of statement"),
    ("decision", "Decision"),
    ("reason", "Reason"),
    ("nonce", "Random number, used once"),
    ("at", "Statement made at"),
    ("request.id", "Request"),
    ("request.issuer", "Countersign server"),
    ("request.code", "Code"),
    ("request.collector", "Only this caller may collect"),
    ("request.decide_by", "Signatures count until"),
    ("request.use_by", "Job may collect until"),
    ("request.rule.name", "Rule"),
    ("request.rule.sha256", "Rule’s digest"),
    ("request.job.issuer", "Job token from"),
    ("request.job.token_sha256", "Job token’s digest"),
    ("request.job.job_project_id", "Job runs in project"),
    ("request.job.project_id", "Code comes from project"),
    ("request.job.project_path", "Path of that project"),
    ("request.job.pipeline_id", "Pipeline"),
    ("request.job.pipeline_source", "Pipeline started by"),
    ("request.job.job_id", "Job"),
    ("request.job.sha", "Commit"),
    ("request.job.ref", "Branch or tag"),
    ("request.job.ref_type", "Which of the two"),
    ("request.job.ref_protected", "Protected"),
    ("request.job.environment", "Environment"),
    ("request.job.user_id", "Started by GitLab user"),
    ("request.job.runner_environment", "Runner"),
    ("request.job.identity", "Who that is, says GitLab"),
    ("request.job.identity_provider", "Where it signs them in"),
    ("issuer", "Countersign server"),
    ("device.id", "Device code’s digest"),
    ("device.client", "Application"),
    ("device.scopes", "What it gets"),
    ("device.from", "Asked from"),
    ("device.asked", "Asked at"),
    ("user.issuer", "GitLab"),
    ("user.user_id", "GitLab user"),
    ("user.job_project_id", "Job ran in project"),
    ("user.pipeline_id", "Pipeline"),
    ("user.job_id", "Job"),
    ("user.token_sha256", "Job token’s digest"),
    ("change.act.kind", "What is done"),
    ("change.act.credential", "Passkey’s digest"),
    ("change.act.invitation", "Enrolment link’s digest"),
    ("change.act.owner", "Whose user it is"),
    ("change.act.user_id", "GitLab user"),
    ("change.at", "Proposed at"),
    ("change.by", "Proposed by"),
    ("change.by.person", "Proposed by the person"),
    ("change.id", "Change"),
    ("change.issuer", "Countersign server"),
    ("change.name", "Called"),
    ("change.rules.added", "New rules"),
    ("change.rules.after", "Digest of the rules then"),
    ("change.rules.before", "Digest of the rules now"),
    ("change.rules.changed", "Changed rules"),
    ("change.rules.removed", "Rules that are gone"),
    ("change.sign_by", "Signatures count until"),
];

fn word(field: &str, tokens: usize) -> String {
    if let Some((_, word)) = WORDS.iter().find(|(name, _)| *name == field) {
        return (*word).to_owned();
    }
    let last = field.rsplit('.').next().unwrap_or(field);
    let (name, place) = last.split_once('[').map_or((last, None), |(name, place)| (name, place.strip_suffix(']')));
    let word = match name {
        "audience" => "For",
        "sub" => "Subject",
        "lifetime" => "Lifetime in seconds",
        "tokens" => "How many tokens",
        "roles" => "Role",
        "presence" => "Asked of people",
        other => return number(field, tokens, &sentence(other), place),
    };
    number(field, tokens, word, place)
}

/// `Token 2: role 1`, with the numbers left out where there is only one token.
fn number(field: &str, tokens: usize, word: &str, place: Option<&str>) -> String {
    let one_based = |text: &str| text.parse::<usize>().map_or_else(|_| text.to_owned(), |at| (at + 1).to_string());
    let word = match place {
        Some(at) if at != "0" => format!("{word} {}", one_based(at)),
        _ => word.to_owned(),
    };
    let token = field.strip_prefix("request.access[").and_then(|rest| rest.split(']').next());
    match token {
        Some(at) if tokens > 1 => format!("Token {}: {}", one_based(at), word.to_lowercase()),
        _ => word,
    }
}

/// `runner_environment` as `Runner environment`.
fn sentence(name: &str) -> String {
    let spaced = visible(name).text.replace('_', " ");
    let mut letters = spaced.chars();
    letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    /// Rebuilds the statement from the rows alone.
    fn rebuilt(rows: &[Row]) -> Value {
        let mut whole = Value::Null;
        for row in rows {
            let mut place = &mut whole;
            for part in row.field.split('.') {
                let (name, indices) = part.split_once('[').map_or((part, ""), |(name, rest)| (name, rest));
                if !place.is_object() {
                    *place = json!({});
                }
                place = place.as_object_mut().unwrap().entry(name.to_owned()).or_insert(Value::Null);
                for at in indices.split('[').filter(|at| !at.is_empty()) {
                    let at: usize = at.trim_end_matches(']').parse().unwrap();
                    if !place.is_array() {
                        *place = json!([]);
                    }
                    let items = place.as_array_mut().unwrap();
                    while items.len() <= at {
                        items.push(Value::Null);
                    }
                    place = &mut items[at];
                }
            }
            *place = serde_json::from_str(&row.exact).unwrap();
        }
        whole
    }

    #[test]
    fn the_list_says_exactly_what_the_statement_says() {
        let statement = json!({
            "type": "countersign/approval/v1", "decision": "approve", "nonce": "AA", "at": "2026-11-23T10:40:00.123Z",
            "request": {
                "id": "x", "job": { "sha": "1f3c", "something_new": "\u{202e}é\n" }, "rule": { "name": "r", "sha256": "s" },
                "access": [
                    { "audience": "a", "lifetime": 600, "roles": ["one", "two"] },
                    { "audience": "b", "lifetime": 60, "roles": [] },
                ],
            },
        });
        let list = rows(&statement);
        assert_eq!(rebuilt(&list), statement);
        let mut fields: Vec<_> = list.iter().map(|row| &row.field).collect();
        fields.sort();
        fields.dedup();
        assert_eq!(fields.len(), list.len(), "each field once");
        assert!(list.iter().all(|row| row.exact.is_ascii() && !row.word.is_empty()));
        let word = |field: &str| list.iter().find(|row| row.field == field).unwrap().word.as_str();
        assert_eq!(word("request.access[1].audience"), "Token 2: for");
        assert_eq!(word("request.access[0].roles[1]"), "Token 1: role 2");
        assert_eq!(word("request.job.something_new"), "Something new");
        assert_eq!(list[0].field, "decision");
    }

    fn statement() -> impl Strategy<Value = Value> {
        let leaf =
            prop_oneof![any::<String>().prop_map(Value::from), any::<u32>().prop_map(Value::from), Just(json!([]))];
        leaf.prop_recursive(4, 40, 5, |inner| {
            prop_oneof![
                proptest::collection::vec(inner.clone(), 1..4).prop_map(Value::from),
                proptest::collection::btree_map("[a-z_]{1,6}", inner, 1..5).prop_map(|members| json!(members)),
            ]
        })
    }

    proptest! {
        #[test]
        fn no_leaf_is_left_out(inner in statement()) {
            let whole = json!({ "request": inner });
            prop_assert_eq!(rebuilt(&rows(&whole)), whole);
        }
    }
}

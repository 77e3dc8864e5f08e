//! Tokens whose `iss` names no issuer of this server: which mistake that is.
//! In: the unverified payload, our URL, the URLs of the issuers. Out: `not_a_job_token` or `unknown_issuer`.
//! Implements RFC 8725 §3.8, §3.11 for whoever sent another kind of token and must be told so.
//! Never lets anything pass: every answer is a refusal, so nothing rests on what is read here.

use serde_json::{Map, Value};

use super::gitlab::{INVENTORY, Sent};
use super::legacy::is_host_of;
use crate::domain::oauth::error_code::ErrorCode;
use crate::domain::rules::Refusal;

/// Why a token of this `iss` is refused.
pub fn refusal<'a>(
    unverified: &Map<String, Value>,
    our_url: &str,
    issuers: impl IntoIterator<Item = &'a str>,
) -> Refusal {
    let unverified_iss = unverified.get("iss").and_then(Value::as_str);
    if unverified_iss == Some(our_url) {
        return not_a_job_token("the token was issued by this server itself")
            .with_hint("send the job's own ID token (`id_tokens:`), not one that was issued here");
    }
    let no_audience = matches!(unverified.get("aud"), None | Some(Value::Null));
    if no_audience && unverified_iss.is_some_and(|iss| issuers.into_iter().any(|url| is_host_of(iss, url))) {
        return not_a_job_token("the token is a `CI_JOB_JWT`, which GitLab 17.0 removed").with_hint(
            "declare `id_tokens:` in the job; for an older GitLab, the issuer's `legacy = [\"CI_JOB_JWT\"]` admits it",
        );
    }
    let mut required = INVENTORY.iter().filter(|row| row.sent == Sent::Required);
    match required.find(|row| !unverified.contains_key(row.name)) {
        Some(missing) => not_a_job_token(format!("the token has no `{}`, which every job token has", missing.name)),
        None => Refusal::new(ErrorCode::UnknownIssuer, "`iss` names no issuer of this server"),
    }
}

fn not_a_job_token(what: impl Into<String>) -> Refusal {
    Refusal::new(ErrorCode::NotAJobToken, what)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::domain::job::samples::{GITLAB, US, changed};

    fn code(changes: &Value) -> ErrorCode {
        refusal(&changed(changes), US, [GITLAB]).code
    }

    #[test]
    fn attack_018_other_kinds_of_token_are_called_so() {
        for (changes, word) in [
            (json!({ "iss": US }), "this server itself"),
            (json!({ "iss": "gitlab.shop.example", "aud": null }), "CI_JOB_JWT"),
            (json!({ "iss": "https://token.actions.example", "job_id": null }), "`job_id`"),
            (json!({ "iss": null }), "`iss`"),
        ] {
            let refusal = refusal(&changed(&changes), US, [GITLAB]);
            assert_eq!(refusal.code, ErrorCode::NotAJobToken, "{changes}");
            assert!(refusal.description.contains(word), "{}", refusal.description);
        }
    }

    #[test]
    fn attack_013_a_whole_job_token_of_a_stranger_is_a_strangers() {
        for iss in ["https://gitlab.shop.example/", "gitlab.shop.example", "https://GITLAB.shop.example", ""] {
            assert_eq!(code(&json!({ "iss": iss })), ErrorCode::UnknownIssuer, "{iss}");
        }
    }
}

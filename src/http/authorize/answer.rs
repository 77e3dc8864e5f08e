//! The answer for an application: a redirect, or a form that the browser posts; or a page, where there is no way back.
//! In: proven ways back and members; faults. Out: HTTP answers.
//! Implements RFC 6749 §4.1.2, OAuth 2.0 Form Post Response Mode §2, RFC 9207 §2.
//! Never redirects with a status that would repeat a POST (RFC 9700 §4.12: 303 alone).

use actix_web::HttpResponse;
use actix_web::http::{StatusCode, header};
use url::Url;

use crate::app::authorize::Response;
use crate::app::{AppError, Countersign};
use crate::domain::oauth::authorize::Fault;
use crate::domain::oauth::authorize::parameters::Parameters;
use crate::domain::oauth::client::ResponseMode;
use crate::http::edge::{Edge, call_id};
use crate::http::problem;
use crate::http::serve::CONTENT_SECURITY_POLICY;

use super::view::{PostView, RefusedInput, post_view, refused_view};

/// Sends the answer to the application.
pub fn to_application(app: &Countersign, response: &Response) -> HttpResponse {
    match response.back.response_mode {
        ResponseMode::Query => HttpResponse::SeeOther()
            .insert_header((header::LOCATION, with_query(&response.back.redirect_uri, &response.members)))
            .insert_header((header::CACHE_CONTROL, "no-store"))
            .finish(),
        ResponseMode::FormPost => by_post(&post_view(app.settings.host(), response, app.clock.now())),
    }
}

/// The redirect URI with the members behind whatever query it has of its own (RFC 6749 §3.1.2).
fn with_query(uri: &str, members: &[(&'static str, String)]) -> String {
    let joint = match uri.split_once('?') {
        None => "?",
        Some((_, "")) => "",
        Some((_, query)) if query.ends_with('&') => "",
        Some(_) => "&",
    };
    let query = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(members).finish();
    format!("{uri}{joint}{query}")
}

/// A page whose form may be posted to that one place.
fn by_post(view: &PostView) -> HttpResponse {
    let policy =
        CONTENT_SECURITY_POLICY.replace("form-action 'none'", &format!("form-action {}", source(view.action())));
    let mut answer = problem::html(StatusCode::OK, view);
    if let Ok(policy) = header::HeaderValue::from_str(&policy) {
        answer.headers_mut().insert(header::CONTENT_SECURITY_POLICY, policy);
    }
    answer
}

/// The place of a redirect URI as a policy names it (CSP 3 §2.3.1): its origin; where a policy has no word for that (a
/// scheme of an app, an IPv6 address), its scheme.
fn source(uri: &str) -> String {
    let Ok(url) = Url::parse(uri) else { return "'none'".to_owned() };
    match url.host() {
        Some(url::Host::Domain(_) | url::Host::Ipv4(_)) if matches!(url.scheme(), "http" | "https") => {
            url.origin().ascii_serialization()
        }
        _ => format!("{}:", url.scheme()),
    }
}

/// What is wrong with a request: to the application where that is safe, on a page elsewhere.
pub fn wrong(edge: &Edge, said: &Parameters, fault: &Fault) -> HttpResponse {
    let (client, parameter, refusal) = match fault {
        Fault::Client { back, refusal } => {
            return to_application(&edge.app, &edge.app.fault_response(back.clone(), refusal));
        }
        Fault::Page { client, parameter, refusal } => (client, *parameter, refusal),
    };
    let call_id = call_id();
    tracing::info!(call_id, code = refusal.code.as_str(), parameter, "an application's request was refused");
    let view = refused_view(&RefusedInput {
        host: edge.app.settings.host(),
        application: client.as_ref().map(|client| client.name.as_str()),
        parameter,
        sent: said.get(parameter),
        refusal,
        call_id: &call_id,
        now: edge.app.clock.now(),
    });
    problem::html(StatusCode::BAD_REQUEST, &view)
}

/// What is wrong with a request before anybody knows whose it is.
pub fn unread(edge: &Edge, error: AppError, parameter: &'static str) -> HttpResponse {
    match error {
        AppError::Refused { refusal, .. } => {
            wrong(edge, &Parameters::default(), &Fault::Page { client: None, parameter, refusal: Box::new(refusal) })
        }
        fault @ AppError::Fault { .. } => edge.fail_page(fault),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_stand_behind_a_query_that_is_there() {
        let members = [("code", "co_1".to_owned()), ("state", "a b&c".to_owned()), ("iss", "https://x".to_owned())];
        let query = "code=co_1&state=a+b%26c&iss=https%3A%2F%2Fx";
        for (uri, joined) in [
            ("https://a.example/cb", format!("https://a.example/cb?{query}")),
            ("https://a.example/cb?", format!("https://a.example/cb?{query}")),
            ("https://a.example/cb?t=1", format!("https://a.example/cb?t=1&{query}")),
            ("https://a.example/cb?t=1&", format!("https://a.example/cb?t=1&{query}")),
            ("com.example.app:/cb", format!("com.example.app:/cb?{query}")),
        ] {
            assert_eq!(with_query(uri, &members), joined);
        }
    }

    #[test]
    fn a_form_may_be_posted_to_one_place() {
        assert_eq!(source("https://a.example:8443/cb?x=1"), "https://a.example:8443");
        assert_eq!(source("http://127.0.0.1:9/cb"), "http://127.0.0.1:9");
        assert_eq!(source("http://[::1]:9/cb"), "http:");
        assert_eq!(source("com.example.app:/cb"), "com.example.app:");
    }
}

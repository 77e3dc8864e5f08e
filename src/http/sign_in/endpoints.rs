//! `/sign-in`, `/sign-out`: the page, and the calls that begin and end a session.
//! In: a browser's answers. Out: HTML, JSON, the session's cookie.
//! Implements SCREENS' sign-in, WebAuthn L3 §7.2 through the use cases.
//! Never goes on with a session that the browser had before.

use actix_web::http::{StatusCode, header};
use actix_web::web::Payload;
use actix_web::{HttpRequest, HttpResponse};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::app::sign_in::{Browser, SignInWish};
use crate::domain::oauth::authorize::interaction::Interaction;
use crate::domain::session::device_hint;
use crate::http::edge::{Edge, Shared, asked, json_answer};
use crate::http::{problem, session};

use super::view::{ForApplication, SignInInput, sign_in_view};

/// Whose keys to look for, where no key was offered, and for which application's request.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OptionsBody {
    #[serde(default)]
    user: Option<String>,
    #[serde(default, rename = "for")]
    request: Option<String>,
}

/// Where to sign out.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SignOutBody {
    #[serde(default)]
    everywhere: bool,
}

/// The page. Whoever is signed in goes on, unless a fresh touch is wanted.
pub async fn page(request: HttpRequest, edge: Shared) -> HttpResponse {
    let again = asked::<String>(&request, "again").is_some();
    if let Some(id) = asked::<String>(&request, "for") {
        return for_application(&request, &edge, (&id, again));
    }
    let next = asked::<String>(&request, "next").and_then(|path| session::local_path(&path));
    let next = next.unwrap_or_else(|| "/".to_owned());
    let signed_in = match session::who(&edge, &request).await {
        Ok(signed_in) => signed_in,
        Err(error) => return edge.fail_page(error),
    };
    if signed_in.is_some() && !again {
        return session::see(&next);
    }
    let view = sign_in_view(&SignInInput {
        host: edge.app.settings.host(),
        again: signed_in.as_ref().map(|one| one.person.name.as_str()),
        next: &next,
        application: None,
        contact: edge.app.settings.contact.as_deref(),
        now: edge.app.clock.now(),
    });
    problem::html(StatusCode::OK, &view)
}

/// The page for an application. Whoever needs no sign-in goes on, unless they want to be somebody else.
fn for_application(request: &HttpRequest, edge: &Edge, (id, again): (&str, bool)) -> HttpResponse {
    let looked = match edge.app.look_at_authorization(id, session::digest(request)) {
        Ok(looked) => looked,
        Err(error) => return edge.fail_page(error),
    };
    let next = format!("/authorize/{id}");
    let needed = matches!(looked.next, Interaction::SignIn(_) | Interaction::StepUp(_));
    if looked.cancelled || !(needed || again) {
        return session::see(&next);
    }
    let view = sign_in_view(&SignInInput {
        host: edge.app.settings.host(),
        again: None,
        next: &next,
        application: Some(ForApplication { id, looked: &looked }),
        contact: edge.app.settings.contact.as_deref(),
        now: edge.app.clock.now(),
    });
    problem::html(StatusCode::OK, &view)
}

/// Starts a sign-in.
pub async fn options(request: HttpRequest, payload: Payload, edge: Shared) -> HttpResponse {
    let body: OptionsBody = match edge.start_from_our_page(&request, payload).await {
        Ok(body) => body,
        Err(answer) => return answer,
    };
    let from = edge.network(&request);
    let wish = SignInWish { user: body.user.as_deref(), request: body.request.as_deref(), from };
    match edge.app.begin_sign_in(wish).await {
        Ok(begun) => {
            let public_key = begun.options.get("publicKey").cloned().unwrap_or(Value::Null);
            json_answer(&json!({ "ceremony": begun.id, "publicKey": public_key }))
        }
        Err(error) => edge.fail_script(error),
    }
}

/// Finishes a sign-in: a new session, and a new cookie for it.
pub async fn begin(request: HttpRequest, payload: Payload, edge: Shared) -> HttpResponse {
    let body = match edge.passkey_from_our_page(&request, payload).await {
        Ok(body) => body,
        Err(answer) => return answer,
    };
    let agent = request.headers().get(header::USER_AGENT).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let browser = Browser { device: device_hint(agent), before: session::digest(&request) };
    match edge.app.finish_sign_in(&body.ceremony, &body.response, browser).await {
        Ok(begun) => {
            let mut answer = json_answer(&json!({ "person": begun.person, "log": begun.entry }));
            let cookie = session::cookie(&begun.secret, edge.app.settings.sessions);
            match answer.add_cookie(&cookie) {
                Ok(()) => answer,
                Err(error) => edge.fail_script(crate::app::AppError::internal(error)),
            }
        }
        Err(error) => edge.fail_ceremony(&request, error),
    }
}

/// Ends this session, or every one of this person.
pub async fn end(request: HttpRequest, payload: Payload, edge: Shared) -> HttpResponse {
    let (body, session): (SignOutBody, _) = match session::call(&edge, &request, payload).await {
        Ok(called) => called,
        Err(answer) => return answer,
    };
    match edge.app.sign_out(session, body.everywhere).await {
        Ok(()) => {
            let mut answer = json_answer(&json!({}));
            match answer.add_cookie(&session::no_cookie()) {
                Ok(()) => answer,
                Err(error) => edge.fail_script(crate::app::AppError::internal(error)),
            }
        }
        Err(error) => edge.fail_script(error),
    }
}

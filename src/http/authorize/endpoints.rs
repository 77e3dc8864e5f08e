//! `/authorize`, `/authorize/⟨id⟩`: an application's request, and the way of its person through it.
//! In: parameters, a session, what the person says. Out: the way on, a question, or the answer for the application.
//! Implements OpenID Connect Core §3.1.2.1 (GET and POST), RFC 9126 §4.
//! Never answers an application by the request that it sent: a GET of our own follows, which brings the session's cookie.

use actix_web::http::{Method, StatusCode, header};
use actix_web::web::{Path, Payload};
use actix_web::{HttpRequest, HttpResponse};
use serde_json::json;

use crate::app::authorize::{Answered, CameIn, Looked};
use crate::app::{AppError, Countersign};
use crate::domain::ids::{ClientId, Digest};
use crate::domain::oauth::authorize::Fault;
use crate::domain::oauth::authorize::interaction::Interaction;
use crate::domain::oauth::authorize::parameters::Parameters;
use crate::domain::oauth::error_code::ErrorCode;
use crate::http::bodies::EmptyBody;
use crate::http::caller::{Visit, visit};
use crate::http::edge::{Edge, Shared, is_form, json_answer};
use crate::http::{problem, session};

use super::answer::{to_application, unread, wrong};
use super::view::{consent_view, outside_view};

/// An SVG is a document where somebody opens it by itself: it runs nothing and fetches nothing, and is of no origin.
pub const PICTURE_POLICY: &str = "sandbox; default-src 'none'; style-src 'unsafe-inline'";

/// A request in the query.
pub async fn get(request: HttpRequest, edge: Shared) -> HttpResponse {
    come_in(&request, request.query_string().as_bytes(), &edge).await
}

/// A request as a form.
pub async fn post(request: HttpRequest, payload: Payload, edge: Shared) -> HttpResponse {
    if !is_form(&request) {
        let error = AppError::refused(ErrorCode::ParameterInvalid, "the request is not a form");
        return unread(&edge, error, "Content-Type");
    }
    match edge.body(&request, payload).await {
        Ok(body) => come_in(&request, &body, &edge).await,
        Err(answer) => answer,
    }
}

async fn come_in(request: &HttpRequest, text: &[u8], edge: &Edge) -> HttpResponse {
    if request.method() == Method::HEAD {
        // A look at the head begins nothing.
        return HttpResponse::Ok().finish();
    }
    let tally = match visit(request) {
        Visit::Seen => &edge.authorizations,
        Visit::Framed => &edge.foreign,
        // Whatever sends it, it is not a person on their way: it begins nothing, and takes nothing of their share.
        Visit::Unseen => {
            let text = "an application sends people themselves here, and no script or picture in their place";
            let refused = AppError::refused(ErrorCode::OriginWrong, text);
            return edge.fail_page(refused.with_hint("have the browser go to `/authorize` itself"));
        }
    };
    if let Some(answer) = edge.refuse_page_beyond(tally, edge.address(request)) {
        return answer;
    }
    tally.count(edge.address(request), edge.app.clock.monotonic());
    let said = match Parameters::read(text) {
        Ok(said) => said,
        Err(refusal) => return unread(edge, refusal.into(), "request"),
    };
    match edge.app.take_authorization(&said, edge.network(request)).await {
        Ok(CameIn::Waits(id)) => session::see(&format!("/authorize/{id}")),
        Ok(CameIn::Wrong(fault)) => wrong(edge, &said, &fault),
        Err(AppError::Refused { refusal, .. }) => {
            let client = said.get("client_id").and_then(|id| ClientId::parse(id).ok());
            let client = client.and_then(|id| edge.app.clients.find(&id));
            wrong(edge, &said, &Fault::Page { client, parameter: "request_uri", refusal: Box::new(refusal) })
        }
        Err(fault @ AppError::Fault { .. }) => edge.fail_page(fault),
    }
}

/// Where a person goes on: to the sign-in page, to a question, or back to the application with its answer.
pub async fn go_on(request: HttpRequest, id: Path<String>, edge: Shared) -> HttpResponse {
    // A session that is over is noted as such, as on every page.
    if let Err(error) = session::who(&edge, &request).await {
        return edge.fail_page(error);
    }
    let session = session::digest(&request);
    match next(&edge.app, &id, session, request.method() == Method::HEAD).await {
        Ok(answer) => answer,
        Err(error) => edge.fail_page(error),
    }
}

async fn next(app: &Countersign, id: &str, session: Option<Digest>, looks: bool) -> Result<HttpResponse, AppError> {
    let mut looked = app.look_at_authorization(id, session)?;
    let is_decided = looked.cancelled || matches!(looked.next, Interaction::Issue | Interaction::Refuse(_));
    if is_decided && looks {
        return Ok(HttpResponse::Ok().finish());
    }
    if is_decided {
        match app.answer_authorization(id, session).await? {
            Answered::Response(response) => return Ok(to_application(app, &response)),
            // Something has moved in between.
            Answered::First(next) => looked.next = next,
        }
    }
    Ok(ask(app, id, &looked))
}

fn ask(app: &Countersign, id: &str, looked: &Looked) -> HttpResponse {
    let host = app.settings.host();
    match (&looked.next, &looked.who) {
        (Interaction::Consent(scopes), Some(me)) => {
            problem::html(StatusCode::OK, &consent_view((host, id), looked, me, scopes))
        }
        (Interaction::Outside, Some(me)) => {
            let contact = app.settings.contact.as_deref();
            problem::html(StatusCode::FORBIDDEN, &outside_view((host, id), looked, me, contact))
        }
        _ => session::see(&format!("/sign-in?for={id}")),
    }
}

/// The person agrees.
pub async fn consent(request: HttpRequest, id: Path<String>, payload: Payload, edge: Shared) -> HttpResponse {
    let (EmptyBody {}, session) = match session::call(&edge, &request, payload).await {
        Ok(called) => called,
        Err(answer) => return answer,
    };
    match edge.app.agree_to_authorization(&id, session).await {
        Ok(()) => json_answer(&json!({})),
        Err(error) => edge.fail_script(error),
    }
}

/// The person will not.
pub async fn cancel(request: HttpRequest, id: Path<String>, payload: Payload, edge: Shared) -> HttpResponse {
    if let Err(answer) = edge.json_from_our_page::<EmptyBody>(&request, payload).await {
        return answer;
    }
    match edge.app.cancel_authorization(&id, session::digest(&request)).await {
        Ok(()) => json_answer(&json!({})),
        Err(error) => edge.fail_script(error),
    }
}

/// An application's picture.
pub async fn logo(client: Path<String>, edge: Shared) -> HttpResponse {
    let client = ClientId::parse(&client).ok().and_then(|id| edge.app.clients.find(&id));
    match client.as_ref().and_then(|client| client.logo.as_ref()) {
        Some(logo) => HttpResponse::Ok()
            .insert_header((header::CACHE_CONTROL, "public, max-age=300"))
            .insert_header((header::CONTENT_SECURITY_POLICY, PICTURE_POLICY))
            .content_type(logo.media_type)
            .body(logo.bytes.clone()),
        None => edge.fail_page(AppError::refused(ErrorCode::NotFound, "there is no such picture")),
    }
}

//! `POST /link`: a job brings the code of somebody who says that the job's user is theirs.
//! In: a form with `code` and `token`. Out: JSON that says whom GitLab named, and what to do next.
//! Implements DESIGN §11 (proof by pipeline).
//! Never says whose code it is, and ties nobody to anything: the person signs that.

use actix_web::web::Payload;
use actix_web::{HttpRequest, HttpResponse};
use serde_json::json;

use crate::app::AppError;
use crate::domain::oauth::link_form::{LinkForm, parse};

use super::edge::{Edge, Shared, json_answer};

/// Takes a code and the job's token.
pub async fn post(request: HttpRequest, payload: Payload, edge: Shared) -> HttpResponse {
    if let Some(answer) = edge.refuse_refused(&request) {
        return answer;
    }
    let brought = match read(&request, payload, &edge).await {
        Ok(form) => edge.app.bring_link_code(&form).await,
        Err(answer) => {
            edge.count_refused(&request);
            return answer;
        }
    };
    match brought {
        Ok(user) => {
            let page = format!("{}/me/links", edge.app.settings.url);
            let says = format!("GitLab says that user {} of {} ran this pipeline", user.user_id, user.issuer);
            json_answer(&json!({
                "issuer": user.issuer,
                "user_id": user.user_id,
                "summary": [says, format!("sign it at {page}")],
            }))
        }
        Err(error) => {
            if matches!(error, AppError::Refused { .. }) {
                edge.count_refused(&request);
            }
            edge.fail(error)
        }
    }
}

async fn read(request: &HttpRequest, payload: Payload, edge: &Edge) -> Result<LinkForm, HttpResponse> {
    let body = edge.form_body(request, payload).await?;
    parse(&body).map_err(|refusal| edge.fail(refusal.into()))
}

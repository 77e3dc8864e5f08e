//! What never changes within a version: stylesheet, scripts, pictures, manifest, the shell client, the documentation.
//! In: a name. Out: bytes built into the binary.
//! Implements SCREENS (one stylesheet, one small script a page).
//! Never reads a file.

use actix_web::http::{StatusCode, header};
use actix_web::{HttpResponse, web};
use askama::Template;

use crate::app::AppError;
use crate::domain::oauth::error_code::ErrorCode;

use super::edge::Shared;
use super::page::{Piece, pieces};
use super::problem;

const ASSETS: &[(&str, &str, &[u8])] = &[
    ("countersign.css", "text/css; charset=utf-8", include_bytes!("../../static/countersign.css")),
    ("admin.js", "text/javascript; charset=utf-8", include_bytes!("../../static/admin.js")),
    ("authorize.js", "text/javascript; charset=utf-8", include_bytes!("../../static/authorize.js")),
    ("change.js", "text/javascript; charset=utf-8", include_bytes!("../../static/change.js")),
    ("statement.js", "text/javascript; charset=utf-8", include_bytes!("../../static/statement.js")),
    ("approve.js", "text/javascript; charset=utf-8", include_bytes!("../../static/approve.js")),
    ("client.js", "text/javascript; charset=utf-8", include_bytes!("../../static/client.js")),
    ("device.js", "text/javascript; charset=utf-8", include_bytes!("../../static/device.js")),
    ("enrol.js", "text/javascript; charset=utf-8", include_bytes!("../../static/enrol.js")),
    ("home.js", "text/javascript; charset=utf-8", include_bytes!("../../static/home.js")),
    ("links.js", "text/javascript; charset=utf-8", include_bytes!("../../static/links.js")),
    ("logout.js", "text/javascript; charset=utf-8", include_bytes!("../../static/logout.js")),
    ("me.js", "text/javascript; charset=utf-8", include_bytes!("../../static/me.js")),
    ("occupied.js", "text/javascript; charset=utf-8", include_bytes!("../../static/occupied.js")),
    ("sign-in.js", "text/javascript; charset=utf-8", include_bytes!("../../static/sign-in.js")),
    ("people.js", "text/javascript; charset=utf-8", include_bytes!("../../static/people.js")),
    ("post.js", "text/javascript; charset=utf-8", include_bytes!("../../static/post.js")),
    ("push.js", "text/javascript; charset=utf-8", include_bytes!("../../static/push.js")),
    ("touch.js", "text/javascript; charset=utf-8", include_bytes!("../../static/touch.js")),
    ("passkey.js", "text/javascript; charset=utf-8", include_bytes!("../../static/passkey.js")),
    (
        "manifest.webmanifest",
        "application/manifest+json; charset=utf-8",
        include_bytes!("../../static/manifest.webmanifest"),
    ),
    ("icon.png", "image/png", include_bytes!("../../static/icon.png")),
    ("icon.svg", "image/svg+xml", include_bytes!("../../static/icon.svg")),
];
const SERVICE_WORKER: &str = include_str!("../../static/sw.js");
const SHELL_CLIENT: &str = include_str!("../../static/countersign.sh");

/// The documentation, built in so that it always fits the version.
pub const DOCUMENTS: &[(&str, &str)] = &[
    ("admin", include_str!("../../docs/admin.md")),
    ("amr", include_str!("../../docs/amr.md")),
    ("attacks", include_str!("../../docs/attacks.md")),
    ("clients", include_str!("../../docs/clients.md")),
    ("clouds", include_str!("../../docs/clouds.md")),
    ("conformance", include_str!("../../docs/conformance.md")),
    ("deploy", include_str!("../../docs/deploy.md")),
    ("faults", include_str!("../../docs/faults.md")),
    ("gitlab", include_str!("../../docs/gitlab.md")),
    ("keys", include_str!("../../docs/keys.md")),
    ("limits", include_str!("../../docs/limits.md")),
    ("people", include_str!("../../docs/people.md")),
    ("performance", include_str!("../../docs/performance.md")),
    ("relying-parties", include_str!("../../docs/relying-parties.md")),
    ("rules", include_str!("../../docs/rules.md")),
    ("sign-in", include_str!("../../docs/sign-in.md")),
    ("verify", include_str!("../../docs/verify.md")),
];

/// A stylesheet, script or picture.
pub async fn asset(name: web::Path<String>, edge: Shared) -> HttpResponse {
    let Some((_, kind, body)) = ASSETS.iter().find(|(known, ..)| *known == name.as_str()) else {
        return edge.fail_page(AppError::refused(ErrorCode::NotFound, "there is no such file"));
    };
    HttpResponse::Ok().insert_header((header::CACHE_CONTROL, "public, max-age=300")).content_type(*kind).body(*body)
}

/// What a browser runs when a message comes; at the root, so that it may open every page.
pub async fn service_worker() -> HttpResponse {
    HttpResponse::Ok()
        .insert_header((header::CACHE_CONTROL, "no-cache"))
        .content_type("text/javascript; charset=utf-8")
        .body(SERVICE_WORKER)
}

/// The client for images without the binary.
pub async fn shell_client() -> HttpResponse {
    HttpResponse::Ok()
        .insert_header((header::CACHE_CONTROL, "public, max-age=300"))
        .content_type("text/x-shellscript; charset=utf-8")
        .body(SHELL_CLIENT)
}

/// A page of the documentation, as it was written.
pub async fn document(name: web::Path<String>, edge: Shared) -> HttpResponse {
    let Some((_, text)) = DOCUMENTS.iter().find(|(known, _)| *known == name.as_str()) else {
        return edge.fail_page(AppError::refused(ErrorCode::NotFound, "there is no such page"));
    };
    HttpResponse::Ok()
        .insert_header((header::CACHE_CONTROL, "public, max-age=300"))
        .content_type("text/plain; charset=utf-8")
        .body(*text)
}

/// Every error code, each at its own anchor: what `error_uri` names.
#[derive(Template)]
#[template(path = "errors.html")]
struct ErrorsView<'a> {
    host: &'a str,
    codes: &'static [ErrorCode],
}

impl ErrorsView<'_> {
    #[expect(clippy::trivially_copy_pass_by_ref, reason = "a template hands out references")]
    fn cure(code: &ErrorCode) -> Vec<Piece> {
        pieces(code.cure())
    }
}

/// The register of error codes.
pub async fn errors(edge: Shared) -> HttpResponse {
    let view = ErrorsView { host: edge.app.settings.host(), codes: ErrorCode::ALL };
    problem::html(StatusCode::OK, &view)
}

//! THE TABLE: what can be called, by whom, how large, and what may be kept.
//! In: nothing. Out: rows, and actix's configuration made from them.
//! Implements DESIGN §3.
//! Never a route that is not a row here.

use actix_web::http::Method;
use actix_web::web::{self, ServiceConfig};
use actix_web::{HttpResponse, Route};

use super::edge::MAX_BODY;
use super::{
    admin, approval, assets, authorize, changes, cors, device, device_authorization, discovery, enrolment, health,
    home, introspect, link, logout, me, metrics, par, revoke, sign_in, token, userinfo,
};

/// Who may call a route.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Who {
    /// Everybody.
    Anybody,
    /// Whoever brings a job token.
    Job,
    /// A client that says, and mostly proves, who it is.
    Client,
    /// Whoever brings an access token.
    TokenHolder,
    /// Whoever an application sends with its request; a sign-in or a question comes before anything is given.
    Application,
    /// Whoever has the link; looking only.
    LinkHolder,
    /// A page of ours, and a passkey's touch.
    OurPage,
    /// Whoever is signed in; looking only. Others are sent to the sign-in page.
    SignedIn,
    /// A page of ours in a session.
    OurPageSignedIn,
    /// Whoever is signed in and is an admin or an auditor; looking only. For others who are signed in there is no such
    /// page; the rest are sent to the sign-in page.
    Admin,
    /// A page of ours in the session of an admin.
    OurPageAdmin,
}

/// One row.
#[derive(Debug, Clone, Copy)]
pub struct Row {
    /// `GET` or `POST`.
    pub method: &'static str,
    /// actix's pattern.
    pub path: &'static str,
    /// Who may call it.
    pub who: Who,
    /// Largest body, in bytes.
    pub max_body: usize,
    handler: fn() -> Route,
    /// What answers a browser that asks whether a foreign page may call (Fetch §3.2.2).
    preflight: Option<fn() -> Route>,
}

const fn get(path: &'static str, who: Who, handler: fn() -> Route) -> Row {
    Row { method: "GET", path, who, max_body: 0, handler, preflight: None }
}

const fn post(path: &'static str, who: Who, handler: fn() -> Route) -> Row {
    Row { method: "POST", path, who, max_body: MAX_BODY, handler, preflight: None }
}

const fn shared(row: Row, preflight: fn() -> Route) -> Row {
    Row { preflight: Some(preflight), ..row }
}

/// Every route; two rows of one path are two methods of it.
pub const TABLE: &[Row] = &[
    // clouds
    get("/.well-known/openid-configuration", Who::Anybody, || web::route().to(discovery::configuration)),
    get("/.well-known/oauth-authorization-server", Who::Anybody, || web::route().to(discovery::configuration)),
    get("/jwks", Who::Anybody, || web::route().to(discovery::jwks)),
    // jobs
    shared(post("/token", Who::Job, || web::route().to(token::post)), || web::route().to(cors::token)),
    post("/link", Who::Job, || web::route().to(link::post)),
    get("/countersign.sh", Who::Anybody, || web::route().to(assets::shell_client)),
    // clients; `/token` is theirs, too
    shared(get("/userinfo", Who::TokenHolder, || web::route().to(userinfo::get)), || web::route().to(cors::userinfo)),
    post("/userinfo", Who::TokenHolder, || web::route().to(userinfo::post)),
    post("/par", Who::Client, || web::route().to(par::post)),
    post("/device_authorization", Who::Client, || web::route().to(device_authorization::post)),
    post("/introspect", Who::Client, || web::route().to(introspect::post)),
    post("/revoke", Who::Client, || web::route().to(revoke::post)),
    // people
    get("/a/{id}", Who::LinkHolder, || web::route().to(approval::endpoints::page)),
    get("/a/{id}/events", Who::LinkHolder, || web::route().to(approval::endpoints::events)),
    post("/a/{id}/options", Who::OurPage, || web::route().to(approval::endpoints::options)),
    post("/a/{id}/decision", Who::OurPage, || web::route().to(approval::endpoints::decision)),
    get("/changes/{id}", Who::LinkHolder, || web::route().to(changes::endpoints::page)),
    post("/changes/{id}/options", Who::OurPage, || web::route().to(changes::endpoints::options)),
    post("/changes/{id}/signature", Who::OurPage, || web::route().to(changes::endpoints::signature)),
    get("/enrol/{link}", Who::LinkHolder, || web::route().to(enrolment::endpoints::page)),
    post("/enrol/{link}/options", Who::OurPage, || web::route().to(enrolment::endpoints::options)),
    post("/enrol/{link}/passkey", Who::OurPage, || web::route().to(enrolment::endpoints::passkey)),
    post("/enrol/{link}/name", Who::OurPage, || web::route().to(enrolment::endpoints::name)),
    post("/enrol/{link}/decline", Who::OurPage, || web::route().to(enrolment::endpoints::decline)),
    get("/authorize", Who::Application, || web::route().to(authorize::endpoints::get)),
    post("/authorize", Who::Application, || web::route().to(authorize::endpoints::post)),
    get("/authorize/{id}", Who::Application, || web::route().to(authorize::endpoints::go_on)),
    post("/authorize/{id}/consent", Who::OurPageSignedIn, || web::route().to(authorize::endpoints::consent)),
    post("/authorize/{id}/cancel", Who::OurPage, || web::route().to(authorize::endpoints::cancel)),
    get("/applications/{client}/logo", Who::Anybody, || web::route().to(authorize::endpoints::logo)),
    get("/device", Who::SignedIn, || web::route().to(device::endpoints::code)),
    post("/device/code", Who::OurPageSignedIn, || web::route().to(device::endpoints::find)),
    get("/device/{id}", Who::SignedIn, || web::route().to(device::endpoints::page)),
    post("/device/{id}/options", Who::OurPageSignedIn, || web::route().to(device::endpoints::options)),
    post("/device/{id}/allow", Who::OurPageSignedIn, || web::route().to(device::endpoints::allow)),
    post("/device/{id}/deny", Who::OurPageSignedIn, || web::route().to(device::endpoints::deny)),
    get("/sign-in", Who::Anybody, || web::route().to(sign_in::endpoints::page)),
    post("/sign-in/options", Who::OurPage, || web::route().to(sign_in::endpoints::options)),
    post("/sign-in/session", Who::OurPage, || web::route().to(sign_in::endpoints::begin)),
    post("/sign-out", Who::OurPageSignedIn, || web::route().to(sign_in::endpoints::end)),
    get("/logout", Who::Anybody, || web::route().to(logout::endpoints::get)),
    post("/logout", Who::Anybody, || web::route().to(logout::endpoints::post)),
    get("/", Who::SignedIn, || web::route().to(home::endpoints::page)),
    get("/waiting", Who::SignedIn, || web::route().to(home::endpoints::waiting)),
    get("/me/passkeys", Who::SignedIn, || web::route().to(me::passkeys::page)),
    post("/me/passkeys/options", Who::OurPageSignedIn, || web::route().to(me::passkeys::options)),
    post("/me/passkeys/new", Who::OurPageSignedIn, || web::route().to(me::passkeys::add)),
    post("/me/passkeys/{number}/name", Who::OurPageSignedIn, || web::route().to(me::passkeys::name)),
    post("/me/passkeys/{number}/remove", Who::OurPageSignedIn, || web::route().to(me::passkeys::remove)),
    post("/me/passkeys/{number}/report", Who::OurPageSignedIn, || web::route().to(me::passkeys::report)),
    post("/me/sessions/{number}/end", Who::OurPageSignedIn, || web::route().to(me::passkeys::end_session)),
    post("/me/push", Who::OurPageSignedIn, || web::route().to(me::push::begin)),
    post("/me/push/{number}/stop", Who::OurPageSignedIn, || web::route().to(me::push::stop)),
    get("/me/signed", Who::SignedIn, || web::route().to(me::signed::page)),
    get("/me/signed/{number}", Who::SignedIn, || web::route().to(me::signed::receipt)),
    get("/sw.js", Who::Anybody, || web::route().to(assets::service_worker)),
    get("/me/applications", Who::SignedIn, || web::route().to(me::applications::page)),
    post("/me/applications/{client}/forget", Who::OurPageSignedIn, || web::route().to(me::applications::forget)),
    get("/me/links", Who::SignedIn, || web::route().to(me::links::page)),
    get("/me/links/brought", Who::SignedIn, || web::route().to(me::links::brought)),
    post("/me/links/code", Who::OurPageSignedIn, || web::route().to(me::links::code)),
    post("/me/links/options", Who::OurPageSignedIn, || web::route().to(me::links::options)),
    post("/me/links/signature", Who::OurPageSignedIn, || web::route().to(me::links::signature)),
    post("/me/links/forget", Who::OurPageSignedIn, || web::route().to(me::links::forget)),
    // admins
    get("/admin", Who::Admin, || web::route().to(admin::endpoints::health)),
    get("/admin/people", Who::Admin, || web::route().to(admin::people::endpoints::list)),
    post("/admin/people/changes", Who::OurPageAdmin, || web::route().to(admin::people::endpoints::propose)),
    get("/admin/people/{person}", Who::Admin, || web::route().to(admin::people::endpoints::person)),
    get("/admin/rules", Who::Admin, || web::route().to(admin::endpoints::rules)),
    get("/admin/refusals/{number}", Who::Admin, || web::route().to(admin::endpoints::refusal)),
    get("/admin/issuers", Who::Admin, || web::route().to(admin::endpoints::issuers)),
    get("/admin/clients", Who::Admin, || web::route().to(admin::endpoints::clients)),
    get("/admin/clients/{client}", Who::Admin, || web::route().to(admin::client::page)),
    post("/admin/clients/{client}/end", Who::OurPageAdmin, || web::route().to(admin::client::end)),
    get("/admin/keys", Who::Admin, || web::route().to(admin::endpoints::keys)),
    get("/admin/requests", Who::Admin, || web::route().to(admin::endpoints::requests)),
    get("/static/{name}", Who::Anybody, || web::route().to(assets::asset)),
    get("/docs/errors", Who::Anybody, || web::route().to(assets::errors)),
    get("/docs/{name}", Who::Anybody, || web::route().to(assets::document)),
    // operators
    get("/healthz", Who::Anybody, || web::route().to(health::live)),
    get("/readyz", Who::Anybody, || web::route().to(health::ready)),
    get("/metrics", Who::Anybody, || web::route().to(metrics::page)),
];

/// Puts the table into actix; another method on a path is 405 with `Allow`.
pub fn configure(config: &mut ServiceConfig) {
    for (at, row) in TABLE.iter().enumerate() {
        // The first row of a path brings the others with it.
        if TABLE.iter().take(at).any(|before| before.path == row.path) {
            continue;
        }
        let mut resource = web::resource(row.path);
        let mut allow = Vec::new();
        for row in TABLE.iter().filter(|other| other.path == row.path) {
            let methods: &[Method] = if row.method == "GET" { &[Method::GET, Method::HEAD] } else { &[Method::POST] };
            for method in methods {
                resource = resource.route((row.handler)().method(method.clone()));
                allow.push(method.as_str().to_owned());
            }
            if let Some(preflight) = row.preflight {
                resource = resource.route(preflight().method(Method::OPTIONS));
            }
        }
        let allow = allow.join(", ");
        config.service(resource.default_service(web::to(move || {
            let allow = allow.clone();
            async move { HttpResponse::MethodNotAllowed().insert_header(("allow", allow)).finish() }
        })));
    }
}

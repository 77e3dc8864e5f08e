//! FLOOR 3: endpoints and pages. One file an endpoint; `routes` is the table.
//! In: HTTP requests. Out: HTTP answers.
//! Implements the wire forms of DESIGN §5 and SCREENS' pages.
//! Never decides: a handler parses, calls one use case and renders.

pub mod admin;
pub mod approval;
pub mod assets;
pub mod authorize;
pub mod bodies;
pub mod caller;
pub mod changes;
pub mod client_auth;
pub mod connection;
pub mod cors;
pub mod device;
pub mod device_authorization;
pub mod discovery;
pub mod edge;
pub mod enrolment;
pub mod error_page;
pub mod grant_token;
pub mod health;
pub mod home;
pub mod introspect;
pub mod link;
pub mod logout;
pub mod me;
pub mod metrics;
pub mod page;
pub mod par;
pub mod problem;
pub mod proof;
pub mod revoke;
pub mod routes;
pub mod serve;
pub mod session;
pub mod sign_in;
pub mod token;
pub mod unread;
pub mod userinfo;

//! Signing in to an application: where its request comes in, what people are asked, how the answer goes back.
//! In: a browser that an application sends. Out: HTML, JSON, redirects to proven addresses.
//! Implements OpenID Connect Core §3.1.2, RFC 6749 §4.1, RFC 9207.
//! Never sends anybody to an address that is not registered for the application.

pub mod answer;
pub mod endpoints;
pub mod view;

//! Home: what waits for whoever is signed in, and what they decided last.
//! In: a session. Out: HTML, and the list alone for a page that renews itself.
//! Implements the screen of `/`.
//! Never shows a list to anybody who is not signed in.

pub mod endpoints;
pub mod view;

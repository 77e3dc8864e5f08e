//! The page on which people sign in, and the calls that begin and end a session.
//! In: a browser's answers. Out: HTML, JSON, the session's cookie.
//! Implements the screens of `/sign-in`.
//! Never asks for a password.

pub mod endpoints;
pub mod view;

//! The pages on which a person types a device's code, reads what is asked, and allows or denies it.
//! In: a session, a code, a browser's answer. Out: HTML, JSON.
//! Implements the screens of `/device`.
//! Never takes a code from a link.

pub mod endpoints;
pub mod view;

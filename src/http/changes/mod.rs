//! The page on which admins sign a change.
//! In: a change's link. Out: HTML, JSON.
//! Implements SCREENS (Admin: each change shows the difference and is signed with a passkey).
//! Never reads the store.

pub mod endpoints;
pub mod view;

//! The admin's pages for people: everybody, one person, and proposing changes.
//! In: a session. Out: HTML; JSON for a proposal.
//! Implements SCREENS (Admin: People).
//! Never does anything about anybody: a proposal waits for admins' passkeys.

pub mod endpoints;
pub mod items;
pub mod link_view;
pub mod list_view;
pub mod person_view;

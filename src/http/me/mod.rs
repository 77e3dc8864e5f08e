//! The pages of somebody who is signed in: my passkeys and sessions, applications, GitLab users, what I signed.
//! In: a session. Out: HTML, JSON, receipts.
//! Implements the screens of `/me/…`.
//! Never shows anybody else's.

pub mod applications;
pub mod applications_view;
pub mod links;
pub mod links_view;
pub mod passkeys;
pub mod passkeys_view;
pub mod push;
pub mod signed;
pub mod signed_view;

//! The page on which an invited person makes passkeys.
//! In: an invitation. Out: HTML.
//! Implements the screens of `/enrol/⟨link⟩`.
//! Never reads the store.

pub mod endpoints;
pub mod view;

//! The page on which people decide a request.
//! In: a request and the state it is in. Out: HTML.
//! Implements the screen of `/a/⟨id⟩`.
//! Never decides, never reads the store.

pub mod bands;
pub mod endpoints;
pub mod rows;
pub mod standing;
pub mod view;

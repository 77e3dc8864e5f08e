//! Endpoints and pages.
//! In: HTTP requests. Out: HTTP answers.
//! Implements the wire forms of DESIGN §5 and the pages.
//! Never decides: a handler parses, calls one use case and renders.

pub mod approval;
pub mod enrolment;
pub mod error_page;
pub mod page;

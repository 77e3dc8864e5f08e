//! The attack list over real sockets and a real database: each test is named by its entry.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that cannot go on must say where"
)]

#[path = "../support/mod.rs"]
mod support;

mod a_claims;
mod a_intake;
mod a_issuers;
mod a_rotation;
mod a_spelling;
mod b_actors;
mod b_approvals;
mod b_collecting;
mod b_eligibility;
mod b_escalation;
mod b_keys;
mod b_limits;
mod b_names;
mod b_rules;
mod c_enrolment;
mod c_links;
mod c_passkeys;
mod c_people;
mod c_proposals;
mod c_rules;
mod d_authorize;
mod d_client_auth;
mod d_codes;
mod d_devices;
mod d_logout;
mod d_possession;
mod d_refresh;
mod d_sessions;
mod d_shares;
mod e_entries;
mod e_erasure;
mod f_faults;
mod g_keys;
mod g_secrets;

//! Countersign: an OpenID provider whose only login is a passkey, and a token exchange that countersigns CI jobs.
//! In: the command line and the network. Out: tokens that say who stood behind a job, and the log that proves it.
//! Implements four floors; arrows point down only, `tests/architecture.rs` holds them:
//! `http`, `cli`, `config` → `app` → `store`, `crypto`, `passkeys`, `upstream`, `outbound`, `clock` → `domain`.
//! Never lets modules of floor 1 know one another; only `app` may know both a rule and a store.
#![forbid(unsafe_code)]

pub mod domain; // floor 0: jobs, rules, requests, statements, assurance, tokens, the log's mathematics, bundles

pub mod clock; // floor 1: the only caller of the system's clock
pub mod crypto; // floor 1: sign, verify, wrap, digests, randomness, key files
pub mod outbound; // floor 1: notices to webhooks
pub mod passkeys; // floor 1: WebAuthn ceremonies
pub mod store; // floor 1: SQLite, the one writer
pub mod upstream; // floor 1: discovery and keys of those we trust

pub mod app; // floor 2: one file a use case

pub mod cli; // floor 3: commands
pub mod config; // floor 3: file + environment -> settings
pub mod http; // floor 3: endpoints and pages
pub mod tasks; // floor 3: what starts by the clock

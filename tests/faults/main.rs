//! The drill: the built server is killed, starved, slowed and lied to, and nothing that it answered is ever lost.
//! In: the binary, faults that are loaded into it, load from this machine alone. Out: a table, or the first thing that broke.
//! Implements attacks 79, 84, 88, 89, 90 and 91.
//! Never a hook in the product: `tests/faults/faults.c` stands between it and the system.
#![cfg(target_os = "linux")]
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a test may stop at once, and says what it saw"
)]

mod audit;
#[path = "../support/built.rs"]
mod built;
mod clock;
mod crowd;
mod disk;
mod kills;
mod load;
mod shim;
mod table;
#[path = "../../tests/support/https.rs"]
mod test_server;
mod upstream;
mod ward;

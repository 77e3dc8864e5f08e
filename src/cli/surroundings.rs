//! What a command takes from the machine: time, chance and variables.
//! In: nothing. Out: functions that are handed in, so that a test hands in its own.
//! Implements the rule that time and chance are arguments.
//! Never used by the server, whose clock is steerable.

use std::time::Duration;

use crate::clock::Clock;
use crate::crypto::random;
use crate::domain::time::Timestamp;

/// Time, chance and variables.
pub struct Surroundings<'a> {
    /// The wall clock.
    pub now: &'a dyn Fn() -> Timestamp,
    /// Time since some moment, never going back.
    pub elapsed: &'a dyn Fn() -> Duration,
    /// 32 random bytes; `None` where the system has none to give.
    pub chance: &'a dyn Fn() -> Option<[u8; 32]>,
    /// An environment variable that is set and not empty.
    pub variable: &'a dyn Fn(&str) -> Option<String>,
}

impl Surroundings<'_> {
    /// Runs a command with this machine's time, chance and variables.
    pub fn with_this_machine<T>(command: impl FnOnce(&Surroundings<'_>) -> T) -> T {
        let clock = Clock::system();
        command(&Surroundings {
            now: &|| clock.now(),
            elapsed: &|| clock.monotonic(),
            chance: &|| random::bytes().ok(),
            variable: &variable,
        })
    }
}

/// The process's own variable, if it is set, not empty and text.
#[must_use]
pub fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

//! What starts by the clock: one table of name, interval and use case.
//! In: the running application. Out: its use cases, called again and again until the server stops.
//! Implements DESIGN §3 (tasks), §12.
//! Never decides anything and never does two rounds of one task at once; what fails is told and tried again at its time.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinHandle;

use crate::app::Countersign;
use crate::crypto::random;

/// How often FIDO's metadata is looked for, where it is fetched.
pub const METADATA_EVERY: Duration = Duration::from_hours(24);
/// By how much that is put off, by chance, so that not all servers ask at once.
pub const METADATA_SPREAD: Duration = Duration::from_hours(1);

/// How often it is looked whether gathered notices are due.
pub const GATHERED_EVERY: Duration = Duration::from_secs(5);
/// How often it is looked whether clients are to be told that a session ended.
pub const LOGOUTS_EVERY: Duration = Duration::from_secs(1);

/// How often it is looked whether a step of the signing keys is due; by chance up to as much later.
pub const KEYS_EVERY: Duration = Duration::from_mins(1);

type Round = Pin<Box<dyn Future<Output = ()>>>;

/// One task.
pub struct Task {
    /// Names it in diagnostics.
    pub name: &'static str,
    /// From one round to the next.
    pub every: Duration,
    /// By how much each round is put off at most, by chance.
    pub spread: Duration,
    /// Whether there is anything to do here at all.
    pub has_work: fn(&Countersign) -> bool,
    /// Whether the first round is due at the start; else it comes after a part of `spread`.
    pub at_start: fn(&Countersign) -> bool,
    /// One round.
    pub run: fn(Arc<Countersign>) -> Round,
}

/// Every task.
pub const TABLE: &[Task] = &[
    Task {
        name: "metadata",
        every: METADATA_EVERY,
        spread: METADATA_SPREAD,
        has_work: Countersign::fetches_metadata,
        at_start: Countersign::metadata_is_wanted,
        run: |app| Box::pin(fetch_metadata(app)),
    },
    Task {
        name: "gathered notices",
        every: GATHERED_EVERY,
        spread: Duration::ZERO,
        has_work: Countersign::tells_anybody,
        at_start: |_| true,
        run: |app| Box::pin(async move { tell_gathered(&app) }),
    },
    Task {
        name: "logouts",
        every: LOGOUTS_EVERY,
        spread: Duration::ZERO,
        // Which clients want to be told may change while it runs.
        has_work: |_| true,
        at_start: |_| true,
        run: |app| Box::pin(async move { tell_logouts(&app).await }),
    },
    Task {
        name: "signing keys",
        every: KEYS_EVERY,
        spread: KEYS_EVERY,
        has_work: |_| true,
        // A machine that has just started may still be setting its clock.
        at_start: |_| false,
        run: |app| Box::pin(turn_keys(app)),
    },
];

/// The tasks of a running server.
pub struct Running(Vec<JoinHandle<()>>);

impl Running {
    /// Ends them; what is under way in the store is finished there.
    pub fn stop(self) {
        for task in self.0 {
            task.abort();
        }
    }
}

/// Starts every task that has work; needs the runtime of the server's own thread.
pub fn start(app: &Arc<Countersign>) -> Running {
    let wanted = TABLE.iter().filter(|task| (task.has_work)(app));
    Running(wanted.map(|task| tokio::task::spawn_local(again_and_again(task, Arc::clone(app)))).collect())
}

async fn again_and_again(task: &Task, app: Arc<Countersign>) {
    if !(task.at_start)(&app) {
        // The time itself is what is waited for: many servers that start at once do not ask at once.
        tokio::time::sleep(part(task.spread, chance())).await;
    }
    loop {
        tracing::debug!(task = task.name, "begins");
        (task.run)(Arc::clone(&app)).await;
        // The row's interval: nothing else says that it is time again.
        tokio::time::sleep(task.every + part(task.spread, chance())).await;
    }
}

/// A part of `whole`: none for 0, nearly all for the greatest number.
fn part(whole: Duration, chance: u32) -> Duration {
    whole.mul_f64(f64::from(chance) / (f64::from(u32::MAX) + 1.0))
}

/// Where the machine gives no chance, everybody comes at the same time.
fn chance() -> u32 {
    random::bytes::<4>().map_or(0, u32::from_be_bytes)
}

async fn fetch_metadata(app: Arc<Countersign>) {
    match app.fetch_metadata().await {
        Ok((number, true)) => tracing::info!(number, "newer metadata was fetched and is in force"),
        Ok((number, false)) => tracing::info!(number, "the metadata in force is the newest"),
        Err(error) => tracing::warn!(%error, "the metadata was not fetched; the one before stays in force"),
    }
}

async fn turn_keys(app: Arc<Countersign>) {
    if let Err(error) = app.turn_keys().await {
        tracing::error!(%error, "signing keys are not rotated; the next round tries again");
    }
}

fn tell_gathered(app: &Countersign) {
    if let Err(error) = app.tell_gathered() {
        tracing::warn!(%error, "gathered notices wait for the next round");
    }
}

async fn tell_logouts(app: &Countersign) {
    if let Err(error) = app.tell_logouts().await {
        tracing::warn!(%error, "clients wait to be told of logouts until the next round");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rounds_are_spread_and_never_hurried() {
        let hour = Duration::from_hours(1);
        assert_eq!(part(hour, 0), Duration::ZERO);
        assert_eq!(part(hour, 1 << 31), Duration::from_mins(30));
        assert!(part(hour, u32::MAX) < hour && part(hour, u32::MAX) > Duration::from_mins(59));
    }

    #[test]
    fn each_task_has_a_name_of_its_own() {
        let names: std::collections::BTreeSet<_> = TABLE.iter().map(|task| task.name).collect();
        assert_eq!(names.len(), TABLE.len());
    }
}

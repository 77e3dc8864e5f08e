//! Starting: how long it takes with a short and with a long log, and how much memory an idle server has.
//! In: a state, a length. Out: times from the start of the process to the first "ready".
//! Implements nothing.
//! Never measures with a cold cache of the disk: that is the disk's number, not the server's.

use std::path::Path;
use std::time::Duration;

use countersign::app::start::start;
use countersign::cli::open;
use countersign::clock::Clock;
use countersign::domain::log::entry::{Entry, Event};
use countersign::store::StoreError;

use super::exchange::exchange;
use super::world::{RS256, World, block_on};

/// Starts of each length.
const STARTS: usize = 5;
/// Entries that one unit of the writer appends while a log is made long.
const AT_ONCE: u64 = 500;

/// What was measured at one length.
pub struct Started {
    /// Entries in the log.
    pub entries: u64,
    /// Each start, ascending.
    pub times: Vec<Duration>,
    /// Memory at rest, in MB.
    pub idle: f64,
}

/// Starts the server on logs of these lengths, ascending.
pub fn measure(world: &World, tokens: &[String], binary: &Path, core: Option<usize>, lengths: &[u64]) -> Vec<Started> {
    {
        let running = world.serve(binary, core);
        // One true token, whose entry the long log repeats.
        exchange(running.address, &tokens[..1], RS256, 1, Duration::from_millis(1));
    }
    lengths.iter().map(|length| at(world, binary, core, *length)).collect()
}

fn at(world: &World, binary: &Path, core: Option<usize>, length: u64) -> Started {
    let entries = lengthen(world, length);
    let mut idle = f64::NAN;
    let mut times: Vec<_> = (0..STARTS)
        .map(|_| {
            let running = world.serve(binary, core);
            idle = running.memory("VmRSS");
            running.started
        })
        .collect();
    times.sort_unstable();
    Started { entries, times, idle }
}

/// Appends copies of the newest token's entry until the log is that long.
fn lengthen(world: &World, length: u64) -> u64 {
    block_on(async {
        let app = start(open::parts(&world.settings(), Clock::system()).unwrap(), None).await.unwrap();
        let size = || app.store.read(|reader| reader.size()).unwrap();
        let token = (0..size()).rev().find_map(|index| {
            let bytes = app.store.read(|reader| reader.entry(index)).unwrap().unwrap();
            let entry = Entry::from_bytes(&bytes).unwrap();
            matches!(entry.event, Event::Token { .. }).then_some(entry.event)
        });
        let token = token.unwrap();
        while size() < length {
            let (token, count) = (token.clone(), AT_ONCE.min(length - size()));
            let appended = app.store.write(move |unit| -> Result<(), StoreError> {
                for _ in 0..count {
                    unit.append(token.clone())?;
                }
                Ok(())
            });
            appended.await.unwrap();
        }
        let size = size();
        app.store.close();
        size
    })
}

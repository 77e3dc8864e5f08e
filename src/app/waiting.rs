//! Who waits for which request: held calls and pages alike, woken after commit.
//! In: a request's id. Out: a subscription; a pace that a poll must keep.
//! Implements DESIGN §5 (waiting), RFC 8628 §3.5 (`interval`, `slow_down`).
//! Never holds a thread, and never more than `MAX_PACED` paces.

use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::watch;

use crate::domain::ids::RequestId;
use crate::domain::time::POLL_INTERVAL;

/// Most waiting calls (`Prefer: wait`) of one collector in a minute.
pub const MAX_WAITS_A_MINUTE: usize = 10;
/// How many requests may have waiters before those that everybody has left are looked for.
const FIRST_SWEEP: usize = 1024;
/// Most requests whose pace is remembered; beyond it the memory starts anew, which only makes us lenient.
pub const MAX_PACED: usize = 100_000;
const MINUTE: Duration = Duration::from_mins(1);

/// Who waits.
#[derive(Debug, Default)]
pub struct Waiting {
    channels: Mutex<Channels>,
    paces: Mutex<HashMap<RequestId, Pace>>,
    stopping: watch::Sender<bool>,
}

/// Who waits, by request. What everybody has left is swept out whenever the number has doubled: a wake stays cheap.
#[derive(Debug)]
struct Channels {
    of: HashMap<RequestId, watch::Sender<News>>,
    next_sweep: usize,
}

impl Default for Channels {
    fn default() -> Self {
        Self { of: HashMap::new(), next_sweep: FIRST_SWEEP }
    }
}

impl Channels {
    fn make_room(&mut self) {
        if self.of.len() >= self.next_sweep {
            self.of.retain(|_, channel| channel.receiver_count() > 0);
            self.next_sweep = (2 * self.of.len()).max(FIRST_SWEEP);
        }
    }
}

/// What those who wait for a request are told of: one channel for both, since there may be very many of them.
#[derive(Debug, Clone, Copy, Default)]
struct News {
    /// How often the request changed.
    changes: u64,
    /// How many calls have been held for it.
    held: u64,
}

#[derive(Debug)]
struct Pace {
    interval: Duration,
    last: Duration,
    waits: VecDeque<Duration>,
}

/// What ended a wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Woken {
    /// The request changed.
    Changed,
    /// The time was up.
    TimeUp,
    /// The server stops, or a newer call of the same collector took over.
    Replaced,
}

/// A place in the queue; dropping it leaves.
#[derive(Debug)]
pub struct Subscription {
    news: watch::Receiver<News>,
    /// The changes that it knows of.
    changes: u64,
    /// Which of the held calls it is, where it is one.
    held: Option<u64>,
    stopping: watch::Receiver<bool>,
}

impl Subscription {
    /// Waits until the request changes, at most `limit`.
    pub async fn wait(&mut self, limit: Duration) -> Woken {
        if *self.stopping.borrow() {
            return Woken::Replaced;
        }
        let (news, changes, held) = (&mut self.news, &mut self.changes, self.held);
        let told = async {
            loop {
                if news.changed().await.is_err() {
                    return Woken::Replaced;
                }
                let now = *news.borrow_and_update();
                if held.is_some_and(|held| held != now.held) {
                    return Woken::Replaced;
                }
                if std::mem::replace(changes, now.changes) != now.changes {
                    return Woken::Changed;
                }
            }
        };
        tokio::select! {
            woken = told => woken,
            _ = self.stopping.changed() => Woken::Replaced,
            // The time that the caller asked to be held for (`Prefer: wait`): the wait itself, not a guess.
            () = tokio::time::sleep(limit) => Woken::TimeUp,
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // The maps hold whole values only, so a panic elsewhere leaves nothing half done.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn make_room(paces: &mut HashMap<RequestId, Pace>) {
    if paces.len() >= MAX_PACED {
        paces.clear();
    }
}

impl Waiting {
    /// Subscribes a page.
    pub fn watch(&self, id: &RequestId) -> Subscription {
        self.subscribe(id, false)
    }

    /// Subscribes a held call; the one before it of the same request ends.
    pub fn hold(&self, id: &RequestId) -> Subscription {
        self.subscribe(id, true)
    }

    fn subscribe(&self, id: &RequestId, held: bool) -> Subscription {
        let mut channels = lock(&self.channels);
        channels.make_room();
        let channel = channels.of.entry(id.clone()).or_insert_with(|| watch::channel(News::default()).0);
        if held {
            channel.send_modify(|news| news.held += 1);
        }
        let news = channel.subscribe();
        let News { changes, held: number } = *news.borrow();
        Subscription { news, changes, held: held.then_some(number), stopping: self.stopping.subscribe() }
    }

    /// Wakes everybody who waits for a request; called after the change is committed.
    pub fn wake(&self, id: &RequestId) {
        let mut channels = lock(&self.channels);
        if let Some(channel) = channels.of.get(id) {
            if channel.receiver_count() > 0 {
                channel.send_modify(|news| news.changes += 1);
            } else {
                channels.of.remove(id);
            }
        }
    }

    /// Wakes everybody: something changed that any request may depend on.
    pub fn wake_all(&self) {
        for channel in lock(&self.channels).of.values() {
            channel.send_modify(|news| news.changes += 1);
        }
    }

    /// Ends every wait: the server stops.
    pub fn stop(&self) {
        self.stopping.send_replace(true);
    }

    /// How many requests have somebody waiting.
    pub fn count(&self) -> usize {
        lock(&self.channels).of.values().filter(|channel| channel.receiver_count() > 0).count()
    }

    /// Judges the pace of a poll at `now` (the monotonic clock).
    ///
    /// # Errors
    /// The interval to keep from here on, where the poll came too fast.
    pub fn pace(&self, id: &RequestId, waits: bool, now: Duration) -> Result<Duration, Duration> {
        let mut paces = lock(&self.paces);
        let Some(pace) = paces.get_mut(id) else {
            make_room(&mut paces);
            let waiting = if waits { VecDeque::from([now]) } else { VecDeque::new() };
            paces.insert(id.clone(), Pace { interval: POLL_INTERVAL, last: now, waits: waiting });
            return Ok(POLL_INTERVAL);
        };
        while pace.waits.front().is_some_and(|then| now.saturating_sub(*then) > MINUTE) {
            pace.waits.pop_front();
        }
        let early =
            if waits { pace.waits.len() >= MAX_WAITS_A_MINUTE } else { now.saturating_sub(pace.last) < pace.interval };
        pace.last = now;
        if early {
            pace.interval += POLL_INTERVAL;
            return Err(pace.interval);
        }
        if waits {
            pace.waits.push_back(now);
        }
        Ok(pace.interval)
    }

    /// The interval that a request's job must keep.
    pub fn interval(&self, id: &RequestId) -> Duration {
        lock(&self.paces).get(id).map_or(POLL_INTERVAL, |pace| pace.interval)
    }

    /// Forgets the pace of a request that has ended.
    pub fn forget(&self, id: &RequestId) {
        lock(&self.paces).remove(id);
    }

    /// Starts the pace of a request at its first call.
    pub fn begin(&self, id: &RequestId, now: Duration) {
        let pace = Pace { interval: POLL_INTERVAL, last: now, waits: VecDeque::new() };
        let mut paces = lock(&self.paces);
        make_room(&mut paces);
        paces.insert(id.clone(), pace);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seconds(n: u64) -> Duration {
        Duration::from_secs(n)
    }

    #[test]
    fn a_poll_under_the_interval_slows_down() {
        let waiting = Waiting::default();
        let id = RequestId::from_random([1; 16]);
        waiting.begin(&id, seconds(0));
        assert_eq!(waiting.pace(&id, false, seconds(4)), Err(seconds(10)));
        assert_eq!(waiting.pace(&id, false, seconds(13)), Err(seconds(15)));
        assert_eq!(waiting.pace(&id, false, seconds(28)), Ok(seconds(15)));
    }

    #[test]
    fn requests_that_never_end_in_a_token_do_not_fill_the_memory() {
        let waiting = Waiting::default();
        for n in 0..=MAX_PACED {
            let mut id = [0; 16];
            id[..8].copy_from_slice(&n.to_le_bytes());
            waiting.begin(&RequestId::from_random(id), seconds(0));
        }
        assert!(lock(&waiting.paces).len() <= MAX_PACED);
    }

    #[test]
    fn ten_waiting_calls_a_minute_pass() {
        let waiting = Waiting::default();
        let id = RequestId::from_random([1; 16]);
        for n in 0..10 {
            assert!(waiting.pace(&id, true, seconds(n)).is_ok(), "{n}");
        }
        assert!(waiting.pace(&id, true, seconds(10)).is_err());
        assert!(waiting.pace(&id, true, seconds(61)).is_ok());
    }

    #[test]
    fn what_everybody_has_left_is_swept_out() {
        let waiting = Waiting::default();
        let id = |n: usize| {
            let mut bytes = [0; 16];
            bytes[..8].copy_from_slice(&n.to_le_bytes());
            RequestId::from_random(bytes)
        };
        let stays = waiting.watch(&id(0));
        for n in 1..=3 * FIRST_SWEEP {
            drop(waiting.watch(&id(n)));
        }
        assert!(lock(&waiting.channels).of.len() <= FIRST_SWEEP + 1);
        assert_eq!(waiting.count(), 1);
        drop(stays);
        assert_eq!(waiting.count(), 0);
    }

    #[tokio::test]
    async fn a_change_wakes_and_a_newer_call_replaces() {
        let waiting = Waiting::default();
        let id = RequestId::from_random([1; 16]);
        let mut first = waiting.hold(&id);
        let mut second = waiting.hold(&id);
        assert_eq!(first.wait(seconds(60)).await, Woken::Replaced);
        waiting.wake(&id);
        assert_eq!(second.wait(seconds(60)).await, Woken::Changed);
        let mut third = waiting.watch(&id);
        waiting.stop();
        assert_eq!(third.wait(seconds(60)).await, Woken::Replaced);
    }
}

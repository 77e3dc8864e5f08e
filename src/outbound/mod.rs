//! What this server sends by itself: signed notices to webhooks, retried for a while, and never waited for.
//! In: notices. Out: POSTs; how many were lost, for those who look after the server.
//! Implements Standard Webhooks 1.0 (`webhook-id`, `webhook-timestamp`, `webhook-signature`).
//! Never holds up whoever has something to tell, lets no flood of requests crowd out a warning, and never shows a webhook's address: it is a secret of its own.

mod agent;
pub mod logout;
mod post;
pub mod push;
pub mod secret;

use std::collections::BTreeMap;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, SyncSender, channel, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use url::Url;

use crate::domain::time::{Timestamp, fivefold};
use post::Poster;
use secret::Secret;

/// Most notices of one lane that wait for one webhook; one more is lost, and counted.
pub const QUEUE: usize = 256;
/// How often a notice that requests wait is sent before it is lost.
pub const ATTEMPTS: usize = 5;
/// How often a notice about people and keys is sent before it is lost.
pub const SECURITY_ATTEMPTS: usize = 8;
/// Pause after the first failure; each further one is five times as long.
pub const FIRST_PAUSE: Duration = Duration::from_secs(1);
/// Longest pause between two tries.
pub const LONGEST_PAUSE: Duration = Duration::from_mins(10);

/// Why nothing can be sent.
#[derive(Debug, thiserror::Error)]
pub enum OutboundError {
    /// The secret that signs.
    #[error("{0}")]
    Secret(&'static str),
    /// The system has no certificates of authorities.
    #[error("this system has no certificates of authorities; install ca-certificates")]
    Roots,
    /// A thread could not be started.
    #[error("a thread for webhooks cannot be started: {0}")]
    Thread(std::io::Error),
}

/// What a notice is about. Each lane has a queue and a thread of its own, so that none fills or holds up another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Lane {
    /// People and keys: what somebody may have to act on at once.
    Security,
    /// What people do with passkeys of their own; whoever has one can make many of these.
    Own,
    /// Requests wait; jobs can make many of these.
    Waiting,
}

impl Lane {
    const ALL: [Self; 3] = [Self::Security, Self::Own, Self::Waiting];

    const fn attempts(self) -> usize {
        match self {
            Self::Security | Self::Own => SECURITY_ATTEMPTS,
            Self::Waiting => ATTEMPTS,
        }
    }
}

/// Something to tell.
#[derive(Debug, Clone)]
pub struct Notice {
    /// Names it, the same in every attempt.
    pub id: String,
    /// JSON.
    pub body: Vec<u8>,
    /// What it is about.
    pub lane: Lane,
}

/// What sending needs.
pub struct Sending {
    /// Where to.
    pub webhooks: Vec<Url>,
    /// Signs.
    pub secret: Secret,
    /// The time of an attempt.
    pub now: Arc<dyn Fn() -> Timestamp + Send + Sync>,
    /// The first pause; each further one is five times as long.
    pub first_pause: Duration,
}

/// One webhook's thread for one lane, as others see it.
struct Line {
    host: String,
    lane: Lane,
    queue: SyncSender<Notice>,
    tally: Arc<Mutex<Tally>>,
    /// Dropped with the line: a pause ends.
    _stop: Sender<()>,
}

/// What became of what was sent to one webhook.
#[derive(Debug, Default, Clone)]
struct Tally {
    lost: u64,
    lost_of_security: u64,
    /// Of the last try in each lane that has not gone well since.
    problems: BTreeMap<Lane, String>,
}

impl Tally {
    fn lose(&mut self, lane: Lane) {
        self.lost += 1;
        self.lost_of_security += u64::from(lane != Lane::Waiting);
    }
}

/// Everything that is sent.
pub struct Outbound(Vec<Line>);

impl Outbound {
    /// Starts a thread for each webhook and lane.
    ///
    /// # Errors
    /// No certificates, no threads.
    pub fn start(sending: Sending) -> Result<Self, OutboundError> {
        let Sending { webhooks, secret, now, first_pause } = sending;
        let secret = Arc::new(secret);
        let mut lines = Vec::new();
        for url in webhooks {
            let tally = Arc::<Mutex<Tally>>::default();
            for lane in Lane::ALL {
                let host = url.host_str().unwrap_or("a webhook").to_owned();
                let (queue, notices) = sync_channel(QUEUE);
                let (stop, stopped) = channel();
                let worker = Worker {
                    poster: Poster::new(url.clone(), Arc::clone(&secret), Arc::clone(&now))?,
                    lane,
                    tally: Arc::clone(&tally),
                    stopped,
                    first_pause,
                };
                std::thread::Builder::new()
                    .name("webhook".to_owned())
                    .spawn(move || worker.run(&notices))
                    .map_err(OutboundError::Thread)?;
                lines.push(Line { host, lane, queue, tally: Arc::clone(&tally), _stop: stop });
            }
        }
        Ok(Self(lines))
    }

    /// Has a notice sent; returns at once.
    pub fn tell(&self, notice: &Notice) {
        for line in self.0.iter().filter(|line| line.lane == notice.lane) {
            if line.queue.try_send(notice.clone()).is_err() {
                line.tally.lock().unwrap_or_else(PoisonError::into_inner).lose(line.lane);
            }
        }
    }

    /// What went wrong and is not mended, or was lost, one sentence a webhook.
    #[must_use]
    pub fn troubles(&self) -> Vec<String> {
        // The lanes of a webhook share their tally.
        self.0.iter().filter(|line| line.lane == Lane::Security).filter_map(Line::trouble).collect()
    }
}

impl Line {
    fn trouble(&self) -> Option<String> {
        let Tally { lost, lost_of_security, problems } =
            self.tally.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let lost = match lost {
            0 => None,
            1 => Some("1 notice was lost".to_owned()),
            many => Some(format!("{many} notices were lost")),
        };
        let lost = match lost_of_security {
            0 => lost,
            some => lost.map(|lost| format!("{lost} ({some} about people and keys)")),
        };
        let told = [lost, problems.into_values().next()].into_iter().flatten().collect::<Vec<_>>();
        (!told.is_empty()).then(|| format!("webhook at {}: {}", self.host, told.join("; the last try: ")))
    }
}

struct Worker {
    poster: Poster,
    lane: Lane,
    tally: Arc<Mutex<Tally>>,
    stopped: Receiver<()>,
    first_pause: Duration,
}

impl Worker {
    /// Sends until nobody has anything to tell any more.
    fn run(self, notices: &Receiver<Notice>) {
        let mut down = false;
        while let Ok(notice) = notices.recv() {
            // Where the last notice was lost, those that requests wait are not kept waiting for one another.
            let attempts = if down && self.lane == Lane::Waiting { 1 } else { self.lane.attempts() };
            match self.deliver(&notice, attempts) {
                Some(delivered) => down = !delivered,
                None => return,
            }
        }
    }

    /// Whether it was delivered; `None` where the server stops.
    fn deliver(&self, notice: &Notice, attempts: usize) -> Option<bool> {
        for attempt in 1..=attempts {
            let problem = self.poster.post(notice).err();
            let delivered = problem.is_none();
            self.note(problem);
            if delivered {
                return Some(true);
            }
            if attempt < attempts {
                match self.stopped.recv_timeout(fivefold(self.first_pause, attempt, LONGEST_PAUSE)) {
                    Err(RecvTimeoutError::Timeout) => {}
                    _ => return None,
                }
            }
        }
        self.tally.lock().unwrap_or_else(PoisonError::into_inner).lose(self.lane);
        Some(false)
    }

    fn note(&self, problem: Option<String>) {
        let mut tally = self.tally.lock().unwrap_or_else(PoisonError::into_inner);
        match problem {
            Some(problem) => drop(tally.problems.insert(self.lane, problem)),
            None => drop(tally.problems.remove(&self.lane)),
        }
    }
}

#[cfg(test)]
mod tests;

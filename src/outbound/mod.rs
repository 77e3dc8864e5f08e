//! What this server sends by itself: signed notices to webhooks, retried for a while, and never waited for.
//! In: notices. Out: POSTs; how many were lost, for those who look after the server.
//! Implements Standard Webhooks 1.0 (`webhook-id`, `webhook-timestamp`, `webhook-signature`).
//! Never holds up whoever has something to tell, and never shows a webhook's address: it is a secret of its own.

mod post;
pub mod secret;

use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, SyncSender, channel, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use url::Url;

use crate::domain::time::Timestamp;
use post::Poster;
use secret::Secret;

/// Most notices that wait for one webhook; one more is lost, and counted.
pub const QUEUE: usize = 256;
/// How often a notice is sent before it is lost.
pub const ATTEMPTS: usize = 5;
/// Pause after the first failure; each further one is five times as long.
pub const FIRST_PAUSE: Duration = Duration::from_secs(1);

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

/// Something to tell.
#[derive(Debug, Clone)]
pub struct Notice {
    /// Names it, the same in every attempt.
    pub id: String,
    /// JSON.
    pub body: Vec<u8>,
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

/// One webhook's thread, as others see it.
struct Line {
    host: String,
    queue: SyncSender<Notice>,
    tally: Arc<Mutex<Tally>>,
    /// Dropped with the line: a pause ends.
    _stop: Sender<()>,
}

/// What became of what was sent.
#[derive(Debug, Default, Clone)]
struct Tally {
    lost: u64,
    problem: Option<String>,
}

/// Everything that is sent.
pub struct Outbound(Vec<Line>);

impl Outbound {
    /// Starts a thread for each webhook.
    ///
    /// # Errors
    /// No certificates, no threads.
    pub fn start(sending: Sending) -> Result<Self, OutboundError> {
        let Sending { webhooks, secret, now, first_pause } = sending;
        let secret = Arc::new(secret);
        let mut lines = Vec::new();
        for url in webhooks {
            let host = url.host_str().unwrap_or("a webhook").to_owned();
            let (queue, notices) = sync_channel(QUEUE);
            let (stop, stopped) = channel();
            let tally = Arc::<Mutex<Tally>>::default();
            let worker = Worker {
                poster: Poster::new(url, Arc::clone(&secret), Arc::clone(&now))?,
                tally: Arc::clone(&tally),
                stopped,
                first_pause,
            };
            std::thread::Builder::new()
                .name("webhook".to_owned())
                .spawn(move || worker.run(&notices))
                .map_err(OutboundError::Thread)?;
            lines.push(Line { host, queue, tally, _stop: stop });
        }
        Ok(Self(lines))
    }

    /// Has a notice sent; returns at once.
    pub fn tell(&self, notice: &Notice) {
        for line in &self.0 {
            if line.queue.try_send(notice.clone()).is_err() {
                let mut tally = line.tally.lock().unwrap_or_else(PoisonError::into_inner);
                tally.lost += 1;
            }
        }
    }

    /// What went wrong and is not mended, or was lost, one sentence a webhook.
    #[must_use]
    pub fn troubles(&self) -> Vec<String> {
        self.0.iter().filter_map(Line::trouble).collect()
    }
}

impl Line {
    fn trouble(&self) -> Option<String> {
        let Tally { lost, problem } = self.tally.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let lost = match lost {
            0 => None,
            1 => Some("1 notice was lost".to_owned()),
            many => Some(format!("{many} notices were lost")),
        };
        let told = [lost, problem].into_iter().flatten().collect::<Vec<_>>().join("; the last try: ");
        (!told.is_empty()).then(|| format!("webhook at {}: {told}", self.host))
    }
}

struct Worker {
    poster: Poster,
    tally: Arc<Mutex<Tally>>,
    stopped: Receiver<()>,
    first_pause: Duration,
}

impl Worker {
    /// Sends until nobody has anything to tell any more.
    fn run(self, notices: &Receiver<Notice>) {
        let mut down = false;
        while let Ok(notice) = notices.recv() {
            // Where the last notice was lost, the next ones are not kept waiting for one another.
            let attempts = if down { 1 } else { ATTEMPTS };
            match self.deliver(&notice, attempts) {
                Some(delivered) => down = !delivered,
                None => return,
            }
        }
    }

    /// Whether it was delivered; `None` where the server stops.
    fn deliver(&self, notice: &Notice, attempts: usize) -> Option<bool> {
        let mut pause = self.first_pause;
        for attempt in 1..=attempts {
            let problem = self.poster.post(notice).err();
            let delivered = problem.is_none();
            self.tally.lock().unwrap_or_else(PoisonError::into_inner).problem = problem;
            if delivered {
                return Some(true);
            }
            if attempt < attempts {
                match self.stopped.recv_timeout(pause) {
                    Err(RecvTimeoutError::Timeout) => pause = pause.saturating_mul(5),
                    _ => return None,
                }
            }
        }
        self.tally.lock().unwrap_or_else(PoisonError::into_inner).lost += 1;
        Some(false)
    }
}

#[cfg(test)]
mod tests;

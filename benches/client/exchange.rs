//! Exchanges without a human: how many a second, and how long each takes.
//! In: a server, job tokens, an audience, how many connections. Out: a `Measured`.
//! Implements RFC 8693 §2.1 as a client.
//! Never counts an answer that is not a token.

use std::cell::RefCell;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::{Duration, Instant};

use countersign::domain::oauth::exchange::{GRANT_TYPE, TYPE_ID_TOKEN};
use tokio::task::LocalSet;

use super::wire::{Connection, post_form};
use super::world::block_on;

/// Calls that are made before counting begins.
const WARM: Duration = Duration::from_millis(500);

/// Room for answers that is made before anything is measured.
const MOST_ANSWERS: usize = 100_000;

/// What a run gave.
pub struct Measured {
    /// Answers in the time that counts.
    pub answers: usize,
    /// All answers.
    pub all: usize,
    /// That time.
    pub time: Duration,
    /// Each answer's time, ascending, in microseconds.
    pub micros: Vec<u32>,
    /// The job tokens ran out before the time did.
    pub ran_out: bool,
}

impl Measured {
    /// Answers a second.
    pub fn rate(&self) -> f64 {
        self.answers as f64 / self.time.as_secs_f64()
    }

    /// A quantile of the answers' times.
    pub fn quantile(&self, at: f64) -> Duration {
        quantile(&self.micros, at)
    }

    /// Rate and quantiles in words.
    pub fn words(&self) -> String {
        let (p50, p99) = (self.quantile(0.5), self.quantile(0.99));
        let cut = if self.ran_out {
            format!(", tokens ran out after {:.1} s", self.time.as_secs_f64())
        } else {
            String::new()
        };
        format!("{:.0}/s, p50 {}, p99 {}{cut}", self.rate(), millis(p50), millis(p99))
    }
}

/// A quantile of ascending microseconds.
pub fn quantile(micros: &[u32], at: f64) -> Duration {
    let last = micros.len().saturating_sub(1);
    let index = (last as f64 * at).round() as usize;
    Duration::from_micros(u64::from(micros.get(index).copied().unwrap_or(0)))
}

/// Milliseconds with two digits.
pub fn millis(time: Duration) -> String {
    format!("{:.2} ms", time.as_secs_f64() * 1e3)
}

/// The form of an exchange for one audience.
pub fn form(token: &str, audience: &str) -> String {
    let pairs = [("grant_type", GRANT_TYPE), ("subject_token_type", TYPE_ID_TOKEN), ("audience", audience)];
    let mut form = url::form_urlencoded::Serializer::new(String::new());
    form.extend_pairs(pairs).append_pair("subject_token", token);
    form.finish()
}

/// What is sent, one call after the other.
pub trait Calls {
    /// The next call; `None` where there is none left.
    fn next(&mut self) -> Option<Vec<u8>>;

    /// What came back.
    fn answered(&mut self, _body: &[u8]) {}
}

impl Calls for std::vec::IntoIter<Vec<u8>> {
    fn next(&mut self) -> Option<Vec<u8>> {
        Iterator::next(self)
    }
}

struct Shared {
    calls: Box<dyn Calls>,
    micros: Vec<u32>,
    all: usize,
    ran_out: bool,
    last: Instant,
}

/// Exchanges one token after the other over so many connections for so long.
pub fn exchange(at: SocketAddr, tokens: &[String], audience: &str, connections: usize, length: Duration) -> Measured {
    let calls = tokens.iter().map(|token| post_form("/token", "", &form(token, audience))).collect();
    drive(at, calls, connections, length)
}

/// Sends calls one after the other over so many connections for so long; every answer must be 200.
pub fn drive(at: SocketAddr, calls: Vec<Vec<u8>>, connections: usize, length: Duration) -> Measured {
    drive_by(at, Box::new(calls.into_iter()), connections, length)
}

/// The same with calls that may depend on the answers before them.
pub fn drive_by(at: SocketAddr, calls: Box<dyn Calls>, connections: usize, length: Duration) -> Measured {
    let shared = Rc::new(RefCell::new(Shared {
        micros: Vec::with_capacity(MOST_ANSWERS),
        calls,
        all: 0,
        ran_out: false,
        last: Instant::now(),
    }));
    let counts_from = block_on(LocalSet::new().run_until(async {
        let mut ready = Vec::new();
        for _ in 0..connections {
            ready.push(Connection::open(at, None).await);
        }
        let counts_from = Instant::now() + WARM;
        let ends = counts_from + length;
        let tasks: Vec<_> = ready
            .into_iter()
            .map(|connection| tokio::task::spawn_local(one(connection, Rc::clone(&shared), counts_from, ends)))
            .collect();
        for task in tasks {
            task.await.unwrap();
        }
        counts_from
    }));
    let mut shared = Rc::into_inner(shared).unwrap().into_inner();
    shared.micros.sort_unstable();
    Measured {
        answers: shared.micros.len(),
        all: shared.all,
        time: shared.last.saturating_duration_since(counts_from),
        micros: shared.micros,
        ran_out: shared.ran_out,
    }
}

async fn one(mut connection: Connection, shared: Rc<RefCell<Shared>>, counts_from: Instant, ends: Instant) {
    loop {
        let start = Instant::now();
        if start >= ends {
            return;
        }
        let Some(call) = shared.borrow_mut().calls.next() else {
            shared.borrow_mut().ran_out = true;
            return;
        };
        let answer = connection.call(&call).await.expect(200);
        let done = Instant::now();
        let mut shared = shared.borrow_mut();
        shared.calls.answered(answer.body);
        shared.all += 1;
        if start >= counts_from {
            shared.last = done;
            shared.micros.push(u32::try_from((done - start).as_micros()).unwrap_or(u32::MAX));
        }
    }
}

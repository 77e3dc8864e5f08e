//! Approvals while many jobs wait: how long from a person's signature to the token in the job's hands.
//! In: a server, job tokens, people with software passkeys. Out: delays, rates, memory.
//! Implements RFC 8693 §2.1 and RFC 7240 (`Prefer: wait`) as jobs do, WebAuthn L3 as browsers do.
//! Never counts a job that did not get its token.

use std::cell::RefCell;
use std::net::{Ipv4Addr, SocketAddr};
use std::rc::Rc;
use std::time::{Duration, Instant};

use countersign::cli::demo::authenticator::SoftAuthenticator;
use countersign::crypto::random;
use serde_json::json;
use tokio::sync::{Notify, Semaphore};
use tokio::task::LocalSet;

use super::exchange::form;
use super::wire::{Connection, get, post_form, post_page};
use super::world::{APPROVED, Running, URL, block_on};

/// Between two approvals, while they come one after another: 100 a second.
const PACE: Duration = Duration::from_millis(10);
/// How many come one after another.
const PACED: usize = 1_000;
/// Ceremonies from one address, of the 120 a minute that the server allows.
const FROM_ONE_ADDRESS: u32 = 100;
/// Requests that are opened at the same time.
const OPENING: usize = 64;
/// Longest wait for any of it.
const PATIENCE: Duration = Duration::from_mins(3);

/// What was measured.
pub struct Measured {
    /// Jobs that waited.
    pub waiting: usize,
    /// How long it took until all of them did.
    pub opened: Duration,
    /// Memory of the server while they waited, in MB.
    pub memory: f64,
    /// Approvals one after another.
    pub paced: Approved,
    /// All others at once.
    pub burst: Approved,
    /// The most memory that the server had, in MB.
    pub peak: f64,
}

/// Some approvals.
pub struct Approved {
    /// From the first signature to the last token.
    pub time: Duration,
    /// From the answer to the last signature until the token is in the job's hands, ascending, in microseconds.
    pub after_answer: Vec<u32>,
    /// From sending that signature, likewise.
    pub after_sending: Vec<u32>,
}

struct Job {
    request: String,
    sent: Option<Instant>,
    answered: Option<Instant>,
    token: Option<Instant>,
}

/// What the jobs and the people share.
struct Shared {
    at: SocketAddr,
    jobs: RefCell<Vec<Job>>,
    opening: Semaphore,
    arrived: Notify,
    addresses: RefCell<u32>,
}

/// A person at a browser.
struct Person {
    connection: Connection,
    authenticator: SoftAuthenticator,
    left: u32,
}

/// Lets that many jobs wait, approves some of them one after another, then all others at once.
pub fn measure(running: &Running, tokens: &[String], links: &[String]) -> Measured {
    let shared = Rc::new(Shared {
        at: running.address,
        jobs: RefCell::default(),
        opening: Semaphore::new(OPENING),
        arrived: Notify::new(),
        addresses: RefCell::new(0),
    });
    block_on(LocalSet::new().run_until(async {
        let mut people = Vec::new();
        for link in links {
            people.push(Person::enrol(&shared, link).await);
        }
        let start = Instant::now();
        for token in tokens {
            tokio::task::spawn_local(job(Rc::clone(&shared), token.clone()));
        }
        until_waiting(&shared, tokens.len()).await;
        let opened = start.elapsed();
        let memory = running.memory("VmRSS");
        let paced = paced(&shared, &mut people[0], PACED.min(tokens.len() / 2)).await;
        let burst = burst(&shared, people, PACED.min(tokens.len() / 2)..tokens.len()).await;
        Measured { waiting: tokens.len(), opened, memory, paced, burst, peak: running.memory("VmHWM") }
    }))
}

/// A job: opens its request, then lets its calls be held until it has its token.
async fn job(shared: Rc<Shared>, token: String) {
    let form = form(&token, APPROVED);
    let collector = data_encoding::BASE64URL_NOPAD.encode(&random::bytes::<32>().unwrap());
    let key = format!("idempotency-key: {collector}\r\n");
    let place = shared.opening.acquire().await.unwrap();
    let mut connection = Connection::open(shared.at, None).await;
    let asked = connection.call(&post_form("/token", &key, &form)).await.expect(400).json();
    drop(place);
    assert_eq!(asked["error"], "authorization_pending", "{asked}");
    let request = asked["approval_id"].as_str().unwrap().to_owned();
    let number = {
        let mut jobs = shared.jobs.borrow_mut();
        jobs.push(Job { request, sent: None, answered: None, token: None });
        jobs.len() - 1
    };
    let held = post_form("/token", &format!("{key}prefer: wait=50\r\n"), &form);
    loop {
        let answer = connection.call(&held).await;
        if answer.status == 200 {
            break;
        }
        let said = answer.expect(400).json();
        assert_eq!(said["error"], "authorization_pending", "{said}");
    }
    shared.jobs.borrow_mut()[number].token = Some(Instant::now());
    shared.arrived.notify_one();
}

/// The server itself says how many requests have somebody waiting.
async fn until_waiting(shared: &Shared, count: usize) {
    let mut connection = Connection::open(shared.at, None).await;
    let start = Instant::now();
    loop {
        let ready = connection.call(&get("/readyz")).await.expect(200).json();
        if ready["requests_with_waiters"].as_u64() == Some(count as u64) {
            return;
        }
        assert!(start.elapsed() < PATIENCE, "not all jobs wait: {ready}");
        // Between two looks: another process, which is not to be kept busy with telling.
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

async fn paced(shared: &Rc<Shared>, person: &mut Person, count: usize) -> Approved {
    let start = Instant::now();
    let mut ticks = tokio::time::interval(PACE);
    for number in 0..count {
        ticks.tick().await;
        person.approve(shared, number).await;
    }
    until_arrived(shared, 0..count).await;
    approved(shared, 0..count, start)
}

async fn burst(shared: &Rc<Shared>, people: Vec<Person>, jobs: std::ops::Range<usize>) -> Approved {
    let start = Instant::now();
    let next = Rc::new(RefCell::new(jobs.clone()));
    for mut person in people {
        let (shared, next) = (Rc::clone(shared), Rc::clone(&next));
        tokio::task::spawn_local(async move {
            loop {
                let Some(number) = next.borrow_mut().next() else { return };
                person.approve(&shared, number).await;
            }
        });
    }
    until_arrived(shared, jobs.clone()).await;
    approved(shared, jobs, start)
}

async fn until_arrived(shared: &Shared, jobs: std::ops::Range<usize>) {
    let all = async {
        while shared.jobs.borrow()[jobs.clone()].iter().any(|job| job.token.is_none() || job.answered.is_none()) {
            // A token may arrive before the answer to its signature: look again soon in any case.
            let _ = tokio::time::timeout(PACE, shared.arrived.notified()).await;
        }
    };
    tokio::time::timeout(PATIENCE, all).await.expect("not all jobs have their token");
}

fn approved(shared: &Shared, range: std::ops::Range<usize>, start: Instant) -> Approved {
    let jobs = &shared.jobs.borrow()[range];
    let delays = |from: fn(&Job) -> Option<Instant>| {
        let delay = |job: &Job| job.token.unwrap().saturating_duration_since(from(job).unwrap());
        let mut micros: Vec<_> =
            jobs.iter().map(|job| u32::try_from(delay(job).as_micros()).unwrap_or(u32::MAX)).collect();
        micros.sort_unstable();
        micros
    };
    let last = jobs.iter().filter_map(|job| job.token).max().unwrap();
    Approved { time: last - start, after_answer: delays(|job| job.answered), after_sending: delays(|job| job.sent) }
}

impl Person {
    /// Makes a passkey at an enrolment link.
    async fn enrol(shared: &Shared, link: &str) -> Self {
        let mut connection = Connection::open(shared.at, None).await;
        let mut authenticator = SoftAuthenticator::new(URL, Box::new(|bytes| random::fill(bytes).unwrap()));
        let options = connection.call(&post_page(&format!("{link}/options"), &json!({}))).await.expect(200).json();
        let response = authenticator.create(&options).unwrap();
        let body = json!({ "ceremony": options["ceremony"], "response": response });
        connection.call(&post_page(&format!("{link}/passkey"), &body)).await.expect(200);
        Self { connection, authenticator, left: 0 }
    }

    /// Approves the request of a job.
    async fn approve(&mut self, shared: &Shared, number: usize) {
        if self.left == 0 {
            // As another browser at another address would: the server counts ceremonies by address.
            self.connection = Connection::open(shared.at, Some(shared.next_address())).await;
            self.left = FROM_ONE_ADDRESS;
        }
        self.left -= 1;
        let request = shared.jobs.borrow()[number].request.clone();
        let asked = post_page(&format!("/a/{request}/options"), &json!({ "decision": "approve" }));
        let options = self.connection.call(&asked).await.expect(200).json();
        let response = self.authenticator.get(&options).unwrap();
        let body = json!({ "ceremony": options["ceremony"], "response": response });
        let signed = post_page(&format!("/a/{request}/decision"), &body);
        shared.jobs.borrow_mut()[number].sent = Some(Instant::now());
        self.connection.call(&signed).await.expect(200);
        shared.jobs.borrow_mut()[number].answered = Some(Instant::now());
    }
}

impl Shared {
    /// An address of the loopback network that nobody has signed from.
    fn next_address(&self) -> Ipv4Addr {
        let mut used = self.addresses.borrow_mut();
        *used += 1;
        let [_, b, c, d] = used.to_be_bytes();
        Ipv4Addr::new(127, b.max(1), c, d)
    }
}

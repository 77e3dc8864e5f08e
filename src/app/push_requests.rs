//! Tells people on their devices that a request waits for them, and that it waits no more.
//! In: a request that was recorded or ended. Out: sealed messages for those who may sign it now and asked to be told.
//! Implements DESIGN §11 (being told), RFC 8030 §5.2 to §5.4 (TTL, urgency, topic).
//! Never sends a link that does anything by itself, a code, or a person's name; never holds anybody up.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Weak};
use std::time::Duration;

use data_encoding::BASE64URL_NOPAD;
use serde_json::{Value, json};

use crate::crypto::web_push::{VapidKey, seal};
use crate::domain::ids::{Digest, PersonId, RequestId};
use crate::domain::time::Timestamp;
use crate::outbound::OutboundError;
use crate::outbound::push::{Delivery, Parcel, PushSending, Pushes};
use crate::store::Reader;
use crate::store::push::PushRow;
use crate::store::requests::RequestRow;
use crate::upstream::UpstreamError;
use crate::upstream::fetch::{Fetcher, Roots};

use super::gather::Place;
use super::known::approval_terms;
use super::show_waiting::judge;
use super::use_session::log_time;
use super::{AppError, Countersign};

/// Time for one try.
pub const PUSH_WITHIN: Duration = Duration::from_secs(10);
/// Most requests whose messages wait to be made; further ones are not told on devices.
pub const PUSH_JOBS: usize = 1_024;
/// Most devices that are told of one request.
pub const MAX_PUSHES_OF_REQUEST: usize = 500;
/// Most requests of which it is remembered who was told; of older ones the end is not told.
pub const MAX_TOLD: usize = 1_000;
/// Most characters of a place in a message.
const PLACE_CHARS: usize = 120;

/// Why nobody is told on devices.
#[derive(Debug, thiserror::Error)]
pub enum PushError {
    /// Certificates of authorities.
    #[error(transparent)]
    Upstream(#[from] UpstreamError),
    /// Threads.
    #[error(transparent)]
    Outbound(#[from] OutboundError),
}

/// Something to tell on devices.
#[derive(Debug)]
pub(super) enum PushJob {
    /// A request waits.
    Waits(RequestId),
    /// Many requests of a place wait.
    Many(Place, Vec<RequestId>),
    /// A request may not wait any more.
    Over(RequestId),
}

/// Where jobs are taken.
pub(super) struct Desk {
    jobs: SyncSender<PushJob>,
    pushes: Arc<Pushes>,
}

impl Desk {
    /// With where the jobs come out again.
    fn new(pushes: Arc<Pushes>) -> (Self, Receiver<PushJob>) {
        let (jobs, taken) = sync_channel(PUSH_JOBS);
        (Self { jobs, pushes }, taken)
    }

    /// Whether there was room; it never waits.
    fn take(&self, job: PushJob) -> bool {
        self.jobs.try_send(job).is_ok()
    }
}

/// Which devices were told of which request, oldest first.
#[derive(Default)]
struct ToldDevices {
    of: HashMap<RequestId, Vec<i64>>,
    order: VecDeque<RequestId>,
}

impl ToldDevices {
    fn note(&mut self, id: &RequestId, devices: Vec<i64>) {
        if self.order.len() >= MAX_TOLD
            && let Some(oldest) = self.order.pop_front()
        {
            self.of.remove(&oldest);
        }
        self.order.push_back(id.clone());
        self.of.insert(id.clone(), devices);
    }

    fn take(&mut self, id: &RequestId) -> Vec<i64> {
        self.order.retain(|known| known != id);
        self.of.remove(id).unwrap_or_default()
    }
}

impl Countersign {
    /// Has people told on their devices from here on, where the configuration says so.
    ///
    /// # Errors
    /// No certificates, no threads.
    pub fn push_from_here(self: &Arc<Self>) -> Result<(), PushError> {
        let Some(settings) = self.settings.push.as_ref().filter(|_| self.push_key.is_some()) else { return Ok(()) };
        let roots = settings.ca_file.clone().map_or(Roots::System, Roots::CaFile);
        let fetcher = Fetcher::with_deadline(&roots, settings.allow_private, PUSH_WITHIN)?;
        let (left, clock) = (Arc::downgrade(self), self.clock.clone());
        let pushes = Arc::new(Pushes::start(PushSending {
            post: Arc::new(move |parcel| delivery(&fetcher.post(&parcel.url, &parcel.headers, &parcel.body))),
            gone: Arc::new(move |device| forget(&left, device)),
            now: Arc::new(move || clock.monotonic()),
        })?);
        let (desk, taken) = Desk::new(Arc::clone(&pushes));
        let (app, sending) = (Arc::downgrade(self), Arc::clone(&pushes));
        std::thread::Builder::new()
            .name("push".to_owned())
            .spawn(move || run(&taken, &app, &sending))
            .map_err(OutboundError::Thread)?;
        let _ = self.telling.desk.set(desk);
        Ok(())
    }

    /// Has something told on devices; returns at once.
    pub(super) fn push(&self, job: PushJob) {
        if let Some(desk) = self.telling.desk.get()
            && !desk.take(job)
        {
            tracing::warn!("too much waits to be told on devices; a request is not told there");
        }
    }

    /// What went wrong with messages to devices.
    pub(super) fn push_troubles(&self) -> Vec<String> {
        self.telling.desk.get().map(|desk| desk.pushes.troubles()).unwrap_or_default()
    }

    fn deliver(&self, job: PushJob, told: &mut ToldDevices, pushes: &Pushes) -> Result<(), AppError> {
        let Some(key) = &self.push_key else { return Ok(()) };
        let wall = self.clock.now();
        let from = Sender { key, subject: &self.settings.url, wall };
        match job {
            PushJob::Waits(id) => {
                let Some((row, devices)) = self.waiting_on_devices(&id)? else { return Ok(()) };
                let message = json!({
                    "place": place(&row), "path": format!("/a/{id}"), "until": row.request.decide_by,
                });
                for device in &devices {
                    from.send(pushes, device, (id.as_str(), &message), row.request.decide_by);
                }
                told.note(&id, devices.iter().map(|device| device.id).collect());
            }
            PushJob::Many(place, ids) => {
                let mut of: BTreeMap<i64, (PushRow, u32, Timestamp)> = BTreeMap::new();
                for id in &ids {
                    let Some((row, devices)) = self.waiting_on_devices(id)? else { continue };
                    for device in devices {
                        let known = of.entry(device.id).or_insert((device, 0, row.request.decide_by));
                        known.1 += 1;
                        known.2 = known.2.max(row.request.decide_by);
                    }
                }
                let words = place.words();
                for (device, count, until) in of.into_values() {
                    let message = json!({ "place": shown(&words), "path": "/", "count": count });
                    from.send(pushes, &device, (&words, &message), until);
                }
            }
            PushJob::Over(id) => {
                // Signed, and more signatures are needed: it still waits for others.
                if self.waiting_on_devices(&id)?.is_some_and(|(_, devices)| !devices.is_empty()) {
                    return Ok(());
                }
                let Some(row) = self.store.read(|reader| reader.request(&id))? else { return Ok(()) };
                let message = json!({ "place": place(&row), "path": "/", "over": true });
                for device in told.take(&id) {
                    if let Some(device) = self.store.read(|reader| reader.push(device))? {
                        from.send(pushes, &device, (id.as_str(), &message), row.request.decide_by);
                    }
                }
            }
        }
        Ok(())
    }

    /// The devices of those who may sign a request now; `None` where there is no such request.
    fn waiting_on_devices(&self, id: &RequestId) -> Result<Option<(RequestRow, Vec<PushRow>)>, AppError> {
        let (trusted, wall) = (self.trusted(), self.clock.now());
        self.store.read(|reader| {
            let Some(row) = reader.request(id)? else { return Ok(None) };
            let now = log_time(reader, wall)?;
            let mut devices = Vec::new();
            for person in named(reader, &row)? {
                let of_person = reader.pushes_of(&person, now)?;
                if !of_person.is_empty() && judge((reader, &trusted), &person, row.clone(), now)?.is_some() {
                    devices.extend(of_person);
                }
            }
            devices.truncate(MAX_PUSHES_OF_REQUEST);
            Ok(Some((row, devices)))
        })
    }
}

/// Everybody in a group that the rule names.
fn named(reader: &Reader<'_>, row: &RequestRow) -> Result<BTreeSet<PersonId>, AppError> {
    let mut people = BTreeSet::new();
    for group in approval_terms(&row.rule).iter().flat_map(|terms| &terms.of) {
        people.extend(reader.members(group)?);
    }
    Ok(people)
}

/// What a message needs beside its words.
struct Sender<'a> {
    key: &'a VapidKey,
    subject: &'a str,
    wall: Timestamp,
}

impl Sender<'_> {
    /// Has a message sent to one device; one that cannot be sealed for it keeps no other device from theirs.
    fn send(&self, pushes: &Pushes, device: &PushRow, about: (&str, &Value), until: Timestamp) {
        match self.parcel(device, about, until) {
            Ok(parcel) => pushes.send(parcel),
            Err(error) => tracing::warn!(%error, "a message for a device could not be made"),
        }
    }

    fn parcel(&self, device: &PushRow, (about, message): (&str, &Value), until: Timestamp) -> Result<Parcel, AppError> {
        let subscription = &device.subscription;
        let topic = topic(&subscription.auth, about);
        let mut message = message.clone();
        if let Value::Object(members) = &mut message {
            members.insert("tag".to_owned(), Value::from(topic.clone()));
        }
        let body = seal(message.to_string().as_bytes(), &subscription.key, &subscription.auth)?;
        // A message that nobody took by then is of no use. One that replaces another must not be gone before it.
        let left = until.since(self.wall).as_secs().max(60);
        Ok(Parcel {
            device: device.id,
            url: subscription.endpoint().clone(),
            headers: vec![
                ("authorization", self.key.authorization(&subscription.audience(), self.subject, self.wall)?),
                ("content-encoding", "aes128gcm".to_owned()),
                ("content-type", "application/octet-stream".to_owned()),
                ("ttl", left.to_string()),
                ("topic", topic),
                ("urgency", if message.get("over").is_some() { "low" } else { "high" }.to_owned()),
            ],
            body,
        })
    }
}

/// Names what a message is about, for the service that replaces the older by the newer: 32 characters, other ones for each
/// device. Its secret, which its service does not have, keeps a guess from being tried.
fn topic(auth: &[u8], about: &str) -> String {
    let digest = Digest::of(&[b"countersign/push-topic/v1\0".as_slice(), auth, about.as_bytes()].concat());
    BASE64URL_NOPAD.encode(digest.as_bytes().get(..24).unwrap_or_default())
}

/// Project and environment, as a notification shows them.
fn place(row: &RequestRow) -> String {
    let project = Place::of(row).words();
    let place = row.request.job_claim("environment").map_or(project.clone(), |name| format!("{project} · {name}"));
    shown(&place)
}

/// Text of a job's making: one line, nothing that moves what stands beside it, not long.
fn shown(text: &str) -> String {
    let turns =
        |letter: char| matches!(letter, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    let plain = text.chars().map(|letter| if letter.is_control() || turns(letter) { '?' } else { letter });
    plain.take(PLACE_CHARS).collect()
}

fn run(jobs: &Receiver<PushJob>, app: &Weak<Countersign>, pushes: &Pushes) {
    let mut told = ToldDevices::default();
    while let Ok(job) = jobs.recv() {
        let Some(app) = app.upgrade() else { return };
        if let Err(error) = app.deliver(job, &mut told, pushes) {
            tracing::warn!(%error, "a request was not told on devices");
        }
    }
}

fn forget(app: &Weak<Countersign>, device: i64) {
    if let Some(app) = app.upgrade()
        && let Err(error) = app.forget_push(device)
    {
        tracing::warn!(%error, "a device that is gone was not forgotten");
    }
}

/// What an answer means; nothing of it names the address.
fn delivery(answer: &Result<u16, UpstreamError>) -> Delivery {
    match answer {
        Ok(200..=299) => Delivery::Taken,
        Ok(404 | 410) => Delivery::Gone,
        Ok(status @ (408 | 429)) => Delivery::Failed(format!("it answered with status {status}")),
        Ok(status @ 400..=499) => Delivery::Refused(*status),
        Ok(status) => Delivery::Failed(format!("it answered with status {status}")),
        Err(UpstreamError::Deadline { millis, .. }) => Delivery::Failed(format!("no answer in {} s", millis / 1000)),
        Err(UpstreamError::Address { kind, .. }) => Delivery::Failed(format!("its address is {kind}")),
        Err(UpstreamError::Tls { .. }) => Delivery::Failed("the TLS connection failed".to_owned()),
        Err(_) => Delivery::Failed("it cannot be reached".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_topic_tells_nothing_and_fits() {
        let id = RequestId::from_random([7; 16]);
        let topic = topic(&[1; 16], id.as_str());
        assert_eq!(topic.len(), 32);
        assert!(!topic.contains(id.as_str()));
        assert_ne!(topic, super::topic(&[1; 16], RequestId::from_random([8; 16]).as_str()));
        assert_ne!(topic, super::topic(&[2; 16], id.as_str()), "another one for each device");
    }

    #[test]
    fn what_is_told_is_one_short_line() {
        assert_eq!(shown("shop/api\n\u{202e}x"), "shop/api??x");
        assert_eq!(shown(&"a".repeat(500)).len(), PLACE_CHARS);
    }

    #[test]
    fn so_many_jobs_wait_and_nobody_is_held_up_by_one_more() {
        let sending = PushSending {
            post: Arc::new(|_| Delivery::Taken),
            gone: Arc::new(|_| ()),
            now: Arc::new(|| Duration::ZERO),
        };
        let (desk, jobs) = Desk::new(Arc::new(Pushes::start(sending).unwrap()));
        let job = || PushJob::Over(RequestId::from_random([7; 16]));
        assert!((0..PUSH_JOBS).all(|_| desk.take(job())));
        assert!(!desk.take(job()), "and it does not wait");
        jobs.recv().unwrap();
        assert!(desk.take(job()));
    }

    #[test]
    fn who_was_told_is_remembered_for_a_while() {
        let mut told = ToldDevices::default();
        let id = |n: usize| {
            let mut bytes = [0; 16];
            bytes[..8].copy_from_slice(&n.to_le_bytes());
            RequestId::from_random(bytes)
        };
        for n in 0..=MAX_TOLD {
            told.note(&id(n), vec![1]);
        }
        assert_eq!((told.take(&id(0)), told.take(&id(1)), told.take(&id(1))), (vec![], vec![1], vec![]));
        assert_eq!((told.of.len(), told.order.len()), (MAX_TOLD - 1, MAX_TOLD - 1));
    }

    #[test]
    fn a_device_is_gone_where_its_service_says_so_and_nothing_tells_its_address() {
        assert_eq!(delivery(&Ok(201)), Delivery::Taken);
        assert_eq!((delivery(&Ok(404)), delivery(&Ok(410))), (Delivery::Gone, Delivery::Gone));
        assert_eq!(delivery(&Ok(403)), Delivery::Refused(403));
        let secret = "https://push.example.com/secret-path".to_owned();
        let (kind, millis, host) = ("loopback", 10_000, "push.example.com".to_owned());
        for error in [
            UpstreamError::Deadline { url: secret.clone(), millis },
            UpstreamError::Tls { url: secret.clone(), problem: secret.clone() },
            UpstreamError::Unreachable { url: secret.clone(), problem: secret.clone() },
            UpstreamError::Address { host, address: std::net::IpAddr::from([127, 0, 0, 1]), kind },
        ] {
            let Delivery::Failed(why) = delivery(&Err(error)) else { panic!("it failed") };
            assert!(!why.contains("secret"), "{why}");
        }
        for status in [408, 429, 500, 302] {
            assert!(matches!(delivery(&Ok(status)), Delivery::Failed(_)), "{status}");
        }
    }
}

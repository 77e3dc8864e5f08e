//! Messages to browsers of people who asked for them, by their push services: sent once, never waited for.
//! In: parcels, and how one is posted. Out: which devices are gone; what went wrong, by service.
//! Implements RFC 8030 §5 (answers 2xx, 404, 410), §7.3 of RFC 8030 (gone).
//! Never lets one device's service hold up another's for longer than a try, and never tells an address.

use std::collections::{BTreeMap, HashMap};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use url::Url;

use super::OutboundError;

/// Threads that send; each device belongs to one of them.
pub const PUSH_LANES: usize = 4;
/// Most messages that wait in one of them; one more is lost, and counted.
pub const PUSH_QUEUE: usize = 256;
/// How often a service may refuse messages for one device in a row before the device is gone.
pub const PUSH_REFUSALS: u32 = 10;
/// How long a device rests after a message for it failed; twice as long after each further one.
pub const PUSH_RESTS: Duration = Duration::from_mins(1);
/// Longest such rest.
pub const PUSH_RESTS_MOST: Duration = Duration::from_hours(1);
/// Most services and devices that are remembered; beyond it the memory starts anew.
pub const MAX_REMEMBERED: usize = 1_000;

/// How long it is told that a service did not take a message, where nothing was sent there since.
pub const PUSH_TROUBLE_TOLD: Duration = Duration::from_hours(24);
/// Services of which it is told that they do not take messages; people choose their hosts below a listed name.
pub const PUSH_TROUBLES: usize = 5;

/// One sealed message for one device.
#[derive(Clone)]
pub struct Parcel {
    /// The device's number.
    pub device: i64,
    /// Where to.
    pub url: Url,
    /// What goes with it.
    pub headers: Vec<(&'static str, String)>,
    /// Sealed.
    pub body: Vec<u8>,
}

/// What became of one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Delivery {
    /// The service took it.
    Taken,
    /// The service knows no such device any more.
    Gone,
    /// The service refused it; its status.
    Refused(u16),
    /// It could not be handed over; why, without a word of the address.
    Failed(String),
}

/// How parcels are posted, who is told of devices that are gone, and a clock that only goes on.
pub struct PushSending {
    /// Posts one; it blocks for a while.
    pub post: Arc<dyn Fn(&Parcel) -> Delivery + Send + Sync>,
    /// A device is gone.
    pub gone: Arc<dyn Fn(i64) + Send + Sync>,
    /// The monotonic clock.
    pub now: Arc<dyn Fn() -> Duration + Send + Sync>,
}

#[derive(Debug, Default)]
struct Tally {
    lost: u64,
    /// Of the last try at each service that has not gone well since, and when that was.
    problems: BTreeMap<String, (String, Duration)>,
}

/// Everything that is sent to browsers.
pub struct Pushes {
    lanes: Vec<SyncSender<Parcel>>,
    tally: Arc<Mutex<Tally>>,
    now: Arc<dyn Fn() -> Duration + Send + Sync>,
}

impl Pushes {
    /// Starts the threads.
    ///
    /// # Errors
    /// No threads.
    pub fn start(sending: PushSending) -> Result<Self, OutboundError> {
        let now = Arc::clone(&sending.now);
        let (sending, tally) = (Arc::new(sending), Arc::<Mutex<Tally>>::default());
        let mut lanes = Vec::new();
        for _ in 0..PUSH_LANES {
            let (queue, parcels) = sync_channel(PUSH_QUEUE);
            let (sending, tally) = (Arc::clone(&sending), Arc::clone(&tally));
            std::thread::Builder::new()
                .name("push".to_owned())
                .spawn(move || run(&parcels, &sending, &tally))
                .map_err(OutboundError::Thread)?;
            lanes.push(queue);
        }
        Ok(Self { lanes, tally, now })
    }

    /// Has a message sent; returns at once.
    pub fn send(&self, parcel: Parcel) {
        let lane = usize::try_from(parcel.device.unsigned_abs()).unwrap_or(0) % self.lanes.len().max(1);
        let queued = self.lanes.get(lane).is_some_and(|queue| queue.try_send(parcel).is_ok());
        if !queued {
            self.tally.lock().unwrap_or_else(PoisonError::into_inner).lost += 1;
        }
    }

    /// What went wrong lately and is not mended, one sentence a service.
    #[must_use]
    pub fn troubles(&self) -> Vec<String> {
        let now = (self.now)();
        let mut tally = self.tally.lock().unwrap_or_else(PoisonError::into_inner);
        // Whoever was told there may have been the last one, and then nothing ever goes well.
        tally.problems.retain(|_, (_, at)| now.saturating_sub(*at) < PUSH_TROUBLE_TOLD);
        let services = tally.problems.iter().map(|(host, (problem, _))| format!("push by {host}: {problem}"));
        let more = tally.problems.len().saturating_sub(PUSH_TROUBLES);
        let more = (more > 0).then(|| format!("push: {more} more services do not take messages"));
        let lost = (tally.lost > 0).then(|| format!("push: {} messages found no room and were lost", tally.lost));
        services.take(PUSH_TROUBLES).chain(more).chain(lost).collect()
    }
}

/// A device that messages failed for.
#[derive(Debug, Default)]
struct Failing {
    times: u32,
    refused: u32,
    until: Duration,
}

fn run(parcels: &Receiver<Parcel>, sending: &PushSending, tally: &Mutex<Tally>) {
    let mut failing: HashMap<i64, Failing> = HashMap::new();
    while let Ok(parcel) = parcels.recv() {
        if failing.get(&parcel.device).is_some_and(|device| (sending.now)() < device.until) {
            continue;
        }
        let delivery = (sending.post)(&parcel);
        let problem = match &delivery {
            Delivery::Taken | Delivery::Gone => None,
            Delivery::Refused(status) => Some(format!("it answered with status {status}")),
            Delivery::Failed(why) => Some(why.clone()),
        };
        note(tally, &parcel.url, problem, (sending.now)());
        if failing.len() >= MAX_REMEMBERED {
            failing.clear();
        }
        if is_gone(&mut failing, parcel.device, &delivery, (sending.now)()) {
            (sending.gone)(parcel.device);
        }
    }
}

fn note(tally: &Mutex<Tally>, url: &Url, problem: Option<String>, now: Duration) {
    let host = url.host_str().unwrap_or_default();
    let mut tally = tally.lock().unwrap_or_else(PoisonError::into_inner);
    if tally.problems.len() >= MAX_REMEMBERED {
        tally.problems.clear();
    }
    match problem {
        Some(problem) => drop(tally.problems.insert(host.to_owned(), (problem, now))),
        None => drop(tally.problems.remove(host)),
    }
}

/// Whether the device is gone; where a message failed it rests.
fn is_gone(failing: &mut HashMap<i64, Failing>, device: i64, delivery: &Delivery, now: Duration) -> bool {
    match delivery {
        Delivery::Taken | Delivery::Gone => {
            failing.remove(&device);
            *delivery == Delivery::Gone
        }
        Delivery::Refused(_) | Delivery::Failed(_) => {
            let known = failing.entry(device).or_default();
            known.until = now + PUSH_RESTS.saturating_mul(1 << known.times.min(10)).min(PUSH_RESTS_MOST);
            known.times = known.times.saturating_add(1);
            known.refused = if matches!(delivery, Delivery::Refused(_)) { known.refused + 1 } else { 0 };
            let gone = known.refused >= PUSH_REFUSALS;
            if gone {
                failing.remove(&device);
            }
            gone
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};
    use std::sync::mpsc::{Sender, channel};

    use super::*;

    const SOON: Duration = Duration::from_secs(20);

    fn parcel(device: i64) -> Parcel {
        let url = Url::parse(&format!("https://push{device}.example.com/secret-path")).unwrap();
        Parcel { device, url, headers: Vec::new(), body: Vec::new() }
    }

    /// Sends as `answer` says; the clock stands where the number says, in seconds.
    fn pushes(
        answer: impl Fn(&Parcel) -> Delivery + Send + Sync + 'static,
    ) -> (Pushes, Receiver<i64>, Receiver<i64>, Arc<AtomicU64>) {
        let ((posted, tried), (left, gone)) = (channel(), channel());
        let (posted, left): (Sender<i64>, Sender<i64>) = (posted, left);
        let clock = Arc::<AtomicU64>::default();
        let hand = Arc::clone(&clock);
        let sending = PushSending {
            post: Arc::new(move |parcel| {
                let _ = posted.send(parcel.device);
                answer(parcel)
            }),
            gone: Arc::new(move |device| {
                let _ = left.send(device);
            }),
            now: Arc::new(move || Duration::from_secs(clock.load(Ordering::SeqCst))),
        };
        (Pushes::start(sending).unwrap(), tried, gone, hand)
    }

    #[test]
    fn a_device_that_fails_rests_twice_as_long_each_time_and_not_for_ever() {
        let mut failing = HashMap::new();
        let failed = Delivery::Failed("no answer".to_owned());
        let mut rests = Vec::new();
        for _ in 0..20 {
            assert!(!is_gone(&mut failing, 1, &failed, PUSH_RESTS), "it is not gone for that");
            rests.push(failing[&1].until.saturating_sub(PUSH_RESTS));
        }
        assert_eq!(rests[..3], [PUSH_RESTS, PUSH_RESTS * 2, PUSH_RESTS * 4]);
        assert!(rests.iter().all(|rest| *rest <= PUSH_RESTS_MOST) && rests.last() == Some(&PUSH_RESTS_MOST));
        assert!(!is_gone(&mut failing, 1, &Delivery::Taken, PUSH_RESTS) && failing.is_empty());
    }

    #[test]
    fn a_few_services_are_told_of_and_so_many_are_remembered() {
        let pushes = Pushes { lanes: Vec::new(), tally: Arc::default(), now: Arc::new(|| Duration::ZERO) };
        let problem = |n: usize| {
            let url = Url::parse(&format!("https://h{n}.example.com/secret-path")).unwrap();
            note(&pushes.tally, &url, Some("no answer".to_owned()), Duration::ZERO);
        };
        (0..PUSH_TROUBLES).for_each(problem);
        assert_eq!(pushes.troubles().len(), PUSH_TROUBLES);
        (0..MAX_REMEMBERED).for_each(problem);
        let told = pushes.troubles();
        assert_eq!(told.len(), PUSH_TROUBLES + 1);
        assert_eq!(
            told[PUSH_TROUBLES],
            format!("push: {} more services do not take messages", MAX_REMEMBERED - PUSH_TROUBLES)
        );
        problem(MAX_REMEMBERED);
        assert_eq!(pushes.troubles().len(), 1, "the memory starts anew");
        assert!(!told.concat().contains("secret-path"));
    }

    #[test]
    fn a_service_is_told_of_until_something_goes_well_there_or_for_a_day() {
        let (pushes, tried, _gone, clock) = pushes(|parcel| match parcel.body.as_slice() {
            b"well" => Delivery::Taken,
            _ => Delivery::Failed("no answer in 10 s".to_owned()),
        });
        let send = |device: i64, body: &[u8]| {
            pushes.send(Parcel { body: body.to_vec(), ..parcel(device) });
            assert_eq!(tried.recv_timeout(SOON), Ok(device));
            // The same lane: what became of it is noted before this one is sent.
            pushes.send(Parcel { body: b"well".to_vec(), ..parcel(device + 4 * i64::try_from(PUSH_LANES).unwrap()) });
            tried.recv_timeout(SOON).unwrap();
        };
        send(1, b"");
        send(2, b"");
        assert_eq!(pushes.troubles().len(), 2);
        clock.store(PUSH_TROUBLE_TOLD.as_secs() - 1, Ordering::SeqCst);
        send(1, b"well");
        assert_eq!(pushes.troubles(), ["push by push2.example.com: no answer in 10 s"]);
        clock.store(PUSH_TROUBLE_TOLD.as_secs(), Ordering::SeqCst);
        assert!(pushes.troubles().is_empty(), "{:?}", pushes.troubles());
    }

    #[test]
    fn each_device_belongs_to_one_of_so_many_lanes() {
        let (open, gate) = channel::<()>();
        let gate = Mutex::new(gate);
        let (pushes, tried, ..) = pushes(move |parcel| {
            if parcel.device == 1 {
                let _ = gate.lock().unwrap().recv();
            }
            Delivery::Taken
        });
        let lanes = i64::try_from(PUSH_LANES).unwrap();
        pushes.send(parcel(1));
        assert_eq!(tried.recv_timeout(SOON), Ok(1));
        pushes.send(parcel(1 + lanes));
        for device in 2..=lanes {
            pushes.send(parcel(device));
            assert_eq!(tried.recv_timeout(SOON), Ok(device), "the lanes beside the first go on");
        }
        assert!(tried.try_recv().is_err(), "the first lane's next device waits");
        drop(open);
        assert_eq!(tried.recv_timeout(SOON), Ok(1 + lanes));
    }

    #[test]
    fn a_device_that_stalls_holds_up_no_other_lane() {
        let (open, gate) = channel::<()>();
        let gate = Mutex::new(gate);
        let (pushes, tried, ..) = pushes(move |parcel| {
            if parcel.device == 1 {
                let _ = gate.lock().unwrap().recv();
            }
            Delivery::Taken
        });
        for _ in 0..PUSH_QUEUE * 2 {
            pushes.send(parcel(1));
        }
        assert_eq!(tried.recv_timeout(SOON), Ok(1));
        for device in [2, 3, 4] {
            pushes.send(parcel(device));
            assert_eq!(tried.recv_timeout(SOON), Ok(device));
        }
        assert!(pushes.troubles().concat().contains("found no room"), "{:?}", pushes.troubles());
        drop(open);
    }

    #[test]
    fn what_is_gone_is_told_and_what_fails_rests() {
        let (pushes, tried, gone, clock) = pushes(|parcel| match parcel.device {
            4 => Delivery::Gone,
            8 => Delivery::Refused(403),
            12 => Delivery::Failed("no answer in 10 s".to_owned()),
            _ => Delivery::Taken,
        });
        pushes.send(parcel(4));
        assert_eq!(gone.recv_timeout(SOON), Ok(4));
        pushes.send(parcel(12));
        pushes.send(parcel(12));
        // The same lane: the second of 12 was left out before this one.
        pushes.send(parcel(16));
        let order: Vec<_> = (0..3).map(|_| tried.recv_timeout(SOON).unwrap()).collect();
        assert_eq!(order, [4, 12, 16]);
        let told = pushes.troubles();
        assert_eq!(told, ["push by push12.example.com: no answer in 10 s"]);
        for n in 0..PUSH_REFUSALS {
            clock.store(u64::from(n + 1) * 10_000, Ordering::SeqCst);
            pushes.send(parcel(8));
            assert_eq!(tried.recv_timeout(SOON), Ok(8));
            // The same lane: what became of 8 is noted before this one is sent, by the clock as it is now.
            pushes.send(parcel(16));
            assert_eq!(tried.recv_timeout(SOON), Ok(16));
        }
        assert_eq!(gone.recv_timeout(SOON), Ok(8));
    }
}

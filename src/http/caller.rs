//! Who calls: the address that limits count by, and whether a browser's page is ours.
//! In: a request's head and the configured proxies. Out: an address; yes or no.
//! Implements DESIGN §12 (`trusted_proxies`), Fetch's `Origin`.
//! Never believes `X-Forwarded-For` of anybody but a configured proxy.

use std::collections::HashMap;
use std::hash::Hash;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use actix_web::HttpRequest;
use actix_web::http::header;

use crate::app::Countersign;
use crate::config::cidr::Cidr;
use crate::domain::ids::Digest;
use crate::domain::network::Network;
use crate::domain::time::USER_CODE_WAIT;

use super::cors::has_pages_at;

/// Default of refused calls from one address in a minute.
pub const MAX_REFUSED_A_MINUTE: u32 = 600;
/// Default of wrong ceremonies from one address in a minute.
pub const MAX_WRONG_CEREMONIES_A_MINUTE: u32 = 30;
/// Ceremonies that one address may start in a minute.
pub const MAX_STARTED_CEREMONIES_A_MINUTE: u32 = 120;
/// Requests of applications that one address may bring in a minute.
pub const MAX_AUTHORIZATIONS_A_MINUTE: u32 = 600;
/// Calls of foreign pages in the browsers of one address that are refused, or come in a frame, in a minute.
pub const MAX_FOREIGN_A_MINUTE: u32 = 60;
/// Requests of devices that one address may bring in a minute.
pub const MAX_DEVICES_A_MINUTE: u32 = 60;
/// Wrong user codes that one session, and one address, may type within `USER_CODE_WAIT`.
pub const MAX_WRONG_USER_CODES: u32 = 5;
/// Pages of one address that are told of changes at once.
pub const MAX_STREAMS_OF_ADDRESS: u32 = 200;
/// Most addresses remembered; beyond it the memory starts anew, which only makes us lenient.
pub const MAX_ADDRESSES: usize = 100_000;
const MINUTE: Duration = Duration::from_mins(1);

/// The address that a call counts for.
pub fn address(request: &HttpRequest, trusted: &[Cidr]) -> IpAddr {
    let peer = request.peer_addr().map_or(IpAddr::V6(Ipv6Addr::UNSPECIFIED), |addr| addr.ip());
    let is_trusted = |address: IpAddr| trusted.iter().any(|range| range.contains(address));
    if !is_trusted(peer) {
        return peer;
    }
    let forwarded: Vec<Option<IpAddr>> = request
        .headers()
        .get_all("x-forwarded-for")
        .flat_map(|value| value.to_str().unwrap_or_default().split(','))
        .map(|part| forwarded_address(part.trim()))
        .collect();
    // From the right, where our own proxies write. What one of them wrote and we cannot read must not be skipped: what
    // stands left of it is the client's own word.
    forwarded.into_iter().rev().find(|address| address.is_none_or(|one| !is_trusted(one))).flatten().unwrap_or(peer)
}

/// An address as proxies write it: some add the port, some brackets.
fn forwarded_address(part: &str) -> Option<IpAddr> {
    let bare = part.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(part);
    bare.parse().ok().or_else(|| part.parse::<SocketAddr>().ok().map(|address| address.ip()))
}

/// Whether a state-changing call comes from a page of ours: its `Origin` must be our own, exactly.
pub fn is_our_page(request: &HttpRequest, app: &Countersign) -> bool {
    let site = request.headers().get("sec-fetch-site").and_then(|value| value.to_str().ok());
    let same_site = site.is_none_or(|site| site == "same-origin");
    let origin = request.headers().get(header::ORIGIN).and_then(|value| value.to_str().ok());
    same_site && origin == Some(app.relying_party.origin.as_str())
}

/// Whether a page of somebody else's makes a browser call, and not the person at it (Fetch Metadata). What it sends without
/// their knowledge counts apart: it must not use up what their address may do. The pages of public clients call for
/// themselves.
pub fn is_of_foreign_page(request: &HttpRequest, app: &Countersign) -> bool {
    let text = |name: &str| request.headers().get(name).and_then(|value| value.to_str().ok());
    let origin = text(header::ORIGIN.as_str());
    let foreign = match text("sec-fetch-site") {
        Some("same-origin" | "none") => false,
        Some(_) => true,
        None => origin.is_some_and(|origin| origin != app.relying_party.origin.as_str()),
    };
    foreign && !origin.is_some_and(|origin| app.clients.all().iter().any(|client| has_pages_at(client, origin)))
}

/// How a browser comes to a page of ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Visit {
    /// A person sees it in the address bar, as far as browsers tell.
    Seen,
    /// It is part of a page of another site.
    Framed,
    /// No page at all: a script, a picture.
    Unseen,
}

/// How a browser comes (Fetch Metadata `Sec-Fetch-Mode`, `Sec-Fetch-Dest`); what says nothing is taken as a person's way.
pub fn visit(request: &HttpRequest) -> Visit {
    let text = |name: &str| request.headers().get(name).and_then(|value| value.to_str().ok());
    if text("sec-fetch-mode").is_some_and(|mode| mode != "navigate") {
        return Visit::Unseen;
    }
    let framed = text("sec-fetch-dest").is_some_and(|place| place != "document");
    // In a page of the same site the session's cookie comes along: an application may ask there whether it still lives.
    if framed && text("sec-fetch-site") == Some("cross-site") { Visit::Framed } else { Visit::Seen }
}

/// Counts events of each key in windows of time.
#[derive(Debug)]
struct Windows<K> {
    most: u32,
    length: Duration,
    counts: Mutex<HashMap<K, (Duration, u32)>>,
}

impl<K: Eq + Hash + Copy> Windows<K> {
    fn new(most: u32, length: Duration) -> Self {
        Self { most, length, counts: Mutex::new(HashMap::new()) }
    }

    fn exhausted(&self, key: K, now: Duration) -> Option<u64> {
        let counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        let (start, count) = counts.get(&key)?;
        let left = self.length.checked_sub(now.saturating_sub(*start))?;
        (*count >= self.most).then(|| left.as_secs() + 1)
    }

    fn count(&self, key: K, now: Duration) {
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        if counts.len() >= MAX_ADDRESSES && !counts.contains_key(&key) {
            counts.clear();
        }
        let (start, count) = counts.entry(key).or_insert((now, 0));
        if now.saturating_sub(*start) >= self.length {
            (*start, *count) = (now, 0);
        }
        *count += 1;
    }

    fn uncount(&self, key: K) {
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, count)) = counts.get_mut(&key) {
            *count = count.saturating_sub(1);
        }
    }
}

/// Counts events by address in windows of a minute.
#[derive(Debug)]
pub struct Tally(Windows<Network>);

impl Tally {
    /// At most `most` a minute.
    pub fn new(most: u32) -> Self {
        Self(Windows::new(most, MINUTE))
    }

    /// Seconds to wait, where the address has had its share.
    pub fn exhausted(&self, address: IpAddr, now: Duration) -> Option<u64> {
        self.0.exhausted(Network::of(address), now)
    }

    /// Counts one event.
    pub fn count(&self, address: IpAddr, now: Duration) {
        self.0.count(Network::of(address), now);
    }
}

/// Counts codes that were typed, by address and by session: whoever guesses is stopped, wherever they come from.
#[derive(Debug)]
pub struct Guesses {
    addresses: Windows<Network>,
    sessions: Windows<Digest>,
}

impl Default for Guesses {
    fn default() -> Self {
        let (most, length) = (MAX_WRONG_USER_CODES, USER_CODE_WAIT);
        Self { addresses: Windows::new(most, length), sessions: Windows::new(most, length) }
    }
}

impl Guesses {
    /// Counts a guess before it is looked at, so that many at once are no more than many.
    ///
    /// # Errors
    /// Seconds to wait, where address or session has had its share.
    pub fn begin(&self, address: IpAddr, session: Digest, now: Duration) -> Result<(), u64> {
        let address = Network::of(address);
        let waits = self.addresses.exhausted(address, now).max(self.sessions.exhausted(session, now));
        if let Some(seconds) = waits {
            return Err(seconds);
        }
        self.addresses.count(address, now);
        self.sessions.count(session, now);
        Ok(())
    }

    /// It was right: it does not count.
    pub fn was_right(&self, address: IpAddr, session: Digest) {
        self.addresses.uncount(Network::of(address));
        self.sessions.uncount(session);
    }
}

/// Counts what each address holds open.
#[derive(Debug)]
pub struct Crowd {
    most: u32,
    open: Arc<Mutex<HashMap<Network, u32>>>,
}

/// A place among those of one address; dropping it leaves.
#[derive(Debug)]
pub struct Place {
    key: Network,
    open: Arc<Mutex<HashMap<Network, u32>>>,
}

impl Crowd {
    /// At most `most` at once.
    pub fn new(most: u32) -> Self {
        Self { most, open: Arc::default() }
    }

    /// A place, unless the address has all that it may have.
    pub fn enter(&self, address: IpAddr) -> Option<Place> {
        let key = Network::of(address);
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let count = open.entry(key).or_default();
        if *count >= self.most {
            return None;
        }
        *count += 1;
        Some(Place { key, open: Arc::clone(&self.open) })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = open.get_mut(&self.key) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                open.remove(&self.key);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_holds_so_many_places_and_leaving_makes_room() {
        let crowd = Crowd::new(2);
        let (one, other) = (IpAddr::from([192, 0, 2, 1]), IpAddr::from([192, 0, 2, 2]));
        let first = crowd.enter(one).unwrap();
        let second = crowd.enter(one).unwrap();
        assert!(crowd.enter(one).is_none() && crowd.enter(other).is_some());
        drop(first);
        assert!(crowd.enter(one).is_some());
        drop(second);
        assert!(crowd.open.lock().unwrap().is_empty(), "nobody is remembered who has left");
    }

    #[test]
    fn a_share_is_counted_by_household_and_minute() {
        let tally = Tally::new(2);
        let one: IpAddr = "2001:db8::1".parse().unwrap();
        let neighbour: IpAddr = "2001:db8::2".parse().unwrap();
        let other: IpAddr = "2001:db8:0:1::1".parse().unwrap();
        let at = Duration::from_secs;
        tally.count(one, at(0));
        assert_eq!(tally.exhausted(one, at(1)), None);
        tally.count(neighbour, at(1));
        assert_eq!(tally.exhausted(one, at(1)), Some(60));
        assert_eq!(tally.exhausted(other, at(1)), None);
        assert_eq!(tally.exhausted(one, at(61)), None);
    }

    #[test]
    fn attack_077_five_guesses_by_session_and_by_address_and_then_a_wait() {
        let (here, there) = (IpAddr::from([192, 0, 2, 1]), IpAddr::from([192, 0, 2, 2]));
        let (one, other) = (Digest::of(b"one"), Digest::of(b"other"));
        let at = Duration::from_secs;
        let guesses = Guesses::default();
        for _ in 0..20 {
            guesses.begin(here, one, at(0)).unwrap();
            guesses.was_right(here, one);
        }
        for second in 0..5 {
            guesses.begin(here, one, at(second)).unwrap();
        }
        assert_eq!(guesses.begin(here, one, at(5)), Err(596));
        assert_eq!(guesses.begin(here, other, at(5)), Err(596), "another session at the same address");
        assert_eq!(guesses.begin(there, one, at(5)), Err(596), "the same session at another address");
        assert_eq!(guesses.begin(there, other, at(5)), Ok(()));
        assert_eq!(guesses.begin(here, one, at(601)), Ok(()));
    }

    #[test]
    fn only_a_configured_proxy_is_believed() {
        let proxies = ["10.0.0.0/8".parse::<Cidr>().unwrap()];
        let call = |peer: &str, forwarded: &str| {
            let request = actix_web::test::TestRequest::default()
                .peer_addr(format!("{peer}:1").parse().unwrap())
                .insert_header(("x-forwarded-for", forwarded))
                .to_http_request();
            address(&request, &proxies).to_string()
        };
        assert_eq!(call("192.0.2.1", "203.0.113.9"), "192.0.2.1");
        assert_eq!(call("10.1.1.1", "203.0.113.9"), "203.0.113.9");
        assert_eq!(call("10.1.1.1", "198.51.100.1, 203.0.113.9, 10.2.2.2"), "203.0.113.9");
        assert_eq!(call("10.1.1.1", "rubbish"), "10.1.1.1");
        assert_eq!(call("10.1.1.1", "198.51.100.1, 203.0.113.9:4711"), "203.0.113.9");
        assert_eq!(call("10.1.1.1", "198.51.100.1, [2001:db8::1]:4711, [2001:db8::2]"), "2001:db8::2");
        assert_eq!(call("10.1.1.1", "198.51.100.1, unknown, 10.2.2.2"), "10.1.1.1", "left of it is the client's word");
    }
}

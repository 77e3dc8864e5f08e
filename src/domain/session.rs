//! A session: how long it lives, how fresh it is, and why it ended; and what nobody learns before it.
//! In: times, and a browser's word about itself. Out: yes or no; a hint for people; credential ids that nobody has.
//! Implements DESIGN §10 (sessions), ATTACKS 61 (a constant list for unknown names, by HMAC).
//! Never decides anything by what a browser calls itself.

use std::time::Duration;

use hmac::{Hmac, KeyInit, Mac};
use serde::{Deserialize, Serialize};
use sha2::Sha256;

use crate::domain::time::{FRESH_SIGN_IN, SESSION_ABSOLUTE, SESSION_IDLE, SESSION_NOTED, Timestamp};

/// How long sessions live.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SessionLimits {
    /// How long one may rest.
    pub idle: Duration,
    /// How long one lives, however much it is used.
    pub absolute: Duration,
}

impl Default for SessionLimits {
    fn default() -> Self {
        Self { idle: SESSION_IDLE, absolute: SESSION_ABSOLUTE }
    }
}

/// When a session began, was used, and ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SessionTimes {
    /// The touch that started it.
    pub started: Timestamp,
    /// The last use that was noted.
    pub last_used: Timestamp,
    /// The last moment that it was given.
    pub ends: Timestamp,
    /// When it was ended, if it was.
    pub ended: Option<Timestamp>,
}

impl SessionTimes {
    /// Whether it still lives; limits that were made narrower meanwhile hold for it too.
    #[must_use]
    pub fn lives(&self, limits: SessionLimits, now: Timestamp) -> bool {
        let ends = self.ends.min(self.started + limits.absolute);
        self.ended.is_none() && now <= ends && now <= self.last_used + limits.idle
    }

    /// Whether its touch is young enough for what wants one.
    #[must_use]
    pub fn is_fresh(&self, now: Timestamp) -> bool {
        now.since(self.started) <= FRESH_SIGN_IN
    }

    /// Whether this use should be noted.
    #[must_use]
    pub fn is_to_be_noted(&self, now: Timestamp) -> bool {
        now.since(self.last_used) >= SESSION_NOTED
    }
}

/// Why a session was ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SessionEnd {
    /// Its person signed out.
    SignedOut,
    /// Its person ended it from another session.
    Elsewhere,
    /// Somebody signed in anew in the same browser.
    Renewed,
    /// Its person had too many; the oldest ends.
    TooMany,
    /// It rested or lived too long, and somebody came with its cookie.
    TooOld,
}

/// Browsers by a mark in what they call themselves; the first that fits.
const BROWSERS: &[(&str, &str)] = &[
    ("Edg", "Edge"),
    ("OPR/", "Opera"),
    ("SamsungBrowser/", "Samsung Internet"),
    ("Firefox/", "Firefox"),
    ("FxiOS/", "Firefox"),
    ("Chrome/", "Chrome"),
    ("CriOS/", "Chrome"),
    ("Safari/", "Safari"),
];
/// Systems by a mark, the first that fits.
const SYSTEMS: &[(&str, &str)] = &[
    ("Android", "Android"),
    ("iPhone", "iPhone"),
    ("iPad", "iPad"),
    ("CrOS", "ChromeOS"),
    ("Windows", "Windows"),
    ("Mac OS X", "macOS"),
    ("Linux", "Linux"),
];

/// `Firefox on Linux`: a browser's word about itself, for people to recognise their own sessions by.
#[must_use]
pub fn device_hint(user_agent: &str) -> String {
    let find = |known: &[(&str, &'static str)]| {
        known.iter().find(|(mark, _)| user_agent.contains(mark)).map(|(_, name)| *name)
    };
    match (find(BROWSERS), find(SYSTEMS)) {
        (Some(browser), Some(system)) => format!("{browser} on {system}"),
        (Some(only), None) | (None, Some(only)) => only.to_owned(),
        (None, None) => "Unknown browser".to_owned(),
    }
}

/// Lengths that authenticators give their credential ids, in bytes.
const ID_LENGTHS: [usize; 4] = [SHORTEST, 20, 32, 64];
const SHORTEST: usize = 16;

/// Bytes at the end of a made-up id by which we know it again.
const MARK: usize = 8;

/// Credential ids for a user name that nobody has: the same at each asking, one or two, as long as real ones are.
#[must_use]
pub fn decoys(key: &[u8; 32], name: &str) -> Vec<Vec<u8>> {
    let name = name.to_lowercase();
    let shape = keyed(key, "shape", name.as_bytes());
    let [first, second, third, ..] = shape;
    let lengths = [first, second].map(|byte| ID_LENGTHS.get(usize::from(byte % 4)).copied().unwrap_or(SHORTEST));
    let count = if third % 4 == 0 { 2 } else { 1 };
    let id = |(at, length): (usize, usize)| {
        let part = |half: &str| keyed(key, &format!("{half}{at}"), name.as_bytes());
        let mut id: Vec<u8> = [part("a"), part("b")].concat().into_iter().take(length - MARK).collect();
        id.extend(mark(key, &id));
        id
    };
    lengths.into_iter().enumerate().take(count).map(id).collect()
}

/// The user handle of the owner, where we made this credential id up for a name that nobody has; whoever lacks the key
/// cannot tell.
#[must_use]
pub fn made_up(key: &[u8; 32], credential_id: &[u8]) -> Option<[u8; 16]> {
    let (id, end) = credential_id.split_at_checked(credential_id.len().checked_sub(MARK)?)?;
    if !ID_LENGTHS.contains(&credential_id.len()) || mark(key, id).ne(end.iter().copied()) {
        return None;
    }
    let mut user_handle = [0; 16];
    for (place, byte) in user_handle.iter_mut().zip(keyed(key, "owner", credential_id)) {
        *place = byte;
    }
    Some(user_handle)
}

fn mark(key: &[u8; 32], id: &[u8]) -> impl Iterator<Item = u8> + use<> {
    keyed(key, "mark", id).into_iter().take(MARK)
}

fn keyed(key: &[u8; 32], part: &str, value: &[u8]) -> [u8; 32] {
    let mut block = [0; 64];
    for (place, byte) in block.iter_mut().zip(key) {
        *place = *byte;
    }
    let mut mac = Hmac::<Sha256>::new(&block.into());
    mac.update(part.as_bytes());
    mac.update(b"\0");
    mac.update(value);
    mac.finalize().into_bytes().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(minutes: i64) -> Timestamp {
        Timestamp::from_seconds(1_795_430_400 + minutes * 60)
    }

    fn times() -> SessionTimes {
        SessionTimes { started: at(0), last_used: at(30), ends: at(720), ended: None }
    }

    #[test]
    fn a_session_rests_an_hour_and_lives_twelve() {
        let limits = SessionLimits::default();
        assert!(times().lives(limits, at(90)));
        assert!(!times().lives(limits, at(91)));
        let busy = SessionTimes { last_used: at(720), ..times() };
        assert!(busy.lives(limits, at(720)));
        assert!(!busy.lives(limits, at(721)));
        assert!(!SessionTimes { ended: Some(at(31)), ..times() }.lives(limits, at(31)));
        let narrower = SessionLimits { absolute: Duration::from_mins(40), ..limits };
        assert!(times().lives(narrower, at(40)) && !times().lives(narrower, at(41)));
    }

    #[test]
    fn a_touch_is_fresh_for_five_minutes() {
        assert!(times().is_fresh(at(5)));
        assert!(!times().is_fresh(at(6)));
        assert!(!times().is_to_be_noted(at(30)) && times().is_to_be_noted(at(31)));
    }

    #[test]
    fn a_browser_is_called_by_its_name() {
        for (agent, hint) in [
            ("Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0", "Firefox on Linux"),
            ("Mozilla/5.0 (Linux; Android 15) AppleWebKit/537 Chrome/156.0 Mobile Safari/537", "Chrome on Android"),
            ("Mozilla/5.0 (iPhone; CPU iPhone OS 19_0 like Mac OS X) Version/19.0 Safari/604.1", "Safari on iPhone"),
            ("Mozilla/5.0 (Windows NT 10.0) Chrome/156.0 Safari/537 Edg/156.0", "Edge on Windows"),
            ("curl/8.5", "Unknown browser"),
            ("<script>\u{202e}", "Unknown browser"),
        ] {
            assert_eq!(device_hint(agent), hint);
        }
    }

    #[test]
    fn attack_061_an_unknown_name_has_the_same_keys_each_time() {
        let key = [7; 32];
        let mut shapes = std::collections::BTreeSet::new();
        for name in ["ada", "Mara Voss", "", "x", "y", "z", "tom", "root", "admin"] {
            let ids = decoys(&key, name);
            assert_eq!(ids, decoys(&key, name));
            assert!((1..=2).contains(&ids.len()) && ids.iter().all(|id| ID_LENGTHS.contains(&id.len())));
            assert_ne!(ids, decoys(&[8; 32], name), "another server has others");
            for id in &ids {
                assert_eq!(made_up(&key, id), made_up(&key, id));
                assert!(made_up(&key, id).is_some() && made_up(&[8; 32], id).is_none(), "we alone know it again");
                let mut other = id.clone();
                other[0] ^= 1;
                assert_eq!(made_up(&key, &other), None);
            }
            shapes.insert((ids.len(), ids[0].len()));
        }
        assert!(shapes.len() > 2, "they are not all alike");
        assert_eq!(decoys(&key, "Ada"), decoys(&key, "ada"), "as real names are found");
        for junk in [&[][..], &[0; 7], &[0; 8], &[0; 16], &[0; 1000]] {
            assert_eq!(made_up(&key, junk), None);
        }
    }
}

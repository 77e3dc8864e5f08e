//! Points in time and every named duration of the product.
//! In: milliseconds and strings. Out: `Timestamp`, durations, RFC 3339 UTC text with milliseconds.
//! Implements RFC 7519 NumericDate and RFC 3339.
//! Never reads the clock: `now` is always an argument.

use std::fmt;
use std::ops::{Add, Sub};
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// INVARIANT(leeway): the one tolerance for other clocks, on both sides: it accepts `exp`, `nbf` and `iat`
/// and it is how long a spent job token is remembered beyond its `exp`. Were the second shorter, a token could be
/// used again in between.
pub const LEEWAY: Duration = Duration::from_secs(30);
/// Default age (since `iat`) at which a job token may still make its first call.
pub const MAX_TOKEN_AGE: Duration = Duration::from_hours(1);
/// How long a passkey ceremony may take.
pub const CEREMONY: Duration = Duration::from_mins(5);
/// How long an enrolment link lives.
pub const ENROLMENT_LINK: Duration = Duration::from_hours(24);
/// How long after the first passkey a second one may be added with the same link.
pub const SECOND_PASSKEY: Duration = Duration::from_mins(15);
/// How long a change may be signed.
pub const CHANGE_OPEN: Duration = Duration::from_hours(7 * 24);
/// Default time in which admins may object to what one of them signed alone.
pub const CHANGE_DELAY: Duration = Duration::from_hours(24);
/// How long a recovery that enough admins signed can still be stopped.
pub const RECOVERY_DELAY: Duration = Duration::from_hours(24);
/// How long a passkey made after a recovery approves nothing.
pub const RECOVERED_RESTS: Duration = Duration::from_hours(24);
/// How long a recovery on the console is told by `doctor` and `/readyz`.
pub const RECOVERY_TOLD: Duration = Duration::from_hours(7 * 24);
/// How long a job may bring a person's code, and then how long the person may sign what it brought.
pub const LINK_CODE: Duration = Duration::from_mins(30);
/// Default of a rule's `within`.
pub const WITHIN_DEFAULT: Duration = Duration::from_mins(15);
/// Least `within` that a rule may state.
pub const WITHIN_LEAST: Duration = Duration::from_mins(1);
/// Most `within` that a rule may state.
pub const WITHIN_MOST: Duration = Duration::from_hours(24);
/// How long after `decide_by` a job may collect.
pub const USE_BY_AFTER_DECIDE_BY: Duration = Duration::from_mins(5);
/// Default lifetime of an issued token.
pub const LIFETIME_DEFAULT: Duration = Duration::from_mins(10);
/// Longest lifetime of an issued token.
pub const LIFETIME_MOST: Duration = Duration::from_hours(1);
/// Default longest time a call is held (`Prefer: wait`, RFC 7240).
pub const WAIT_LIMIT: Duration = Duration::from_secs(50);
/// Least time between two polls of a job, or of a device (RFC 8628 §3.5); `slow_down` adds as much again.
pub const POLL_INTERVAL: Duration = Duration::from_secs(5);
/// A wall clock that steps further than this against the monotonic one stops issuing.
pub const CLOCK_STEP: Duration = Duration::from_mins(1);

/// Default of how long a session may rest before it is over.
pub const SESSION_IDLE: Duration = Duration::from_hours(1);
/// Least `session.idle`.
pub const SESSION_IDLE_LEAST: Duration = Duration::from_mins(5);
/// Most `session.idle`.
pub const SESSION_IDLE_MOST: Duration = Duration::from_hours(24);
/// Default of how long a session lives, however much it is used.
pub const SESSION_ABSOLUTE: Duration = Duration::from_hours(12);
/// Least `session.absolute`.
pub const SESSION_ABSOLUTE_LEAST: Duration = Duration::from_mins(15);
/// Most `session.absolute`.
pub const SESSION_ABSOLUTE_MOST: Duration = Duration::from_hours(7 * 24);
/// A session's use is noted again after so long: one write for many pages.
pub const SESSION_NOTED: Duration = Duration::from_mins(1);
/// How long a device is told before its owner must ask again.
pub const PUSH_LIVES: Duration = Duration::from_hours(90 * 24);
/// How young a sign-in must be where a passkey is added or removed.
pub const FRESH_SIGN_IN: Duration = Duration::from_mins(5);
/// How long a passkey that another passkey admitted approves nothing: time to notice it, and to report it.
pub const NEW_PASSKEY_PAUSE: Duration = Duration::from_hours(1);

/// How long an application's request waits for its person.
pub const AUTHORIZATION: Duration = Duration::from_mins(15);
/// How long a request that a client pushed waits for its browser (RFC 9126 §2.2).
pub const PUSHED: Duration = Duration::from_mins(1);
/// How long a code may be redeemed (RFC 6749 §4.1.2 allows ten minutes at most; RFC 9700 wants less).
pub const CODE: Duration = Duration::from_mins(1);
/// How long a device's request may be decided (RFC 8628 §3.2 `expires_in`).
pub const DEVICE_AUTHORIZATION: Duration = Duration::from_mins(10);
/// How long after that a device may still fetch what was allowed at the last moment.
pub const DEVICE_COLLECT: Duration = Duration::from_mins(1);
/// How long a device's request that is over is still known, so that the device reads why, and a replay is recognised.
pub const DEVICE_KEPT: Duration = Duration::from_hours(1);
/// How long whoever typed too many wrong user codes waits: as long as a code lives.
pub const USER_CODE_WAIT: Duration = DEVICE_AUTHORIZATION;
/// How long an ID token counts.
pub const ID_TOKEN: Duration = Duration::from_mins(10);
/// Default of a client's `access_token_lifetime`.
pub const ACCESS_TOKEN: Duration = Duration::from_mins(10);
/// Least `access_token_lifetime`.
pub const ACCESS_TOKEN_LEAST: Duration = Duration::from_mins(1);
/// Most `access_token_lifetime`.
pub const ACCESS_TOKEN_MOST: Duration = Duration::from_hours(1);
/// Default of a client's `refresh_lifetime`.
pub const REFRESH: Duration = Duration::from_hours(12);
/// Least `refresh_lifetime` and `offline_lifetime`.
pub const REFRESH_LEAST: Duration = Duration::from_mins(5);
/// Most `refresh_lifetime`: no session lives longer.
pub const REFRESH_MOST: Duration = SESSION_ABSOLUTE_MOST;
/// Default of a client's `offline_lifetime`.
pub const OFFLINE: Duration = Duration::from_hours(30 * 24);
/// Most `offline_lifetime`.
pub const OFFLINE_MOST: Duration = Duration::from_hours(90 * 24);
/// How long a grant with `offline_access` lives, however much it is used.
pub const OFFLINE_ABSOLUTE: Duration = Duration::from_hours(365 * 24);
/// How long after its first use a refresh token whose answer was lost is answered once more.
pub const REFRESH_GRACE: Duration = Duration::from_secs(10);
/// Uses of one refresh token that are this close are uses at the same time: one of them is answered.
pub const REFRESH_TOGETHER: Duration = Duration::from_secs(1);
/// How long a grant that was ended is still known, so that a replay of its tokens is recognised.
pub const GRANT_KEPT: Duration = Duration::from_hours(24);

/// The pause after so many failures: each is five times as long as the one before, until none is longer than the longest.
#[must_use]
pub fn fivefold(first: Duration, failures: usize, longest: Duration) -> Duration {
    let grown = u32::try_from(failures.saturating_sub(1)).map_or(u32::MAX, |steps| 5_u32.saturating_pow(steps));
    first.saturating_mul(grown).min(longest)
}

/// A point in time: milliseconds since the Unix epoch, UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Timestamp(i64);

impl Timestamp {
    /// From milliseconds since the epoch, kept within what RFC 3339 can write (years 0 to 9999).
    #[must_use]
    pub fn from_millis(millis: i64) -> Self {
        Self(millis.clamp(-62_167_219_200_000, 253_402_207_199_999))
    }

    /// From a NumericDate (seconds since the epoch).
    #[must_use]
    pub fn from_seconds(seconds: i64) -> Self {
        Self::from_millis(seconds.saturating_mul(1000))
    }

    /// Milliseconds since the epoch.
    #[must_use]
    pub const fn millis(self) -> i64 {
        self.0
    }

    /// Whole seconds since the epoch, rounded down: the NumericDate of a token.
    #[must_use]
    pub const fn seconds(self) -> i64 {
        self.0.div_euclid(1000)
    }

    /// The time from `earlier` to this, zero where this is not later.
    #[must_use]
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0))
    }

    /// Reads RFC 3339 UTC with milliseconds, the one form that we write.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let stamp: jiff::Timestamp = text.parse().ok()?;
        let read = Self(stamp.as_millisecond());
        (read.to_string() == text).then_some(read)
    }

    /// Reads RFC 9110 §5.6.7's preferred form, as `Date` has it.
    #[must_use]
    pub fn parse_http(text: &str) -> Option<Self> {
        let zoned = jiff::fmt::rfc2822::parse(text).ok()?;
        Some(Self::from_millis(zoned.timestamp().as_millisecond()))
    }

    fn civil(self) -> jiff::Timestamp {
        // The range is kept by `from_millis`, so the fallback is never taken.
        jiff::Timestamp::from_millisecond(self.0).unwrap_or(jiff::Timestamp::UNIX_EPOCH)
    }

    /// `HH:MM`, UTC.
    #[must_use]
    pub fn hour_minute(self) -> String {
        self.civil().strftime("%H:%M").to_string()
    }

    /// `HH:MM:SS`, UTC.
    #[must_use]
    pub fn hour_minute_second(self) -> String {
        self.civil().strftime("%H:%M:%S").to_string()
    }

    /// `24 Nov`, UTC.
    #[must_use]
    pub fn day_month(self) -> String {
        self.civil().strftime("%-d %b").to_string()
    }

    /// `24 Nov 10:40 UTC`.
    #[must_use]
    pub fn dated(self) -> String {
        self.civil().strftime("%-d %b %H:%M UTC").to_string()
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.civil().strftime("%Y-%m-%dT%H:%M:%S%.3fZ"))
    }
}

impl Add<Duration> for Timestamp {
    type Output = Self;
    fn add(self, span: Duration) -> Self {
        Self::from_millis(self.0.saturating_add(i64::try_from(span.as_millis()).unwrap_or(i64::MAX)))
    }
}

impl Sub<Duration> for Timestamp {
    type Output = Self;
    fn sub(self, span: Duration) -> Self {
        Self::from_millis(self.0.saturating_sub(i64::try_from(span.as_millis()).unwrap_or(i64::MAX)))
    }
}

impl Serialize for Timestamp {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(&text)
            .ok_or_else(|| serde::de::Error::custom(format!("`{text}` is not RFC 3339 UTC with milliseconds")))
    }
}

/// A duration as people write it in rules: a whole number and one of `s`, `m`, `h`, `d`.
#[must_use]
pub fn parse_duration(text: &str) -> Option<Duration> {
    let unit = text.chars().next_back()?;
    let seconds = match unit {
        's' => 1,
        'm' => 60,
        'h' => 3600,
        'd' => 86_400,
        _ => return None,
    };
    let digits = text.strip_suffix(unit)?;
    if digits.is_empty() || digits.len() > 9 || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    digits.parse::<u64>().ok()?.checked_mul(seconds).map(Duration::from_secs)
}

/// A duration as people read it: `9 s`, `15 min`, `24 h`, `2 days`.
#[must_use]
pub fn humane(span: Duration) -> String {
    let seconds = span.as_secs();
    match seconds {
        0..120 if !seconds.is_multiple_of(60) || seconds == 0 => format!("{seconds} s"),
        0..7_200 => format!("{} min", seconds / 60),
        7_200..172_800 => format!("{} h", seconds / 3600),
        _ => format!("{} days", seconds / 86_400),
    }
}

/// The same of whole seconds.
#[must_use]
pub fn humane_seconds(seconds: u64) -> String {
    humane(Duration::from_secs(seconds))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timestamps_are_rfc_3339_with_milliseconds() {
        let stamp = Timestamp::from_millis(1_795_430_400_123);
        assert_eq!(stamp.to_string(), "2026-11-23T10:40:00.123Z");
        assert_eq!(Timestamp::parse("2026-11-23T10:40:00.123Z"), Some(stamp));
        assert_eq!(Timestamp::parse("2026-11-23T10:40:00Z"), None, "one time has one spelling");
        assert_eq!((stamp.day_month(), stamp.hour_minute()), ("23 Nov".to_owned(), "10:40".to_owned()));
        assert_eq!(stamp.dated(), "23 Nov 10:40 UTC");
        assert_eq!(stamp.seconds(), 1_795_430_400);
        assert_eq!(Timestamp::from_millis(-1).seconds(), -1);
    }

    #[test]
    fn durations_read_and_write() {
        assert_eq!(parse_duration("15m"), Some(Duration::from_mins(15)));
        for wrong in ["", "m", "15", "1.5h", "-1m", "1w", "99999999999s", "5 m"] {
            assert_eq!(parse_duration(wrong), None, "{wrong}");
        }
        assert_eq!(humane(Duration::from_secs(9)), "9 s");
        assert_eq!(humane(Duration::from_mins(15)), "15 min");
        assert_eq!(humane(Duration::from_hours(24)), "24 h");
    }

    #[test]
    fn extreme_times_do_not_overflow() {
        let last = Timestamp::from_seconds(i64::MAX);
        assert_eq!(last + Duration::from_secs(u64::MAX), last);
        assert!(last.to_string().starts_with("9999-"));
    }

    #[test]
    fn another_server_s_clock_is_read() {
        let expected = Timestamp::parse("2026-11-23T10:40:00.000Z").unwrap();
        assert_eq!(Timestamp::parse_http("Mon, 23 Nov 2026 10:40:00 GMT"), Some(expected));
        for wrong in ["", "yesterday", "2026-11-23T10:40:00Z"] {
            assert_eq!(Timestamp::parse_http(wrong), None, "{wrong}");
        }
    }
}

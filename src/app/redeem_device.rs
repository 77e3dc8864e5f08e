//! A device comes back: not yet, no, too late, or its tokens.
//! In: an authenticated client, a device code. Out: tokens, or a refusal; how often it came.
//! Implements RFC 8628 §3.4, §3.5, RFC 9700 §4.14 (what came twice ends).
//! Never tells one client of another's devices, and costs the writer nothing while nobody has decided.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crate::domain::ids::Digest;
use crate::domain::oauth::client::Client;
use crate::domain::oauth::device::DeviceCode;
use crate::domain::oauth::device::pace::Pace;
use crate::domain::oauth::device::standing::PollAnswer;
use crate::domain::oauth::error_code::ErrorCode;
use crate::domain::oauth::grant::GrantEnd;
use crate::store::devices::DeviceRow;
use crate::store::{Reader, Unit};

use super::grants::end;
use super::issue_tokens::Wanted;
use super::redeem::{Counter, Found};
use super::use_session::log_time;
use super::{AppError, Countersign};

/// Most devices whose pace is remembered; beyond it the memory starts anew, which only makes us lenient.
pub const MAX_DEVICE_PACES: usize = 100_000;

/// How often each device comes.
#[derive(Debug, Default)]
pub struct DevicePaces(Mutex<HashMap<Digest, Pace>>);

impl DevicePaces {
    /// A device comes while it waits.
    fn came(&self, id: Digest, now: Duration) -> Result<(), Duration> {
        let mut paces = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(pace) = paces.get_mut(&id) {
            return pace.again(now);
        }
        if paces.len() >= MAX_DEVICE_PACES {
            paces.clear();
        }
        paces.insert(id, Pace::first(now));
        Ok(())
    }

    fn forget(&self, id: &Digest) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(id);
    }
}

/// The request of this client's device.
fn device_of(reader: &Reader<'_>, client: &Client, id: &Digest) -> Result<DeviceRow, AppError> {
    // Another client's learns nothing, and takes nothing away.
    let row = reader.device(id)?.filter(|row| row.request.client == client.id);
    row.ok_or_else(|| {
        AppError::refused(ErrorCode::DeviceCodeInvalid, "the device code is none of this client's, or over for long")
    })
}

/// The grant of which a device may fetch the first tokens, or fetched them before.
fn grant_of(told: PollAnswer) -> Result<u64, AppError> {
    let (code, what) = match told {
        PollAnswer::Pending => (ErrorCode::DevicePending, "nobody has decided yet"),
        PollAnswer::Denied => (ErrorCode::DeviceDenied, "the person denied it"),
        PollAnswer::Expired => (ErrorCode::DeviceExpired, "nobody allowed it in time"),
        PollAnswer::Fetch { grant } | PollAnswer::Replay { grant } => return Ok(grant),
    };
    Err(AppError::refused(code, what))
}

impl Countersign {
    /// Whether there is anything to fetch, by what a reader sees.
    pub(super) fn poll_device(&self, client: &Client, code: &DeviceCode) -> Result<(), AppError> {
        let (wall, id) = (self.steady_now()?, code.digest());
        let told = self.store.read(|reader| -> Result<PollAnswer, AppError> {
            let now = log_time(reader, wall)?;
            Ok(device_of(reader, client, &id)?.standing.told(now))
        })?;
        if told != PollAnswer::Pending {
            self.device_paces.forget(&id);
        } else if let Err(interval) = self.device_paces.came(id, self.clock.monotonic()) {
            let text = format!("the device asks too often: wait {} s between calls", interval.as_secs());
            return Err(AppError::refused(ErrorCode::PolledTooFast, text)
                .with_hint("add 5 seconds to the interval, as RFC 8628 says"));
        }
        grant_of(told).map(drop)
    }
}

impl Counter {
    /// The first tokens of what a person allowed a device.
    pub(super) fn device(&self, unit: &mut Unit<'_>, code: &DeviceCode, wanted: Wanted) -> Result<Found, AppError> {
        let row = device_of(&unit.reader(), &self.client, &code.digest())?;
        let grant = grant_of(row.standing.told(unit.now()))?;
        let grant = unit.reader().grant(grant)?.ok_or_else(|| AppError::internal("a device without its grant"))?;
        let Some(fetched) = row.standing.fetched(unit.now()) else {
            end(unit, &grant, GrantEnd::Replayed)?;
            return Ok(Found::Over(ErrorCode::DeviceCodeUsed, "the device code was used before"));
        };
        let holding = self.holding(unit, grant)?;
        unit.stage_device(&row.request.id, fetched.stage)?;
        self.first_tokens(unit, &holding, wanted)
    }
}

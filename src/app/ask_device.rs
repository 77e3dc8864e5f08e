//! A device asks: its request is kept, and it gets two codes, one for itself and one that a person types.
//! In: an authenticated client, its form, the address that it asks from. Out: the codes; nobody is told them again.
//! Implements RFC 8628 §3.1, §3.2.
//! Never writes into the log: whoever asks has shown nothing yet.

use std::net::IpAddr;
use std::sync::Arc;

use crate::crypto::random;
use crate::domain::network::Network;
use crate::domain::oauth::client::Client;
use crate::domain::oauth::device::request::examine;
use crate::domain::oauth::device::{DeviceCode, DeviceRequest, UserCode};
use crate::domain::oauth::form::Form;
use crate::domain::time::DEVICE_AUTHORIZATION;
use crate::store::Unit;
use crate::store::shares::Payer;

use super::{AppError, Countersign};

/// How often a user code is drawn again where it is one that somebody may be typing just now.
const DRAWS: usize = 8;

/// What a device gets.
#[derive(Debug)]
pub struct DeviceCodes {
    /// With which it comes back.
    pub device_code: DeviceCode,
    /// What it shows.
    pub user_code: UserCode,
}

impl Countersign {
    /// Keeps what a device asks for.
    pub async fn ask_for_device(
        &self,
        client: &Arc<Client>,
        form: &Form,
        from: IpAddr,
    ) -> Result<DeviceCodes, AppError> {
        self.steady_now()?;
        let (scopes, resources) = examine(form, client, &self.clients.all())?;
        let device_code = DeviceCode::from_random(random::bytes()?);
        let payer = Payer::of(client, Network::of(from));
        let (id, client) = (device_code.digest(), client.id.clone());
        let kept = self.store.write_new(move |unit| -> Result<UserCode, AppError> {
            let asked = unit.now();
            let user_code = fresh(unit)?;
            // An address of IPv4 has one spelling, however the connection came.
            let request = DeviceRequest { id, client, scopes, resources, from: from.to_canonical(), asked };
            unit.insert_device(&request, (&user_code.digest(), payer), asked + DEVICE_AUTHORIZATION)?;
            Ok(user_code)
        });
        Ok(DeviceCodes { user_code: kept.await?, device_code })
    }
}

/// A code that nobody else's device shows just now.
fn fresh(unit: &Unit<'_>) -> Result<UserCode, AppError> {
    for _ in 0..DRAWS {
        let code = UserCode::from_random(unit.random()?);
        if unit.reader().device_of_code(&code.digest(), unit.now())?.is_none() {
            return Ok(code);
        }
    }
    Err(AppError::internal("no user code is free"))
}

//! The `android-key` statement: a certificate of the Android keystore for the new key.
//! In: a statement. Out: what it certifies, and whether the key is in hardware.
//! Implements WebAuthn L3 §8.4 and the key description of Android's keystore attestation.
//! Never takes a key that every application may use.

use x509_parser::asn1_rs::{Any, Class, FromDer};

use super::certificate::{self, Reading};
use super::{Certified, Signed};

/// The extension with the key description.
pub(super) const DESCRIPTION: &str = "1.3.6.1.4.1.11129.2.1.17";
/// Tags of an `AuthorizationList`.
const PURPOSE: u32 = 1;
const ALL_APPLICATIONS: u32 = 600;
const ORIGIN: u32 = 702;
/// `KM_ORIGIN_GENERATED`.
const GENERATED: &[u8] = &[0];
/// `KM_PURPOSE_SIGN`.
const SIGN: &[u8] = &[2];

pub(super) fn examine(signed: &Signed<'_>) -> Reading<Certified> {
    let (algorithm, signature) = (signed.algorithm()?, signed.bytes("sig")?);
    let path = signed.path()?;
    let leaf = path.first().ok_or("its `x5c` is empty")?;
    let key = leaf.key()?;
    if algorithm == -65535 || !certificate::verify(&key, algorithm, signature, &signed.to_be_signed()) {
        return Err("the signature of its statement does not verify".to_owned());
    }
    if !signed.key.is(&key) {
        return Err("its certificate is for another key".to_owned());
    }
    let (value, _) = leaf.extension(DESCRIPTION)?.ok_or("its certificate does not describe the key")?;
    let description = Description::read(&value).ok_or("its certificate's description of the key cannot be read")?;
    if description.challenge != signed.client_data_sha256.as_bytes() {
        return Err("its certificate was made for another ceremony".to_owned());
    }
    let lists = [&description.software, &description.hardware];
    if lists.iter().any(|list| list.value(ALL_APPLICATIONS).is_some()) {
        return Err("every application on the device may use its key".to_owned());
    }
    let ours = |list: &List<'_>| list.value(ORIGIN) == Some(GENERATED) && list.purposes() == [SIGN];
    let in_hardware = description.levels.iter().all(|level| *level >= 1) && ours(&description.hardware);
    let mut certified = signed.certified("android-key", &path)?;
    certified.not_in_hardware =
        (!in_hardware).then_some("the device's keystore does not say that hardware made and keeps its key");
    Ok(certified)
}

/// `KeyDescription`, as far as we need it.
struct Description<'a> {
    /// Security levels of the attestation and of the key: 0 software, 1 trusted environment, 2 StrongBox.
    levels: [u8; 2],
    challenge: &'a [u8],
    software: List<'a>,
    hardware: List<'a>,
}

/// An `AuthorizationList`: its explicitly tagged members.
struct List<'a>(Vec<(u32, &'a [u8])>);

impl<'a> List<'a> {
    /// The content of a member's value.
    fn value(&self, tag: u32) -> Option<&'a [u8]> {
        let (_, explicit) = self.0.iter().find(|(found, _)| *found == tag)?;
        let (_, value) = Any::from_der(explicit).ok()?;
        Some(value.data)
    }

    fn purposes(&self) -> Vec<&'a [u8]> {
        let set = self.value(PURPOSE).and_then(items).unwrap_or_default();
        set.into_iter().map(|item| item.data).collect()
    }
}

/// The items of a constructed value.
fn items(mut rest: &[u8]) -> Option<Vec<Any<'_>>> {
    let mut items = Vec::new();
    while !rest.is_empty() {
        let (after, item) = Any::from_der(rest).ok()?;
        items.push(item);
        rest = after;
    }
    Some(items)
}

impl<'a> Description<'a> {
    fn read(value: &'a [u8]) -> Option<Self> {
        let (rest, outer) = Any::from_der(value).ok()?;
        let members = items(outer.data).filter(|_| rest.is_empty())?;
        let [_, attestation_level, _, key_level, challenge, _, software, hardware, ..] = members.as_slice() else {
            return None;
        };
        let level = |any: &Any<'_>| if let [level] = any.data { Some(*level) } else { None };
        let list = |any: &Any<'a>| {
            let tagged = items(any.data)?.into_iter();
            let tagged = tagged.filter(|item| item.class() == Class::ContextSpecific);
            Some(List(tagged.map(|item| (item.tag().0, item.data)).collect()))
        };
        Some(Self {
            levels: [level(attestation_level)?, level(key_level)?],
            challenge: challenge.data,
            software: list(software)?,
            hardware: list(hardware)?,
        })
    }
}

//! Authenticator data: the bytes that an authenticator signs.
//! In: the bytes and the RP id. Out: flags and counter as `AuthenticatorFacts`, and the key of a registration.
//! Implements WebAuthn L3 §6.1 and §6.5.1.
//! Never accepts a byte too many, a reserved flag, or a flag without what it announces.

use super::cbor;
use super::error::PasskeyError;
use crate::domain::assurance::AuthenticatorFacts;
use crate::domain::ids::Digest;

/// Longest credential id, in bytes (WebAuthn L3 §6.5.1).
pub const MAX_CREDENTIAL_ID: usize = 1023;
/// Longest authenticator data of an assertion, in bytes: the fixed 37 and what extensions may add.
pub const MAX_AUTHENTICATOR_DATA: usize = 4 * 1024;

const UP: u8 = 0x01;
const UV: u8 = 0x04;
const BE: u8 = 0x08;
const BS: u8 = 0x10;
const AT: u8 = 0x40;
const ED: u8 = 0x80;
const RESERVED: u8 = !(UP | UV | BE | BS | AT | ED);

/// Parsed authenticator data.
#[derive(Debug)]
pub struct AuthenticatorData<'a> {
    rp_id_hash: &'a [u8; 32],
    flags: u8,
    counter: u32,
    attested: Option<AttestedCredential<'a>>,
}

/// The credential that a registration makes.
#[derive(Debug, Clone, Copy)]
pub struct AttestedCredential<'a> {
    /// Model of the authenticator, as it claims.
    pub aaguid: [u8; 16],
    /// The credential id.
    pub credential_id: &'a [u8],
    /// The public key as `COSE_Key`.
    pub public_key: &'a [u8],
}

impl<'a> AuthenticatorData<'a> {
    /// Reads every byte.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, PasskeyError> {
        const SHORT: PasskeyError = PasskeyError::Malformed("authenticator data is cut off");
        let (rp_id_hash, rest) = bytes.split_first_chunk::<32>().ok_or(SHORT)?;
        let (&flags, rest) = rest.split_first().ok_or(SHORT)?;
        let (counter, mut rest) = rest.split_first_chunk::<4>().ok_or(SHORT)?;
        if flags & RESERVED != 0 {
            return Err(PasskeyError::Malformed("a reserved flag is set"));
        }
        let mut attested = None;
        if flags & AT != 0 {
            let (credential, after) = attested_credential(rest)?;
            (attested, rest) = (Some(credential), after);
        }
        if flags & ED != 0 {
            rest = extensions(rest)?;
        }
        if !rest.is_empty() {
            return Err(PasskeyError::Malformed("bytes behind the authenticator data"));
        }
        Ok(Self { rp_id_hash, flags, counter: u32::from_be_bytes(*counter), attested })
    }

    /// Checks RP id, presence, verification and the backup flags.
    pub fn facts(&self, rp_id: &str) -> Result<AuthenticatorFacts, PasskeyError> {
        let set = |flag: u8| self.flags & flag != 0;
        if self.rp_id_hash != Digest::of(rp_id.as_bytes()).as_bytes() {
            return Err(PasskeyError::RpIdWrong);
        }
        if !set(UP) {
            return Err(PasskeyError::UserNotPresent);
        }
        if !set(UV) {
            return Err(PasskeyError::UserNotVerified);
        }
        if set(BS) && !set(BE) {
            return Err(PasskeyError::BackupFlags);
        }
        Ok(AuthenticatorFacts { backup_eligible: set(BE), backup_state: set(BS), counter: self.counter })
    }

    /// The credential of a registration.
    pub fn attested(&self) -> Result<AttestedCredential<'a>, PasskeyError> {
        self.attested.ok_or(PasskeyError::Malformed("the registration has no key"))
    }

    /// An assertion has no credential data (§6.5.1).
    pub fn expect_assertion(&self) -> Result<(), PasskeyError> {
        match self.attested {
            None => Ok(()),
            Some(_) => Err(PasskeyError::Malformed("an assertion with credential data")),
        }
    }
}

fn attested_credential(bytes: &[u8]) -> Result<(AttestedCredential<'_>, &[u8]), PasskeyError> {
    const SHORT: PasskeyError = PasskeyError::Malformed("credential data is cut off");
    let (aaguid, rest) = bytes.split_first_chunk::<16>().ok_or(SHORT)?;
    let (length, rest) = rest.split_first_chunk::<2>().ok_or(SHORT)?;
    let length = usize::from(u16::from_be_bytes(*length));
    if length == 0 || length > MAX_CREDENTIAL_ID {
        return Err(PasskeyError::PolicyNotMet(format!("its credential id has {length} bytes, not 1 to 1023")));
    }
    let (credential_id, rest) = rest.split_at_checked(length).ok_or(SHORT)?;
    let length = cbor::item_length(rest).ok_or(PasskeyError::Malformed("public key"))?;
    let (public_key, rest) = rest.split_at_checked(length).ok_or(SHORT)?;
    Ok((AttestedCredential { aaguid: *aaguid, credential_id, public_key }, rest))
}

/// One CBOR map (§6.1); nothing in it is evidence for us.
fn extensions(bytes: &[u8]) -> Result<&[u8], PasskeyError> {
    const BAD: PasskeyError = PasskeyError::Malformed("extension data");
    if bytes.first().is_none_or(|first| first >> 5 != 5) {
        return Err(BAD);
    }
    let length = cbor::item_length(bytes).ok_or(BAD)?;
    bytes.get(length..).ok_or(BAD)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(flags: u8, tail: &[u8]) -> Vec<u8> {
        let mut bytes = Digest::of(b"sign.example.com").as_bytes().to_vec();
        bytes.push(flags);
        bytes.extend_from_slice(&[0, 0, 0, 7]);
        bytes.extend_from_slice(tail);
        bytes
    }

    #[test]
    fn what_the_flags_say_is_what_comes_out() {
        let raw = bytes(UP | UV | BE | BS, &[]);
        let facts = AuthenticatorData::parse(&raw).unwrap().facts("sign.example.com").unwrap();
        assert_eq!(facts, AuthenticatorFacts { backup_eligible: true, backup_state: true, counter: 7 });
    }

    #[test]
    fn attack_056_flags_and_lengths_must_agree() {
        let refused = |flags: u8, tail: &[u8]| AuthenticatorData::parse(&bytes(flags, tail)).is_err();
        assert!(!refused(UP | UV, &[]));
        assert!(!refused(UP | UV | ED, &[0xa1, 0x61, b'x', 0xf5]));
        assert!(refused(UP | UV | ED, &[]), "ED without extension data");
        assert!(refused(UP | UV | ED, &[0x01]), "extension data that is no map");
        assert!(refused(UP | UV, &[0xa0]), "extension data without ED");
        assert!(refused(UP | UV | AT, &[]), "AT without credential data");
        assert!(refused(UP | UV | 0x02, &[]), "reserved bit 1");
        assert!(refused(UP | UV | 0x20, &[]), "reserved bit 5");
        let mut short = bytes(UP | UV, &[]);
        short.pop();
        assert!(AuthenticatorData::parse(&short).is_err(), "36 bytes");
        let mut long_id = vec![0; 16];
        long_id.extend_from_slice(&1024_u16.to_be_bytes());
        long_id.extend_from_slice(&[0; 1024]);
        long_id.push(0xa0);
        let long = bytes(UP | UV | AT, &long_id);
        let refusal = AuthenticatorData::parse(&long).unwrap_err();
        assert!(matches!(refusal, PasskeyError::PolicyNotMet(_)), "{refusal}");
    }

    #[test]
    fn attack_049_rp_id_presence_and_verification_are_flags_we_read_ourselves() {
        let facts = |flags: u8, rp_id: &str| AuthenticatorData::parse(&bytes(flags, &[])).unwrap().facts(rp_id);
        assert_eq!(facts(UP | UV, "example.com"), Err(PasskeyError::RpIdWrong));
        assert_eq!(facts(UP | UV, "other.example.com"), Err(PasskeyError::RpIdWrong));
        assert_eq!(facts(UV, "sign.example.com"), Err(PasskeyError::UserNotPresent));
        assert_eq!(facts(UP, "sign.example.com"), Err(PasskeyError::UserNotVerified));
        assert_eq!(facts(UP | UV | BS, "sign.example.com"), Err(PasskeyError::BackupFlags));
    }
}

//! What an authenticator claims to be.
//! In: an AAGUID. Out: a name to show, always with the word "claimed".
//! Implements the AAGUIDs that makers have published (WebAuthn L3 §6.5.1): a register.
//! Never evidence: any software may claim any AAGUID.

use data_encoding::HEXLOWER;

/// The name that this AAGUID is known by, if it is. All zeros means that the authenticator does not say.
#[must_use]
pub fn claimed_name(aaguid: &[u8; 16]) -> Option<&'static str> {
    let hex = HEXLOWER.encode(aaguid);
    let (_, name) = KNOWN.iter().find(|(known, _)| known.bytes().filter(|b| *b != b'-').eq(hex.bytes()))?;
    Some(name)
}

const KNOWN: &[(&str, &str)] = &[
    // synced, by the platform
    ("fbfc3007-154e-4ecc-8c0b-6e020557d7bd", "iCloud Keychain"),
    ("dd4ec289-e01d-41c9-bb89-70fa845d4bf2", "iCloud Keychain (managed)"),
    ("ea9b8d66-4d01-1d21-3ce4-b6b48cb575d4", "Google Password Manager"),
    ("53414d53-554e-4700-0000-000000000000", "Samsung Pass"),
    ("adce0002-35bc-c60a-648b-0b25f1f05503", "Chrome on Mac"),
    // synced, by a password manager
    ("bada5566-a7aa-401f-bd96-45619a55120d", "1Password"),
    ("d548826e-79b4-db40-a3d8-11116f7e8349", "Bitwarden"),
    ("531126d6-e717-415c-9320-3d9aa6981239", "Dashlane"),
    ("b84e4048-15dc-4dd0-8640-f4f60813c8af", "NordPass"),
    ("0ea242b4-43c4-4a1b-8b17-dd6d0b6baec6", "Keeper"),
    ("f3809540-7f14-49c1-a8b3-8f813b225541", "Enpass"),
    ("50726f74-6f6e-5061-7373-50726f746f6e", "Proton Pass"),
    ("fdb141b2-5d84-443e-8a35-4698c205a502", "KeePassXC"),
    // Windows Hello: TPM, virtualisation-based, software
    ("08987058-cadc-4b81-b6e1-30de50dcbe96", "Windows Hello"),
    ("9ddd1817-af5a-4672-a2b9-3e3dd95000a9", "Windows Hello"),
    ("6028b017-b1d4-4c02-b4b3-afcdafc96bb2", "Windows Hello"),
    // security keys
    ("cb69481e-8ff7-4039-93ec-0a2729a154a8", "YubiKey 5"),
    ("ee882879-721c-4913-9775-3dfcce97072a", "YubiKey 5"),
    ("fa2b99dc-9e39-4257-8f92-4a30d23c4118", "YubiKey 5 with NFC"),
    ("2fc0579f-8113-47ea-b116-bb5a8db9202a", "YubiKey 5 with NFC"),
    ("73bb0cd4-e502-49b8-9c6f-b59445bf720b", "YubiKey 5 FIPS"),
    ("c1f9a0bc-1dd2-404a-b27f-8e29047a43fd", "YubiKey 5 FIPS with NFC"),
    ("d8522d9f-575b-4866-88a9-ba99fa02f35b", "YubiKey Bio"),
    // tests
    ("01020304-0506-0708-0102-030405060708", "Chromium's virtual authenticator"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_known_aaguid_has_a_name_and_an_unknown_none() {
        let chromium = [1, 2, 3, 4, 5, 6, 7, 8, 1, 2, 3, 4, 5, 6, 7, 8];
        assert_eq!(claimed_name(&chromium), Some("Chromium's virtual authenticator"));
        assert_eq!(claimed_name(&[0; 16]), None);
        assert_eq!(claimed_name(&[0xff; 16]), None);
    }

    #[test]
    fn every_row_is_an_aaguid_of_its_own() {
        let mut ids: Vec<_> = KNOWN.iter().map(|(id, _)| *id).collect();
        ids.sort_unstable();
        ids.dedup();
        assert_eq!(ids.len(), KNOWN.len());
        for id in ids {
            let hex: String = id.chars().filter(|c| *c != '-').collect();
            assert_eq!(HEXLOWER.decode(hex.as_bytes()).map(|bytes| bytes.len()), Ok(16), "{id}");
        }
    }
}

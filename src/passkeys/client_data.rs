//! Client data: what the browser says about the ceremony, as it was signed.
//! In: `clientDataJSON` and what it must be bound to. Out: nothing, or why not.
//! Implements WebAuthn L3 §5.8.1, §7.1 steps 7 to 11, §7.2 steps 10 to 14.
//! Never normalises an origin: the exact text counts. Unknown members are legal and ignored.

use data_encoding::BASE64URL_NOPAD;
use serde_json::Value;

use super::Expected;
use super::error::{PasskeyError, shown};
use crate::domain::canonical;

/// Longest `clientDataJSON`, in bytes.
pub const MAX_CLIENT_DATA: usize = 4 * 1024;

/// Which ceremony.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ceremony {
    /// Registration.
    Create,
    /// Assertion.
    Get,
}

impl Ceremony {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Create => "webauthn.create",
            Self::Get => "webauthn.get",
        }
    }
}

/// Checks type, challenge, origin and that no other site is around us.
pub fn check(bytes: &[u8], ceremony: Ceremony, expected: &Expected<'_>) -> Result<(), PasskeyError> {
    if bytes.len() > MAX_CLIENT_DATA {
        return Err(PasskeyError::Malformed("clientDataJSON is too long"));
    }
    // A repeated member would let two readers see two origins.
    let data = canonical::strict_value(bytes).map_err(|_| PasskeyError::Malformed("clientDataJSON"))?;
    let text = |name: &str| data.get(name).and_then(Value::as_str);

    let found = text("type").ok_or(PasskeyError::Malformed("type"))?;
    if found != ceremony.as_str() {
        return Err(PasskeyError::CeremonyType { found: shown(found), wanted: ceremony.as_str() });
    }
    let challenge = text("challenge").ok_or(PasskeyError::Malformed("challenge"))?;
    if challenge != BASE64URL_NOPAD.encode(expected.challenge.as_bytes()) {
        return Err(PasskeyError::StatementMismatch);
    }
    let origin = text("origin").ok_or(PasskeyError::Malformed("origin"))?;
    if origin != expected.origin {
        return Err(PasskeyError::OriginWrong { found: shown(origin), wanted: expected.origin.to_owned() });
    }
    let alone = matches!(data.get("crossOrigin"), None | Some(Value::Bool(false)));
    if !alone || data.get("topOrigin").is_some() {
        return Err(PasskeyError::CrossOrigin);
    }
    Ok(())
}

//! Reads a token that this server signed itself.
//! In: a compact JWS. Out: its claims, where one of the keys that we publish signed it, for us as issuer.
//! Implements RFC 7519 §7.2, RFC 8725 §3.11 (explicit types).
//! Never judges times: what a token is still good for, its reader knows.

use serde_json::{Map, Value};

use crate::crypto::signing::verify_own;

use super::Countersign;

/// `typ` of an ID token (RFC 7519 §5.1).
pub(super) const ID_TYPE: &str = "JWT";
/// `typ` of an access token (RFC 9068 §2.1).
pub(super) const ACCESS_TYPE: &str = "at+jwt";
/// `typ` of a logout token (Back-Channel Logout 1.0 §2.4).
pub(super) const LOGOUT_TYPE: &str = "logout+jwt";

impl Countersign {
    /// The claims of a token of ours of that `typ`; nothing where it is anybody else's.
    pub(super) fn own_claims(&self, token: &str, typ: &str) -> Option<Map<String, Value>> {
        let verified = verify_own(token, |kid| self.published_key(kid)).ok()?;
        let read = verified.get();
        let ours = read.claims.get("iss").and_then(Value::as_str) == Some(self.settings.url.as_str());
        let typed = read.header.get("typ").and_then(Value::as_str) == Some(typ);
        (ours && typed).then(|| read.claims.clone())
    }
}

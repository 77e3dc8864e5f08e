//! A person's e-mail address, as admins say it.
//! In: text from outside. Out: an address of plain form.
//! Implements RFC 5321 §4.1.2, §4.5.3.1 (without quotes, literals and letters beyond ASCII).
//! Never decides anything here; tools that people sign in to may decide by it, so changing it takes two admins.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Longest address, in bytes (RFC 5321 §4.5.3.1.3).
pub const MAX_EMAIL_BYTES: usize = 254;
/// Longest part before the `@`, in bytes (RFC 5321 §4.5.3.1.1).
pub const MAX_EMAIL_LOCAL_BYTES: usize = 64;

/// An e-mail address. Nobody here verified that mail reaches the person.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Email(String);

/// Text that is no address.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not an e-mail address (as in `ada@example.com`)")]
pub struct EmailError(String);

impl Email {
    /// Checks the form. The domain is kept in lower case; the part before it as it was typed.
    ///
    /// # Errors
    /// `EmailError` with what was given, shortened.
    pub fn parse(text: &str) -> Result<Self, EmailError> {
        let wrong = || EmailError(text.chars().take(MAX_EMAIL_BYTES).filter(|c| !c.is_control()).collect());
        let (local, domain) = text.rsplit_once('@').ok_or_else(wrong)?;
        let fits = text.len() <= MAX_EMAIL_BYTES && local.len() <= MAX_EMAIL_LOCAL_BYTES;
        if fits && is_dotted(local, is_atext) && domain.contains('.') && is_dotted(domain, is_host) && labels(domain) {
            Ok(Self(format!("{local}@{}", domain.to_ascii_lowercase())))
        } else {
            Err(wrong())
        }
    }

    /// The address as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether two addresses may be one mailbox: most servers do not tell capitals apart.
    #[must_use]
    pub fn may_be(&self, other: &Self) -> bool {
        self.0.eq_ignore_ascii_case(&other.0)
    }
}

/// Parts between dots, none empty, of these bytes alone.
fn is_dotted(text: &str, allowed: fn(u8) -> bool) -> bool {
    text.split('.').all(|part| !part.is_empty() && part.bytes().all(allowed))
}

fn is_atext(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-/=?^_`{|}~".contains(&byte)
}

fn is_host(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'-'
}

/// Labels of a host name (RFC 1123 §2.1).
fn labels(domain: &str) -> bool {
    domain.split('.').all(|label| label.len() <= 63 && !label.starts_with('-') && !label.ends_with('-'))
}

impl TryFrom<String> for Email {
    type Error = EmailError;
    fn try_from(text: String) -> Result<Self, EmailError> {
        Self::parse(&text)
    }
}

impl From<Email> for String {
    fn from(email: Email) -> Self {
        email.0
    }
}

impl fmt::Display for Email {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_addresses_are_taken_and_everything_else_is_not() {
        assert_eq!(Email::parse("Ada.Lind+x@Example.COM").unwrap().as_str(), "Ada.Lind+x@example.com");
        assert!(Email::parse("ada@example.com").unwrap().may_be(&Email::parse("Ada@example.com").unwrap()));
        for wrong in [
            "",
            "ada",
            "@example.com",
            "ada@",
            "ada@localhost",
            "ada@@example.com",
            "a da@example.com",
            ".ada@example.com",
            "a..b@example.com",
            "\"a\"@example.com",
            "ada@[127.0.0.1]",
            "ada@-example.com",
            "ada@example-.com",
            "ada@exa_mple.com",
            "ada@example..com",
            "ada@example.com.",
            "ädä@example.com",
            "ada@example.com\n",
            "ada@example.com,tom@example.com",
            "Ada <ada@example.com>",
        ] {
            assert!(Email::parse(wrong).is_err(), "{wrong:?}");
        }
        let of = |local: usize, domain: usize| {
            let host = format!("{}.{}.{}.com", "d".repeat(63), "d".repeat(63), "d".repeat(domain - 132));
            Email::parse(&format!("{}@{host}", "a".repeat(local)))
        };
        assert!(of(MAX_EMAIL_LOCAL_BYTES, 189).is_ok());
        assert!(of(MAX_EMAIL_LOCAL_BYTES, 190).is_err(), "254 bytes in all");
        assert!(of(MAX_EMAIL_LOCAL_BYTES + 1, 180).is_err());
    }
}

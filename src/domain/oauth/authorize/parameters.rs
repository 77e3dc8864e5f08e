//! The parameters of an authorization request, as they were sent.
//! In: a query or a form. Out: each parameter once, and the names of those that came twice.
//! Implements RFC 6749 §3.1 (no parameter twice; one without a value counts as absent), RFC 8707 §2 (`resource` may repeat).
//! Never shows a value in diagnostics: a client's secret may be among them.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use crate::domain::oauth::form::MAX_PARAMETERS;
use crate::domain::rules::Refusal;

use super::invalid;

/// What was sent.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Parameters {
    once: BTreeMap<String, String>,
    repeated: BTreeSet<String>,
    resources: Vec<String>,
}

impl fmt::Debug for Parameters {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.once.keys()).entries(self.repeated.iter()).finish()
    }
}

impl Parameters {
    /// Reads a query or a form body.
    ///
    /// # Errors
    /// It is not UTF-8, or has more than `MAX_PARAMETERS` parameters.
    pub fn read(text: &[u8]) -> Result<Self, Refusal> {
        if std::str::from_utf8(text).is_err() {
            return Err(invalid("the request is not UTF-8"));
        }
        let mut read = Self::default();
        for (at, (name, value)) in url::form_urlencoded::parse(text).enumerate() {
            if at >= MAX_PARAMETERS {
                return Err(invalid(format!("the request has more than {MAX_PARAMETERS} parameters")));
            }
            if value.contains('\u{fffd}') || name.contains('\u{fffd}') {
                return Err(invalid("the request is not UTF-8"));
            }
            if name == "resource" {
                read.resources.push(value.into_owned());
            } else if read.once.insert(name.clone().into_owned(), value.into_owned()).is_some() {
                read.repeated.insert(name.into_owned());
            }
        }
        for name in &read.repeated {
            read.once.remove(name);
        }
        Ok(read)
    }

    /// A parameter's value. One that came twice has none.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        self.once.get(name).map(String::as_str).filter(|value| !value.is_empty())
    }

    /// The first name, in order, that came twice.
    #[must_use]
    pub fn repeated(&self) -> Option<&str> {
        self.repeated.first().map(String::as_str)
    }

    /// Whether this one came twice.
    #[must_use]
    pub fn is_repeated(&self, name: &str) -> bool {
        self.repeated.contains(name)
    }

    /// Every `resource`, in order.
    #[must_use]
    pub fn resources(&self) -> &[String] {
        &self.resources
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_parameter_counts_once_or_not_at_all() {
        let read = Parameters::read(b"a=1&b=&c=2&c=3&resource=x&resource=y&d=%20").unwrap();
        assert_eq!((read.get("a"), read.get("b"), read.get("c"), read.get("d")), (Some("1"), None, None, Some(" ")));
        assert_eq!((read.repeated(), read.is_repeated("c"), read.is_repeated("a")), (Some("c"), true, false));
        assert_eq!(read.resources(), ["x", "y"]);
        let secret = Parameters::read(b"client_secret=s3cret").unwrap();
        assert_eq!(format!("{secret:?}"), "{\"client_secret\"}");
        for wrong in [&b"a=%ff"[..], b"\xff=1", "a=1&".repeat(MAX_PARAMETERS + 1).as_bytes()] {
            assert!(Parameters::read(wrong).is_err());
        }
    }
}

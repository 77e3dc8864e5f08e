//! The parameters of a call, as OAuth sends them: a form, or the query of an address.
//! In: bytes. Out: each parameter once, or the first fault with its code.
//! Implements RFC 6749 §3.2 (a parameter occurs once), RFC 8707 §2 (`resource` may repeat).
//! Never guesses which of two values is meant.

use std::borrow::Cow;
use std::collections::BTreeMap;

use crate::domain::rules::Refusal;

use super::error_code::ErrorCode;

/// Most parameters of a form.
pub const MAX_PARAMETERS: usize = 64;

/// The parameters of a form, each once but for `audience` and `resource`.
pub struct Form {
    pub(super) once: BTreeMap<String, String>,
    /// Each with whether it is a `resource`.
    pub(super) audiences: Vec<(bool, String)>,
}

/// The pairs of a form as `form_urlencoded` takes it apart. What has nothing to be decoded, as a token has not, is not looked at
/// letter by letter.
fn pairs(body: &str) -> impl Iterator<Item = (Cow<'_, str>, Cow<'_, str>)> {
    body.split('&').filter(|pair| !pair.is_empty()).filter_map(|pair| {
        if pair.bytes().any(|byte| byte == b'%' || byte == b'+') {
            return url::form_urlencoded::parse(pair.as_bytes()).next();
        }
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        Some((Cow::Borrowed(name), Cow::Borrowed(value)))
    })
}

impl Form {
    /// Takes a form apart.
    ///
    /// # Errors
    /// `parameter_repeated`, or `parameter_invalid` where it is not UTF-8 or has too many.
    pub fn read(body: &[u8]) -> Result<Self, Refusal> {
        let Ok(body) = std::str::from_utf8(body) else {
            return Err(Refusal::new(ErrorCode::ParameterInvalid, "the parameters are not UTF-8"));
        };
        let mut form = Self { once: BTreeMap::new(), audiences: Vec::new() };
        for (at, (name, value)) in pairs(body).enumerate() {
            if at >= MAX_PARAMETERS {
                let text = format!("there are more than {MAX_PARAMETERS} parameters");
                return Err(Refusal::new(ErrorCode::ParameterInvalid, text));
            }
            match name.as_ref() {
                "audience" | "resource" => form.audiences.push((name == "resource", value.into_owned())),
                _ => {
                    if form.once.insert(name.clone().into_owned(), value.into_owned()).is_some() {
                        let shown: String = name.chars().take(40).collect();
                        let text = format!("the parameter `{shown}` occurs more than once");
                        return Err(Refusal::new(ErrorCode::ParameterRepeated, text));
                    }
                }
            }
        }
        Ok(form)
    }

    /// RFC 6749 §3.2: a parameter without a value counts as absent.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        self.once.get(name).map(String::as_str).filter(|value| !value.is_empty())
    }

    /// A parameter that must be there.
    ///
    /// # Errors
    /// `parameter_missing`.
    pub fn require(&self, name: &str) -> Result<&str, Refusal> {
        self.get(name)
            .ok_or_else(|| Refusal::new(ErrorCode::ParameterMissing, format!("the parameter `{name}` is missing")))
    }

    /// The `resource` parameters (RFC 8707 §2), in order.
    pub fn resources(&self) -> impl Iterator<Item = &str> {
        self.audiences
            .iter()
            .filter(|(is_resource, value)| *is_resource && !value.is_empty())
            .map(|(_, value)| value.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    proptest::proptest! {
        #[test]
        fn pairs_are_those_of_the_standard(body in "[ab=&%+\u{e9}2F]{0,40}") {
            let ours: Vec<_> = pairs(&body).collect();
            let standard: Vec<_> = url::form_urlencoded::parse(body.as_bytes()).collect();
            proptest::prop_assert_eq!(ours, standard);
        }
    }
}

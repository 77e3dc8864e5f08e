//! The parameters of a call, as OAuth sends them: a form, or the query of an address.
//! In: bytes. Out: each parameter once, or the first fault with its code.
//! Implements RFC 6749 §3.2 (a parameter occurs once), RFC 8707 §2 (`resource` may repeat).
//! Never guesses which of two values is meant.

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

impl Form {
    /// Takes a form apart.
    ///
    /// # Errors
    /// `parameter_repeated`, or `parameter_invalid` where it is not UTF-8 or has too many.
    pub fn read(body: &[u8]) -> Result<Self, Refusal> {
        if std::str::from_utf8(body).is_err() {
            return Err(Refusal::new(ErrorCode::ParameterInvalid, "the parameters are not UTF-8"));
        }
        let mut form = Self { once: BTreeMap::new(), audiences: Vec::new() };
        for (at, (name, value)) in url::form_urlencoded::parse(body).enumerate() {
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

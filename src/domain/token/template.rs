//! Templates: texts with placeholders, filled so that no two jobs get the same.
//! In: a template as typed, values. Out: the text, or the placeholder that nothing fills.
//! Implements DESIGN §6 and RFC 3986 §2.1 (percent-encoding).
//! Never fills a placeholder with an unescaped value.

use std::fmt::Write as _;

/// A text with placeholders.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Template(Vec<Part>);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    Text(String),
    Slot(String),
}

/// A text that is no template.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TemplateError {
    /// Nothing in it.
    #[error("the template is empty")]
    Empty,
    /// A brace without its other.
    #[error("a brace is not part of a placeholder")]
    Brace,
    /// A placeholder that is no name.
    #[error("`{{{0}}}` is no placeholder")]
    Name(String),
}

impl Template {
    /// Reads a template.
    ///
    /// # Errors
    /// Braces that do not pair, names that are none.
    pub fn parse(text: &str) -> Result<Self, TemplateError> {
        let mut parts = Vec::new();
        let mut rest = text;
        while let Some((literal, after)) = rest.split_once('{') {
            push_text(&mut parts, literal)?;
            let (name, tail) = after.split_once('}').ok_or(TemplateError::Brace)?;
            if name.is_empty() || !name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_') {
                return Err(TemplateError::Name(name.escape_debug().to_string()));
            }
            parts.push(Part::Slot(name.to_owned()));
            rest = tail;
        }
        push_text(&mut parts, rest)?;
        if parts.is_empty() { Err(TemplateError::Empty) } else { Ok(Self(parts)) }
    }

    /// The names of the placeholders, in order.
    pub fn slots(&self) -> impl Iterator<Item = &str> {
        self.0.iter().filter_map(|part| match part {
            Part::Slot(name) => Some(name.as_str()),
            Part::Text(_) => None,
        })
    }

    /// Everything that is not a placeholder.
    #[must_use]
    pub fn literals(&self) -> String {
        let texts = self.0.iter().filter_map(|part| match part {
            Part::Text(text) => Some(text.as_str()),
            Part::Slot(_) => None,
        });
        texts.collect()
    }

    /// Whether the filled text tells the values apart: between two placeholders stands a character that no encoded
    /// value holds.
    #[must_use]
    pub fn is_injective(&self, separates: impl Fn(char) -> bool) -> bool {
        let mut open = false;
        for part in &self.0 {
            match part {
                Part::Slot(_) if open => return false,
                Part::Slot(_) => open = true,
                Part::Text(text) => open = open && !text.contains(&separates),
            }
        }
        true
    }

    /// Fills every placeholder with what `value` gives, which must be encoded already.
    ///
    /// # Errors
    /// The name of the first placeholder that nothing fills.
    pub fn fill(&self, value: impl Fn(&str) -> Option<String>) -> Result<String, String> {
        let mut filled = String::new();
        for part in &self.0 {
            match part {
                Part::Text(text) => filled.push_str(text),
                Part::Slot(name) => filled.push_str(&value(name).ok_or_else(|| name.clone())?),
            }
        }
        Ok(filled)
    }
}

fn push_text(parts: &mut Vec<Part>, text: &str) -> Result<(), TemplateError> {
    if text.contains('}') {
        return Err(TemplateError::Brace);
    }
    if !text.is_empty() {
        parts.push(Part::Text(text.to_owned()));
    }
    Ok(())
}

/// A part of `sub`: bytes outside `[A-Za-z0-9._/-]` as `%XX`.
#[must_use]
pub fn percent_encode(value: &str) -> String {
    encode(value, '%', |b| b.is_ascii_alphanumeric() || b"._/-".contains(&b))
}

/// A character that no percent-encoded part of `sub` holds.
#[must_use]
pub const fn separates_sub(c: char) -> bool {
    !(c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '/' | '-' | '%'))
}

/// Every byte that is not safe as `escape` and two hex digits; `escape` itself must not be safe.
pub(super) fn encode(value: &str, escape: char, safe: impl Fn(u8) -> bool) -> String {
    let mut encoded = String::with_capacity(value.len());
    for byte in value.bytes() {
        if safe(byte) {
            encoded.push(char::from(byte));
        } else {
            // Writing to a string does not fail.
            let _ = write!(encoded, "{escape}{byte:02X}");
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn templates_name_their_placeholders() {
        let template = Template::parse("gitlab:{job_project_id}:{presence}").unwrap();
        assert_eq!(template.slots().collect::<Vec<_>>(), ["job_project_id", "presence"]);
        assert_eq!(template.literals(), "gitlab::");
        let value = |name: &str| (name == "presence").then(|| "none".to_owned());
        assert_eq!(template.fill(value), Err("job_project_id".to_owned()));
        assert_eq!(template.fill(|name| Some(name.len().to_string())), Ok("gitlab:14:8".to_owned()));
        for wrong in ["", "{", "}", "a}b", "{a", "{}", "{A}", "{a b}", "{{a}}"] {
            assert!(Template::parse(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn neighbours_need_a_separator_that_no_value_holds() {
        let injective = |text: &str| Template::parse(text).unwrap().is_injective(separates_sub);
        assert!(injective("gitlab:{a}:{b}") && injective("{a}-:-{b}") && injective("x-{a}"));
        assert!(!injective("{a}{b}") && !injective("{a}-{b}") && !injective("{a}/{b}") && !injective("{a}:{b}%{c}"));
    }

    #[test]
    fn bytes_outside_the_safe_set_are_escaped() {
        assert_eq!(percent_encode("main:environment:production"), "main%3Aenvironment%3Aproduction");
        assert_eq!(percent_encode("a/b-c_d.e"), "a/b-c_d.e");
        assert_eq!(percent_encode("é%"), "%C3%A9%25");
    }

    proptest! {
        #[test]
        fn attack_036_filled_templates_tell_values_apart(
            one in ("\\PC{0,6}", "\\PC{0,6}"), other in ("\\PC{0,6}", "\\PC{0,6}")
        ) {
            let template = Template::parse("gitlab:{a}:{b}").unwrap();
            let fill = |(a, b): &(String, String)| {
                template.fill(|name| Some(percent_encode(if name == "a" { a } else { b }))).unwrap()
            };
            prop_assert_eq!(one == other, fill(&one) == fill(&other));
        }
    }
}

//! Patterns: what a claim must be, exact or glob.
//! In: the pattern as typed, a claim's text. Out: whether it fits the whole of it, in linear time.
//! Implements DESIGN §4: `*` is the only special character and never crosses `/`.
//! Never normalises: bytes are compared, case and all.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::domain::job::gitlab::MAX_CLAIM;

/// A pattern over a whole string: exact, or glob with `*`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Pattern(String);

/// A text that can be no pattern.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PatternError {
    /// Nothing could mean nobody or everybody.
    #[error("an empty pattern matches nothing")]
    Empty,
    /// Longer than any claim.
    #[error("a pattern has at most {MAX_CLAIM} bytes")]
    Long,
    /// No claim holds one.
    #[error("a pattern holds no control characters")]
    Control,
}

impl Pattern {
    /// Reads a pattern as typed.
    ///
    /// # Errors
    /// A text that no claim could match.
    pub fn parse(text: &str) -> Result<Self, PatternError> {
        if text.is_empty() {
            Err(PatternError::Empty)
        } else if text.len() > MAX_CLAIM {
            Err(PatternError::Long)
        } else if has_control(text) {
            Err(PatternError::Control)
        } else {
            Ok(Self(text.to_owned()))
        }
    }

    /// The pattern as typed.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// It has no `*`.
    #[must_use]
    pub fn is_exact(&self) -> bool {
        !self.0.contains('*')
    }

    /// It demands nothing of the text but its number of `/`.
    #[must_use]
    pub fn is_anything(&self) -> bool {
        self.0.bytes().all(|b| b == b'*' || b == b'/') && self.0.contains('*')
    }

    /// Whether the whole text fits.
    #[must_use]
    pub fn matches(&self, text: &str) -> bool {
        if self.is_exact() {
            return self.0 == text;
        }
        // `*` stands for no control character either: no name worth trusting holds one.
        if has_control(text) {
            return false;
        }
        let (mut wanted, mut found) = (self.0.split('/'), text.split('/'));
        loop {
            match (wanted.next(), found.next()) {
                (None, None) => return true,
                (Some(glob), Some(segment)) if segment_fits(glob, segment) => {}
                _ => return false,
            }
        }
    }

    /// Whether everything that fits `other` fits this too.
    #[must_use]
    pub fn covers(&self, other: &Self) -> bool {
        // In `other` taken as text, a `*` can only be met by a `*` of ours: no literal of a glob is one.
        if self.is_exact() { self == other } else { self.matches(&other.0) }
    }

    /// What the person who typed it may not have meant, in sentences.
    #[must_use]
    pub fn warnings(&self) -> Vec<String> {
        let mut warnings = Vec::new();
        if let Some(strange) = self.0.chars().find(|c| "?[]^$|\\".contains(*c)) {
            warnings.push(format!("`{strange}` stands for itself; `*` is the only special character"));
        }
        if self.0.contains("**") {
            warnings.push("`**` is the same as `*`: neither crosses `/`".to_owned());
        }
        if self.0.trim() != self.0 {
            warnings.push("the space at its edge is compared too".to_owned());
        }
        if !self.0.is_ascii() {
            warnings.push("it is not ASCII: bytes are compared, so look-alikes and other spellings differ".to_owned());
        }
        if !self.is_exact() {
            let mut edges = self.0.split('*');
            let (first, last) = (edges.next().unwrap_or_default(), edges.next_back().unwrap_or_default());
            if first.ends_with(char::is_alphanumeric) && last.is_empty() {
                warnings.push(format!("it matches `{first}-evil` too, and whatever else begins with `{first}`"));
            }
            if first.is_empty() && last.starts_with(char::is_alphanumeric) {
                warnings.push(format!("it matches `evil-{last}` too, and whatever else ends with `{last}`"));
            }
        }
        warnings
    }
}

fn has_control(text: &str) -> bool {
    text.bytes().any(|b| b.is_ascii_control())
}

/// One segment between slashes. Leftmost matches of the middle parts suffice, so nothing is ever tried twice.
fn segment_fits(glob: &str, segment: &str) -> bool {
    let Some((head, rest)) = glob.split_once('*') else { return glob == segment };
    let (middle, tail) = rest.rsplit_once('*').unwrap_or(("", rest));
    let Some(mut left) = segment.strip_prefix(head).and_then(|left| left.strip_suffix(tail)) else { return false };
    for part in middle.split('*').filter(|part| !part.is_empty()) {
        let Some((_, after)) = left.split_once(part) else { return false };
        left = after;
    }
    true
}

impl TryFrom<String> for Pattern {
    type Error = PatternError;
    fn try_from(text: String) -> Result<Self, PatternError> {
        Self::parse(&text)
    }
}

impl From<Pattern> for String {
    fn from(pattern: Pattern) -> Self {
        pattern.0
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn fits(pattern: &str, text: &str) -> bool {
        Pattern::parse(pattern).unwrap().matches(text)
    }

    #[test]
    fn attack_034_glob_case_and_suffix_bypass() {
        for text in [
            "Group/App",
            "group/app2",
            "xgroup/app",
            "group/app/../other",
            "group/app%2f..",
            "group/app\n",
            "group/app ",
            "group//app",
            "group",
            "",
        ] {
            assert!(!fits("group/app", text), "{text:?}");
        }
        for text in ["group/a/b", "group/a\n", "group/\u{1b}[2J", "Group/a", "group"] {
            assert!(!fits("group/*", text), "{text:?}");
        }
        assert!(fits("group/*", "group/a"));
        for pattern in ["prod?", "prod[a-z]", "^prod", "prod.*", "(prod|x)", "prod|production"] {
            assert!(!fits(pattern, "production"), "{pattern}");
        }
        assert!(fits("prod*", "production-evil"), "which is why it warns");
        assert!(!fits("production", "production-evil"));
        assert!(!Pattern::parse("prod*").unwrap().warnings().is_empty());
        assert!(!Pattern::parse("prod?").unwrap().warnings().is_empty());
        assert!(Pattern::parse("release/*").unwrap().warnings().is_empty());
    }

    #[test]
    fn attack_035_bytes_are_compared_not_looks() {
        for (pattern, text) in [
            ("caf\u{e9}", "cafe\u{301}"),
            ("a/b", "a\u{ff0f}b"),
            ("i", "\u{131}"),
            ("group", "gr\u{43e}up"),
            ("group", "gro\u{200d}up"),
            ("group", "\u{202e}group"),
        ] {
            assert!(!fits(pattern, text), "{pattern}");
        }
        assert!(fits("a*b", "a\u{ff0f}b"), "a fullwidth slash is not a slash");
    }

    #[test]
    fn what_can_match_nothing_is_no_pattern() {
        assert_eq!(Pattern::parse(""), Err(PatternError::Empty));
        assert_eq!(Pattern::parse(&"a".repeat(MAX_CLAIM + 1)), Err(PatternError::Long));
        assert_eq!(Pattern::parse("a\n"), Err(PatternError::Control));
        assert!(serde_json::from_str::<Pattern>("\"\"").is_err());
        assert!(Pattern::parse("*/*").unwrap().is_anything());
        assert!(!Pattern::parse("a*").unwrap().is_anything());
    }

    #[test]
    fn a_hostile_pattern_takes_no_longer() {
        let pattern = Pattern::parse(&"a*".repeat(MAX_CLAIM / 2)).unwrap();
        assert!(!pattern.matches(&format!("{}b", "a".repeat(MAX_CLAIM / 2 - 1))));
        assert!(!Pattern::parse(&format!("{}b", "*a".repeat(500))).unwrap().matches(&"a".repeat(MAX_CLAIM)));
    }

    /// The definition as a table: row by row, which beginnings of the text the pattern's beginning fits.
    fn defined(pattern: &[char], text: &[char]) -> bool {
        if pattern.contains(&'*') && text.iter().any(char::is_ascii_control) {
            return false;
        }
        let mut row = vec![false; text.len() + 1];
        row[0] = true;
        for wanted in pattern {
            let mut next = vec![*wanted == '*' && row[0]; 1];
            for (at, found) in text.iter().enumerate() {
                next.push(match wanted {
                    '*' => row[at + 1] || (next[at] && *found != '/'),
                    letter => row[at] && letter == found,
                });
            }
            row = next;
        }
        row[text.len()]
    }

    proptest! {
        #[test]
        fn agrees_with_the_definition(
            pattern in "[ab/*]{1,9}|[a/*é]{1,24}|([a-z]{1,3}[*/]){1,4}", text in "[ab/*]{0,9}|[aé/\n]{0,24}|[a-c/]{0,12}"
        ) {
            let (p, t): (Vec<char>, Vec<char>) = (pattern.chars().collect(), text.chars().collect());
            prop_assert_eq!(fits(&pattern, &text), defined(&p, &t));
        }

        #[test]
        fn a_text_made_from_the_pattern_fits_it(parts in proptest::collection::vec(("[ab/]{0,3}", "[abé]{0,3}"), 1..6)) {
            let pattern: String = parts.iter().flat_map(|(literal, _)| [literal.as_str(), "*"]).collect();
            let text: String = parts.iter().flat_map(|(literal, filled)| [literal.as_str(), filled]).collect();
            prop_assert!(fits(&pattern, &text), "{pattern} {text}");
        }

        #[test]
        fn covering_is_inclusion(wide in "[ab/*]{1,5}", narrow in "[ab/*]{1,5}", text in "[ab/]{0,6}") {
            let (wide, narrow) = (Pattern::parse(&wide).unwrap(), Pattern::parse(&narrow).unwrap());
            if wide.covers(&narrow) && narrow.matches(&text) {
                prop_assert!(wide.matches(&text), "{wide} {narrow} {text}");
            }
        }
    }
}

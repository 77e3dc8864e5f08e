//! JSON without tolerance, and the pattern language.

use countersign::domain::canonical::{strict_value, to_bytes};
use countersign::domain::rules::pattern::Pattern;
use serde_json::Value;

/// What the strict reader takes, the tolerant one reads the same; its canonical form is a fixed point.
pub fn strict_json(bytes: &[u8]) -> bool {
    let Ok(value) = strict_value(bytes) else { return false };
    assert_eq!(serde_json::from_slice::<Value>(bytes).unwrap(), value, "another reader sees another document");
    if let Ok(canonical) = to_bytes(&value) {
        let again = strict_value(&canonical).expect("the canonical form is read");
        assert_eq!(to_bytes(&again).as_ref(), Ok(&canonical), "the canonical form is canonical");
    }
    true
}

/// A pattern on the first line, the text behind it.
pub fn pattern(bytes: &[u8]) -> bool {
    let Some((pattern, text)) = super::text(bytes).and_then(|both| both.split_once('\n')) else { return false };
    let Ok(pattern) = Pattern::parse(pattern) else { return false };
    let fits = pattern.matches(text);
    assert_eq!(fits, defined(pattern.as_str().as_bytes(), text.as_bytes()), "`{pattern}` against `{text}`");
    let _ = (pattern.warnings(), pattern.is_anything());
    fits
}

/// The language as a table: row by row, which beginnings of the text the pattern's beginning fits.
fn defined(pattern: &[u8], text: &[u8]) -> bool {
    if pattern.contains(&b'*') && text.iter().any(u8::is_ascii_control) {
        return false;
    }
    let mut row = vec![false; text.len() + 1];
    row[0] = true;
    for wanted in pattern {
        let mut next = vec![false; text.len() + 1];
        if *wanted == b'*' {
            next[0] = row[0];
        }
        for (at, found) in text.iter().enumerate() {
            next[at + 1] = match wanted {
                b'*' => row[at + 1] || (next[at] && *found != b'/'),
                literal => row[at] && literal == found,
            };
        }
        row = next;
    }
    row[text.len()]
}

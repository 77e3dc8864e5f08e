//! A person's name: what may be in one, and when two could be taken for one another.
//! In: a name as typed. Out: the name in one spelling, or what is wrong with it.
//! Implements Unicode TR 15 (NFC), TR 36 and TR 39 §4 (confusable skeletons), RFC 8265's concern.
//! Never decides who somebody is: a name is decoration, and this keeps it from deceiving.

use unicode_normalization::UnicodeNormalization as _;
use unicode_normalization::char::is_combining_mark;
use unicode_security::skeleton;

use crate::domain::ids::MAX_NAME_CHARS;

/// Characters that hide, move other text or look like nothing; both ends belong. Sorted.
const HIDING: &[(char, char)] = &[
    ('\u{80}', '\u{a0}'),
    ('\u{ad}', '\u{ad}'),
    ('\u{34f}', '\u{34f}'),
    ('\u{61c}', '\u{61c}'),
    ('\u{115f}', '\u{1160}'),
    ('\u{1680}', '\u{1680}'),
    ('\u{17b4}', '\u{17b5}'),
    ('\u{180b}', '\u{180f}'),
    ('\u{2000}', '\u{200f}'),
    ('\u{2028}', '\u{202f}'),
    ('\u{205f}', '\u{206f}'),
    ('\u{2800}', '\u{2800}'),
    ('\u{3000}', '\u{3000}'),
    ('\u{3164}', '\u{3164}'),
    ('\u{e000}', '\u{f8ff}'),
    ('\u{fe00}', '\u{fe0f}'),
    ('\u{feff}', '\u{feff}'),
    ('\u{ffa0}', '\u{ffa0}'),
    ('\u{fff0}', '\u{ffff}'),
    ('\u{1bca0}', '\u{1bca3}'),
    ('\u{1d173}', '\u{1d17a}'),
    ('\u{e0000}', '\u{10ffff}'),
];
/// Most marks that one letter carries.
const MAX_MARKS: usize = 2;

/// The name in the one spelling that is kept: NFC, single spaces, none around it.
///
/// # Errors
/// What is wrong, as a sentence.
pub fn checked(typed: &str) -> Result<String, String> {
    // Before anything is made of it: a name has its bound whatever normalising does.
    if typed.len() > 16 * MAX_NAME_CHARS {
        return Err(format!("a name has 1 to {MAX_NAME_CHARS} characters and no control characters"));
    }
    let composed: String = typed.trim().nfc().collect();
    let count = composed.chars().count();
    if count == 0 || count > MAX_NAME_CHARS || composed.chars().any(char::is_control) {
        return Err(format!("a name has 1 to {MAX_NAME_CHARS} characters and no control characters"));
    }
    if let Some(hidden) = composed.chars().find(|letter| hides(*letter)) {
        return Err(format!(
            "a name has no invisible characters and none that move text, such as {}",
            hidden.escape_unicode()
        ));
    }
    let mut marks = 0;
    for letter in composed.chars() {
        marks = if is_combining_mark(letter) { marks + 1 } else { 0 };
        if marks > MAX_MARKS {
            return Err(format!("a letter of a name has at most {MAX_MARKS} marks"));
        }
    }
    Ok(composed.split(' ').filter(|word| !word.is_empty()).collect::<Vec<_>>().join(" "))
}

fn hides(letter: char) -> bool {
    HIDING.iter().any(|(first, last)| (*first..=*last).contains(&letter))
}

/// Whether readers could take one name for the other: the same letters, whatever their case, script or spacing.
#[must_use]
pub fn confusable(one: &str, other: &str) -> bool {
    seen(one) == seen(other) || seen(&one.to_lowercase()) == seen(&other.to_lowercase())
}

/// The name as an eye sees it: its skeleton without spaces and marks.
fn seen(name: &str) -> String {
    let compatible: String = name.nfkc().collect();
    skeleton(&compatible).filter(|letter| !letter.is_whitespace() && !is_combining_mark(*letter)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn attack_060_a_name_that_hides_or_moves_text_is_no_name() {
        for wrong in [
            "",
            "  ",
            "a\u{0}b",
            "a\nb",
            "Ada\u{202e}dniL",
            "Ada\u{200b}Lind",
            "Ada\u{feff}",
            "Ad\u{ad}a",
            "\u{3164}",
            "\u{e0041}da",
            "Ada\u{2066}x\u{2069}",
            "a\u{300}\u{301}\u{302}\u{303}",
        ] {
            assert!(checked(wrong).is_err(), "{wrong:?}");
        }
        assert!(checked(&"x".repeat(101)).is_err() && checked(&"x".repeat(10_000)).is_err());
        assert_eq!(checked(" Ada   Lind ").as_deref(), Ok("Ada Lind"));
        assert_eq!(checked("Zoe\u{308}").as_deref(), Ok("Zo\u{eb}"), "one spelling");
        for fine in ["Ada Lind", "O’Brien", "Nguyễn Văn A", "李小龍", "Ольга", "Ada 🦊", "<script>", "יעל"]
        {
            assert!(checked(fine).is_ok(), "{fine}");
        }
    }

    #[test]
    fn attack_060_names_that_look_alike_are_confusable() {
        for (one, other) in [
            ("Ada Lind", "ada lind"),
            ("Ada Lind", "Аda Lind"),
            ("Ada Lind", "AdaLind"),
            ("Tom Ahl", "Tom AhI"),
            ("Ada Lind", "Ada Lınd"),
            ("Ada Lind", "Ａｄａ Lind"),
            ("Zoë", "Zoe\u{308}"),
            ("Zoë", "Zoe"),
            ("rn", "m"),
        ] {
            assert!(confusable(one, other), "{one} {other}");
        }
        for (one, other) in [("Ada Lind", "Ada Lund"), ("Tom Ahl", "Tom Ahlin"), ("Mara Voss", "Mira Voss")] {
            assert!(!confusable(one, other), "{one} {other}");
        }
    }

    proptest! {
        #[test]
        fn what_is_checked_stays_as_it_is(typed in any::<String>()) {
            if let Ok(name) = checked(&typed) {
                prop_assert_eq!(checked(&name), Ok(name.clone()));
                prop_assert!(confusable(&name, &typed));
            }
        }
    }
}

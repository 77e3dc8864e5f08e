//! What every page shares: text made visible, times, safe links.
//! In: values from outside. Out: text that can be shown without deceiving anybody.
//! Implements the display rules of Unicode TR 36 (escape what hides, flag what may be mistaken).
//! Never changes a value that is compared or signed: only what is shown of it.

use crate::domain::time::{Timestamp, humane};

/// Characters that are shown escaped: they are invisible, move other text, combine with it, or are private.
/// Sorted; both ends belong.
const HIDING: &[(u32, u32)] = &[
    (0x0000, 0x001F), // C0 controls
    (0x007F, 0x00A0), // delete, C1 controls, no-break space
    (0x00AD, 0x00AD), // soft hyphen
    (0x0300, 0x036F), // combining marks
    (0x0483, 0x0489),
    (0x0590, 0x08FF), // right-to-left scripts
    (0x115F, 0x1160), // Hangul fillers
    (0x1680, 0x1680),
    (0x17B4, 0x17B5),
    (0x180B, 0x180F),
    (0x1AB0, 0x1AFF),
    (0x1DC0, 0x1DFF),
    (0x2000, 0x200F), // spaces of every width, zero-width characters, direction marks
    (0x2028, 0x202F), // separators, embeddings, overrides
    (0x205F, 0x206F), // isolates
    (0x20D0, 0x20FF),
    (0x2800, 0x2800), // blank Braille
    (0x3000, 0x3000),
    (0x3164, 0x3164),
    (0xE000, 0xF8FF), // private use
    (0xFB1D, 0xFDFF), // right-to-left presentation forms
    (0xFE00, 0xFE0F), // variation selectors
    (0xFE20, 0xFE2F),
    (0xFE70, 0xFEFF),
    (0xFFA0, 0xFFA0),
    (0xFFF0, 0xFFFF),
    (0x10800, 0x10FFF),
    (0x1BCA0, 0x1BCA3),
    (0x1D173, 0x1D17A),
    (0x1E800, 0x1EFFF),
    (0xE0000, 0x10_FFFF), // tags, selectors, private planes
];

/// Most characters that a note names one by one.
const NAMED_IN_NOTE: usize = 3;

/// Text as it may be shown.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Visible {
    /// The text, with everything that hides written as `\u{202e}`.
    pub text: String,
    /// There is something in it that a reader could miss or mistake.
    pub flagged: bool,
    /// What that is, as a short sentence; empty where nothing is flagged.
    pub note: String,
}

fn hides(letter: char) -> bool {
    let point = u32::from(letter);
    HIDING.iter().any(|(first, last)| (*first..=*last).contains(&point))
}

/// Makes text from outside safe to read: nothing in it stays invisible or moves what stands beside it, and letters
/// that only look like plain ones are named.
#[must_use]
pub fn visible(text: &str) -> Visible {
    let mut shown = String::with_capacity(text.len());
    let mut hidden = false;
    let mut foreign: Vec<char> = Vec::new();
    for letter in text.chars() {
        if hides(letter) {
            hidden = true;
            shown.extend(letter.escape_unicode());
        } else {
            if !letter.is_ascii() && !foreign.contains(&letter) {
                foreign.push(letter);
            }
            shown.push(letter);
        }
    }
    if text.starts_with(' ') || text.ends_with(' ') || text.contains("  ") {
        // HTML folds spaces, so that two values would look alike.
        hidden = true;
        shown = shown.replace(' ', "\\u{20}");
    }
    let mut notes = Vec::new();
    if hidden {
        notes.push("invisible or right-to-left characters, shown escaped".to_owned());
    }
    if !foreign.is_empty() {
        notes.push(foreign_note(&foreign));
    }
    let note = notes.join("; ");
    Visible { text: shown, flagged: !note.is_empty(), note }
}

/// A piece of a sentence of ours: words, or what is typed or spelled exactly so.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Piece {
    /// It is typed or spelled so.
    pub exact: bool,
    /// As it may be shown.
    pub shown: Visible,
}

/// A sentence of ours (commands and values in backticks; a command alone needs none) in its pieces.
#[must_use]
pub fn pieces(sentence: &str) -> Vec<Piece> {
    let piece = |exact: bool, text: &str| Piece { exact, shown: visible(text) };
    if sentence.starts_with("countersign ") && !sentence.contains([',', ';', ':', '(']) {
        return vec![piece(true, sentence)];
    }
    if !sentence.matches('`').count().is_multiple_of(2) {
        return vec![piece(false, sentence)];
    }
    // The spaces around what is exact belong to the words, where `visible` would show them.
    let parts = sentence.split('`').enumerate().map(|(at, text)| (at % 2 == 1, text.trim()));
    parts.filter(|(_, text)| !text.is_empty()).map(|(exact, text)| piece(exact, text)).collect()
}

fn foreign_note(foreign: &[char]) -> String {
    let named: Vec<String> =
        foreign.iter().take(NAMED_IN_NOTE).map(|letter| format!("{letter} is {}", letter.escape_unicode())).collect();
    let rest = if foreign.len() > NAMED_IN_NOTE { " …" } else { "" };
    format!("not only plain letters: {}{rest}", named.join(", "))
}

/// A time, as a page shows it before the script puts it into the reader's zone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Moment {
    /// RFC 3339, for the script and for machines.
    pub exact: String,
    /// `03:14 UTC`, with the day where it is not today's.
    pub clock: String,
    /// `23 Nov 03:14 UTC`.
    pub dated: String,
    /// `03:14:09 UTC`.
    pub second: String,
    /// `9 s ago`; `just now` where it is not past.
    pub ago: String,
}

impl Moment {
    /// The time `at`, seen at `now`.
    #[must_use]
    pub fn new(at: Timestamp, now: Timestamp) -> Self {
        let (clock, dated) = (format!("{} UTC", at.hour_minute()), at.dated());
        let same_day = at.seconds().div_euclid(86_400) == now.seconds().div_euclid(86_400);
        let past = now.since(at);
        Self {
            exact: at.to_string(),
            dated: dated.clone(),
            clock: if same_day { clock } else { dated },
            second: format!("{} UTC", at.hour_minute_second()),
            ago: if past.as_secs() == 0 { "just now".to_owned() } else { format!("{} ago", humane(past)) },
        }
    }
}

/// Time left as a clock shows it: `14:12`, `23:59:10`; `0:00` at the end.
#[must_use]
pub fn left(until: Timestamp, now: Timestamp) -> String {
    let seconds = until.since(now).as_secs();
    let (hours, minutes, seconds) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    if hours > 0 { format!("{hours}:{minutes:02}:{seconds:02}") } else { format!("{minutes}:{seconds:02}") }
}

/// A link that may stand in `href`: http or https, with a host and without a password; anything else is not a link.
#[must_use]
pub fn safe_link(text: &str) -> Option<String> {
    let link = url::Url::parse(text).ok()?;
    let web = matches!(link.scheme(), "http" | "https");
    (web && link.has_host() && link.username().is_empty() && link.password().is_none()).then(|| link.to_string())
}

/// A log entry's number as people read it: `18 204`.
#[must_use]
pub fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push('\u{a0}');
        }
        text.push(digit);
    }
    text
}

/// The same characters in groups of four, for those who listen.
#[must_use]
pub fn by_four(text: &str) -> String {
    let letters: Vec<char> = text.chars().collect();
    letters.chunks(4).map(|four| four.iter().collect::<String>()).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn attack_035_what_hides_is_escaped_and_what_resembles_is_named() {
        assert_eq!(visible("main"), Visible { text: "main".to_owned(), flagged: false, note: String::new() });
        let reversed = visible("main\u{202e}gnp.exe");
        assert_eq!(reversed.text, "main\\u{202e}gnp.exe");
        assert!(reversed.flagged && reversed.note.contains("right-to-left"));
        for hidden in
            ["a\u{200d}b", "a\u{0}b", "a\r\nb", "a\u{1b}[2Jb", "e\u{301}", "a\u{feff}", "\u{5d0}", "a ", "a  b"]
        {
            let shown = visible(hidden);
            assert!(shown.flagged && shown.text.contains("\\u{"), "{hidden:?} became {shown:?}");
        }
        let slash = visible("shop\u{ff0f}api");
        assert_eq!(slash.text, "shop／api");
        assert!(slash.flagged && slash.note.contains("\\u{ff0f}"), "{}", slash.note);
        assert!(visible("ma\u{131}n").note.contains("\\u{131}"));
        assert!(visible("\u{e9}") != visible("e\u{301}"), "one letter spelled two ways looks different");
    }

    #[test]
    fn attack_074_only_web_links_are_links() {
        for wrong in
            ["javascript:alert(1)", "data:text/html,x", "https://", "//evil.example", "https://a:b@c.example/", "x"]
        {
            assert_eq!(safe_link(wrong), None, "{wrong}");
        }
        assert_eq!(safe_link("https://gitlab.example.com/a"), Some("https://gitlab.example.com/a".to_owned()));
        let quoted = safe_link("https://gitlab.example.com/\"><script>").unwrap();
        assert!(!quoted.contains('"') && !quoted.contains('<'), "{quoted}");
    }

    #[test]
    fn times_and_numbers_read_well() {
        let now = Timestamp::from_seconds(1_795_430_400);
        let moment = Moment::new(now - std::time::Duration::from_secs(9), now);
        assert_eq!((moment.ago.as_str(), moment.clock.as_str()), ("9 s ago", "10:39 UTC"));
        assert_eq!(Moment::new(now, now).ago, "just now");
        assert_eq!(Moment::new(now - std::time::Duration::from_hours(48), now).clock, "21 Nov 10:40 UTC");
        assert_eq!(left(now + std::time::Duration::from_secs(852), now), "14:12");
        assert_eq!(left(now + std::time::Duration::from_secs(86_350), now), "23:59:10");
        assert_eq!(left(now, now), "0:00");
        assert_eq!(grouped(18_204), "18\u{a0}204");
        assert_eq!(by_four("1f3c9ab0"), "1f3c 9ab0");
    }

    #[test]
    fn what_is_typed_stands_apart_from_words() {
        let read = |sentence: &str| {
            pieces(sentence).into_iter().map(|piece| (piece.exact, piece.shown.text)).collect::<Vec<_>>()
        };
        let own = |exact: bool, text: &str| (exact, text.to_owned());
        assert_eq!(
            read("look with `countersign rule check`, then"),
            [own(false, "look with"), own(true, "countersign rule check"), own(false, ", then")]
        );
        assert_eq!(read("countersign init --new-link"), [own(true, "countersign init --new-link")]);
        assert_eq!(read("one ` alone"), [own(false, "one ` alone")]);
        assert!(pieces("`\u{202e}`")[0].shown.flagged);
    }

    proptest! {
        #[test]
        fn nothing_that_hides_is_ever_shown(text in any::<String>()) {
            prop_assert!(!visible(&text).text.chars().any(hides));
        }

        #[test]
        fn plain_text_stays_as_it_is(text in "[!-~]{0,40}") {
            let shown = visible(&text);
            prop_assert_eq!(&shown.text, &text);
            prop_assert!(!shown.flagged);
        }
    }
}

//! A secret in the ways in which it may be written.
//! In: a text, a secret's bytes. Out: the spelling that stands in the text.
//! Implements nothing.
//! Never needs the whole of it: sixteen characters are enough, from the start or from within a longer encoding.

use std::fmt::Write as _;

use data_encoding::{BASE64, BASE64URL, HEXLOWER, HEXUPPER};

/// Characters of a spelling that must stand in a text to be seen.
const ENOUGH: usize = 16;

/// How the text spells this secret, if it does.
pub fn spelling_in(text: &str, secret: &[u8]) -> Option<&'static str> {
    spellings(secret).into_iter().find(|(_, spelt)| text.contains(spelt.as_str())).map(|(name, _)| name)
}

fn spellings(secret: &[u8]) -> Vec<(&'static str, String)> {
    assert!(secret.len() >= ENOUGH, "too short to be looked for: {secret:?}");
    let start = &secret[..ENOUGH];
    let mut all = vec![
        ("in hexadecimal", HEXLOWER.encode(&start[..ENOUGH / 2])),
        ("in hexadecimal", HEXUPPER.encode(&start[..ENOUGH / 2])),
        ("as a list of numbers", numbers(start, ", ")),
        ("as a list of numbers", numbers(start, ",")),
    ];
    if let Ok(text) = std::str::from_utf8(start) {
        all.push(("as it is", text.to_owned()));
        let percent: String = text.bytes().fold(String::new(), |mut all, byte| {
            if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
                all.push(char::from(byte));
            } else {
                let _ = write!(all, "%{byte:02X}");
            }
            all
        });
        all.push(("percent-encoded", percent.to_lowercase()));
        all.push(("percent-encoded", percent));
    }
    // Base64 of a longer text that has the secret somewhere: three alignments. The characters at both edges depend on
    // what stands around, so they are left out.
    for lead in 0..3 {
        let padded: Vec<u8> = std::iter::repeat_n(0, lead).chain(secret.iter().copied().take(ENOUGH + 2)).collect();
        for encoding in [BASE64, BASE64URL] {
            let spelt = encoding.encode(&padded);
            let whole = padded.len() * 8 / 6;
            let from = (lead * 8).div_ceil(6);
            all.push(("in base64", spelt[from..whole.min(from + ENOUGH)].to_owned()));
        }
    }
    all
}

fn numbers(bytes: &[u8], between: &str) -> String {
    bytes.iter().map(ToString::to_string).collect::<Vec<_>>().join(between)
}

#[test]
fn every_spelling_is_seen() {
    let secret = b"7Jq2-+/a&b=c d\xc3\xa9fghijklm";
    let text = std::str::from_utf8(secret).unwrap();
    let form = |text: &str| url::form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>();
    let plain = "sentence-that-has-letters-only-and-is-long";
    for written in [
        format!("x{text}y"),
        format!("x{}", &text[..text.len() - 6]),
        HEXLOWER.encode(secret),
        HEXUPPER.encode(secret),
        format!("{:?}", secret.as_slice()),
        serde_json::to_string(secret.as_slice()).unwrap(),
        BASE64.encode(secret),
        BASE64URL.encode(secret),
        BASE64.encode(format!("a{text}").as_bytes()),
        BASE64URL.encode(format!("Bearer {text}").as_bytes()),
        BASE64.encode(format!("to{text}").as_bytes()),
    ] {
        assert!(spelling_in(&written, secret).is_some(), "{written}");
    }
    let with_signs = "a/b+c=d&e/f+g=h&i/j+k";
    assert_eq!(spelling_in(&form(with_signs), with_signs.as_bytes()), Some("percent-encoded"));
    assert_eq!(spelling_in(&form(with_signs).to_lowercase(), with_signs.as_bytes()), Some("percent-encoded"));
    assert_eq!(spelling_in(plain, secret), None);
    assert_eq!(spelling_in(&text[..ENOUGH - 3], secret), None, "less than enough");
}

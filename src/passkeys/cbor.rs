//! CBOR as authenticators may write it.
//! In: bytes. Out: how many of them the first item takes, if it is well formed.
//! Implements the CTAP2 canonical form (CTAP 2.1 §8) except the order of map members, which some clients do not keep.
//! Never allocates by a length that it read.

/// Deepest nesting: an attestation statement with certificates needs four.
pub const MAX_DEPTH: usize = 8;

/// The length of the item at the head of `bytes`: definite lengths, shortest heads, valid UTF-8, no key twice in a map,
/// no tags, no floating point, at most `MAX_DEPTH` deep.
pub fn item_length(bytes: &[u8]) -> Option<usize> {
    let rest = skip(bytes, 0)?;
    bytes.len().checked_sub(rest.len())
}

/// Whether the bytes are exactly one such item.
pub fn is_one_item(bytes: &[u8]) -> bool {
    item_length(bytes) == Some(bytes.len())
}

/// What follows the first item.
fn skip(bytes: &[u8], depth: usize) -> Option<&[u8]> {
    if depth > MAX_DEPTH {
        return None;
    }
    let (major, argument, rest) = head(bytes)?;
    match major {
        0 | 1 => Some(rest),
        2 => Some(rest.split_at_checked(usize::try_from(argument).ok()?)?.1),
        3 => {
            let (text, rest) = rest.split_at_checked(usize::try_from(argument).ok()?)?;
            std::str::from_utf8(text).ok().map(|_| rest)
        }
        4 => (0..argument).try_fold(rest, |rest, _| skip(rest, depth + 1)),
        5 => skip_map(rest, argument, depth),
        // false, true, null
        7 => (20..=22).contains(&argument).then_some(rest),
        _ => None,
    }
}

fn skip_map(mut rest: &[u8], members: u64, depth: usize) -> Option<&[u8]> {
    let mut keys = std::collections::BTreeSet::new();
    for _ in 0..members {
        let after = skip(rest, depth + 1)?;
        let (key, _) = rest.split_at_checked(rest.len().checked_sub(after.len())?)?;
        if !keys.insert(key) {
            return None;
        }
        rest = skip(after, depth + 1)?;
    }
    Some(rest)
}

/// Major type, argument in its shortest spelling, and what follows.
fn head(bytes: &[u8]) -> Option<(u8, u64, &[u8])> {
    let (first, rest) = bytes.split_first()?;
    let (major, short) = (first >> 5, first & 31);
    let (argument, least, rest) = match short {
        0..=23 => (u64::from(short), 0, rest),
        24 => rest.split_first_chunk().map(|(b, rest)| (u64::from(u8::from_be_bytes(*b)), 24, rest))?,
        25 => rest.split_first_chunk().map(|(b, rest)| (u64::from(u16::from_be_bytes(*b)), 0x100, rest))?,
        26 => rest.split_first_chunk().map(|(b, rest)| (u64::from(u32::from_be_bytes(*b)), 0x1_0000, rest))?,
        27 => rest.split_first_chunk().map(|(b, rest)| (u64::from_be_bytes(*b), 0x1_0000_0000, rest))?,
        // 31 is an indefinite length, the others are reserved
        _ => return None,
    };
    // Simple values and floats share major type 7; all that we take are written in the first byte.
    let allowed = argument >= least && (major != 7 || short < 24);
    allowed.then_some((major, argument, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attack_056_only_the_strict_form_of_cbor_is_read() {
        for good in [
            &[0x00][..],
            &[0x18, 0x18],
            &[0x38, 0x22],
            &[0x42, 1, 2],
            &[0x63, b'f', b'm', b't'],
            &[0x82, 0x01, 0xf5],
            &[0xa2, 0x01, 0x02, 0x20, 0xf6],
        ] {
            assert!(is_one_item(good), "{good:02x?}");
        }
        let wrong: [(&str, &[u8]); 12] = [
            ("empty", &[]),
            ("long spelling", &[0x18, 0x17]),
            ("long spelling of a length", &[0x59, 0x00, 0x01, 0xaa]),
            ("indefinite bytes", &[0x5f, 0x41, 0x01, 0xff]),
            ("indefinite map", &[0xbf, 0x01, 0x02, 0xff]),
            ("key twice", &[0xa2, 0x01, 0x02, 0x01, 0x03]),
            ("tag", &[0xc0, 0x01]),
            ("float", &[0xf9, 0x00, 0x00]),
            ("undefined", &[0xf7]),
            ("not UTF-8", &[0x61, 0xff]),
            ("cut off", &[0x42, 0x01]),
            ("array of 2^64-1", &[0x9b, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff]),
        ];
        for (what, bytes) in wrong {
            assert!(!is_one_item(bytes), "{what}");
        }
        let mut deep = vec![0x81; 100_000];
        deep.push(0x00);
        assert_eq!(item_length(&deep), None, "deep nesting");
        assert!(!is_one_item(&[0x00, 0x00]), "bytes behind the item");
    }
}

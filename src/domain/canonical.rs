//! Canonical JSON: the one spelling of what is hashed, signed or logged.
//! In: serialisable values, or bytes from outside. Out: RFC 8785 bytes, or a value read without tolerance.
//! Implements RFC 8785 (JCS) and RFC 7493 (I-JSON: no duplicate members, no integers beyond 2^53).
//! Never accepts two spellings of one document.

use std::fmt;

use serde::de::{DeserializeOwned, DeserializeSeed, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use serde_json::map::Entry;

use super::ids::Digest;

/// Deepest nesting that we read.
pub const MAX_DEPTH: usize = 32;
const MAX_SAFE_INTEGER: u64 = 1 << 53;
const MAX_SAFE_FLOAT: f64 = 9_007_199_254_740_992.0;
/// From here on RFC 8785 §3.2.2.3 writes an exponent, below it all the digits.
const EXPONENT_FROM: f64 = 1e21;

/// JSON that we do not read, or a value that has no canonical form.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CanonicalError {
    /// Not JSON, or not of the expected shape.
    #[error("not the JSON that was expected: {0}")]
    Shape(String),
    /// A member occurs twice in one object (RFC 7493 §2.3).
    #[error("the member `{0}` occurs twice")]
    Duplicate(String),
    /// An integer beyond 2^53, or a number that JSON cannot carry (RFC 7493 §2.2).
    #[error("a number is beyond what JSON carries exactly")]
    Number,
    /// Valid JSON, but not spelled canonically.
    #[error("the JSON is not in its canonical form (RFC 8785)")]
    NotCanonical,
}

/// The RFC 8785 bytes of a value.
///
/// # Errors
/// A value that JSON cannot carry (a map with keys that are not strings, a number beyond 2^53).
pub fn to_bytes<T: Serialize>(value: &T) -> Result<Vec<u8>, CanonicalError> {
    let value = serde_json::to_value(value).map_err(|e| CanonicalError::Shape(e.to_string()))?;
    value_to_bytes(&value)
}

/// The same for what is JSON already.
///
/// # Errors
/// A number beyond 2^53.
pub fn value_to_bytes(value: &Value) -> Result<Vec<u8>, CanonicalError> {
    check_numbers(value)?;
    let shape = |e: serde_json::Error| CanonicalError::Shape(e.to_string());
    if is_plain(value) {
        let mut bytes = Vec::with_capacity(PLAIN_BYTES);
        write_plain(value, &mut bytes).map_err(shape)?;
        return Ok(bytes);
    }
    serde_json_canonicalizer::to_vec(value).map_err(shape)
}

/// Room that most documents fit into, so that it need not grow.
const PLAIN_BYTES: usize = 1536;

/// Whether names and numbers are such that the canonical form is the compact one with its members in order: of names in ASCII
/// the order of bytes is that of RFC 8785 §3.2.3, and whole numbers have one spelling. So nearly all of ours are.
fn is_plain(value: &Value) -> bool {
    match value {
        Value::Number(number) => !number.is_f64(),
        Value::Array(items) => items.iter().all(is_plain),
        Value::Object(members) => members.iter().all(|(name, value)| name.is_ascii() && is_plain(value)),
        Value::Null | Value::Bool(_) | Value::String(_) => true,
    }
}

fn write_plain(value: &Value, to: &mut Vec<u8>) -> serde_json::Result<()> {
    match value {
        Value::Array(items) => {
            to.push(b'[');
            for (at, item) in items.iter().enumerate() {
                if at > 0 {
                    to.push(b',');
                }
                write_plain(item, to)?;
            }
            to.push(b']');
            Ok(())
        }
        Value::Object(members) => {
            let mut members: Vec<_> = members.iter().collect();
            members.sort_unstable_by_key(|(name, _)| *name);
            to.push(b'{');
            for (at, (name, value)) in members.into_iter().enumerate() {
                if at > 0 {
                    to.push(b',');
                }
                serde_json::to_writer(&mut *to, name)?;
                to.push(b':');
                write_plain(value, to)?;
            }
            to.push(b'}');
            Ok(())
        }
        scalar => serde_json::to_writer(to, scalar),
    }
}

/// SHA-256 of the RFC 8785 bytes.
///
/// # Errors
/// As `to_bytes`.
pub fn digest<T: Serialize>(value: &T) -> Result<Digest, CanonicalError> {
    to_bytes(value).map(|bytes| Digest::of(&bytes))
}

/// Reads canonical bytes back; anything that we would have written differently is refused, so
/// unknown members are refused too.
///
/// # Errors
/// `NotCanonical` where the bytes are not exactly what `to_bytes` gives for the value read.
pub fn from_bytes<T: Serialize + DeserializeOwned>(bytes: &[u8]) -> Result<T, CanonicalError> {
    let value = strict_value(bytes)?;
    let read: T = serde_json::from_value(value).map_err(|e| CanonicalError::Shape(e.to_string()))?;
    if to_bytes(&read)? == bytes { Ok(read) } else { Err(CanonicalError::NotCanonical) }
}

/// Reads JSON from outside: no duplicate members, bounded depth.
///
/// # Errors
/// `Duplicate` or `Shape`.
pub fn strict_value(bytes: &[u8]) -> Result<Value, CanonicalError> {
    let mut reader = serde_json::Deserializer::from_slice(bytes);
    let value = Strict { depth: 0 }.deserialize(&mut reader).map_err(|e| {
        let text = e.to_string();
        match text.strip_prefix(DUPLICATE_PREFIX) {
            Some(rest) => CanonicalError::Duplicate(rest.split('`').next().unwrap_or_default().to_owned()),
            None => CanonicalError::Shape(text),
        }
    })?;
    reader.end().map_err(|e| CanonicalError::Shape(e.to_string()))?;
    Ok(value)
}

const DUPLICATE_PREFIX: &str = "duplicate member `";

fn check_numbers(value: &Value) -> Result<(), CanonicalError> {
    match value {
        Value::Number(number) => {
            let safe = match (number.as_u64(), number.as_i64()) {
                (Some(whole), _) => whole <= MAX_SAFE_INTEGER,
                (None, Some(whole)) => whole.unsigned_abs() <= MAX_SAFE_INTEGER,
                // Written as an integer, it would be one beyond 2^53 to whoever reads it next.
                (None, None) => number.as_f64().is_some_and(|n| n.abs() <= MAX_SAFE_FLOAT || n.abs() >= EXPONENT_FROM),
            };
            if safe { Ok(()) } else { Err(CanonicalError::Number) }
        }
        Value::Array(items) => items.iter().try_for_each(check_numbers),
        Value::Object(members) => members.values().try_for_each(check_numbers),
        _ => Ok(()),
    }
}

struct Strict {
    depth: usize,
}

impl<'de> DeserializeSeed<'de> for Strict {
    type Value = Value;
    fn deserialize<D: serde::Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Strict {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }
    fn visit_bool<E>(self, v: bool) -> Result<Value, E> {
        Ok(Value::Bool(v))
    }
    fn visit_i64<E>(self, v: i64) -> Result<Value, E> {
        Ok(Value::from(v))
    }
    fn visit_u64<E>(self, v: u64) -> Result<Value, E> {
        Ok(Value::from(v))
    }
    fn visit_f64<E>(self, v: f64) -> Result<Value, E> {
        Ok(Value::from(v))
    }
    fn visit_str<E>(self, v: &str) -> Result<Value, E> {
        Ok(Value::String(v.to_owned()))
    }
    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }
    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Value, A::Error> {
        let depth = deeper::<A::Error>(self.depth)?;
        let mut items = Vec::new();
        while let Some(item) = seq.next_element_seed(Self { depth })? {
            items.push(item);
        }
        Ok(Value::Array(items))
    }
    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value, A::Error> {
        let depth = deeper::<A::Error>(self.depth)?;
        let mut members = serde_json::Map::new();
        while let Some(name) = map.next_key::<String>()? {
            match members.entry(name) {
                Entry::Vacant(free) => free.insert(map.next_value_seed(Self { depth })?),
                Entry::Occupied(taken) => {
                    return Err(serde::de::Error::custom(format!("{DUPLICATE_PREFIX}{}`", taken.key())));
                }
            };
        }
        Ok(Value::Object(members))
    }
}

fn deeper<E: serde::de::Error>(depth: usize) -> Result<usize, E> {
    if depth < MAX_DEPTH { Ok(depth + 1) } else { Err(E::custom("nested too deeply")) }
}

/// Bytes that JSON carries as base64url without padding.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Bytes(pub Vec<u8>);

impl Serialize for Bytes {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&data_encoding::BASE64URL_NOPAD.encode(&self.0))
    }
}

impl<'de> Deserialize<'de> for Bytes {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        data_encoding::BASE64URL_NOPAD
            .decode(text.as_bytes())
            .map(Self)
            .map_err(|_| serde::de::Error::custom("not base64url without padding"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_may_not_repeat_however_they_are_spelled() {
        let repeated = strict_value(br#"{"sub":1,"s\u0075b":2}"#);
        assert_eq!(repeated, Err(CanonicalError::Duplicate("sub".to_owned())));
        assert!(strict_value(br#"{"a":{"b":1,"b":1}}"#).is_err());
        assert!(strict_value(br#"{"a":1} "#).is_ok());
        assert!(strict_value(br#"{"a":1} x"#).is_err());
        assert!(strict_value(br#"{"a":"\ud800"}"#).is_err(), "lone surrogate");
        assert!(strict_value("[".repeat(10_000).as_bytes()).is_err());
    }

    #[test]
    fn numbers_that_json_rounds_are_refused() {
        assert_eq!(to_bytes(&9_007_199_254_740_993_u64), Err(CanonicalError::Number));
        assert!(to_bytes(&9_007_199_254_740_992_u64).is_ok());
        for typed in [
            "-9007199254740990007.3",
            "1e16",
            "18446744073709551616",
            "-18446744073709551616",
            "999999999999999900000.0",
        ] {
            let value = strict_value(typed.as_bytes()).unwrap();
            assert_eq!(to_bytes(&value), Err(CanonicalError::Number), "{typed}");
        }
        for (typed, canonical) in [("1e21", "1e+21"), ("-1E300", "-1e+300"), ("9007199254740992.0", "9007199254740992")]
        {
            let value = strict_value(typed.as_bytes()).unwrap();
            assert_eq!(to_bytes(&value).as_deref(), Ok(canonical.as_bytes()), "{typed}");
        }
    }

    #[test]
    fn the_vectors_of_rfc_8785s_author_have_their_canonical_form() {
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/vectors/jcs");
        for name in ["arrays", "french", "structures", "unicode", "values", "weird"] {
            let read = |place: &str| std::fs::read(folder.join(place)).unwrap();
            let made = to_bytes(&strict_value(&read(&format!("input/{name}.json"))).unwrap()).unwrap();
            let stated = read(&format!("output/{name}.json"));
            assert_eq!(String::from_utf8_lossy(&made), String::from_utf8_lossy(&stated), "{name}");
            let hex = String::from_utf8(read(&format!("outhex/{name}.txt"))).unwrap();
            let hex: Vec<u8> = hex.split_whitespace().map(|byte| u8::from_str_radix(byte, 16).unwrap()).collect();
            assert_eq!(made, hex, "{name}");
            assert_eq!(to_bytes(&strict_value(&made).unwrap()).unwrap(), made, "{name}: once is enough");
        }
    }

    #[test]
    fn only_the_canonical_spelling_reads_back() {
        type Map = std::collections::BTreeMap<String, u32>;
        assert!(from_bytes::<Map>(br#"{"a":1,"b":2}"#).is_ok());
        assert_eq!(from_bytes::<Map>(br#"{"b":2,"a":1}"#), Err(CanonicalError::NotCanonical));
        assert_eq!(from_bytes::<Map>(br#"{"a": 1}"#), Err(CanonicalError::NotCanonical));
    }

    fn documents() -> impl proptest::strategy::Strategy<Value = Value> {
        use proptest::prelude::*;
        let name = prop_oneof!["[a-zA-Z_]{0,6}", "[ -~\\x00-\\x1f]{0,3}", any::<String>()];
        let scalar = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<String>().prop_map(Value::from),
            (-9_007_199_254_740_992_i64..=9_007_199_254_740_992).prop_map(Value::from),
            any::<f64>().prop_map(Value::from),
        ];
        scalar.prop_recursive(4, 40, 8, move |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
                prop::collection::vec((name.clone(), inner), 0..8).prop_map(|members| members.into_iter().collect()),
            ]
        })
    }

    proptest::proptest! {
        #[test]
        fn the_short_way_writes_what_the_library_writes(document in documents()) {
            if let Ok(bytes) = to_bytes(&document) {
                let other = serde_json_canonicalizer::to_vec(&document).unwrap();
                proptest::prop_assert_eq!(String::from_utf8(bytes), String::from_utf8(other));
            }
        }

        #[test]
        fn what_is_written_reads_back_as_the_same_number(number in proptest::num::f64::NORMAL | proptest::num::f64::SUBNORMAL) {
            if let Ok(written) = to_bytes(&number) {
                let read = strict_value(&written).unwrap();
                proptest::prop_assert_eq!(read.as_f64(), Some(number));
                proptest::prop_assert_eq!(to_bytes(&read), Ok(written));
            }
        }
    }
}

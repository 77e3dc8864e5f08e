//! A person's e-mail address: decoration that tools may be told, and nothing is ever sent to.
//! In: an address as typed. Out: the address, or what is wrong with it.
//! Implements as much of RFC 5321 §4.1.2 as people use: a dot-string at a domain.
//! Never decides who somebody is, and never says that an address is the person's: nobody here verified it.

/// Longest e-mail address, in bytes (RFC 5321 §4.5.3.1.3).
pub const MAX_EMAIL: usize = 254;

/// The address, if it is one.
///
/// # Errors
/// What is wrong, as a sentence.
pub fn checked(typed: &str) -> Result<String, &'static str> {
    const WRONG: &str = "an e-mail address has one `@`, a name before it and a domain after it, and no spaces";
    let atom = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-/=?^_`{|}~".contains(&b);
    let label = |text: &str| {
        !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-') && !text.starts_with('-')
    };
    let (name, domain) = typed.rsplit_once('@').ok_or(WRONG)?;
    let fits = typed.len() <= MAX_EMAIL
        && name.split('.').all(|part| !part.is_empty() && part.bytes().all(atom))
        && domain.contains('.')
        && domain.split('.').all(label);
    if fits { Ok(typed.to_owned()) } else { Err(WRONG) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_a_name_at_a_domain() {
        for good in ["mara@example.com", "mara.voss+x@mail.example.co", "o'neil@a-b.example"] {
            assert_eq!(checked(good).as_deref(), Ok(good));
        }
        let long = format!("{}@example.com", "a".repeat(MAX_EMAIL));
        for wrong in [
            "",
            "mara",
            "@example.com",
            "mara@",
            "mara@host",
            "a b@example.com",
            "a@b@example.com",
            "a..b@example.com",
            "<mara@example.com>",
            "mara@-a.example",
            "mära@example.com",
            "a@ex\nample.com",
            "\"a\"@example.com",
            &long,
        ] {
            assert!(checked(wrong).is_err(), "{wrong}");
        }
    }
}

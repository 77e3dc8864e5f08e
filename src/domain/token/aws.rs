//! AWS: session tags, source identity and pinned roles, within its limits.
//! In: names and values. Out: text that STS takes, or which limit it breaks.
//! Implements STS `AssumeRoleWithWebIdentity` and "Pass session tags in AWS STS".
//! Never sends a value that would fail the whole call.

use super::template::encode;

/// The audience that AWS's claims go to by default.
pub const AUDIENCE: &str = "sts.amazonaws.com";
/// Most session tags.
pub const MAX_TAGS: usize = 50;
/// Longest tag key, in characters.
pub const MAX_TAG_KEY: usize = 128;
/// Longest tag value, in characters.
pub const MAX_TAG_VALUE: usize = 256;
/// Shortest source identity, in characters.
pub const MIN_SOURCE_IDENTITY: usize = 2;
/// Longest source identity, in characters.
pub const MAX_SOURCE_IDENTITY: usize = 64;
/// Shortest role ARN.
pub const MIN_ROLE: usize = 20;
/// Longest role ARN.
pub const MAX_ROLE: usize = 2048;
/// Shortest `sub` that AWS takes back.
pub const MIN_SUB: usize = 6;

/// What AWS would refuse.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AwsError {
    /// Not the ARN of a role.
    #[error("`{0}` is not the ARN of a role; write it as in `arn:aws:iam::111122223333:role/deploy`")]
    Role(String),
    /// A tag's key or value is too long.
    #[error("the tag `{0}` is longer than AWS takes")]
    Tag(String),
    /// A source identity that is too short, too long or holds other characters.
    #[error(
        "the source identity has {0} characters; AWS takes {MIN_SOURCE_IDENTITY} to {MAX_SOURCE_IDENTITY} of letters, digits and _+=,.@-"
    )]
    SourceIdentity(usize),
}

/// Checks the ARN of a role.
///
/// # Errors
/// `Role`.
pub fn check_role(arn: &str) -> Result<(), AwsError> {
    let wrong = || AwsError::Role(arn.chars().take(MAX_TAG_KEY).flat_map(char::escape_debug).collect());
    let parts: Vec<&str> = arn.splitn(6, ':').collect();
    let [scheme, partition, "iam", "", account, resource] = parts.as_slice() else { return Err(wrong()) };
    let partition_fits = partition.starts_with("aws") && partition.bytes().all(|b| b.is_ascii_lowercase() || b == b'-');
    let account_fits = account.len() == 12 && account.bytes().all(|b| b.is_ascii_digit());
    let name = resource.strip_prefix("role/").unwrap_or_default();
    let name_fits =
        !name.is_empty() && !name.ends_with('/') && name.chars().all(|c| is_source_identity_char(c) || c == '/');
    let length_fits = (MIN_ROLE..=MAX_ROLE).contains(&arn.len());
    if *scheme == "arn" && partition_fits && account_fits && name_fits && length_fits { Ok(()) } else { Err(wrong()) }
}

/// A tag's value, encoded so that AWS takes it and no two values become one.
///
/// # Errors
/// `Tag` where key or value is too long.
pub fn tag_value(key: &str, value: &str) -> Result<String, AwsError> {
    let encoded = encode(value, '=', |b| b.is_ascii_alphanumeric() || b"_.:/+-@".contains(&b));
    if key.len() > MAX_TAG_KEY || encoded.len() > MAX_TAG_VALUE {
        return Err(AwsError::Tag(key.chars().take(MAX_TAG_KEY).collect()));
    }
    Ok(encoded)
}

/// A part of the source identity: bytes outside `[A-Za-z0-9._-]` as `=XX`.
#[must_use]
pub fn source_identity_part(value: &str) -> String {
    encode(value, '=', |b| b.is_ascii_alphanumeric() || b"._-".contains(&b))
}

/// A character that AWS takes in a source identity.
#[must_use]
pub const fn is_source_identity_char(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '_' | '+' | '=' | ',' | '.' | '@' | '-')
}

/// A character that no part of a source identity holds (`+` joins the ids of approvers).
#[must_use]
pub const fn separates_source_identity(c: char) -> bool {
    matches!(c, ',' | '@')
}

/// Checks a whole source identity.
///
/// # Errors
/// `SourceIdentity`.
pub fn check_source_identity(text: &str) -> Result<(), AwsError> {
    let length = text.chars().count();
    let fits = (MIN_SOURCE_IDENTITY..=MAX_SOURCE_IDENTITY).contains(&length);
    if fits && text.chars().all(is_source_identity_char) { Ok(()) } else { Err(AwsError::SourceIdentity(length)) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn roles_are_whole_arns() {
        for right in
            ["arn:aws:iam::111122223333:role/deploy", "arn:aws-us-gov:iam::111122223333:role/path/to/deploy_1+=,.@-"]
        {
            assert_eq!(check_role(right), Ok(()));
        }
        for wrong in [
            "",
            "deploy",
            "arn:aws:iam::111122223333:user/x",
            "arn:aws:iam::11112222333:role/x",
            "arn:aws:iam::111122223333:role/",
            "arn:aws:iam::111122223333:role/*",
            "arn:aws:s3::111122223333:role/x",
            "arn:aws:iam::111122223333:role/a;arn:aws:iam::111122223333:role/b",
            "arn:aws:iam:eu:111122223333:role/x",
        ] {
            assert!(check_role(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn values_stay_within_the_limits() {
        assert_eq!(tag_value("k", "a b=c"), Ok("a=20b=3Dc".to_owned()));
        assert_eq!(tag_value("k", "pabc+pdef"), Ok("pabc+pdef".to_owned()));
        assert!(tag_value("k", &"é".repeat(43)).is_err(), "encoded length counts");
        assert!(tag_value(&"k".repeat(129), "v").is_err());
        assert!(check_source_identity("p").is_err());
        assert!(check_source_identity(&"p".repeat(64)).is_ok());
        assert!(check_source_identity(&"p".repeat(65)).is_err());
        assert!(check_source_identity("a/b").is_err());
    }

    proptest! {
        #[test]
        fn encoding_is_injective_and_within_the_alphabet(one in "\\PC{0,8}", other in "\\PC{0,8}") {
            prop_assert_eq!(one == other, tag_value("k", &one) == tag_value("k", &other));
            prop_assert_eq!(one == other, source_identity_part(&one) == source_identity_part(&other));
            prop_assert!(source_identity_part(&one).chars().all(is_source_identity_char));
        }
    }
}

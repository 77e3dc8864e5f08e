//! Who a GitLab user is to us, where that GitLab signs its users in through us: its word in `user_identities`.
//! In: the claim, the provider's name that the configuration gives. Out: the person's id, or the refusal.
//! Implements GitLab's ID tokens (`user_identities`: a list of `provider` and `extern_uid`), DESIGN §11.
//! Never believes another provider, and never picks one of two.

use serde_json::{Map, Value};

use super::gitlab::check_text;
use crate::domain::ids::PersonId;
use crate::domain::oauth::error_code::ErrorCode;
use crate::domain::rules::Refusal;

/// The member of a job's record that names the person, and the one that names the provider.
pub const IDENTITY: &str = "identity";
/// As above.
pub const IDENTITY_PROVIDER: &str = "identity_provider";
/// Most identities of a user.
pub const MAX_IDENTITIES: usize = 100;

/// The person whom the claim names under this provider.
///
/// # Errors
/// The claim has another form than GitLab's; the provider occurs twice; it names no person.
pub fn person_of(claims: &Map<String, Value>, provider: &str) -> Result<Option<PersonId>, Refusal> {
    let items = match claims.get("user_identities") {
        None | Some(Value::Null) => return Ok(None),
        Some(Value::Array(items)) if items.len() <= MAX_IDENTITIES => items,
        Some(Value::Array(_)) => return Err(bad("holds too many identities")),
        Some(_) => return Err(bad("is not a list")),
    };
    let mut found = None;
    for item in items {
        // One that cannot be read could be the one that counts.
        let text =
            |name: &str| item.get(name).and_then(Value::as_str).ok_or_else(|| bad("holds no list of identities"));
        let (named, uid) = (text("provider")?, text("extern_uid")?);
        if named != provider {
            continue;
        }
        check_text("user_identities", uid)?;
        let person = PersonId::parse(uid).map_err(|_| {
            let what = format!("the identity of `{provider}` in `user_identities` is no person of this server");
            Refusal::new(ErrorCode::IdentityUnknown, what)
        })?;
        if found.replace(person).is_some() {
            return Err(bad("names the identity provider twice"));
        }
    }
    Ok(found)
}

fn bad(what: &str) -> Refusal {
    Refusal::new(ErrorCode::BadClaimType, format!("the claim `user_identities` {what}"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(claim: Value) -> Result<Option<String>, ErrorCode> {
        let claims = Map::from_iter([("user_identities".to_owned(), claim)]);
        person_of(&claims, "countersign").map(|found| found.map(|id| id.to_string())).map_err(|refusal| refusal.code)
    }

    #[test]
    fn attack_024_only_one_whole_identity_of_the_named_provider_names_a_person() {
        let one = |provider: &str, uid: Value| json!({ "provider": provider, "extern_uid": uid });
        let (id, other) = ("pmq4zx7k2hv5ntr3b", "paaaaaaaaaaaaaaaa");
        assert_eq!(read(json!([one("countersign", json!(id))])), Ok(Some(id.to_owned())));
        let among = json!([one("ldap", json!("uid=mara")), one("countersign", json!(id)), one("github", json!(other))]);
        assert_eq!(read(among), Ok(Some(id.to_owned())));
        let longer = json!([{ "provider": "countersign", "extern_uid": id, "secondary_extern_uid": other }]);
        assert_eq!(read(longer), Ok(Some(id.to_owned())), "members that GitLab may add");
        for nobody in [json!([]), Value::Null, json!([one("Countersign", json!(id)), one("countersign ", json!(id))])] {
            assert_eq!(read(nobody), Ok(None));
        }
        assert_eq!(person_of(&Map::new(), "countersign"), Ok(None));
        for malformed in [
            json!("countersign"),
            json!({ "provider": "countersign", "extern_uid": id }),
            json!([one("countersign", json!(id)), "x"]),
            json!([one("countersign", json!(7))]),
            json!([{ "provider": "countersign" }]),
            json!([{ "extern_uid": id }]),
            json!([one("countersign", json!(id)), one("countersign", json!(id))]),
            json!([one("countersign", json!(id)), one("countersign", json!(other))]),
            json!([one("countersign", json!("p\u{202e}"))]),
            Value::Array(vec![one("ldap", json!("x")); MAX_IDENTITIES + 1]),
        ] {
            assert_eq!(read(malformed.clone()), Err(ErrorCode::BadClaimType), "{malformed}");
        }
        for stranger in ["mara", "PMQ4ZX7K2HV5NTR3B", "pmq4zx7k2hv5ntr3b ", "pmq4zx7k2hv5ntr3bx"] {
            let refused = read(json!([one("countersign", json!(stranger))]));
            assert_eq!(refused, Err(ErrorCode::IdentityUnknown), "{stranger}");
        }
    }
}

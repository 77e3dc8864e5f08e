//! What a device may ask for, checked as an application's request is.
//! In: the form of `POST /device_authorization`, its authenticated client. Out: scopes and services, or the first fault.
//! Implements RFC 8628 §3.1, RFC 6749 §3.3, RFC 8707 §2.
//! Never takes more than is configured for the client.

use std::sync::Arc;

use crate::domain::ids::Audience;
use crate::domain::oauth::authorize::{known_resources, known_scopes};
use crate::domain::oauth::client::{Client, GrantType};
use crate::domain::oauth::error_code::ErrorCode;
use crate::domain::oauth::form::Form;
use crate::domain::oauth::scope::Scopes;
use crate::domain::rules::Refusal;

/// What a client asks for.
///
/// # Errors
/// The first fault, with its code.
pub fn examine(form: &Form, client: &Client, clients: &[Arc<Client>]) -> Result<(Scopes, Vec<Audience>), Refusal> {
    if !client.may(GrantType::DeviceCode) {
        let text = format!("the client may not use the grant `{}`", GrantType::DeviceCode.as_str());
        return Err(Refusal::new(ErrorCode::GrantNotAllowed, text));
    }
    let scopes = known_scopes(form.get("scope"), client, clients)?;
    let resources = known_resources(form.resources(), client)?;
    Ok((scopes, resources))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::domain::ids::ClientId;

    #[test]
    fn a_device_asks_for_what_its_client_may_have() {
        let plain = Client::plain(ClientId::parse("tv").unwrap(), "TV".to_owned());
        let client = Client {
            grants: BTreeSet::from([GrantType::DeviceCode]),
            scopes: Scopes::parse("openid groups").unwrap(),
            resources: vec![Audience::parse("https://api.example").unwrap()],
            ..plain.clone()
        };
        let clients = [Arc::new(client.clone())];
        let read = |body: &str, client: &Client| {
            let form = Form::read(body.as_bytes()).unwrap();
            examine(&form, client, &clients).map_err(|refusal| refusal.code)
        };
        let (scopes, resources) = read("scope=openid+unheard&resource=https%3A%2F%2Fapi.example", &client).unwrap();
        assert_eq!((scopes.to_string().as_str(), resources.len()), ("openid", 1));
        assert_eq!(read("scope=openid+email", &client), Err(ErrorCode::ScopeNotGranted));
        assert_eq!(read("", &client), Err(ErrorCode::ScopeNotGranted));
        let other = "scope=openid&resource=https%3A%2F%2Fother.example";
        assert_eq!(read(other, &client), Err(ErrorCode::ResourceNotAllowed));
        assert_eq!(read("scope=openid", &plain), Err(ErrorCode::GrantNotAllowed));
    }
}

//! Loads clients: others take the place of those in force, all or none.
//! In: clients, checked and with what their files hold. Out: what changed, one line a client.
//! Implements DESIGN §10, §12 (`SIGHUP`).
//! Never lets a client be an audience of a rule in force, and never lets a unit of before act for a client of before: it asks
//! anew, inside itself.

use std::sync::{Arc, PoisonError, RwLock};

use crate::domain::ids::ClientId;
use crate::domain::oauth::client::{Client, GrantType};
use crate::domain::oauth::error_code::ErrorCode;

use super::load_rules::is_taken;
use super::settings::taken_audiences;
use super::{AppError, Countersign};

/// The clients in force; every clone is the same.
#[derive(Debug, Clone)]
pub struct Clients(Arc<RwLock<Arc<Vec<Arc<Client>>>>>);

impl Clients {
    /// Those of the start.
    pub(super) fn new(clients: Vec<Arc<Client>>) -> Self {
        Self(Arc::new(RwLock::new(Arc::new(clients))))
    }

    /// All of them, in the order of the configuration.
    #[must_use]
    pub fn all(&self) -> Arc<Vec<Arc<Client>>> {
        // A panic while the pointer was swapped leaves a whole pointer behind.
        Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// The client of an id.
    #[must_use]
    pub fn find(&self, id: &ClientId) -> Option<Arc<Client>> {
        self.all().iter().find(|client| client.id == *id).map(Arc::clone)
    }

    /// Whether this server has a grant: the one of devices it has where a client may use it, the others always.
    #[must_use]
    pub fn have(&self, grant: GrantType) -> bool {
        grant != GrantType::DeviceCode || self.all().iter().any(|client| client.may(grant))
    }

    fn put(&self, clients: Vec<Arc<Client>>) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(clients);
    }
}

impl Countersign {
    /// Puts clients in force, in place of those before; what changed. What people gave to one that may less now, or is gone,
    /// is judged by that at its next use.
    ///
    /// # Errors
    /// One of them is an audience of a rule, or what tells them of sign-outs cannot be made; those before stay in force.
    pub fn load_clients(&self, clients: Vec<Arc<Client>>) -> Result<Vec<String>, AppError> {
        let taken = taken_audiences(&self.settings.url, clients.iter().map(AsRef::as_ref));
        let known = self.rules();
        let waits = known.waits.iter().flat_map(|waits| waits.rules.iter());
        for rule in known.rules.iter().chain(waits) {
            let mut audiences = rule.allow().into_iter().flat_map(|allow| &allow.audience);
            if let Some(audience) = audiences.find(|audience| is_taken(&taken, audience)) {
                let text = format!("the rule \"{}\" has the audience `{audience}`, which a client names", rule.name);
                return Err(AppError::refused(ErrorCode::ParameterInvalid, text)
                    .with_hint("choose an audience that no `[[client]]` names"));
            }
        }
        self.tell_logouts_from_here(&clients).map_err(AppError::internal)?;
        let changed = changes(&self.clients.all(), &clients);
        self.clients.put(clients);
        Ok(changed)
    }
}

/// What is other than before, a line a client.
fn changes(before: &[Arc<Client>], after: &[Arc<Client>]) -> Vec<String> {
    let of = |list: &[Arc<Client>], id: &ClientId| list.iter().find(|one| one.id == *id).map(Arc::clone);
    let gone = before.iter().filter(|one| of(after, &one.id).is_none());
    let mut lines: Vec<_> = gone.map(|one| format!("{} is gone", one.id)).collect();
    for client in after {
        match of(before, &client.id) {
            None => lines.push(format!("{} is new", client.id)),
            Some(old) if old != *client => {
                lines.push(format!("{} has other {}", client.id, keys(&old, client).join(", ")));
            }
            Some(_) => {}
        }
    }
    lines
}

/// The keys of the configuration in which two differ.
fn keys(old: &Client, new: &Client) -> Vec<&'static str> {
    let all = [
        ("name", old.name != new.name),
        ("auth", old.auth.as_str() != new.auth.as_str()),
        ("secrets or keys", old.auth.as_str() == new.auth.as_str() && old.auth != new.auth),
        ("redirect_uris", old.redirect_uris != new.redirect_uris),
        ("native", old.native != new.native),
        ("grants", old.grants != new.grants),
        ("scopes", old.scopes != new.scopes),
        ("resources", old.resources != new.resources),
        ("serves", old.serves != new.serves),
        ("groups", old.groups != new.groups),
        ("acr", old.acr != new.acr),
        ("device_policy", old.device_policy != new.device_policy),
        ("consent", old.consent != new.consent),
        ("par", old.par != new.par),
        ("dpop", old.dpop != new.dpop),
        ("alg", old.alg != new.alg),
        ("response_modes", old.response_modes != new.response_modes),
        ("post_logout_redirect_uris", old.post_logout_redirect_uris != new.post_logout_redirect_uris),
        ("backchannel_logout_uri", old.backchannel_logout_uri != new.backchannel_logout_uri),
        ("lifetimes", old.lifetimes != new.lifetimes),
        ("logo", old.logo != new.logo),
    ];
    all.into_iter().filter(|(_, differs)| *differs).map(|(key, _)| key).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::assurance::Acr;
    use crate::domain::ids::Digest;
    use crate::domain::oauth::client::ClientAuth;

    #[test]
    fn what_changed_is_said_by_its_key_and_no_secret_with_it() {
        let client = |id: &str| Client::plain(ClientId::parse(id).unwrap(), "Tool".to_owned());
        let secret = |text: &str| ClientAuth::Basic(vec![Digest::of(text.as_bytes())]);
        let old = [client("same"), client("gone"), Client { auth: secret("a"), ..client("other") }].map(Arc::new);
        let other = Client { auth: secret("b"), acr: Acr::Phrh, ..client("other") };
        let new = [client("same"), other, client("new")].map(Arc::new);
        let told = changes(&old, &new);
        assert_eq!(told, ["gone is gone", "other has other secrets or keys, acr", "new is new"]);
        assert!(changes(&new, &new).is_empty());
    }
}

//! What an application gets, in words.
//! In: scopes, the services that it names. Out: sentences for the page that asks.
//! Implements OpenID Connect Core §5.4 and §11, as people read them.
//! Never leaves a scope out: one that has no words here is shown as it is spelled.

use crate::domain::oauth::scope::{EMAIL, GROUPS, OFFLINE_ACCESS, OPENID, PROFILE, Scopes};

/// Something that an application gets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Gets {
    /// In words; `None` where the scope's own spelling is all that is known.
    pub words: Option<&'static str>,
    /// As the request spells it.
    pub scope: String,
}

/// Everything that an application gets with these scopes, what tells of the person first.
#[must_use]
pub fn gets(scopes: &Scopes) -> Vec<Gets> {
    const KNOWN: [(&str, &str); 5] = [
        (OPENID, "That it is you: your id here, and how you signed in"),
        (PROFILE, "Your name"),
        (EMAIL, "Your e-mail address"),
        (GROUPS, "The groups that you are in"),
        (OFFLINE_ACCESS, "Access while you are away, until you take it back"),
    ];
    let known = KNOWN.iter().filter(|(scope, _)| scopes.has(scope));
    let known = known.map(|(scope, words)| Gets { words: Some(words), scope: (*scope).to_owned() });
    let others = scopes.iter().filter(|scope| KNOWN.iter().all(|(known, _)| *known != scope.as_str()));
    known.chain(others.map(|scope| Gets { words: None, scope: scope.to_string() })).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_scope_is_told() {
        let scopes = Scopes::parse("wiki:write offline_access openid groups email profile").unwrap();
        let told = gets(&scopes);
        assert_eq!(told.len(), 6);
        assert_eq!(told.first().map(|one| one.scope.as_str()), Some("openid"));
        assert_eq!(told.last(), Some(&Gets { words: None, scope: "wiki:write".to_owned() }));
    }
}

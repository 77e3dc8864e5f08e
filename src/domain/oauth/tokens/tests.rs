//! What tokens tell, and to whom.
//! In: a client, a grant's scopes, a person. Out: claims, whole.
//! Implements the tests of `domain::oauth::tokens`.
//! Never looks at a signature.

use std::collections::BTreeMap;
use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::domain::assurance::Acr;
use crate::domain::ids::ClientId;
use crate::domain::oauth::client::Lifetimes;
use crate::domain::people::email::Email;

fn client(scopes: &str) -> Client {
    Client {
        scopes: Scopes::parse(scopes).unwrap(),
        lifetimes: Lifetimes { access_token: Duration::from_mins(5), ..Lifetimes::default() },
        ..Client::plain(ClientId::parse("grafana").unwrap(), "Grafana".to_owned())
    }
}

struct Mara {
    email: Option<Email>,
    person: PersonId,
    groups: BTreeSet<GroupName>,
    assurance: Assurance,
    sid: SessionId,
}

fn mara() -> Mara {
    Mara {
        person: PersonId::parse("pmq4zx7k2hv5ntr3b").unwrap(),
        email: None,
        groups: BTreeSet::from([GroupName::parse("sre").unwrap()]),
        assurance: Assurance {
            amr: BTreeSet::from(["pop".to_owned(), "user".to_owned()]),
            acr: Acr::Phr,
            auth_time: Timestamp::from_seconds(1_795_430_000),
            amr_missing: BTreeMap::from([("hwk".to_owned(), "no_attestation".to_owned())]),
        },
        sid: SessionId::from_random([7; 16]),
    }
}

impl Mara {
    fn subject(&self) -> Subject<'_> {
        Subject {
            person: &self.person,
            name: "Mara Voss",
            email: self.email.as_ref(),
            groups: &self.groups,
            assurance: &self.assurance,
            sid: &self.sid,
        }
    }
}

fn terms<'a>(client: &'a Client, scopes: &'a Scopes) -> Terms<'a> {
    let now = Timestamp::from_seconds(1_795_430_400);
    Terms { issuer: "https://sign.example.com", client, scopes, now }
}

fn scopes(text: &str) -> Scopes {
    Scopes::parse(text).unwrap()
}

#[test]
fn an_id_token_says_who_and_how_and_no_more_than_was_asked() {
    let (client, mara) = (client("openid profile groups"), mara());
    let bare = scopes("openid");
    let claims = terms(&client, &bare).id_token(&mara.subject(), "j", Some("n"), &WantedClaims::default());
    let expected = json!({
        "iss": "https://sign.example.com", "sub": "pmq4zx7k2hv5ntr3b", "aud": "grafana", "iat": 1_795_430_400,
        "exp": 1_795_431_000, "jti": "j", "nonce": "n", "auth_time": 1_795_430_000, "acr": "phr", "amr": ["pop", "user"],
        "amr_missing": { "hwk": "no_attestation" }, "sid": mara.sid,
    });
    assert_eq!(Value::Object(claims), expected);
    let all = scopes("openid profile groups");
    let claims = terms(&client, &all).id_token(&mara.subject(), "j", None, &WantedClaims::default());
    assert_eq!((&claims["name"], &claims["groups"]), (&json!("Mara Voss"), &json!(["sre"])));
    assert!(!claims.contains_key("nonce") && !claims.contains_key("email_verified"));
}

#[test]
fn where_a_level_is_demanded_no_other_is_named() {
    let (mut mara, client, scopes) = (mara(), client("openid"), scopes("openid"));
    mara.assurance.acr = Acr::Phrh;
    let named = |acr_most: Option<Acr>| {
        let wanted = WantedClaims { acr_most, ..WantedClaims::default() };
        terms(&client, &scopes).id_token(&mara.subject(), "j", None, &wanted)["acr"].clone()
    };
    assert_eq!([None, Some(Acr::Phr), Some(Acr::Phrh)].map(named), [json!("phrh"), json!("phr"), json!("phrh")]);
}

#[test]
fn a_claim_that_is_asked_for_by_name_needs_the_clients_scope() {
    let mara = mara();
    let wanted = WantedClaims {
        id_token: BTreeSet::from(["groups".to_owned(), "email".to_owned(), "admin".to_owned()]),
        userinfo: BTreeSet::from(["name".to_owned()]),
        ..WantedClaims::default()
    };
    let bare = scopes("openid");
    let may = client("openid groups profile");
    let id = terms(&may, &bare).id_token(&mara.subject(), "j", None, &wanted);
    assert!(id.contains_key("groups") && !id.contains_key("name") && !id.contains_key("email"));
    let info = terms(&may, &bare).userinfo(&mara.subject(), &wanted);
    assert_eq!(Value::Object(info), json!({ "sub": mara.person, "name": "Mara Voss" }));
    let may_not = client("openid");
    assert!(!terms(&may_not, &bare).id_token(&mara.subject(), "j", None, &wanted).contains_key("groups"));
}

#[test]
fn an_address_is_told_with_its_scope_where_there_is_one_and_never_as_verified() {
    let (client, both) = (client("openid email"), scopes("openid email"));
    let told = |mara: &Mara| terms(&client, &both).userinfo(&mara.subject(), &WantedClaims::default());
    assert_eq!(Value::Object(told(&mara())), json!({ "sub": mara().person }));
    let mara = Mara { email: Some(Email::parse("mara@example.com").unwrap()), ..mara() };
    assert_eq!(Value::Object(told(&mara)), json!({ "sub": mara.person, "email": "mara@example.com" }));
    let bare = scopes("openid");
    assert!(!terms(&client, &bare).userinfo(&mara.subject(), &WantedClaims::default()).contains_key("email"));
}

#[test]
fn an_access_token_is_rfc_9068_and_bound_where_a_key_was_proven() {
    let (client, mara) = (client("openid groups"), mara());
    let (jkt, audience) = (Kid::parse(&"A".repeat(43)).unwrap(), Audience::parse("https://api.example.com").unwrap());
    let both = scopes("openid groups");
    let claims = terms(&client, &both).access_token(&mara.subject(), "j", &audience, Some(&jkt));
    let expected = json!({
        "iss": "https://sign.example.com", "sub": "pmq4zx7k2hv5ntr3b", "aud": "https://api.example.com",
        "client_id": "grafana", "scope": "groups openid", "iat": 1_795_430_400, "exp": 1_795_430_700, "jti": "j",
        "auth_time": 1_795_430_000, "acr": "phr", "amr": ["pop", "user"], "sid": mara.sid, "groups": ["sre"],
        "cnf": { "jkt": jkt },
    });
    assert_eq!(Value::Object(claims), expected);
    let own = terms(&client, &Scopes::default()).own_access_token("j", &audience, None);
    assert_eq!(own["sub"], "client:grafana");
    assert!(!own.contains_key("scope") && !own.contains_key("acr") && !own.contains_key("cnf"));
}

#[test]
fn at_hash_is_half_a_digest() {
    // The example of OpenID Connect Core 1.0 Appendix A.3.
    let token = "jHkWEdUXMU1BwAsC4vtUsZwnNvTIxEl0z9K3vx5KF0Y";
    assert_eq!(at_hash(token), "77QmUPtjPfzWtF2AnpK9RQ");
}

proptest! {
    #[test]
    fn every_claim_is_one_that_metadata_lists(text in "(openid|profile|groups|email|x:y| ){0,6}") {
        let (client, mara) = (client("openid profile groups email x:y"), mara());
        let scopes = Scopes::parse(&text).unwrap();
        let wanted = WantedClaims::default();
        let id = terms(&client, &scopes).id_token(&mara.subject(), "j", Some("n"), &wanted);
        let info = terms(&client, &scopes).userinfo(&mara.subject(), &wanted);
        for name in id.keys().chain(info.keys()) {
            prop_assert!(CLAIMS.contains(&name.as_str()), "{}", name);
        }
        prop_assert_eq!(id.contains_key("groups"), scopes.has(GROUPS));
        prop_assert_eq!(info.contains_key("name"), scopes.has(PROFILE));
    }
}

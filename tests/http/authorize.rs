//! `/authorize`: an application's request, and the way of its person through it.

use std::collections::BTreeSet;

use countersign::domain::assurance::Acr;
use countersign::domain::assurance::policy::DevicePolicy;
use countersign::domain::ids::{GroupName, PersonId};
use countersign::domain::oauth::client::{Client, Consent, Logo, ResponseMode};
use countersign::http::caller::MAX_AUTHORIZATIONS_A_MINUTE;
use countersign::http::serve::CONTENT_SECURITY_POLICY;
use countersign::store::StoreError;
use countersign::store::passkeys::PasskeyRow;
use countersign::store::sessions::SessionRow;
use serde_json::json;

use crate::support::application::{
    REDIRECT, Request, VERIFIER, back, code, error, follow, grafana, named, open, say, with_session,
};
use crate::support::gitlab::claims_of;
use crate::support::person::{in_session, session_of};
use crate::support::rules::AWS;
use crate::support::wire::form;
use crate::support::{Person, Server, Snapshot, URL};

fn id(person: &Person) -> PersonId {
    PersonId::parse(&person.id).unwrap()
}

fn sessions(server: &Server, person: &Person) -> Vec<SessionRow> {
    server.app.store.read::<_, StoreError, _>(|reader| reader.sessions_of(&id(person))).unwrap()
}

fn passkeys(server: &Server, person: &Person) -> Vec<PasskeyRow> {
    server.app.store.read::<_, StoreError, _>(|reader| reader.passkeys_of(&id(person))).unwrap()
}

fn group(name: &str) -> GroupName {
    GroupName::parse(name).unwrap()
}

#[test]
fn whoever_is_signed_in_comes_back_with_a_code() {
    let server = Server::for_clients(vec![grafana()]);
    let mut ada = Person::enrol(&server, "Ada", &["sre"]);
    let session = ada.sign_in(&server);
    let before = Snapshot::of(&server);
    let waiting = Request::good().waits(&server);
    let code = code(&open(&server, Some(&session), &waiting));
    assert!(code.starts_with("co_") && code.len() > 40);
    let after = Snapshot::of(&server);
    let [entry] = after.since(&before) else { panic!("{:?}", after.since(&before)) };
    assert_eq!((&entry["kind"], &entry["outcome"]), (&json!("grant"), &json!("started")));
    assert_eq!((&entry["client"], &entry["person"]), (&json!("grafana"), &json!(ada.id)));
    assert_eq!(entry["scopes"], "groups openid");
    for name in ["Ada", &code] {
        assert!(!entry.to_string().contains(name), "{entry}");
    }
    // Neither code nor the request's id is anywhere on the disk.
    let id = waiting.rsplit('/').next().unwrap();
    for table in ["code", "authorization_request", "oauth_grant"] {
        let rows = after.table(table);
        assert_eq!(rows.len(), 1, "{table}");
        assert!(rows.iter().all(|row| !row.contains(&code) && !row.contains(id)), "{table}");
    }
    // A request is answered once.
    let again = open(&server, Some(&session), &waiting).expect(410).text();
    assert!(again.contains("This sign-in is over.") && again.contains("Start again at Grafana."), "{again}");
    Snapshot::of(&server).assert_identical(&after);
}

#[test]
fn whoever_is_not_signed_in_signs_in_first() {
    let server = Server::for_clients(vec![grafana()]);
    let mut ada = Person::enrol(&server, "Ada", &[]);
    let waiting = Request::good().with("login_hint", "ada \"<lind>").waits(&server);
    let id = waiting.rsplit('/').next().unwrap().to_owned();
    let sent = server.get(&waiting).expect(303);
    assert_eq!(sent.header("location"), Some(format!("/sign-in?for={id}").as_str()));
    let page = open(&server, None, &waiting).expect(200).text();
    for words in ["Sign in to Grafana", &format!("data-next=\"{waiting}\""), "ada &#34;&#60;lind&#62;", "go back to"] {
        assert!(page.contains(words), "{words}: {page}");
    }
    assert!(!page.contains("asks for"), "{page}");
    let session = ada.sign_in(&server);
    code(&open(&server, Some(&session), &waiting));
}

#[test]
fn a_request_may_come_as_a_form_and_waits_a_quarter_of_an_hour() {
    let server = Server::for_clients(vec![grafana()]);
    let mut ada = Person::enrol(&server, "Ada", &[]);
    let session = ada.sign_in(&server);
    let post = |kind: &str| server.call("POST", "/authorize").body(kind, Request::good().form()).send();
    // A browser leaves the cookie out of another site's POST; the redirect of our own brings it.
    code(&follow(&server, Some(&session), post("application/x-www-form-urlencoded")));
    assert!(post("application/json").expect(400).text().contains("is not a form"));
    let (first, second) = (Request::good().waits(&server), Request::good().waits(&server));
    server.pass(15 * 60);
    code(&open(&server, Some(&session), &first));
    server.pass(1);
    open(&server, Some(&session), &second).expect(410);
    // Looking at the head begins and ends nothing.
    let third = Request::good().waits(&server);
    let before = Snapshot::of(&server);
    server.call("HEAD", &Request::good().path()).send().expect(200);
    with_session(server.call("HEAD", &third), Some(&session)).send().expect(200);
    Snapshot::of(&server).assert_identical(&before);
    code(&open(&server, Some(&session), &third));
}

#[test]
fn people_are_asked_once_and_again_for_more() {
    let server = Server::for_clients(vec![Client { consent: Consent::Once, ..grafana() }]);
    let mut ada = Person::enrol(&server, "Ada Lind", &["sre"]);
    let session = ada.sign_in(&server);
    let waiting = Request::good().also("resource", "https://api.example.com").waits(&server);
    let page = open(&server, Some(&session), &waiting).expect(200).text();
    for words in [
        "Sign in to <bdi>Grafana</bdi>?",
        "Ada Lind",
        "grafana.example.com",
        "The groups that you are in",
        "https://api.example.com",
        "is remembered until it asks for more",
    ] {
        assert!(page.contains(words), "{words}: {page}");
    }
    let before = Snapshot::of(&server);
    say(&server, Some(&session), &waiting, "consent").expect(200);
    let after = Snapshot::of(&server);
    assert_eq!(after.since(&before).iter().map(|entry| &entry["outcome"]).collect::<Vec<_>>(), ["consented"]);
    assert_eq!(after.since(&before)[0]["resources"], json!(["https://api.example.com"]), "the services, too");
    code(&open(&server, Some(&session), &waiting));
    // Once.
    code(&Request::good().go(&server, Some(&session)));
    code(&Request::good().with("scope", "openid").go(&server, Some(&session)));
    // More is another question, and what was allowed before stays allowed.
    let more = Request::good().with("scope", "openid profile").waits(&server);
    let page = open(&server, Some(&session), &more).expect(200).text();
    assert!(page.contains("Your name"), "{page}");
    assert_eq!(
        error(&Request::good().with("scope", "openid profile").with("prompt", "none").go(&server, Some(&session))),
        "consent_required"
    );
    say(&server, Some(&session), &more, "cancel").expect(200);
    assert_eq!(error(&open(&server, Some(&session), &more)), "access_denied");
    assert!(open(&server, Some(&session), &more).expect(410).text().contains("Start again at Grafana."));
    code(&Request::good().with("prompt", "none").go(&server, Some(&session)));
}

#[test]
fn who_asks_each_time_is_answered_each_time() {
    let server = Server::for_clients(vec![Client { consent: Consent::Always, ..grafana() }, named("wiki", "Wiki")]);
    let mut ada = Person::enrol(&server, "Ada", &[]);
    let session = ada.sign_in(&server);
    for request in [Request::good(), Request::of("wiki").with("prompt", "consent")] {
        for _ in 0..2 {
            let waiting = request.waits(&server);
            assert!(open(&server, Some(&session), &waiting).expect(200).text().contains("You are asked each time."));
            say(&server, Some(&session), &waiting, "consent").expect(200);
            code(&open(&server, Some(&session), &waiting));
        }
    }
    assert!(Snapshot::of(&server).table("consent").is_empty());
    // Whoever agreed is whoever goes on: another session begins with the question.
    let waiting = Request::good().waits(&server);
    say(&server, Some(&session), &waiting, "consent").expect(200);
    let mut ben = Person::enrol(&server, "Ben", &[]);
    let of_ben = ben.sign_in(&server);
    open(&server, Some(&of_ben), &waiting).expect(200);
    code(&open(&server, Some(&session), &waiting));
}

#[test]
fn a_stronger_key_is_asked_for_in_words() {
    let policy = DevicePolicy { name: "production".to_owned(), attestation: true, ..DevicePolicy::default() };
    let mut server = Server::for_clients(vec![Client { acr: Acr::Phrh, ..grafana() }]);
    let mut ada = Person::enrol(&server, "Ada", &[]);
    let session = ada.sign_in(&server);
    let named = passkeys(&server, &ada)[0].name.clone();
    let shown = |server: &Server, session: &str, request: Request| {
        open(server, Some(session), &request.waits(server)).expect(200).text()
    };
    let page = shown(&server, &session, Request::good());
    assert!(
        page.contains("Grafana asks for a hardware key.") && page.contains(&format!("You signed in with {named}.")),
        "{page}"
    );
    // Signing in with the same key again changes nothing.
    let again = ada.sign_in(&server);
    assert!(shown(&server, &again, Request::good()).contains("asks for a hardware key"));
    server.restart_for(vec![Client { device_policy: Some(policy), ..grafana() }]);
    let session = ada.sign_in(&server);
    let page = shown(&server, &session, Request::good());
    assert!(page.contains("asks for a security key") && page.contains("it sent no proof from its maker"), "{page}");
    server.restart_for(vec![grafana()]);
    let essential = r#"{"id_token":{"acr":{"essential":true,"values":["phrh"]}}}"#;
    let session = ada.sign_in(&server);
    let waiting = Request::good().with("claims", essential).waits(&server);
    assert!(open(&server, Some(&session), &waiting).expect(200).text().contains("asks for a hardware key"));
    say(&server, Some(&session), &waiting, "cancel").expect(200);
    assert_eq!(error(&open(&server, Some(&session), &waiting)), "unmet_authentication_requirements");
    // What would only be liked is not asked of somebody who has no such key.
    code(&Request::good().with("acr_values", "phrh phr").go(&server, Some(&session)));
}

#[test]
fn whoever_is_in_none_of_the_groups_is_told_whom_to_ask() {
    let sre = Some(BTreeSet::from([group("sre")]));
    let server = Server::for_clients(vec![Client { groups: sre, ..grafana() }]);
    let mut ben = Person::enrol(&server, "Ben", &["others"]);
    let mut ada = Person::enrol(&server, "Ada", &["sre"]);
    let (of_ben, of_ada) = (ben.sign_in(&server), ada.sign_in(&server));
    let waiting = Request::good().waits(&server);
    let page = open(&server, Some(&of_ben), &waiting).expect(403).text();
    for words in ["Grafana</bdi> is not open to you.", "Ben", "#platform, or the desk on floor 3", "Back to"] {
        assert!(page.contains(words), "{words}: {page}");
    }
    // Nothing is agreed to from outside.
    say(&server, Some(&of_ben), &waiting, "consent").expect(200);
    open(&server, Some(&of_ben), &waiting).expect(403);
    // As somebody else, who is.
    let page = open(&server, Some(&of_ben), &format!("/sign-in?for={}&again=yes", waiting.rsplit('/').next().unwrap()));
    assert!(page.expect(200).text().contains("Sign in to <bdi>Grafana"));
    let other = Request::good().waits(&server);
    code(&open(&server, Some(&of_ada), &other));
    say(&server, Some(&of_ben), &waiting, "cancel").expect(200);
    assert_eq!(error(&open(&server, Some(&of_ben), &waiting)), "access_denied");
    assert_eq!(error(&Request::good().with("prompt", "none").go(&server, Some(&of_ben))), "access_denied");
}

#[test]
fn an_answer_may_come_as_a_form() {
    let server = Server::for_clients(vec![grafana()]);
    let mut ada = Person::enrol(&server, "Ada", &[]);
    let session = ada.sign_in(&server);
    let answer =
        Request::good().with("response_mode", "form_post").with("state", "a\"><b>").go(&server, Some(&session));
    let (policy, page) =
        (answer.header("content-security-policy").unwrap().to_owned(), answer.clone().expect(200).text());
    assert_eq!(
        policy,
        CONTENT_SECURITY_POLICY.replace("form-action 'none'", "form-action https://grafana.example.com")
    );
    assert_eq!(answer.header("cache-control"), Some("no-store"));
    assert_eq!(answer.header("x-frame-options"), Some("DENY"));
    for words in [
        &format!("<form method=\"post\" action=\"{REDIRECT}\">"),
        "name=\"code\" value=\"co_",
        "name=\"state\" value=\"a&#34;&#62;&#60;b&#62;\"",
        &format!("name=\"iss\" value=\"{URL}\""),
        "Go on to <bdi>Grafana",
    ] {
        assert!(page.contains(words), "{words}: {page}");
    }
    let refused = Request::good().with("response_mode", "form_post").with("prompt", "none").go(&server, None);
    assert!(refused.expect(200).text().contains("name=\"error\" value=\"login_required\""));
}

#[test]
fn a_stronger_sign_in_is_the_same_session_to_applications() {
    let server = Server::for_clients(vec![grafana()]);
    let mut ada = Person::enrol(&server, "Ada", &[]);
    let first = ada.sign_in(&server);
    let sid = sessions(&server, &ada)[0].sid.clone();
    let waiting = Request::good().with("prompt", "login").waits(&server);
    open(&server, Some(&first), &waiting).expect(200);
    let signed = ada.sign_in_answer_for(&server, &waiting);
    let call = server.call("POST", "/sign-in/session").of_our_page(&signed.body()).header("cookie", &first);
    let second = session_of(&call.send().expect(200));
    code(&open(&server, Some(&second), &waiting));
    let [now] = sessions(&server, &ada).try_into().expect("one session");
    assert_eq!(now.sid, sid);
    let another = ada.sign_in(&server);
    assert_ne!(sessions(&server, &ada)[1].sid, sid, "another browser is another session");
    code(&Request::good().go(&server, Some(&another)));
}

#[test]
fn requests_of_one_address_have_an_end() {
    let server = Server::for_clients(vec![grafana()]);
    let wrong = Request::good().with("redirect_uri", "https://evil.example");
    for _ in 0..MAX_AUTHORIZATIONS_A_MINUTE {
        wrong.bring(&server).expect(400);
    }
    let answer = Request::good().bring(&server).expect(429);
    assert_eq!(answer.header("retry-after"), Some("61"));
    assert!(answer.text().contains("Too many tries."), "{}", answer.text());
    server.pass(61);
    Request::good().bring(&server).expect(303);
}

#[test]
fn a_picture_comes_from_our_own_origin() {
    let logo = Logo { media_type: "image/svg+xml", bytes: b"<svg xmlns='http://www.w3.org/2000/svg'/>".to_vec() };
    let modes = BTreeSet::from([ResponseMode::Query]);
    let server = Server::for_clients(vec![Client { logo: Some(logo), response_modes: modes, ..grafana() }]);
    let answer = server.get("/applications/grafana/logo").expect(200);
    assert_eq!(answer.header("content-type"), Some("image/svg+xml"));
    let policy = "sandbox; default-src 'none'; style-src 'unsafe-inline'";
    assert_eq!(answer.header("content-security-policy"), Some(policy), "a picture opened by itself runs nothing");
    assert_eq!(answer.header("x-content-type-options"), Some("nosniff"));
    for nobody in ["other", "GRAFANA", "%00"] {
        server.get(&format!("/applications/{nobody}/logo")).expect(404);
    }
    let page = Request::good().go(&server, None).expect(200).text();
    assert!(page.contains("src=\"/applications/grafana/logo\""), "{page}");
    assert_eq!(
        error(&Request::good().with("response_mode", "form_post").go(&server, None)),
        "unsupported_response_type"
    );
}

#[test]
fn a_client_that_is_not_configured_any_more_is_nobody() {
    let mut server = Server::for_clients(vec![grafana()]);
    let mut ada = Person::enrol(&server, "Ada", &[]);
    let session = ada.sign_in(&server);
    let waiting = Request::good().waits(&server);
    server.restart_for(vec![Client { redirect_uris: vec!["https://other.example/cb".to_owned()], ..grafana() }]);
    open(&server, Some(&session), &waiting).expect(410);
    server.restart_for(Vec::new());
    open(&server, Some(&session), &waiting).expect(410);
    in_session(&server, &session, &format!("{waiting}/consent"), &json!({})).expect(410);
    let answer = Request::good().bring(&server).expect(400);
    assert!(answer.text().contains("An application") && answer.header("location").is_none());
    server.restart_for(vec![grafana()]);
    assert_eq!(back(&open(&server, Some(&session), &waiting))["state"], "s-1");
}

#[test]
fn from_the_request_to_what_userinfo_says() {
    let server = Server::for_clients(vec![grafana(), named("wiki", "Wiki")]);
    let (mut ada, mut ben) = (Person::enrol(&server, "Ada", &["sre"]), Person::enrol(&server, "Ben", &[]));
    let session = ada.sign_in(&server);
    let code = code(&Request::good().with("scope", "openid profile groups").go(&server, Some(&session)));
    let redeem = |verifier: &str| {
        let pairs = [
            ("grant_type", "authorization_code"),
            ("client_id", "grafana"),
            ("code", &code),
            ("redirect_uri", REDIRECT),
            ("code_verifier", verifier),
        ];
        server.call("POST", "/token").body("application/x-www-form-urlencoded", form(&pairs)).send()
    };
    let tokens = redeem(VERIFIER).expect(200);
    let claims = claims_of(&tokens.member("id_token"));
    assert_eq!((&claims["iss"], &claims["aud"]), (&json!(URL), &json!("grafana")));
    assert_eq!((&claims["sub"], &claims["nonce"]), (&json!(ada.id), &json!("n-1")));
    assert_eq!((&claims["acr"], &claims["name"]), (&json!("phr"), &json!("Ada")));
    assert_eq!(claims["auth_time"], server.now());
    assert_eq!(claims["sid"], json!(sessions(&server, &ada)[0].sid));
    let bearer = format!("Bearer {}", tokens.member("access_token"));
    let told = server.call("GET", "/userinfo").header("authorization", &bearer).send().expect(200).json();
    assert_eq!((&told["sub"], &told["groups"]), (&json!(ada.id), &json!(["sre"])));

    // The ID token says afterwards whom the application means, however old it is.
    server.pass(3600);
    let session_now = ada.sign_in(&server);
    let hint = tokens.member("id_token");
    let hinted = Request::good().with("id_token_hint", &hint).with("prompt", "none");
    assert!(back(&hinted.go(&server, Some(&session_now))).contains_key("code"));
    assert_eq!(error(&hinted.go(&server, Some(&ben.sign_in(&server)))), "login_required");
    let of_another = Request::of("wiki").with("id_token_hint", &hint);
    assert_eq!(error(&of_another.go(&server, Some(&session_now))), "invalid_request");
    // Neither an access token nor the token of a job is a hint.
    let job = server.exchange(&server.job().environment("staging").sign(), &[AWS]).send().expect(200);
    for token in [tokens.member("access_token"), job.member("access_token")] {
        let request = Request::good().with("id_token_hint", &token);
        assert_eq!(error(&request.go(&server, Some(&session_now))), "invalid_request");
    }
}

#[test]
pub fn what_the_metadata_says_of_this_way_is_so() {
    let server = Server::for_clients(vec![grafana()]);
    let metadata = server.get("/.well-known/openid-configuration").expect(200).json();
    let list = |name: &str| -> Vec<String> {
        metadata[name].as_array().unwrap().iter().map(|value| value.as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(metadata["authorization_endpoint"], format!("{URL}/authorize"));
    assert_eq!(metadata["pushed_authorization_request_endpoint"], format!("{URL}/par"));
    let pushed = server.call("POST", "/par").body("application/x-www-form-urlencoded", Request::good().form());
    let uri = pushed.send().expect(201).member("request_uri");
    Request::default().with("client_id", "grafana").with("request_uri", &uri).waits(&server);
    let essential = |level: &str| json!({"id_token": {"acr": {"essential": true, "value": level}}}).to_string();
    let each: Vec<(&str, Vec<String>)> = vec![
        ("response_type", list("response_types_supported")),
        ("response_mode", list("response_modes_supported")),
        ("code_challenge_method", list("code_challenge_methods_supported")),
        ("prompt", list("prompt_values_supported")),
        ("acr_values", list("acr_values_supported")),
        ("claims", list("acr_values_supported").iter().map(|level| essential(level)).collect()),
    ];
    for (parameter, values) in each {
        assert!(!values.is_empty(), "{parameter}");
        for value in values {
            Request::good().with(parameter, &value).waits(&server);
        }
    }
    assert_eq!(metadata["claims_parameter_supported"], true);
    for (name, parameter, wire) in [
        ("request_parameter_supported", "request", "request_not_supported"),
        ("request_uri_parameter_supported", "request_uri", "request_uri_not_supported"),
    ] {
        assert_eq!(metadata[name], false);
        assert_eq!(error(&Request::good().with(parameter, "https://x.example").bring(&server)), wire);
    }
    assert_eq!(metadata["authorization_response_iss_parameter_supported"], true);
}

//! Signing in to an application, as people see it: the sign-in, a stronger key, the question, and what went wrong.
//! In: applications, people with passkeys. Out: every state of these pages, reached and pictured.
//! Implements SCREENS' sign-in for an application, its step-up, and the page for an application's bad request.
//! Never answers for the application but with a page that says where the browser came to.

use std::collections::BTreeSet;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpListener;
use std::time::Duration;

use countersign::domain::assurance::Acr;
use countersign::domain::ids::{Audience, ClientId, GroupName};
use countersign::domain::oauth::client::{Client, ClientAuth, Consent, GrantType, Logo, ResponseMode};
use countersign::domain::oauth::scope::Scopes;
use serde_json::json;

use crate::authenticator::Authenticator;
use crate::browser;
use crate::driver::Browser;
use crate::maker::Maker;
use crate::pictures::look;
use crate::sessions::counted;
use crate::support::{MODEL, Person, World};

const CHALLENGE: &str = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";
const PICTURE: &[u8] = br##"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 48 48"><circle cx="24" cy="24" r="22" fill="#F46800"/><path d="M14 30 22 18l6 8 6-10" fill="none" stroke="#fff" stroke-width="3"/></svg>"##;

/// An application on this machine: whatever comes in is answered with a page that says what came.
struct Application {
    port: u16,
}

impl Application {
    fn start() -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        // It ends with the process: nobody waits for it.
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let mut reader = BufReader::new(stream);
                let (mut line, mut length) = (String::new(), 0);
                if reader.read_line(&mut line).is_err() {
                    continue;
                }
                let first = line.split(' ').next().unwrap_or_default().to_owned();
                loop {
                    line.clear();
                    if reader.read_line(&mut line).is_err() || line.trim().is_empty() {
                        break;
                    }
                    if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
                        length = value.trim().parse().unwrap_or(0);
                    }
                }
                let mut body = vec![0; length];
                let _ = reader.read_exact(&mut body);
                let page = format!(
                    "<!doctype html><title>Application</title><h1>Here again</h1><p id=\"how\">{first}</p><p id=\"body\">{}</p>",
                    String::from_utf8_lossy(&body).replace('&', "&amp;").replace('<', "&lt;")
                );
                let answer = format!(
                    "HTTP/1.1 200 OK\r\ncontent-type: text/html\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{page}",
                    page.len()
                );
                let _ = reader.get_mut().write_all(answer.as_bytes());
            }
        });
        Self { port }
    }

    fn at(&self) -> String {
        format!("http://127.0.0.1:{}/cb", self.port)
    }

    /// Sends the browser from the application's own page, which is another site.
    fn sends(&self, browser: &Browser, world: &World, client: &str, more: &[(&str, &str)]) {
        browser.open(&self.at());
        let mut request = url::form_urlencoded::Serializer::new(String::new());
        request.append_pair("client_id", client).append_pair("redirect_uri", &self.at());
        request.append_pair("response_type", "code").append_pair("state", "s-1");
        request.append_pair("code_challenge", CHALLENGE).append_pair("code_challenge_method", "S256");
        if !more.iter().any(|(name, _)| *name == "scope") {
            request.append_pair("scope", "openid profile groups");
        }
        request.extend_pairs(more);
        let link = format!("{}/authorize?{}", world.url, request.finish());
        browser.eval(&format!("location.href = {}, 0", json!(link)));
    }

    /// The browser came back with a code.
    fn has_code(browser: &Browser, world: &World) {
        browser.until_says("h1", "Here again");
        let query = browser.eval("location.search").as_str().unwrap().to_owned();
        assert!(query.starts_with("?code=co_") && query.contains("&state=s-1&iss="), "{query}");
        assert!(browser.eval("new URLSearchParams(location.search).get('iss')") == json!(world.url), "{query}");
    }

    fn has_error(browser: &Browser, error: &str) {
        browser.until_says("h1", "Here again");
        assert_eq!(browser.eval("new URLSearchParams(location.search).get('error')"), error);
    }
}

fn client(id: &str, name: &str) -> Client {
    Client {
        redirect_uris: vec!["http://127.0.0.1/cb".to_owned()],
        native: true,
        grants: BTreeSet::from([GrantType::AuthorizationCode, GrantType::RefreshToken]),
        scopes: Scopes::parse("openid profile groups offline_access wiki:write").unwrap(),
        resources: vec![Audience::parse("https://api.example.com").unwrap()],
        response_modes: ResponseMode::ALL.into(),
        logo: Some(Logo { media_type: "image/svg+xml", bytes: PICTURE.to_vec() }),
        ..Client::plain(ClientId::parse(id).unwrap(), name.to_owned())
    }
}

fn clients() -> Vec<Client> {
    vec![
        client("grafana", "Grafana"),
        // It proves who it is, so that what people agreed to once answers the next time.
        Client {
            consent: Consent::Once,
            auth: ClientAuth::Basic(Vec::new()),
            ..client("wiki", "Wiki of the platform team")
        },
        Client { acr: Acr::Phrh, logo: None, ..client("vault", "Vault") },
        Client { groups: Some(BTreeSet::from([GroupName::parse("finance").unwrap()])), ..client("payroll", "Payroll") },
    ]
}

/// Waits for the sign-in page of an application, before there is a key to offer.
fn sign_in_page(browser: &Browser, name: &str) {
    browser.until_says("h1", &format!("Sign in to {name}"));
    browser.until("!document.querySelector('[data-act=use]').disabled");
}

fn sign_in(browser: &Browser, key: &Authenticator<'_>, person: &Person) {
    key.add(&counted(person));
    browser.click("[data-step=ask] [data-act=use]");
}

#[test]
fn a_person_signs_in_to_an_application() {
    let browser = browser!();
    let (maker, application) = (Maker::of(MODEL), Application::start());
    let world = World::for_clients(clients(), &maker);
    let ada = world.person("Ada Lind", &["sre"]);
    let key = Authenticator::in_browser(&browser);
    application.sends(&browser, &world, "grafana", &[("login_hint", "ada lind")]);
    sign_in_page(&browser, "Grafana");
    assert_eq!(browser.eval("document.title"), "Sign in to Grafana · Countersign");
    assert_eq!(browser.eval("document.querySelector('#user').value"), "ada lind");
    assert_eq!(browser.eval("document.querySelector('.logo').naturalWidth > 0"), true);
    look(&browser, "application-sign-in");
    sign_in(&browser, &key, &ada);
    Application::has_code(&browser, &world);
    // Signed in once, nobody is asked again: the session's cookie comes with the navigation from another site.
    application.sends(&browser, &world, "grafana", &[]);
    Application::has_code(&browser, &world);
    // The same by form, which goes on by itself.
    application.sends(&browser, &world, "grafana", &[("response_mode", "form_post")]);
    browser.until_says("h1", "Here again");
    assert_eq!(browser.text("#how"), "POST");
    assert!(browser.text("#body").starts_with("code=co_") && browser.text("#body").contains("&state=s-1&iss="));

    // A new sign-in that is asked for says why; leaving it tells the application.
    world.hand.advance(Duration::from_mins(12));
    key.clear();
    application.sends(&browser, &world, "grafana", &[("max_age", "300")]);
    sign_in_page(&browser, "Grafana");
    browser.until_says("main", "Grafana asks for a sign-in that is younger than 5 min. You signed in 12 min ago.");
    look(&browser, "application-sign-in-again");
    browser.click("[data-act=leave]");
    Application::has_error(&browser, "access_denied");
    application.sends(&browser, &world, "grafana", &[("prompt", "login")]);
    sign_in_page(&browser, "Grafana");
    browser.until_says("main", "Grafana asks you to sign in once more. You are signed in as Ada Lind.");
    sign_in(&browser, &key, &ada);
    Application::has_code(&browser, &world);
}

#[test]
fn a_form_goes_back_by_its_button_where_no_script_runs() {
    let browser = browser!();
    let (maker, application) = (Maker::of(MODEL), Application::start());
    let world = World::for_clients(clients(), &maker);
    let ada = world.person("Ada Lind", &[]);
    let key = Authenticator::in_browser(&browser);
    browser.devtools("Network.enable", &json!({}));
    browser.devtools("Network.setBlockedURLs", &json!({ "urls": ["*/static/post.js"] }));
    application.sends(&browser, &world, "grafana", &[("response_mode", "form_post")]);
    sign_in_page(&browser, "Grafana");
    sign_in(&browser, &key, &ada);
    browser.until_says("h1", "On to Grafana");
    look(&browser, "application-form-post");
    browser.click("button[type=submit]");
    browser.until_says("h1", "Here again");
    assert_eq!(browser.text("#how"), "POST");
    assert!(browser.text("#body").starts_with("code=co_"), "{}", browser.text("#body"));
}

#[test]
fn a_hardware_key_is_asked_for_where_a_sign_in_is_not_enough() {
    let browser = browser!();
    let (maker, application) = (Maker::of(MODEL), Application::start());
    let world = World::for_clients(clients(), &maker);
    let (ada, hardware) = (world.person("Ada Lind", &[]), world.person_with_hardware("Tom Ahl", &[], &maker));
    let key = Authenticator::in_browser(&browser);
    application.sends(&browser, &world, "grafana", &[]);
    sign_in_page(&browser, "Grafana");
    sign_in(&browser, &key, &ada);
    Application::has_code(&browser, &world);
    key.clear();
    application.sends(&browser, &world, "vault", &[]);
    sign_in_page(&browser, "Vault");
    browser.until_says("main", "Vault asks for a hardware key. You signed in with");
    look(&browser, "application-step-up");
    sign_in(&browser, &key, &hardware);
    Application::has_code(&browser, &world);
    // What another application demands of one sign-in is there already.
    let demand = r#"{"id_token":{"acr":{"essential":true,"values":["phrh"]}}}"#;
    application.sends(&browser, &world, "grafana", &[("claims", demand), ("prompt", "none")]);
    Application::has_code(&browser, &world);
    assert_eq!(world.app.sessions_of(&hardware.id).unwrap().len(), 1);
    assert!(world.app.sessions_of(&ada.id).unwrap().is_empty(), "whoever signs in in her place ends hers");
}

#[test]
fn people_are_asked_what_an_application_may_know() {
    let browser = browser!();
    let (maker, application) = (Maker::of(MODEL), Application::start());
    let world = World::for_clients(clients(), &maker);
    let ada = world.person("Ada Lind", &["sre"]);
    let key = Authenticator::in_browser(&browser);
    let everything =
        [("scope", "openid profile groups offline_access wiki:write"), ("resource", "https://api.example.com")];
    application.sends(&browser, &world, "wiki", &everything);
    sign_in_page(&browser, "Wiki of the platform team");
    sign_in(&browser, &key, &ada);
    browser.until_says("h1", "Sign in to Wiki of the platform team?");
    browser.until("!document.querySelector('[data-act=allow]').disabled");
    for words in
        ["Ada Lind", "a program on this computer", "Your name", "while you are away", "wiki:write", "My applications"]
    {
        assert!(browser.text("main").contains(words), "{words}: {}", browser.text("main"));
    }
    look(&browser, "application-consent");
    // Enter, pressed by habit, allows nothing.
    browser.press(crate::driver::ENTER);
    assert_eq!(browser.eval("location.pathname.startsWith('/authorize/')"), true);
    browser.click("[data-act=cancel]");
    Application::has_error(&browser, "access_denied");
    application.sends(&browser, &world, "wiki", &everything);
    browser.until("!document.querySelector('[data-act=allow]').disabled");
    browser.click("[data-act=allow]");
    Application::has_code(&browser, &world);
    application.sends(&browser, &world, "wiki", &[]);
    Application::has_code(&browser, &world);

    browser.open(&format!("{}/me/applications", world.url));
    browser.until_says("h1", "My applications");
    for words in
        ["Wiki of the platform team", "It has access while you are away", "Signed in in Chrome on Linux", "Your name"]
    {
        assert!(browser.text("main").contains(words), "{words}: {}", browser.text("main"));
    }
    look(&browser, "applications");
    browser.click("[data-act=ask-forget]");
    browser.until_says("[data-panel=forget]:not([hidden])", "What it keeps itself it keeps");
    look(&browser, "applications-forget");
    browser.click("[data-panel=forget]:not([hidden]) [data-act=forget]");
    browser.until_says("main", "You are signed in to no application.");
    look(&browser, "applications-none");
    application.sends(&browser, &world, "wiki", &[]);
    browser.until_says("h1", "Sign in to Wiki of the platform team?");
}

#[test]
fn whoever_may_not_and_whatever_is_wrong_is_told_on_a_page() {
    let browser = browser!();
    let (maker, application) = (Maker::of(MODEL), Application::start());
    let world = World::for_clients(clients(), &maker);
    let ada = world.person("Ada Lind", &["sre"]);
    let key = Authenticator::in_browser(&browser);
    application.sends(&browser, &world, "payroll", &[]);
    sign_in_page(&browser, "Payroll");
    sign_in(&browser, &key, &ada);
    browser.until_says("h1", "Payroll is not open to you.");
    browser.until_says("main", "Ask an admin to add you: #platform, or the desk on floor 3.");
    browser.until("!document.querySelector('[data-act=cancel]').disabled");
    look(&browser, "application-outside");
    browser.click("[data-act=cancel]");
    Application::has_error(&browser, "access_denied");

    let request = |uri: &str| format!("{}/authorize?client_id=grafana&redirect_uri={uri}", world.url);
    browser.open(&request("https%3A%2F%2Fevil.example%2Flogin"));
    browser.until_says("h1", "Grafana sent a request that this server does not take.");
    browser.until_says("main", "redirect_uri");
    browser.until_says("main", "It sent: https://evil.example/login");
    look(&browser, "application-refused");
    // A finished sign-in that somebody comes back to.
    application.sends(&browser, &world, "grafana", &[("prompt", "consent")]);
    browser.until("!document.querySelector('[data-act=allow]').disabled");
    let here = browser.eval("location.href").as_str().unwrap().to_owned();
    browser.click("[data-act=allow]");
    Application::has_code(&browser, &world);
    browser.open(&here);
    browser.until_says("h1", "This sign-in is over.");
    browser.until_says("main", "Start again at Grafana.");
    look(&browser, "application-over");
}

#[test]
fn a_person_is_asked_before_an_application_signs_them_out() {
    let browser = browser!();
    let (maker, application) = (Maker::of(MODEL), Application::start());
    let grafana = Client { post_logout_redirect_uris: vec![application.at()], ..client("grafana", "Grafana") };
    let world = World::for_clients(vec![grafana], &maker);
    let ada = world.person("Ada Lind", &["sre"]);
    let key = Authenticator::in_browser(&browser);
    application.sends(&browser, &world, "grafana", &[]);
    sign_in_page(&browser, "Grafana");
    sign_in(&browser, &key, &ada);
    Application::has_code(&browser, &world);

    let mut wish = url::form_urlencoded::Serializer::new(String::new());
    wish.append_pair("client_id", "grafana").append_pair("state", "s-2");
    wish.append_pair("post_logout_redirect_uri", &application.at());
    browser.eval(&format!("location.href = {}, 0", json!(format!("{}/logout?{}", world.url, wish.finish()))));
    browser.until_says("h1", "Sign out of Countersign?");
    browser.until_says("main", "Grafana asks to sign you out.");
    look(&browser, "logout-ask");
    assert_eq!(world.app.sessions_of(&ada.id).unwrap().len(), 1, "a link alone signs nobody out");
    browser.click("[data-act=sign-out]");
    browser.until_says("h1", "Here again");
    assert_eq!(browser.eval("location.search"), "?state=s-2");
    assert!(world.app.sessions_of(&ada.id).unwrap().is_empty());

    browser.open(&format!("{}/logout", world.url));
    browser.until_says("h1", "You are signed out.");
    look(&browser, "logout-done");
}

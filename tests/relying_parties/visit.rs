//! One person's visit to one client: signs in, stays, shows a better key, leaves.
//! In: a browser, a provider, a client, a person. Out: what to write into the client's row.
//! Implements what a person does on the pages of both.
//! Never calls the provider for the client, and never looks into it: its claims are read where the client shows them.

use std::sync::atomic::{AtomicU64, Ordering};

use serde_json::{Value, json};
use url::Url;

use crate::authenticator::Authenticator;
use crate::driver::Browser;
use crate::kinds::Refresh;
use crate::party::Party;
use crate::provider::{EMAIL, GROUP, NAME, Person, Provider};

/// Most pages between a client's button and its page for who signed in.
const MAX_PAGES: usize = 8;
/// Longest difference between `exp` and `iat` of an ID token, in seconds.
const ID_TOKEN_LIFETIME: i64 = 600;

pub struct Visit<'a> {
    browser: &'a Browser,
    key: Authenticator<'a>,
    provider: &'a Provider,
    party: &'a Party,
    person: &'a Person,
    /// The provider's page for signing out, where it has one.
    end_session: Option<String>,
}

/// Which page it came to.
#[derive(Debug, PartialEq, Eq)]
enum Page {
    /// A button of the client's.
    Button,
    SignIn,
    Consent,
    SignOut,
    /// Back at the client, or at the provider's last page.
    End,
}

impl<'a> Visit<'a> {
    pub fn new(browser: &'a Browser, provider: &'a Provider, party: &'a Party, person: &'a Person) -> Self {
        let end_session = provider.metadata()["end_session_endpoint"].as_str().map(str::to_owned);
        Self { browser, key: Authenticator::in_browser(browser), provider, party, person, end_session }
    }

    /// Signs in with the key that nobody vouches for; what the client says of it, and how it asked.
    pub fn signs_in(&self) -> (String, String) {
        let _ = self.browser.requests();
        let words = self.go(self.party.kind.login, &self.person.plain);
        let asked = format!("Sign in to Tool {}", self.party.kind.id);
        assert!(words.iter().any(|page| page.contains(&asked)), "nobody said `{asked}`: {words:?}");
        let consented = words.len() > 1;
        assert_eq!(consented, self.party.kind.consent, "{words:?}");
        let pkce = self.pkce();
        let me = self.me();
        let claims = &me["claims"];
        assert_eq!((&claims["acr"], &claims["amr"]), (&json!("phr"), &json!(["pop", "user"])), "{claims}");
        assert!(claims["nonce"].as_str().is_some_and(|nonce| nonce.len() >= 20), "{claims}");
        (if consented { "yes, with consent" } else { "yes" }.to_owned(), pkce)
    }

    /// How the request was protected, read from what the browser sent.
    fn pkce(&self) -> String {
        let sent = self.browser.requests();
        let authorize = self.provider.metadata()["authorization_endpoint"].as_str().unwrap().to_owned();
        let asked = sent.iter().find(|url| url.starts_with(&format!("{authorize}?"))).expect("it asked");
        let asked = Url::parse(asked).unwrap();
        let parameter =
            |name: &str| asked.query_pairs().find(|(key, _)| key == name).map(|(_, value)| value.into_owned());
        if parameter("request_uri").is_some_and(|uri| uri.starts_with("urn:ietf:params:oauth:request_uri:")) {
            // What was pushed is not seen here; without a challenge it would have been refused.
            assert_eq!(parameter("code_challenge"), None);
            return "S256, pushed".to_owned();
        }
        for name in ["state", "nonce", "code_challenge"] {
            assert!(parameter(name).is_some_and(|value| value.len() >= 20), "no {name} in {asked}");
        }
        parameter("code_challenge_method").expect("a method")
    }

    /// Has the client refresh its tokens.
    pub fn refreshes(&self) -> String {
        let before = self.me();
        match self.party.kind.refresh {
            Refresh::Page(page) => {
                let token = before["access_token"].as_str().unwrap();
                let page = page.replace("{token}", token).replace("{base}", &encoded(&self.party.base));
                self.browser.open(&self.party.at(&page));
            }
            Refresh::ByItself => {
                self.browser.eval(&format!(
                    "(async () => {{ while ((await {}).access_token === {}) await new Promise((go) => setTimeout(go, 50)); }})()",
                    self.party.kind.me, before["access_token"]
                ));
            }
        }
        let after = self.me();
        assert_ne!(before["access_token"], after["access_token"], "the access token is the old one: {after}");
        let (before, after) = (&before["claims"], &after["claims"]);
        for name in ["sub", "acr", "amr"] {
            assert_eq!(before[name], after[name], "`{name}` after refreshing");
        }
        assert_eq!(number(&before["auth_time"]), number(&after["auth_time"]), "`auth_time` after refreshing");
        "yes".to_owned()
    }

    /// Has the client ask for a hardware key, and shows one.
    pub fn steps_up(&self) -> String {
        let before = self.me();
        let words = self.go(self.party.kind.step_up, &self.person.hardware);
        let asked = format!("Tool {} asks for a hardware key", self.party.kind.id);
        assert!(words.iter().any(|page| page.contains(&asked)), "nobody said `{asked}`: {words:?}");
        let me = self.me();
        let claims = &me["claims"];
        assert_eq!(claims["acr"], "phrh", "{claims}");
        assert!(claims["amr"].as_array().unwrap().contains(&json!("hwk")), "{claims}");
        assert!(number(&claims["auth_time"]) >= number(&before["claims"]["auth_time"]), "{claims}");
        assert_ne!(claims["nonce"], before["claims"]["nonce"]);
        format!("by {}", self.party.kind.steps_up_by)
    }

    /// What else the client does with its tokens; whatever of it fails, it says itself.
    pub fn does_more(&self) -> String {
        if let Some(page) = self.party.kind.gives_back {
            self.browser.open(&self.party.at(page));
            self.browser.until_says("body", "\"gaveBack\":true");
            return "introspection, revocation".to_owned();
        }
        // It has refused a token that is not bound.
        if self.party.kind.dpop { "DPoP" } else { "-" }.to_owned()
    }

    /// Signs out of the client, and by it of the provider.
    pub fn signs_out(&self) -> String {
        let Some(end) = &self.end_session else { return "the provider offers none".to_owned() };
        let page = self.party.kind.logout.replace("{end}", &encoded(end)).replace("{base}", &encoded(&self.party.base));
        self.go(&page, &self.person.plain);
        let back = self.party.kind.bye.map(|bye| self.party.at(bye));
        if let Some(back) = &back {
            let here = self.browser.eval("location.href");
            assert!(here.as_str().unwrap().starts_with(back), "it came to {here}");
        }
        // Neither of the two knows the person any more; a client that names no way back leaves its own session to its application.
        self.key.clear();
        self.browser.open(&self.provider.url);
        self.browser.until("location.pathname === '/sign-in'");
        if back.is_some() {
            let me = self.me_or_nobody();
            assert!(me["claims"]["sub"].is_null(), "the client still knows {}", me["claims"]["sub"]);
        }
        if back.is_some() { "yes" } else { "yes, without a way back" }.to_owned()
    }

    /// What the client says of the person; the claims that every sign-in gives are held to be true.
    fn me(&self) -> Value {
        let me = self.me_or_nobody();
        let claims = &me["claims"];
        assert!(claims.is_object(), "the client says {me}; the page says:\n{}", self.browser.page_text());
        assert_eq!(claims["iss"], self.provider.url.as_str());
        let aud = claims["aud"].as_array().map_or(&claims["aud"], |all| &all[0]);
        assert_eq!(aud, self.party.kind.id, "{claims}");
        assert_eq!(claims["sub"], self.person.id.as_str());
        assert_eq!(me["userinfo"]["sub"], self.person.id.as_str());
        for (name, value) in [("name", json!(NAME)), ("email", json!(EMAIL)), ("groups", json!([GROUP]))] {
            assert_eq!(me["userinfo"][name], value, "`{name}` in {}", me["userinfo"]);
        }
        let number = |name: &str| number(&claims[name]).unwrap_or_else(|| panic!("`{name}` in {claims}"));
        assert!(number("auth_time") <= number("iat") && number("exp") - number("iat") <= ID_TOKEN_LIFETIME);
        me
    }

    fn me_or_nobody(&self) -> Value {
        let here = self.browser.eval("location.origin");
        if here != self.party.base.as_str() {
            self.browser.open(&self.party.at(self.party.kind.bye.unwrap_or("/me")));
        }
        self.party.me(self.browser)
    }

    /// Opens a page of the client's, and does on the way what the provider asks; the words of the provider's pages.
    fn go(&self, path: &str, credential: &Value) -> Vec<String> {
        // The virtual key would answer the page's offer by itself.
        self.key.clear();
        let mut words = Vec::new();
        self.browser.open(&self.party.at(path));
        for _ in 0..MAX_PAGES {
            let page = self.page();
            if matches!(page, Page::SignIn | Page::Consent | Page::SignOut) {
                words.push(self.browser.text("main"));
            }
            // A new document does not know this.
            self.browser.eval("window.left = true");
            match page {
                Page::End => return words,
                Page::Button => self.browser.click("form button"),
                Page::SignIn => {
                    self.key.add(&counted(credential));
                    self.browser.click("[data-step=ask] [data-act=use]");
                }
                Page::Consent => self.browser.click("[data-act=allow]"),
                Page::SignOut => self.browser.click("main .yes"),
            }
            self.browser.until("window.left !== true");
        }
        panic!("it never came back; the last page says:\n{}", self.browser.page_text());
    }

    /// Waits until a page is there on which somebody can do something.
    fn page(&self) -> Page {
        let (provider, party) = (json!(self.provider.url), json!(self.party.base));
        let found = self.browser.until(&format!(
            "(() => {{ if (document.readyState !== 'complete') return null; \
             const seen = (css) => [...document.querySelectorAll(css)].some((it) => !it.disabled && it.checkVisibility()); \
             if (location.origin === {party}) return seen('form button') ? 'button' : 'end'; \
             if (location.origin !== {provider}) return null; \
             if (location.pathname === '/sign-in') return seen('[data-step=ask] [data-act=use]') ? 'sign-in' : null; \
             if (location.pathname.startsWith('/authorize')) return seen('[data-act=allow]') ? 'consent' : null; \
             return seen('main .yes') ? 'sign-out' : 'end'; }})()"
        ));
        match found.as_str() {
            Some("button") => Page::Button,
            Some("sign-in") => Page::SignIn,
            Some("consent") => Page::Consent,
            Some("sign-out") => Page::SignOut,
            _ => Page::End,
        }
    }
}

/// The same key, further on than it was: Chromium starts anew each time that it is given one.
fn counted(credential: &Value) -> Value {
    static COUNT: AtomicU64 = AtomicU64::new(100);
    let mut credential = credential.clone();
    credential["signCount"] = json!(COUNT.fetch_add(10, Ordering::Relaxed));
    credential
}

/// A number, which some clients show as text.
fn number(shown: &Value) -> Option<i64> {
    shown.as_i64().or_else(|| shown.as_str()?.parse().ok())
}

fn encoded(text: &str) -> String {
    url::form_urlencoded::byte_serialize(text.as_bytes()).collect()
}

//! Chromium's virtual authenticator: a phone's screen lock that tests hold in their hand.
//! In: passkeys, and how it is to behave. Out: answers that Chromium gives to the page as it would a real one's.
//! Implements WebDriver's extension for authenticators (WebAuthn L3 §11), and CDP's domain where that has no word.
//! Never more than one in a browser: Chromium takes one of this kind.

use serde_json::{Value, json};

use crate::driver::{Browser, DEADLINE_MILLIS};

/// Between two looks into it.
const ROUND_MILLIS: u32 = 25;

/// A virtual authenticator.
pub struct Authenticator<'a> {
    browser: &'a Browser,
    id: String,
}

impl<'a> Authenticator<'a> {
    /// An authenticator with a screen lock, as phones and laptops have one.
    pub fn in_browser(browser: &'a Browser) -> Self {
        Self::by(browser, "internal")
    }

    /// One that is reached in another way: `usb` and `nfc` as security keys are, `hybrid` as a phone beside a desk.
    pub fn by(browser: &'a Browser, transport: &str) -> Self {
        let options = json!({
            "protocol": "ctap2_1", "transport": transport, "hasResidentKey": true, "hasUserVerification": true,
            "isUserConsenting": true, "isUserVerified": true,
        });
        let id = browser.post("/webauthn/authenticator", &options).as_str().expect("an id").to_owned();
        Self { browser, id }
    }

    fn path(&self, rest: &str) -> String {
        format!("/webauthn/authenticator/{}{rest}", self.id)
    }

    /// Puts a passkey into it.
    pub fn add(&self, credential: &Value) {
        self.browser.post(&self.path("/credential"), credential);
    }

    /// The one passkey in it, as it can be put into it again.
    pub fn only(&self) -> Value {
        let all = self.browser.command("GET", &self.path("/credentials"), &Value::Null).expect("its passkeys");
        let [one] = all.as_array().expect("a list").as_slice() else { panic!("not one passkey: {all}") };
        let known = ["credentialId", "isResidentCredential", "rpId", "privateKey", "userHandle", "signCount"];
        known.iter().map(|name| ((*name).to_owned(), one[*name].clone())).collect()
    }

    /// Waits until it holds so many passkeys.
    pub fn until_it_holds(&self, count: usize) {
        let held = || self.browser.command("GET", &self.path("/credentials"), &Value::Null).expect("its passkeys");
        let rounds = DEADLINE_MILLIS / ROUND_MILLIS;
        let came = (0..rounds).any(|_| {
            self.browser.eval(&format!("new Promise((done) => setTimeout(done, {ROUND_MILLIS}, true))"));
            held().as_array().is_some_and(|held| held.len() == count)
        });
        assert!(came, "it holds {}", held());
    }

    /// Forgets every passkey.
    pub fn clear(&self) {
        self.browser.command("DELETE", &self.path("/credentials"), &Value::Null).expect("it forgets");
    }

    /// Whether the person's finger, face or PIN is right.
    pub fn set_user_verified(&self, verified: bool) {
        self.browser.post(&self.path("/uv"), &json!({ "isUserVerified": verified }));
    }

    /// What a passkey says of copies of itself.
    pub fn set_backup(&self, credential_id: &str, eligible: bool, state: bool) {
        let props = json!({ "backupEligibility": eligible, "backupState": state });
        self.browser.post(&self.path(&format!("/credentials/{credential_id}/props")), &props);
    }

    /// Makes it lie in its next answers: `isBogusSignature`, `isBadUV`, `isBadUP`; none makes it honest again.
    pub fn lie(&self, bit: Option<&str>) {
        let mut parameters = json!({ "authenticatorId": self.id });
        for name in ["isBogusSignature", "isBadUV", "isBadUP"] {
            parameters[name] = json!(bit == Some(name));
        }
        self.browser.devtools("WebAuthn.setResponseOverrideBits", &parameters);
    }

    /// Whether somebody touches it when it blinks.
    pub fn set_touched(&self, touched: bool) {
        let parameters = json!({ "authenticatorId": self.id, "enabled": touched });
        self.browser.devtools("WebAuthn.setAutomaticPresenceSimulation", &parameters);
    }

    /// Takes it away.
    pub fn remove(self) {
        self.browser.command("DELETE", &self.path(""), &Value::Null).expect("it goes");
    }
}

//! A device on a library of others: it shows its code, a person allows it in a real browser, and it goes on by itself.
//! In: what `tests/relying_parties/install` installed. Out: who signed in, by the device's own word.
//! Implements RFC 8628 by their code on one side, and what a person does on the other.
//! Never polls for the device, and never hands it anything.

use std::io::{BufRead as _, BufReader};
use std::path::PathBuf;
use std::process::{Child, ChildStdout, Stdio};

use countersign::crypto::random;
use serde_json::{Value, json};

use crate::authenticator::Authenticator;
use crate::driver::{Browser, skip};
use crate::kinds::{OPENID_CLIENT, Place, node};
use crate::provider::{Certified, NAME, Provider};

const SECTION: &str = "[[client]]\nid = \"device\"\nname = \"Build wall\"\nauth = \"none\"\n\
    grants = [\"urn:ietf:params:oauth:grant-type:device_code\", \"refresh_token\"]\n\
    scopes = [\"openid\", \"profile\", \"offline_access\"]\n";

/// The device's process, and what it says; it ends with the test.
struct Device {
    child: Child,
    says: BufReader<ChildStdout>,
    folder: PathBuf,
}

impl Device {
    fn start(folder: PathBuf, issuer: &str, certified: &Certified) -> Self {
        let place = Place { folder: &folder, issuer, base: "", port: 0, secret: "", certified };
        let mut command = node(&place, "device.mjs");
        command.env("ISSUER", issuer).stdin(Stdio::null()).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let says = BufReader::new(child.stdout.take().unwrap());
        Self { child, says, folder }
    }

    /// Its next line.
    fn said(&mut self) -> Value {
        let mut line = String::new();
        self.says.read_line(&mut line).unwrap();
        serde_json::from_str(&line).unwrap_or_else(|_| panic!("the device said `{line}`"))
    }
}

impl Drop for Device {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

/// Drives it.
pub fn drive() {
    if (OPENID_CLIENT.version)().is_none() {
        return skip("openid-client is not installed (tests/relying_parties/install)");
    }
    let name = data_encoding::HEXLOWER.encode(&random::bytes::<8>().unwrap());
    let folder = std::env::temp_dir().join(format!("countersign-device-{name}"));
    std::fs::create_dir(&folder).unwrap();
    let certified = Certified::in_folder(&folder);
    let trusted = format!("--ignore-certificate-errors-spki-list={}", certified.pin);
    let Some(browser) = Browser::start_with(&[&trusted]) else { return };
    let provider = Provider::start(SECTION, &certified);
    let person = provider.person();
    let mut device = Device::start(folder, &provider.url, &certified);
    let asked = device.said();
    assert!(asked.get("verification_uri_complete").is_none(), "{asked}");

    let key = Authenticator::in_browser(&browser);
    browser.open(asked["verification_uri"].as_str().unwrap());
    browser.until("location.pathname === '/sign-in' && !document.querySelector('[data-act=use]').disabled");
    let mut credential = person.plain.clone();
    credential["signCount"] = json!(100);
    key.add(&credential);
    browser.click("[data-step=ask] [data-act=use]");
    browser.until_says("h1", "Sign in on a device");
    browser.until("!document.querySelector('[data-act=find]').disabled");
    browser.type_into("#code", asked["user_code"].as_str().unwrap());
    browser.click("[data-act=find]");
    browser.until_says("[data-step=ask] h1", "Sign a device in to Build wall?");
    browser.until("!document.querySelector('[data-act=allow]').disabled");
    browser.click("[data-act=allow]");
    browser.until_says("h1", "✓ Allowed.");

    let told = device.said();
    let claims = &told["claims"];
    assert_eq!((&claims["sub"], &claims["aud"]), (&json!(person.id), &json!("device")), "{told}");
    assert_eq!((&claims["acr"], &claims["amr"]), (&json!("phr"), &json!(["pop", "user"])), "{told}");
    assert_eq!((&told["userinfo"]["name"], &told["refreshed"]), (&json!(NAME), &json!(person.id)), "{told}");
    assert!(device.child.wait().unwrap().success());
}

//! Clients that others made, each signing in through a real browser: what works with which of them.
//! In: what `tests/relying_parties/install` installed, chromium and chromedriver. Out: the table of docs/relying-parties.md.
//! Implements the relying party's side only by their code.
//! Never a stand-in: the provider is the built server with its own certificate, on a database of its own.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "helpers of tests fail by panicking, and say why"
)]

#[allow(dead_code, reason = "the pages' tests use more of it")]
#[path = "../browser/authenticator.rs"]
mod authenticator;
#[path = "../support/built.rs"]
mod built;
mod device;
#[path = "../browser/driver.rs"]
mod driver;
mod kinds;
#[path = "../support/maker.rs"]
mod maker;
mod party;
mod provider;
#[allow(dead_code, reason = "the pages' tests use more of it")]
#[path = "../browser/software.rs"]
mod software;
mod visit;

use std::io::Write as _;
use std::net::TcpListener;

use crate::driver::{Browser, skip};
use crate::kinds::Kind;
use crate::party::Party;
use crate::provider::{Certified, Provider};
use crate::visit::Visit;

/// Where the table is.
const DOCUMENT: &str = include_str!("../../docs/relying-parties.md");

/// Drives one client through everything, and holds the documentation to what came of it.
fn drive(kind: &'static Kind) {
    let Some(version) = (kind.version)() else {
        return skip(&format!("{} is not installed (tests/relying_parties/install)", kind.name));
    };
    let port = TcpListener::bind(("127.0.0.1", 0)).unwrap().local_addr().unwrap().port();
    let mut party = Party::new(kind, port);
    let certified = Certified::in_folder(party.folder());
    let trusted = format!("--ignore-certificate-errors-spki-list={}", certified.pin);
    let Some(browser) = Browser::start_with(&[&trusted]) else { return };
    let provider = Provider::start(&party.section(), &certified);
    let person = provider.person();
    party.start(&provider.url, &certified);

    let visit = Visit::new(&browser, &provider, &party, &person);
    let (sign_in, pkce) = visit.signs_in();
    let refresh = visit.refreshes();
    let step_up = visit.steps_up();
    let more = visit.does_more();
    let sign_out = visit.signs_out();
    let proof = kind.proof.name();
    let cells = [kind.name, &version, &format!("`{proof}`"), &sign_in, &pkce, &refresh, &step_up, &sign_out, &more];
    let row = format!("| {} |", cells.join(" | "));
    tell(&row);
    assert!(DOCUMENT.contains(&row), "docs/relying-parties.md lacks this row:\n{row}");
}

/// Prints a row, and adds it to the file that `COUNTERSIGN_MATRIX` names.
fn tell(row: &str) {
    println!("{row}");
    let Some(path) = std::env::var_os("COUNTERSIGN_MATRIX") else { return };
    let mut file = std::fs::File::options().append(true).create(true).open(path).unwrap();
    file.write_all(format!("{row}\n").as_bytes()).unwrap();
}

#[test]
fn openid_client_with_a_key_of_its_own() {
    drive(&kinds::OPENID_CLIENT);
}

#[test]
fn openid_client_on_a_device() {
    device::drive();
}

#[test]
fn oauth4webapi_in_a_native_application() {
    drive(&kinds::OAUTH4WEBAPI);
}

#[test]
fn authlib_with_consent() {
    drive(&kinds::AUTHLIB);
}

#[test]
fn openidconnect_in_a_native_application() {
    drive(&kinds::OPENIDCONNECT);
}

#[test]
fn omniauth_as_gitlab_uses_it() {
    drive(&kinds::OMNIAUTH);
}

#[test]
fn apache_with_mod_auth_openidc() {
    drive(&kinds::MOD_AUTH_OPENIDC);
}

#[test]
fn oauth2_proxy() {
    drive(&kinds::OAUTH2_PROXY);
}

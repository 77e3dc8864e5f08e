//! Attack 97, demo defaults in production.

use countersign::app::settings::Settings;
use countersign::app::start::{Parts, RSA_BITS, found};
use countersign::cli::open;
use countersign::clock::Clock;
use countersign::config;

use crate::support::Place;

#[test]
fn attack_097_a_demo_s_state_is_marked_and_cannot_be_served() {
    let place = Place::initialised();
    let settings = config::load(Some(&place.at("countersign.toml")), &[]).unwrap();
    std::fs::remove_file(place.at("state/countersign.db")).unwrap();
    std::fs::write(place.at("keys/high-water-mark"), [0; 1024]).unwrap();
    let parts = open::parts(&settings, Clock::system()).unwrap();
    let demo = Parts { settings: Settings { demo: true, ..parts.settings.clone() }, ..parts };
    found(demo, "Ada", RSA_BITS).unwrap();
    let refused = place.run(&["serve"]).expect(2, "made by `countersign demo` and cannot be served as production");
    assert!(refused.err.contains("countersign init"), "{}", refused.err);
    place.run(&["people", "invite", "Bo"]).expect(2, "countersign demo");
    place.run(&["doctor"]).expect(1, "countersign demo");
}

#[test]
fn attack_097_a_demo_s_configuration_is_refused_off_this_machine() {
    for (from, to, says) in [
        ("127.0.0.1:0", "0.0.0.0:0", "is open to others while `url` is plain http"),
        ("127.0.0.1:0", "[::]:0", "is open to others while `url` is plain http"),
        ("http://localhost:18080", "http://sign.example.com", "`url` must be https"),
        ("http://localhost:18080", "https://sign.example.com", "`rp_id` is `localhost`"),
        ("http://localhost:18080", "https://127.0.0.1", "`url` names an address"),
        ("https://gitlab.invalid", "http://gitlab.example.com", "is not https"),
        ("https://gitlab.invalid", "http://localhost:9", "never fetched over plain http"),
    ] {
        let place = Place::initialised();
        place.change("countersign.toml", from, to);
        let refused = place.run(&["serve"]).expect(2, says);
        assert!(refused.err.contains("countersign.toml:"), "{to}: {}", refused.err);
    }
}

#[test]
fn attack_097_plain_http_on_an_open_address_needs_a_proxy_that_is_named() {
    let place = Place::initialised();
    place.change("countersign.toml", "http://localhost:18080", "https://sign.example.com");
    place.change("countersign.toml", "rp_id = \"localhost\"\n", "");
    place.change("countersign.toml", "127.0.0.1:0", "0.0.0.0:0");
    place.run(&["serve"]).expect(2, "which others can reach");
}

#[test]
fn attack_097_a_state_is_not_served_under_another_issuer() {
    let place = Place::initialised();
    place.change("countersign.toml", "http://localhost:18080", "http://localhost:18081");
    place.run(&["serve"]).expect(2, "an issuer and its RP id never change");
}

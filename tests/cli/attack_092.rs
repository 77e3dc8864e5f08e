//! Attack 92, the server's own certificate: broken while it runs, expired when it starts.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;

use countersign::http::serve::TLS_WITHIN;
use openssl::ssl::{SslConnector, SslMethod, SslVerifyMode};
use rustix::process::Signal;

use crate::support::{Place, Server};

/// Makes a certificate that is good between the beginnings of two years, and its key.
fn issue(place: &Place, from: i32, until: i32) -> Vec<u8> {
    let mut wanted = rcgen::CertificateParams::new(["localhost".to_owned()]).unwrap();
    wanted.not_before = rcgen::date_time_ymd(from, 1, 1);
    wanted.not_after = rcgen::date_time_ymd(until, 1, 1);
    let key = rcgen::KeyPair::generate().unwrap();
    let made = wanted.self_signed(&key).unwrap();
    place.write("tls.crt", &made.pem());
    place.write("tls.key", &key.serialize_pem());
    place.mode("tls.key", 0o600);
    made.der().to_vec()
}

fn with_tls() -> Place {
    let place = Place::initialised();
    let tls = "\"127.0.0.1:0\"\ntls_cert = \"tls.crt\"\ntls_key = \"tls.key\"";
    place.change("countersign.toml", "\"127.0.0.1:0\"", tls);
    place
}

/// The certificate that a new connection is shown, and what `/readyz` says over it.
fn ask(server: &Server) -> (Vec<u8>, String) {
    let mut connector = SslConnector::builder(SslMethod::tls()).unwrap();
    connector.set_verify(SslVerifyMode::NONE);
    let tcp = TcpStream::connect(server.address()).unwrap();
    let mut stream = connector.build().connect("localhost", tcp).unwrap();
    let shown = stream.ssl().peer_certificate().unwrap().to_der().unwrap();
    stream.write_all(b"GET /readyz HTTP/1.1\r\nHost: localhost:18080\r\nConnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    (shown, answer)
}

#[test]
fn attack_092_a_broken_certificate_changes_nothing_is_told_and_is_warned_of() {
    let place = with_tls();
    let good = issue(&place, 2020, 2090);
    let mut server = place.serve();
    let (shown, ready) = ask(&server);
    assert_eq!(shown, good);
    assert!(ready.contains("\"warnings\":[]"), "{ready}");
    let (certificate, key) = (place.read("tls.crt"), place.read("tls.key"));

    let foreign = rcgen::KeyPair::generate().unwrap().serialize_pem();
    let broken: [(&str, &dyn Fn(), &str); 6] = [
        ("tls.crt", &|| place.write("tls.crt", "garbage"), "tls.crt"),
        ("tls.key", &|| place.write("tls.key", "garbage"), "tls.key"),
        ("tls.key", &|| place.write("tls.key", &foreign), "are no pair"),
        ("tls.key", &|| place.mode("tls.key", 0o644), "tls.key"),
        ("tls.crt", &|| std::fs::remove_file(place.at("tls.crt")).unwrap(), "tls.crt"),
        ("both", &|| drop(issue(&place, 2020, 2021)), "expired at 2021-01-01T00:00:00"),
    ];
    for (what, breaks, says) in broken {
        breaks();
        server.signal(Signal::HUP);
        let told = server.until("the new certificate cannot be used; the old one stays");
        assert!(told.contains(says) && told.contains("\"ERROR\""), "{what}: {told}");
        let (shown, ready) = ask(&server);
        assert_eq!(shown, good, "{what}: the old one stays");
        // It can issue: the issuer of this place is not reachable, which is another matter.
        let warned = ready.split("\"warnings\":[").nth(1).unwrap();
        assert!(warned.contains("certificate: the new one cannot be used") && warned.contains(says), "{what}: {ready}");
        place.write("tls.crt", &certificate);
        place.write("tls.key", &key);
        place.mode("tls.key", 0o600);
    }
    let next = issue(&place, 2021, 2091);
    server.signal(Signal::HUP);
    server.until("certificate reloaded");
    let (shown, ready) = ask(&server);
    assert_eq!(shown, next);
    assert!(ready.contains("\"warnings\":[]"), "{ready}");
    assert_eq!(server.stop(), 0);
}

#[test]
fn attack_079_whoever_does_not_agree_on_tls_is_let_go() {
    let place = with_tls();
    issue(&place, 2020, 2090);
    let server = place.serve();
    let address = server.address();
    let mut silent = TcpStream::connect(address).unwrap();
    silent.set_read_timeout(Some(4 * TLS_WITHIN)).unwrap();
    assert_eq!(silent.read(&mut [0; 64]).expect("it is held"), 0);
    assert!(ask(&server).1.contains("\"ready\""), "others are served");
    assert_eq!(server.stop(), 0);
}

#[test]
fn attack_092_an_expired_certificate_stops_the_start_with_its_time() {
    let place = with_tls();
    issue(&place, 2020, 2021);
    let refused = place.run(&["serve"]).expect(2, "expired at 2021-01-01T00:00:00.000Z");
    assert!(refused.err.contains("tls.crt") && refused.err.contains("cure: put a good certificate"), "{}", refused.err);
    issue(&place, 2089, 2090);
    place.run(&["serve"]).expect(2, "is not good before 2089-01-01T00:00:00.000Z");
    assert!(!place.at("state/console.sock").exists());
    issue(&place, 2020, 2090);
    assert_eq!(place.serve().stop(), 0);
}

#[test]
fn attack_092_broken_rules_are_warned_of_as_well_until_they_load() {
    let place = with_tls();
    issue(&place, 2020, 2090);
    let mut server = place.serve();
    place.write("rules/bad.toml", "[[rule]]\nname = \"x\"\naudiance = [\"a\"]\n");
    server.signal(Signal::HUP);
    server.until("certificate reloaded");
    let (_, ready) = ask(&server);
    assert!(ready.contains("rules: the new ones do not load") && ready.contains("bad.toml:1"), "{ready}");
    std::fs::remove_file(place.at("rules/bad.toml")).unwrap();
    server.signal(Signal::HUP);
    server.until("certificate reloaded");
    assert!(ask(&server).1.contains("\"warnings\":[]"));
    assert_eq!(server.stop(), 0);
}

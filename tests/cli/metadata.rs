//! `metadata`: fetched by the running server and by hand, and shown.

use rustix::process::Signal;
use serde_json::Value;

use crate::https::{Reply, TestServer};
use crate::maker::Service;
use crate::support::{Ended, Place};

/// A state whose server fetches metadata from this service, and believes this root.
fn fetching(fido: &TestServer, root: &Service) -> Place {
    let place = Place::initialised();
    std::fs::write(place.at("root.pem"), root.root_pem()).unwrap();
    let config = std::fs::read_to_string(place.at("countersign.toml")).unwrap();
    let section = format!(
        "[metadata]\nfetch = true\nurl = \"{}\"\nca_file = \"{}\"\nallow_private = true\nblob_file = \"blob.jwt\"\n\
         root_file = \"root.pem\"\n\n[[issuer]]",
        fido.url(),
        fido.ca_file.display()
    );
    std::fs::write(place.at("countersign.toml"), config.replacen("[[issuer]]", &section, 1)).unwrap();
    place
}

#[test]
fn attack_058_a_root_that_was_replaced_is_believed_from_the_reload_on_and_the_old_one_no_more() {
    let (fido, [first, second, third]) = (TestServer::start(), [(); 3].map(|()| Service::fido()));
    let place = fetching(&fido, &first);
    let publish = |service: &Service, number| {
        fido.answer("/", Reply::typed("text/plain", service.blob(number, "2039-01-01", &[])));
    };
    let fetch = || place.run(&["metadata", "fetch"]);
    let replace = |root: &Service| std::fs::write(place.at("root.pem"), root.root_pem()).unwrap();
    // A reload is done when a fetch says so; nothing else waits for it.
    let until = |code: i32| -> Ended {
        let found = (0..200).map(|_| fetch()).find(|ended| ended.code == code);
        found.unwrap_or_else(|| panic!("a fetch never exits with {code}"))
    };
    publish(&second, 7);
    let mut server = place.serve();
    fetch().expect(1, "whoever signed it");
    replace(&second);
    fetch().expect(1, "whoever signed it");
    // There is no blob yet.
    server.signal(Signal::HUP);
    until(0).expect(0, "no. 7");
    // There is one, which the new root does not vouch for: what is in force stays, and what is fetched must be the new one's.
    replace(&third);
    publish(&third, 8);
    fetch().expect(1, "whoever signed it");
    server.signal(Signal::HUP);
    server.until("the new metadata cannot be used; the old stays in force");
    fetch().expect(0, "no. 8");
    publish(&second, 9);
    fetch().expect(1, "whoever signed it");
    assert_eq!(server.stop(), 0);
}

#[test]
fn a_server_fetches_the_metadata_that_it_lacks_and_the_console_fetches_and_shows_it() {
    let (fido, service) = (TestServer::start(), Service::fido());
    let place = fetching(&fido, &service);
    let publish = |number| fido.answer("/", Reply::typed("text/plain", service.blob(number, "2039-01-01", &[])));
    place.run(&["metadata", "show"]).expect(1, "no FIDO metadata is in force (not_found)");
    place.run(&["doctor"]).expect(1, "no FIDO metadata is here yet");
    publish(7);
    let server = place.serve();
    let found = (0..1_000).any(|_| place.at("blob.jwt").exists());
    let shown = (0..200).map(|_| place.run(&["metadata", "show"])).find(|shown| shown.code == 0);
    let shown = shown.unwrap_or_else(|| panic!("never fetched, file: {found}"));
    assert!(shown.out.contains("FIDO metadata no. 7 · 0 models · next due 2039-01-01"), "{}", shown.out);
    place.run(&["metadata", "fetch"]).expect(0, "no. 7 is the newest, and was here already");
    publish(6);
    place.run(&["metadata", "fetch"]).expect(1, "cure: download the newest");
    publish(8);
    let json: Value = serde_json::from_str(&place.run(&["--json", "metadata", "fetch"]).expect(0, "").out).unwrap();
    assert_eq!((&json["metadata"]["number"], &json["is_new"]), (&8.into(), &true.into()));
    assert_eq!(server.stop(), 0);
    // Without a server the same, and what is gone from the net is still in the file.
    fido.answer("/", Reply::status(404));
    place.run(&["metadata", "fetch"]).expect(3, "status 404");
    place.run(&["metadata", "show"]).expect(0, "no. 8");
    place.run(&["log", "check"]).expect(0, "entries");
}

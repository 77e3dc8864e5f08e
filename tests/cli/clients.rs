//! `clients secret`, `clients list`, and clients in the configuration of the real binary.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;

use data_encoding::BASE64;
use serde_json::Value;

use crate::log::with_gitlab;
use crate::support::{Place, Server};
use rustix::process::Signal;

fn secret(place: &Place) -> (String, String) {
    let told = place.run(&["clients", "secret", "--json"]).expect(0, "").out;
    let told: Value = serde_json::from_str(&told).unwrap();
    let text = |name: &str| told[name].as_str().unwrap().to_owned();
    (text("secret"), text("secret_sha256"))
}

fn stanza(digests: &[&str]) -> String {
    let digests: Vec<_> = digests.iter().map(|digest| format!("{digest:?}")).collect();
    format!(
        "[[client]]\nid = \"robot\"\nname = \"The robot\"\nauth = \"client_secret_basic\"\nsecret_sha256 = [{}]\n\
         grants = [\"client_credentials\"]\nscopes = [\"api:read\"]\nresources = [\"https://api.example.com\"]\n",
        digests.join(", ")
    )
}

/// `POST /token` for the robot's own token: the status, and the body.
fn own_token(server: &Server, secret: &str) -> (String, Value) {
    let body = "grant_type=client_credentials";
    let basic = BASE64.encode(format!("robot:{secret}").as_bytes());
    let mut stream = TcpStream::connect(server.address()).unwrap();
    let call = format!(
        "POST /token HTTP/1.1\r\nHost: localhost:18080\r\nConnection: close\r\nAuthorization: Basic {basic}\r\n\
         Content-Type: application/x-www-form-urlencoded\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(call.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (head.split(' ').nth(1).unwrap().to_owned(), serde_json::from_str(body).unwrap())
}

#[test]
fn a_secret_is_made_once_and_changed_without_a_gap() {
    let (place, _) = with_gitlab();
    let (old, new) = (secret(&place), secret(&place));
    assert!(old.0.starts_with("cs_") && old.0 != new.0);
    let before = place.read("countersign.toml");
    place.write("countersign.toml", &format!("{before}\n{}", stanza(&[&old.1])));
    let server = place.serve();
    let (status, told) = own_token(&server, &old.0);
    assert_eq!((status.as_str(), &told["scope"]), ("200", &Value::from("api:read")), "{told}");
    assert_eq!(own_token(&server, &new.0).0, "401");
    place.run(&["clients", "list"]).expect(0, "robot  \"The robot\"");
    let list = place.run(&["clients", "list"]).expect(0, "nobody: it has tokens of its own alone").out;
    assert!(!list.contains(&old.1) && !list.contains("none yet"), "{list}");
    let shown = place.run(&["clients", "show", "robot"]).expect(0, "0, of which 0 have a refresh token").out;
    assert!(shown.contains("access 10 min") && !shown.contains(&old.1), "{shown}");
    place.run(&["clients", "end", "robot"]).expect(0, "0 ended");
    place.run(&["clients", "show", "nobody"]).expect(1, "no client of this id");
    place.run(&["clients", "end", "nobody"]).expect(1, "no client of this id");
    assert_eq!(server.stop(), 0);
    place.write("countersign.toml", &format!("{before}\n{}", stanza(&[&new.1, &old.1])));
    let server = place.serve();
    for secret in [&old.0, &new.0] {
        assert_eq!(own_token(&server, secret).0, "200");
    }
    place.run(&["clients", "list"]).expect(0, "two count");
    assert_eq!(server.stop(), 0);
}

#[test]
fn clients_are_read_again_at_sighup_all_or_none() {
    let (place, _) = with_gitlab();
    let (old, new) = (secret(&place), secret(&place));
    let before = place.read("countersign.toml");
    let configure = |stanza: &str| place.write("countersign.toml", &format!("{before}\n{stanza}"));
    configure(&stanza(&[&old.1]));
    let mut server = place.serve();
    assert_eq!((own_token(&server, &old.0).0, own_token(&server, &new.0).0), ("200".to_owned(), "401".to_owned()));
    configure(&stanza(&[&new.1]));
    server.signal(Signal::HUP);
    let told = server.until("robot has other secrets or keys");
    assert!(!told.contains(&new.1), "{told}");
    server.until("clients reloaded");
    assert_eq!((own_token(&server, &old.0).0, own_token(&server, &new.0).0), ("401".to_owned(), "200".to_owned()));
    // One fault anywhere, and everything stays; it is told until it is mended.
    place.write(
        "rules/taken.toml",
        "[[rule]]\nname = \"for others\"\nmatch = { issuer = \"gitlab\", job_project_id = \"4711\" }\n\
         audience = [\"https://taken.example.com\"]\nrequire = \"none\"\ntoken = { sub = \"gitlab:{job_project_id}\" }\n",
    );
    server.signal(Signal::HUP);
    server.until("rules reloaded");
    let unknown = stanza(&[&old.1]).replace("scopes", "scoops");
    let taken = stanza(&[&old.1]).replace("https://api.example.com", "https://taken.example.com");
    for (broken, says) in [(unknown, "scoops"), (taken, "has the audience `https://taken.example.com`")] {
        configure(&broken);
        server.signal(Signal::HUP);
        // A fault of the file is told by itself; what the rules do not leave room for, once they were read again, too.
        if says == "scoops" {
            server.until(says);
        }
        server.until("rules reloaded");
        let told = server.until("the new clients cannot be used; the old stay in force");
        assert!(says == "scoops" || told.contains(says), "{told}");
        assert_eq!((own_token(&server, &old.0).0, own_token(&server, &new.0).0), ("401".to_owned(), "200".to_owned()));
        let (_, warned) =
            server.get("/readyz").split_once("\"warnings\":").map(|(a, b)| (a.to_owned(), b.to_owned())).unwrap();
        assert!(warned.contains("clients: the new ones cannot be used"), "{warned}");
    }
    configure("");
    server.signal(Signal::HUP);
    server.until("robot is gone");
    server.until("clients reloaded");
    assert_eq!(own_token(&server, &new.0).0, "401");
    assert_eq!(server.stop(), 0);
}

#[test]
fn a_client_is_no_audience_of_a_rule() {
    let (place, _) = with_gitlab();
    let (_, digest) = secret(&place);
    let before = place.read("countersign.toml");
    place.write("countersign.toml", &format!("{before}\n{}", stanza(&[&digest])));
    place.run(&["rule", "check"]).expect(0, "");
    let rule = |audience: &str| {
        format!(
            "[[rule]]\nname = \"for the api\"\nmatch = {{ issuer = \"gitlab\", job_project_id = \"4711\", environment = \"api\" }}\n\
             audience = [\"{audience}\"]\nrequire = \"none\"\n"
        )
    };
    // What many a service takes for the same is the same.
    let spellings = ["https://robot/", "api.example.com", "https://api.example.com/"];
    for audience in ["robot", "https://api.example.com", "http://localhost:18080"].into_iter().chain(spellings) {
        place.write("rules/taken.toml", &rule(audience));
        place.run(&["rule", "check"]).expect(1, "choose an audience that no `[[client]]` names");
        place.run(&["serve"]).expect(2, "is a client, a resource of a client, or this server itself");
    }
    place.write("rules/taken.toml", &rule("https://other.example.com"));
    place.run(&["rule", "check"]).expect(0, "");
}

#[test]
fn a_client_whose_files_are_none_stops_the_start() {
    let (place, _) = with_gitlab();
    let before = place.read("countersign.toml");
    let stanza = "[[client]]\nid = \"robot\"\nname = \"Robot\"\nauth = \"private_key_jwt\"\njwks_file = \"robot.json\"\n\
                  grants = [\"client_credentials\"]\n";
    place.write("countersign.toml", &format!("{before}\n{stanza}"));
    place.run(&["serve"]).expect(2, "where there is no file");
    place.write("robot.json", "{\"keys\":[{\"kty\":\"oct\",\"k\":\"AAAA\"}]}");
    place.run(&["serve"]).expect(2, "client `robot`: ");
    place.write("logo.svg", "<html></html>");
    let stanza = "[[client]]\nid = \"spa\"\nname = \"Spa\"\nauth = \"none\"\nredirect_uris = [\"https://spa.example.com/\"]\n\
                  logo_file = \"logo.svg\"\n";
    place.write("countersign.toml", &format!("{before}\n{stanza}"));
    place.run(&["serve"]).expect(2, "is neither PNG nor SVG");
}

//! `serve` and the console beside it.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt as _;
use std::process::{Child, Stdio};
use std::sync::mpsc::channel;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

use crate::support::{Place, URL};

#[test]
fn it_answers_takes_console_commands_and_stops_in_order() {
    let place = Place::initialised();
    let server = place.serve();
    assert!(server.get("/jwks").contains("\"RS256\""));
    assert!(server.get("/.well-known/openid-configuration").contains(&format!("\"issuer\":\"{URL}\"")));
    let socket = place.at("state/console.sock").symlink_metadata().unwrap();
    assert_eq!(socket.permissions().mode() & 0o777, 0o600);
    let invited = place.run(&["people", "invite", "Ada Lind", "--group", "release-managers"]).expect(0, "works once");
    let path = invited.out.trim().strip_prefix(URL).unwrap();
    assert!(server.get(path).contains("Ada Lind"), "the link works at once");
    place.run(&["people", "link", "Ada Lind", "--issuer", "gitlab", "--user-id", "7"]).expect(0, "linked p");
    place.run(&["people", "link", "Ada Lind", "--issuer", "gitlab", "--user-id", "x"]).expect(2, "is a number");
    place.run(&["people", "link", "Bo", "--issuer", "gitlab", "--user-id", "8"]).expect(1, "nobody with the id");
    let list = place.run(&["people", "list", "--json"]).expect(0, "");
    let list: serde_json::Value = serde_json::from_str(&list.out).unwrap();
    assert_eq!(list["people"][0]["links"][0], "gitlab:7");
    place.run(&["log", "show", "--last", "1"]).expect(0, "\"kind\":\"link\"");
    place.run(&["log", "check"]).expect(0, "entries");
    assert_eq!(server.stop(), 0);
    assert!(!place.at("state/console.sock").exists());
    place.run(&["log", "check"]).expect(0, "entries");
    place.run(&["people", "invite", "Bo"]).expect(0, "works once");
}

#[test]
fn attack_021_a_second_server_on_one_state_directory_is_refused() {
    let place = Place::initialised();
    let server = place.serve();
    place.run(&["serve"]).expect(2, "another countersign holds the state directory");
    assert!(server.get("/healthz").starts_with("HTTP/1.1 200"), "the first one goes on");
    place.run(&["people", "list"]).expect(0, "First admin");
    assert_eq!(server.stop(), 0);
}

#[test]
fn after_a_power_cut_the_socket_that_was_left_is_replaced() {
    let place = Place::initialised();
    place.serve().kill();
    assert!(place.at("state/console.sock").exists());
    place.run(&["people", "invite", "Ada"]).expect(0, "works once");
    let server = place.serve();
    place.run(&["people", "list"]).expect(0, "Ada");
    assert_eq!(server.stop(), 0);
}

#[test]
fn a_port_that_is_taken_is_named_with_its_cure() {
    let place = Place::initialised();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    place.change("countersign.toml", "127.0.0.1:0", &taken.local_addr().unwrap().to_string());
    let refused = place.run(&["serve"]).expect(2, "cannot listen on 127.0.0.1:");
    assert!(refused.err.contains("cure: stop what listens there, or set `server.listen`"), "{}", refused.err);
    assert!(!place.at("state/console.sock").exists());
}

#[test]
fn diagnostics_are_json_and_their_variable_is_checked() {
    let place = Place::initialised();
    let refused = place.command(&["serve"]).env("COUNTERSIGN_LOG", "lo=ud=ly").output().unwrap();
    assert_eq!(refused.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&refused.stderr).contains("COUNTERSIGN_LOG is `lo=ud=ly`"));
}

#[test]
fn attack_098_a_reload_with_a_bad_file_keeps_the_old_rules_and_says_why() {
    let place = Place::initialised();
    let mut server = place.serve();
    let rules = |place: &Place| place.run(&["log", "show", "--last", "1000"]).out.matches("\"kind\":\"rules\"").count();
    assert_eq!(rules(&place), 1);
    place.write("rules/bad.toml", "[[rule]]\nname = \"x\"\naudiance = [\"a\"]\n");
    server.signal(Signal::HUP);
    let said = server.until("bad.toml:3: ");
    assert!(said.contains("audiance") && said.contains("did you mean `audience`?"), "{said}");
    server.until("the rules before stay in force");
    assert_eq!(rules(&place), 1, "nothing was logged");
    place.write("rules/bad.toml", "[[rule]]\nname = \"x\"\nmatch = { issuer = \"gitlab\" }\ndeny = \"No.\"\n");
    server.signal(Signal::HUP);
    server.until("rules reloaded");
    assert_eq!(rules(&place), 2);
    assert_eq!(server.stop(), 0);
}

/// Connects as soon as the server listens.
fn connect(address: SocketAddr, server: &mut Child) -> TcpStream {
    let (_never, again) = channel::<()>();
    for _ in 0..600 {
        if let Ok(stream) = TcpStream::connect(address) {
            return stream;
        }
        assert!(server.try_wait().unwrap().is_none(), "it ended");
        let _ = again.recv_timeout(Duration::from_millis(50));
    }
    panic!("it does not listen");
}

#[test]
fn diagnostics_that_cannot_be_written_are_lost_and_the_server_goes_on() {
    let place = Place::initialised();
    let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    place.change("countersign.toml", "127.0.0.1:0", &address.to_string());
    let full = std::fs::File::options().write(true).open("/dev/full").unwrap();
    let mut server = place.command(&["serve"]).stdout(Stdio::null()).stderr(full).spawn().unwrap();
    // Each refusal is a line.
    for _ in 0..3 {
        let mut stream = connect(address, &mut server);
        let request = "POST /token HTTP/1.1\r\nHost: localhost:18080\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
        stream.write_all(request.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        assert!(answer.starts_with("HTTP/1.1 415 "), "{answer}");
    }
    kill_process(Pid::from_child(&server), Signal::TERM).unwrap();
    assert_eq!(server.wait().unwrap().code(), Some(0));
}

#[test]
fn attack_095_no_core_is_dumped_of_the_server() {
    let place = Place::initialised();
    let server = place.serve();
    let limits = std::fs::read_to_string(format!("/proc/{}/limits", server.id())).unwrap();
    let core = limits.lines().find(|line| line.starts_with("Max core file size")).unwrap();
    assert_eq!(core.split_whitespace().skip(4).take(2).collect::<Vec<_>>(), ["0", "0"], "{limits}");
    assert_eq!(server.stop(), 0);
}

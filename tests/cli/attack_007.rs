//! Attack 7, a body without end: what the server reads of it, and what it costs.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::TcpStream;

use crate::support::{PATIENCE, Place, Server};

/// What the attacker would send.
const WHOLE: usize = 1 << 30;
/// The most memory that the process ever held, in KiB.
fn peak(server: &Server) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", server.id())).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

/// Sends a gigabyte in chunks, for as long as anybody takes it, and never ends the body: the answer.
fn flood(server: &Server, start: &str) -> String {
    let mut stream = TcpStream::connect(server.address()).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.set_write_timeout(Some(PATIENCE)).unwrap();
    let head = "POST /token HTTP/1.1\r\nHost: localhost:18080\r\nTransfer-Encoding: chunked\r\n\
                Content-Type: application/x-www-form-urlencoded\r\n\r\n";
    stream.write_all(head.as_bytes()).unwrap();
    stream.write_all(format!("{:x}\r\n{start}\r\n", start.len()).as_bytes()).unwrap();
    let chunk = format!("10000\r\n{}\r\n", "A".repeat(65_536));
    let mut sent = 0;
    while sent < WHOLE && stream.write_all(chunk.as_bytes()).is_ok() {
        sent += chunk.len();
    }
    // The connection ends though the body has not.
    let mut answer = Vec::new();
    match stream.read_to_end(&mut answer) {
        Ok(_) => {}
        Err(error) => assert_eq!(error.kind(), ErrorKind::ConnectionReset, "the server holds on to it: {error}"),
    }
    String::from_utf8_lossy(&answer).into_owned()
}

#[test]
fn attack_007_a_body_without_end_is_let_go_and_costs_no_memory() {
    let place = Place::initialised();
    let server = place.serve();
    assert!(server.get("/healthz").starts_with("HTTP/1.1 200"));
    let before = peak(&server);
    for start in ["grant_type=x&subject_token=", "subject_token=AAAA.", "x="] {
        let answer = flood(&server, start);
        // The answer may be lost with the connection that is reset; where it came, it is this one.
        assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 413"), "{answer}");
    }
    let grown = peak(&server) - before;
    assert!(grown < 16 * 1024, "it grew by {grown} KiB");
    assert!(server.get("/healthz").starts_with("HTTP/1.1 200"), "others are served");
    assert_eq!(server.stop(), 0);
}

//! HTTP/1.1 by hand, kept alive: as cheap as a client can be, so that the server is what is measured.
//! In: whole calls as bytes. Out: status and body.
//! Implements as much of RFC 9112 as answers of this server need (`Content-Length`).
//! Never retries: an answer that does not come ends the measurement.

use std::net::{Ipv4Addr, SocketAddr};

use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};

use super::world::{HOST, URL};

/// A connection that is kept.
pub struct Connection {
    stream: TcpStream,
    buffer: Vec<u8>,
}

/// An answer, as long as the connection is not used again.
pub struct Answer<'a> {
    /// The status.
    pub status: u16,
    /// The body.
    pub body: &'a [u8],
}

impl Answer<'_> {
    /// The body as JSON.
    pub fn json(&self) -> Value {
        serde_json::from_slice(self.body).unwrap_or(Value::Null)
    }

    /// The body, where the status is the one that the measurement needs.
    pub fn expect(self, status: u16) -> Self {
        assert_eq!(self.status, status, "the server answered: {}", String::from_utf8_lossy(self.body));
        self
    }
}

impl Connection {
    /// Connects, from an address of the loopback network where one is given.
    pub async fn open(to: SocketAddr, from: Option<Ipv4Addr>) -> Self {
        let socket = TcpSocket::new_v4().unwrap();
        if let Some(from) = from {
            socket.bind(SocketAddr::from((from, 0))).unwrap();
        }
        let stream = socket.connect(to).await.unwrap();
        stream.set_nodelay(true).unwrap();
        Self { stream, buffer: Vec::with_capacity(4096) }
    }

    /// Sends a call and waits for its answer.
    pub async fn call(&mut self, call: &[u8]) -> Answer<'_> {
        self.stream.write_all(call).await.unwrap();
        self.buffer.clear();
        let (status, start, end) = loop {
            let read = self.stream.read_buf(&mut self.buffer).await.unwrap();
            assert!(read > 0, "the server closed a connection: {}", String::from_utf8_lossy(&self.buffer));
            if let Some(found) = whole(&self.buffer) {
                break found;
            }
        };
        Answer { status, body: &self.buffer[start..end] }
    }
}

/// Status, start and end of the body, once all of it is there.
fn whole(bytes: &[u8]) -> Option<(u16, usize, usize)> {
    let head = bytes.windows(4).position(|window| window == b"\r\n\r\n")?;
    let text = std::str::from_utf8(&bytes[..head]).unwrap();
    let length = text.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse::<usize>().unwrap())
    });
    let end = head + 4 + length.unwrap_or(0);
    (bytes.len() >= end).then(|| (text[9..12].parse().unwrap(), head + 4, end))
}

/// `GET`.
pub fn get(path: &str) -> Vec<u8> {
    get_with(path, "")
}

/// `GET` with more header lines, each ended.
pub fn get_with(path: &str, headers: &str) -> Vec<u8> {
    format!("GET {path} HTTP/1.1\r\nhost: {HOST}\r\n{headers}\r\n").into_bytes()
}

/// `POST` of a form, with more header lines, each ended.
pub fn post_form(path: &str, headers: &str, form: &str) -> Vec<u8> {
    let length = form.len();
    format!(
        "POST {path} HTTP/1.1\r\nhost: {HOST}\r\ncontent-type: application/x-www-form-urlencoded\r\n{headers}\
         content-length: {length}\r\n\r\n{form}"
    )
    .into_bytes()
}

/// `POST` of JSON, as a page of the server's own sends it.
pub fn post_page(path: &str, body: &Value) -> Vec<u8> {
    let body = body.to_string();
    let length = body.len();
    format!(
        "POST {path} HTTP/1.1\r\nhost: {HOST}\r\norigin: {URL}\r\nsec-fetch-site: same-origin\r\n\
         content-type: application/json\r\ncontent-length: {length}\r\n\r\n{body}"
    )
    .into_bytes()
}

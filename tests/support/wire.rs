//! HTTP/1.1 by hand, so that a test decides about every byte.
//! In: a call. Out: the answer.
//! Implements as much of RFC 9112 as answers of one server need.
//! Never follows, retries or repairs anything.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use serde_json::Value;

/// The longest that a test waits for an answer.
pub const PATIENCE: Duration = Duration::from_secs(45);

/// The host that calls name.
pub const HOST: &str = "sign.shop.example";

/// An answer.
#[derive(Debug, Clone)]
pub struct Answer {
    /// The status.
    pub status: u16,
    /// Names in lower case.
    pub headers: Vec<(String, String)>,
    /// Decoded from its transfer coding.
    pub body: Vec<u8>,
}

impl Answer {
    /// Reads a whole answer.
    pub fn parse(bytes: &[u8]) -> Self {
        let end = find(bytes, b"\r\n\r\n")
            .unwrap_or_else(|| panic!("no whole answer came: {:?}", String::from_utf8_lossy(bytes)));
        let head = std::str::from_utf8(&bytes[..end]).unwrap();
        let mut lines = head.split("\r\n");
        let status = lines.next().unwrap().split(' ').nth(1).unwrap().parse().unwrap();
        let headers: Vec<(String, String)> = lines
            .map(|line| line.split_once(':').unwrap())
            .map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()))
            .collect();
        let rest = &bytes[end + 4..];
        let chunked = headers.iter().any(|(name, value)| name == "transfer-encoding" && value == "chunked");
        let body = if chunked { unchunk(rest) } else { rest.to_vec() };
        Self { status, headers, body }
    }

    /// A header, where there is exactly one.
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut found = self.headers.iter().filter(|(known, _)| known == name);
        let first = found.next()?;
        assert!(found.next().is_none(), "{name} is there twice");
        Some(&first.1)
    }

    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The body as JSON; `null` where it is none.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or(Value::Null)
    }

    /// A member of the JSON body as text.
    pub fn member(&self, name: &str) -> String {
        self.json().get(name).and_then(Value::as_str).unwrap_or_default().to_owned()
    }

    /// `error_code`.
    pub fn code(&self) -> String {
        self.member("error_code")
    }

    /// The answer with a status, or the whole of it in the panic.
    pub fn expect(self, status: u16) -> Self {
        assert_eq!(self.status, status, "{}", self.text());
        self
    }

    /// The answer with status, `error` and `error_code`.
    pub fn expect_error(self, status: u16, error: &str, code: &str) -> Self {
        let found = (self.status, self.member("error"), self.code());
        assert_eq!(found, (status, error.to_owned(), code.to_owned()), "{}", self.text());
        self
    }

    /// INV of the attack list.
    pub fn invalid(self, code: &str) -> Self {
        self.expect_error(400, "invalid_request", code)
    }

    /// PEND of the attack list.
    pub fn pending(self) -> Self {
        self.expect_error(400, "authorization_pending", "approval_pending")
    }

    /// The issued token's claims.
    pub fn claims(&self) -> Value {
        super::gitlab::claims_of(&self.member("access_token"))
    }
}

/// Where `needle` begins.
pub fn find(bytes: &[u8], needle: &[u8]) -> Option<usize> {
    bytes.windows(needle.len()).position(|window| window == needle)
}

fn unchunk(mut rest: &[u8]) -> Vec<u8> {
    let mut body = Vec::new();
    while let Some(line) = find(rest, b"\r\n") {
        let size = usize::from_str_radix(std::str::from_utf8(&rest[..line]).unwrap(), 16).unwrap();
        if size == 0 {
            break;
        }
        body.extend_from_slice(&rest[line + 2..line + 2 + size]);
        rest = &rest[line + 4 + size..];
    }
    body
}

/// A call before it is sent.
#[derive(Debug, Clone)]
pub struct Call {
    address: SocketAddr,
    head: String,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
}

impl Call {
    /// A call of a path.
    pub fn new(address: SocketAddr, method: &str, path: &str) -> Self {
        let headers = vec![("host".to_owned(), HOST.to_owned()), ("connection".to_owned(), "close".to_owned())];
        Self { address, head: format!("{method} {path} HTTP/1.1\r\n"), headers, body: Vec::new() }
    }

    /// One more header.
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// In place of a header.
    pub fn instead(mut self, name: &str, value: &str) -> Self {
        self.headers.retain(|(known, _)| known != name);
        self.header(name, value)
    }

    /// With a body of this type.
    pub fn body(mut self, kind: &str, body: impl Into<Vec<u8>>) -> Self {
        self.body = body.into();
        self.header("content-type", kind)
    }

    /// With a JSON body, as a page of ours sends it.
    pub fn of_our_page(self, body: &Value) -> Self {
        self.header("origin", super::URL)
            .header("sec-fetch-site", "same-origin")
            .body("application/json", body.to_string())
    }

    /// The bytes of the call.
    pub fn bytes(&self) -> Vec<u8> {
        let mut head = self.head.clone();
        for (name, value) in &self.headers {
            head.extend([name, ": ", value, "\r\n"]);
        }
        if !self.body.is_empty() || self.head.starts_with("POST") {
            head.extend(["content-length: ", &self.body.len().to_string(), "\r\n"]);
        }
        head.push_str("\r\n");
        [head.as_bytes(), &self.body].concat()
    }

    /// Sends and waits for the answer.
    pub fn send(&self) -> Answer {
        let mut stream = self.start();
        let mut bytes = Vec::new();
        if let Err(error) = stream.read_to_end(&mut bytes) {
            // A server that refuses a body may close before it was read; one that stays silent is another matter.
            assert_eq!(error.kind(), ErrorKind::ConnectionReset, "{} {error}", self.head.trim());
        }
        Answer::parse(&bytes)
    }

    /// Sends; the answer stays in the stream.
    pub fn start(&self) -> TcpStream {
        let mut stream = TcpStream::connect(self.address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_nodelay(true).unwrap();
        let _ = stream.write_all(&self.bytes());
        stream
    }
}

/// Reads the rest of a stream as an answer.
pub fn finish(mut stream: TcpStream) -> Answer {
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).unwrap();
    Answer::parse(&bytes)
}

/// Reads a stream until it has brought `needle` so many times.
pub fn read_until(stream: &mut TcpStream, so_far: &mut Vec<u8>, needle: &str, times: usize) {
    let mut buffer = [0; 4096];
    while String::from_utf8_lossy(so_far).matches(needle).count() < times {
        let read = stream.read(&mut buffer).unwrap();
        assert!(read > 0, "the stream ended before `{needle}`: {}", String::from_utf8_lossy(so_far));
        so_far.extend_from_slice(&buffer[..read]);
    }
}

/// `application/x-www-form-urlencoded`.
pub fn form(pairs: &[(&str, &str)]) -> String {
    url::form_urlencoded::Serializer::new(String::new()).extend_pairs(pairs).finish()
}

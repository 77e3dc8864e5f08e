//! A small real HTTPS server, for tests of what is fetched and sent.
//! In: what to answer by path. Out: its URL, its authority, what it was asked, and how often.
//! Implements as much of HTTP/1.1 as a misbehaving server needs.
//! Never part of the product.

#![allow(dead_code, reason = "unit and integration tests each use their own part of this")]

use std::collections::HashMap;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use rustls::{ServerConfig, ServerConnection, StreamOwned};
use rustls_pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};

const OPEN: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nConnection: close\r\n\r\n";

/// What a path answers.
#[derive(Clone)]
pub enum Reply {
    /// Status line and headers as given, then the body.
    Whole { status: u16, headers: Vec<(String, String)>, body: Vec<u8> },
    /// Headers, then one byte at a time for ever.
    Drip,
    /// Headers, then nothing.
    HangAfterHeaders,
    /// Headers that promise twice as much, the body, and the end.
    Half(Vec<u8>),
    /// The whole answer, once the server's gate is open.
    Gated(Vec<u8>),
}

impl Reply {
    pub fn json(body: impl Into<Vec<u8>>) -> Self {
        Self::typed("application/json", body)
    }

    pub fn typed(content_type: &str, body: impl Into<Vec<u8>>) -> Self {
        let headers = vec![("Content-Type".to_owned(), content_type.to_owned())];
        Self::Whole { status: 200, headers, body: body.into() }
    }

    pub fn status(status: u16) -> Self {
        Self::Whole { status, headers: Vec::new(), body: Vec::new() }
    }

    pub fn with(mut self, name: &str, value: &str) -> Self {
        if let Self::Whole { headers, .. } = &mut self {
            headers.push((name.to_owned(), value.to_owned()));
        }
        self
    }
}

/// A call that came whole.
#[derive(Debug, Clone)]
pub struct Taken {
    pub path: String,
    /// The request line and the headers, as they came.
    pub head: String,
    pub body: Vec<u8>,
}

impl Taken {
    /// A header's value; its name in lower case.
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut lines = self.head.lines().skip(1).filter_map(|line| line.split_once(':'));
        lines.find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim())
    }
}

#[derive(Default)]
struct Shared {
    replies: Mutex<HashMap<String, Reply>>,
    asked: Mutex<HashMap<String, usize>>,
    taken: Mutex<Vec<Taken>>,
    connections: Mutex<usize>,
    gate: (Mutex<bool>, Condvar),
    stop: AtomicBool,
}

/// The server; it stops when it goes out of scope.
pub struct TestServer {
    pub port: u16,
    pub ca_file: PathBuf,
    shared: Arc<Shared>,
    config: Arc<ServerConfig>,
}

impl TestServer {
    pub fn start() -> Self {
        let names = ["localhost".to_owned(), "127.0.0.1".to_owned()];
        let made = rcgen::generate_simple_self_signed(names).unwrap();
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(made.signing_key.serialize_der()));
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![made.cert.der().clone()], key)
            .unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let ca_file = std::env::temp_dir().join(format!("countersign-ca-{}-{port}.pem", std::process::id()));
        std::fs::write(&ca_file, made.cert.pem()).unwrap();
        let server = Self { port, ca_file, shared: Arc::default(), config: Arc::new(config) };
        server.accept_on(listener);
        server
    }

    pub fn url(&self) -> String {
        format!("https://localhost:{}", self.port)
    }

    pub fn at(&self, path: &str) -> url::Url {
        url::Url::parse(&format!("{}{path}", self.url())).unwrap()
    }

    pub fn answer(&self, path: &str, reply: Reply) {
        self.shared.replies.lock().unwrap().insert(path.to_owned(), reply);
    }

    /// A discovery document that points to `/jwks`, and the document there.
    pub fn publish(&self, jwks: &str) {
        let url = self.url();
        let document = serde_json::json!({"issuer": url, "jwks_uri": format!("{url}/jwks")});
        self.answer("/.well-known/openid-configuration", Reply::json(document.to_string()));
        self.answer("/jwks", Reply::json(jwks));
    }

    pub fn asked(&self, path: &str) -> usize {
        self.shared.asked.lock().unwrap().get(path).copied().unwrap_or(0)
    }

    /// Every call so far, in its order.
    pub fn taken(&self) -> Vec<Taken> {
        self.shared.taken.lock().unwrap().clone()
    }

    pub fn connections(&self) -> usize {
        *self.shared.connections.lock().unwrap()
    }

    pub fn open_gate(&self) {
        *self.shared.gate.0.lock().unwrap() = true;
        self.shared.gate.1.notify_all();
    }

    fn accept_on(&self, listener: TcpListener) {
        let (shared, config) = (Arc::clone(&self.shared), Arc::clone(&self.config));
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                if shared.stop.load(Ordering::SeqCst) {
                    return;
                }
                *shared.connections.lock().unwrap() += 1;
                let (shared, config) = (Arc::clone(&shared), Arc::clone(&config));
                std::thread::spawn(move || stream.ok().and_then(|stream| serve(stream, config, &shared)));
            }
        });
    }
}

impl Drop for TestServer {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::SeqCst);
        self.open_gate();
        let _ = TcpStream::connect(("127.0.0.1", self.port));
        let _ = std::fs::remove_file(&self.ca_file);
    }
}

fn serve(stream: TcpStream, config: Arc<ServerConfig>, shared: &Shared) -> Option<()> {
    stream.set_read_timeout(Some(Duration::from_secs(10))).ok()?;
    let mut tls = StreamOwned::new(ServerConnection::new(config).ok()?, stream);
    let mut request = Vec::new();
    let mut buffer = [0; 1024];
    let head = loop {
        if let Some(end) = request.windows(4).position(|end| end == b"\r\n\r\n") {
            break end + 4;
        }
        let read = tls.read(&mut buffer).ok().filter(|read| *read > 0)?;
        request.extend_from_slice(&buffer[..read]);
    };
    let body = request.split_off(head);
    let head = String::from_utf8(request).ok()?;
    let path = head.split(' ').nth(1)?.to_owned();
    let mut taken = Taken { path: path.clone(), head, body };
    let length = taken.header("content-length").map_or(0, |length| length.parse().unwrap());
    while taken.body.len() < length {
        let read = tls.read(&mut buffer).ok().filter(|read| *read > 0)?;
        taken.body.extend_from_slice(&buffer[..read]);
    }
    shared.taken.lock().unwrap().push(taken);
    *shared.asked.lock().unwrap().entry(path.clone()).or_default() += 1;
    let reply = shared.replies.lock().unwrap().get(&path).cloned().unwrap_or_else(|| Reply::status(404));
    match reply {
        Reply::Whole { status, headers, body } => {
            let mut head = format!("HTTP/1.1 {status} X\r\nContent-Length: {}\r\nConnection: close\r\n", body.len());
            for (name, value) in headers {
                head.extend([name.as_str(), ": ", value.as_str(), "\r\n"]);
            }
            tls.write_all(format!("{head}\r\n").as_bytes()).ok()?;
            tls.write_all(&body).ok()?;
        }
        Reply::Half(body) => {
            let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", 2 * body.len());
            tls.write_all(head.as_bytes()).ok()?;
            tls.write_all(&body).ok()?;
        }
        Reply::Drip => {
            tls.write_all(OPEN).ok()?;
            while !pause(shared, Duration::from_millis(20)) {
                tls.write_all(b" ").ok()?;
                tls.flush().ok()?;
            }
        }
        Reply::HangAfterHeaders => {
            tls.write_all(OPEN).ok()?;
            tls.flush().ok()?;
            pause(shared, Duration::from_secs(10));
        }
        Reply::Gated(body) => {
            pause(shared, Duration::from_secs(10));
            tls.write_all(OPEN).ok()?;
            tls.write_all(&body).ok()?;
        }
    }
    tls.conn.send_close_notify();
    tls.flush().ok()
}

/// Waits for the gate, at most that long; whether it is open.
fn pause(shared: &Shared, most: Duration) -> bool {
    let open = shared.gate.0.lock().unwrap();
    *shared.gate.1.wait_timeout_while(open, most, |open| !*open).unwrap().0
}

//! An issuer that does everything wrong, over real TLS.
//! In: nothing. Out: a URL; under each path it misbehaves in another way.
//! Implements as much of HTTP/1.1 as an issuer's two documents need.
//! Never stops by itself: it ends with the test binary.

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use rcgen::{CertifiedKey, generate_simple_self_signed};
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::{ServerConfig, ServerConnection, Stream};
use serde_json::json;

use super::gitlab::gitlab;
use super::server::fresh_directory;

/// A running hostile issuer.
pub struct Hostile {
    /// `https://localhost:PORT`.
    pub url: String,
    /// Its certificate, to be trusted.
    pub ca: PathBuf,
    counts: Arc<Mutex<BTreeMap<String, usize>>>,
    published: Arc<Mutex<BTreeMap<String, Published>>>,
}

/// What a path publishes in place of what its name says.
#[derive(Clone)]
enum Published {
    /// This key set.
    Keys(Vec<u8>),
    /// Status 500 for every document.
    Down,
}

impl Hostile {
    /// Starts it on a thread of its own.
    pub fn start() -> Self {
        let CertifiedKey { cert, signing_key } = generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
        let ca = fresh_directory().join("ca.pem");
        std::fs::write(&ca, cert.pem()).unwrap();
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(signing_key.serialize_der()));
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![cert.der().clone()], key)
            .unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("https://localhost:{}", listener.local_addr().unwrap().port());
        let counts = Arc::new(Mutex::new(BTreeMap::new()));
        let published: Arc<Mutex<BTreeMap<String, Published>>> = Arc::default();
        let (config, counting, ours) = (Arc::new(config), Arc::clone(&counts), url.clone());
        let publishing = Arc::clone(&published);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (config, counting, ours) = (Arc::clone(&config), Arc::clone(&counting), ours.clone());
                let publishing = Arc::clone(&publishing);
                std::thread::spawn(move || answer(stream, config, &counting, &publishing, &ours));
            }
        });
        Self { url, ca, counts, published }
    }

    /// From here on this path's key set is this one.
    pub fn publish(&self, path: &str, keys: &[&serde_json::Value]) {
        let set = json!({ "keys": keys }).to_string().into_bytes();
        self.published.lock().unwrap().insert(path.to_owned(), Published::Keys(set));
    }

    /// From here on everything under this path fails.
    pub fn take_down(&self, path: &str) {
        self.published.lock().unwrap().insert(path.to_owned(), Published::Down);
    }

    /// How often a path, or anything under it, was asked for.
    pub fn calls(&self, path: &str) -> usize {
        self.counts.lock().unwrap().get(path).copied().unwrap_or_default()
    }
}

impl Drop for Hostile {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(self.ca.parent().unwrap());
    }
}

fn answer(
    mut tcp: TcpStream,
    config: Arc<ServerConfig>,
    counts: &Mutex<BTreeMap<String, usize>>,
    published: &Mutex<BTreeMap<String, Published>>,
    url: &str,
) {
    let mut connection = ServerConnection::new(config).unwrap();
    let mut stream = Stream::new(&mut connection, &mut tcp);
    let mut head = Vec::new();
    let mut byte = [0; 1];
    while !head.ends_with(b"\r\n\r\n") {
        if stream.read(&mut byte).unwrap_or(0) == 0 {
            return;
        }
        head.push(byte[0]);
    }
    let head = String::from_utf8_lossy(&head).into_owned();
    let path = head.split(' ').nth(1).unwrap_or_default().trim_start_matches('/').to_owned();
    let kind = path.split('/').next().unwrap_or_default().to_owned();
    for counted in [&kind, &path] {
        *counts.lock().unwrap().entry(counted.clone()).or_default() += 1;
    }
    let wants_keys = path.ends_with("jwks");
    let instead = published.lock().unwrap().get(&kind).cloned();
    let (status, extra, body) = match instead {
        Some(Published::Down) => behave("broken", wants_keys, url),
        Some(Published::Keys(set)) if wants_keys => {
            ("200 OK", "content-type: application/json\r\ncache-control: max-age=86400\r\n".to_owned(), set)
        }
        _ => behave(&kind, wants_keys, url),
    };
    let head = format!("HTTP/1.1 {status}\r\n{extra}content-length: {}\r\nconnection: close\r\n\r\n", body.len());
    let _ = stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(&body));
    stream.conn.send_close_notify();
    let _ = stream.flush();
}

fn behave(kind: &str, wants_keys: bool, url: &str) -> (&'static str, String, Vec<u8>) {
    let json_type = "content-type: application/json\r\n".to_owned();
    let discovery = |issuer: String, jwks: String| {
        let document = json!({ "issuer": issuer, "jwks_uri": jwks });
        ("200 OK", "content-type: application/json\r\n".to_owned(), document.to_string().into_bytes())
    };
    let own = format!("{url}/{kind}");
    match (kind, wants_keys) {
        ("redirect", _) => ("302 Found", format!("location: {url}/redirected/jwks\r\n"), Vec::new()),
        ("large", _) => ("200 OK", json_type, vec![b' '; 4 * 1024 * 1024]),
        ("html", _) => ("200 OK", "content-type: text/html\r\n".to_owned(), b"<h1>hello</h1>".to_vec()),
        ("broken", _) => ("500 Internal Server Error", json_type, b"{}".to_vec()),
        ("other-issuer", false) => discovery("https://evil.example".to_owned(), format!("{own}/jwks")),
        ("other-origin", false) => discovery(own, "https://evil.example/jwks".to_owned()),
        ("plain-jwks", false) => discovery(own.clone(), own.replace("https:", "http:") + "/jwks"),
        ("garbage-keys", true) => ("200 OK", json_type, b"{\"keys\":7}".to_vec()),
        (_, false) => discovery(own.clone(), format!("{own}/jwks")),
        (_, true) => ("200 OK", json_type, gitlab().jwks()),
    }
}

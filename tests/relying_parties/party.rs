//! A client that runs: its section of the configuration, its process, what it says.
//! In: a kind, a port. Out: who signed in, by the client's own word.
//! Implements RFC 8252 §7.3, RFC 7517 §4 as far as a client must be told and must tell.
//! Never outlives its test.

use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::time::Duration;

use countersign::crypto::random;
use countersign::domain::ids::Digest;
use data_encoding::BASE64URL_NOPAD;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

use crate::driver::Browser;
use crate::kinds::{Kind, Place, Proof};
use crate::provider::Certified;

/// A client that is set up, and runs from `start` on.
pub struct Party {
    pub kind: &'static Kind,
    pub base: String,
    port: u16,
    folder: PathBuf,
    secret: String,
    key: Value,
    child: Option<Child>,
}

impl Party {
    pub fn new(kind: &'static Kind, port: u16) -> Self {
        let name = data_encoding::HEXLOWER.encode(&random::bytes::<8>().unwrap());
        let folder = std::env::temp_dir().join(format!("countersign-party-{name}"));
        std::fs::create_dir(&folder).unwrap();
        // Apache serves as another user than root.
        std::fs::set_permissions(&folder, std::fs::Permissions::from_mode(0o755)).unwrap();
        let scheme = if kind.proof == Proof::Nobody { "http" } else { "https" };
        let secret = format!("cs_{}", BASE64URL_NOPAD.encode(&random::bytes::<32>().unwrap()));
        let base = format!("{scheme}://127.0.0.1:{port}");
        Self { kind, base, port, folder, secret, key: key(), child: None }
    }

    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Its section of the configuration.
    pub fn section(&self) -> String {
        let Kind { id, proof, consent, callback, bye, dpop, .. } = self.kind;
        let base = &self.base;
        let proves = match proof {
            Proof::Basic | Proof::Post => format!("secret_sha256 = [\"{}\"]\n", Digest::of(self.secret.as_bytes())),
            Proof::Key => {
                let mut public = self.key.clone();
                public.as_object_mut().unwrap().remove("d");
                let path = self.folder.join("jwks.json");
                std::fs::write(&path, json!({ "keys": [public] }).to_string()).unwrap();
                format!("jwks_file = \"{}\"\n", path.display())
            }
            Proof::Nobody => "native = true\n".to_owned(),
        };
        // People would be asked by default about a native application.
        let consent = if *consent { "once" } else { "none" };
        let dpop = if *dpop { "dpop = true\n" } else { "" };
        // A native application may listen wherever there is room (RFC 8252 §7.3).
        let redirect = if *proof == Proof::Nobody { "http://127.0.0.1" } else { base };
        format!(
            "[[client]]\nid = \"{id}\"\nname = \"Tool {id}\"\nauth = \"{}\"\n{proves}consent = \"{consent}\"\n{dpop}\
             redirect_uris = [\"{redirect}{callback}\"]\ngrants = [\"authorization_code\", \"refresh_token\"]\n\
             scopes = [\"openid\", \"profile\", \"email\", \"groups\", \"offline_access\"]\n\
             post_logout_redirect_uris = [\"{base}{}\"]\n",
            proof.name(),
            bye.unwrap_or("/bye")
        )
    }

    /// Starts it and waits until it listens.
    pub fn start(&mut self, issuer: &str, certified: &Certified) {
        let place =
            Place { folder: &self.folder, issuer, base: &self.base, port: self.port, secret: &self.secret, certified };
        let log = std::fs::File::create(self.folder.join("log")).unwrap();
        let mut command = (self.kind.command)(&place);
        command
            .env("ISSUER", issuer)
            .env("CLIENT_ID", self.kind.id)
            .env("CLIENT_SECRET", place.secret)
            .env("CLIENT_KEY", self.key.to_string())
            .env("BASE", place.base)
            .env("RP_HOST", format!("127.0.0.1:{}", place.port))
            .env("RP_PORT", place.port.to_string())
            .env("TLS_CERT", &certified.certificate)
            .env("TLS_KEY", &certified.key)
            .env("SSL_CERT_FILE", &certified.authority)
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log);
        let mut child = command.spawn().unwrap_or_else(|error| panic!("{}: {error}", self.kind.name));
        while TcpStream::connect(("127.0.0.1", self.port)).is_err() {
            if let Some(status) = child.try_wait().unwrap() {
                panic!("{} ended ({status}): {}", self.kind.name, self.said());
            }
            // Between two looks: a port that is listened to tells nobody of itself.
            std::thread::park_timeout(Duration::from_millis(20));
        }
        self.child = Some(child);
    }

    /// What it printed.
    pub fn said(&self) -> String {
        let read = |name: &str| std::fs::read_to_string(self.folder.join(name)).unwrap_or_default();
        format!("{}{}", read("log"), read("apache.log"))
    }

    /// Its address of a path.
    pub fn at(&self, path: &str) -> String {
        format!("{}{path}", self.base)
    }

    /// Who signed in, by its own word.
    pub fn me(&self, browser: &Browser) -> Value {
        browser.eval(&format!("{}.catch((fault) => ({{ fault: String(fault) }}))", self.kind.me))
    }
}

impl Drop for Party {
    fn drop(&mut self) {
        if let Some(child) = &mut self.child {
            // Not by `kill`: Apache's parent ends its children.
            if let Some(pid) = i32::try_from(child.id()).ok().and_then(Pid::from_raw) {
                let _ = kill_process(pid, Signal::TERM);
            }
            let _ = child.wait();
        }
        if std::thread::panicking() {
            eprintln!("{} said:\n{}", self.kind.name, self.said());
        }
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

/// A key for `private_key_jwt`, whole.
fn key() -> Value {
    let secret = p256::ecdsa::SigningKey::from_slice(&random::bytes::<32>().unwrap()).unwrap();
    let point = secret.verifying_key().to_sec1_point(false);
    let encoded = |bytes: &[u8]| BASE64URL_NOPAD.encode(bytes);
    let (x, y) = (encoded(point.x().unwrap()), encoded(point.y().unwrap()));
    let d = encoded(&secret.to_bytes());
    json!({ "kty": "EC", "crv": "P-256", "alg": "ES256", "use": "sig", "kid": "party", "x": x, "y": y, "d": d })
}

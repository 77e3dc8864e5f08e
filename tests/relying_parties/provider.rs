//! The provider under test: the built server with its own certificate, and a person with two keys.
//! In: `[[client]]` sections. Out: its URL, its authority, the person's keys as WebDriver takes them.
//! Implements the pages' calls of an enrolment.
//! Never a special mode: clients and browser meet what operators run.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Child;
use std::sync::Arc;

use data_encoding::BASE64;
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, KeyUsagePurpose};
use serde_json::{Value, json};
use ureq::tls::{Certificate, RootCerts, TlsConfig};

use crate::built::World;
use crate::maker::Maker;
use crate::software::{credential, software};

/// The model of the key that a maker vouches for.
const MODEL: [u8; 16] = [11; 16];
const MODEL_NAME: &str = "0b0b0b0b-0b0b-0b0b-0b0b-0b0b0b0b0b0b";
const RULES: &str = "[[rule]]\nname = \"none\"\nmatch = { issuer = \"gitlab\" }\ndeny = \"No jobs here.\"\n";
/// Who signs in.
pub const NAME: &str = "Ada Lind";
/// Her address.
pub const EMAIL: &str = "ada@example.com";
/// Her group.
pub const GROUP: &str = "release-managers";

/// A certificate for this machine, and what vouches for it.
pub struct Certified {
    pub authority: PathBuf,
    pub certificate: PathBuf,
    pub key: PathBuf,
    /// What Chromium is told to trust: the SHA-256 of the public key.
    pub pin: String,
}

impl Certified {
    pub fn in_folder(folder: &Path) -> Self {
        let (authority_key, key) = (KeyPair::generate().unwrap(), KeyPair::generate().unwrap());
        let mut authority = CertificateParams::new(Vec::<String>::new()).unwrap();
        authority.distinguished_name.push(DnType::CommonName, "Authority of the tests");
        authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        authority.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        let mut leaf = CertificateParams::new(["localhost".to_owned(), "127.0.0.1".to_owned()]).unwrap();
        leaf.distinguished_name.push(DnType::CommonName, "localhost");
        leaf.use_authority_key_identifier_extension = true;
        let root = authority.self_signed(&authority_key).unwrap();
        let signed = leaf.signed_by(&key, &Issuer::new(authority, authority_key)).unwrap();
        let write = |name: &str, text: &str| {
            let path = folder.join(name);
            std::fs::write(&path, text).unwrap();
            let mode = if name == "tls.key" { 0o600 } else { 0o644 };
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
            path
        };
        let public = openssl::x509::X509::from_der(signed.der()).unwrap().public_key().unwrap();
        Self {
            authority: write("authority.pem", &root.pem()),
            certificate: write("tls.crt", &signed.pem()),
            key: write("tls.key", &key.serialize_pem()),
            pin: BASE64.encode(&openssl::sha::sha256(&public.public_key_to_der().unwrap())),
        }
    }
}

/// A running provider.
pub struct Provider {
    pub url: String,
    world: World,
    server: Child,
    agent: ureq::Agent,
    maker: Maker,
}

/// A person with a key that nobody vouches for, and one whose maker does.
pub struct Person {
    pub id: String,
    pub plain: Value,
    pub hardware: Value,
}

impl Provider {
    /// Founds and starts one with these clients.
    pub fn start(clients: &str, certified: &Certified) -> Self {
        let maker = Maker::of(MODEL);
        let world = World::with(RULES, "https", |folder| {
            std::fs::write(folder.join("maker.pem"), maker.root_pem()).unwrap();
            format!(
                "[[attestation_root]]\nname = \"Keys Inc.\"\nformat = \"packed\"\nfile = \"maker.pem\"\n\
                 aaguids = [\"{MODEL_NAME}\"]\n{clients}"
            )
        });
        let server = world.serve_with(|command| {
            command
                .env("COUNTERSIGN_SERVER__TLS_CERT", &certified.certificate)
                .env("COUNTERSIGN_SERVER__TLS_KEY", &certified.key)
        });
        let authority = Certificate::from_pem(&std::fs::read(&certified.authority).unwrap()).unwrap();
        let tls = TlsConfig::builder()
            .unversioned_rustls_crypto_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .root_certs(RootCerts::from(vec![authority]))
            .build();
        let config = ureq::Agent::config_builder().http_status_as_error(false).proxy(None).tls_config(tls);
        Self { url: world.url.clone(), world, server, agent: config.build().new_agent(), maker }
    }

    /// What discovery says.
    pub fn metadata(&self) -> Value {
        let mut answer = self.agent.get(format!("{}/.well-known/openid-configuration", self.url)).call().unwrap();
        serde_json::from_str(&answer.body_mut().read_to_string().unwrap()).unwrap()
    }

    /// Invites a person on the console, who makes both keys.
    pub fn person(&self) -> Person {
        let invited = self.console(&["people", "invite", NAME, "--group", GROUP]);
        self.console(&["people", "email", NAME, EMAIL]);
        let link = invited["link"].as_str().unwrap();
        let (hardware, cookie) = self.enrol(link, true, None);
        let (plain, _) = self.enrol(link, false, cookie.as_deref());
        Person { id: invited["person"].as_str().unwrap().to_owned(), plain, hardware }
    }

    fn console(&self, arguments: &[&str]) -> Value {
        let ran = self.world.command(&[&["--json"], arguments].concat()).output().unwrap();
        assert!(ran.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&ran.stderr));
        serde_json::from_slice(&ran.stdout).unwrap()
    }

    /// Makes a passkey at a link; the cookie with which the link takes another one.
    fn enrol(&self, link: &str, vouched: bool, cookie: Option<&str>) -> (Value, Option<String>) {
        let (mut soft, drawn) = software(&self.url);
        if vouched {
            soft.behaviour.aaguid = MODEL;
        }
        let (options, _) = self.post(&format!("{link}/options"), &json!({}), cookie);
        let mut response = soft.create(&json!({ "publicKey": options["publicKey"] })).unwrap();
        if vouched {
            self.maker.vouch(&mut response);
        }
        let body = json!({ "ceremony": options["ceremony"], "response": response });
        let (_, cookie) = self.post(&format!("{link}/passkey"), &body, cookie);
        let handle = options["publicKey"]["user"]["id"].as_str().unwrap();
        (credential(&drawn.lock().unwrap(), handle), cookie)
    }

    /// A call of a page of ours, which must be taken; its answer and the cookie that it sets.
    fn post(&self, url: &str, body: &Value, cookie: Option<&str>) -> (Value, Option<String>) {
        let mut request = self
            .agent
            .post(url)
            .header("content-type", "application/json")
            .header("origin", &self.url)
            .header("sec-fetch-site", "same-origin");
        if let Some(cookie) = cookie {
            request = request.header("cookie", cookie);
        }
        let mut answer = request.send(body.to_string()).unwrap();
        let text = answer.body_mut().read_to_string().unwrap();
        assert_eq!(answer.status().as_u16(), 200, "{url}: {text}");
        let set = answer.headers().get("set-cookie").map(|set| set.to_str().unwrap());
        let set = set.and_then(|set| set.split(';').next()).map(str::to_owned);
        (serde_json::from_str(&text).unwrap(), set)
    }
}

impl Drop for Provider {
    fn drop(&mut self) {
        let _ = self.server.kill();
        let _ = self.server.wait();
        let _ = std::fs::remove_dir_all(&self.world.folder);
    }
}

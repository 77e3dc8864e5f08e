//! The built binary on a state of its own: founded through the library, served by the process that users run.
//! In: rules. Out: a folder with configuration and keys, a running server, job tokens of a simulated GitLab.
//! Implements nothing of its own.
//! Never a shortcut into the running process: what it answers comes over its socket.
#![allow(dead_code, reason = "each test binary uses its own part of this")]

use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use countersign::app::Countersign;
use countersign::app::course::{CallLimits, MAX_OPEN_OF_PROJECT, MAX_OPEN_OF_RULE};
use countersign::app::settings::{DeviceSettings, IssuerSettings, Kept, Settings};
use countersign::app::start::{Parts, found, look, start};
use countersign::cli::demo::gitlab::SimulatedJob;
use countersign::clock::Clock;
use countersign::crypto::high_water::HighWaterFile;
use countersign::crypto::log_key::LogKey;
use countersign::crypto::master_key::{MasterKey, MasterKeySource};
use countersign::crypto::signing::SigningKey;
use countersign::domain::ids::IssuerName;
use countersign::domain::job::gitlab::IssuerTerms;
use countersign::domain::rules::TokenAlg;
use countersign::domain::session::SessionLimits;
use countersign::domain::time::{MAX_TOKEN_AGE, WAIT_LIMIT};
use countersign::store::DATABASE;
use serde_json::{Map, Value, json};

pub const GITLAB: &str = "https://gitlab.example.com";
static NEXT: AtomicU32 = AtomicU32::new(0);

/// A founded state and what serves it.
pub struct World {
    pub folder: PathBuf,
    pub url: String,
    gitlab: SigningKey,
}

impl World {
    pub fn new(rules: &str) -> Self {
        let folder = std::env::temp_dir().join(format!(
            "countersign-crash-{}-{}",
            std::process::id(),
            NEXT.fetch_add(1, Ordering::Relaxed)
        ));
        let _ = std::fs::remove_dir_all(&folder);
        let state = folder.join("state");
        countersign::crypto::files::create_dir_private(&folder).unwrap();
        countersign::crypto::files::create_dir_private(&state).unwrap();
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let world = Self {
            url: format!("http://localhost:{port}"),
            gitlab: SigningKey::generate(TokenAlg::Rs256, 2048).unwrap(),
            folder,
        };
        let write = |name: &str, text: &str| {
            countersign::crypto::files::create_secret(&world.folder.join(name), text.as_bytes()).unwrap();
        };
        countersign::crypto::files::create_dir_private(&world.folder.join("rules")).unwrap();
        write("rules/rules.toml", rules);
        write("jwks.json", &json!({ "keys": [world.gitlab.public_jwk()] }).to_string());
        write(
            "countersign.toml",
            &format!(
                "url = \"{}\"\nrules = \"rules\"\n[server]\nlisten = \"127.0.0.1:{port}\"\n[state]\ndirectory = \"state\"\n\
                 [keys]\nmaster_key_file = \"master-key\"\nlog_key_file = \"log-key\"\n\
                 [[issuer]]\nname = \"gitlab\"\nurl = \"{GITLAB}\"\njwks_file = \"jwks.json\"\n",
                world.url
            ),
        );
        MasterKey::create_file(&world.folder.join("master-key")).unwrap();
        LogKey::create_file(&world.folder.join("log-key"), &world.settings().origin).unwrap();
        HighWaterFile::create(&world.folder.join("high-water-mark")).unwrap();
        found(world.parts(), "First admin", 2048).unwrap();
        world
    }

    fn settings(&self) -> Settings {
        Settings {
            url: self.url.clone(),
            rp_id: "localhost".to_owned(),
            origin: "localhost/log".to_owned(),
            directory: self.folder.join("state"),
            wait_limit: WAIT_LIMIT,
            limits: CallLimits {
                max_token_age: MAX_TOKEN_AGE,
                open_of_project: MAX_OPEN_OF_PROJECT,
                open_of_rule: MAX_OPEN_OF_RULE,
            },
            sessions: SessionLimits::default(),
            contact: Some("#platform, or the desk on floor 3".to_owned()),
            people: countersign::domain::change::standing::Terms::default(),
            keys: countersign::domain::keys::Terms::default(),
            issuers: vec![IssuerSettings {
                terms: IssuerTerms {
                    name: IssuerName::parse("gitlab").unwrap(),
                    url: GITLAB.to_owned(),
                    our_url: self.url.clone(),
                    legacy: std::collections::BTreeSet::new(),
                    identity_provider: None,
                    projects: None,
                    namespaces: None,
                },
                jwks_host: None,
                pinned_jwks: None,
                ca_file: None,
                allow_private: false,
                stale_use: Duration::ZERO,
            }],
            devices: DeviceSettings::default(),
            push: None,
            kept: Kept { master_key: "the file master-key".to_owned(), mark: "the file high-water-mark".to_owned() },
            demo: false,
        }
    }

    fn parts(&self) -> Parts {
        Parts {
            settings: self.settings(),
            clock: Clock::system(),
            master_key: MasterKey::load(&MasterKeySource::File(self.folder.join("master-key"))).unwrap(),
            log_key: LogKey::load_file(&self.folder.join("log-key")).unwrap(),
            mark: Box::new(HighWaterFile::open(&self.folder.join("high-water-mark")).unwrap()),
            max_size: None,
            fatal: Box::new(|why| panic!("{why}")),
        }
    }

    /// The binary on this world's configuration, without the caller's environment.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_countersign"));
        command.arg("--config").arg(self.folder.join("countersign.toml")).args(arguments).env_clear();
        command.stdin(Stdio::null());
        command
    }

    /// Starts the built server and waits until it answers.
    pub fn serve(&self) -> Child {
        self.serve_with(|command| command)
    }

    /// As `serve`, with an environment of the test's making.
    pub fn serve_with(&self, change: impl FnOnce(&mut Command) -> &mut Command) -> Child {
        let mut command = self.command(&["serve"]);
        let mut child = change(&mut command).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        let mut said = BufReader::new(child.stderr.take().unwrap());
        let mut line = String::new();
        let mut all = String::new();
        // It says that it listens, or why not; afterwards the rest of its words is read away.
        while said.read_line(&mut line).unwrap() > 0 {
            all.push_str(&line);
            if line.contains("listening") {
                std::thread::spawn(move || std::io::copy(&mut said, &mut std::io::sink()));
                return child;
            }
            line.clear();
        }
        let ended = child.wait();
        panic!("the server did not start ({ended:?}): {all}");
    }

    /// The database's file.
    pub fn database(&self) -> PathBuf {
        self.folder.join("state").join(DATABASE)
    }

    /// The line that verifiers pin.
    pub fn log_vkey(&self) -> String {
        LogKey::load_file(&self.folder.join("log-key")).unwrap().vkey()
    }

    /// The state, read beside a running server.
    pub fn look(&self) -> Countersign {
        look(self.settings(), Clock::system(), self.log_vkey(), None).unwrap()
    }

    pub fn open(&self) -> Countersign {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(start(self.parts(), None)).unwrap()
    }

    pub fn job_token(&self, number: u64) -> String {
        self.sign(&self.job(number))
    }

    pub fn job(&self, number: u64) -> SimulatedJob {
        SimulatedJob::deploy(GITLAB, &self.url, number, Clock::system().now())
    }

    pub fn sign(&self, job: &SimulatedJob) -> String {
        self.gitlab.sign(Value::Object(job.claims.clone()).to_string().as_bytes()).unwrap()
    }
}

/// The claims of a token.
pub fn payload(token: &str) -> Map<String, Value> {
    let part = token.split('.').nth(1).unwrap();
    serde_json::from_slice(&data_encoding::BASE64URL_NOPAD.decode(part.as_bytes()).unwrap()).unwrap()
}

//! The built server is killed under load, again and again: no token without its entry, and no answer doubled.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "a test may stop at once")]

use std::collections::HashMap;
use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc;
use std::time::Duration;

use countersign::app::Countersign;
use countersign::app::course::{CallLimits, MAX_OPEN_OF_PROJECT, MAX_OPEN_OF_RULE};
use countersign::app::settings::{IssuerSettings, Settings};
use countersign::app::start::{Parts, found, start};
use countersign::cli::demo::calls::{Calls, Exchange};
use countersign::cli::demo::gitlab::SimulatedJob;
use countersign::clock::Clock;
use countersign::crypto::high_water::HighWaterFile;
use countersign::crypto::log_key::LogKey;
use countersign::crypto::master_key::{MasterKey, MasterKeySource};
use countersign::crypto::random;
use countersign::crypto::signing::SigningKey;
use countersign::domain::canonical;
use countersign::domain::ids::{Digest, IssuerName};
use countersign::domain::job::gitlab::IssuerTerms;
use countersign::domain::rules::TokenAlg;
use countersign::domain::time::{MAX_TOKEN_AGE, WAIT_LIMIT};
use serde_json::{Map, Value, json};

const GITLAB: &str = "https://gitlab.example.com";
const AUDIENCE: &str = "https://artefacts.example";
const RULES: &str = r#"
[[rule]]
name = "read"
match = { job_project_id = "4711" }
audience = ["https://artefacts.example"]
require = "none"
token = { sub = "gitlab:{job_project_id}:read", alg = "ES256" }
"#;
/// How often the server is killed; more with `COUNTERSIGN_CRASHES`.
const CRASHES: u32 = 12;
const CLIENTS: u64 = 4;
static NEXT: AtomicU32 = AtomicU32::new(0);

struct World {
    folder: PathBuf,
    url: String,
    gitlab: SigningKey,
}

/// A call and what came back, if anything did.
#[derive(Clone)]
struct Called {
    token: String,
    collector: String,
    answer: Option<String>,
}

impl World {
    fn new() -> Self {
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
        write("rules/rules.toml", RULES);
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
            issuers: vec![IssuerSettings {
                terms: IssuerTerms {
                    name: IssuerName::parse("gitlab").unwrap(),
                    url: GITLAB.to_owned(),
                    our_url: self.url.clone(),
                    legacy: std::collections::BTreeSet::new(),
                    projects: None,
                    namespaces: None,
                },
                jwks_host: None,
                pinned_jwks: None,
                ca_file: None,
                allow_private: false,
                stale_use: Duration::ZERO,
            }],
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

    /// Starts the built server and waits until it answers.
    fn serve(&self) -> Child {
        let mut child = Command::new(env!("CARGO_BIN_EXE_countersign"))
            .args(["--config"])
            .arg(self.folder.join("countersign.toml"))
            .arg("serve")
            .env_clear()
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
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

    fn open(&self) -> Countersign {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(start(self.parts(), None)).unwrap()
    }

    fn job_token(&self, number: u64) -> String {
        let job = SimulatedJob::deploy(GITLAB, &self.url, number, Clock::system().now());
        self.gitlab.sign(Value::Object(job.claims).to_string().as_bytes()).unwrap()
    }
}

fn call(calls: &Calls, called: &Called) -> Option<String> {
    let exchange =
        Exchange { token: &called.token, audiences: &[AUDIENCE], collector: Some(&called.collector), wait: false };
    let reply = calls.exchange(&exchange).ok()?;
    assert_eq!(reply.status, 200, "{}", reply.text);
    Some(reply.text("access_token"))
}

fn payload(token: &str) -> Map<String, Value> {
    let part = token.split('.').nth(1).unwrap();
    serde_json::from_slice(&data_encoding::BASE64URL_NOPAD.decode(part.as_bytes()).unwrap()).unwrap()
}

/// Loads the server from several threads until it dies under them.
fn load(world: &World, round: u64, child: &mut Child, after: Duration) -> Vec<Called> {
    std::thread::scope(|scope| {
        let (send, receive) = mpsc::channel();
        for client in 0..CLIENTS {
            let send = send.clone();
            scope.spawn(move || {
                let calls = Calls::new(&world.url);
                for n in 0.. {
                    let number = round * 1_000_000 + client * 100_000 + n;
                    let collector = format!("collector-{number:040}");
                    let mut called = Called { token: world.job_token(number), collector, answer: None };
                    called.answer = call(&calls, &called);
                    let died = called.answer.is_none();
                    send.send(called).unwrap();
                    if died {
                        return;
                    }
                }
            });
        }
        drop(send);
        let (_never, wait) = mpsc::channel::<()>();
        let _ = wait.recv_timeout(after);
        child.kill().unwrap();
        child.wait().unwrap();
        receive.iter().collect()
    })
}

#[test]
fn attack_088_a_killed_server_has_logged_whatever_it_answered_and_doubles_nothing() {
    let crashes = std::env::var("COUNTERSIGN_CRASHES").ok().and_then(|text| text.parse().ok()).unwrap_or(CRASHES);
    let world = World::new();
    let mut all: Vec<Called> = Vec::new();
    let mut lost = 0;
    for round in 0..crashes {
        let mut child = world.serve();
        // Whoever got no answer asks again with the same collector, and gets a token, once.
        let calls = Calls::new(&world.url);
        for called in all.iter_mut().filter(|called| called.answer.is_none()) {
            lost += 1;
            called.answer = call(&calls, called);
            let again = call(&calls, called).unwrap();
            assert_eq!(payload(&again)["jti"], payload(called.answer.as_ref().unwrap())["jti"]);
        }
        let [byte] = random::bytes::<1>().unwrap();
        let after = Duration::from_millis(u64::from(byte) % 200 + 1);
        all.extend(load(&world, u64::from(round), &mut child, after));
    }
    let answered: Vec<_> = all.iter().filter_map(|called| called.answer.as_ref()).collect();
    println!("{crashes} crashes, {} answers, {lost} asked again", answered.len());
    assert!(answered.len() > 10, "the load was too small to show anything");
    check(&world.open(), &answered);
    std::fs::remove_dir_all(&world.folder).unwrap();
}

/// Every answered token has exactly one entry, which holds the digest of its claims; the whole log is whole.
fn check(app: &Countersign, answered: &[&String]) {
    let report = app.check_log().unwrap();
    assert_eq!(report.fault, None);
    let mut entries: HashMap<String, Vec<Value>> = HashMap::new();
    for index in 0..report.entries {
        let entry: Value = serde_json::from_str(&app.show_entry(index).unwrap()).unwrap();
        if entry["kind"] == "token" {
            entries.entry(entry["jti"].as_str().unwrap().to_owned()).or_default().push(entry);
        }
    }
    for token in answered {
        let mut claims = payload(token);
        let log = claims.remove("log").unwrap();
        let found = &entries[claims["jti"].as_str().unwrap()];
        assert_eq!(found.len(), 1, "{} has {} entries", claims["jti"], found.len());
        let entry = found.first().unwrap();
        assert_eq!(entry["seq"], log["index"]);
        let sha256 = Digest::of(&canonical::to_bytes(&claims).unwrap()).to_string();
        assert_eq!(entry["claims_sha256"], sha256);
    }
}

#[test]
fn attack_088_sigterm_finishes_and_exits_0() {
    let world = World::new();
    let mut child = world.serve();
    let calls = Calls::new(&world.url);
    let called = Called { token: world.job_token(1), collector: "c".repeat(43), answer: None };
    let answer = call(&calls, &called).unwrap();
    let stopped = Command::new("kill").args(["-TERM", &child.id().to_string()]).status().unwrap();
    assert!(stopped.success());
    assert_eq!(child.wait().unwrap().code(), Some(0));
    check(&world.open(), &[&answer]);
    let mut child = world.serve();
    assert_eq!(payload(&call(&calls, &called).unwrap())["jti"], payload(&answer)["jti"]);
    child.kill().unwrap();
    child.wait().unwrap();
    std::fs::remove_dir_all(&world.folder).unwrap();
}

//! A founded state on the disk and the built server on it.
//! In: a folder, an issuer's key set. Out: a running process of its own, its memory and its processor time.
//! Implements nothing of its own: the configuration is an operator's, the state is what `init` makes.
//! Never a shortcut into the process: it is reached over HTTP, signals and its console alone.

use std::fs;
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use countersign::cli::open;
use countersign::config::{self, settings::Settings};
use countersign::crypto::files;
use countersign::domain::ids::Digest;
use rustix::process::{Pid, Signal, kill_process};

use super::tokens::GITLAB;
use super::wire::{self, Connection};

/// The server's public URL; its port is not the one it listens on, which is free to choose.
pub const URL: &str = "http://localhost:7744";
/// The host that calls name.
pub const HOST: &str = "localhost:7744";
/// The audience of tokens signed with RS256.
pub const RS256: &str = "sts.amazonaws.com";
/// The audience of tokens signed with ES256.
pub const ES256: &str = "https://vault.example.com";
/// The audience for which people are asked.
pub const APPROVED: &str = "https://approved.example.com";
/// The client whose tokens are refreshed and asked about.
pub const CLIENT: &str = "wiki";
/// Its secret.
pub const CLIENT_SECRET: &str = "cs_of-a-client-that-measures";
/// Who approves.
pub const GROUP: &str = "release-managers";
/// Longest start that is waited for.
const START: Duration = Duration::from_mins(1);

/// Two rules that ask nobody, one for each algorithm, and one that asks a person.
const RULES: &str = r#"
[[rule]]
name     = "unattended, RS256"
match    = { job_project_id = "4711", environment = "production", ref_protected = "true" }
audience = ["sts.amazonaws.com"]
require  = "none"
token    = { forward = ["pipeline_id", "job_id", "sha"] }

[[rule]]
name     = "unattended, ES256"
match    = { job_project_id = "4711", environment = "production", ref_protected = "true" }
audience = ["https://vault.example.com"]
require  = "none"
token    = { forward = ["pipeline_id", "job_id", "sha"], alg = "ES256" }

[[rule]]
name     = "with a person"
match    = { job_project_id = "4711", environment = "production", ref_protected = "true" }
audience = ["https://approved.example.com"]
require  = { approval = { of = ["release-managers"] } }
token    = { forward = ["pipeline_id", "job_id", "sha"], alg = "ES256" }
"#;

/// A founded state.
pub struct World {
    /// Where it lies.
    pub folder: PathBuf,
    /// Where its server listens.
    pub address: SocketAddr,
}

impl World {
    /// Founds a state below `under`.
    pub fn found(under: &Path, jwks: &str) -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let name = format!("w{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let folder = under.join(name);
        let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        for part in ["", "keys", "rules", "state"] {
            files::create_dir_private(&folder.join(part)).unwrap();
        }
        let write = |name: &str, text: &str| files::create_secret(&folder.join(name), text.as_bytes()).unwrap();
        write("rules/rules.toml", RULES);
        write("jwks.json", jwks);
        // Beside addresses and paths: tokens may be signed hours before, and 20,000 jobs of one project may wait.
        write(
            "countersign.toml",
            &format!(
                "url = \"{URL}\"\nrules = \"rules\"\n[server]\nlisten = \"{address}\"\n[state]\ndirectory = \"state\"\n\
                 [keys]\nmaster_key_file = \"keys/master-key\"\nlog_key_file = \"keys/log-key\"\n\
                 [limits]\nmax_token_age = \"24h\"\nopen_requests_per_project = 20000\nopen_requests_per_rule = 20000\n\
                 [[issuer]]\nname = \"gitlab\"\nurl = \"{GITLAB}\"\njwks_file = \"jwks.json\"\n\
                 [[client]]\nid = \"{CLIENT}\"\nname = \"Wiki\"\nauth = \"client_secret_basic\"\n\
                 secret_sha256 = [\"{}\"]\nredirect_uris = [\"https://wiki.example.com/callback\"]\nalg = \"ES256\"\n\
                 scopes = [\"openid\", \"profile\"]\n\
                 grants = [\"authorization_code\", \"refresh_token\", \"client_credentials\"]\n",
                Digest::of(CLIENT_SECRET.as_bytes())
            ),
        );
        let world = Self { folder, address };
        let line = world.folder.join("keys/log-key.pub");
        open::found(&world.settings(), &line, ("First admin", 2048), &mut |_| {}).unwrap();
        world
    }

    /// The checked configuration.
    pub fn settings(&self) -> Settings {
        config::load(Some(&self.config()), &[]).unwrap()
    }

    fn config(&self) -> PathBuf {
        self.folder.join("countersign.toml")
    }

    /// Starts the built server, on the core named where the system can, and waits until it is ready to issue.
    pub fn serve(&self, binary: &Path, core: Option<usize>) -> Running {
        let mut server = match core {
            Some(core) => {
                let mut bound = command("taskset");
                bound.env("PATH", std::env::var_os("PATH").unwrap_or_default());
                bound.args(["-c", &core.to_string()]).arg(binary);
                bound
            }
            None => command(&binary.display().to_string()),
        };
        let said = fs::File::create(self.folder.join("server.log")).unwrap();
        let start = Instant::now();
        let child = server.arg("--config").arg(self.config()).arg("serve").stderr(said).spawn().unwrap();
        let mut running = Running { child, address: self.address, started: Duration::ZERO };
        while !ready(self.address) {
            let said = || fs::read_to_string(self.folder.join("server.log")).unwrap_or_default();
            assert!(running.child.try_wait().unwrap().is_none(), "the server ended: {}", said());
            assert!(start.elapsed() < START, "the server does not start: {}", said());
            thread::sleep(Duration::from_millis(1));
        }
        running.started = start.elapsed();
        running
    }

    /// Invites a person into the group that approves; the path of the enrolment link.
    pub fn invite(&self, binary: &Path, name: &str) -> String {
        let mut people = command(&binary.display().to_string());
        let said = people.arg("--config").arg(self.config()).args(["people", "invite", name, "--group", GROUP]);
        let said = said.output().unwrap();
        assert!(said.status.success(), "{}", String::from_utf8_lossy(&said.stderr));
        let link = String::from_utf8(said.stdout).unwrap();
        link.trim().strip_prefix(URL).unwrap().to_owned()
    }
}

impl Drop for World {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.folder);
    }
}

/// A program with nothing of this process's surroundings.
fn command(program: &str) -> Command {
    let mut command = Command::new(program);
    command.env_clear().stdin(Stdio::null());
    command
}

/// Whether somebody listens there and can issue.
fn ready(address: SocketAddr) -> bool {
    if std::net::TcpStream::connect(address).is_err() {
        return false;
    }
    block_on(async { Connection::open(address, None).await.call(&wire::get("/readyz")).await.status == 200 })
}

/// Runs a future on this thread alone.
pub fn block_on<F: Future>(future: F) -> F::Output {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
}

/// A running server.
pub struct Running {
    child: Child,
    /// Where it listens.
    pub address: SocketAddr,
    /// From its start to the first answer of `/readyz` that says yes.
    pub started: Duration,
}

impl Running {
    /// A line of `/proc/…/status` in MB (10^6 bytes), such as `VmRSS`.
    pub fn memory(&self, line: &str) -> f64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap_or_default();
        let found = status.lines().find_map(|text| text.strip_prefix(line)?.strip_prefix(':'));
        let kib = found.and_then(|text| text.split_whitespace().next()?.parse::<f64>().ok());
        kib.map_or(f64::NAN, |kib| kib * 1024.0 / 1e6)
    }

    /// Processor time that it has used, user and system.
    pub fn cpu(&self) -> Duration {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.child.id())).unwrap_or_default();
        // After the name in parentheses; utime and stime are the 14th and 15th fields, in hundredths of a second.
        let fields: Vec<&str> = stat.rsplit_once(") ").map_or("", |(_, rest)| rest).split(' ').collect();
        let ticks = |at: usize| fields.get(at).and_then(|text| text.parse::<u64>().ok()).unwrap_or(0);
        Duration::from_millis((ticks(11) + ticks(12)) * 10)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Some(pid) = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw) {
            let _ = kill_process(pid, Signal::TERM);
        }
        let _ = self.child.wait();
    }
}

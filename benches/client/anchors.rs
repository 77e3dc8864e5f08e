//! What ours is compared with: a bare pipeline of the same libraries, and another provider.
//! In: programs that were built beside, job tokens. Out: what our own client measures of the one, what the other's script says.
//! Implements nothing.
//! Never guesses: what is not there is named as not measured.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process_group};

use super::exchange::{Measured, drive};
use super::wire::post_form;

/// Where the bare pipeline listens.
const CEILING: &str = "127.0.0.1:8090";
/// Calls that are made ready for it; it takes the same token again and again.
const CALLS: usize = 100_000;
/// Longest time for the other provider's script; it takes some 50 s once the provider is installed.
const PEER_WITHIN: Duration = Duration::from_mins(3);
/// Lines that it says of one process: two algorithms, each over one connection and over 32.
const PEER_ROWS: usize = 4;

/// The bare pipeline, running: parse, verify, append with group commit, sign. No rules, no proofs.
pub struct Ceiling {
    child: Child,
    folder: PathBuf,
    form: String,
}

impl Ceiling {
    /// Starts it with one worker on the core named.
    pub fn start(binary: &Path, under: &Path, core: Option<usize>) -> Self {
        let folder = under.join(format!("ceiling-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let mut command = core.map_or_else(
            || Command::new(binary),
            |core| {
                let mut command = Command::new("taskset");
                command.args(["-c", &core.to_string()]).arg(binary);
                command
            },
        );
        // It leaves a script for `wrk` in the folder for temporary files, and in it the form that it takes.
        command.arg("1").arg(folder.join("ceiling.db")).env("TMPDIR", &folder).stdout(Stdio::null());
        let child = command.spawn().unwrap();
        let start = Instant::now();
        while std::net::TcpStream::connect(CEILING).is_err() {
            assert!(start.elapsed() < Duration::from_secs(10), "the bare pipeline does not start");
            thread::sleep(Duration::from_millis(10));
        }
        let script = fs::read_to_string(folder.join("countersign-ceiling.lua")).unwrap();
        let form = script.split("wrk.body='").nth(1).and_then(|rest| rest.split('\'').next()).unwrap().to_owned();
        Self { child, folder, form }
    }

    /// Exchanges over so many connections for so long; `kind` is `rs` or `es`.
    pub fn exchange(&self, kind: &str, connections: usize, length: Duration) -> Measured {
        let call = post_form(&format!("/token/{kind}"), "", &self.form);
        let at: SocketAddr = CEILING.parse().unwrap();
        drive(at, vec![call; CALLS], connections, length)
    }
}

impl Drop for Ceiling {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = fs::remove_dir_all(&self.folder);
    }
}

/// One line of the other provider's script: algorithm, connections, and what `wrk` said.
pub struct Peer {
    /// `RS256` or `ES256`.
    pub alg: String,
    /// How many connections.
    pub connections: usize,
    /// Answers a second.
    pub rate: f64,
    /// Median, as `wrk` writes it.
    pub p50: String,
    /// 99 %, as `wrk` writes it.
    pub p99: String,
}

/// Runs the other provider's script until it has said what one process on its own core does, and not longer than
/// `PEER_WITHIN`: a registry that does not answer would hold it for minutes. Its words go to stderr.
///
/// # Errors
/// What is missing.
pub fn peer(script: &Path, scratch: &Path) -> Result<Vec<Peer>, String> {
    if !script.is_file() {
        return Err("no anchors given".to_owned());
    }
    for tool in ["node", "npm", "wrk"] {
        if Command::new("which").arg(tool).output().map_or(true, |found| !found.status.success()) {
            return Err(format!("no `{tool}` here"));
        }
    }
    let ends = Instant::now() + PEER_WITHIN;
    let mut script = Script::start(script, scratch).map_err(|error| error.to_string())?;
    let mut found = Vec::new();
    while found.len() < PEER_ROWS {
        match script.lines.recv_timeout(ends.saturating_duration_since(Instant::now())) {
            Ok(line) => {
                eprintln!("{line}");
                found.extend(read(&line));
            }
            Err(RecvTimeoutError::Timeout) => {
                return Err(format!("its script was not through after {} s", PEER_WITHIN.as_secs()));
            }
            Err(RecvTimeoutError::Disconnected) => {
                let ended = script.child.wait().map_or_else(|error| error.to_string(), |status| status.to_string());
                return Err(format!("its script ended early ({ended}); it says why on stderr"));
            }
        }
    }
    Ok(found)
}

/// A script that runs, with all that it starts in one group.
struct Script {
    child: Child,
    lines: Receiver<String>,
}

impl Script {
    fn start(script: &Path, scratch: &Path) -> std::io::Result<Self> {
        let mut command = Command::new("bash");
        command.arg(script).arg(scratch).process_group(0).stdin(Stdio::null()).stdout(Stdio::piped());
        command.env("npm_config_fetch_retries", "1").env("npm_config_fetch_timeout", "30000");
        let mut child = command.spawn()?;
        let said = child.stdout.take();
        let (sender, lines) = channel();
        thread::spawn(move || {
            let said = said.into_iter().flat_map(|said| BufReader::new(said).lines().map_while(Result::ok));
            // Whoever has read enough has left.
            said.map_while(|line| sender.send(line).ok()).for_each(drop);
        });
        Ok(Self { child, lines })
    }
}

impl Drop for Script {
    fn drop(&mut self) {
        if let Some(group) = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw) {
            let _ = kill_process_group(group, Signal::KILL);
        }
        let _ = self.child.wait();
    }
}

/// `1 process, own core RS256 c=32: 50% 10.8ms 99% 22ms Requests/sec: 2884`.
fn read(line: &str) -> Option<Peer> {
    let rest = line.strip_prefix("1 process, own core ")?;
    let (alg, rest) = rest.split_once(" c=")?;
    let (connections, said) = rest.split_once(": ")?;
    let words: Vec<_> = said.split_whitespace().collect();
    let after = |word: &str| words.iter().position(|found| *found == word).and_then(|at| words.get(at + 1)).copied();
    Some(Peer {
        alg: alg.to_owned(),
        connections: connections.parse().ok()?,
        rate: after("Requests/sec:")?.parse().ok()?,
        p50: after("50%")?.to_owned(),
        p99: after("99%")?.to_owned(),
    })
}

//! A folder with an initialised Countersign, and the binary to run in it.
//! In: arguments. Out: how they ended.
//! Implements nothing.
//! Never lets the caller's environment reach the binary.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

/// What tests call us.
pub const URL: &str = "http://localhost:18080";
/// Where the database is.
pub const DATABASE: &str = "state/countersign.db";
/// Where the high-water mark is.
pub const MARK: &str = "keys/high-water-mark";
/// Longest time for anything.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// A folder of a test's own, gone at its end.
pub struct Place(PathBuf);

/// How a command ended.
#[derive(Debug)]
pub struct Ended {
    pub code: i32,
    pub out: String,
    pub err: String,
}

impl From<Output> for Ended {
    fn from(output: Output) -> Self {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Self { code: output.status.code().unwrap_or(-1), out: text(&output.stdout), err: text(&output.stderr) }
    }
}

impl Ended {
    /// It ended so, and said so; what it said.
    pub fn expect(self, code: i32, says: &str) -> Self {
        assert_eq!(self.code, code, "stdout: {}\nstderr: {}", self.out, self.err);
        assert!(
            self.out.contains(says) || self.err.contains(says),
            "`{says}` in\nstdout: {}\nstderr: {}",
            self.out,
            self.err
        );
        self
    }
}

impl Place {
    /// An empty folder.
    pub fn empty() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let name = format!("countersign-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::SeqCst));
        let path = std::env::temp_dir().join(name);
        let _ = std::fs::remove_dir_all(&path);
        std::fs::create_dir_all(&path).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o700)).unwrap();
        Self(path)
    }

    /// What `init` makes, listening on a port of the system's choice.
    pub fn initialised() -> Self {
        let place = Self::empty();
        place.run(&["init", "--url", URL, "--gitlab", "https://gitlab.invalid"]).expect(0, "");
        place.change("countersign.toml", "127.0.0.1:18080", "127.0.0.1:0");
        place
    }

    pub fn at(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    pub fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.at(name)).unwrap()
    }

    pub fn write(&self, name: &str, text: &str) {
        std::fs::write(self.at(name), text).unwrap();
    }

    pub fn change(&self, name: &str, from: &str, to: &str) {
        let text = self.read(name);
        assert!(text.contains(from), "`{from}` in {name}");
        self.write(name, &text.replace(from, to));
    }

    pub fn mode(&self, name: &str, mode: u32) {
        std::fs::set_permissions(self.at(name), std::fs::Permissions::from_mode(mode)).unwrap();
    }

    /// The database as somebody with the file and `sqlite3` has it: nothing of ours stops him.
    pub fn tamper(&self) -> rusqlite::Connection {
        let database = rusqlite::Connection::open(self.at(DATABASE)).unwrap();
        let sql = "SELECT group_concat('DROP TRIGGER ' || name, ';') FROM sqlite_schema WHERE type = 'trigger'";
        let drop: Option<String> = database.query_row(sql, [], |row| row.get(0)).unwrap();
        let more = "PRAGMA ignore_check_constraints = ON; PRAGMA foreign_keys = OFF";
        database.execute_batch(&format!("{}; {more}", drop.unwrap_or_default())).unwrap();
        database
    }

    /// Database and high-water mark: what a snapshot of the whole machine holds of the state.
    pub fn snapshot(&self) -> [Vec<u8>; 2] {
        [DATABASE, MARK].map(|name| std::fs::read(self.at(name)).unwrap())
    }

    /// Puts a database back, and the mark where it is given; no process may hold them.
    pub fn put_back(&self, database: &[u8], mark: Option<&[u8]>) {
        for ending in ["-wal", "-shm"] {
            let _ = std::fs::remove_file(self.at(&format!("{DATABASE}{ending}")));
        }
        std::fs::write(self.at(DATABASE), database).unwrap();
        self.mode(DATABASE, 0o600);
        if let Some(mark) = mark {
            std::fs::write(self.at(MARK), mark).unwrap();
        }
    }

    /// Keeps the newest checkpoint in a file.
    pub fn keep_checkpoint(&self, name: &str) {
        let note = self.run(&["log", "checkpoint"]).expect(0, "localhost/log");
        self.write(name, &note.out);
    }

    /// Every file below, with its mode.
    pub fn files(&self) -> Vec<(String, u32)> {
        let mut found = Vec::new();
        let mut folders = vec![self.0.clone()];
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                let mode = path.symlink_metadata().unwrap().permissions().mode() & 0o7777;
                if path.is_dir() {
                    folders.push(path.clone());
                }
                found.push((path.strip_prefix(&self.0).unwrap().display().to_string(), mode));
            }
        }
        found.sort();
        found
    }

    /// The binary, in this folder, without the caller's environment.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_countersign"));
        command.args(arguments).current_dir(&self.0).env_clear().env("LANG", "C.UTF-8").stdin(Stdio::null());
        command.env("PATH", std::env::var_os("PATH").unwrap_or_default());
        command
    }

    /// Runs a command to its end.
    pub fn run(&self, arguments: &[&str]) -> Ended {
        self.command(arguments).output().unwrap().into()
    }

    /// Starts the server, and waits until it listens.
    pub fn serve(&self) -> Server {
        let mut child = self.command(&["serve"]).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        let (sender, lines) = channel();
        let stderr = BufReader::new(child.stderr.take().unwrap());
        std::thread::spawn(move || {
            for line in stderr.lines().map_while(Result::ok) {
                if sender.send(line).is_err() {
                    return;
                }
            }
        });
        let mut server = Server { child, lines, said: Vec::new(), address: None };
        let listening = server.until("\"listening\"");
        let event: serde_json::Value = serde_json::from_str(&listening).unwrap();
        server.address = event["fields"]["listen"].as_str().unwrap().parse().ok();
        server
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// A running server; killed where a test ends without stopping it.
pub struct Server {
    child: Child,
    lines: Receiver<String>,
    said: Vec<String>,
    address: Option<SocketAddr>,
}

impl Server {
    /// Waits for a line of the diagnostics that has this in it.
    pub fn until(&mut self, says: &str) -> String {
        loop {
            match self.lines.recv_timeout(PATIENCE) {
                Ok(line) if line.contains(says) => return line,
                Ok(line) => self.said.push(line),
                Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => {
                    panic!("never said `{says}`:\n{}", self.said.join("\n"))
                }
            }
        }
    }

    pub fn id(&self) -> u32 {
        self.child.id()
    }

    pub fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    /// Tells it to end, and waits: the exit code.
    pub fn stop(mut self) -> i32 {
        self.signal(Signal::TERM);
        self.child.wait().unwrap().code().unwrap_or(-1)
    }

    /// Ends it as a power cut does.
    pub fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    pub fn address(&self) -> SocketAddr {
        self.address.unwrap()
    }

    /// `GET`, as this machine's browser sends it: the whole answer.
    pub fn get(&self, path: &str) -> String {
        let mut stream = TcpStream::connect(self.address()).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let request = format!("GET {path} HTTP/1.1\r\nHost: localhost:18080\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

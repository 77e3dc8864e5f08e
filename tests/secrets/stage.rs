//! What a life is made of: the built server, calls, people, jobs, the console.
//! In: what to do. Out: answers, with every word, refusal and secret on the way remembered.
//! Implements nothing of its own.
//! Never records what a secret's owner is to have: tokens and links where they are handed over.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::thread::JoinHandle;

use countersign::cli::demo::authenticator::SoftAuthenticator;
use countersign::crypto::random;
use data_encoding::BASE64URL_NOPAD;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

use super::built::World;
use super::ear::Ear;

pub const AWS: &str = "sts.amazonaws.com";
pub const STORE: &str = "https://artefacts.example";

/// What is left of a life.
#[derive(Default)]
pub struct Told {
    /// What the server said of its own, clients' and console's words included.
    pub words: String,
    /// What the server said.
    pub diagnostics: String,
    /// Answers of status 400 and above.
    pub refusals: Vec<Refusal>,
    /// What nobody may say.
    pub secrets: Vec<(String, Vec<u8>)>,
    /// What people and jobs are told, and the diagnostics are not.
    pub links: Vec<(String, Vec<u8>)>,
    /// The same, too short for all the spellings.
    pub codes: Vec<String>,
}

/// An answer that refuses.
pub struct Refusal {
    pub call: String,
    pub status: u16,
    pub text: String,
}

pub struct Answer {
    pub status: u16,
    pub head: String,
    pub body: String,
}

impl Answer {
    #[track_caller]
    pub fn expect(self, status: u16) -> Self {
        assert_eq!(self.status, status, "{}\n{}", self.head, self.body);
        self
    }

    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap()
    }

    pub fn member(&self, name: &str) -> String {
        self.json()[name].as_str().unwrap().to_owned()
    }
}

pub struct Person {
    pub link: String,
    pub authenticator: SoftAuthenticator,
}

pub struct Life {
    pub world: World,
    pub diagnostics: Ear,
    pub words: Ear,
    pub told: Told,
    server: Option<(Child, [JoinHandle<()>; 2])>,
}

impl Life {
    pub fn new(rules: &str) -> Self {
        Self {
            world: World::new(rules),
            diagnostics: Ear::default(),
            words: Ear::default(),
            told: Told::default(),
            server: None,
        }
    }

    pub fn secret(&mut self, name: &str, secret: impl AsRef<[u8]>) {
        self.told.secrets.push((name.to_owned(), secret.as_ref().to_vec()));
    }

    /// A JWT is as secret as each of its parts.
    pub fn token(&mut self, name: &str, jwt: &str) {
        for part in jwt.split('.').filter(|part| part.len() >= 16) {
            self.secret(name, part);
        }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.world.folder.join(name)
    }

    pub fn serve(&mut self) {
        let from = self.diagnostics.length();
        let mut child = Command::new(env!("CARGO_BIN_EXE_countersign"))
            .arg("--config")
            .arg(self.path("countersign.toml"))
            .arg("serve")
            .env_clear()
            .env("COUNTERSIGN_LOG", "trace")
            .env("RUST_BACKTRACE", "full")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let heard = [
            self.diagnostics.listen(child.stdout.take().unwrap()),
            self.diagnostics.listen(child.stderr.take().unwrap()),
        ];
        self.server = Some((child, heard));
        self.diagnostics.until(from, "\"message\":\"listening\"");
    }

    pub fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.server.as_ref().unwrap().0), signal).unwrap();
    }

    /// Reloads, and waits until the diagnostics say so.
    pub fn reload(&self, says: &str) {
        let from = self.diagnostics.length();
        self.signal(Signal::HUP);
        self.diagnostics.until(from, says);
    }

    pub fn stop(&mut self) {
        self.signal(Signal::TERM);
        let (mut child, heard) = self.server.take().unwrap();
        assert_eq!(child.wait().unwrap().code(), Some(0));
        for thread in heard {
            thread.join().unwrap();
        }
    }

    pub fn call(&mut self, line: &str, headers: &[(&str, &str)], body: &str) -> Answer {
        let host = self.world.url.strip_prefix("http://").unwrap().to_owned();
        let mut stream = TcpStream::connect(host.replace("localhost", "127.0.0.1")).unwrap();
        let headers = headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect::<Vec<_>>().concat();
        let length = body.len();
        let request = format!(
            "{line} HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\ncontent-length: {length}\r\n{headers}\r\n{body}"
        );
        // A body that is too large is refused before it was read.
        let _ = stream.write_all(request.as_bytes());
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer);
        let answer = String::from_utf8_lossy(&answer).into_owned();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((&answer, ""));
        let status = head.get(9..12).and_then(|status| status.parse().ok()).unwrap_or_default();
        if status >= 400 {
            let call = line.split(['?', ' ']).take(2).collect::<Vec<_>>().join(" ");
            self.told.refusals.push(Refusal { call, status, text: answer.clone() });
        }
        Answer { status, head: head.to_owned(), body: body.to_owned() }
    }

    pub fn page(&mut self, path: &str, body: &Value) -> Answer {
        let origin = self.world.url.clone();
        let headers =
            [("content-type", "application/json"), ("origin", origin.as_str()), ("sec-fetch-site", "same-origin")];
        self.call(&format!("POST {path}"), &headers, &body.to_string())
    }

    pub fn exchange(&mut self, token: &str, audience: &str, collector: Option<&str>) -> Answer {
        let form = url::form_urlencoded::Serializer::new(String::new())
            .append_pair("grant_type", "urn:ietf:params:oauth:grant-type:token-exchange")
            .append_pair("subject_token_type", "urn:ietf:params:oauth:token-type:id_token")
            .append_pair("requested_token_type", "urn:ietf:params:oauth:token-type:jwt")
            .append_pair("subject_token", token)
            .append_pair("audience", audience)
            .finish();
        // Held, as a client's second call is: one that polls too early would be told to slow down.
        let mut headers = vec![("content-type", "application/x-www-form-urlencoded"), ("prefer", "wait=20")];
        headers.extend(collector.map(|collector| ("idempotency-key", collector)));
        self.call("POST /token", &headers, &form)
    }

    /// A job's token, remembered.
    pub fn job(&mut self, number: u64) -> String {
        let token = self.world.job_token(number);
        self.token("a job token", &token);
        token
    }

    pub fn collector(&mut self) -> String {
        let collector = BASE64URL_NOPAD.encode(&random::bytes::<32>().unwrap());
        self.secret("a collector", &collector);
        collector
    }

    /// Asks; the request's id.
    pub fn ask(&mut self, token: &str, collector: &str) -> String {
        let pending = self.exchange(token, AWS, Some(collector)).expect(400);
        assert_eq!(pending.member("error"), "authorization_pending");
        let id = pending.member("approval_id");
        self.told.links.push(("an approval's link".to_owned(), id.clone().into_bytes()));
        self.told.codes.push(pending.member("approval_code"));
        id
    }

    pub fn enrol(&mut self, name: &str, group: &str) -> Person {
        let invited = self.console_says(&["--json", "people", "invite", name, "--group", group], false);
        let invited: Value = serde_json::from_str(&invited).unwrap();
        let url = self.world.url.clone();
        let link = invited["link"].as_str().unwrap().strip_prefix(&format!("{url}/enrol/")).unwrap().to_owned();
        self.secret("an enrolment link", &link);
        let mut authenticator = SoftAuthenticator::new(&url, Box::new(|bytes| random::fill(bytes).unwrap()));
        self.call(&format!("GET /enrol/{link}"), &[], "").expect(200);
        self.page(&format!("/enrol/{link}/passkey"), &json!({ "ceremony": "none", "response": {} })).expect(400);
        let options = self.page(&format!("/enrol/{link}/options"), &json!({})).expect(200).json();
        let signed = json!({ "ceremony": options["ceremony"], "response": authenticator.create(&options).unwrap() });
        self.secret("an enrolment's ceremony", options["ceremony"].as_str().unwrap());
        let enrolled = self.page(&format!("/enrol/{link}/passkey"), &signed).expect(200);
        let cookie = enrolled.head.lines().find_map(|line| line.strip_prefix("set-cookie: ")).unwrap();
        let cookie = cookie.split(';').next().unwrap().split_once('=').unwrap().1.to_owned();
        self.secret("an enrolment's cookie", &cookie);
        // What is over is refused, whoever holds link and cookie.
        self.page(&format!("/enrol/{link}/passkey"), &signed);
        let held = format!("__Host-countersign-enrolment={cookie}");
        self.call(&format!("GET /enrol/{link}"), &[("cookie", &held)], "");
        self.call(&format!("GET /enrol/{link}"), &[], "").expect(410);
        let mut person = Person { link, authenticator };
        self.sign_in_and_out(&mut person);
        person
    }

    /// A session from its beginning to after its end.
    fn sign_in_and_out(&mut self, person: &mut Person) {
        let options = self.page("/sign-in/options", &json!({})).expect(200).json();
        self.secret("a sign-in's ceremony", options["ceremony"].as_str().unwrap());
        let signed =
            json!({ "ceremony": options["ceremony"], "response": person.authenticator.get(&options).unwrap() });
        let begun = self.page("/sign-in/session", &signed).expect(200);
        let cookie = begun.head.lines().find_map(|line| line.strip_prefix("set-cookie: ")).unwrap();
        let held = cookie.split(';').next().unwrap().to_owned();
        self.secret("a session's cookie", held.split_once('=').unwrap().1);
        for path in ["/", "/waiting", "/me/passkeys", "/me/signed", "/me/signed/7", "/sign-in?next=/x"] {
            self.call(&format!("GET {path}"), &[("cookie", &held)], "");
        }
        self.page("/sign-in/session", &signed).expect(400);
        let url = self.world.url.clone();
        let ours = [("origin", url.as_str()), ("content-type", "application/json"), ("cookie", held.as_str())];
        self.call("POST /sign-out", &ours, "{}").expect(200);
        self.call("POST /sign-out", &ours, "{}").expect(401);
        self.call("GET /me/passkeys", &[("cookie", &held)], "").expect(303);
    }

    pub fn decide(&mut self, person: &mut Person, id: &str, decision: &Value) -> Answer {
        let options = self.page(&format!("/a/{id}/options"), decision);
        if options.status != 200 {
            return options;
        }
        let options = options.json();
        self.secret("an approval's ceremony", options["ceremony"].as_str().unwrap());
        let signed =
            json!({ "ceremony": options["ceremony"], "response": person.authenticator.get(&options).unwrap() });
        self.page(&format!("/a/{id}/decision"), &signed)
    }

    /// Runs a command; what it prints as data is a word like another, unless it is there to hand over a secret.
    pub fn console_says(&mut self, arguments: &[&str], data_is_said: bool) -> String {
        let ran = Command::new(env!("CARGO_BIN_EXE_countersign"))
            .arg("--config")
            .arg(self.path("countersign.toml"))
            .args(arguments)
            .current_dir(&self.world.folder)
            .env_clear()
            .output()
            .unwrap();
        self.words.hear(&ran.stderr);
        if data_is_said {
            self.words.hear(&ran.stdout);
        }
        String::from_utf8(ran.stdout).unwrap()
    }
}

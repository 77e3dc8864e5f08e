//! The job's two clients against the built server: `countersign token`, and `/countersign.sh` under dash and busybox.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "a test may stop at once")]

#[path = "support/built.rs"]
mod built;

use std::io::{BufRead, BufReader, Read};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStderr, Command, Stdio};

use countersign::cli::demo::authenticator::SoftAuthenticator;
use countersign::cli::demo::calls::Calls;
use countersign::crypto::random;
use serde_json::{Value, json};

use built::{World, payload};

const RULES: &str = r#"
[[rule]]
name = "production deploy"
match = { job_project_id = "4711", environment = "production" }
audience = ["sts.amazonaws.com", "https://vault.example"]
require = { approval = { of = ["release-managers"] } }
"#;
const AUDIENCES: [&str; 2] = ["sts.amazonaws.com", "https://vault.example"];

/// How a client is run.
#[derive(Clone, Copy, Debug)]
enum Client {
    Binary,
    /// With `--dpop`.
    Bound,
    Shell(&'static [&'static str]),
}

struct Job<'a> {
    world: &'a World,
    folder: PathBuf,
    token: String,
}

impl Job<'_> {
    fn outs(&self) -> [PathBuf; 2] {
        ["aws.jwt", "vault.jwt"].map(|name| self.folder.join(name))
    }

    fn run(&self, client: Client) -> Child {
        let mut command = match client {
            Client::Binary | Client::Bound => {
                let mut command = Command::new(env!("CARGO_BIN_EXE_countersign"));
                command.arg("token");
                if matches!(client, Client::Bound) {
                    command.arg("--dpop");
                }
                command
            }
            Client::Shell(shell) => {
                let script = self.folder.join("countersign.sh");
                std::fs::write(&script, Calls::new(&self.world.url).get("/countersign.sh").unwrap().text).unwrap();
                let mut command = Command::new(shell.first().unwrap());
                command.args(shell.iter().skip(1)).arg(script);
                command
            }
        };
        for (audience, out) in AUDIENCES.iter().zip(self.outs()) {
            command.arg("--audience").arg(audience).arg("--out").arg(out);
        }
        command
            .env_clear()
            .env("PATH", std::env::var("PATH").unwrap())
            .env("LANG", "C.UTF-8")
            .env("COUNTERSIGN_URL", &self.world.url)
            .env("COUNTERSIGN_ID_TOKEN", &self.token)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap()
    }
}

/// Reads a client's words until it prints the link; the request's id.
fn wait_for_link(said: &mut BufReader<ChildStderr>, all: &mut String) -> String {
    let mut line = String::new();
    while said.read_line(&mut line).unwrap() > 0 {
        all.push_str(&line);
        if let Some((_, id)) = line.trim_end().rsplit_once("/a/") {
            return id.to_owned();
        }
        line.clear();
    }
    panic!("no link was printed: {all}");
}

/// Somebody who may sign, invited on the console of the running server.
fn manager(world: &World, name: &str) -> SoftAuthenticator {
    let ran = Command::new(env!("CARGO_BIN_EXE_countersign"))
        .args(["--json", "--config"])
        .arg(world.folder.join("countersign.toml"))
        .args(["people", "invite", name, "--group", "release-managers"])
        .env_clear()
        .output()
        .unwrap();
    assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
    let invited: Value = serde_json::from_slice(&ran.stdout).unwrap();
    let mut passkey = SoftAuthenticator::new(&world.url, Box::new(|bytes| random::fill(bytes).unwrap()));
    let enrolled = Calls::new(&world.url).enrol(invited["link"].as_str().unwrap(), &mut passkey).unwrap();
    assert_eq!(enrolled.status, 200, "{}", enrolled.text);
    passkey
}

fn mode(path: &Path) -> u32 {
    std::fs::metadata(path).unwrap().permissions().mode() & 0o777
}

fn collectors(folder: &Path) -> usize {
    let names = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    names.filter(|name| name.contains("collector")).count()
}

fn clients() -> Vec<Client> {
    let mut clients = vec![Client::Binary];
    for shell in [["dash"].as_slice(), ["busybox", "sh"].as_slice()] {
        if Command::new(shell.first().unwrap()).arg("-c").arg(":").output().is_ok() {
            clients.push(Client::Shell(shell));
        } else {
            assert!(std::env::var("CI").is_err(), "{shell:?} is missing: apt-get install -y dash busybox");
        }
    }
    clients
}

#[test]
fn a_job_waits_resumes_and_gets_every_token_by_either_client() {
    let world = World::new(RULES);
    let mut server = world.serve();
    let mut passkey = manager(&world, "Mara Voss");
    for (number, client) in clients().into_iter().enumerate() {
        let folder = world.folder.join(format!("job-{number}"));
        std::fs::create_dir(&folder).unwrap();
        let token = world.job_token(u64::try_from(number).unwrap());
        let job = Job { world: &world, folder, token };
        // A first run asks and is killed while it waits.
        let mut first = job.run(client);
        let mut words = String::new();
        let id = wait_for_link(&mut BufReader::new(first.stderr.take().unwrap()), &mut words);
        assert!(words.contains("Approval needed: shop/api · production · 1f3c9ab"), "{client:?}: {words}");
        assert_eq!(collectors(&job.folder), 1, "{client:?} keeps its collector");
        first.kill().unwrap();
        first.wait().unwrap();
        // A second run of the same job is the same collector: the same request, not a contested one.
        let mut second = job.run(client);
        let mut said = BufReader::new(second.stderr.take().unwrap());
        let mut words = String::new();
        assert_eq!(wait_for_link(&mut said, &mut words), id, "{client:?}");
        let signed = Calls::new(&world.url).decide(&id, &json!({ "decision": "approve" }), &mut passkey).unwrap();
        assert_eq!(signed.status, 200, "{}", signed.text);
        said.read_to_string(&mut words).unwrap();
        assert_eq!(second.wait().unwrap().code(), Some(0), "{client:?}: {words}");
        assert!(words.contains("approved after") && words.contains("not hwk: no attestation"), "{client:?}: {words}");
        for (audience, out) in AUDIENCES.iter().zip(job.outs()) {
            let token = std::fs::read_to_string(&out).unwrap();
            assert_eq!(payload(token.trim())["aud"], *audience, "{client:?}");
            assert_eq!(mode(&out), 0o600, "{client:?}");
            assert!(!words.contains(token.trim()), "{client:?} prints no token");
        }
        assert!(!words.contains(&job.token), "{client:?} prints no job token");
        assert_eq!(collectors(&job.folder), 0, "{client:?} takes its collector away");
    }
    server.kill().unwrap();
    server.wait().unwrap();
    std::fs::remove_dir_all(&world.folder).unwrap();
}

#[test]
fn a_key_of_the_run_collects_every_token_and_no_second_run_does() {
    let world = World::new(RULES);
    // It has just started, so it wants a nonce first.
    let mut server = world.serve();
    let mut passkey = manager(&world, "Mara Voss");
    let folder = world.folder.join("bound");
    std::fs::create_dir(&folder).unwrap();
    let job = Job { world: &world, folder, token: world.job_token(200) };
    let mut run = job.run(Client::Bound);
    let mut said = BufReader::new(run.stderr.take().unwrap());
    let mut words = String::new();
    let id = wait_for_link(&mut said, &mut words);
    assert_eq!(collectors(&job.folder), 0, "nothing is kept");
    let signed = Calls::new(&world.url).decide(&id, &json!({ "decision": "approve" }), &mut passkey).unwrap();
    assert_eq!(signed.status, 200, "{}", signed.text);
    said.read_to_string(&mut words).unwrap();
    assert_eq!(run.wait().unwrap().code(), Some(0), "{words}");
    let bound = job.outs().map(|out| payload(std::fs::read_to_string(&out).unwrap().trim())["cnf"]["jkt"].clone());
    assert!(bound[0].is_string() && bound[0] == bound[1], "{bound:?}");
    let second = job.run(Client::Bound).wait_with_output().unwrap();
    let words = String::from_utf8_lossy(&second.stderr).into_owned();
    assert_eq!(second.status.code(), Some(1), "{words}");
    assert!(words.contains("other_collector"), "{words}");
    server.kill().unwrap();
    server.wait().unwrap();
    std::fs::remove_dir_all(&world.folder).unwrap();
}

#[test]
fn a_denied_job_ends_with_exit_1_and_the_reason_by_either_client() {
    let world = World::new(RULES);
    let mut server = world.serve();
    let mut passkey = manager(&world, "Mara Voss");
    for (number, client) in clients().into_iter().enumerate() {
        let folder = world.folder.join(format!("job-{number}"));
        std::fs::create_dir(&folder).unwrap();
        let job = Job { world: &world, folder, token: world.job_token(100 + u64::try_from(number).unwrap()) };
        let mut run = job.run(client);
        let mut said = BufReader::new(run.stderr.take().unwrap());
        let mut words = String::new();
        let id = wait_for_link(&mut said, &mut words);
        let deny = json!({ "decision": "deny", "reason": "wrong commit" });
        let signed = Calls::new(&world.url).decide(&id, &deny, &mut passkey).unwrap();
        assert_eq!(signed.status, 200, "{}", signed.text);
        said.read_to_string(&mut words).unwrap();
        assert_eq!(run.wait().unwrap().code(), Some(1), "{client:?}: {words}");
        for part in ["refused: ", "wrong commit", "(denied_by_person)", "cure: ", "operators: countersign rule explain"]
        {
            assert!(words.contains(part), "{client:?} does not say `{part}`: {words}");
        }
        assert!(job.outs().iter().all(|out| !out.exists()), "{client:?} leaves no token");
    }
    server.kill().unwrap();
    server.wait().unwrap();
    std::fs::remove_dir_all(&world.folder).unwrap();
}

//! One whole life of the built server, at trace level: enrolment, exchanges, decisions, refusals, faults, console, TLS.
//! In: nothing. Out: every word that was said, every answer that refuses, every secret that was used.
//! Implements nothing of its own.
//! Never does by a shortcut what a person, a job or an operator does.

use std::process::{Command, Stdio};
use std::sync::LazyLock;

use countersign::crypto::log_key::LogKey;
use data_encoding::BASE64URL_NOPAD;
use serde_json::{Value, json};

use super::ear::Ear;
use super::stage::{AWS, Life, Person, STORE, Told};

const RULES: &str = r#"
[[rule]]
name = "production deploy"
match = { job_project_id = "4711", environment = "production" }
audience = ["sts.amazonaws.com"]
require = { approval = { of = ["release-managers"] } }

[[rule]]
name = "read"
match = { job_project_id = "4711" }
audience = ["https://artefacts.example"]
require = "none"
token = { sub = "gitlab:{job_project_id}:read", alg = "ES256" }
"#;

/// One life, for all tests.
pub fn live() -> &'static Told {
    static TOLD: LazyLock<Told> = LazyLock::new(|| Life::new(RULES).live());
    &TOLD
}

impl Life {
    fn live(mut self) -> Told {
        self.serve();
        let mut mara = self.enrol("Mara", "release-managers");
        let mut eve = self.enrol("Eve", "others");
        self.exchanges_and_decisions(&mut mara, &mut eve);
        self.forgeries_and_misuse(&mara);
        self.a_client_waits(&mut mara, 40, &json!({ "decision": "approve" }), 0);
        self.a_client_waits(&mut mara, 41, &json!({ "decision": "deny", "reason": "wrong commit" }), 1);
        self.a_fault();
        self.console();
        self.rules_are_reloaded();
        self.stop();
        self.over_tls();
        self.stop();
        self.keys();
        self.told.diagnostics = self.diagnostics.all();
        self.words.hear(self.told.diagnostics.as_bytes());
        self.told.words = self.words.all();
        std::fs::remove_dir_all(&self.world.folder).unwrap();
        self.told
    }

    fn exchanges_and_decisions(&mut self, mara: &mut Person, eve: &mut Person) {
        let (token, collector, stranger) = (self.job(1), self.collector(), self.collector());
        let id = self.ask(&token, &collector);
        self.call(&format!("GET /a/{id}"), &[], "").expect(200);
        let approve = json!({ "decision": "approve" });
        self.decide(eve, &id, &approve).expect(403);
        let options = self.page(&format!("/a/{id}/options"), &approve).expect(200).json();
        let mut forged = mara.authenticator.get(&options).unwrap();
        forged["response"]["signature"] = "AAAA".into();
        self.page(&format!("/a/{id}/decision"), &json!({ "ceremony": options["ceremony"], "response": forged }))
            .expect(400);
        self.decide(mara, &id, &approve).expect(200);
        let answer = self.exchange(&token, AWS, Some(&collector)).expect(200);
        self.token("an issued token", &answer.member("access_token"));
        self.exchange(&token, AWS, Some(&stranger)).expect(400);
        self.exchange(&token, STORE, Some(&collector));
        let (token, collector) = (self.job(2), self.collector());
        let id = self.ask(&token, &collector);
        self.exchange(&token, AWS, Some(&stranger)).expect(400);
        self.decide(mara, &id, &json!({ "decision": "deny", "reason": "not today" })).expect(200);
        self.exchange(&token, AWS, Some(&collector)).expect(400);
        let (token, collector) = (self.job(3), self.collector());
        let answer = self.exchange(&token, STORE, Some(&collector)).expect(200);
        self.token("an issued token", &answer.member("access_token"));
    }

    fn forgeries_and_misuse(&mut self, mara: &Person) {
        let (token, collector) = (self.job(20), self.collector());
        let parts: Vec<_> = token.split('.').map(str::to_owned).collect();
        let header = |text: &str| BASE64URL_NOPAD.encode(text.as_bytes());
        let long = "A".repeat(40_000);
        for forged in [
            format!("{}.{}.{}", header(r#"{"alg":"none"}"#), parts[1], parts[2]),
            format!("{}.{}.{}", header(r#"{"alg":"RS256","kid":"another","typ":"JWT"}"#), parts[1], parts[2]),
            format!("{}.{}.{}", parts[0], header(r#"{"iss":"https://evil.example"}"#), parts[2]),
            format!("{}.{}.{}AA", parts[0], parts[1], parts[2]),
            format!("{token}.{}", parts[2]),
            format!("{token} "),
            format!("{token}\u{0}"),
            format!("Bearer {token}"),
            format!("{}.{long}.{}", parts[0], parts[2]),
        ] {
            assert!(self.exchange(&forged, AWS, Some(&collector)).status >= 400);
        }
        let malformed = format!("{collector}!");
        self.exchange(&token, AWS, Some(&malformed)).expect(400);
        self.exchange(&token, "two words", Some(&collector)).expect(400);
        self.exchange(&token, "https://nobody.example", Some(&collector)).expect(400);
        let form = [("content-type", "application/x-www-form-urlencoded")];
        self.call(&format!("POST /token?subject_token={token}"), &form, "").expect(400);
        self.call(&format!("GET /token?subject_token={token}"), &[], "").expect(405);
        self.call(&format!("GET /{token}"), &[], "").expect(404);
        self.call(&format!("GET /docs/{token}"), &[], "");
        self.call(
            "POST /token",
            &[("content-type", "application/json")],
            &format!("{{\"subject_token\":\"{token}\"}}"),
        )
        .expect(415);
        self.call("POST /token", &form, &format!("subject_token={token}&subject_token={token}")).expect(400);
        self.call("POST /token", &form, &format!("{token}={token}&%zz={token}")).expect(400);
        self.call("POST /token", &form, &format!("subject_token={token}&x={}", "y".repeat(70_000)));
        self.call("POST /token", &[form[0], ("authorization", &format!("Bearer {token}"))], "").expect(400);
        self.call(&format!("{collector} /token"), &form, "");
        self.call(&format!("GET /enrol/{}/..%2f{token}", mara.link), &[], "");
        self.call(&format!("GET /enrol/{}x", mara.link), &[], "").expect(410);
        self.page(&format!("/enrol/{}/name", mara.link), &json!({ "name": token }));
        self.page(&format!("/enrol/{}/options", mara.link), &json!({ "unknown": token })).expect(400);
        self.page(&format!("/a/{collector}/options"), &json!({ "decision": token })).expect(400);
        let line = format!("POST /enrol/{}/options", mara.link);
        let foreign = [("content-type", "application/json"), ("origin", "https://evil.example")];
        self.call(&line, &foreign, "{}").expect(400);
        self.call("GET /readyz", &[], "");
    }

    /// A client that waits for a person, and what it says meanwhile.
    fn a_client_waits(&mut self, person: &mut Person, number: u64, decision: &Value, exit: i32) {
        let token = self.job(number);
        let folder = self.path(&format!("job-{number}"));
        std::fs::create_dir(&folder).unwrap();
        let out = folder.join("token.jwt");
        let mut client = Command::new(env!("CARGO_BIN_EXE_countersign"))
            .args(["token", "--audience", AWS, "--out"])
            .arg(&out)
            .env_clear()
            .env("COUNTERSIGN_URL", &self.world.url)
            .env("COUNTERSIGN_ID_TOKEN", &token)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let ear = Ear::default();
        let heard = [ear.listen(client.stdout.take().unwrap()), ear.listen(client.stderr.take().unwrap())];
        let said = ear.until(0, "/a/");
        let id = ear_id(&ear.until(said.find("/a/").unwrap(), "\n"));
        self.told.links.push(("an approval's link".to_owned(), id.clone().into_bytes()));
        let collector = std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path());
        let collector = collector.into_iter().find(|path| path.to_string_lossy().contains("collector")).unwrap();
        let collector = std::fs::read_to_string(collector).unwrap();
        for word in collector.split(['"', '\n', ' ', ':', ',']).filter(|word| word.len() >= 32) {
            self.secret("a client's collector", word);
        }
        self.decide(person, &id, decision).expect(200);
        let code = client.wait().unwrap().code();
        for thread in heard {
            thread.join().unwrap();
        }
        self.words.hear(ear.all().as_bytes());
        assert_eq!(code, Some(exit), "{}", ear.all());
        if exit == 0 {
            self.token("an issued token", std::fs::read_to_string(&out).unwrap().trim());
        }
    }

    /// The database is locked by somebody else: the server's fault.
    fn a_fault(&mut self) {
        let (token, collector) = (self.job(50), self.collector());
        let connection = rusqlite::Connection::open(self.path("state/countersign.db")).unwrap();
        connection.execute_batch("BEGIN IMMEDIATE").unwrap();
        self.exchange(&token, STORE, Some(&collector)).expect(503);
        connection.execute_batch("ROLLBACK").unwrap();
    }

    fn console(&mut self) {
        let token = self.job(60);
        std::fs::write(self.path("job.jwt"), &token).unwrap();
        let explained = self.console_says(&["rule", "explain", "job.jwt", "--audience", AWS], true);
        assert!(explained.contains("production deploy"), "{explained}");
        std::fs::write(self.path("broken.jwt"), &token[..token.len() - 9]).unwrap();
        self.console_says(&["rule", "explain", "broken.jwt", "--audience", AWS], true);
        let log = self.console_says(&["log", "show", "--last", "1000"], true);
        let entries: Vec<Value> = log.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        let issued = entries.iter().find(|entry| entry["kind"] == "token").unwrap()["seq"].to_string();
        // A bundle hands its documents' salts over, to whoever is to check them.
        let bundle = self.console_says(&["log", "bundle", &issued], false);
        std::fs::write(self.path("bundle.json"), bundle).unwrap();
        let public = LogKey::load_file(&self.path("log-key")).unwrap().vkey();
        std::fs::write(self.path("log-key.pub"), format!("{public}\n")).unwrap();
        let verified = self.console_says(&["verify", "--log-key", "log-key.pub", "bundle.json"], true);
        assert!(!verified.is_empty());
        for command in [
            ["log", "check"].as_slice(),
            &["rule", "check"],
            &["rule", "explain", &issued],
            &["people", "list"],
            &["people", "list", "--json"],
            &["people", "link", "nobody", "--issuer", "gitlab", "--user-id", "7"],
            &["doctor"],
            &["doctor", "--json"],
        ] {
            self.console_says(command, true);
        }
    }

    fn rules_are_reloaded(&self) {
        std::fs::write(self.path("rules/rules.toml"), RULES.replace("audience", "audiance")).unwrap();
        self.reload("the rules before stay in force");
        std::fs::write(self.path("rules/rules.toml"), RULES).unwrap();
        self.reload("rules reloaded");
    }

    fn over_tls(&mut self) {
        let listen = std::fs::read_to_string(self.path("countersign.toml")).unwrap();
        let with_tls = listen.replace("[state]", "tls_cert = \"tls.crt\"\ntls_key = \"tls.key\"\n[state]");
        std::fs::write(self.path("countersign.toml"), with_tls).unwrap();
        self.certificate();
        self.serve();
        self.a_free_token(70);
        self.certificate();
        self.reload("certificate reloaded");
        self.a_free_token(71);
        let good = std::fs::read_to_string(self.path("tls.key")).unwrap();
        let broken = good.replacen("PRIVATE KEY", "PRIVATE KEX", 1);
        for key in [broken, good[..good.len() / 2].to_owned(), good.replace("MI", "IM"), pem_of_another_key()] {
            std::fs::write(self.path("tls.key"), &key).unwrap();
            self.private_key("a key that cannot be used", &key);
            self.reload("the new certificate cannot be used");
        }
        self.a_free_token(72);
    }

    fn certificate(&mut self) {
        let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
        let key = made.signing_key.serialize_pem();
        std::fs::write(self.path("tls.crt"), made.cert.pem()).unwrap();
        std::fs::write(self.path("tls.key"), &key).unwrap();
        set_private(&self.path("tls.key"));
        self.private_key("the certificate's key", &key);
    }

    /// A token that needs nobody, over TLS.
    fn a_free_token(&mut self, number: u64) {
        let token = self.job(number);
        let out = self.path(&format!("free-{number}.jwt"));
        let ran = Command::new(env!("CARGO_BIN_EXE_countersign"))
            .args(["token", "--audience", STORE, "--out"])
            .arg(&out)
            .env_clear()
            .env("COUNTERSIGN_URL", self.world.url.replace("http:", "https:"))
            .env("COUNTERSIGN_ID_TOKEN", &token)
            .env("COUNTERSIGN_CA_FILE", self.path("tls.crt"))
            .output()
            .unwrap();
        self.words.hear(&ran.stderr);
        self.words.hear(&ran.stdout);
        assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
        self.token("an issued token", std::fs::read_to_string(&out).unwrap().trim());
    }
}

fn ear_id(said: &str) -> String {
    said.strip_prefix("/a/").unwrap().split_whitespace().next().unwrap().to_owned()
}

fn pem_of_another_key() -> String {
    rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap().signing_key.serialize_pem()
}

fn set_private(path: &std::path::Path) {
    use std::os::unix::fs::PermissionsExt as _;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600)).unwrap();
}

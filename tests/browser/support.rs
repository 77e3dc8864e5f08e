//! A real server for real pages: in this process, on a free port, with a clock that tests steer.
//! In: rules, people, jobs. Out: links that a browser can open, and what the job is told.
//! Implements nothing: it calls the library as `serve` does, and the endpoints as jobs and browsers do.
//! Never shared between tests: each has its own folder, log, people and time.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::sync::{Arc, mpsc};
use std::thread::JoinHandle;
use std::time::Duration;

use crate::software::{credential, software};
pub use crate::software::{stranger, without_account};

use countersign::app::Countersign;
use countersign::app::console::{ConsoleAnswer, ConsoleCommand};
use countersign::app::course::{CallLimits, MAX_OPEN_OF_PROJECT, MAX_OPEN_OF_RULE};
use countersign::app::propose_change::Wish;
use countersign::app::settings::{DeviceSettings, IssuerSettings, Kept, OwnRootDocuments, PushSettings, Settings};
use countersign::app::start::{Parts, RSA_BITS, StartError, found, start};
use countersign::cli::demo::authenticator::SoftAuthenticator;
use countersign::cli::demo::calls::{Calls, Exchange, Reply};
use countersign::cli::demo::gitlab::{SimulatedGitlab, SimulatedJob};
use countersign::clock::{Clock, ClockHand};
use countersign::crypto::high_water::HighWaterFile;
use countersign::crypto::log_key::LogKey;
use countersign::crypto::master_key::{MasterKey, MasterKeySource};
use countersign::crypto::signing::SigningKey;
use countersign::crypto::{files, random};
use countersign::domain::assurance::evidence::Aaguid;
use countersign::domain::change::standing::Terms;
use countersign::domain::ids::{GroupName, IssuerName, PersonId};
use countersign::domain::job::gitlab::IssuerTerms;
use countersign::domain::keys::Terms as KeyTerms;
use countersign::domain::oauth::client::Client;
use countersign::domain::oauth::exchange::SubjectToken;
use countersign::domain::oauth::link_form::LinkForm;
use countersign::domain::people::proof::{LinkCode, audience};
use countersign::domain::rules::TokenAlg;
use countersign::domain::session::SessionLimits;
use countersign::domain::time::{MAX_TOKEN_AGE, Timestamp, WAIT_LIMIT};
use countersign::http::caller::{MAX_REFUSED_A_MINUTE, MAX_WRONG_CEREMONIES_A_MINUTE};
use countersign::http::serve::{Listening, MAX_CONNECTIONS_OF_NETWORK, serve};
use countersign::store::StoreError;
use data_encoding::BASE64URL_NOPAD;
use serde_json::{Value, json};

use crate::maker::Maker;

/// The group that signs.
pub const GROUP: &str = "release-managers";
/// What jobs ask for.
pub const AUDIENCE: &str = "sts.amazonaws.com";
/// The GitLab user who starts every job.
pub const STARTER: &str = "88";
/// 23 Nov 2026, 10:40 UTC: pictures and times are the same on every run.
const START: i64 = 1_795_430_400;

/// Two rules: one signature for production, two for payments; a third lets other branches ask.
pub const RULES: &str = r#"
[[rule]]
name     = "production deploy"
match    = { job_project_id = "4711", environment = "production", ref_protected = "true" }
audience = ["sts.amazonaws.com"]
require  = { approval = { of = ["release-managers"], not = ["starter"] } }
token    = { forward = ["project_id", "pipeline_id", "job_id", "sha", "environment"] }
aws      = { roles = ["arn:aws:iam::111122223333:role/deploy"], tags = ["gitlab_job_id", "acr"], source_identity = "{approver}" }

[[rule]]
name     = "payments deploy"
match    = { job_project_id = "4711", environment = "payments", ref_protected = "true" }
audience = ["sts.amazonaws.com"]
require  = { approval = { of = ["release-managers"], count = 2, not = ["starter"] } }
aws      = { roles = ["arn:aws:iam::111122223333:role/payments"] }

[[rule]]
name     = "try out"
match    = { job_project_id = "4711", environment = "review", ref_protected = "false" }
audience = ["sts.amazonaws.com"]
require  = { approval = { of = ["release-managers"] } }
aws      = { roles = ["arn:aws:iam::111122223333:role/review"] }
"#;

/// A running server.
pub struct World {
    /// Its URL.
    pub url: String,
    /// The application behind it.
    pub app: Arc<Countersign>,
    /// Its endpoints, without a browser.
    pub calls: Calls,
    /// Steers its time.
    pub hand: ClockHand,
    gitlab: String,
    gitlab_key: Arc<SigningKey>,
    folder: PathBuf,
    stop: Option<tokio::sync::oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
    jobs: std::cell::Cell<u64>,
}

/// A person with a passkey that both software and Chromium's virtual authenticator can hold.
pub struct Person {
    /// Who.
    pub id: PersonId,
    /// The passkey in software: a touch elsewhere.
    pub soft: SoftAuthenticator,
    /// The same passkey, as WebDriver takes it.
    pub credential: Value,
}

/// A job that waits.
pub struct Waiting {
    /// Its request.
    pub id: String,
    /// The link.
    pub link: String,
    /// The code in the job's log.
    pub code: String,
    token: String,
    collector: String,
}

/// What of the configuration differs from test to test.
#[derive(Default)]
struct Told {
    push: Option<PushSettings>,
    clients: Vec<Arc<Client>>,
    devices: DeviceSettings,
    people: Terms,
}

/// The model of the maker's keys.
pub const MODEL: [u8; 16] = [7; 16];

/// How long a test waits for the state directory that it founded itself.
const LET_GO_WITHIN: Duration = Duration::from_secs(30);

struct Running {
    app: Arc<Countersign>,
    hand: ClockHand,
    gitlab: String,
    gitlab_key: Arc<SigningKey>,
}

impl World {
    /// Founds and starts a server; the person who starts jobs, Mara Voss, is linked and may sign others' jobs.
    pub fn start() -> Self {
        Self::with(None)
    }

    /// As `start`, where people may be told on their devices.
    pub fn with(push: Option<PushSettings>) -> Self {
        Self::serving(Told { push, ..Told::default() })
    }

    /// As `start`, where two admins sign other rules.
    pub fn with_signed_rules() -> Self {
        Self::serving(Told { people: Terms { rule_signatures: Some(2), ..Terms::default() }, ..Told::default() })
    }

    /// As `start`, for applications; the maker's keys are known to be kept in hardware.
    pub fn for_clients(clients: Vec<Client>, maker: &Maker) -> Self {
        let own = OwnRootDocuments {
            name: "Keys Inc.".to_owned(),
            format: "packed".to_owned(),
            aaguids: std::collections::BTreeSet::from([Aaguid(MODEL)]),
            roots: maker.root_pem(),
            revoked: None,
        };
        let devices = DeviceSettings { own_roots: vec![own], ..DeviceSettings::default() };
        Self::serving(Told { clients: clients.into_iter().map(Arc::new).collect(), devices, ..Told::default() })
    }

    fn serving(told: Told) -> Self {
        let name = data_encoding::HEXLOWER.encode(&random::bytes::<8>().unwrap());
        let folder = std::env::temp_dir().join(format!("countersign-pages-{name}"));
        files::create_dir_private(&folder).unwrap();
        let port = TcpListener::bind(("127.0.0.1", 0)).unwrap().local_addr().unwrap().port();
        let url = format!("http://localhost:{port}");
        let (ready, started) = mpsc::channel();
        let (stop, stopped) = tokio::sync::oneshot::channel();
        let (in_folder, at) = (folder.clone(), url.clone());
        let thread = std::thread::spawn(move || {
            actix_web::rt::System::new().block_on(live(&in_folder, (&at, port), told, &ready, stopped));
        });
        let Running { app, hand, gitlab, gitlab_key } = started.recv().expect("the server starts");
        let calls = Calls::new(&url);
        let (stop, thread, jobs) = (Some(stop), Some(thread), std::cell::Cell::new(0));
        Self { url, app, calls, hand, gitlab, gitlab_key, folder, stop, thread, jobs }
    }

    /// A program's call with a form, from this address; the status and the JSON of the answer.
    pub fn form(&self, path: &str, pairs: &[(&str, &str)], from: &str) -> (u16, Value) {
        let body = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(pairs).finish();
        let agent = ureq::Agent::config_builder().http_status_as_error(false).proxy(None).build().new_agent();
        let call = agent.post(format!("{}{path}", self.url)).header("x-forwarded-for", from);
        let mut answer = call.header("content-type", "application/x-www-form-urlencoded").send(body).unwrap();
        let text = answer.body_mut().read_to_string().unwrap();
        (answer.status().as_u16(), serde_json::from_str(&text).unwrap())
    }

    /// Invites a person; answers with the person's id and the enrolment link.
    pub fn invite(&self, name: &str, groups: &[&str]) -> (PersonId, String) {
        let groups = groups.iter().map(|group| GroupName::parse(group).unwrap()).collect();
        let command = ConsoleCommand::Invite { name: name.to_owned(), groups, admin: false };
        match wait(self.app.console(command)).unwrap() {
            ConsoleAnswer::Invited { person, link, .. } => (person, link),
            other => panic!("{other:?}"),
        }
    }

    /// Makes a change that admins sign: its link, and the enrolment link that it would make work.
    pub fn propose(&self, wish: Wish) -> (String, Option<String>) {
        match wait(self.app.console(ConsoleCommand::Change { wish, propose: true })).unwrap() {
            ConsoleAnswer::Proposed { link, enrolment, .. } => (link, enrolment),
            other => panic!("{other:?}"),
        }
    }

    /// Does something about a person at once, on the console.
    pub fn act(&self, wish: Wish) {
        wait(self.app.console(ConsoleCommand::Change { wish, propose: false })).unwrap();
    }

    /// Publishes a new signing key, or replaces every one of its algorithm.
    pub fn rotate_keys(&self, alg: TokenAlg, emergency: bool) {
        wait(self.app.console(ConsoleCommand::RotateKeys { alg: Some(alg), emergency })).unwrap();
    }

    /// An admin with a passkey.
    pub fn admin(&self, name: &str) -> Person {
        let command =
            ConsoleCommand::Invite { name: name.to_owned(), groups: std::collections::BTreeSet::new(), admin: true };
        match wait(self.app.console(command)).unwrap() {
            ConsoleAnswer::Invited { person, link, .. } => self.by_link(person, &link),
            other => panic!("{other:?}"),
        }
    }

    /// A person with a passkey.
    pub fn person(&self, name: &str, groups: &[&str]) -> Person {
        let (id, link) = self.invite(name, groups);
        self.by_link(id, &link)
    }

    /// Somebody who lost every passkey, and made a new one with the console's link.
    pub fn recovered(&self, name: &str) -> Person {
        let id = self.person(name, &[]).id;
        let wish = Wish::Recover { person: id.to_string() };
        match wait(self.app.console(ConsoleCommand::Change { wish, propose: false })).unwrap() {
            ConsoleAnswer::Invited { link, .. } => self.by_link(id, &link),
            other => panic!("{other:?}"),
        }
    }

    /// A person with a hardware key, whose maker vouches for it.
    pub fn person_with_hardware(&self, name: &str, groups: &[&str], maker: &Maker) -> Person {
        let (id, link) = self.invite(name, groups);
        self.by_link_of(id, &link, Some(maker))
    }

    /// Somebody who makes a passkey with a link that works.
    fn by_link(&self, id: PersonId, link: &str) -> Person {
        self.by_link_of(id, link, None)
    }

    fn by_link_of(&self, id: PersonId, link: &str, maker: Option<&Maker>) -> Person {
        let (mut soft, drawn) = software(&self.url);
        let path = link.strip_prefix(&self.url).unwrap();
        let options = self.calls.post(&format!("{path}/options"), &json!({})).unwrap();
        if maker.is_some() {
            soft.behaviour.aaguid = MODEL;
        }
        let mut response = soft.create(&json!({ "publicKey": options.body["publicKey"] })).unwrap();
        if let Some(maker) = maker {
            maker.vouch(&mut response);
        }
        let body = json!({ "ceremony": options.text("ceremony"), "response": response });
        let answer = self.calls.post(&format!("{path}/passkey"), &body).unwrap();
        assert_eq!(answer.status, 200, "{}", answer.text);
        let handle = options.body["publicKey"]["user"]["id"].as_str().unwrap();
        let credential = credential(&drawn.lock().unwrap(), handle);
        Person { id, soft, credential }
    }

    /// Ties the GitLab user who starts every job to a person.
    pub fn link_starter(&self, person: &PersonId) {
        let issuer = IssuerName::parse("gitlab").unwrap();
        let command = ConsoleCommand::Link { person: person.to_string(), issuer, user_id: STARTER.to_owned() };
        wait(self.app.console(command)).unwrap();
    }

    /// Puts other rules in force.
    pub fn load_rules(&self, text: &str) {
        wait(self.app.load_rules(&[("rules.toml".to_owned(), text.to_owned())])).unwrap();
    }

    /// A job of its own that asks, with claims changed.
    pub fn ask(&self, change: impl Fn(SimulatedJob) -> SimulatedJob) -> Waiting {
        let (answer, token, collector) = self.first_call(change);
        assert_eq!(answer.text("error"), "authorization_pending", "{}", answer.text);
        let text = |name| answer.text(name);
        let (id, link, code) = (text("approval_id"), text("approval_uri"), text("approval_code"));
        Waiting { id, link, code, token, collector }
    }

    /// A job of its own that no rule takes; the log entry of the refusal.
    pub fn refuse(&self, change: impl Fn(SimulatedJob) -> SimulatedJob) -> u64 {
        let (answer, ..) = self.first_call(change);
        answer.body["log"]["index"].as_u64().unwrap_or_else(|| panic!("{}", answer.text))
    }

    /// What a job of its own is told, its token, its collector.
    fn first_call(&self, change: impl Fn(SimulatedJob) -> SimulatedJob) -> (Reply, String, String) {
        self.jobs.set(self.jobs.get() + 1);
        let now = self.app.clock.now();
        let job = change(SimulatedJob::deploy(&self.gitlab, &self.url, self.jobs.get(), now));
        let token = self.gitlab_key.sign(Value::Object(job.claims).to_string().as_bytes()).unwrap();
        let collector = BASE64URL_NOPAD.encode(&random::bytes::<32>().unwrap());
        let call = Exchange { token: &token, audiences: &[AUDIENCE], collector: Some(&collector), wait: false };
        let answer = self.calls.exchange(&call).unwrap();
        (answer, token, collector)
    }

    /// A job that somebody started by hand brings a person's code.
    pub fn bring(&self, code: &str, change: impl Fn(SimulatedJob) -> SimulatedJob) {
        self.jobs.set(self.jobs.get() + 1);
        let now = self.app.clock.now();
        let job = SimulatedJob::deploy(&self.gitlab, &audience(&self.url), self.jobs.get(), now);
        let job = change(job.with("pipeline_source", json!("web")).with("iat", json!(now.seconds())));
        let token = self.gitlab_key.sign(Value::Object(job.claims).to_string().as_bytes()).unwrap();
        let form = LinkForm { code: LinkCode::parse(code).unwrap(), token: SubjectToken::new(token) };
        wait(self.app.bring_link_code(&form)).unwrap();
    }

    /// The job asks for its token again, and is held where people are still needed.
    pub fn collect(&self, job: &Waiting) -> Reply {
        self.collect_as(job, &job.collector)
    }

    /// Somebody else who has read the job token asks.
    pub fn collect_as(&self, job: &Waiting, collector: &str) -> Reply {
        let call = Exchange { token: &job.token, audiences: &[AUDIENCE], collector: Some(collector), wait: true };
        self.calls.exchange(&call).unwrap()
    }

    /// A person approves without a browser of this test.
    pub fn approve(&self, job: &Waiting, person: &mut Person) {
        let answer = self.calls.decide(&job.id, &json!({ "decision": "approve" }), &mut person.soft).unwrap();
        assert_eq!(answer.status, 200, "{}", answer.text);
    }
}

impl Drop for World {
    fn drop(&mut self) {
        if let Some(stop) = self.stop.take() {
            let _ = stop.send(());
        }
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

/// The store's writer is a thread of its own, so any runtime may wait for it.
fn wait<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
}

/// The server's thread.
async fn live(
    folder: &Path,
    (url, port): (&str, u16),
    told: Told,
    ready: &mpsc::Sender<Running>,
    stopped: tokio::sync::oneshot::Receiver<()>,
) {
    let state = folder.join("state");
    files::create_dir_private(&state).unwrap();
    let gitlab = SimulatedGitlab::start(folder).unwrap();
    let (clock, hand) = Clock::steerable(Timestamp::from_seconds(START));
    let Told { push, clients, devices, people } = told;
    let settings = Settings { push, clients, devices, people, ..settings(url, &state, &gitlab) };
    MasterKey::create_file(&state.join("master-key")).unwrap();
    LogKey::create_file(&state.join("log-key"), &settings.origin).unwrap();
    HighWaterFile::create(&state.join("high-water-mark")).unwrap();
    let founding = parts(&settings, &clock, &state);
    actix_web::web::block(move || found(founding, "Root", RSA_BITS)).await.unwrap().unwrap();
    let rules = [("rules.toml".to_owned(), RULES.to_owned())];
    // A browser that another test is just starting can hold, until it runs, whatever this process had open: the lock too.
    let opened = tokio::time::timeout(LET_GO_WITHIN, async {
        loop {
            match start(parts(&settings, &clock, &state), Some(&rules)).await {
                Err(StartError::Store(StoreError::Locked)) => tokio::task::yield_now().await,
                opened => break opened,
            }
        }
    });
    let app = Arc::new(opened.await.expect("the founding store is let go").unwrap());
    app.push_from_here().unwrap();
    app.tell_logouts_from_here(&app.clients.all()).unwrap();
    let listening = Listening {
        listen: ([127, 0, 0, 1], port).into(),
        tls: None,
        // Whoever calls from elsewhere says so as a proxy would; browsers here say nothing, and are where they are.
        trusted_proxies: vec!["127.0.0.1/32".parse().unwrap()],
        refused_a_minute: MAX_REFUSED_A_MINUTE,
        ceremonies_a_minute: MAX_WRONG_CEREMONIES_A_MINUTE,
        connections_of_network: MAX_CONNECTIONS_OF_NETWORK,
        workers: 2,
    };
    let running = serve(Arc::clone(&app), listening).unwrap();
    let handle = running.handle.clone();
    actix_web::rt::spawn(running.server);
    let (here, gitlab_key) = (gitlab.url.clone(), Arc::clone(&gitlab.key));
    ready.send(Running { app: Arc::clone(&app), hand, gitlab: here, gitlab_key }).unwrap();
    let _ = stopped.await;
    app.waiting().stop();
    handle.stop(false).await;
    gitlab.stop().await;
    app.store.close();
}

fn settings(url: &str, state: &Path, gitlab: &SimulatedGitlab) -> Settings {
    let terms = IssuerTerms {
        name: IssuerName::parse("gitlab").unwrap(),
        url: gitlab.url.clone(),
        our_url: url.to_owned(),
        legacy: std::collections::BTreeSet::new(),
        identity_provider: None,
        projects: None,
        namespaces: None,
    };
    Settings {
        url: url.to_owned(),
        rp_id: "localhost".to_owned(),
        origin: format!("{}/log", url.trim_start_matches("http://")),
        directory: state.to_owned(),
        wait_limit: WAIT_LIMIT,
        limits: CallLimits {
            max_token_age: MAX_TOKEN_AGE,
            open_of_project: MAX_OPEN_OF_PROJECT,
            open_of_rule: MAX_OPEN_OF_RULE,
        },
        sessions: SessionLimits::default(),
        contact: Some("#platform, or the desk on floor 3".to_owned()),
        people: Terms::default(),
        keys: KeyTerms::default(),
        issuers: vec![IssuerSettings {
            terms,
            jwks_host: None,
            pinned_jwks: None,
            ca_file: Some(gitlab.ca_file.clone()),
            allow_private: true,
            stale_use: Duration::from_hours(24),
        }],
        clients: Vec::new(),
        devices: DeviceSettings::default(),
        push: None,
        kept: Kept { master_key: "the file master-key".to_owned(), mark: "the file high-water-mark".to_owned() },
        demo: false,
    }
}

fn parts(settings: &Settings, clock: &Clock, state: &Path) -> Parts {
    Parts {
        settings: settings.clone(),
        clock: clock.clone(),
        master_key: MasterKey::load(&MasterKeySource::File(state.join("master-key"))).unwrap(),
        log_key: LogKey::load_file(&state.join("log-key")).unwrap(),
        mark: Box::new(HighWaterFile::open(&state.join("high-water-mark")).unwrap()),
        max_size: None,
        fatal: Box::new(|why| panic!("the log cannot go on: {why}")),
    }
}

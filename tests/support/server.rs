//! A server under test: the product's own application behind its own sockets, on a state directory of its own.
//! In: rules, limits, a clock that a test steers. Out: calls.
//! Implements nothing: it builds what `serve` builds.
//! Never shares a state directory between tests; the founded state is copied.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::future::Future;
use std::io::Write as _;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, LazyLock, Mutex, mpsc};
use std::thread::JoinHandle;
use std::time::Duration;

use actix_web::dev::ServerHandle;
use countersign::app::Countersign;
use countersign::app::console::{ConsoleAnswer, ConsoleCommand};
use countersign::app::course::CallLimits;
use countersign::app::propose_change::Wish;
use countersign::app::settings::{DeviceSettings, IssuerSettings, Kept, PushSettings, Settings};
use countersign::app::start::{Parts, found, start};
use countersign::clock::{Clock, ClockHand};
use countersign::config::cidr::Cidr;
use countersign::crypto::high_water::HighWaterFile;
use countersign::crypto::log_key::LogKey;
use countersign::crypto::master_key::{MasterKey, MasterKeySource};
use countersign::crypto::random;
use countersign::domain::change::standing::Terms;
use countersign::domain::ids::{GroupName, IssuerName};
use countersign::domain::job::gitlab::IssuerTerms;
use countersign::domain::keys::Terms as KeyTerms;
use countersign::domain::oauth::client::Client;
use countersign::domain::oauth::exchange::{ExchangeHeaders, parse};
use countersign::domain::session::SessionLimits;
use countersign::domain::time::{MAX_TOKEN_AGE, Timestamp, WAIT_LIMIT};
use countersign::http::serve::{Listening, MAX_CONNECTIONS_OF_NETWORK, serve};

use super::exchange::{Exchange, exchange_pairs};
use super::gitlab::{Issuer, JobToken, claims_of, gitlab, other};
use super::rules::RULES;
use super::wire::{Answer, Call, PATIENCE, form};

/// The server's public URL.
pub const URL: &str = "https://sign.shop.example";
/// The log's origin.
pub const ORIGIN: &str = "sign.shop.example/log";
/// When the state was founded.
pub const FOUNDED: i64 = 1_795_430_000;
/// When tests find their server.
pub const NOW: i64 = 1_795_430_400;
/// How long it has been running then, in seconds.
pub const RUNS_FOR: i64 = 31;

/// What a test may want otherwise.
#[derive(Clone)]
pub struct Options {
    /// The rules file.
    pub rules: String,
    /// Limits of the exchange.
    pub limits: CallLimits,
    /// The longest time a call is held.
    pub wait_limit: Duration,
    /// Refused calls from one address.
    pub refused_a_minute: u32,
    /// Wrong ceremonies from one address.
    pub ceremonies_a_minute: u32,
    /// Connections of one network.
    pub connections_of_network: u32,
    /// Worker threads.
    pub workers: usize,
    /// Issuers beside the two usual ones.
    pub issuers: Vec<IssuerSettings>,
    /// Who vouches for passkeys, and which devices are taken.
    pub devices: DeviceSettings,
    /// The name under which the usual GitLab signs its users in through us.
    pub identity_provider: Option<String>,
    /// Whether people may be told on their devices.
    pub push: Option<PushSettings>,
    /// The tools that people sign in to.
    pub clients: Vec<Arc<Client>>,
    /// Proxies whose word about addresses is believed.
    pub trusted_proxies: Vec<Cidr>,
    /// How admins act together.
    pub people: Terms,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            rules: RULES.to_owned(),
            limits: CallLimits { max_token_age: MAX_TOKEN_AGE, open_of_project: 1_000, open_of_rule: 10_000 },
            wait_limit: WAIT_LIMIT,
            refused_a_minute: 1_000_000,
            ceremonies_a_minute: 1_000_000,
            connections_of_network: MAX_CONNECTIONS_OF_NETWORK,
            workers: 2,
            issuers: Vec::new(),
            devices: DeviceSettings::default(),
            identity_provider: None,
            push: None,
            clients: Vec::new(),
            trusted_proxies: Vec::new(),
            people: Terms::default(),
        }
    }
}

impl Options {
    /// Other rules.
    pub fn rules(rules: &str) -> Self {
        Self { rules: rules.to_owned(), ..Self::default() }
    }
}

/// A running server; when it is dropped, its log is checked.
pub struct Server {
    /// The application.
    pub app: Arc<Countersign>,
    /// Moves the clock.
    pub hand: ClockHand,
    /// Where it listens.
    pub address: SocketAddr,
    /// The state directory.
    pub directory: PathBuf,
    /// `jti` of every token that it handed out.
    pub issued: Mutex<BTreeSet<String>>,
    clock: Clock,
    options: Options,
    handle: ServerHandle,
    thread: Option<JoinHandle<()>>,
}

/// A state that was founded once and is copied for each test: RSA keys are slow to make.
struct Template {
    files: Vec<(OsString, Vec<u8>)>,
    admin_link: String,
}

static TEMPLATE: LazyLock<Template> = LazyLock::new(|| {
    let directory = fresh_directory();
    let (clock, _) = Clock::steerable(Timestamp::from_seconds(FOUNDED));
    MasterKey::create_file(&directory.join("master.key")).unwrap();
    LogKey::create_file(&directory.join("log.key"), ORIGIN).unwrap();
    HighWaterFile::create(&directory.join("mark")).unwrap();
    let options = Options::default();
    let founded = found(parts(&directory, &clock, &options), "Ada Admin", 2048).unwrap();
    // The issuer's keys come into the log with the first verified token; tests want to see their own entries alone.
    let app = block_on(start(parts(&directory, &clock, &options), None)).unwrap();
    let token = JobToken::valid(FOUNDED).sign();
    let body = form(&exchange_pairs(&token, &["nobody"]));
    let asked = parse(body.as_bytes(), ExchangeHeaders::default()).unwrap();
    assert!(block_on(app.exchange(asked, None, None)).is_err(), "there are no rules yet");
    app.store.close();
    let files = std::fs::read_dir(&directory).unwrap().map(|file| file.unwrap());
    let files = files.map(|file| (file.file_name(), std::fs::read(file.path()).unwrap())).collect();
    std::fs::remove_dir_all(&directory).unwrap();
    Template { files, admin_link: founded.link }
});

/// The one-time link of the first admin, of every server.
pub fn admin_link() -> &'static str {
    &TEMPLATE.admin_link
}

/// A directory that nobody else has.
pub fn fresh_directory() -> PathBuf {
    use std::os::unix::fs::DirBuilderExt as _;
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let name = format!("countersign-test-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
    let directory = std::env::temp_dir().join(name);
    let _ = std::fs::remove_dir_all(&directory);
    std::fs::DirBuilder::new().mode(0o700).create(&directory).unwrap();
    directory
}

fn write_secret(path: &Path, bytes: &[u8]) {
    use std::os::unix::fs::OpenOptionsExt as _;
    let mut file = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path).unwrap();
    file.write_all(bytes).unwrap();
}

fn issuer_settings(issuer: &Issuer) -> IssuerSettings {
    IssuerSettings {
        terms: IssuerTerms {
            name: IssuerName::parse(issuer.name).unwrap(),
            url: issuer.url.to_owned(),
            our_url: URL.to_owned(),
            legacy: BTreeSet::new(),
            identity_provider: None,
            projects: None,
            namespaces: None,
        },
        jwks_host: None,
        pinned_jwks: Some(issuer.jwks()),
        ca_file: None,
        allow_private: false,
        stale_use: Duration::from_hours(24),
    }
}

/// The opened state of a directory.
pub fn parts(directory: &Path, clock: &Clock, options: &Options) -> Parts {
    let mut issuers = vec![issuer_settings(gitlab()), issuer_settings(other())];
    issuers[0].terms.identity_provider.clone_from(&options.identity_provider);
    issuers.extend(options.issuers.iter().cloned());
    Parts {
        settings: Settings {
            url: URL.to_owned(),
            rp_id: "sign.shop.example".to_owned(),
            origin: ORIGIN.to_owned(),
            directory: directory.to_owned(),
            wait_limit: options.wait_limit,
            limits: options.limits,
            sessions: SessionLimits::default(),
            contact: Some("#platform, or the desk on floor 3".to_owned()),
            people: options.people,
            keys: KeyTerms::default(),
            issuers,
            clients: options.clients.clone(),
            devices: options.devices.clone(),
            push: options.push.clone(),
            kept: Kept { master_key: "the file master.key".to_owned(), mark: "the file mark".to_owned() },
            demo: false,
        },
        clock: clock.clone(),
        master_key: MasterKey::load(&MasterKeySource::File(directory.join("master.key"))).unwrap(),
        log_key: LogKey::load_file(&directory.join("log.key")).unwrap(),
        mark: Box::new(HighWaterFile::open(&directory.join("mark")).unwrap()),
        max_size: None,
        fatal: Box::new(|why| panic!("the store ended the process: {why}")),
    }
}

/// Waits until something is so.
pub fn until(what: &str, reached: impl Fn() -> bool) {
    block_on(until_reached(what, reached));
}

/// As `until`, beside what else the runtime has to do.
pub async fn until_reached(what: &str, reached: impl Fn() -> bool) {
    let found = tokio::time::timeout(PATIENCE, async {
        while !reached() {
            // Between two looks: what is waited for tells nobody of itself.
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    });
    assert!(found.await.is_ok(), "never {what}");
}

/// Runs a future to its end.
pub fn block_on<F: Future>(future: F) -> F::Output {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
}

/// A fresh collector.
pub fn collector() -> String {
    data_encoding::BASE64URL_NOPAD.encode(&random::bytes::<32>().unwrap())
}

type Started = (Arc<Countersign>, SocketAddr, ServerHandle);

fn run(directory: &Path, clock: &Clock, options: &Options) -> (Started, JoinHandle<()>) {
    let (tell, told) = mpsc::channel();
    let (parts, options) = (parts(directory, clock, options), options.clone());
    let thread = std::thread::spawn(move || {
        actix_web::rt::System::new().block_on(async move {
            let rules = [("rules.toml".to_owned(), options.rules.clone())];
            let app = Arc::new(start(parts, Some(&rules)).await.unwrap());
            app.push_from_here().unwrap();
            app.tell_logouts_from_here(&app.clients.all()).unwrap();
            let listening = Listening {
                listen: "127.0.0.1:0".parse().unwrap(),
                tls: None,
                trusted_proxies: options.trusted_proxies.clone(),
                refused_a_minute: options.refused_a_minute,
                ceremonies_a_minute: options.ceremonies_a_minute,
                connections_of_network: options.connections_of_network,
                workers: options.workers,
            };
            let running = serve(Arc::clone(&app), listening).unwrap();
            tell.send((app, running.address, running.handle)).unwrap();
            running.server.await.unwrap();
        });
    });
    (told.recv().expect("the server starts"), thread)
}

impl Server {
    /// A server with the usual rules.
    pub fn start() -> Self {
        Self::with(Options::default())
    }

    /// A server with other options.
    pub fn with(options: Options) -> Self {
        super::diagnostics::listen();
        let directory = fresh_directory();
        for (name, bytes) in &TEMPLATE.files {
            write_secret(&directory.join(name), bytes);
        }
        // It runs for a while already: right after a start, proofs of possession want a nonce.
        let (clock, hand) = Clock::steerable(Timestamp::from_seconds(NOW - RUNS_FOR));
        let ((app, address, handle), thread) = run(&directory, &clock, &options);
        hand.advance(Duration::from_secs(RUNS_FOR.unsigned_abs()));
        Self { app, hand, address, directory, issued: Mutex::default(), clock, options, handle, thread: Some(thread) }
    }

    /// Ends the server without letting answers finish, and starts it again on the same state.
    pub fn restart(&mut self) {
        self.stop();
        if self.clock.step().is_none() {
            // A new process measures from its own start.
            (self.clock, self.hand) = Clock::steerable(self.clock.now());
        }
        let ((app, address, handle), thread) = run(&self.directory, &self.clock, &self.options);
        (self.app, self.address, self.handle, self.thread) = (app, address, handle, Some(thread));
    }

    /// The same, with other applications.
    pub fn restart_for(&mut self, clients: Vec<Client>) {
        self.options.clients = clients.into_iter().map(Arc::new).collect();
        self.restart();
    }

    /// A server for these applications.
    pub fn for_clients(clients: Vec<Client>) -> Self {
        Self::with(Options { clients: clients.into_iter().map(Arc::new).collect(), ..Options::default() })
    }

    /// The same, where admins act together otherwise.
    pub fn restart_on(&mut self, people: Terms) {
        self.options.people = people;
        self.restart();
    }

    /// The same, under other rules.
    pub fn restart_with(&mut self, rules: &str) {
        rules.clone_into(&mut self.options.rules);
        self.restart();
    }

    fn stop(&mut self) {
        if let Some(thread) = self.thread.take() {
            // The command is in the queue even where nobody awaits its end.
            drop(self.handle.stop(false));
            thread.join().expect("the server's thread ends well");
            self.app.store.close();
        }
    }

    /// Lets time pass.
    pub fn pass(&self, seconds: u64) {
        self.hand.advance(Duration::from_secs(seconds));
    }

    /// The server's time.
    pub fn now(&self) -> i64 {
        self.clock.now().seconds()
    }

    /// A job of this very moment.
    pub fn job(&self) -> JobToken {
        JobToken::valid(self.now())
    }

    /// Puts other rules in force.
    pub fn load_rules(&mut self, rules: &str) {
        rules.clone_into(&mut self.options.rules);
        block_on(self.app.load_rules(&[("rules.toml".to_owned(), rules.to_owned())])).unwrap();
    }

    /// Runs a console command.
    pub fn console(&self, command: ConsoleCommand) -> ConsoleAnswer {
        block_on(self.app.console(command)).unwrap()
    }

    /// Invites somebody: the person's id and the link's secret.
    pub fn invite(&self, name: &str, groups: &[&str]) -> (String, String) {
        let groups = groups.iter().map(|group| GroupName::parse(group).unwrap()).collect();
        let command = ConsoleCommand::Invite { name: name.to_owned(), groups, admin: false };
        match self.console(command) {
            ConsoleAnswer::Invited { person, link, .. } => {
                (person.to_string(), link.rsplit_once('/').unwrap().1.to_owned())
            }
            other => panic!("{other:?}"),
        }
    }

    /// Makes a change that admins sign: its id, and the secret of its enrolment link.
    pub fn propose(&self, wish: Wish) -> (String, Option<String>) {
        let last = |link: &str| link.rsplit_once('/').unwrap().1.to_owned();
        match self.console(ConsoleCommand::Change { wish, propose: true }) {
            ConsoleAnswer::Proposed { link, enrolment, .. } => (last(&link), enrolment.map(|link| last(&link))),
            other => panic!("{other:?}"),
        }
    }

    /// The code with which a console command is refused.
    pub fn console_refuses(&self, command: ConsoleCommand) -> String {
        block_on(self.app.console(command)).unwrap_err().code().as_str().to_owned()
    }

    /// Ties GitLab's user 88, who starts the jobs of these tests, to a person.
    pub fn link_starter(&self, person: &str) {
        let issuer = IssuerName::parse("gitlab").unwrap();
        self.console(ConsoleCommand::Link { person: person.to_owned(), issuer, user_id: "88".to_owned() });
    }

    /// A call.
    pub fn call(&self, method: &str, path: &str) -> Call {
        Call::new(self.address, method, path)
    }

    /// `GET`.
    pub fn get(&self, path: &str) -> Answer {
        self.call("GET", path).send()
    }

    /// A call of a page of ours.
    pub fn post_page(&self, path: &str, body: &serde_json::Value) -> Answer {
        self.call("POST", path).of_our_page(body).send()
    }

    /// An exchange.
    pub fn exchange<'a>(&'a self, token: &'a str, audiences: &[&'a str]) -> Exchange<'a> {
        Exchange::new(self, token, audiences)
    }

    /// Asks for AWS with a collector; the answer must be pending. Gives the request's id.
    pub fn ask(&self, token: &str, collector: &str) -> String {
        self.ask_for(token, collector, &[super::rules::AWS])
    }

    /// Asks for a list; the answer must be pending. Gives the request's id.
    pub fn ask_for(&self, token: &str, collector: &str, audiences: &[&str]) -> String {
        self.exchange(token, audiences).collector(collector).send().pending().member("approval_id")
    }

    /// Remembers what an answer handed out.
    pub fn note(&self, answer: &Answer) {
        if answer.status == 200 {
            let token = match answer.header("content-type") {
                Some("application/jwt") => answer.text(),
                _ => answer.member("access_token"),
            };
            let claims = claims_of(&token);
            self.issued.lock().unwrap().insert(claims["jti"].as_str().unwrap().to_owned());
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            super::ledger::check_log(self);
        }
        self.stop();
        let _ = std::fs::remove_dir_all(&self.directory);
    }
}

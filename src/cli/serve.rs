//! `countersign serve`: runs the server until it is told to stop.
//! In: the configuration, signals. Out: pages, tokens and diagnostics; 0 after an orderly stop.
//! Implements DESIGN §12 (SIGHUP reloads clients, rules and certificates, SIGTERM answers every waiting call as pending).
//! Never starts on a doubtful configuration, and never drops what works for what does not.

mod certificates;
mod descriptors;
mod reloaded_clients;
mod socket;

use std::io::{ErrorKind, IsTerminal as _};
use std::path::Path;
use std::sync::Arc;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tracing_subscriber::EnvFilter;

use super::devices;
use super::exit::Exit;
use super::not_opened;
use super::open;
use super::printer::{Printer, Sign};
use super::surroundings;
use crate::app::Countersign;
use crate::app::load_rules::LoadError;
use crate::clock::Clock;
use crate::config::devices::{MetadataFiles, RootSettings};
use crate::config::rules_folder;
use crate::config::settings::Settings;
use crate::http::serve::{Listening, MAX_CONNECTIONS_OF_NETWORK, Running, serve};
use crate::tasks;
use certificates::Certificates;

/// The variable that says how much the diagnostics tell.
pub const LOG_VARIABLE: &str = "COUNTERSIGN_LOG";
/// What the diagnostics tell where the variable says nothing: the server's own words, not its framework's.
pub const LOG_DEFAULT: &str = "info,actix_server=warn";
/// Fewest worker threads.
pub const WORKERS_LEAST: usize = 2;

/// Runs the command.
pub fn run(config: Option<&Path>, printer: &mut Printer) -> Exit {
    let settings = match super::configured(config, printer) {
        Ok(settings) => settings,
        Err(exit) => return exit,
    };
    if let Err(what) = diagnostics() {
        printer.problem(what, format!("unset {LOG_VARIABLE}, or set it to error, warn, info, debug or trace"));
        return Exit::Usage;
    }
    descriptors::raise();
    actix_web::rt::System::new().block_on(run_until_told((&settings, config), printer))
}

/// Whose words never come into the diagnostics, whatever is asked for: the client that calls webhooks and push services tells
/// their addresses, and whoever knows those may send there.
const SILENT: [&str; 2] = ["ureq=off", "ureq_proto=off"];

/// What the diagnostics tell.
///
/// # Errors
/// The text is no filter.
pub fn filter(wanted: &str) -> Result<EnvFilter, String> {
    let silent = SILENT.iter().filter_map(|directive| directive.parse().ok());
    let filter = EnvFilter::try_new(wanted).map_err(|error| error.to_string())?;
    Ok(silent.fold(filter, EnvFilter::add_directive))
}

/// Where the diagnostics go: lines for a person at a terminal, JSON for everything else.
fn diagnostics() -> Result<(), String> {
    let wanted = surroundings::variable(LOG_VARIABLE).unwrap_or_else(|| LOG_DEFAULT.to_owned());
    let filter = filter(&wanted).map_err(|error| format!("{LOG_VARIABLE} is `{wanted}`: {error}"))?;
    // A line that cannot be written (a full disk, a reader that is gone) is lost; saying so on the same stream would panic.
    let builder =
        tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).log_internal_errors(false);
    let set = if std::io::stderr().is_terminal() { builder.try_init() } else { builder.json().try_init() };
    set.map_err(|error| error.to_string())
}

/// Everything that runs.
struct Server {
    app: Arc<Countersign>,
    certificates: Option<Arc<Certificates>>,
    running: Running,
    console: socket::Console,
    tasks: tasks::Running,
}

/// The signals that end a server.
struct Ending {
    terminate: Signal,
    interrupt: Signal,
}

impl Ending {
    fn listen() -> std::io::Result<Self> {
        Ok(Self { terminate: signal(SignalKind::terminate())?, interrupt: signal(SignalKind::interrupt())? })
    }

    async fn told(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}

async fn run_until_told((settings, config): (&Settings, Option<&Path>), printer: &mut Printer) -> Exit {
    // First, so that a signal during the start is not lost.
    let signals = Ending::listen().and_then(|ending| Ok((ending, signal(SignalKind::hangup())?)));
    let (mut ending, mut hangup) = match signals {
        Ok(signals) => signals,
        Err(error) => {
            printer.problem(format!("signals cannot be received: {error}"), "look at the system's limits");
            return Exit::OurFault;
        }
    };
    let Server { app, certificates, running, console, tasks } = match start(settings, printer).await {
        Ok(server) => server,
        Err(exit) => return exit,
    };
    greet(settings, &app, &running, printer);
    warm(&app);
    let handle = running.handle.clone();
    let mut server = actix_web::rt::spawn(running.server);
    let exit = loop {
        tokio::select! {
            Some(()) = hangup.recv() => reload((settings, config), &app, certificates.as_deref()).await,
            () = ending.told() => break Exit::Yes,
            ended = &mut server => {
                // A task that panicked would quote the panic's message.
                let problem = match ended {
                    Ok(Ok(())) => "it was told to".to_owned(),
                    Ok(Err(error)) => error.to_string(),
                    Err(_) => "its task failed".to_owned(),
                };
                tracing::error!(problem, "the server ended by itself");
                break Exit::OurFault;
            }
        }
    };
    tracing::info!("stopping: waiting calls are answered as pending");
    app.waiting().stop();
    tokio::select! {
        () = handle.stop(true) => {}
        // Told twice: at once.
        () = ending.told() => handle.stop(false).await,
    }
    tasks.stop();
    console.close();
    app.store.close();
    tracing::info!("stopped");
    exit
}

async fn start(settings: &Settings, printer: &mut Printer) -> Result<Server, Exit> {
    let certificates = match &settings.server.tls {
        None => None,
        Some(files) => Some(Arc::new(Certificates::load(files.clone(), Clock::system().now()).map_err(|what| {
            printer.problem(what, "put a good certificate (chain, our own first) and its key there, both PEM");
            Exit::Usage
        })?)),
    };
    let tls = certificates.as_ref().map(Certificates::server_config).transpose().map_err(|what| {
        printer.problem(what, "report it: these are the library's own defaults");
        Exit::OurFault
    })?;
    let app = Arc::new(open::open(settings).await.map_err(|error| not_opened::explain(&error, printer))?);
    match open::outbound(settings, &app.clock) {
        Ok(Some(outbound)) => app.send_through(outbound),
        Ok(None) => {}
        Err(error) => {
            app.store.close();
            return Err(not_opened::explain(&error, printer));
        }
    }
    if let Err(error) = app.push_from_here() {
        app.store.close();
        return Err(not_opened::explain(&error.into(), printer));
    }
    if let Err(error) = app.tell_logouts_from_here(&app.clients.all()) {
        app.store.close();
        return Err(not_opened::explain(&error.into(), printer));
    }
    if let Some(certificates) = &certificates {
        app.upkeep().certificate_until(certificates.until());
    }
    let console = match socket::listen(&settings.state_directory, Arc::clone(&app)) {
        Ok(console) => console,
        Err(error) => {
            app.store.close();
            let what = format!("the console's socket in `{}`: {error}", settings.state_directory.display());
            printer.problem(what, "give the state directory to the server's own user, at a path under 90 characters");
            return Err(Exit::Usage);
        }
    };
    let listening = Listening {
        listen: settings.server.listen,
        tls,
        trusted_proxies: settings.server.trusted_proxies.clone(),
        refused_a_minute: settings.limits.refused_per_minute,
        ceremonies_a_minute: settings.limits.ceremonies_per_minute,
        connections_of_network: MAX_CONNECTIONS_OF_NETWORK,
        workers: std::thread::available_parallelism().map_or(WORKERS_LEAST, |count| count.get().max(WORKERS_LEAST)),
    };
    match serve(Arc::clone(&app), listening) {
        Ok(running) => Ok(Server { tasks: tasks::start(&app), app, certificates, running, console }),
        Err(error) => {
            console.close();
            app.store.close();
            let what = format!("cannot listen on {}: {error}", settings.server.listen);
            printer.problem(what, cure_of_bind(&error));
            Err(Exit::Usage)
        }
    }
}

fn cure_of_bind(error: &std::io::Error) -> &'static str {
    match error.kind() {
        ErrorKind::AddrInUse => "stop what listens there, or set `server.listen` to another port",
        ErrorKind::PermissionDenied => {
            "set `server.listen` to a port above 1023, or give the process CAP_NET_BIND_SERVICE"
        }
        ErrorKind::AddrNotAvailable => "set `server.listen` to an address of this machine",
        _ => "set `server.listen` to an address and port that are free",
    }
}

/// What a person wants to know when it runs; diagnostics where nobody watches.
fn greet(settings: &Settings, app: &Countersign, running: &Running, printer: &mut Printer) {
    let scheme = if settings.server.tls.is_some() { "https" } else { "http" };
    let issuers: Vec<_> = settings.issuers.iter().map(|issuer| format!("{} {}", issuer.name, issuer.url)).collect();
    let rules = app.rules();
    let count = rules.rules.iter().len();
    // What cannot be read now is found by the first call.
    let warnings = app.rule_warnings().unwrap_or_default();
    if printer.abilities().terminal {
        printer.signed(Sign::Ok, format!("{} listens on {scheme}://{}", settings.url, running.address));
        printer.words(format!("  passkeys are bound to {}", settings.rp_id));
        printer.words(format!("  {count} rules for jobs of {}", issuers.join(", ")));
        for warning in &warnings {
            printer.signed(Sign::Warn, warning);
        }
        return;
    }
    tracing::info!(
        listen = %running.address, scheme, url = %settings.url, rp_id = %settings.rp_id, ?issuers, rules = count,
        "listening"
    );
    for warning in &warnings {
        tracing::warn!(%warning, "rules");
    }
}

/// Asks the issuers for their keys before the first job comes; the start does not wait for it.
fn warm(app: &Arc<Countersign>) {
    let app = Arc::clone(app);
    actix_web::rt::spawn(async move {
        for finding in app.examine_issuers().await {
            if let Some(cure) = finding.cure {
                tracing::warn!(
                    issuer = finding.subject,
                    problem = finding.text,
                    cure,
                    "an issuer's keys are not there"
                );
            }
        }
    });
}

/// Reads clients, rules and certificates again; what is broken changes nothing, and `/readyz` warns of it until it is mended.
async fn reload(
    (settings, config): (&Settings, Option<&Path>),
    app: &Countersign,
    certificates: Option<&Certificates>,
) {
    let read = reloaded_clients::read(config);
    let clients = reloaded_clients::put(&read, app);
    let rules = reload_rules(settings, app).await;
    // A client may have the audience that a rule has just given up.
    let clients = clients.or_else(|_| reloaded_clients::put(&read, app));
    app.upkeep().tell("clients", reloaded_clients::told(clients, app).err());
    app.upkeep().tell("rules", rules.err());
    // One that is fetched may not be there yet.
    let there = |files: &&MetadataFiles| files.fetch.is_none() || open::exists(&files.blob);
    if let Some(files) = settings.devices.metadata.as_ref() {
        let loaded = if there(&files) { reload_metadata(files, app).await } else { reload_root(files, app) };
        app.upkeep().tell("metadata", loaded.err());
    }
    if settings.devices.roots.iter().any(|root| root.revocation_file.is_some()) {
        app.upkeep().tell("revoked", reload_revoked(&settings.devices.roots, app).err());
    }
    if let Some(certificates) = certificates {
        let problem = certificates.reload(app.clock.now()).err();
        match &problem {
            None => {
                app.upkeep().certificate_until(certificates.until());
                tracing::info!("certificate reloaded");
            }
            Some(problem) => tracing::error!(problem, "the new certificate cannot be used; the old one stays"),
        }
        let shown = problem.map(|problem| format!("the new one cannot be used, the old one stays: {problem}"));
        app.upkeep().tell("certificate", shown);
    }
}

fn reload_revoked(roots: &[RootSettings], app: &Countersign) -> Result<(), String> {
    let read = devices::revoked(roots).map_err(|error| error.to_string());
    let loaded = read.and_then(|lists| app.load_revoked(&lists).map_err(|error| error.to_string()));
    match loaded {
        Ok(()) => {
            tracing::info!("lists of revoked certificates reloaded");
            Ok(())
        }
        Err(problem) => {
            tracing::error!(problem, "the new lists of revoked certificates cannot be used; the old stay in force");
            Err(format!("the new ones cannot be used, the old ones stay: {problem}"))
        }
    }
}

/// Metadata that is fetched and is not there yet: whom it is believed from is read again.
fn reload_root(files: &MetadataFiles, app: &Countersign) -> Result<(), String> {
    let read = devices::document(&files.root).map_err(|error| error.to_string());
    read.and_then(|root| app.trust_root(&root).map_err(|error| error.to_string()))
}

async fn reload_metadata(files: &MetadataFiles, app: &Countersign) -> Result<(), String> {
    let read = devices::metadata(files).map_err(|error| error.to_string());
    let loaded = match read {
        Ok(documents) => app.load_metadata(&documents).await.map_err(|error| error.to_string()),
        Err(error) => Err(error),
    };
    match loaded {
        Ok(number) => {
            tracing::info!(number, "metadata reloaded");
            Ok(())
        }
        Err(problem) => {
            tracing::error!(problem, "the new metadata cannot be used; the old stays in force");
            Err(format!("the new one cannot be used, the old one stays: {problem}"))
        }
    }
}

async fn reload_rules(settings: &Settings, app: &Countersign) -> Result<(), String> {
    let kept = |what: &dyn std::fmt::Display| Err(format!("the new ones do not load, the old stay in force: {what}"));
    let texts = match rules_folder::read(&settings.rules) {
        Ok(texts) => texts,
        Err(error) => {
            for fault in &error.faults {
                tracing::error!(%fault, "the new rules cannot be read; the old stay in force");
            }
            return kept(&error);
        }
    };
    match app.load_rules(&texts).await {
        Ok(warnings) => {
            for warning in warnings {
                tracing::warn!(%warning, "rules");
            }
            let rules = app.rules();
            let count = rules.rules.iter().len();
            match rules.waits {
                None => tracing::info!(rules = count, "rules reloaded"),
                Some(_) => {
                    tracing::warn!(rules = count, "rules read; those before stay in force until admins have signed");
                }
            }
            Ok(())
        }
        Err(LoadError::Rules(faults)) => {
            for fault in &faults {
                tracing::error!(%fault, "the new rules do not load");
            }
            tracing::error!("the rules before stay in force");
            match faults.first() {
                Some(first) => kept(first),
                None => kept(&"no fault was named"),
            }
        }
        Err(LoadError::App(error)) => {
            tracing::error!(%error, "the new rules cannot be logged; the old stay in force");
            kept(&error)
        }
    }
}

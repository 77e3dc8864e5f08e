//! The demo's world: a folder, a simulated GitLab, a real server, two people.
//! In: where to keep things. Out: a running world, and an end that removes it.
//! Implements SCREENS' demo.
//! Never anything outside its folder.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use actix_web::dev::ServerHandle;

use crate::app::Countersign;
use crate::app::console::{ConsoleAnswer, ConsoleCommand};
use crate::app::course::{CallLimits, MAX_OPEN_OF_PROJECT, MAX_OPEN_OF_RULE};
use crate::app::settings::{DeviceSettings, IssuerSettings, Kept, Settings};
use crate::app::start::{Parts, RSA_BITS, found, start};
use crate::cli::args::DemoArgs;
use crate::cli::open::end_the_process;
use crate::clock::Clock;
use crate::crypto::files;
use crate::crypto::high_water::HighWaterFile;
use crate::crypto::log_key::LogKey;
use crate::crypto::master_key::{MasterKey, MasterKeySource};
use crate::crypto::random;
use crate::domain::change::standing::Terms;
use crate::domain::ids::{GroupName, IssuerName, PersonId};
use crate::domain::job::gitlab::IssuerTerms;
use crate::domain::keys::Terms as KeyTerms;
use crate::domain::session::SessionLimits;
use crate::domain::time::{MAX_TOKEN_AGE, WAIT_LIMIT};
use crate::http::caller::{MAX_REFUSED_A_MINUTE, MAX_WRONG_CEREMONIES_A_MINUTE};
use crate::http::serve::{Listening, MAX_CONNECTIONS_OF_NETWORK, serve};

use super::gitlab::SimulatedGitlab;

/// The port that people see, where it is free.
const PORT: u16 = 41_800;
/// The demo's rule.
pub const RULES: &str = include_str!("rules.toml");
/// The group that signs.
const GROUP: &str = "release-managers";
/// The starter's user id in the simulated GitLab.
const STARTER: &str = "88";

/// A running world.
pub struct World {
    /// Where everything is.
    pub folder: PathBuf,
    /// Our URL.
    pub url: String,
    /// The application.
    pub app: Arc<Countersign>,
    /// The issuer.
    pub gitlab: SimulatedGitlab,
    /// You.
    pub you: PersonId,
    /// Your enrolment link.
    pub link: String,
    _temporary: Option<Temporary>,
    handle: ServerHandle,
}

impl World {
    /// Founds and starts everything.
    pub async fn start(args: &DemoArgs) -> Result<Self, String> {
        let (folder, temporary) = folder(args.keep.as_deref())?;
        let temporary = temporary.then(|| Temporary(folder.clone()));
        let state = folder.join("state");
        files::create_dir_private(&state).map_err(text)?;
        let gitlab = SimulatedGitlab::start(&folder)?;
        let listen = free_address()?;
        let url = format!("http://localhost:{}", listen.port());
        let settings = settings(&url, &state, &gitlab)?;
        MasterKey::create_file(&state.join("master-key")).map_err(text)?;
        LogKey::create_file(&state.join("log-key"), &settings.origin).map_err(text)?;
        HighWaterFile::create(&state.join("high-water-mark")).map_err(text)?;
        let founding = parts(&settings, &state)?;
        actix_web::web::block(move || found(founding, "You", RSA_BITS)).await.map_err(text)?.map_err(text)?;
        let rules = [("demo.toml".to_owned(), RULES.to_owned())];
        let app = Arc::new(start(parts(&settings, &state)?, Some(&rules)).await.map_err(text)?);
        let running = serve(Arc::clone(&app), listening(listen)).map_err(text)?;
        let handle = running.handle.clone();
        actix_web::rt::spawn(running.server);
        let (you, link) = invite(&app, "You", true).await?;
        let (starter, _) = invite(&app, "Mara Voss", false).await?;
        link_starter(&app, &starter).await?;
        // People joined groups after the rules loaded: load again, so that no warning is stale.
        app.load_rules(&rules).await.map_err(text)?;
        Ok(Self { folder, url, app, gitlab, you, link, _temporary: temporary, handle })
    }

    /// Stops everything, and removes the folder unless it is kept.
    pub async fn end(&self) -> Result<(), String> {
        self.app.waiting().stop();
        self.handle.stop(false).await;
        self.gitlab.stop().await;
        self.app.store.close();
        Ok(())
    }
}

/// The demo's folder, removed with everything in it when the demo ends, however it ends: there are keys in it.
struct Temporary(PathBuf);

impl Drop for Temporary {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn text(error: impl std::fmt::Display) -> String {
    error.to_string()
}

fn folder(keep: Option<&Path>) -> Result<(PathBuf, bool), String> {
    if let Some(keep) = keep {
        super::keep::prepare(keep)?;
        return Ok((keep.to_owned(), false));
    }
    let name = data_encoding::BASE32_NOPAD.encode(&random::bytes::<10>().map_err(text)?).to_lowercase();
    let folder = std::env::temp_dir().join(format!("countersign-demo-{name}"));
    files::create_dir_private(&folder).map_err(text)?;
    Ok((folder, true))
}

fn free_address() -> Result<SocketAddr, String> {
    let at = |port| SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    if TcpListener::bind(at(PORT)).is_ok() {
        return Ok(at(PORT));
    }
    let listener = TcpListener::bind(at(0)).map_err(text)?;
    listener.local_addr().map_err(text)
}

fn settings(url: &str, state: &Path, gitlab: &SimulatedGitlab) -> Result<Settings, String> {
    let terms = IssuerTerms {
        name: IssuerName::parse("gitlab").map_err(text)?,
        url: gitlab.url.clone(),
        our_url: url.to_owned(),
        legacy: std::collections::BTreeSet::new(),
        identity_provider: None,
        projects: None,
        namespaces: None,
    };
    Ok(Settings {
        url: url.to_owned(),
        rp_id: "localhost".to_owned(),
        origin: "localhost/log".to_owned(),
        directory: state.to_owned(),
        wait_limit: WAIT_LIMIT,
        limits: CallLimits {
            max_token_age: MAX_TOKEN_AGE,
            open_of_project: MAX_OPEN_OF_PROJECT,
            open_of_rule: MAX_OPEN_OF_RULE,
        },
        sessions: SessionLimits::default(),
        contact: None,
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
        kept: Kept { master_key: "a file in the demo's folder".to_owned(), mark: "a file beside it".to_owned() },
        demo: true,
    })
}

fn parts(settings: &Settings, state: &Path) -> Result<Parts, String> {
    Ok(Parts {
        settings: settings.clone(),
        clock: Clock::system(),
        master_key: MasterKey::load(&MasterKeySource::File(state.join("master-key"))).map_err(text)?,
        log_key: LogKey::load_file(&state.join("log-key")).map_err(text)?,
        mark: Box::new(HighWaterFile::open(&state.join("high-water-mark")).map_err(text)?),
        max_size: None,
        fatal: Box::new(end_the_process),
    })
}

fn listening(listen: SocketAddr) -> Listening {
    Listening {
        listen,
        tls: None,
        trusted_proxies: Vec::new(),
        refused_a_minute: MAX_REFUSED_A_MINUTE,
        ceremonies_a_minute: MAX_WRONG_CEREMONIES_A_MINUTE,
        connections_of_network: MAX_CONNECTIONS_OF_NETWORK,
        workers: 2,
    }
}

async fn invite(app: &Countersign, name: &str, admin: bool) -> Result<(PersonId, String), String> {
    let group = GroupName::parse(GROUP).map_err(text)?;
    let command = ConsoleCommand::Invite { name: name.to_owned(), groups: [group].into(), admin };
    match app.console(command).await.map_err(text)? {
        ConsoleAnswer::Invited { person, link, .. } => Ok((person, link)),
        other => Err(format!("the console answered {other:?}")),
    }
}

async fn link_starter(app: &Countersign, starter: &PersonId) -> Result<(), String> {
    let issuer = IssuerName::parse("gitlab").map_err(text)?;
    let command = ConsoleCommand::Link { person: starter.to_string(), issuer, user_id: STARTER.to_owned() };
    app.console(command).await.map(|_| ()).map_err(text)
}

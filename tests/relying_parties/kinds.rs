//! The clients that others made, each with what sets it apart.
//! In: nothing. Out: where its pages are, how it is started, its version.
//! Implements each client's own documentation.
//! Never a client of ours: what is here turns their switches.

use std::path::{Path, PathBuf};
use std::process::Command;

use countersign::crypto::random;
use data_encoding::BASE64URL_NOPAD;
use serde_json::Value;

use crate::provider::Certified;

const ROOT: &str = env!("CARGO_MANIFEST_DIR");

/// How a client proves who it is (OpenID Connect Core §9).
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Proof {
    Basic,
    Post,
    Key,
    Nobody,
}

impl Proof {
    pub fn name(self) -> &'static str {
        match self {
            Self::Basic => "client_secret_basic",
            Self::Post => "client_secret_post",
            Self::Key => "private_key_jwt",
            Self::Nobody => "none",
        }
    }
}

/// What is known of a client.
pub struct Kind {
    /// The first cell of its row.
    pub name: &'static str,
    /// Its `id`.
    pub id: &'static str,
    pub proof: Proof,
    /// It asks the person what it may have.
    pub consent: bool,
    /// The paths of its pages.
    pub callback: &'static str,
    pub login: &'static str,
    pub step_up: &'static str,
    /// With what it asks for a hardware key.
    pub steps_up_by: &'static str,
    /// An expression for the page: who signed in, as `{ claims, userinfo, access_token }`.
    pub me: &'static str,
    /// How it is made to refresh.
    pub refresh: Refresh,
    /// Its tokens are bound to a key of its own (RFC 9449).
    pub dpop: bool,
    /// The page on which it asks about its tokens and gives them back (RFC 7662, RFC 7009).
    pub gives_back: Option<&'static str>,
    /// A path, with `{end}` where the provider's page for signing out belongs.
    pub logout: &'static str,
    /// Where it comes back to; `None`: it does not say, so the provider's page is the end.
    pub bye: Option<&'static str>,
    /// Its version, where it is installed.
    pub version: fn() -> Option<String>,
    /// The command that starts it.
    pub command: fn(&Place<'_>) -> Command,
}

/// How a client is made to refresh.
#[derive(Clone, Copy)]
pub enum Refresh {
    /// By this page; `{token}` is the access token.
    Page(&'static str),
    /// By itself, once the tokens are old enough.
    ByItself,
}

/// Where a client runs.
pub struct Place<'a> {
    pub folder: &'a Path,
    pub issuer: &'a str,
    pub base: &'a str,
    pub port: u16,
    pub secret: &'a str,
    pub certified: &'a Certified,
}

const OWN_ME: &str = "fetch('/me').then((answer) => answer.json())";
const APACHE_ME: &str = "fetch('/redirect_uri?info=json').then((answer) => answer.json())\
    .then(({ id_token, userinfo, access_token }) => ({ claims: id_token, userinfo, access_token }))";
// One after the other: it would refresh for each.
const PROXY_ME: &str = "fetch('/oauth2/userinfo').then((answer) => answer.json()).then((me) => fetch('/oauth2/auth')\
    .then(({ headers }) => ({ claims: me.additionalClaims, access_token: headers.get('x-access-token'), \
    userinfo: { sub: me.user, email: me.additionalClaims.email, groups: me.groups, name: me.preferredUsername } })))";

/// A program of ours around a library of others.
const LIBRARY: Kind = Kind {
    name: "",
    id: "",
    proof: Proof::Nobody,
    consent: false,
    callback: "/callback",
    login: "/login",
    step_up: "/login?acr=phrh",
    steps_up_by: "`claims`",
    me: OWN_ME,
    refresh: Refresh::Page("/refresh"),
    dpop: false,
    gives_back: None,
    logout: "/logout",
    bye: Some("/bye"),
    version: || None,
    command: |_| Command::new("false"),
};

pub const OPENID_CLIENT: Kind = Kind {
    name: "`openid-client` (npm)",
    id: "openid-client",
    proof: Proof::Key,
    gives_back: Some("/give-back"),
    version: || of_npm("openid-client"),
    command: |place| node(place, "openid_client.mjs"),
    ..LIBRARY
};

pub const OAUTH4WEBAPI: Kind = Kind {
    name: "`oauth4webapi` (npm)",
    id: "oauth4webapi",
    steps_up_by: "`acr_values`",
    dpop: true,
    version: || of_npm("oauth4webapi"),
    command: |place| node(place, "oauth4webapi.mjs"),
    ..LIBRARY
};

pub const AUTHLIB: Kind = Kind {
    name: "Authlib with Flask (PyPI)",
    id: "authlib",
    proof: Proof::Post,
    consent: true,
    version: || {
        let site = std::fs::read_dir(installed("python/lib")).ok()?.flatten().next()?.path().join("site-packages");
        let mut names =
            std::fs::read_dir(site).ok()?.flatten().filter_map(|entry| entry.file_name().into_string().ok());
        names.find_map(|name| Some(name.strip_prefix("authlib-")?.strip_suffix(".dist-info")?.to_owned()))
    },
    command: |place| {
        let mut command = Command::new(installed("python/bin/python"));
        command.arg(source("authlib_flask.py")).env("REQUESTS_CA_BUNDLE", &place.certified.authority);
        command
    },
    ..LIBRARY
};

pub const OPENIDCONNECT: Kind = Kind {
    name: "`openidconnect` (crates.io)",
    id: "openidconnect",
    steps_up_by: "`acr_values`",
    version: || {
        installed("build/debug/party").exists().then_some(())?;
        let lock = std::fs::read_to_string(source("openidconnect/Cargo.lock")).ok()?;
        let (_, rest) = lock.split_once("name = \"openidconnect\"\nversion = \"")?;
        rest.split('"').next().map(str::to_owned)
    },
    command: |_| Command::new(installed("build/debug/party")),
    ..LIBRARY
};

pub const OMNIAUTH: Kind = Kind {
    name: "omniauth-openid-connect (Ruby)",
    id: "omniauth",
    proof: Proof::Basic,
    callback: "/auth/openid_connect/callback",
    logout: "/auth/openid_connect/logout",
    // It sends neither `id_token_hint` nor `client_id`, so nobody can be sent back.
    bye: None,
    version: || of_debian("ruby-omniauth-openid-connect"),
    command: |_| {
        let mut command = Command::new("ruby");
        command.arg(source("omniauth.rb"));
        command
    },
    ..LIBRARY
};

pub const MOD_AUTH_OPENIDC: Kind = Kind {
    name: "Apache with mod_auth_openidc",
    id: "apache",
    proof: Proof::Basic,
    callback: "/redirect_uri",
    login: "/everybody/",
    step_up: "/hardware/",
    me: APACHE_ME,
    refresh: Refresh::Page("/redirect_uri?refresh={base}%2Feverybody%2F&access_token={token}"),
    logout: "/redirect_uri?logout={base}%2Fbye",
    version: || of_debian("libapache2-mod-auth-openidc"),
    command: apache,
    ..LIBRARY
};

pub const OAUTH2_PROXY: Kind = Kind {
    name: "oauth2-proxy",
    id: "oauth2-proxy",
    proof: Proof::Basic,
    callback: "/oauth2/callback",
    login: "/oauth2/start?rd=%2F",
    step_up: "/oauth2/start?rd=%2F&acr_values=phrh",
    steps_up_by: "`acr_values`",
    me: PROXY_ME,
    refresh: Refresh::ByItself,
    logout: "/oauth2/sign_out?rd={end}%3Fid_token_hint%3D%7Bid_token%7D%26post_logout_redirect_uri%3D{base}%2Fping",
    // Every other page of it would begin a sign-in.
    bye: Some("/ping"),
    version: || {
        let version = std::fs::read_to_string(installed("oauth2-proxy.version")).ok()?;
        Some(version.trim().trim_start_matches('v').to_owned())
    },
    command: |place| {
        let mut command = Command::new(installed("bin/oauth2-proxy"));
        command.arg("--config").arg(source("oauth2-proxy.cfg")).arg("--alpha-config").arg(source("oauth2-proxy.yaml"));
        let whitelist = place.issuer.trim_start_matches("https://");
        command.env("OAUTH2_PROXY_WHITELIST_DOMAINS", whitelist);
        command.env("OAUTH2_PROXY_COOKIE_SECRET", BASE64URL_NOPAD.encode(&random::bytes::<32>().unwrap()));
        command.env("OAUTH2_PROXY_REDIRECT_URL", format!("{}/oauth2/callback", place.base));
        command
    },
    ..LIBRARY
};

fn source(name: &str) -> PathBuf {
    Path::new(ROOT).join("tests/relying_parties").join(name)
}

/// What `tests/relying_parties/install` left.
fn installed(name: &str) -> PathBuf {
    Path::new(ROOT).join("target/relying-parties").join(name)
}

fn of_npm(package: &str) -> Option<String> {
    let text = std::fs::read(installed("node/node_modules").join(package).join("package.json")).ok()?;
    serde_json::from_slice::<Value>(&text).ok()?["version"].as_str().map(str::to_owned)
}

/// The version that upstream gave it: the distribution's own changes behind it come and go.
fn of_debian(package: &str) -> Option<String> {
    let asked = Command::new("dpkg-query").args(["--show", "--showformat=${Version}", package]).output().ok()?;
    let version =
        String::from_utf8(asked.stdout).ok().filter(|version| asked.status.success() && !version.is_empty())?;
    version.rsplit_once('-').map(|(upstream, _)| upstream.to_owned())
}

/// A script beside what npm installed, where Node looks for packages.
pub fn node(place: &Place<'_>, script: &str) -> Command {
    for name in ["party.mjs", script] {
        std::fs::copy(source(name), installed("node").join(name)).unwrap();
    }
    let mut command = Command::new("node");
    command.arg(installed("node").join(script)).env("NODE_EXTRA_CA_CERTS", &place.certified.authority);
    command
}

fn apache(place: &Place<'_>) -> Command {
    let folder = place.folder;
    for page in ["pages/everybody/index.html", "pages/hardware/index.html", "pages/bye"] {
        let path = folder.join(page);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, "<h1>Here you are.</h1>").unwrap();
    }
    let mut command = Command::new("/usr/sbin/apache2");
    command
        .args(["-D", "FOREGROUND", "-f"])
        .arg(source("apache.conf"))
        .env("RP_FOLDER", folder)
        .env("RP_MODULES", "/usr/lib/apache2/modules")
        .env("RP_PASSPHRASE", BASE64URL_NOPAD.encode(&random::bytes::<32>().unwrap()));
    command
}

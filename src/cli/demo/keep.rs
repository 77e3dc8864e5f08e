//! What `--keep DIR` leaves: the tokens, the keys and the proof, each in its own file.
//! In: a folder, a finished world. Out: files by the names that README tells.
//! Implements DESIGN §12.
//! Never overwrites a folder that is not a demo's.

use std::path::Path;

use serde_json::{Value, json};

use super::world::World;

/// Says that a folder is a demo's, and what is in it.
pub const INDEX: &str = "demo.json";
const FILES: &[&str] = &[
    "job-token.jwt",
    "token.jwt",
    "jwks.json",
    "bundle.json",
    "log-key",
    "openid-configuration.json",
    "checkpoint",
    "simulated-gitlab-ca.pem",
    INDEX,
];

/// Makes the folder, or clears what an earlier demo left in it.
pub fn prepare(folder: &Path) -> Result<(), String> {
    let said = |error: std::io::Error| format!("{}: {error}", folder.display());
    if !folder.exists() {
        return std::fs::create_dir_all(folder).map_err(said);
    }
    let empty = std::fs::read_dir(folder).map_err(said)?.next().is_none();
    if empty {
        return Ok(());
    }
    if !folder.join(INDEX).is_file() {
        return Err(format!("{} is not empty and not a demo's; name a new folder", folder.display()));
    }
    for name in FILES {
        let path = folder.join(name);
        if path.is_file() {
            std::fs::remove_file(&path).map_err(said)?;
        }
    }
    let state = folder.join("state");
    if state.is_dir() { std::fs::remove_dir_all(state).map_err(said) } else { Ok(()) }
}

/// What the demo saw.
pub struct Seen<'a> {
    /// The job token.
    pub job_token: &'a str,
    /// The issued token.
    pub token: &'a str,
    /// The proof.
    pub bundle: &'a str,
    /// The request's id.
    pub request: &'a str,
    /// The token's log entry.
    pub entry: u64,
    /// `/jwks`.
    pub jwks: &'a str,
    /// `/.well-known/openid-configuration`.
    pub configuration: &'a str,
}

/// Writes everything.
pub fn write(world: &World, seen: &Seen<'_>) -> Result<(), String> {
    let checkpoint = world.app.checkpoint().map_err(|error| error.to_string())?;
    let index = index(world, seen);
    let index = serde_json::to_string_pretty(&index).map_err(|error| error.to_string())?;
    let vkey = format!("{}\n", world.app.log_vkey);
    for (name, content) in [
        ("job-token.jwt", seen.job_token),
        ("token.jwt", seen.token),
        ("jwks.json", seen.jwks),
        ("bundle.json", seen.bundle),
        ("log-key", &vkey),
        ("openid-configuration.json", seen.configuration),
        ("checkpoint", &checkpoint),
        (INDEX, &index),
    ] {
        let path = world.folder.join(name);
        std::fs::write(&path, content).map_err(|error| format!("{}: {error}", path.display()))?;
    }
    Ok(())
}

fn index(world: &World, seen: &Seen<'_>) -> Value {
    json!({
        "issuer": world.url,
        "gitlab": world.gitlab.url,
        "approver": world.you,
        "request": seen.request,
        "log_entry": seen.entry,
        "log_origin": world.app.settings.origin,
        "state": "state",
        "files": FILES,
    })
}

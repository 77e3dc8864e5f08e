//! Job tokens, signed before anything is measured.
//! In: how many, and a folder that keeps them between runs. Out: distinct RS256 job tokens, and the key set.
//! Implements GitLab's ID tokens (RFC 7519, RS256 with 2048 bits).
//! Never signs while something is measured: GitLab does that on its own machine.

use std::fs;
use std::path::Path;
use std::thread;
use std::time::{Duration, SystemTime};

use countersign::cli::demo::gitlab::SimulatedJob;
use countersign::clock::Clock;
use countersign::crypto::signing::SigningKey;
use countersign::domain::rules::TokenAlg;
use serde_json::{Value, json};

use super::world::URL;

/// The simulated issuer.
pub const GITLAB: &str = "https://gitlab.example.com";
/// How long job tokens live here, so that they can be signed once for many runs.
const LIFE: Duration = Duration::from_hours(24);
/// Kept tokens are made anew when they are older than this.
const KEPT: Duration = Duration::from_hours(12);
const KEY: &str = "issuer-key.json";
const TOKENS: &str = "job-tokens.txt";

/// An issuer's key set and job tokens that nobody has used in a fresh state.
pub struct Tokens {
    /// What the server is given as `jwks_file`.
    pub jwks: String,
    /// Compact JWS, each of a job of its own with a `jti` of its own.
    pub all: Vec<String>,
}

impl Tokens {
    /// At least `count` tokens: those kept from the last run, and more of the same issuer where they are too few.
    pub fn prepare(folder: &Path, count: usize) -> Self {
        fs::create_dir_all(folder).unwrap();
        let (key, mut all) = kept(folder).unwrap_or_else(|| (new_key(folder), Vec::new()));
        let jwks = json!({ "keys": [key.public_jwk()] }).to_string();
        if all.len() < count {
            let start = SystemTime::now();
            let fresh = sign(&key, all.len(), count);
            eprintln!("signed {} job tokens in {:.1} s", fresh.len(), start.elapsed().unwrap().as_secs_f64());
            all.extend(fresh);
            fs::write(folder.join(TOKENS), all.join("\n")).unwrap();
        }
        Self { jwks, all }
    }
}

fn kept(folder: &Path) -> Option<(SigningKey, Vec<String>)> {
    let made = fs::metadata(folder.join(KEY)).and_then(|file| file.modified()).ok()?;
    if made.elapsed().ok()? > KEPT {
        return None;
    }
    let key = SigningKey::from_secret_json(&fs::read_to_string(folder.join(KEY)).ok()?).ok()?;
    let tokens = fs::read_to_string(folder.join(TOKENS)).unwrap_or_default();
    Some((key, tokens.lines().map(str::to_owned).collect()))
}

fn new_key(folder: &Path) -> SigningKey {
    let key = SigningKey::generate(TokenAlg::Rs256, 2048).unwrap();
    let _ = fs::remove_file(folder.join(TOKENS));
    fs::write(folder.join(KEY), key.to_secret_json().unwrap().as_bytes()).unwrap();
    key
}

/// Signs on every core.
fn sign(key: &SigningKey, from: usize, to: usize) -> Vec<String> {
    let cores = thread::available_parallelism().map_or(1, usize::from);
    let share = (to - from).div_ceil(cores).max(1);
    thread::scope(|scope| {
        let parts: Vec<_> = (from..to)
            .step_by(share)
            .map(|first| scope.spawn(move || (first..to.min(first + share)).map(|n| one(key, n)).collect::<Vec<_>>()))
            .collect();
        parts.into_iter().flat_map(|part| part.join().unwrap()).collect()
    })
}

fn one(key: &SigningKey, number: usize) -> String {
    let now = Clock::system().now();
    let expires = now.seconds() + i64::try_from(LIFE.as_secs()).unwrap();
    let job = SimulatedJob::deploy(GITLAB, URL, number as u64, now).with("exp", expires.into());
    key.sign(Value::Object(job.claims).to_string().as_bytes()).unwrap()
}

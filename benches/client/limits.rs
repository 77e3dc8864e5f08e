//! What this machine can do at most: signing, verifying and a durable write, on one core and on the same disk.
//! In: a folder on that disk. Out: rates and the least that one exchange alone can take.
//! Implements nothing: bare OpenSSL (the one built in), one file, `fdatasync`.
//! Never measures anything of the product: these are what it is measured against.

use std::fs::OpenOptions;
use std::hint::black_box;
use std::io::Write as _;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use openssl::ec::{EcGroup, EcKey};
use openssl::hash::MessageDigest;
use openssl::nid::Nid;
use openssl::pkey::{PKey, Private};
use openssl::rsa::Rsa;
use openssl::sign::{Signer, Verifier};

use super::exchange::quantile;

/// How long each is measured.
const LENGTH: Duration = Duration::from_millis(1500);
/// Bytes that an exchange appends, about.
const WRITE: usize = 4096;
/// The signing input of a job token, about.
const MESSAGE: usize = 1_200;

/// The machine's limits.
pub struct Limits {
    /// RSA-2048 signatures a second, in this process.
    pub rs256: f64,
    /// ECDSA P-256 signatures a second, in this process.
    pub es256: f64,
    /// RSA-2048 verifications a second, in this process.
    pub verify: f64,
    /// Median of 4 KiB appended and `fdatasync`.
    pub sync: Duration,
    /// Median of verify, append with `fdatasync`, sign with RS256.
    pub floor_rs256: Duration,
    /// The same with ES256.
    pub floor_es256: Duration,
    /// RSA-2048 signatures a second that the system's `openssl speed` says, and its version.
    pub speed: Option<(f64, String)>,
}

/// Measures all of them.
pub fn measure(folder: &Path) -> Limits {
    let rsa = PKey::from_rsa(Rsa::generate(2048).unwrap()).unwrap();
    let group = EcGroup::from_curve_name(Nid::X9_62_PRIME256V1).unwrap();
    let ec = PKey::from_ec_key(EcKey::generate(&group).unwrap()).unwrap();
    let message = vec![b'x'; MESSAGE];
    let signature = sign(&rsa, &message);
    Limits {
        rs256: rate(|| drop(black_box(sign(&rsa, &message)))),
        es256: rate(|| drop(black_box(sign(&ec, &message)))),
        verify: rate(|| verify(&rsa, &message, &signature)),
        sync: median(folder, || {}, || {}),
        floor_rs256: median(folder, || verify(&rsa, &message, &signature), || drop(sign(&rsa, &message))),
        floor_es256: median(folder, || verify(&rsa, &message, &signature), || drop(sign(&ec, &message))),
        speed: speed(),
    }
}

fn sign(key: &PKey<Private>, message: &[u8]) -> Vec<u8> {
    Signer::new(MessageDigest::sha256(), key).unwrap().sign_oneshot_to_vec(message).unwrap()
}

fn verify(key: &PKey<Private>, message: &[u8], signature: &[u8]) {
    assert!(Verifier::new(MessageDigest::sha256(), key).unwrap().verify_oneshot(signature, message).unwrap());
}

/// The best of three runs: what else runs on the machine can only slow it.
fn rate(mut act: impl FnMut()) -> f64 {
    let mut once = || {
        let start = Instant::now();
        let mut count = 0_u32;
        while start.elapsed() < LENGTH / 3 {
            act();
            count += 1;
        }
        f64::from(count) / start.elapsed().as_secs_f64()
    };
    (0..3).map(|_| once()).fold(0.0, f64::max)
}

/// The median time of one act, a durable write, and another act.
fn median(folder: &Path, mut before: impl FnMut(), mut after: impl FnMut()) -> Duration {
    let path = folder.join("fdatasync");
    let mut file = OpenOptions::new().create(true).append(true).open(&path).unwrap();
    let start = Instant::now();
    let mut micros = Vec::new();
    while start.elapsed() < LENGTH {
        let one = Instant::now();
        before();
        file.write_all(&[1; WRITE]).unwrap();
        file.sync_data().unwrap();
        after();
        micros.push(u32::try_from(one.elapsed().as_micros()).unwrap_or(u32::MAX));
    }
    std::fs::remove_file(path).unwrap();
    micros.sort_unstable();
    quantile(&micros, 0.5)
}

/// `openssl speed` of the system, where it has one. It runs on the core that this process is bound to.
fn speed() -> Option<(f64, String)> {
    let version = Command::new("openssl").arg("version").output().ok()?;
    let version = String::from_utf8(version.stdout).ok()?.split(' ').take(2).collect::<Vec<_>>().join(" ");
    let said = Command::new("openssl").args(["speed", "-seconds", "2", "rsa2048"]).output().ok()?;
    let said = String::from_utf8(said.stdout).ok()?;
    let line = said.lines().find_map(|line| line.trim_start().strip_prefix("rsa 2048 bits"))?;
    // First times of each act, ending in `s`, then as many rates; the first rate is signing.
    let rate = line.split_whitespace().find(|field| !field.ends_with('s'))?.parse().ok()?;
    Some((rate, version))
}

//! Proofs of possession: each for one call, and each once.
//! In: the `DPoP` header, the call that it must be for. Out: the thumbprint of the key that was proven.
//! Implements RFC 9449 §4.3, §8, §9, §11.1.
//! Never remembers more proofs than its bound: beyond it nothing is taken until some are over.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use crate::crypto::client_keys::Proof;
use crate::domain::ids::{Digest, Kid};
use crate::domain::oauth::dpop::{Call, DPOP_AGE, Fault, MAX_DPOP_PROOF, Nonces, Seen, judge};
use crate::domain::oauth::error_code::ErrorCode;
use crate::domain::time::{LEEWAY, Timestamp};

use super::{AppError, Countersign};

/// Most proofs that are remembered; each for 90 s at most.
pub const MAX_PROOFS: usize = 200_000;

/// Our nonces, and the proofs that were used.
#[derive(Debug)]
pub struct Possession {
    nonces: Nonces,
    seen: Mutex<HashMap<Digest, Timestamp>>,
    /// A proof from before the process began may have been used then: those that end before this do not count.
    first_end: Timestamp,
}

impl Possession {
    /// Remembers nothing yet.
    pub fn new(key: [u8; 32], since: Timestamp) -> Self {
        let first_end = Timestamp::from_seconds(since.seconds()) + DPOP_AGE + LEEWAY;
        Self { nonces: Nonces::new(key), seen: Mutex::default(), first_end }
    }

    /// Uses a proof; false where it was used before, `None` where there is no room.
    fn spend(&self, seen: &Seen, now: Timestamp) -> Option<bool> {
        let mut known = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= MAX_PROOFS {
            known.retain(|_, ends| *ends > now);
        }
        if known.get(&seen.digest).is_some_and(|ends| *ends > now) {
            return Some(false);
        }
        if known.len() >= MAX_PROOFS {
            return None;
        }
        known.insert(seen.digest, seen.ends);
        Some(true)
    }
}

/// A proof that is good and not yet used.
#[derive(Debug)]
pub struct Proven {
    /// The thumbprint of the key.
    pub jkt: Kid,
    seen: Seen,
}

fn invalid(why: &str) -> AppError {
    AppError::refused(ErrorCode::DpopProofInvalid, format!("the DPoP proof does not count: {why}"))
}

impl Countersign {
    /// The nonce that proofs should carry now.
    pub fn dpop_nonce(&self) -> String {
        self.possession.nonces.now(self.clock.now())
    }

    /// Judges a proof; `with_nonce` where one of ours is wanted. It is not used yet: `use_proof` does that once the rest
    /// of the call is good, so that junk takes no room.
    pub fn judge_proof(&self, proof: &str, call: Call<'_>, with_nonce: bool) -> Result<Proven, AppError> {
        if proof.len() > MAX_DPOP_PROOF {
            return Err(invalid("it is too long"));
        }
        let now = self.steady_now()?;
        let Proof { jkt, claims } = Proof::verify(proof).map_err(|why| invalid(&why))?;
        let claims = claims.get();
        let nonces = with_nonce.then_some(&self.possession.nonces);
        match judge((&claims.header, &claims.claims), &jkt, call, nonces, now) {
            Ok(seen) if seen.ends < self.possession.first_end => Err(invalid("it was made before the server began")),
            Ok(seen) => Ok(Proven { jkt, seen }),
            Err(Fault::Invalid(why)) => Err(invalid(why)),
            Err(Fault::Nonce) => {
                let text = "the DPoP proof carries no `nonce` of this server, or an old one";
                Err(AppError::refused(ErrorCode::DpopNonceWanted, text))
            }
        }
    }

    /// Uses a proof: it counts once.
    pub fn use_proof(&self, proven: &Proven) -> Result<(), AppError> {
        match self.possession.spend(&proven.seen, self.clock.now()) {
            Some(true) => Ok(()),
            Some(false) => Err(invalid("it was used before")),
            None => Err(AppError::Fault {
                code: ErrorCode::QueueFull,
                detail: format!("{MAX_PROOFS} proofs of possession are remembered"),
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn attack_070_a_proof_counts_once_and_memory_has_an_end() {
        let now = Timestamp::from_seconds(1_795_430_400);
        let possession = Possession::new([7; 32], now);
        let seen = |n: usize| Seen { digest: Digest::of(&n.to_be_bytes()), ends: now + Duration::from_secs(90) };
        for n in 0..MAX_PROOFS {
            assert_eq!(possession.spend(&seen(n), now), Some(true));
        }
        assert_eq!(possession.spend(&seen(0), now), Some(false));
        assert_eq!(possession.spend(&seen(MAX_PROOFS), now), None, "nothing is forgotten to make room");
        let later = now + Duration::from_secs(90);
        assert_eq!(possession.spend(&seen(MAX_PROOFS), later), Some(true));
        assert_eq!(possession.seen.lock().unwrap().len(), 1);
    }
}

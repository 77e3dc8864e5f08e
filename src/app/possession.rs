//! Proofs of possession: each for one call, and each once.
//! In: the `DPoP` header, the call that it must be for. Out: the thumbprint of the key that was proven.
//! Implements RFC 9449 §4.3, §8, §9, §11.1.
//! Never remembers more proofs than its bounds: beyond them nothing is taken until some are over. Nor anything of a call
//! that is refused: junk takes no room.

use std::collections::{BTreeSet, HashMap};
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use crate::crypto::client_keys::Proof;
use crate::domain::ids::{ClientId, Digest, IssuerName, Kid};
use crate::domain::oauth::dpop::{Call, DPOP_AGE, Fault, MAX_DPOP_PROOF, Nonces, Seen, judge};
use crate::domain::oauth::error_code::ErrorCode;
use crate::domain::oauth::exchange::SubjectToken;
use crate::domain::time::{LEEWAY, Timestamp};

use super::course;
use super::exchange::refused_call;
use super::{AppError, Countersign};

/// Most proofs that are remembered; each for 90 s at most.
pub const MAX_PROOFS: usize = 200_000;
/// Of them, those of one client.
pub const MAX_PROOFS_OF_CLIENT: usize = 50_000;
/// Of them, those of the jobs of one project.
pub const MAX_PROOFS_OF_PROJECT: usize = 10_000;
/// Of these, those of one key.
pub const MAX_PROOFS_OF_KEY: usize = 2_000;

/// In whose share of the memory a proof is kept.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Holder {
    Client(ClientId),
    /// Those whose jobs run in one project of an issuer.
    Project(IssuerName, String),
    /// Whose key it is, beside one of the others.
    Key(Kid),
}

impl Holder {
    const fn most(&self) -> usize {
        match self {
            Self::Client(_) => MAX_PROOFS_OF_CLIENT,
            Self::Project(..) => MAX_PROOFS_OF_PROJECT,
            Self::Key(_) => MAX_PROOFS_OF_KEY,
        }
    }
}

impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Client(client) => write!(f, "the client {client}"),
            Self::Project(issuer, project) => write!(f, "the project {project} of {issuer}"),
            Self::Key(jkt) => write!(f, "the key {jkt}"),
        }
    }
}

/// Our nonces, and the proofs that were used.
#[derive(Debug)]
pub struct Possession {
    nonces: Nonces,
    memory: Mutex<Memory>,
    /// What was used before the process began is forgotten; a clock that is ahead may have dated it until then. A proof
    /// that ends before this counts only with a nonce of this process.
    first_end: Timestamp,
}

/// The proofs that were used and could come again.
#[derive(Debug, Default)]
struct Memory {
    used: HashMap<Digest, [Holder; 2]>,
    /// The same, by their ends.
    ends: BTreeSet<(Timestamp, Digest)>,
    of: HashMap<Holder, usize>,
}

/// What came of using a proof.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Use {
    First,
    Again,
    /// So many are remembered that there is no room.
    Full(usize),
}

impl Memory {
    /// Forgets what is over.
    fn prune(&mut self, now: Timestamp) {
        while let Some((_, digest)) = self.ends.first().copied().filter(|(ends, _)| *ends <= now) {
            self.ends.pop_first();
            for holder in self.used.remove(&digest).into_iter().flatten() {
                if let Some(count) = self.of.get_mut(&holder) {
                    *count -= 1;
                    if *count == 0 {
                        self.of.remove(&holder);
                    }
                }
            }
        }
    }

    fn spend(&mut self, (seen, jkt): (&Seen, &Kid), holder: &Holder, now: Timestamp) -> Use {
        self.prune(now);
        if self.used.contains_key(&seen.digest) {
            return Use::Again;
        }
        if self.used.len() >= MAX_PROOFS {
            return Use::Full(MAX_PROOFS);
        }
        let holders = [holder.clone(), Holder::Key(jkt.clone())];
        let full = holders.iter().find(|one| self.of.get(one).is_some_and(|count| *count >= one.most()));
        if let Some(full) = full {
            return Use::Full(full.most());
        }
        for one in &holders {
            *self.of.entry(one.clone()).or_default() += 1;
        }
        self.used.insert(seen.digest, holders);
        self.ends.insert((seen.ends, seen.digest));
        Use::First
    }
}

impl Possession {
    /// Remembers nothing yet.
    pub fn new(key: [u8; 32], since: Timestamp) -> Self {
        let first_end = Timestamp::from_seconds(since.seconds()) + LEEWAY + DPOP_AGE + LEEWAY;
        Self { nonces: Nonces::new(key), memory: Mutex::default(), first_end }
    }

    /// Uses a proof of a client: it counts once. To be called when the rest of the call is good, and in the unit that does
    /// what the call asks.
    pub(super) fn spend(&self, proven: &Proven, client: &ClientId, now: Timestamp) -> Result<(), AppError> {
        self.spend_of(proven, &Holder::Client(client.clone()), now)
    }

    /// Uses the proof of a job's call, where it brings one: in the turn in which the call is first found good, so that
    /// whoever repeats the proof is neither held nor answered.
    pub(super) fn spend_of_job(&self, call: &course::Call, now: Timestamp) -> Result<(), AppError> {
        let Some(proven) = &call.proven else { return Ok(()) };
        let holder = Holder::Project(call.job.issuer.clone(), call.job.job_project_id().to_owned());
        self.spend_of(proven, &holder, now)
    }

    fn spend_of(&self, proven: &Proven, holder: &Holder, now: Timestamp) -> Result<(), AppError> {
        // A call that is held comes here once more when it gets its token.
        if proven.is_used.load(Ordering::Acquire) {
            return Ok(());
        }
        let spent =
            self.memory.lock().unwrap_or_else(PoisonError::into_inner).spend((&proven.seen, &proven.jkt), holder, now);
        match spent {
            Use::First => {
                proven.is_used.store(true, Ordering::Release);
                Ok(())
            }
            Use::Again => Err(used()),
            Use::Full(most) => Err(AppError::Fault {
                code: ErrorCode::QueueFull,
                detail: format!("{most} proofs of possession are remembered, with those of {holder}"),
            }),
        }
    }

    fn was_used(&self, seen: &Seen) -> bool {
        self.memory.lock().unwrap_or_else(PoisonError::into_inner).used.contains_key(&seen.digest)
    }
}

/// A proof that is good, and that no call but this one has used.
#[derive(Debug, Clone)]
pub struct Proven {
    /// The thumbprint of the key.
    pub jkt: Kid,
    seen: Seen,
    /// This very call has used it.
    is_used: Arc<AtomicBool>,
}

fn invalid(why: &str) -> AppError {
    AppError::refused(ErrorCode::DpopProofInvalid, format!("the DPoP proof does not count: {why}"))
}

fn used() -> AppError {
    invalid("it was used before")
}

impl Countersign {
    /// The nonce that proofs should carry now.
    pub fn dpop_nonce(&self) -> String {
        self.possession.nonces.now(self.clock.now())
    }

    /// Judges a proof; `with_nonce` where one of ours is wanted. It is not used yet.
    pub fn judge_proof(&self, proof: &str, call: Call<'_>, with_nonce: bool) -> Result<Proven, AppError> {
        if proof.len() > MAX_DPOP_PROOF {
            return Err(invalid("it is too long"));
        }
        let now = self.steady_now()?;
        let Proof { jkt, claims } = Proof::verify(proof).map_err(|why| invalid(&why))?;
        let claims = claims.get();
        let possession = &self.possession;
        let wanted = |text: &str| Err(AppError::refused(ErrorCode::DpopNonceWanted, text));
        match judge((&claims.header, &claims.claims), &jkt, call, (&possession.nonces, with_nonce), now) {
            Ok(seen) if !seen.with_nonce && seen.ends <= possession.first_end => {
                wanted("the DPoP proof may have been used before this server started, and carries no `nonce` of it")
            }
            Ok(seen) if possession.was_used(&seen) => Err(used()),
            Ok(seen) => Ok(Proven { jkt, seen, is_used: Arc::default() }),
            Err(Fault::Invalid(why)) => Err(invalid(why)),
            Err(Fault::Nonce) => wanted("the DPoP proof carries no `nonce` of this server, or an old one"),
        }
    }

    /// Uses the proof of a job's call, where it brings one; one that came before is refused like any other call.
    pub(super) async fn use_proof(
        &self,
        token: &SubjectToken,
        call: &course::Call,
        issuer_keys: u64,
    ) -> Result<(), AppError> {
        match self.possession.spend_of_job(call, self.clock.now()) {
            Err(AppError::Refused { refusal, .. }) => {
                Err(self.log_refusal(refused_call(token, call, issuer_keys), refusal).await)
            }
            used => used,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn kid(n: usize) -> Kid {
        let digest = Digest::of(&n.to_le_bytes());
        Kid::parse(&data_encoding::BASE64URL_NOPAD.encode(digest.as_bytes())).unwrap()
    }

    #[test]
    fn attack_070_a_proof_counts_once_and_memory_has_an_end() {
        let now = Timestamp::from_seconds(1_795_430_400);
        let mut memory = Memory::default();
        let seen = |n: usize| Seen {
            digest: Digest::of(&n.to_be_bytes()),
            ends: now + Duration::from_secs(90),
            with_nonce: false,
        };
        let client = |id| Holder::Client(ClientId::parse(id).unwrap());
        let clients: Vec<_> = ["a", "b", "c", "d", "e"].map(client).to_vec();
        let keys: Vec<_> = (0..=MAX_PROOFS / MAX_PROOFS_OF_KEY).map(kid).collect();
        let key = |n: usize| &keys[n / MAX_PROOFS_OF_KEY];
        for n in 0..MAX_PROOFS_OF_CLIENT {
            assert_eq!(memory.spend((&seen(n), key(n)), &clients[0], now), Use::First);
            if n + 1 == MAX_PROOFS_OF_KEY {
                let of_key = memory.spend((&seen(MAX_PROOFS), key(0)), &clients[0], now);
                assert_eq!(of_key, Use::Full(MAX_PROOFS_OF_KEY), "one key has its share");
            }
        }
        let most = MAX_PROOFS_OF_CLIENT;
        let of_client = memory.spend((&seen(most), key(most)), &clients[0], now);
        assert_eq!(of_client, Use::Full(most), "one client has its share");
        for n in MAX_PROOFS_OF_CLIENT..MAX_PROOFS {
            let used = memory.spend((&seen(n), key(n)), &clients[n / MAX_PROOFS_OF_CLIENT], now);
            assert_eq!(used, Use::First, "and no other's");
        }
        assert_eq!(memory.spend((&seen(0), key(0)), &clients[1], now), Use::Again);
        let one_more = memory.spend((&seen(MAX_PROOFS), key(MAX_PROOFS)), &clients[4], now);
        assert_eq!(one_more, Use::Full(MAX_PROOFS), "nothing is forgotten to make room");
        let later = now + Duration::from_secs(90);
        assert_eq!(memory.spend((&seen(MAX_PROOFS), key(0)), &clients[0], later), Use::First);
        assert_eq!((memory.used.len(), memory.of.len()), (1, 2));
    }

    #[test]
    fn attack_070_the_jobs_of_one_project_have_a_share_and_leave_the_others_theirs() {
        let now = Timestamp::from_seconds(1_795_430_400);
        let mut memory = Memory::default();
        let seen = |n: usize| Seen {
            digest: Digest::of(&n.to_be_bytes()),
            ends: now + Duration::from_secs(90),
            with_nonce: false,
        };
        let project = |id: &str| Holder::Project(IssuerName::parse("gitlab").unwrap(), id.to_owned());
        for n in 0..MAX_PROOFS_OF_PROJECT {
            assert_eq!(memory.spend((&seen(n), &kid(n)), &project("1"), now), Use::First);
        }
        let most = MAX_PROOFS_OF_PROJECT;
        assert_eq!(memory.spend((&seen(most), &kid(most)), &project("1"), now), Use::Full(most));
        assert_eq!(memory.spend((&seen(most), &kid(most)), &project("2"), now), Use::First);
        let client = Holder::Client(ClientId::parse("a").unwrap());
        assert_eq!(
            memory.spend((&seen(0), &kid(0)), &client, now),
            Use::Again,
            "whoever brings it: a proof counts once"
        );
    }
}

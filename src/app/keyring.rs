//! The signing keys in memory: those that are published, and which of them sign.
//! In: rows of the store, the master key that unwraps them. Out: signers, and the set that `/jwks` shows.
//! Implements DESIGN §9, RFC 7517 §5.
//! Never holds a key that is published no more, and never chooses who signs: the store says so.

use std::sync::{Arc, PoisonError, RwLock};

use serde_json::{Value, json};

use crate::crypto::CryptoError;
use crate::crypto::master_key::MasterKey;
use crate::crypto::signing::SigningKey;
use crate::domain::ids::Kid;
use crate::domain::keys::KeyState;
use crate::domain::rules::TokenAlg;
use crate::store::keys::SigningKeyRow;
use crate::store::{Reader, StoreError};

use super::Signer;

/// The signing keys just now; clones are the same.
#[derive(Clone, Default)]
pub struct Keyring(Arc<RwLock<Arc<Held>>>);

/// The keys of one moment.
#[derive(Default)]
struct Held {
    /// How many entries the log had: later keys replace earlier ones, whoever comes first.
    size: u64,
    published: Vec<(Signer, KeyState)>,
}

impl Keyring {
    fn held(&self) -> Arc<Held> {
        // A panic while the pointer was swapped leaves a whole pointer behind.
        Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Takes the rows as they were when the log had `size` entries; does nothing where later ones are here.
    ///
    /// # Errors
    /// A key that the master key does not unwrap; then everything is as it was.
    pub(super) fn take(&self, rows: &[SigningKeyRow], size: u64, master_key: &MasterKey) -> Result<(), CryptoError> {
        let before = self.held();
        let mut published = Vec::new();
        for row in rows.iter().filter(|row| row.state.is_published()) {
            let known = before.published.iter().find(|(signer, _)| *signer.key.kid() == row.kid);
            let signer = match known {
                Some((signer, _)) => signer.clone(),
                None => Signer { key: Arc::new(unwrap(row, master_key)?), entry: row.entry },
            };
            published.push((signer, row.state));
        }
        // RSA first, and of each algorithm the one that signs: some take the first that they understand.
        published.sort_by_key(|(signer, state)| {
            (signer.key.alg(), *state != KeyState::Signing, signer.key.kid().to_string())
        });
        let mut slot = self.0.write().unwrap_or_else(PoisonError::into_inner);
        if slot.published.is_empty() || slot.size < size {
            *slot = Arc::new(Held { size, published });
        }
        Ok(())
    }

    /// Whether rows of when the log had `size` entries may say more than what is here.
    pub(super) fn is_behind(&self, size: u64) -> bool {
        self.held().size < size
    }

    /// The key that signs.
    pub(super) fn signing(&self, alg: TokenAlg) -> Option<Signer> {
        let held = self.held();
        let signs = |(signer, state): &&(Signer, KeyState)| *state == KeyState::Signing && signer.key.alg() == alg;
        held.published.iter().find(signs).map(|(signer, _)| signer.clone())
    }

    /// The key that signs inside a unit; `None` where memory gets it a moment later.
    pub(super) fn in_unit(&self, reader: &Reader<'_>, alg: TokenAlg) -> Result<Option<Signer>, StoreError> {
        Ok(reader.signs(alg)?.and_then(|kid| self.by_kid(&kid)))
    }

    /// A key that is published.
    pub(super) fn by_kid(&self, kid: &Kid) -> Option<Signer> {
        let held = self.held();
        held.published.iter().find(|(signer, _)| signer.key.kid() == kid).map(|(signer, _)| signer.clone())
    }

    /// The public keys, as the narrowest consumer takes them.
    pub(super) fn jwks(&self) -> Value {
        let held = self.held();
        let keys: Vec<_> = held.published.iter().map(|(signer, _)| signer.key.public_jwk()).collect();
        json!({ "keys": keys })
    }
}

/// The key of a row.
///
/// # Errors
/// Another master key, or a row that was tampered with.
fn unwrap(row: &SigningKeyRow, master_key: &MasterKey) -> Result<SigningKey, CryptoError> {
    let secret = master_key.unwrap(&row.wrapped, row.kid.as_str())?;
    let secret = std::str::from_utf8(&secret).map_err(|_| CryptoError::Key("it is not UTF-8".to_owned()))?;
    SigningKey::from_secret_json(secret)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::DirBuilderExt as _;

    use super::*;
    use crate::domain::time::Timestamp;

    fn master_key() -> MasterKey {
        let folder = std::env::temp_dir().join(format!(
            "countersign-keyring-{}-{:?}",
            std::process::id(),
            std::thread::current().id()
        ));
        let _ = std::fs::remove_dir_all(&folder);
        std::fs::DirBuilder::new().mode(0o700).create(&folder).unwrap();
        let key = MasterKey::create_file(&folder.join("master-key")).unwrap();
        std::fs::remove_dir_all(folder).unwrap();
        key
    }

    fn row(key: &SigningKey, state: KeyState, master_key: &MasterKey) -> SigningKeyRow {
        let gone = !state.is_published();
        let wrapped = master_key.wrap(key.to_secret_json().unwrap().as_bytes(), key.kid().as_str()).unwrap();
        SigningKeyRow {
            kid: key.kid().clone(),
            alg: key.alg(),
            public: key.public_jwk().to_string(),
            wrapped: if gone { String::new() } else { wrapped },
            state,
            created: Timestamp::default(),
            published: Timestamp::default(),
            signs: None,
            retired: None,
            gone: None,
            entry: 1,
        }
    }

    #[test]
    fn the_log_says_who_signs_and_whoever_comes_late_changes_nothing() {
        let (keyring, master_key) = (Keyring::default(), master_key());
        let [old, new] = [0; 2].map(|_| SigningKey::generate(TokenAlg::Es256, 0).unwrap());
        let rows = |first, second| [row(&old, first, &master_key), row(&new, second, &master_key)];
        let signing = || keyring.signing(TokenAlg::Es256).map(|signer| signer.key.kid().clone());
        keyring.take(&rows(KeyState::Signing, KeyState::Published), 5, &master_key).unwrap();
        assert_eq!(signing().as_ref(), Some(old.kid()));
        assert_eq!(keyring.jwks()["keys"].as_array().unwrap().len(), 2);
        keyring.take(&rows(KeyState::Retired, KeyState::Signing), 8, &master_key).unwrap();
        keyring.take(&rows(KeyState::Signing, KeyState::Published), 6, &master_key).unwrap();
        assert_eq!(signing().as_ref(), Some(new.kid()));
        assert_eq!(keyring.jwks()["keys"][0]["kid"], new.kid().as_str(), "who signs stands first");
        assert!(keyring.by_kid(old.kid()).is_some() && keyring.signing(TokenAlg::Rs256).is_none());
        keyring.take(&rows(KeyState::Revoked, KeyState::Signing), 9, &master_key).unwrap();
        assert!(keyring.by_kid(old.kid()).is_none());
        assert!(keyring.is_behind(10) && !keyring.is_behind(9));
    }

    #[test]
    fn a_key_of_another_master_key_is_refused_and_changes_nothing() {
        let (keyring, ours) = (Keyring::default(), master_key());
        let key = SigningKey::generate(TokenAlg::Es256, 0).unwrap();
        keyring.take(&[row(&key, KeyState::Signing, &ours)], 5, &ours).unwrap();
        let other = SigningKey::generate(TokenAlg::Es256, 0).unwrap();
        let foreign = row(&other, KeyState::Signing, &master_key());
        assert!(keyring.take(&[foreign], 6, &ours).is_err());
        assert!(keyring.by_kid(key.kid()).is_some());
    }
}

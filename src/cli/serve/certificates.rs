//! The server's own certificate, from files, exchanged while it runs.
//! In: a chain and a key, PEM. Out: rustls' configuration, whose certificate can be exchanged.
//! Implements TLS 1.2 and 1.3 by rustls over ring; by ALPN, HTTP/1.1 alone.
//! Never gives up a certificate that works for one that does not.

use std::sync::{Arc, PoisonError, RwLock};

use rustls::ServerConfig;
use rustls::crypto::{CryptoProvider, ring};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};

use crate::config::permissions;
use crate::config::settings::TlsFiles;
use crate::crypto::certificate::validity;
use crate::domain::time::Timestamp;

/// The certificate that is shown just now, and where the next one comes from.
#[derive(Debug)]
pub struct Certificates {
    files: TlsFiles,
    shown: RwLock<Shown>,
}

/// A certificate with its key, and until when it is good.
#[derive(Debug, Clone)]
struct Shown {
    pair: Arc<CertifiedKey>,
    until: Timestamp,
}

impl Certificates {
    /// Reads chain and key; the certificate must be good at this moment.
    ///
    /// # Errors
    /// A sentence that names the file.
    pub fn load(files: TlsFiles, now: Timestamp) -> Result<Self, String> {
        let shown = RwLock::new(read(&files, now)?);
        Ok(Self { files, shown })
    }

    /// Reads both again; after a fault the old ones stay.
    ///
    /// # Errors
    /// As `load`.
    pub fn reload(&self, now: Timestamp) -> Result<(), String> {
        let fresh = read(&self.files, now)?;
        *self.shown.write().unwrap_or_else(PoisonError::into_inner) = fresh;
        Ok(())
    }

    /// Until when the certificate that is shown is good.
    pub fn until(&self) -> Timestamp {
        self.shown.read().unwrap_or_else(PoisonError::into_inner).until
    }

    /// A configuration that shows whatever certificate is current.
    ///
    /// # Errors
    /// The library refuses its own defaults.
    pub fn server_config(self: &Arc<Self>) -> Result<Arc<ServerConfig>, String> {
        let builder = ServerConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .map_err(|error| error.to_string())?;
        let current: Arc<dyn ResolvesServerCert> = Arc::<Self>::clone(self);
        Ok(Arc::new(builder.with_no_client_auth().with_cert_resolver(current)))
    }
}

impl ResolvesServerCert for Certificates {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.shown.read().unwrap_or_else(PoisonError::into_inner).pair))
    }
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(ring::default_provider())
}

fn read(files: &TlsFiles, now: Timestamp) -> Result<Shown, String> {
    if let Some(fault) = permissions::secret(&files.key).or_else(|| permissions::trusted(&files.certificate)) {
        return Err(fault.to_string());
    }
    let (certificate, key) = (files.certificate.display(), files.key.display());
    let chain = CertificateDer::pem_file_iter(&files.certificate)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(|error| format!("`{certificate}` cannot be read: {error}"))?;
    let Some(own) = chain.first() else {
        return Err(format!("`{certificate}` holds no certificate"));
    };
    let good = validity(own).map_err(|error| format!("`{certificate}` cannot be read: {error}"))?;
    if now > good.until {
        return Err(format!("the certificate in `{certificate}` expired at {}", good.until));
    }
    if now < good.from {
        return Err(format!("the certificate in `{certificate}` is not good before {}", good.from));
    }
    let secret =
        PrivateKeyDer::from_pem_file(&files.key).map_err(|error| format!("`{key}` cannot be read: {error}"))?;
    let pair = CertifiedKey::from_der(chain, secret, &provider())
        .map_err(|error| format!("`{certificate}` and `{key}` are no pair: {error}"))?;
    Ok(Shown { pair: Arc::new(pair), until: good.until })
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;
    use std::path::{Path, PathBuf};

    use super::*;

    struct Folder(PathBuf);

    impl Folder {
        fn new(name: &str) -> Self {
            let path = std::env::temp_dir().join(format!("countersign-tls-{}-{name}", std::process::id()));
            let _ = std::fs::remove_dir_all(&path);
            std::fs::create_dir_all(&path).unwrap();
            Self(path)
        }

        fn put(&self, name: &str, text: &str) {
            let path = self.0.join(name);
            std::fs::write(&path, text).unwrap();
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
        }

        fn issue(&self) -> Vec<u8> {
            self.issue_for(2020, 2040)
        }

        /// A certificate that is good between the beginnings of two years.
        fn issue_for(&self, from: i32, until: i32) -> Vec<u8> {
            let mut wanted = rcgen::CertificateParams::new(["sign.example.com".to_owned()]).unwrap();
            wanted.not_before = rcgen::date_time_ymd(from, 1, 1);
            wanted.not_after = rcgen::date_time_ymd(until, 1, 1);
            let key = rcgen::KeyPair::generate().unwrap();
            let made = wanted.self_signed(&key).unwrap();
            self.put("tls.crt", &made.pem());
            self.put("tls.key", &key.serialize_pem());
            made.der().to_vec()
        }

        fn files(&self) -> TlsFiles {
            let at = |name: &str| Path::new(&self.0).join(name);
            TlsFiles { certificate: at("tls.crt"), key: at("tls.key") }
        }
    }

    impl Drop for Folder {
        fn drop(&mut self) {
            let _ = std::fs::remove_dir_all(&self.0);
        }
    }

    fn shown(certificates: &Certificates) -> Vec<u8> {
        certificates.shown.read().unwrap().pair.cert[0].to_vec()
    }

    fn now() -> Timestamp {
        Timestamp::from_seconds(1_795_430_400)
    }

    #[test]
    fn attack_092_a_new_certificate_takes_over_and_a_broken_one_changes_nothing() {
        let folder = Folder::new("reload");
        let first = folder.issue();
        let certificates = Arc::new(Certificates::load(folder.files(), now()).unwrap());
        certificates.server_config().unwrap();
        assert_eq!(shown(&certificates), first);
        let second = folder.issue();
        certificates.reload(now()).unwrap();
        assert_eq!(shown(&certificates), second);
        for (name, broken) in [("tls.crt", ""), ("tls.crt", "nonsense"), ("tls.key", "nonsense")] {
            let whole = std::fs::read_to_string(folder.0.join(name)).unwrap();
            folder.put(name, broken);
            assert!(certificates.reload(now()).unwrap_err().contains(name), "{name}");
            assert_eq!(shown(&certificates), second);
            folder.put(name, &whole);
        }
        let key = std::fs::read_to_string(folder.0.join("tls.key")).unwrap();
        folder.issue();
        let fresh = std::fs::read_to_string(folder.0.join("tls.key")).unwrap();
        folder.put("tls.key", &key);
        assert!(certificates.reload(now()).unwrap_err().contains("are no pair"));
        assert_eq!(shown(&certificates), second);
        folder.put("tls.key", &fresh);
        std::fs::set_permissions(folder.0.join("tls.key"), std::fs::Permissions::from_mode(0o644)).unwrap();
        assert!(certificates.reload(now()).unwrap_err().contains("tls.key"));
        assert_eq!(shown(&certificates), second);
    }

    #[test]
    fn attack_092_a_certificate_that_is_over_or_not_yet_good_is_refused_by_its_time() {
        let folder = Folder::new("expired");
        for (from, until, says) in
            [(2020, 2021, "expired at 2021-01-01T00:00:00"), (2030, 2040, "is not good before 2030-01-01T00:00:00")]
        {
            folder.issue_for(from, until);
            let refused = Certificates::load(folder.files(), now()).unwrap_err();
            assert!(refused.contains(says) && refused.contains("tls.crt"), "{refused}");
        }
        let good = folder.issue();
        let certificates = Certificates::load(folder.files(), now()).unwrap();
        assert_eq!(certificates.until(), Timestamp::parse("2040-01-01T00:00:00.000Z").unwrap());
        folder.issue_for(2020, 2021);
        assert!(certificates.reload(now()).is_err());
        assert_eq!(shown(&certificates), good);
    }
}

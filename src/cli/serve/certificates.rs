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

/// The certificate that is shown just now, and where the next one comes from.
#[derive(Debug)]
pub struct Certificates {
    files: TlsFiles,
    shown: RwLock<Arc<CertifiedKey>>,
}

impl Certificates {
    /// Reads chain and key.
    ///
    /// # Errors
    /// A sentence that names the file.
    pub fn load(files: TlsFiles) -> Result<Self, String> {
        let shown = RwLock::new(read(&files)?);
        Ok(Self { files, shown })
    }

    /// Reads both again; after a fault the old ones stay.
    ///
    /// # Errors
    /// As `load`.
    pub fn reload(&self) -> Result<(), String> {
        let fresh = read(&self.files)?;
        *self.shown.write().unwrap_or_else(PoisonError::into_inner) = fresh;
        Ok(())
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
        Some(Arc::clone(&self.shown.read().unwrap_or_else(PoisonError::into_inner)))
    }
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(ring::default_provider())
}

fn read(files: &TlsFiles) -> Result<Arc<CertifiedKey>, String> {
    if let Some(fault) = permissions::secret(&files.key) {
        return Err(fault.to_string());
    }
    let (certificate, key) = (files.certificate.display(), files.key.display());
    let chain = CertificateDer::pem_file_iter(&files.certificate)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(|error| format!("`{certificate}` cannot be read: {error}"))?;
    if chain.is_empty() {
        return Err(format!("`{certificate}` holds no certificate"));
    }
    let secret =
        PrivateKeyDer::from_pem_file(&files.key).map_err(|error| format!("`{key}` cannot be read: {error}"))?;
    let pair = CertifiedKey::from_der(chain, secret, &provider())
        .map_err(|error| format!("`{certificate}` and `{key}` are no pair: {error}"))?;
    Ok(Arc::new(pair))
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
            let made = rcgen::generate_simple_self_signed(["sign.example.com".to_owned()]).unwrap();
            self.put("tls.crt", &made.cert.pem());
            self.put("tls.key", &made.signing_key.serialize_pem());
            made.cert.der().to_vec()
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
        certificates.shown.read().unwrap().cert[0].to_vec()
    }

    #[test]
    fn a_new_certificate_takes_over_and_a_broken_one_changes_nothing() {
        let folder = Folder::new("reload");
        let first = folder.issue();
        let certificates = Arc::new(Certificates::load(folder.files()).unwrap());
        certificates.server_config().unwrap();
        assert_eq!(shown(&certificates), first);
        let second = folder.issue();
        certificates.reload().unwrap();
        assert_eq!(shown(&certificates), second);
        for (name, broken) in [("tls.crt", ""), ("tls.crt", "nonsense"), ("tls.key", "nonsense")] {
            let whole = std::fs::read_to_string(folder.0.join(name)).unwrap();
            folder.put(name, broken);
            assert!(certificates.reload().unwrap_err().contains(name), "{name}");
            assert_eq!(shown(&certificates), second);
            folder.put(name, &whole);
        }
        let key = std::fs::read_to_string(folder.0.join("tls.key")).unwrap();
        folder.issue();
        folder.put("tls.key", &key);
        assert!(certificates.reload().unwrap_err().contains("are no pair"));
        assert_eq!(shown(&certificates), second);
    }
}

//! The clients that the configuration names, with what their files hold.
//! In: `[[client]]`, checked. Out: the use cases' clients.
//! Implements DESIGN §10, §12.
//! Never takes a picture that a browser could run.

use std::path::Path;
use std::sync::Arc;

use super::not_opened::OpenError;
use crate::config::client::ClientSettings;
use crate::config::read_limited;
use crate::crypto::client_keys::{ClientKeys, MAX_CLIENT_KEYS_BYTES};
use crate::domain::oauth::client::{Client, ClientAuth, Logo};

/// Largest picture of a client, in bytes.
pub const MAX_LOGO: usize = 64 * 1024;

/// Reads what the clients' files hold.
///
/// # Errors
/// A file that cannot be read, keys that are none, a picture of another kind.
pub fn read(clients: &[ClientSettings]) -> Result<Vec<Arc<Client>>, OpenError> {
    clients.iter().map(|one| read_one(one).map(Arc::new)).collect()
}

fn read_one(settings: &ClientSettings) -> Result<Client, OpenError> {
    let mut client = settings.client.clone();
    let of_client = |what: String| OpenError::Document(format!("client `{}`: {what}", settings.client.id));
    if let (ClientAuth::PrivateKeyJwt(jwks), Some(path)) = (&mut client.auth, &settings.jwks_file) {
        *jwks = read_limited(path, MAX_CLIENT_KEYS_BYTES).map_err(of_client)?;
        ClientKeys::parse(jwks).map_err(|error| of_client(format!("`{}`: {error}", path.display())))?;
    }
    if let Some(path) = &settings.logo_file {
        client.logo = Some(logo(path).map_err(of_client)?);
    }
    Ok(client)
}

fn logo(path: &Path) -> Result<Logo, String> {
    let bytes = read_limited(path, MAX_LOGO)?;
    let media_type = media_type(&bytes).ok_or_else(|| format!("`{}` is neither PNG nor SVG", path.display()))?;
    Ok(Logo { media_type, bytes })
}

/// What a picture is, by its content.
fn media_type(bytes: &[u8]) -> Option<&'static str> {
    if bytes.starts_with(b"\x89PNG\r\n\x1a\n") {
        return Some("image/png");
    }
    let text = std::str::from_utf8(bytes).ok()?.trim_start_matches('\u{feff}').trim_start();
    let is_svg = text.starts_with("<svg") || (text.starts_with("<?xml") && text.contains("<svg"));
    is_svg.then_some("image/svg+xml")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_picture_is_what_it_holds() {
        assert_eq!(media_type(b"\x89PNG\r\n\x1a\n\0"), Some("image/png"));
        assert_eq!(media_type(b"<svg xmlns=\"http://www.w3.org/2000/svg\"/>"), Some("image/svg+xml"));
        assert_eq!(media_type(b"<?xml version=\"1.0\"?>\n<svg/>"), Some("image/svg+xml"));
        assert_eq!(media_type(b"<html><svg/></html>"), None);
        assert_eq!(media_type(b"GIF89a"), None);
        assert_eq!(media_type(b""), None);
    }
}

//! `countersign clients secret`, `clients end`; and the clients that the configuration names, with what their files hold.
//! In: chance; `[[client]]`, checked. Out: a secret, once, with its line; the use cases' clients.
//! Implements DESIGN §10, §12.
//! Never keeps a secret, and never takes a picture of a kind that browsers do not draw as one.

use std::path::Path;
use std::sync::Arc;

use data_encoding::BASE64URL_NOPAD;
use serde_json::json;

use super::console;
use super::exit::Exit;
use super::not_opened::OpenError;
use super::printer::Printer;
use super::surroundings::Surroundings;
use crate::app::console::{ConsoleAnswer, ConsoleCommand};
use crate::config::client::ClientSettings;
use crate::config::read_limited;
use crate::crypto::client_keys::{ClientKeys, MAX_CLIENT_KEYS_BYTES};
use crate::domain::ids::Digest;
use crate::domain::oauth::client::{Client, ClientAuth, Logo};

/// Largest picture of a client, in bytes.
pub const MAX_LOGO: usize = 64 * 1024;

/// What stands before a secret, so that whoever finds one knows what it is.
const SECRET_PREFIX: &str = "cs_";

/// Makes a client's secret: 256 bits of chance, so that its SHA-256 is as good as itself to whoever reads the file.
pub fn secret(here: &Surroundings<'_>, printer: &mut Printer) -> Exit {
    let Some(chance) = (here.chance)() else {
        printer.problem("the system has no random bytes to give", "try again");
        return Exit::TryAgain;
    };
    let secret = format!("{SECRET_PREFIX}{}", BASE64URL_NOPAD.encode(&chance));
    let digest = Digest::of(secret.as_bytes());
    if printer.json() {
        printer.line(&json!({ "secret": secret, "secret_sha256": digest }).to_string());
        return Exit::Yes;
    }
    printer.data(format!("secret         {secret}"));
    printer.data(format!("configuration  secret_sha256 = [\"{digest}\"]"));
    printer.words("the tool gets the secret; it is shown this once, and kept nowhere");
    printer.words("to change one that is in use, write both digests, then take the old one out");
    Exit::Yes
}

/// Ends everything that people gave to a client.
pub fn end(client: &str, config: Option<&Path>, printer: &mut Printer) -> Exit {
    let settings = match super::configured(config, printer) {
        Ok(settings) => settings,
        Err(exit) => return exit,
    };
    match console::ask(&settings, ConsoleCommand::EndClientGrants { client: client.to_owned() }, printer) {
        Ok(answer @ ConsoleAnswer::GrantsEnded { ended }) => {
            if printer.json() {
                printer.line(&serde_json::to_string(&answer).unwrap_or_default());
            } else {
                printer.data(format!("{ended} ended"));
                printer.words("what the tool keeps itself, a session of its own for one, it keeps");
            }
            Exit::Yes
        }
        Ok(_) => Exit::OurFault,
        Err(exit) => exit,
    }
}

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
    fn a_picture_is_as_large_as_its_limit_and_no_larger() {
        let file = std::env::temp_dir().join(format!("countersign-logo-{}.svg", std::process::id()));
        let picture = |bytes: usize| {
            std::fs::write(&file, format!("<svg>{}</svg>", " ".repeat(bytes - 11))).unwrap();
            logo(&file)
        };
        assert_eq!(picture(MAX_LOGO).unwrap().media_type, "image/svg+xml");
        assert!(picture(MAX_LOGO + 1).is_err());
        std::fs::remove_file(&file).unwrap();
    }

    #[test]
    fn a_secret_is_shown_once_with_the_digest_that_the_configuration_takes() {
        use crate::cli::printer::{Abilities, tests::taped};
        use crate::domain::time::Timestamp;

        let here = |chance: &'static dyn Fn() -> Option<[u8; 32]>| Surroundings {
            now: &|| Timestamp::from_seconds(0),
            elapsed: &|| std::time::Duration::ZERO,
            chance,
            variable: &|_| None,
        };
        let (mut printer, out, _) = taped(Abilities { json: true, ..Abilities::default() });
        assert_eq!(secret(&here(&|| Some([7; 32])), &mut printer), Exit::Yes);
        let told: serde_json::Value = serde_json::from_str(&out.text()).unwrap();
        let text = told["secret"].as_str().unwrap();
        assert_eq!(text.len(), 46);
        assert_eq!(told["secret_sha256"], Digest::of(text.as_bytes()).to_string());
        let (mut printer, out, _) = taped(Abilities::default());
        assert_eq!(secret(&here(&|| Some([7; 32])), &mut printer), Exit::Yes);
        assert!(out.text().contains(text) && out.text().contains("secret_sha256 = [\""), "{}", out.text());
        let (mut printer, out, _) = taped(Abilities::default());
        assert_eq!(secret(&here(&|| None), &mut printer), Exit::TryAgain);
        assert_eq!(out.text(), "");
    }

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

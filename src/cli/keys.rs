//! `keys rotate`: a new signing key, in its time or at once.
//! In: the configuration, an algorithm, whether it is an emergency. Out: the new keys, and what is to be done elsewhere.
//! Implements DESIGN §9, §12.
//! Never does it by itself: the use case does, in the running server where one runs.

use std::path::Path;

use super::console;
use super::exit::Exit;
use super::people::aligned;
use super::printer::{Printer, Sign};
use crate::app::console::{ConsoleAnswer, ConsoleCommand};
use crate::domain::rules::TokenAlg;
use crate::domain::time::Timestamp;

/// Runs `keys rotate`.
pub fn rotate(alg: Option<TokenAlg>, emergency: bool, config: Option<&Path>, printer: &mut Printer) -> Exit {
    let settings = match super::configured(config, printer) {
        Ok(settings) => settings,
        Err(exit) => return exit,
    };
    let runs = console::is_running(&settings.state_directory);
    match console::ask(&settings, ConsoleCommand::RotateKeys { alg, emergency }, printer) {
        Ok(answer) => tell(&answer, (&settings.url, runs), printer),
        Err(exit) => exit,
    }
}

fn when(at: Timestamp) -> String {
    format!("{} {} UTC", at.day_month(), at.hour_minute())
}

fn tell(answer: &ConsoleAnswer, (url, runs): (&str, bool), printer: &mut Printer) -> Exit {
    let ConsoleAnswer::Rotated { keys, revoked } = answer else { return Exit::OurFault };
    if printer.json() {
        printer.line(&serde_json::to_string(answer).unwrap_or_default());
        return Exit::Yes;
    }
    let emergency = !revoked.is_empty();
    let mut rows = Vec::new();
    for key in keys {
        let signs = if emergency { "signs now".to_owned() } else { format!("signs from {}", when(key.signs)) };
        rows.push(vec![key.kid.to_string(), key.alg.as_str().to_owned(), signs, format!("log entry {}", key.entry)]);
    }
    rows.extend(revoked.iter().map(|kid| vec![kid.to_string(), "revoked".to_owned()]));
    for line in aligned(&rows) {
        printer.data(line);
    }
    if emergency {
        printer.signed(Sign::Warn, "tokens that the revoked keys signed are refused by whoever fetches the keys anew");
        printer.words(format!("  now: let every verifier fetch {url}/jwks again; some keep it for an hour and longer"));
        printer.words("  then: retry the jobs that are under way, and look for tokens that the log does not have");
        if !runs {
            printer.words("  no server runs, so no webhook was told");
        }
    } else if !runs {
        printer.signed(Sign::Warn, "no server runs: the time for which a key is published begins when it does");
    }
    Exit::Yes
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::app::rotate_keys::PublishedKey;
    use crate::cli::printer::{Abilities, tests::taped};
    use crate::domain::ids::Kid;

    #[test]
    fn what_was_done_is_said_and_what_is_to_be_done_elsewhere() {
        let kid = |byte: u8| Kid::parse(&data_encoding::BASE64URL_NOPAD.encode(&[byte; 32])).unwrap();
        let signs = Timestamp::from_seconds(1_795_430_400);
        let key = PublishedKey { kid: kid(1), alg: TokenAlg::Es256, signs, entry: 9 };
        let told = |revoked: Vec<Kid>, runs| {
            let (mut printer, out, err) = taped(Abilities::default());
            let answer = ConsoleAnswer::Rotated { keys: vec![key.clone()], revoked };
            assert_eq!(tell(&answer, ("https://sign.example.com", runs), &mut printer), Exit::Yes);
            (out.text(), err.text())
        };
        let (out, err) = told(Vec::new(), true);
        assert!(out.contains("ES256  signs from 23 Nov 10:40 UTC  log entry 9"), "{out}");
        assert_eq!(err, "");
        assert!(told(Vec::new(), false).1.contains("begins when it does"));
        let (out, err) = told(vec![kid(2)], false);
        assert!(out.contains("signs now") && out.contains("revoked"), "{out}");
        assert!(err.contains("https://sign.example.com/jwks") && err.contains("no webhook was told"), "{err}");
    }
}

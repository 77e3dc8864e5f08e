//! Why the application could not be opened, and what to do about it.
//! In: the error of a file, of the configuration or of the state. Out: sentences with their cures, and the exit code.
//! Implements DESIGN §12 (exit codes).
//! Never tells what a key file holds.

use crate::app::load_rules::LoadError;
use crate::app::push_requests::PushError;
use crate::app::start::StartError;
use crate::crypto::CryptoError;
use crate::domain::rules::compile::RuleError;
use crate::outbound::OutboundError;
use crate::store::StoreError;

use super::configuration_faults;
use super::exit::Exit;
use super::printer::Printer;

/// Why the application could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The configuration.
    #[error("{} faults in the configuration", .0.faults.len())]
    Config(#[from] crate::config::fault::ConfigError),
    /// A key file.
    #[error(transparent)]
    Crypto(#[from] CryptoError),
    /// A file that an issuer names.
    #[error("issuer `{issuer}`: cannot read {path}: {source}")]
    IssuerFile {
        /// Whose.
        issuer: String,
        /// Which.
        path: String,
        /// Why.
        source: std::io::Error,
    },
    /// A document that vouches for passkeys.
    #[error("{0}")]
    Document(String),
    /// A folder that cannot be made.
    #[error("`{path}` cannot be made: {source}")]
    Folder {
        /// Which.
        path: String,
        /// Why.
        source: std::io::Error,
    },
    /// Notices.
    #[error("notify: {0}")]
    Outbound(#[from] OutboundError),
    /// Messages to devices.
    #[error("push: {0}")]
    Push(#[from] PushError),
    /// The state.
    #[error(transparent)]
    Start(#[from] StartError),
}

impl OpenError {
    /// Another process holds the state directory.
    pub const fn is_locked(&self) -> bool {
        matches!(self, Self::Start(StartError::Store(StoreError::Locked)))
    }
}

/// Says why it could not be opened.
pub fn explain(error: &OpenError, printer: &mut Printer) -> Exit {
    if let OpenError::Config(error) = error {
        return configuration_faults(error, printer);
    }
    for (what, cure) in faults(error) {
        printer.problem(what, cure);
    }
    if passes(error) { Exit::TryAgain } else { Exit::Usage }
}

/// Whether the same command may work later without anybody mending a file or a key: a full or busy disk, a KMS that is away.
const fn passes(error: &OpenError) -> bool {
    match error {
        OpenError::Start(StartError::Store(error)) => error.passes(),
        OpenError::Start(StartError::App(error)) => error.code().status() == 503,
        OpenError::Crypto(error) | OpenError::Start(StartError::Crypto(error)) => {
            matches!(error, CryptoError::MasterKeyCommand(_))
        }
        _ => false,
    }
}

/// Every fault, each with its cure.
pub fn faults(error: &OpenError) -> Vec<(String, String)> {
    let one = |what: &str, cure: &str| vec![(what.to_owned(), cure.to_owned())];
    match error {
        OpenError::Config(error) => error.faults.iter().map(|fault| (fault.to_string(), fault.cure.clone())).collect(),
        OpenError::Crypto(error) | OpenError::Start(StartError::Crypto(error)) => vec![of_crypto(error)],
        OpenError::Outbound(_) => one(&error.to_string(), "look at `[notify]` of the configuration"),
        OpenError::Push(_) => one(&error.to_string(), "look at `[push]` of the configuration"),
        OpenError::IssuerFile { .. } => one(&error.to_string(), "put the file there, or name the right one"),
        OpenError::Document(what) => one(what, "put the file there, or name the right one"),
        OpenError::Folder { .. } => one(&error.to_string(), "make the folder by hand, or choose another"),
        OpenError::Start(StartError::Rules(LoadError::Rules(faults))) => faults
            .iter()
            .map(|fault| {
                let what = RuleError { hint: None, ..fault.clone() }.to_string();
                (what, fault.hint.clone().unwrap_or_else(|| "countersign rule check".to_owned()))
            })
            .collect(),
        OpenError::Start(StartError::Store(StoreError::Locked)) => one(
            "another countersign holds the state directory",
            "stop it first; people, log, rule and doctor work beside it",
        ),
        OpenError::Start(StartError::Store(StoreError::Missing)) => one(
            "there is no state yet",
            "countersign init --url https://sign.example.com --gitlab https://gitlab.example.com",
        ),
        OpenError::Start(error) => {
            // Such sentences end with what to do.
            let text = error.to_string();
            let (what, cure) = text.rsplit_once("; ").unwrap_or((&text, "countersign doctor"));
            one(what, cure)
        }
    }
}

fn of_crypto(error: &CryptoError) -> (String, String) {
    match error {
        CryptoError::File { path, problem, cure } => (format!("`{}` {problem}", path.display()), cure.clone()),
        error => (error.to_string(), "look at `[keys]` of the configuration".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_may_pass_by_itself_is_tried_again_and_the_rest_is_mended() {
        let store = |error| passes(&StartError::Store(error).into());
        assert!(store(StoreError::Busy) && store(StoreError::NoSpace) && store(StoreError::Full));
        assert!(!store(StoreError::Missing) && !store(StoreError::Locked));
        assert!(passes(&CryptoError::MasterKeyCommand("failed".to_owned()).into()));
        assert!(!passes(&CryptoError::MasterKey("is none".to_owned()).into()));
        let stepped = crate::app::AppError::from(StoreError::ClockStepped(61_000));
        assert!(passes(&StartError::from(stepped).into()));
        assert!(!passes(&StartError::from(crate::app::AppError::internal("fault")).into()));
    }
}

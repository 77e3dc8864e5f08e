//! Clients that are read again while the server runs.
//! In: where the configuration is. Out: its clients in force, or why those before stay.
//! Implements DESIGN §12 (`SIGHUP`).
//! Never takes anything else of the configuration, and nothing of one that has a fault.

use std::path::Path;
use std::sync::Arc;

use crate::app::Countersign;
use crate::cli::clients;
use crate::config;
use crate::domain::oauth::client::Client;

/// The configuration's clients, as a whole file that is right has them.
///
/// # Errors
/// What is wrong with it.
pub fn read(named: Option<&Path>) -> Result<Vec<Arc<Client>>, String> {
    let read = config::load(named, &config::variables()).map_err(|error| {
        for fault in &error.faults {
            tracing::error!(%fault, "the configuration has a fault");
        }
        error.to_string()
    });
    read.and_then(|settings| clients::read(&settings.clients).map_err(|error| error.to_string()))
}

/// Puts them in force; what changed.
///
/// # Errors
/// What keeps them from it.
pub fn put(clients: &Result<Vec<Arc<Client>>, String>, app: &Countersign) -> Result<Vec<String>, String> {
    app.load_clients(clients.clone()?).map_err(|error| error.to_string())
}

/// Tells what came of it.
///
/// # Errors
/// What kept them from it, for whoever looks at `/readyz`.
pub fn told(put: Result<Vec<String>, String>, app: &Countersign) -> Result<(), String> {
    match put {
        Ok(changes) => {
            for change in changes {
                tracing::info!(change, "clients");
            }
            tracing::info!(clients = app.clients.all().len(), "clients reloaded");
            Ok(())
        }
        Err(problem) => {
            tracing::error!(problem, "the new clients cannot be used; the old stay in force");
            Err(format!("the new ones cannot be used, the old ones stay: {problem}"))
        }
    }
}

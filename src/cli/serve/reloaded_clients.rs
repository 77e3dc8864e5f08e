//! Clients that are read again while the server runs.
//! In: where the configuration is. Out: its clients in force, or why those before stay.
//! Implements DESIGN §12 (`SIGHUP`).
//! Never takes anything else of the configuration, and nothing of one that has a fault.

use std::path::Path;

use crate::app::Countersign;
use crate::cli::clients;
use crate::config;

/// Puts the configuration's clients in force, as a whole file that is right would have them.
///
/// # Errors
/// What keeps them from it, for whoever looks at `/readyz`.
pub fn reload(named: Option<&Path>, app: &Countersign) -> Result<(), String> {
    let read = config::load(named, &config::variables()).map_err(|error| {
        for fault in &error.faults {
            tracing::error!(%fault, "the configuration has a fault");
        }
        error.to_string()
    });
    let read = read.and_then(|settings| clients::read(&settings.clients).map_err(|error| error.to_string()));
    match read.and_then(|clients| app.load_clients(clients).map_err(|error| error.to_string())) {
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

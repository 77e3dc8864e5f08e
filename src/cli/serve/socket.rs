//! The console's socket: what `people` and `init --new-link` talk to while the server runs.
//! In: one command a line. Out: one answer a line.
//! Implements DESIGN §12 (0600, in the state directory).
//! Never listens on a network, and never takes the place of a socket that another process serves.

use std::io::ErrorKind;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;

use crate::app::Countersign;
use crate::cli::console::{ANSWER_WITHIN, MAX_COMMAND, SOCKET, answer, refused};
use crate::domain::oauth::error_code::ErrorCode;

/// Pause after a console could not connect.
const ACCEPT_AGAIN: std::time::Duration = std::time::Duration::from_millis(100);
/// Most consoles at once.
pub const MAX_CONSOLES: usize = 16;

/// The listening socket.
pub struct Console {
    path: PathBuf,
    listening: JoinHandle<()>,
}

impl Console {
    /// Ends it and takes the socket away.
    pub fn close(self) {
        self.listening.abort();
        // One that is left behind is replaced at the next start.
        let _ = std::fs::remove_file(&self.path);
    }
}

/// Listens. The state directory's lock must be held: a socket that is there was left by a process that died.
///
/// # Errors
/// The socket cannot be made.
pub fn listen(state_directory: &Path, app: Arc<Countersign>) -> std::io::Result<Console> {
    let path = state_directory.join(SOCKET);
    match std::fs::remove_file(&path) {
        Ok(()) => {}
        Err(error) if error.kind() == ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    // The directory is 0700, so nobody else reaches the socket before its own mode is set.
    let listener = UnixListener::bind(&path)?;
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600))?;
    Ok(Console { path, listening: actix_web::rt::spawn(accept(listener, app)) })
}

async fn accept(listener: UnixListener, app: Arc<Countersign>) {
    let places = Arc::new(Semaphore::new(MAX_CONSOLES));
    loop {
        let Ok(place) = Arc::clone(&places).acquire_owned().await else { return };
        match listener.accept().await {
            Ok((stream, _)) => {
                let app = Arc::clone(&app);
                actix_web::rt::spawn(async move {
                    if let Err(error) = converse(stream, &app).await {
                        tracing::warn!(%error, "a console broke off");
                    }
                    drop(place);
                });
            }
            Err(error) => {
                tracing::warn!(%error, "a console could not connect");
                // `accept` fails at once and again, for want of descriptors: without a pause it would spin.
                tokio::time::sleep(ACCEPT_AGAIN).await;
            }
        }
    }
}

/// Answers line by line until the other side has said all.
async fn converse(stream: UnixStream, app: &Countersign) -> std::io::Result<()> {
    let (reading, mut writing) = stream.into_split();
    let mut reading = BufReader::new(reading);
    loop {
        let mut line = Vec::new();
        let mut limited = (&mut reading).take(MAX_COMMAND);
        let read = tokio::time::timeout(ANSWER_WITHIN, limited.read_until(b'\n', &mut line)).await;
        match read {
            Ok(Ok(0)) => return Ok(()),
            Ok(Ok(_)) => {}
            Ok(Err(error)) => return Err(error),
            Err(_) => return Err(ErrorKind::TimedOut.into()),
        }
        let said = match serde_json::from_slice(&line) {
            Ok(command) => answer(app, command).await,
            Err(error) => {
                refused(ErrorCode::ParameterInvalid, &format!("the console's command cannot be read: {error}"))
            }
        };
        let mut said = serde_json::to_vec(&said)?;
        said.push(b'\n');
        writing.write_all(&said).await?;
        // What is left of a line that was too long is no command.
        if line.last() != Some(&b'\n') {
            return Ok(());
        }
    }
}

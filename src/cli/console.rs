//! The console's client: asks the running server over its socket, else does the same on the store under its lock.
//! In: the configuration, one command. Out: one answer.
//! Implements DESIGN §12 (console commands).
//! Never goes over the network, and never writes beside a running server.

use std::io::{BufRead as _, BufReader, ErrorKind, Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use super::exit::Exit;
use super::not_opened;
use super::open;
use super::printer::Printer;
use super::refusal;
use crate::app::console::{ConsoleAnswer, ConsoleCommand};
use crate::app::fetch_metadata::BLOB_WITHIN;
use crate::app::{AppError, Countersign};
use crate::config::settings::Settings;
use crate::domain::oauth::error_code::ErrorCode;

/// The socket's name in the state directory.
pub const SOCKET: &str = "console.sock";
/// Longest command, in bytes.
pub const MAX_COMMAND: u64 = 64 * 1024;
/// Longest answer, in bytes.
pub const MAX_ANSWER: u64 = 64 * 1024 * 1024;
/// How long the server may take.
pub const ANSWER_WITHIN: Duration = Duration::from_secs(30);

/// Asks; a refusal is said here.
///
/// # Errors
/// The exit code, once it is said why.
pub fn ask(settings: &Settings, command: ConsoleCommand, printer: &mut Printer) -> Result<ConsoleAnswer, Exit> {
    let socket = settings.state_directory.join(SOCKET);
    let answer = match UnixStream::connect(&socket) {
        Ok(stream) => over(&stream, &command).map_err(|error| {
            let what = format!("the running server's console gives no answer: {error}");
            printer.problem(what, "try again; the server's diagnostics say more");
            Exit::TryAgain
        })?,
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::ConnectionRefused) => {
            alone(settings, command, printer)?
        }
        Err(error) => {
            let what = format!("`{}` cannot be reached: {error}", socket.display());
            printer.problem(what, "run the command as the server's own user");
            return Err(Exit::Usage);
        }
    };
    match answer {
        ConsoleAnswer::Refused { code, description, cure } => Err(refusal::said(code, &description, &cure, printer)),
        answer => Ok(answer),
    }
}

/// Whether a server answers on its socket.
pub fn is_running(state_directory: &Path) -> bool {
    UnixStream::connect(state_directory.join(SOCKET)).is_ok()
}

/// Asks the running server, and says nothing where there is none or it gives no answer.
pub fn quietly(settings: &Settings, command: &ConsoleCommand) -> Option<ConsoleAnswer> {
    over(&UnixStream::connect(settings.state_directory.join(SOCKET)).ok()?, command).ok()
}

/// How long the answer to a command may take.
fn patience(command: &ConsoleCommand) -> Duration {
    match command {
        ConsoleCommand::FetchMetadata => BLOB_WITHIN + ANSWER_WITHIN,
        _ => ANSWER_WITHIN,
    }
}

/// One line out, one line back.
fn over(mut stream: &UnixStream, command: &ConsoleCommand) -> std::io::Result<ConsoleAnswer> {
    stream.set_read_timeout(Some(patience(command)))?;
    stream.set_write_timeout(Some(ANSWER_WITHIN))?;
    let mut line = serde_json::to_vec(command)?;
    line.push(b'\n');
    stream.write_all(&line)?;
    let mut answer = Vec::new();
    BufReader::new(stream).take(MAX_ANSWER).read_until(b'\n', &mut answer)?;
    if answer.is_empty() {
        return Err(std::io::Error::new(ErrorKind::UnexpectedEof, "it closed the connection"));
    }
    Ok(serde_json::from_slice(&answer)?)
}

/// No server runs: the store is ours for the moment.
fn alone(settings: &Settings, command: ConsoleCommand, printer: &mut Printer) -> Result<ConsoleAnswer, Exit> {
    let runtime = open::runtime().map_err(|error| {
        printer.problem(error.to_string(), "free some memory or threads");
        Exit::OurFault
    })?;
    if command.only_looks() {
        let app = open::look(settings, true).map_err(|error| not_opened::explain(&error, printer))?;
        return Ok(runtime.block_on(answer(&app, command)));
    }
    runtime.block_on(async {
        let app = open::open_quietly(settings).await.map_err(|error| {
            if error.is_locked() {
                let what = "a countersign holds the state directory, and its console does not answer";
                printer.problem(what, "wait until the server has started or stopped, then try again");
                return Exit::TryAgain;
            }
            not_opened::explain(&error, printer)
        })?;
        let answer = answer(&app, command).await;
        app.store.close();
        Ok(answer)
    })
}

/// Runs a command; what fails is an answer too.
pub async fn answer(app: &Countersign, command: ConsoleCommand) -> ConsoleAnswer {
    app.console(command).await.unwrap_or_else(|error| match error {
        AppError::Refused { refusal, .. } => ConsoleAnswer::Refused {
            code: refusal.code,
            description: refusal.sentence(),
            cure: refusal.hint.unwrap_or_else(|| refusal.code.cure().to_owned()),
        },
        AppError::Fault { code, detail } => refused(code, &detail),
    })
}

/// A refusal with the code's own cure.
pub fn refused(code: ErrorCode, description: &str) -> ConsoleAnswer {
    ConsoleAnswer::Refused { code, description: description.to_owned(), cure: code.cure().to_owned() }
}

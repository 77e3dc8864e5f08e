//! `countersign log`: shows entries, checks the whole log, takes out the proof of a token.
//! In: indices. Out: leaves as they are, a report, a bundle.
//! Implements DESIGN §7, §12.
//! Never takes the state directory's lock: it works beside a running server and on a stopped one.

use std::path::Path;

use serde_json::json;

use super::args::LogCommand;
use super::console;
use super::exit::Exit;
use super::open;
use super::printer::{Printer, Sign};
use super::refusal;
use crate::app::console::{ConsoleAnswer, ConsoleCommand};
use crate::app::{AppError, Countersign};
use crate::config::settings::Settings;

/// Runs the command.
pub fn run(command: &LogCommand, config: Option<&Path>, printer: &mut Printer) -> Exit {
    let settings = match super::configured(config, printer) {
        Ok(settings) => settings,
        Err(exit) => return exit,
    };
    match command {
        LogCommand::Resume { .. } => return resume(&settings, printer),
        LogCommand::AcceptTime => return accept_time(&settings, printer),
        LogCommand::Show { .. } | LogCommand::Check | LogCommand::Bundle { .. } => {}
    }
    // Before the log: it may grow meanwhile, but never shrink below the mark.
    let mark = open::mark(&settings);
    let app = match open::look(&settings, false) {
        Ok(app) => app,
        Err(error) => return open::explain(&error, printer),
    };
    let done = match command {
        LogCommand::Show { entry: Some(entry), .. } => {
            app.show_entry(*entry).map(|leaf| show(std::slice::from_ref(&leaf), printer))
        }
        LogCommand::Show { entry: None, last } => app.show_last(*last).map(|leaves| show(&leaves, printer)),
        LogCommand::Check => match mark {
            Ok(mark) => app.check_log_against(mark.as_ref()).map(|report| {
                let counts = [report.entries, report.checkpoints, report.evidence, report.erased];
                check(counts, report.fault.map(|fault| (fault.index, fault.what)), printer)
            }),
            Err(error) => return open::explain(&error, printer),
        },
        LogCommand::Resume { .. } | LogCommand::AcceptTime => return Exit::OurFault,
        LogCommand::Bundle { entry, out } => bundle(&app, &settings, *entry, out.as_deref(), printer),
    };
    done.unwrap_or_else(|error| refusal::say(&error, printer))
}

/// Takes the state directory's lock, unlike the others: no server may run.
fn resume(settings: &Settings, printer: &mut Printer) -> Exit {
    match open::resume(settings) {
        Ok(entry) => {
            printer.signed(
                Sign::Ok,
                format!("entry {entry} records the restore; requests, links and older job tokens are void"),
            );
            Exit::Yes
        }
        Err(error) => open::explain(&error, printer),
    }
}

/// Asks the running server, whose clock it is; where none runs, the next start takes the clock as it finds it.
fn accept_time(settings: &Settings, printer: &mut Printer) -> Exit {
    match console::ask(settings, ConsoleCommand::AcceptTime, printer) {
        Ok(ConsoleAnswer::TimeAccepted { step, entry, log_time }) => {
            if printer.json() {
                printer.line(&json!({ "step": step, "entry": entry, "log_time": log_time }).to_string());
            } else {
                printer.signed(
                    Sign::Ok,
                    format!("the clock is taken as it is, {step} ms from where it was; entry {entry} says so"),
                );
                printer.words(format!("  the log's time is {log_time}"));
            }
            Exit::Yes
        }
        Ok(_) => Exit::OurFault,
        Err(exit) => exit,
    }
}

fn show(leaves: &[String], printer: &mut Printer) -> Exit {
    for leaf in leaves {
        printer.line(leaf);
    }
    Exit::Yes
}

/// Counts of entries, checkpoints, documents and erased ones; the first fault, with its entry.
fn check(counts: [u64; 4], fault: Option<(Option<u64>, String)>, printer: &mut Printer) -> Exit {
    let [entries, checkpoints, evidence, erased] = counts;
    let exit = if fault.is_some() { Exit::No } else { Exit::Yes };
    if printer.json() {
        let fault = fault.map(|(index, what)| json!({ "entry": index, "what": what }));
        let text = json!({
            "entries": entries, "checkpoints": checkpoints, "evidence": evidence, "erased": erased, "fault": fault,
        });
        printer.line(&text.to_string());
        return exit;
    }
    let counted =
        format!("{entries} entries, {checkpoints} checkpoints, {evidence} documents as logged, {erased} erased");
    match fault {
        None => {
            let sign = printer.sign(Sign::Ok);
            printer.data_signed(&sign, &counted);
        }
        Some((index, what)) => {
            let place = index.map_or_else(String::new, |index| format!("entry {index}: "));
            let sign = printer.sign(Sign::Fail);
            printer.data_signed(&sign, &format!("{place}{what}"));
            printer.words(format!("  good before it: {counted}"));
            printer.words("  cure: keep a copy of the state directory, then restore a backup");
        }
    }
    exit
}

fn bundle(
    app: &Countersign,
    settings: &Settings,
    entry: u64,
    out: Option<&Path>,
    printer: &mut Printer,
) -> Result<Exit, AppError> {
    let mut text = serde_json::to_string(&app.make_bundle(entry)?).map_err(AppError::internal)?;
    text.push('\n');
    let Some(out) = out else {
        printer.raw_data(text.as_bytes());
        return Ok(Exit::Yes);
    };
    if let Err(error) = open::write_file(out, text.as_bytes()) {
        printer.problem(error.to_string(), "make room, or name another file with --out");
        return Ok(Exit::Usage);
    }
    printer.words(format!("proof of entry {entry} written to {}", out.display()));
    let key = settings.keys.log_key_file.with_extension("pub");
    let key = if open::exists(&key) { key.display().to_string() } else { "FILE".to_owned() };
    printer.words(format!("  check it anywhere: countersign verify --log-key {key} {}", out.display()));
    Ok(Exit::Yes)
}

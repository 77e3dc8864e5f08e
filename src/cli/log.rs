//! `countersign log`: shows entries and the checkpoint, checks the whole log, takes out the proof of a token.
//! In: indices, checkpoints kept elsewhere. Out: leaves as they are, a report, a bundle.
//! Implements DESIGN §7, §12.
//! Never takes the state directory's lock: it works beside a running server and on a stopped one.

use std::path::Path;

use serde_json::json;

use super::args::LogCommand;
use super::console;
use super::exit::Exit;
use super::not_opened;
use super::open;
use super::printer::{Printer, Sign};
use super::refusal;
use crate::app::console::{ConsoleAnswer, ConsoleCommand};
use crate::app::keep_log::Misfit;
use crate::app::show_rule::RuleWindow;
use crate::app::{AppError, Countersign};
use crate::config;
use crate::config::settings::Settings;
use crate::domain::log::high_water::Mark;
use crate::domain::log::note::MAX_NOTE;

/// Runs the command.
pub fn run(command: &LogCommand, config: Option<&Path>, printer: &mut Printer) -> Exit {
    let settings = match super::configured(config, printer) {
        Ok(settings) => settings,
        Err(exit) => return exit,
    };
    match command {
        LogCommand::Resume { .. } => return resume(&settings, printer),
        LogCommand::AcceptTime => return accept_time(&settings, printer),
        _ => {}
    }
    // Before the log: it may grow meanwhile, but never shrink below the mark.
    let mark = open::mark(&settings);
    let app = match open::look(&settings, false) {
        Ok(app) => app,
        Err(error) => return not_opened::explain(&error, printer),
    };
    let done = match command {
        LogCommand::Show { entry: Some(entry), .. } => {
            app.show_entry(*entry).map(|leaf| show(std::slice::from_ref(&leaf), printer))
        }
        LogCommand::Show { rule: Some(rule), .. } => app.show_rule(rule).map(|windows| show_rule(&windows, printer)),
        LogCommand::Show { entry: None, last, .. } => app.show_last(*last).map(|leaves| show(&leaves, printer)),
        LogCommand::Check { anchor } => {
            let mark = match mark {
                Ok(mark) => mark,
                Err(error) => return not_opened::explain(&error, printer),
            };
            let anchors = match anchor.iter().map(|file| note(file)).collect::<Result<Vec<_>, _>>() {
                Ok(anchors) => anchors,
                Err(what) => {
                    printer.problem(what, "name a file that `countersign log checkpoint` wrote");
                    return Exit::Usage;
                }
            };
            check(&app, mark.as_ref(), &anchors, printer)
        }
        LogCommand::Checkpoint => app.checkpoint().map(|note| {
            printer.raw_data(note.as_bytes());
            Exit::Yes
        }),
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
        Err(error) => not_opened::explain(&error, printer),
    }
}

/// Asks the running server, whose clock it is; where none runs, the entry lets the next start believe the clock.
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

/// A window of a rule a line.
fn show_rule(windows: &[RuleWindow], printer: &mut Printer) -> Exit {
    if printer.json() {
        printer.line(&json!(windows).to_string());
        return Exit::Yes;
    }
    for window in windows {
        let signed = window.change.map_or_else(String::new, |change| format!(", signed as change:{change}"));
        let from = format!("from {} (entry {}{signed})", window.from.dated(), window.entry);
        let until = window
            .until
            .map_or_else(|| "in force".to_owned(), |(entry, at)| format!("until {} (entry {entry})", at.dated()));
        let tokens = match window.tokens.as_slice() {
            [] => "no token".to_owned(),
            [one] => format!("1 token: entry {one}"),
            [first, .., last] => format!("{} tokens: entries {first} to {last}", window.tokens.len()),
        };
        printer.line(&format!("{from} · {until} · sha256 {} · {tokens}", window.sha256));
    }
    Exit::Yes
}

/// A file and the note in it.
pub type NoteFile = (String, String);

/// Reads a signed note.
///
/// # Errors
/// A sentence that names the file.
pub fn note(file: &Path) -> Result<NoteFile, String> {
    let name = file.display().to_string();
    match String::from_utf8(config::read_limited(file, MAX_NOTE)?) {
        Ok(text) => Ok((name, text)),
        Err(_) => Err(format!("`{name}` is not text")),
    }
}

/// The log by itself and against the mark; then, where it is whole, against each anchor.
fn check(
    app: &Countersign,
    mark: Option<&Mark>,
    anchors: &[NoteFile],
    printer: &mut Printer,
) -> Result<Exit, AppError> {
    let report = app.check_log_against(mark)?;
    let counts = [report.entries, report.checkpoints, report.evidence, report.erased];
    let fault = report.fault.map(|fault| (fault.index, fault.what));
    let mut misfits = Vec::new();
    if fault.is_none() {
        for (file, anchor) in anchors {
            if let Some(misfit) = app.check_anchor(anchor)? {
                misfits.push((file, anchor, misfit));
            }
        }
    }
    let exit = if fault.is_none() && misfits.is_empty() { Exit::Yes } else { Exit::No };
    if printer.json() {
        let [entries, checkpoints, evidence, erased] = counts;
        let fault = fault.map(|(index, what)| json!({ "entry": index, "what": what }));
        let shown = |(file, anchor, misfit): &(&String, &String, Misfit)| {
            let Misfit { what, index, other } = misfit;
            json!({ "file": file, "what": what, "entry": index, "anchor": anchor, "other": other })
        };
        let misfits: Vec<_> = misfits.iter().map(shown).collect();
        let text = json!({
            "entries": entries, "checkpoints": checkpoints, "evidence": evidence, "erased": erased, "fault": fault,
            "anchors": anchors.len(), "misfits": misfits,
        });
        printer.line(&text.to_string());
        return Ok(exit);
    }
    tell(counts, fault, printer);
    if misfits.is_empty() && exit == Exit::Yes {
        let sign = printer.sign(Sign::Ok);
        for (file, _) in anchors {
            printer.data_signed(&sign, &format!("goes back to {file}"));
        }
    }
    for (file, anchor, misfit) in misfits {
        tell_misfit(file, anchor, &misfit, printer);
    }
    Ok(exit)
}

/// Counts of entries, checkpoints, documents and erased ones; the first fault, with its entry.
fn tell(counts: [u64; 4], fault: Option<(Option<u64>, String)>, printer: &mut Printer) {
    let [entries, checkpoints, evidence, erased] = counts;
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
}

/// Both notes, as they are: together they are the proof.
fn tell_misfit(file: &str, anchor: &str, misfit: &Misfit, printer: &mut Printer) {
    let sign = printer.sign(Sign::Fail);
    let place = misfit.index.map_or_else(String::new, |index| format!("entry {index}: "));
    printer.data_signed(&sign, &format!("{file}: {place}{}", misfit.what));
    if let Some(other) = &misfit.other {
        printer.data("The anchor:");
        printer.raw_data(anchor.as_bytes());
        printer.data("This log:");
        printer.raw_data(other.as_bytes());
        printer
            .words("  of one size, the two are proof to anybody: countersign verify --log-key FILE ANCHOR CHECKPOINT");
        printer.words("  if an entry `restored` covers it, the anchor is of the part that the log says it lost");
    }
    printer.words("  cure: keep the anchor and a copy of the state directory; find out who put what back, and when");
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

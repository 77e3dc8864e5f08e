//! `countersign metadata`: fetches FIDO's metadata by hand, and shows the one in force.
//! In: the configuration. Out: number, age and what was skipped.
//! Implements DESIGN §12 in SCREENS' form.
//! Never fetches by itself: the use case does, as the running server does by the clock.

use std::path::Path;

use super::args::MetadataCommand;
use super::console;
use super::exit::Exit;
use super::printer::{Printer, Sign};
use crate::app::check_health::counted;
use crate::app::console::{ConsoleAnswer, ConsoleCommand};
use crate::app::fetch_metadata::MetadataLine;

/// Runs the command.
pub fn run(command: &MetadataCommand, config: Option<&Path>, printer: &mut Printer) -> Exit {
    let settings = match super::configured(config, printer) {
        Ok(settings) => settings,
        Err(exit) => return exit,
    };
    let asked = match command {
        MetadataCommand::Fetch => ConsoleCommand::FetchMetadata,
        MetadataCommand::Show => ConsoleCommand::ShowMetadata,
    };
    match console::ask(&settings, asked, printer) {
        Ok(answer) => show(&answer, printer),
        Err(exit) => exit,
    }
}

fn show(answer: &ConsoleAnswer, printer: &mut Printer) -> Exit {
    let ConsoleAnswer::Metadata { metadata, is_new, failure } = answer else { return Exit::OurFault };
    if printer.json() {
        printer.line(&serde_json::to_string(answer).unwrap_or_default());
        return Exit::Yes;
    }
    match is_new {
        Some(true) => printer.signed(Sign::Ok, format!("no. {} was fetched and is in force", metadata.number)),
        Some(false) => printer.signed(Sign::Ok, format!("no. {} is the newest, and was here already", metadata.number)),
        None => {}
    }
    for line in lines(metadata) {
        printer.data(line);
    }
    if let Some(failure) = failure {
        printer.signed(Sign::Warn, failure);
    }
    Exit::Yes
}

fn lines(metadata: &MetadataLine) -> Vec<String> {
    let models = counted(metadata.models, "model", "models");
    let due = if metadata.overdue { "was due after" } else { "next due" };
    let mut lines = vec![
        format!("FIDO metadata no. {} · {models} · {due} {}", metadata.number, metadata.next_due),
        format!("skipped   {}", counted(metadata.skipped, "entry", "entries")),
    ];
    lines.extend(metadata.sha256.map(|sha256| format!("sha256    {sha256}")));
    lines.extend(metadata.entry.map(|entry| format!("log entry {entry}")));
    lines
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::printer::{Abilities, tests::taped};

    #[test]
    fn what_is_in_force_is_said_with_its_age() {
        let metadata = MetadataLine {
            number: 43,
            models: 1,
            skipped: 2,
            next_due: "2026-12-01".to_owned(),
            overdue: false,
            sha256: None,
            entry: Some(18),
        };
        let failure = Some("fetching has failed".to_owned());
        let answer = ConsoleAnswer::Metadata { metadata: metadata.clone(), is_new: Some(true), failure };
        let (mut printer, out, err) = taped(Abilities { utf8: true, ..Abilities::default() });
        assert_eq!(show(&answer, &mut printer), Exit::Yes);
        let expected = "FIDO metadata no. 43 · 1 model · next due 2026-12-01\nskipped   2 entries\nlog entry 18\n";
        assert_eq!(out.text(), expected);
        assert!(err.text().contains("no. 43 was fetched and is in force\n") && err.text().contains("has failed"));
        assert!(lines(&MetadataLine { overdue: true, ..metadata })[0].ends_with("was due after 2026-12-01"));
    }
}

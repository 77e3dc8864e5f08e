//! `countersign verify`: checks a bundle offline, or two checkpoints, trusting nothing but the pinned log key.
//! In: a bundle, or two checkpoints, and the key's line. Out: every step, what is proven, what is not, and one answer.
//! Implements DESIGN §7 in SCREENS' words.
//! Never takes a key from the bundle: it only names the one that the bundle claims.

mod fold;

use std::path::Path;

use serde_json::json;

use super::args::VerifyArgs;
use super::exit::Exit;
use super::log::{NoteFile, note};
use super::printer::Printer;
use crate::app::keep_log::{Compared, compare_checkpoints};
use crate::app::verify_bundle::verify_bundle;
use crate::config;
use crate::domain::bundle::report::Report;
use crate::domain::bundle::{Bundle, MAX_BUNDLE};
use crate::domain::log::anchor::Together;
use crate::domain::log::note::{SignedNote, VerifierKey};

/// Largest file with a log key, in bytes.
pub const MAX_KEY_FILE: usize = 4096;

/// Runs the command.
pub fn run(args: &VerifyArgs, printer: &mut Printer) -> Exit {
    if let (Some(key), Some(other)) = (&args.log_key, &args.other) {
        return checkpoints(key, [&args.bundle, other], printer);
    }
    let bundle = match config::read_limited(&args.bundle, MAX_BUNDLE) {
        Ok(bundle) => bundle,
        Err(what) => {
            printer.problem(what, "name the bundle that `countersign log bundle` wrote");
            return Exit::Usage;
        }
    };
    let Some(file) = &args.log_key else {
        return unpinned(&bundle, printer);
    };
    match key(file) {
        Ok(key) => tell(&verify_bundle(&bundle, &key), printer),
        Err(what) => {
            printer.problem(what, "name a file with the log key's line: <origin>+<id>+<key>, as in log-key.pub");
            Exit::Usage
        }
    }
}

/// Two checkpoints: whether they prove that the key signed two histories.
fn checkpoints(key_file: &Path, files: [&Path; 2], printer: &mut Printer) -> Exit {
    let read = || -> Result<(VerifierKey, [NoteFile; 2]), String> {
        let [one, other] = files;
        Ok((key(key_file)?, [note(one)?, note(other)?]))
    };
    let (key, notes) = match read() {
        Ok(read) => read,
        Err(what) => {
            printer.problem(what, "name the log key's line, and two files that `countersign log checkpoint` wrote");
            return Exit::Usage;
        }
    };
    let [(one, first), (other, second)] = &notes;
    let compared = compare_checkpoints([first, second], &key);
    let signed = matches!(compared, Compared::Signed(..));
    let (exit, answer) = match compared {
        Compared::NotSigned(which, why) => {
            let file = if which == 1 { one } else { other };
            (Exit::No, format!("no: {file}: {why}"))
        }
        Compared::Signed(Together::TwoHistories, [size, _]) => {
            (Exit::No, format!("no: {key} signed two histories of {size} entries; these two checkpoints prove it"))
        }
        Compared::Signed(Together::Same, [size, _]) => (Exit::Yes, format!("yes: both are of the same {size} entries")),
        Compared::Signed(Together::Undecided, [one, other]) => {
            let text = format!(
                "yes, as far as two checkpoints can tell: one is of {one} entries, the other of {other}; \
                 whether the longer goes on from the shorter, the log shows: countersign log check --anchor FILE"
            );
            (Exit::Yes, text)
        }
    };
    if printer.json() {
        let notes = [first, second];
        printer.line(&json!({ "answer": answer, "checkpoints": notes }).to_string());
        return exit;
    }
    // As they are, so that they can be handed on; a text that the key did not sign may draw anything.
    for text in [first, second].into_iter().filter(|_| signed) {
        printer.raw_data(text.as_bytes());
    }
    printer.data(answer);
    exit
}

/// One line with the verifier's key, and nothing else: of two keys one would be trusted by accident.
fn key(file: &Path) -> Result<VerifierKey, String> {
    let text = String::from_utf8(config::read_limited(file, MAX_KEY_FILE)?)
        .map_err(|_| format!("`{}` is not text", file.display()))?;
    if text.starts_with("PRIVATE+KEY+") {
        return Err(format!("`{}` is the log's secret key", file.display()));
    }
    let line = text.strip_suffix('\n').unwrap_or(&text).trim_end_matches('\r');
    VerifierKey::parse(line).map_err(|error| format!("`{}`: {error}", file.display()))
}

fn unpinned(bundle: &[u8], printer: &mut Printer) -> Exit {
    let named = Bundle::parse(bundle).ok().and_then(|bundle| {
        let note = SignedNote::parse(&bundle.checkpoint).ok()?;
        let signature = note.signatures.first()?;
        Some(format!("{}+{}", signature.name, data_encoding::HEXLOWER.encode(&signature.key_id)))
    });
    let named = named.map_or_else(
        || "This bundle names no key that can be read".to_owned(),
        |key| format!("This bundle names key {key}"),
    );
    let answer = format!("no: no log key pinned. {named}; get it from somebody you trust, then: --log-key FILE");
    if printer.json() {
        printer.line(&json!({ "answer": answer, "steps": [] }).to_string());
    } else {
        printer.data(answer);
    }
    Exit::No
}

/// Prints a report: data, all of it.
pub fn tell(report: &Report, printer: &mut Printer) -> Exit {
    if printer.json() {
        let mut text = json!(report);
        if let Some(text) = text.as_object_mut() {
            text.insert("answer".to_owned(), json!(report.answer()));
        }
        printer.line(&text.to_string());
    } else {
        for line in lines(report) {
            printer.data(line);
        }
    }
    if report.failed().is_some() { Exit::No } else { Exit::Yes }
}

/// The report as a person reads it.
pub fn lines(report: &Report) -> Vec<String> {
    let mut lines = fold::lines(report);
    lines.extend(report.proven.iter().map(|text| format!("Proven: {text}")));
    lines.extend(report.not_proven.iter().map(|text| format!("Not proven: {text}")));
    lines.push(report.answer());
    lines
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::printer::{Abilities, tests::taped};
    use crate::domain::bundle::report::{Step, StepOutcome};

    fn step(name: &'static str, outcome: StepOutcome, text: &str) -> Step {
        Step { name, outcome, text: text.to_owned() }
    }

    #[test]
    fn a_report_reads_as_the_documentation_shows_it() {
        let mut report = Report {
            steps: vec![
                step("checkpoint", StepOutcome::Ok, "size 18231, signed by your pinned key"),
                step("job token", StepOutcome::NotChecked, "withheld until 04:10 UTC"),
            ],
            proven: Some("this key signed.".to_owned()),
            not_proven: Some("the key's model.".to_owned()),
        };
        let (mut printer, out, _) = taped(Abilities::default());
        assert_eq!(tell(&report, &mut printer), Exit::Yes);
        let expected = "\
ok           checkpoint      size 18231, signed by your pinned key
not checked  job token       withheld until 04:10 UTC
Proven: this key signed.
Not proven: the key's model.
yes, with 1 step not checked
";
        assert_eq!(out.text(), expected);
        report.steps.push(step("assertion", StepOutcome::Failed, "the signature does not fit"));
        let (mut printer, out, _) = taped(Abilities::default());
        assert_eq!(tell(&report, &mut printer), Exit::No);
        assert!(out.text().ends_with("no: assertion failed: the signature does not fit\n"), "{}", out.text());
    }

    #[test]
    fn without_a_pinned_key_the_answer_is_no_whatever_the_bundle_says() {
        let (mut printer, out, _) = taped(Abilities::default());
        assert_eq!(unpinned(b"{}", &mut printer), Exit::No);
        assert!(out.text().starts_with("no: no log key pinned. "), "{}", out.text());
        assert!(out.text().ends_with("get it from somebody you trust, then: --log-key FILE\n"), "{}", out.text());
    }
}

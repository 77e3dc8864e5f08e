//! The commands: one file each.
//! In: the command line. Out: an exit code; data on stdout, words on stderr.
//! Implements DESIGN §12 and SCREENS' terminal rules.
//! Never names a store, a key or a passkey: commands call use cases.

pub mod args;
pub mod demo;
pub mod exit;
pub mod open;
pub mod printer;
pub mod surroundings;
pub mod token;

use std::process::ExitCode;

use clap::Parser;

use crate::config::fault::ConfigError;
use args::{Args, Command};
use exit::Exit;
use printer::{Abilities, Printer};
use surroundings::Surroundings;

/// Runs the command line.
pub fn main() -> ExitCode {
    let args = match Args::try_parse() {
        Ok(args) => args,
        Err(said) => return usage(&said).into(),
    };
    let mut printer = Printer::system(Abilities::detect(args.json, args.no_color));
    let exit = run(&args, &mut printer);
    printer.finish(exit).into()
}

fn run(args: &Args, printer: &mut Printer) -> Exit {
    match &args.command {
        Command::Token(token) => {
            Surroundings::with_this_machine(|surroundings| token::run(token, surroundings, printer))
        }
        Command::Demo(demo) => demo::run(demo, printer),
        Command::Init(_)
        | Command::Serve
        | Command::Rule(_)
        | Command::People(_)
        | Command::Log(_)
        | Command::Verify(_)
        | Command::Doctor => {
            printer.problem("this command is not part of this build", "use a complete build");
            Exit::OurFault
        }
    }
}

/// Help and version are data; a wrong command line is words.
fn usage(said: &clap::Error) -> Exit {
    let exit = if said.use_stderr() { Exit::Usage } else { Exit::Yes };
    // The parser wraps, colours and picks the stream by itself; a closed pipe is nothing to tell.
    let _ = said.print();
    exit
}

/// Prints every fault of a configuration with its cure.
pub fn configuration_faults(error: &ConfigError, printer: &mut Printer) -> Exit {
    if printer.json() {
        let faults: Vec<_> = error
            .faults
            .iter()
            .map(|fault| serde_json::json!({ "at": fault.origin.to_string(), "what": fault.what, "cure": fault.cure }))
            .collect();
        printer.data(serde_json::json!({ "faults": faults }).to_string());
    }
    for fault in &error.faults {
        printer.problem(fault.to_string(), &fault.cure);
    }
    Exit::Usage
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::fault::{Fault, Origin};

    #[test]
    fn every_fault_is_printed_with_its_cure_and_the_exit_is_2() {
        let fault = |line| Fault {
            origin: Origin::Line("a.toml".to_owned(), line),
            what: "unknown key `x`".to_owned(),
            cure: "remove it".to_owned(),
        };
        let error = ConfigError::new(vec![fault(7), fault(3)]);
        let (mut printer, out, err) = printer::tests::taped(Abilities { json: true, ..Abilities::default() });
        assert_eq!(configuration_faults(&error, &mut printer), Exit::Usage);
        let expected = "a.toml:3: unknown key `x`\n  cure: remove it\na.toml:7: unknown key `x`\n  cure: remove it\n";
        assert_eq!(err.text(), expected);
        assert!(out.text().starts_with("{\"faults\":[{"), "{}", out.text());
    }
}

//! The commands: one file each.
//! In: the command line. Out: an exit code; data on stdout, words on stderr.
//! Implements DESIGN §12 and SCREENS' terminal rules.
//! Never decides: commands call use cases, and only `open` and `demo` put their parts together.

pub mod args;
pub mod ask_url;
mod clients;
pub mod console;
mod core_dumps;
pub mod demo;
mod devices;
pub mod doctor;
pub mod exit;
pub mod init;
pub mod keys;
pub mod log;
pub mod look;
pub mod metadata;
pub mod not_opened;
pub mod open;
pub mod panics;
pub mod people;
pub mod printer;
pub mod refusal;
pub mod rule;
pub mod serve;
pub mod surroundings;
pub mod token;
pub mod verify;

use std::path::Path;
use std::process::ExitCode;

use clap::Parser;

use crate::app::look::Look;
use crate::config;
use crate::config::fault::ConfigError;
use crate::config::settings::Settings;
use args::{Args, ClientsCommand, Command, IssuersCommand, KeysCommand};
use exit::Exit;
use printer::{Abilities, Printer};
use surroundings::Surroundings;

/// Runs the command line.
pub fn main() -> ExitCode {
    panics::withhold_messages();
    core_dumps::forbid();
    std::panic::catch_unwind(command).unwrap_or(Exit::OurFault).into()
}

fn command() -> Exit {
    let args = match Args::try_parse() {
        Ok(args) => args,
        Err(said) => return usage(&said),
    };
    let mut printer = Printer::system(Abilities::detect(args.json, args.no_color));
    let exit = run(&args, &mut printer);
    printer.finish(exit)
}

fn run(args: &Args, printer: &mut Printer) -> Exit {
    let config = args.config.as_deref();
    match &args.command {
        Command::Demo(demo) => demo::run(demo, printer),
        Command::Init(init) => init::run(init, config, printer),
        Command::Serve => serve::run(config, printer),
        Command::Token(token) => Surroundings::with_this_machine(|here| token::run(token, here, printer)),
        Command::Rule(rule) => rule::run(rule, config, printer),
        Command::People(people) => people::run(people, config, printer),
        Command::Log(log) => log::run(log, config, printer),
        Command::Metadata(metadata) => metadata::run(metadata, config, printer),
        Command::Verify(verify) => verify::run(verify, printer),
        Command::Doctor => doctor::run(config, printer),
        Command::Requests => look::run(Look::Requests, config, printer),
        Command::Keys(KeysCommand::List) => look::run(Look::Keys, config, printer),
        Command::Clients(ClientsCommand::List) => look::run(Look::Clients, config, printer),
        Command::Clients(ClientsCommand::Show { client }) => {
            look::run(Look::Client { id: client.clone() }, config, printer)
        }
        Command::Clients(ClientsCommand::End { client }) => clients::end(client, config, printer),
        Command::Clients(ClientsCommand::Secret) => {
            Surroundings::with_this_machine(|here| clients::secret(here, printer))
        }
        Command::Keys(KeysCommand::Rotate { alg, emergency }) => keys::rotate(*alg, *emergency, config, printer),
        Command::Issuers(IssuersCommand::List) => look::run(Look::Issuers, config, printer),
    }
}

/// Help and version are data; a wrong command line is words.
fn usage(said: &clap::Error) -> Exit {
    let exit = if said.use_stderr() { Exit::Usage } else { Exit::Yes };
    // The parser wraps, colours and picks the stream by itself; a closed pipe is nothing to tell.
    let _ = said.print();
    exit
}

/// The configuration, or the exit code once its faults are said.
///
/// # Errors
/// The configuration cannot be used.
pub fn configured(named: Option<&Path>, printer: &mut Printer) -> Result<Settings, Exit> {
    config::load(named, &config::variables()).map_err(|error| configuration_faults(&error, printer))
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

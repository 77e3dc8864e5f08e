//! `countersign rule`: checks rules, and says why they answered what they answered.
//! In: rules files, a job token or a log entry. Out: faults and warnings with their lines; the tree of checks.
//! Implements DESIGN §4, §12.
//! Never decides for a job: it shows what the rules of today say, and writes nothing.

use std::path::{Path, PathBuf};

use serde_json::json;

use super::args::RuleCommand;
use super::exit::Exit;
use super::look;
use super::not_opened;
use super::open;
use super::printer::{Printer, Sign};
use super::refusal;
use crate::app::check_health::counted;
use crate::app::explain::Explanation;
use crate::app::load_rules::compile;
use crate::app::look::Look;
use crate::app::settings::taken_audiences;
use crate::app::{AppError, Countersign};
use crate::clock::Clock;
use crate::config::{self, rules_folder};
use crate::domain::ids::Audience;
use crate::domain::rules::MAX_RULES_FILE;
use crate::domain::rules::compile::RuleError;
use crate::domain::rules::explain::lines;

/// Largest file with a job token, in bytes.
pub const MAX_TOKEN_FILE: usize = 64 * 1024;

/// Runs the command.
pub fn run(command: &RuleCommand, config: Option<&Path>, printer: &mut Printer) -> Exit {
    match command {
        RuleCommand::Check { files } => check(files, config, printer),
        RuleCommand::Explain { subject, audience } => explain(subject, audience, config, printer),
        RuleCommand::List { first } => look::run(Look::Rules { first: *first }, config, printer),
        RuleCommand::Refusals { before } => look::run(Look::Refusals { before: *before }, config, printer),
    }
}

fn check(files: &[PathBuf], config: Option<&Path>, printer: &mut Printer) -> Exit {
    let settings = match super::configured(config, printer) {
        Ok(settings) => settings,
        Err(exit) => return exit,
    };
    let texts = if files.is_empty() {
        rules_folder::read(&settings.rules).map_err(|error| super::configuration_faults(&error, printer))
    } else {
        read(files).map_err(|what| {
            printer.problem(what, "name readable rules files, or none for the configured folder");
            Exit::Usage
        })
    };
    let texts = match texts {
        Ok(texts) => texts,
        Err(exit) => return exit,
    };
    let issuers: Vec<_> = settings.issuers.iter().map(|issuer| issuer.name.clone()).collect();
    let policies: Vec<_> = settings.devices.policies.iter().map(|(policy, _)| policy.clone()).collect();
    let clients: Vec<_> = settings.clients.iter().map(|one| &one.client).collect();
    let taken = taken_audiences(&settings.url, clients);
    match compile(&texts, &issuers, &policies, &taken, Clock::system().now()) {
        Ok(loaded) => {
            let count = loaded.rules.iter().len();
            if printer.json() {
                printer.line(&json!({ "rules": count, "warnings": loaded.warnings, "faults": [] }).to_string());
                return Exit::Yes;
            }
            let sign = printer.sign(Sign::Ok);
            printer.data_signed(&sign, &counted(count, "rule", "rules"));
            for warning in &loaded.warnings {
                printer.signed(Sign::Warn, warning);
            }
            Exit::Yes
        }
        Err(faults) => {
            if printer.json() {
                printer.line(&json!({ "faults": faults.iter().map(fault).collect::<Vec<_>>() }).to_string());
            }
            for fault in &faults {
                printer.signed(Sign::Fail, fault.to_string());
            }
            Exit::No
        }
    }
}

fn fault(error: &RuleError) -> serde_json::Value {
    json!({ "file": error.file, "line": error.line, "rule": error.rule, "what": error.what, "cure": error.hint })
}

fn read(files: &[PathBuf]) -> Result<Vec<(String, String)>, String> {
    let one = |path: &PathBuf| {
        let text = String::from_utf8(config::read_limited(path, MAX_RULES_FILE)?);
        let text = text.map_err(|_| format!("`{}` is not UTF-8", path.display()))?;
        Ok((path.display().to_string(), text))
    };
    files.iter().map(one).collect()
}

fn explain(subject: &str, audience: &[String], config: Option<&Path>, printer: &mut Printer) -> Exit {
    let asked: Result<Vec<_>, _> = audience.iter().map(|audience| Audience::parse(audience)).collect();
    let asked = match asked {
        Ok(asked) => asked,
        Err(error) => {
            printer.problem(error.to_string(), "spell the audience as the job does");
            return Exit::Usage;
        }
    };
    let settings = match super::configured(config, printer) {
        Ok(settings) => settings,
        Err(exit) => return exit,
    };
    let app = match open::look(&settings, true) {
        Ok(app) => app,
        Err(error) => return not_opened::explain(&error, printer),
    };
    let explained = match subject.parse::<u64>() {
        Ok(entry) => app.explain_entry(entry, asked),
        Err(_) => match config::read_limited(Path::new(subject), MAX_TOKEN_FILE) {
            Ok(token) => of_token(&app, &token, asked),
            Err(what) => {
                printer.problem(what, "name a file that holds a job token, or the number of a log entry");
                return Exit::Usage;
            }
        },
    };
    match explained {
        Ok(explanation) => tell(&explanation, printer),
        Err(error) => refusal::say(&error, printer),
    }
}

fn of_token(app: &Countersign, token: &[u8], asked: Vec<Audience>) -> Result<Explanation, AppError> {
    let token = String::from_utf8_lossy(token);
    let job = open::runtime().map_err(AppError::internal)?.block_on(app.job_of_asking(&token))?;
    app.explain_job(job, asked)
}

/// The job in a line, then the tree.
fn tell(explanation: &Explanation, printer: &mut Printer) -> Exit {
    let Explanation { job, asked, outcome, trace, refused } = explanation;
    let lines = lines(trace, outcome);
    if printer.json() {
        let text = json!({
            "issuer": job.issuer, "job_id": job.claim("job_id"), "audience": asked, "refused": refused, "lines": lines,
        });
        printer.line(&text.to_string());
        return Exit::Yes;
    }
    let asked: Vec<_> = asked.iter().map(Audience::as_str).collect();
    let asked = if asked.is_empty() { "no audience named (--audience)".to_owned() } else { asked.join(", ") };
    printer.words(format!("job {} of `{}`, for {asked}", job.claim("job_id").unwrap_or("?"), job.issuer));
    if let Some(code) = refused {
        printer.words(format!("refused at the time: {}; today's rules say:", code.as_str()));
    }
    for line in lines {
        printer.data(line);
    }
    Exit::Yes
}

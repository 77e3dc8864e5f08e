//! `countersign doctor`: looks for what is wrong, each finding with its cure.
//! In: the configuration, files, the state, the network. Out: findings in columns; exit 1 where one fails.
//! Implements DESIGN §12 in SCREENS' form.
//! Never mends anything, and never takes the state directory's lock.

use std::path::Path;

use serde_json::json;

use super::ask_url;
use super::console;
use super::exit::Exit;
use super::not_opened::{self, OpenError};
use super::open;
use super::printer::Printer;
use crate::app::Countersign;
use crate::app::check_first_run::{FirstRun, FirstStep};
use crate::app::check_health::{Finding, Severity, clock_finding};
use crate::app::console::{ConsoleAnswer, ConsoleCommand};
use crate::app::look::{Look, Sight};
use crate::config;
use crate::config::settings::{LegacyToken, Settings};
use crate::domain::time::Timestamp;

/// Runs the command.
pub fn run(named: Option<&Path>, printer: &mut Printer) -> Exit {
    let (findings, first_run) = match config::load(named, &config::variables()) {
        Ok(settings) => examine(&settings),
        Err(error) => {
            let faults = error.faults.iter();
            (faults.map(|fault| Finding::fail("config", fault.to_string(), &fault.cure)).collect(), None)
        }
    };
    tell(&findings, first_run.as_ref(), printer)
}

fn examine(settings: &Settings) -> (Vec<Finding>, Option<FirstRun>) {
    let mut findings = Vec::new();
    let app = match open::look(settings, true) {
        Ok(app) => app,
        Err(error) => {
            findings.extend(failed("config", &error));
            return (findings, None);
        }
    };
    findings.extend(
        app.examine().unwrap_or_else(|error| vec![Finding::fail("state", error.to_string(), "countersign log check")]),
    );
    findings.extend(state(settings, &app));
    findings.extend(running(settings));
    findings.push(ourselves(settings));
    findings.extend(clocks(settings, &app));
    match open::runtime() {
        Ok(runtime) => findings.extend(runtime.block_on(app.examine_issuers())),
        Err(error) => findings.push(Finding::fail("system", error.to_string(), "free some memory or threads")),
    }
    findings.extend(legacy(settings));
    // The running server knows more: whether other machines fetched its keys.
    let told = match console::quietly(settings, &ConsoleCommand::Look { at: Look::Health }) {
        Some(ConsoleAnswer::Seen { sight: Sight::Health(health) }) => Some(health.first_run),
        _ => app.first_run(false).ok(),
    };
    (findings, told)
}

/// What the running server warns of; what it says about people and revoked keys is found in the state already.
fn running(settings: &Settings) -> Vec<Finding> {
    let warnings = console::quietly(settings, &ConsoleCommand::Warnings);
    let Some(ConsoleAnswer::Warnings { warnings }) = warnings else { return Vec::new() };
    let split = warnings.iter().map(|line| line.split_once(": ").unwrap_or(("server", line)));
    let told = split.filter(|(subject, _)| !matches!(*subject, "people" | "signing keys"));
    told.map(|(subject, line)| {
        let (text, cure) = line.split_once("; cure: ").unwrap_or((line, "the server's diagnostics say more"));
        Finding::warn(subject, text, cure)
    })
    .collect()
}

/// Keys, and whether the log is the one that the mark names.
fn state(settings: &Settings, app: &Countersign) -> Vec<Finding> {
    // The mark first: the log may grow beside us, but never shrink below it.
    let (mark, master_key) = match (open::mark(settings), open::load_master_key(settings)) {
        (Ok(mark), Ok(master_key)) => (mark, master_key),
        (mark, master_key) => {
            let errors = [mark.err(), master_key.err()];
            return errors.iter().flatten().flat_map(|error| failed("keys", error)).collect();
        }
    };
    let Some(mark) = mark else {
        return vec![Finding::fail("log", "the high-water mark names no entry", "begin anew: countersign init")];
    };
    match app.check_state(&mark, &master_key) {
        Ok(size) => {
            let running = if console::is_running(&settings.state_directory) { ", a server runs" } else { "" };
            vec![Finding::ok("log", format!("{size} entries, as the high-water mark has them{running}"))]
        }
        Err(error) => failed("log", &error.into()),
    }
}

/// Whether others find us where our URL says.
fn ourselves(settings: &Settings) -> Finding {
    let url = &settings.url;
    let no = |what: String| {
        Finding::warn("url", what, "start the server (countersign serve); then look at DNS, proxy and certificate")
    };
    match ask_url::get(&format!("{url}/.well-known/openid-configuration"), None) {
        Err(why) => no(format!("{url} cannot be reached from here: {why}")),
        Ok(answer) if answer.status != 200 => no(format!("{url} answers with status {}", answer.status)),
        Ok(answer) => {
            let document: serde_json::Value = serde_json::from_slice(&answer.body).unwrap_or_default();
            match document.get("issuer").and_then(serde_json::Value::as_str) {
                Some(issuer) if issuer == url => Finding::ok("url", format!("{url} answers")),
                other => Finding::fail(
                    "url",
                    format!("{url} answers as another issuer: {}", other.unwrap_or("none")),
                    "let the proxy send this host to this server",
                ),
            }
        }
    }
}

/// How far the issuers' clocks are from ours.
fn clocks(settings: &Settings, app: &Countersign) -> Vec<Finding> {
    let asked = settings.issuers.iter().filter(|issuer| issuer.jwks_file.is_none());
    let dates = asked.filter_map(|issuer| {
        // Whether it answers at all is another finding.
        let answer = ask_url::get(&issuer.url, issuer.ca_file.as_deref()).ok()?;
        Some(clock_finding(&whose(settings, issuer.name.as_str()), ahead(answer.date?, app.clock.now())))
    });
    dates.collect()
}

fn whose(settings: &Settings, name: &str) -> String {
    if settings.issuers.len() == 1 { "GitLab".to_owned() } else { name.to_owned() }
}

/// Seconds by which the other's clock is ahead. Its `Date` has whole seconds: half of one is nobody's fault.
fn ahead(theirs: Timestamp, ours: Timestamp) -> i64 {
    theirs.seconds() - ours.seconds()
}

/// Predecessors of ID tokens that are still taken.
fn legacy(settings: &Settings) -> Vec<Finding> {
    let taken = settings.issuers.iter().filter(|issuer| !issuer.legacy.is_empty());
    let finding = |issuer: &crate::config::settings::IssuerSettings| {
        let names: Vec<_> = issuer
            .legacy
            .iter()
            .map(|kind| match kind {
                LegacyToken::CiJobJwt => "CI_JOB_JWT",
                LegacyToken::CiJobJwtV2 => "CI_JOB_JWT_V2",
            })
            .collect();
        Finding::warn(
            "legacy",
            format!(
                "{} of {} is taken: it was not made for us, and others hold it too",
                names.join(" and "),
                issuer.name
            ),
            "upgrade that GitLab to 15.7 or later, use `id_tokens:`, and take `legacy` out",
        )
    };
    taken.map(finding).collect()
}

fn failed(subject: &str, error: &OpenError) -> Vec<Finding> {
    not_opened::faults(error).into_iter().map(|(what, cure)| Finding::fail(subject, what, cure)).collect()
}

fn tell(findings: &[Finding], first_run: Option<&FirstRun>, printer: &mut Printer) -> Exit {
    if printer.json() {
        printer.line(&json!({ "findings": findings, "first_run": first_run }).to_string());
    } else {
        for line in lines(findings) {
            printer.data(line);
        }
        if let Some(first_run) = first_run.filter(|first_run| !first_run.over) {
            tell_first_run(first_run, printer);
        }
    }
    let fails = findings.iter().any(|finding| finding.severity == Severity::Fail);
    if fails { Exit::No } else { Exit::Yes }
}

/// The list that ticks itself, then what to do for the first open step.
fn tell_first_run(first_run: &FirstRun, printer: &mut Printer) {
    let (done, open) = if printer.abilities().utf8 { ("✓", "○") } else { ("ok", "-") };
    let sign = |step: &FirstStep| if step.done { done } else { open };
    let steps: Vec<_> = first_run.steps.iter().map(|step| format!("{} {}", sign(step), step.step.title())).collect();
    printer.words(format!("first run: {}", steps.join(" · ")));
    if let Some(step) = first_run.steps.iter().find(|step| !step.done) {
        printer.words(format!("  next: {}: {}", step.step.title(), step.next.as_deref().unwrap_or(&step.text)));
    }
}

/// Widest column of texts; longer ones push their cure away.
const WIDEST: usize = 72;

/// Columns: how bad, what was looked at, what was found, what to do.
fn lines(findings: &[Finding]) -> Vec<String> {
    let width = |text: &str| text.chars().count();
    let subject = findings.iter().map(|finding| width(&finding.subject)).max().unwrap_or_default().max(8);
    let with_cure = findings.iter().filter(|finding| finding.cure.is_some());
    let text = with_cure.map(|finding| width(&finding.text)).filter(|width| *width <= WIDEST).max().unwrap_or_default();
    let line = |finding: &Finding| {
        let how = match finding.severity {
            Severity::Ok => "ok",
            Severity::Warn => "warn",
            Severity::Fail => "FAIL",
        };
        let cure = finding.cure.as_ref().map_or_else(String::new, |cure| format!("  cure: {cure}"));
        format!("{how:<6}{:<subject$}  {:<text$}{cure}", finding.subject, finding.text).trim_end().to_owned()
    };
    findings.iter().map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::printer::{Abilities, tests::taped};

    #[test]
    fn findings_stand_in_columns_and_one_failure_is_a_no() {
        let mut findings = vec![
            Finding::ok("config", "3 rules, 2 issuers, 4 people can approve"),
            Finding::warn("clock", "GitLab is 12 s ahead (refused beyond 30 s)", "timedatectl, on both"),
            Finding::warn("people", "release-managers has 1 person", "invite"),
        ];
        let (mut printer, out, _) = taped(Abilities::default());
        assert_eq!(tell(&findings, None, &mut printer), Exit::Yes);
        let expected = "\
ok    config    3 rules, 2 issuers, 4 people can approve
warn  clock     GitLab is 12 s ahead (refused beyond 30 s)  cure: timedatectl, on both
warn  people    release-managers has 1 person               cure: invite
";
        assert_eq!(out.text(), expected);
        findings.push(Finding::fail("gitlab", "no answer", "open port 443"));
        let (mut printer, _, _) = taped(Abilities { json: true, ..Abilities::default() });
        assert_eq!(tell(&findings, None, &mut printer), Exit::No);
    }

    #[test]
    fn a_clock_ahead_is_positive() {
        let ours = Timestamp::from_millis(1_795_430_400_900);
        assert_eq!(ahead(Timestamp::from_seconds(1_795_430_412), ours), 12);
        assert_eq!(ahead(Timestamp::from_seconds(1_795_430_400), ours), 0);
        assert_eq!(ahead(Timestamp::from_seconds(1_795_430_390), ours), -10);
    }
}

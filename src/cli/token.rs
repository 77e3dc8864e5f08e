//! `countersign token`: in a CI job, exchanges the job's ID token, waiting for people where the rule wants them.
//! In: arguments, variables. Out: token files of mode 0600 (or one token on stdout); words for the job log.
//! Implements RFC 8693 as DESIGN §5 extends it (waiting, several audiences, lost answers).
//! Never shows a token or hands one to another process, except the one asked for on stdout.

pub mod answer;
pub mod client;
pub mod collector;
pub mod output;
pub mod patience;
pub mod plan;
pub mod proof;

use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::Duration;

use serde_json::json;

use super::args::TokenArgs;
use super::exit::Exit;
use super::printer::Printer;
use super::surroundings::Surroundings;
use crate::domain::ids::Audience;
use crate::domain::time::humane;
use answer::{Answer, Issued, Pending, Refusal};
use client::{CallError, Client, Reply};
use collector::Collector;
use patience::{HOLD, TICK, UNREACHABLE, Waiting, WaitingLine, clocks_apart};
use plan::Plan;
use proof::Prover;

/// What `slow_down` adds to the interval (RFC 8628 §3.5).
const SLOWER: Duration = Duration::from_secs(5);
/// What collects is kept: a second run of the job has it.
const AGAIN: &str = "run the same command again";
/// It ended with this run, and whoever collects with another contests the request.
const RETRY: &str = "retry the job in GitLab";
/// The least hold that is worth asking for.
const HOLD_LEAST: Duration = Duration::from_secs(1);

/// Something that ends the command, and its cure.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// What.
    pub what: String,
    /// What to do.
    pub cure: String,
    /// How the command ends.
    pub exit: Exit,
}

impl Problem {
    fn new(exit: Exit, what: impl Into<String>, cure: impl Into<String>) -> Self {
        Self { what: what.into(), cure: cure.into(), exit }
    }

    fn usage(what: impl Into<String>, cure: impl Into<String>) -> Self {
        Self::new(Exit::Usage, what, cure)
    }
}

/// Runs the command.
pub fn run(args: &TokenArgs, surroundings: &Surroundings<'_>, printer: &mut Printer) -> Exit {
    match start(args, surroundings, printer) {
        Ok(exit) => exit,
        Err(problem) => {
            printer.problem(&problem.what, &problem.cure);
            problem.exit
        }
    }
}

fn start(args: &TokenArgs, surroundings: &Surroundings<'_>, printer: &mut Printer) -> Result<Exit, Problem> {
    let plan = Plan::read(args, surroundings.variable)?;
    for (_, out) in &plan.wanted {
        out.as_ref().map_or(Ok(()), |out| output::check(out))?;
    }
    let chance = chance(surroundings)?;
    let collector = match plan.first_out().filter(|_| !plan.dpop) {
        Some(out) => Collector::beside(out, chance)?,
        None => Collector::fleeting(chance),
    };
    let session = Session {
        client: Client::new(&plan)?,
        prover: plan.dpop.then(|| Prover::new(&plan)).transpose()?,
        key: collector.value().to_owned(),
        again: if collector.is_kept() { AGAIN } else { RETRY },
        plan: &plan,
        surroundings,
        printer,
        shown: Vec::new(),
        waiting: None,
        begun: (surroundings.elapsed)(),
        clocks_compared: false,
        asked_people: collector.resumed,
    };
    session.finish(collector)
}

fn chance(surroundings: &Surroundings<'_>) -> Result<[u8; 32], Problem> {
    let problem =
        || Problem::new(Exit::OurFault, "this system gives no random bytes", "run the job on another machine");
    (surroundings.chance)().ok_or_else(problem)
}

/// The answer to a call that was made until it could be judged.
enum Outcome {
    Token(Issued),
    Refused(Refusal),
}

/// One run of the command.
struct Session<'a> {
    client: Client,
    /// What collects, where no key of `--dpop` does.
    key: String,
    prover: Option<Prover>,
    /// What to do when it is to be tried again.
    again: &'static str,
    plan: &'a Plan,
    surroundings: &'a Surroundings<'a>,
    printer: &'a mut Printer,
    /// Lines of the server that are on the screen already.
    shown: Vec<String>,
    waiting: Option<Waiting>,
    begun: Duration,
    clocks_compared: bool,
    /// A request stands under our collector: it must not be lost.
    asked_people: bool,
}

impl Session<'_> {
    /// Collects every token; forgets the collector once nothing is left to collect with it.
    fn finish(mut self, collector: Collector) -> Result<Exit, Problem> {
        let mut written = Vec::new();
        for (at, (audience, out)) in self.plan.wanted.iter().enumerate() {
            // The first call names all: they are one request, signed once.
            let asked = if at == 0 { self.plan.audiences() } else { vec![audience.clone()] };
            match self.obtain(&asked)? {
                Outcome::Token(issued) => {
                    self.tell_approval(&issued);
                    if let Some(out) = out {
                        output::write(out, &issued.access_token)?;
                    }
                    self.asked_people = true;
                    self.tell_written(&issued, out.as_deref());
                    written.push(output::report(audience, out.as_deref(), &issued));
                    if out.is_none() && !self.printer.json() {
                        self.printer.data(&issued.access_token);
                    }
                }
                Outcome::Refused(refusal) => {
                    // Over for this job, or nothing stands under this collector.
                    let over = matches!(refusal.error.as_str(), "access_denied" | "expired_token");
                    if over || !self.asked_people {
                        collector.forget();
                    }
                    return Ok(self.refused(&refusal));
                }
            }
        }
        if self.printer.json() {
            self.printer.data(json!({ "tokens": written }).to_string());
        }
        collector.forget();
        Ok(Exit::Yes)
    }

    /// Calls until the answer is a token or a no.
    fn obtain(&mut self, asked: &[Audience]) -> Result<Outcome, Problem> {
        let mut failures = 0;
        let mut failing_since = None;
        let mut slower = Duration::ZERO;
        loop {
            let hold = self.hold()?;
            let started = self.elapsed();
            let answer = match self.call(asked, hold)? {
                Ok(reply) if self.prover.as_mut().is_some_and(|prover| prover.learns(&reply)) => continue,
                Ok(reply) => {
                    self.compare_clocks(&reply, hold.is_none());
                    match answer::read(reply.status, reply.retry_after, &reply.body) {
                        Answer::Busy(what, retry_after) => {
                            Answer::Busy(format!("{}: {what}", self.plan.host), retry_after)
                        }
                        answer => answer,
                    }
                }
                Err(CallError::Unreachable(what)) => Answer::Busy(what, None),
                Err(CallError::Untrusted(what)) => {
                    return Err(Problem::usage(
                        what,
                        "check the URL, or give the authority's certificate: --ca-file FILE",
                    ));
                }
                Err(CallError::Strange(what)) => return Err(self.strange(&what)),
            };
            if !matches!(answer, Answer::Busy(..)) {
                failures = 0;
                failing_since = None;
            }
            match answer {
                Answer::Token(issued) => return Ok(Outcome::Token(issued)),
                Answer::Refused(refusal) => return Ok(Outcome::Refused(refusal)),
                Answer::Pending(pending) => {
                    self.tell_pending(&pending);
                    // A call that came back at once was not held: then the interval is ours to keep.
                    let spent = self.elapsed().saturating_sub(started);
                    self.rest((pending.interval + slower).saturating_sub(spent), hold.is_some());
                }
                Answer::SlowDown(pending) => {
                    slower += SLOWER;
                    self.tell_pending(&pending);
                    self.rest(pending.interval + slower, true);
                }
                Answer::Busy(what, retry_after) => {
                    failures += 1;
                    let since = *failing_since.get_or_insert(started);
                    let left = self.unreachable(&what, failures, since)?;
                    self.rest(patience::backoff(failures, retry_after).min(left), true);
                }
                Answer::Fault(fault) => return Err(self.fault(&fault)),
                Answer::Strange(what) => return Err(self.strange(&format!("{}: {what}", self.plan.host))),
            }
        }
    }

    fn elapsed(&self) -> Duration {
        (self.surroundings.elapsed)()
    }

    /// How long the next call may be held: not at all before the request is known.
    fn hold(&self) -> Result<Option<Duration>, Problem> {
        let now = self.elapsed();
        let left = self.plan.wait.map(|wait| (self.begun + wait).saturating_sub(now));
        let Some(waiting) = &self.waiting else { return Ok(None) };
        if left == Some(Duration::ZERO) {
            let what = format!("not approved yet after {}", humane(now.saturating_sub(self.begun)));
            let left = patience::clock(waiting.ends.saturating_sub(now));
            let cure = match self.again {
                AGAIN => format!("{AGAIN}; the request lives {left} more"),
                other => format!("{other}, with a longer --wait"),
            };
            return Err(Problem::new(Exit::TryAgain, what, cure));
        }
        Ok(Some(HOLD.min(left.unwrap_or(HOLD)).max(HOLD_LEAST)))
    }

    /// Calls on a thread of its own, so that this one can say that it still waits.
    fn call(&mut self, asked: &[Audience], hold: Option<Duration>) -> Result<Result<Reply, CallError>, Problem> {
        let (sender, receiver) = mpsc::channel();
        let (client, audiences) = (self.client.clone(), asked.to_vec());
        let (name, value) = self.collects()?;
        let spawned = std::thread::Builder::new().name("call".to_owned()).spawn(move || {
            // Nobody listens any more when the command has ended.
            let _ = sender.send(client.call(&audiences, (name, &value), hold));
        });
        let fault = || Problem::new(Exit::OurFault, "the call could not be made", "run the same command again");
        spawned.map_err(|_| fault())?;
        loop {
            match receiver.recv_timeout(TICK) {
                Ok(reply) => return Ok(reply),
                Err(RecvTimeoutError::Timeout) => self.tick(),
                Err(RecvTimeoutError::Disconnected) => return Err(fault()),
            }
        }
    }

    /// The header that collects.
    fn collects(&self) -> Result<(&'static str, String), Problem> {
        let Some(prover) = &self.prover else { return Ok(("Idempotency-Key", self.key.clone())) };
        Ok(("DPoP", prover.prove(chance(self.surroundings)?, (self.surroundings.now)())?))
    }

    /// Pauses, still saying that it waits. A first answer is followed by a held call at once.
    fn rest(&mut self, span: Duration, needed: bool) {
        let mut left = if needed { span } else { Duration::ZERO };
        while left > Duration::ZERO {
            let part = left.min(TICK);
            patience::pause(part);
            left = left.saturating_sub(part);
            self.tick();
        }
    }

    fn tick(&mut self) {
        let (now, terminal) = (self.elapsed(), self.printer.abilities().terminal);
        match self.waiting.as_mut().and_then(|waiting| waiting.tell(now, terminal)) {
            Some(WaitingLine::Drawn(text)) => self.printer.progress(text),
            Some(WaitingLine::Line(text)) => self.printer.words(text),
            None => {}
        }
    }

    /// The server's lines, each once.
    fn tell(&mut self, lines: &[String]) {
        for line in lines {
            if !self.shown.contains(line) {
                self.printer.words(line);
                self.shown.push(line.clone());
            }
        }
    }

    fn tell_pending(&mut self, pending: &Pending) {
        let now = self.elapsed();
        self.asked_people = true;
        if let Some(waiting) = &mut self.waiting {
            // The lines of a request stay; only the time that is left changes, and that has a line of its own.
            waiting.renewed(now, pending.expires_in);
        } else {
            self.tell(&pending.summary);
            self.waiting = Some(Waiting::new(now, pending.expires_in));
        }
    }

    fn tell_approval(&mut self, issued: &Issued) {
        let after = self.waiting.take().map(|waiting| humane(self.elapsed().saturating_sub(waiting.since)));
        let lines: Vec<_> = issued.summary.iter().filter(|line| !is_about_the_file(line)).cloned().collect();
        for line in lines {
            let line = match (&after, line.strip_prefix("approved")) {
                (Some(after), Some(rest)) => format!("approved after {after}{rest}"),
                _ => line,
            };
            // With several audiences it was one approval.
            if !line.starts_with("approved") || !self.shown.iter().any(|shown| shown.starts_with("approved")) {
                self.tell(&[line]);
            }
        }
    }

    fn tell_written(&mut self, issued: &Issued, out: Option<&std::path::Path>) {
        let Some(out) = out else { return };
        let rest = issued.summary.iter().find(|line| is_about_the_file(line)).map(|line| format!(" · {line}"));
        self.printer.words(format!("token written to {}{}", out.display(), rest.unwrap_or_default()));
    }

    fn compare_clocks(&mut self, reply: &Reply, at_once: bool) {
        if self.clocks_compared || !at_once {
            return;
        }
        self.clocks_compared = true;
        let now = (self.surroundings.now)();
        if let Some(line) = reply.date.and_then(|theirs| clocks_apart(now, theirs, &self.plan.host)) {
            self.printer.words(line);
        }
    }

    /// Says once that the server does not answer, and how long it is still asked; gives up when nothing can come of it.
    fn unreachable(&mut self, what: &str, failures: u32, since: Duration) -> Result<Duration, Problem> {
        let now = self.elapsed();
        let by_request =
            self.waiting.as_ref().map_or(since + UNREACHABLE, |waiting| waiting.ends.max(since + UNREACHABLE));
        let ends = self.plan.wait.map_or(by_request, |wait| by_request.min(self.begun + wait));
        if now >= ends {
            let cure = format!("check the server and the way to it, then {}", self.again);
            return Err(Problem::new(Exit::TryAgain, what, cure));
        }
        if failures == 1 {
            self.printer.words(format!("{what}; trying again for {}", humane(ends.saturating_sub(now))));
        }
        Ok(ends.saturating_sub(now))
    }

    fn refused(&mut self, refusal: &Refusal) -> Exit {
        for line in refusal.lines() {
            self.printer.words(line);
        }
        if self.printer.json() {
            let refused = json!({
                "error": refusal.error, "error_code": refusal.code, "error_description": refusal.description,
                "hint": refusal.hint, "call_id": refusal.call_id, "entry": refusal.entry,
            });
            self.printer.data(json!({ "refused": refused }).to_string());
        }
        Exit::No
    }

    fn fault(&self, fault: &Refusal) -> Problem {
        let call = fault.call_id.as_ref().map(|id| format!(" · call {id}")).unwrap_or_default();
        let what = format!("{}: {} ({}){call}", self.plan.host, fault.description, fault.code);
        let cure = fault.hint.clone().unwrap_or_else(|| format!("{}; tell the operator the call", self.again));
        Problem::new(Exit::OurFault, what, cure)
    }

    fn strange(&self, what: &str) -> Problem {
        Problem::usage(what, format!("check the URL: {} should be a Countersign", self.plan.url))
    }
}

/// The summary's last line speaks of the token's life; the file's name goes before it.
fn is_about_the_file(line: &str) -> bool {
    line.starts_with("valid ")
}

#[cfg(test)]
mod tests;

//! The load client: measures the built server over real HTTP, beside the machine's limits and what it is compared with.
//! In: which rows, for how long, over how many connections. Out: one table; each row on stderr as it comes.
//! Implements the method of `docs/performance.md`; `benches/load` builds and runs it.
//! Never runs inside the server, never mocks a part of it, and never hides a row that missed its goal.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::disallowed_methods,
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a tool that measures: it reads the clock, waits, prints, and stops where it cannot go on"
)]

mod anchors;
mod approvals;
mod deciding;
mod exchange;
mod limits;
mod provider;
mod startup;
mod table;
mod tokens;
mod wire;
mod world;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use clap::{Parser, ValueEnum};
use countersign::domain::rules::MAX_RULES;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use anchors::Ceiling;
use exchange::{Measured, millis, quantile};
use limits::Limits;
use table::{Goal, Table};
use tokens::Tokens;
use world::World;

/// The server that was built with this client.
const BINARY: &str = env!("CARGO_BIN_EXE_countersign");
/// Exchanges a second for which tokens are made ready.
const MOST_A_SECOND: usize = 16_000;
/// People who approve in the burst.
const PEOPLE: usize = 16;
/// Connections over which clients of the provider ask.
const CLIENTS: [usize; 2] = [1, 32];
/// More calls that do nothing than a second and a half has room for.
const EMPTY_CALLS: usize = 60_000;
/// Descriptors beside those of the jobs' connections.
const SPARE: u64 = 200;

/// Measures the server. Without a name: everything.
#[derive(Parser)]
#[command(bin_name = "benches/load")]
struct Args {
    /// What to measure.
    rows: Vec<What>,
    /// One algorithm only.
    #[arg(long)]
    alg: Option<Alg>,
    /// Seconds for each measurement of throughput.
    #[arg(long, default_value_t = 4)]
    seconds: u64,
    /// Connections of each measurement of throughput.
    #[arg(long, value_delimiter = ',', default_values_t = [1, 8, 32, 64])]
    connections: Vec<usize>,
    /// Jobs that wait for approvals.
    #[arg(long, default_value_t = 10_000)]
    waiting: usize,
    /// Sessions in the full store, each with a grant and a refresh token.
    #[arg(long, default_value_t = 100_000)]
    sessions: usize,
    /// Another server binary than the one that was built.
    #[arg(long, default_value = BINARY, overrides_with = "server")]
    server: PathBuf,
    /// The bare pipeline's binary.
    #[arg(long)]
    ceiling: Option<PathBuf>,
    /// The folder with the other provider's script.
    #[arg(long)]
    anchors: Option<PathBuf>,
    /// Where states are made; it must be on the disk that is to be measured.
    #[arg(long, default_value = concat!(env!("CARGO_TARGET_TMPDIR"), "/load"))]
    directory: PathBuf,
    /// Put the table into docs/performance.md.
    #[arg(long)]
    write: bool,
    /// What `cargo bench` adds.
    #[arg(long, hide = true)]
    bench: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum What {
    /// The machine's limits.
    Limits,
    /// Deciding over as many rules as load.
    Decide,
    /// Exchanges without a human, beside the bare pipeline.
    Exchange,
    /// Approvals while jobs wait.
    Approvals,
    /// What clients of the provider ask, over an empty store and a full one.
    Provider,
    /// Start-up and idle memory.
    Start,
    /// The other provider.
    Peer,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
#[value(rename_all = "verbatim")]
enum Alg {
    /// RSA, 2048 bits.
    RS256,
    /// ECDSA over P-256.
    ES256,
}

impl Alg {
    const fn name(self) -> &'static str {
        match self {
            Self::RS256 => "RS256-2048",
            Self::ES256 => "ES256",
        }
    }
}

/// What every measurement is given.
struct Bench {
    args: Args,
    core: Option<usize>,
    tokens: Tokens,
    table: Table,
    limits: Option<Limits>,
}

fn main() {
    let args = Args::parse();
    assert!(!args.write || args.rows.is_empty(), "--write needs every row: name none");
    std::fs::create_dir_all(&args.directory).unwrap();
    let wants = |what| args.rows.is_empty() || args.rows.contains(&what);
    let mut count = 1;
    if wants(What::Exchange) {
        count = count.max(MOST_A_SECOND * args.seconds as usize);
    }
    if wants(What::Approvals) {
        count = count.max(args.waiting);
        raise_files(args.waiting as u64 + SPARE);
    }
    let parts: Vec<What> = What::value_variants().iter().copied().filter(|what| wants(*what)).collect();
    // Signed on every core, before this process binds itself to one.
    let tokens = Tokens::prepare(&args.directory.join("tokens"), count);
    let cores = bind();
    let core = cores.map(|(server, _)| server);
    let machine = table::machine(&args.directory, cores);
    let mut bench = Bench { args, core, tokens, table: Table::default(), limits: None };
    for what in parts {
        match what {
            What::Limits => bench.machine_limits(),
            What::Decide => bench.decisions(),
            What::Exchange => bench.exchanges(),
            What::Approvals => bench.approvals(),
            What::Provider => bench.provider(),
            What::Start => bench.starts(),
            What::Peer => bench.peer(),
        }
    }
    let text = bench.table.markdown(&machine);
    println!("{text}");
    if bench.args.write {
        table::write_into(&Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/performance.md"), &text);
    }
}

/// Binds this process to the second core, where there are two and the tool for it; the server gets the first.
fn bind() -> Option<(usize, usize)> {
    if std::thread::available_parallelism().map_or(1, usize::from) < 2 {
        return None;
    }
    let own = std::process::id().to_string();
    let bound = Command::new("taskset").args(["-a", "-c", "-p", "1", &own]).output().ok()?;
    bound.status.success().then_some((0, 1))
}

fn raise_files(needed: u64) {
    let maximum = getrlimit(Resource::Nofile).maximum;
    assert!(maximum.is_none_or(|most| most >= needed), "{needed} open files are needed: ulimit -Hn");
    setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum }).unwrap();
}

impl Bench {
    fn machine_limits(&mut self) {
        let limits = limits::measure(&self.args.directory);
        let table = &mut self.table;
        if let Some((rate, version)) = &limits.speed {
            table.note(format!("limit: RSA-2048 signatures, `openssl speed`, {version}"), format!("{rate:.0}/s"));
        }
        table.note("limit: RSA-2048 signatures, the OpenSSL built in", format!("{:.0}/s", limits.rs256));
        table.note("limit: ECDSA P-256 signatures, the OpenSSL built in", format!("{:.0}/s", limits.es256));
        table.note("limit: RSA-2048 verifications", format!("{:.0}/s", limits.verify));
        table.note("limit: 4 KiB appended and `fdatasync`, p50", millis(limits.sync));
        for (alg, floor) in [(Alg::RS256, limits.floor_rs256), (Alg::ES256, limits.floor_es256)] {
            table.note(format!("floor of one {}: verify, write, `fdatasync`, sign, p50", alg.name()), millis(floor));
        }
        self.limits = Some(limits);
    }

    fn decisions(&mut self) {
        for (case, median) in deciding::measure() {
            let what = format!("decide over {MAX_RULES} rules, {case}, p50");
            self.table.row(what, millis(median), median.as_secs_f64() * 1e3, &Goal::Most(1.0, " ms"));
        }
    }

    fn exchanges(&mut self) {
        let empty = self.empty_call();
        for alg in [Alg::RS256, Alg::ES256] {
            if self.args.alg.is_none_or(|only| only == alg) {
                self.exchange(alg, empty);
            }
        }
    }

    fn exchange(&mut self, alg: Alg, empty: Duration) {
        let (audience, kind) = match alg {
            Alg::RS256 => (world::RS256, "rs"),
            Alg::ES256 => (world::ES256, "es"),
        };
        let length = Duration::from_secs(self.args.seconds);
        let (mut best, mut bare_best, mut alone) = (0.0_f64, 0.0_f64, None);
        for connections in self.args.connections.clone() {
            let measured = {
                let world = World::found(&self.args.directory, &self.tokens.jwks);
                let running = world.serve(&self.args.server, self.core);
                let before = running.cpu();
                let measured = exchange::exchange(running.address, &self.tokens.all, audience, connections, length);
                let cpu = running.cpu().saturating_sub(before).as_secs_f64() / measured.all as f64;
                let what = format!("exchange, {}, c = {connections}", alg.name());
                let memory = running.memory("VmRSS");
                let words = format!("{}; {:.0} µs of processor each; {memory:.0} MB", measured.words(), cpu * 1e6);
                self.table.note(what, words);
                measured
            };
            best = best.max(measured.rate());
            if connections == 1 {
                alone = Some((measured.quantile(0.5), empty));
            }
            if let Some(bare) = self.bare(kind, connections, length) {
                self.table.note(format!("bare pipeline, {}, c = {connections}", alg.name()), bare.words());
                bare_best = bare_best.max(bare.rate());
            }
        }
        self.ratios(alg, best, bare_best, alone);
    }

    /// The median of a call that does nothing, alone: what HTTP itself takes.
    fn empty_call(&mut self) -> Duration {
        let world = World::found(&self.args.directory, &self.tokens.jwks);
        let running = world.serve(&self.args.server, self.core);
        let calls = vec![wire::get("/healthz"); EMPTY_CALLS];
        let measured = exchange::drive(running.address, calls, 1, Duration::from_secs(1));
        self.table.note("limit: an empty call over HTTP, c = 1", measured.words());
        measured.quantile(0.5)
    }

    fn bare(&self, kind: &str, connections: usize, length: Duration) -> Option<Measured> {
        let ceiling = Ceiling::start(self.args.ceiling.as_ref()?, &self.args.directory, self.core);
        Some(ceiling.exchange(kind, connections, length))
    }

    fn ratios(&mut self, alg: Alg, best: f64, bare: f64, alone: Option<(Duration, Duration)>) {
        let name = alg.name();
        if let (Alg::RS256, Some(limits)) = (alg, &self.limits) {
            let ratio = best / limits.rs256;
            let mut words = format!("{ratio:.2}");
            if bare > 0.0 {
                words = format!("{ratio:.2} (bare: {:.2})", bare / limits.rs256);
            }
            let goal = Goal::Least(0.55, "");
            self.table.row("RS256-2048, best, of the rate of the OpenSSL built in", words, ratio, &goal);
            if let Some((speed, _)) = &limits.speed {
                let ratio = best / speed;
                self.table.row(
                    "RS256-2048, best, of `openssl speed`",
                    format!("{ratio:.2}"),
                    ratio,
                    &Goal::Least(0.55, ""),
                );
            }
        }
        if alg == Alg::ES256 {
            self.table.row("ES256, best", format!("{best:.0}/s"), best, &Goal::Least(6000.0, "/s"));
        }
        let what = format!("{name}, best, of the bare pipeline's best");
        if bare > 0.0 {
            let ratio = best / bare;
            self.table.row(&*what, format!("{ratio:.2}"), ratio, &Goal::Least(0.95, ""));
            if alg == Alg::ES256 {
                let what = format!("{what}, where 6000/s were asked of a machine whose pipeline makes 14000/s");
                self.table.row(what, format!("{ratio:.2}"), ratio, &Goal::Least(0.43, ""));
            }
        } else {
            self.table.note(what, "not measured: no anchors given");
        }
        if let (Some(limits), Some((alone, empty))) = (&self.limits, alone) {
            let floor = if alg == Alg::RS256 { limits.floor_rs256 } else { limits.floor_es256 };
            let ratio = alone.as_secs_f64() / (floor + empty).as_secs_f64();
            let what = format!("{name}, alone, p50, of the floor and an empty call");
            self.table.row(what, format!("{ratio:.2}"), ratio, &Goal::Most(2.0, ""));
        }
    }

    fn approvals(&mut self) {
        let world = World::found(&self.args.directory, &self.tokens.jwks);
        let running = world.serve(&self.args.server, self.core);
        let links: Vec<_> = (0..PEOPLE).map(|n| world.invite(&self.args.server, &format!("Person {n}"))).collect();
        let before = running.cpu();
        let measured = approvals::measure(&running, &self.tokens.all[..self.args.waiting], &links);
        let cpu = running.cpu().saturating_sub(before);
        let table = &mut self.table;
        let jobs = measured.waiting;
        let opened = measured.opened.as_secs_f64();
        table.note(format!("{jobs} requests opened, each job held"), format!("{:.0}/s", jobs as f64 / opened));
        let memory = measured.memory;
        table.row(format!("memory with {jobs} waiting"), format!("{memory:.0} MB"), memory, &Goal::Most(200.0, " MB"));
        let delays =
            |micros: &[u32]| format!("p50 {}, p99 {}", millis(quantile(micros, 0.5)), millis(quantile(micros, 0.99)));
        let paced = &measured.paced;
        let count = paced.after_answer.len();
        let rate = count as f64 / paced.time.as_secs_f64();
        let median = quantile(&paced.after_answer, 0.5).as_secs_f64() * 1e3;
        let what = format!("{count} approvals at {rate:.0}/s: from the last signature's answer to the token");
        table.row(what, delays(&paced.after_answer), median, &Goal::Most(50.0, " ms"));
        table.note("the same, from sending that signature", delays(&paced.after_sending));
        let burst = &measured.burst;
        let count = burst.after_answer.len();
        let rate = count as f64 / burst.time.as_secs_f64();
        let words = format!("{rate:.0}/s; token after the answer: {}", delays(&burst.after_answer));
        table.note(format!("the other {count} approved at once by {PEOPLE} people"), words);
        table.note("most memory meanwhile", format!("{:.0} MB", measured.peak));
        eprintln!("processor time of the server: {:.1} s", cpu.as_secs_f64());
    }

    fn provider(&mut self) {
        let length = Duration::from_secs(self.args.seconds);
        let sessions = self.args.sessions;
        let worlds = [(); 2].map(|()| World::found(&self.args.directory, &self.tokens.jwks));
        let binary = &self.args.server;
        for both in provider::measure(&worlds, binary, self.core, sessions, (&CLIENTS, length)) {
            let what = format!("{}, c = {}", both.endpoint.name(), both.connections);
            self.table.note(&*what, both.empty.words());
            self.table.note(format!("the same among {sessions} sessions and grants"), both.full.words());
            let ratio = both.full.quantile(0.5).as_secs_f64() / both.empty.quantile(0.5).as_secs_f64();
            let goal = Goal::Most(1.5, "");
            self.table.row(format!("{what}, p50 of the full store, of the empty"), format!("{ratio:.2}"), ratio, &goal);
        }
    }

    fn starts(&mut self) {
        let world = World::found(&self.args.directory, &self.tokens.jwks);
        let measured = startup::measure(&world, &self.tokens.all, &self.args.server, self.core, &[1_000, 200_000]);
        for one in &measured {
            let (median, most) = (one.times[one.times.len() / 2], one.times[one.times.len() - 1]);
            let what = format!("start until ready, log of {} entries", one.entries);
            let words = format!("p50 {}, slowest {}", millis(median), millis(most));
            self.table.row(what, words, most.as_secs_f64() * 1e3, &Goal::Most(300.0, " ms"));
            let what = format!("idle memory, log of {} entries", one.entries);
            self.table.row(what, format!("{:.1} MB", one.idle), one.idle, &Goal::Most(30.0, " MB"));
        }
    }

    fn peer(&mut self) {
        const NAME: &str = "oidc-provider 9.13.3 (Node, in memory, client secret)";
        let folder = self.args.anchors.clone().unwrap_or_default();
        match anchors::peer(&folder.join("panva.sh"), &self.args.directory.join("peer")) {
            Err(why) => self.table.note(NAME, format!("not measured: {why}")),
            Ok(found) => {
                for one in found {
                    let what = format!("{NAME}, {}, c = {}", one.alg, one.connections);
                    self.table.note(what, format!("{:.0}/s, p50 {}, p99 {}", one.rate, one.p50, one.p99));
                }
            }
        }
    }
}

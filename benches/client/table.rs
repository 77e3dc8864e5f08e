//! The one table: rows as they come, the machine, and its place in the documentation.
//! In: rows. Out: Markdown.
//! Implements the table of `docs/performance.md`.
//! Never writes a part of it as if it were the whole.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::process::Command;

const BEGIN: &str = "<!-- benches/load --write puts the table here -->\n";
const END: &str = "<!-- end of the table -->\n";

/// The rows so far.
#[derive(Default)]
pub struct Table {
    rows: Vec<[String; 4]>,
}

/// How a measured number stands to its goal.
pub enum Goal {
    /// It has none.
    None,
    /// At least so much.
    Least(f64, &'static str),
    /// At most so much.
    Most(f64, &'static str),
}

impl Table {
    /// Adds a row, and says it at once on stderr.
    pub fn row(&mut self, what: impl Into<String>, measured: impl Into<String>, number: f64, goal: &Goal) {
        let (goal, reached) = match *goal {
            Goal::None => (String::new(), ""),
            Goal::Least(least, unit) => (format!("≥ {}{unit}", plain(least)), yes(number >= least)),
            Goal::Most(most, unit) => (format!("≤ {}{unit}", plain(most)), yes(number <= most)),
        };
        let row = [what.into(), measured.into(), goal, reached.to_owned()];
        eprintln!("{}", row.join(" | "));
        self.rows.push(row);
    }

    /// A row without a goal.
    pub fn note(&mut self, what: impl Into<String>, measured: impl Into<String>) {
        self.row(what, measured, 0.0, &Goal::None);
    }

    /// As Markdown, under the machine that it was measured on.
    pub fn markdown(&self, machine: &str) -> String {
        let mut text = format!("{machine}\n\n| what | measured | goal | reached |\n| --- | --- | --- | --- |\n");
        for row in &self.rows {
            let _ = writeln!(text, "| {} |", row.join(" | "));
        }
        text
    }
}

fn plain(number: f64) -> String {
    if number >= 1000.0 { format!("{number:.0}") } else { number.to_string() }
}

fn yes(is: bool) -> &'static str {
    if is { "yes" } else { "no" }
}

/// Puts the table between its two marks of a document.
pub fn write_into(document: &Path, table: &str) {
    let text = fs::read_to_string(document).unwrap();
    let (before, rest) = text.split_once(BEGIN).expect("the document has no mark for the table's beginning");
    let (_, after) = rest.split_once(END).expect("the document has no mark for the table's end");
    fs::write(document, format!("{before}{BEGIN}\n{table}\n{END}{after}")).unwrap();
}

/// The machine in one line.
pub fn machine(folder: &Path, cores: Option<(usize, usize)>) -> String {
    let info = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let after = |name: &str| {
        let line = info.lines().find(|line| line.starts_with(name));
        line.and_then(|line| line.split_once(':')).map_or("unknown", |(_, value)| value.trim()).to_owned()
    };
    let said = |program: &str, args: &[&str]| {
        let out = Command::new(program).args(args).output().map(|out| out.stdout).unwrap_or_default();
        String::from_utf8_lossy(&out).trim().to_owned()
    };
    let memory = fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let kib = memory.split_whitespace().nth(1).and_then(|kib| kib.parse::<f64>().ok()).unwrap_or(0.0);
    let count = info.lines().filter(|line| line.starts_with("processor")).count();
    let disk = said("df", &["--output=fstype", &folder.display().to_string()]);
    let disk = disk.lines().last().unwrap_or("unknown").to_owned();
    let bound = cores.map_or_else(
        || "server and client are not bound to cores".to_owned(),
        |(server, client)| format!("server on core {server}, client on core {client}"),
    );
    format!(
        "{count} × {}, {:.0} GiB, Linux {}, state on {disk}; {}; {}; {bound}. Measured {}.",
        after("model name"),
        kib / 1024.0 / 1024.0,
        said("uname", &["-r"]),
        said("rustc", &["--version"]),
        openssl::version::version(),
        said("date", &["-u", "+%-d %B %Y, %H:%M UTC"]),
    )
}

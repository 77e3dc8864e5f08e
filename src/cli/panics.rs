//! What is told of a panic: where it happened, and never what it says.
//! In: a place in the source, a thread. Out: one event of the diagnostics; words on stderr where a command has none.
//! Implements ATTACKS 95.
//! Never a panic's message: a conversion that fails quotes what it failed on, which may be a token or a key.

use std::backtrace::{Backtrace, BacktraceStatus};
use std::panic::Location;
use std::thread;

use super::printer::{Abilities, Printer};

/// What is told of every panic.
pub const SENTENCE: &str = "a part of countersign failed; what it said is withheld, since it may quote a secret";

/// From here on, no panic of any thread tells its message.
pub fn withhold_messages() {
    std::panic::set_hook(Box::new(|panic| tell(panic.location())));
}

/// Takes the place alone, so that the message cannot come along.
fn tell(location: Option<&Location<'_>>) {
    let at = place(location);
    let current = thread::current();
    let thread = current.name().unwrap_or("without a name");
    // The standard library looks at RUST_BACKTRACE. A backtrace has names of functions, not their values.
    let backtrace = Backtrace::capture();
    let backtrace = (backtrace.status() == BacktraceStatus::Captured).then(|| backtrace.to_string());
    if tracing::dispatcher::has_been_set() {
        tracing::error!(at, thread, backtrace, "{SENTENCE}");
    } else {
        let mut printer = Printer::system(Abilities::detect(false, true));
        printer.problem(format!("{SENTENCE} ({at}, thread {thread})"), "report it with this line");
        for line in backtrace.iter().flat_map(|text| text.lines()) {
            printer.words(line);
        }
    }
}

fn place(location: Option<&Location<'_>>) -> String {
    location.map_or_else(|| "a place that is not known".to_owned(), ToString::to_string)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_file_line_and_column() {
        let here = Location::caller();
        assert_eq!(place(Some(here)), format!("{}:{}:{}", file!(), here.line(), here.column()));
        assert_eq!(place(None), "a place that is not known");
    }
}

//! The one place that prints: data to stdout, words to stderr.
//! In: lines. Out: bytes on two streams, without colour or redrawing where no person watches.
//! Implements SCREENS' terminal rules (NO_COLOR, signs without UTF-8, one line a change in a job log).
//! Never lets a text draw in the terminal: control and text-turning characters are shown escaped.

use std::io::{self, ErrorKind, IsTerminal, Write};

use super::exit::Exit;

/// A sign before a line; a word where the terminal has no UTF-8.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sign {
    /// Good.
    Ok,
    /// Worth a look.
    Warn,
    /// Bad.
    Fail,
}

/// What the two streams can show.
#[expect(clippy::struct_excessive_bools, reason = "five independent yes or no answers about two streams")]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Abilities {
    /// Words go to a terminal: redrawing is possible.
    pub terminal: bool,
    /// Colour is wanted.
    pub colour: bool,
    /// Signs beyond ASCII can be shown.
    pub utf8: bool,
    /// Data is JSON.
    pub json: bool,
    /// Data goes to a terminal, where a person reads it.
    pub watched: bool,
}

impl Abilities {
    /// What this process's streams and variables say.
    #[must_use]
    pub fn detect(json: bool, no_color: bool) -> Self {
        let variable = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
        let terminal = io::stderr().is_terminal() && variable("TERM").is_none_or(|term| term != "dumb");
        Self {
            terminal,
            colour: terminal && !no_color && variable("NO_COLOR").is_none(),
            utf8: shows_utf8(&variable),
            json,
            watched: io::stdout().is_terminal(),
        }
    }
}

/// POSIX's order; where no locale is set at all, a job log (`CI`) is read in a browser.
fn shows_utf8(variable: &dyn Fn(&str) -> Option<String>) -> bool {
    match ["LC_ALL", "LC_CTYPE", "LANG"].into_iter().find_map(variable) {
        Some(locale) => {
            let locale = locale.to_ascii_uppercase();
            locale.contains("UTF-8") || locale.contains("UTF8")
        }
        None => variable("CI").is_some(),
    }
}

/// Prints.
pub struct Printer {
    out: Box<dyn Write>,
    err: Box<dyn Write>,
    abilities: Abilities,
    /// A progress line stands on the terminal and must go before the next line.
    drawn: bool,
    lost_data: bool,
}

impl Printer {
    /// On this process's own streams.
    #[must_use]
    pub fn system(abilities: Abilities) -> Self {
        Self::new(Box::new(io::stdout()), Box::new(io::stderr()), abilities)
    }

    /// On any two streams.
    #[must_use]
    pub fn new(out: Box<dyn Write>, err: Box<dyn Write>, abilities: Abilities) -> Self {
        Self { out, err, abilities, drawn: false, lost_data: false }
    }

    /// What the streams can show.
    #[must_use]
    pub const fn abilities(&self) -> Abilities {
        self.abilities
    }

    /// Whether data is to be JSON.
    #[must_use]
    pub const fn json(&self) -> bool {
        self.abilities.json
    }

    /// A line of data.
    pub fn data(&mut self, line: impl AsRef<str>) {
        self.erase();
        let text = format!("{}\n", self.shown(line.as_ref()));
        self.raw_data(text.as_bytes());
    }

    /// A line of data behind a sign that `sign` made.
    pub fn data_signed(&mut self, sign: &str, line: &str) {
        self.erase();
        let text = format!("{sign} {}\n", self.shown(line));
        self.raw_data(text.as_bytes());
    }

    /// A document as data, byte for byte (a bundle, a note, JSON).
    pub fn raw_data(&mut self, bytes: &[u8]) {
        if let Err(error) = self.out.write_all(bytes).and_then(|()| self.out.flush()) {
            // A reader that has seen enough (`| head`) is no fault; a full disk is.
            self.lost_data |= error.kind() != ErrorKind::BrokenPipe;
        }
    }

    /// A line of a document as data: as it is, unless a person reads it in a terminal.
    pub fn line(&mut self, line: &str) {
        if self.abilities.watched {
            self.data(line);
        } else {
            self.raw_data(format!("{line}\n").as_bytes());
        }
    }

    /// A line of words.
    pub fn words(&mut self, line: impl AsRef<str>) {
        self.erase();
        let text = format!("{}\n", self.shown(line.as_ref()));
        self.write_err(&text);
    }

    /// A line of words behind a sign.
    pub fn signed(&mut self, sign: Sign, line: impl AsRef<str>) {
        self.erase();
        let text = format!("{} {}\n", self.sign(sign), self.shown(line.as_ref()));
        self.write_err(&text);
    }

    /// What went wrong and its cure, on two lines.
    pub fn problem(&mut self, what: impl AsRef<str>, cure: impl AsRef<str>) {
        self.words(what);
        self.words(format!("  cure: {}", cure.as_ref()));
    }

    /// A line that the next one replaces; only on a terminal, elsewhere nothing.
    pub fn progress(&mut self, line: impl AsRef<str>) {
        if !self.abilities.terminal {
            return;
        }
        let text = format!("\r\u{1b}[K{}", self.shown(line.as_ref()));
        self.write_err(&text);
        self.drawn = true;
    }

    /// A sign as this terminal shows it.
    #[must_use]
    pub fn sign(&self, sign: Sign) -> String {
        let (plain, fancy, colour) = match sign {
            Sign::Ok => ("ok", "✓", "32"),
            Sign::Warn => ("-", "!", "33"),
            Sign::Fail => ("FAIL", "✕", "31"),
        };
        let text = if self.abilities.utf8 { fancy } else { plain };
        if self.abilities.colour { format!("\u{1b}[{colour}m{text}\u{1b}[0m") } else { text.to_owned() }
    }

    /// Takes the progress line away, and turns lost data into our fault.
    pub fn finish(&mut self, exit: Exit) -> Exit {
        self.erase();
        if self.lost_data {
            self.problem("the output could not be written", "make room, or send it elsewhere");
            return exit.max(Exit::OurFault);
        }
        exit
    }

    fn erase(&mut self) {
        if std::mem::take(&mut self.drawn) {
            self.write_err("\r\u{1b}[K");
        }
    }

    fn write_err(&mut self, text: &str) {
        // Nobody is left to be told.
        let _ = self.err.write_all(text.as_bytes()).and_then(|()| self.err.flush());
    }

    fn shown(&self, line: &str) -> String {
        let mut text = String::with_capacity(line.len());
        for letter in line.chars() {
            match letter {
                _ if letter.is_control() || is_hidden(letter) => text.extend(letter.escape_unicode()),
                _ if self.abilities.utf8 || letter.is_ascii() => text.push(letter),
                _ => text.push_str(in_ascii(letter)),
            }
        }
        text
    }
}

/// Characters that turn or hide what stands around them.
const fn is_hidden(letter: char) -> bool {
    matches!(letter, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
}

const fn in_ascii(letter: char) -> &'static str {
    match letter {
        '✓' => "ok",
        '✕' => "FAIL",
        '·' | '–' | '—' => "-",
        '…' => "...",
        '→' => "->",
        _ => "?",
    }
}

#[cfg(test)]
pub(super) mod tests {
    use std::cell::RefCell;
    use std::rc::Rc;

    use super::*;

    /// A stream that remembers.
    #[derive(Clone, Default)]
    pub(in super::super) struct Tape(Rc<RefCell<Vec<u8>>>);

    impl Tape {
        pub(in super::super) fn text(&self) -> String {
            String::from_utf8(self.0.borrow().clone()).unwrap()
        }
    }

    impl Write for Tape {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.borrow_mut().extend_from_slice(bytes);
            Ok(bytes.len())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// A printer on two tapes: data, words.
    pub(in super::super) fn taped(abilities: Abilities) -> (Printer, Tape, Tape) {
        let (out, err) = (Tape::default(), Tape::default());
        (Printer::new(Box::new(out.clone()), Box::new(err.clone()), abilities), out, err)
    }

    /// A stream that fails.
    struct Broken(ErrorKind);

    impl Write for Broken {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(self.0.into())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn data_and_words_go_to_their_own_streams() {
        let (mut printer, out, err) = taped(Abilities { utf8: true, ..Abilities::default() });
        printer.data("a · b");
        printer.problem("it broke", "mend it");
        printer.signed(Sign::Ok, "done");
        assert_eq!(out.text(), "a · b\n");
        assert_eq!(err.text(), "it broke\n  cure: mend it\n✓ done\n");
    }

    #[test]
    fn without_utf8_signs_are_words() {
        let (mut printer, _, err) = taped(Abilities::default());
        printer.signed(Sign::Ok, "a · b…");
        printer.signed(Sign::Fail, "ü");
        assert_eq!(err.text(), "ok a - b...\nFAIL ?\n");
    }

    #[test]
    fn no_text_draws_in_the_terminal() {
        let (mut printer, out, err) = taped(Abilities { utf8: true, ..Abilities::default() });
        printer.words("a\u{1b}[2Jb\nc\u{202e}d");
        printer.data("x\ry\u{9b}");
        assert_eq!(err.text(), "a\\u{1b}[2Jb\\u{a}c\\u{202e}d\n");
        assert_eq!(out.text(), "x\\u{d}y\\u{9b}\n");
    }

    #[test]
    fn progress_is_for_terminals_and_gives_way_to_lines() {
        let (mut printer, _, err) = taped(Abilities { terminal: true, ..Abilities::default() });
        printer.progress("waiting");
        printer.words("done");
        assert_eq!(err.text(), "\r\u{1b}[Kwaiting\r\u{1b}[Kdone\n");
        let (mut printer, _, err) = taped(Abilities::default());
        printer.progress("waiting");
        assert_eq!(err.text(), "");
    }

    #[test]
    fn a_closed_pipe_is_quiet_and_a_full_disk_is_our_fault() {
        let after = |kind: ErrorKind| {
            let err = Tape::default();
            let mut printer = Printer::new(Box::new(Broken(kind)), Box::new(err.clone()), Abilities::default());
            printer.data("x");
            (printer.finish(Exit::Yes), err.text())
        };
        assert_eq!(after(ErrorKind::BrokenPipe), (Exit::Yes, String::new()));
        assert_eq!(after(ErrorKind::StorageFull).0, Exit::OurFault);
    }

    #[test]
    fn utf8_is_what_the_locale_says_and_a_job_log_without_locale_has_it() {
        let says = |set: &[(&str, &str)]| {
            let set: Vec<_> = set.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
            shows_utf8(&move |name: &str| set.iter().find(|(known, _)| known == name).map(|(_, value)| value.clone()))
        };
        assert!(says(&[("LANG", "de_DE.UTF-8")]) && says(&[("LC_CTYPE", "C.utf8")]) && says(&[("CI", "true")]));
        assert!(
            !says(&[]) && !says(&[("LANG", "C"), ("CI", "true")]) && !says(&[("LC_ALL", "C"), ("LANG", "C.UTF-8")])
        );
    }
}

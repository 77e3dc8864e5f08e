//! What every check of a setting shares: the faults so far, and files, durations, numbers and sizes.
//! In: what was typed, and the key it was typed under. Out: a value; a fault is noted and a default goes on.
//! Implements DESIGN §12: every fault at once, each with its cure.
//! Never reads a file's contents.

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::fault::Fault;
use super::source::Origins;
use crate::domain::time::{humane, parse_duration};

/// Default, least and most of a duration.
pub(super) type Span = (Duration, Duration, Duration);

/// The faults so far, and what paths are relative to.
pub(super) struct Checking<'a> {
    folder: &'a Path,
    origins: &'a Origins,
    faults: Vec<Fault>,
}

impl<'a> Checking<'a> {
    pub(super) const fn new(folder: &'a Path, origins: &'a Origins) -> Self {
        Self { folder, origins, faults: Vec::new() }
    }

    /// Whether nothing is wrong so far.
    pub(super) const fn sound(&self) -> bool {
        self.faults.is_empty()
    }

    pub(super) fn faults(self) -> Vec<Fault> {
        self.faults
    }

    pub(super) fn fault(&mut self, path: &str, what: impl Into<String>, cure: impl Into<String>) {
        self.faults.push(Fault { origin: self.origins.of(path), what: what.into(), cure: cure.into() });
    }

    pub(super) fn resolve(&self, typed: &str) -> PathBuf {
        self.folder.join(typed)
    }

    /// A file that must be there when the server starts.
    pub(super) fn existing(&mut self, path: &str, typed: Option<&str>) -> Option<PathBuf> {
        let typed = typed?;
        let resolved = self.resolve(typed);
        if !resolved.is_file() {
            let what = format!("`{path}` names `{}`, where there is no file", resolved.display());
            self.fault(
                path,
                what,
                "put the file there, or name the right one; paths count from the configuration's folder",
            );
        }
        Some(resolved)
    }

    pub(super) fn duration(&mut self, path: &str, typed: Option<&str>, (default, least, most): Span) -> Duration {
        let Some(typed) = typed else { return default };
        match parse_duration(typed) {
            Some(span) if (least..=most).contains(&span) => span,
            Some(_) => {
                let what = format!("`{path}` is `{typed}`; {} to {} are possible", humane(least), humane(most));
                self.fault(path, what, "choose a value in that range");
                default
            }
            None => {
                self.fault(
                    path,
                    format!("`{typed}` is not a duration"),
                    "write a whole number and s, m, h or d: \"50s\"",
                );
                default
            }
        }
    }

    pub(super) fn whole(&mut self, path: &str, typed: Option<i64>, default: u32) -> u32 {
        let Some(typed) = typed else { return default };
        match u32::try_from(typed) {
            Ok(number) if number > 0 => number,
            _ => {
                self.fault(
                    path,
                    format!("`{path}` is {typed}"),
                    format!("write a whole number of at least 1, such as {default}"),
                );
                default
            }
        }
    }
}

/// A size as people write it: a whole number and one of `MiB`, `GiB`, `TiB`.
pub(super) fn parse_size(text: &str) -> Option<u64> {
    let (digits, factor) = [("MiB", 1_u64 << 20), ("GiB", 1 << 30), ("TiB", 1 << 40)]
        .into_iter()
        .find_map(|(unit, factor)| text.strip_suffix(unit).map(|digits| (digits, factor)))?;
    let digits = digits.strip_suffix(' ').unwrap_or(digits);
    if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    digits.parse::<u64>().ok()?.checked_mul(factor).filter(|bytes| i64::try_from(*bytes).is_ok())
}

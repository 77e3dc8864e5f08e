//! The collector: 32 random bytes that only this job has, so that only this job gets its token.
//! In: a path and chance. Out: the value for `Idempotency-Key`; a file of mode 0600 until every token is written.
//! Implements DESIGN §5 ("Once, and lost answers").
//! Never overwrites a file that is not a collector, never follows a link.

use std::fs::{self, OpenOptions};
use std::io::{ErrorKind, Read, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use data_encoding::BASE64URL_NOPAD;

use super::Problem;

/// Characters of a collector made here.
pub const COLLECTOR_CHARS: usize = 43;
/// Characters of any collector: the shell client makes longer ones.
const COLLECTOR_LENGTHS: std::ops::RangeInclusive<usize> = 32..=128;

/// A collector and its file, if it has one.
pub struct Collector {
    value: String,
    file: Option<PathBuf>,
    /// The file was there already: an earlier run has asked with it.
    pub resumed: bool,
}

impl Collector {
    /// One that lives only as long as this process.
    pub fn fleeting(chance: [u8; 32]) -> Self {
        Self { value: BASE64URL_NOPAD.encode(&chance), file: None, resumed: false }
    }

    /// The one kept beside the file, made if it is not there.
    pub fn beside(out: &Path, chance: [u8; 32]) -> Result<Self, Problem> {
        let file = path_beside(out);
        let value = BASE64URL_NOPAD.encode(&chance);
        let made = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&file);
        match made {
            Ok(mut made) => {
                let line = format!("{value}\n");
                made.write_all(line.as_bytes()).and_then(|()| made.sync_all()).map_err(|error| {
                    // Half a collector is worse than none: the next run would be refused.
                    let _ = fs::remove_file(&file);
                    unwritable(&file, &error)
                })?;
                Ok(Self { value, file: Some(file), resumed: false })
            }
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {
                Ok(Self { value: read(&file)?, file: Some(file), resumed: true })
            }
            Err(error) => Err(unwritable(&file, &error)),
        }
    }

    /// The value for `Idempotency-Key`.
    pub fn value(&self) -> &str {
        &self.value
    }

    /// Whether a second run finds it.
    pub const fn is_kept(&self) -> bool {
        self.file.is_some()
    }

    /// Removes the file: nothing is left to collect.
    pub fn forget(self) {
        if let Some(file) = self.file {
            // What stays behind is of no use to anybody: its request is over.
            let _ = fs::remove_file(file);
        }
    }
}

/// `.aws.jwt.countersign-collector` beside `aws.jwt`.
fn path_beside(out: &Path) -> PathBuf {
    let name = out.file_name().unwrap_or_default().to_string_lossy();
    out.with_file_name(format!(".{name}.countersign-collector"))
}

fn read(file: &Path) -> Result<String, Problem> {
    let problem = |what: &str| {
        Problem::usage(format!("`{}` {what}", file.display()), "remove it; if that was not you, look at the job")
    };
    let found = fs::symlink_metadata(file).map_err(|_| problem("cannot be read"))?;
    if !found.is_file() || found.permissions().mode() & 0o077 != 0 {
        return Err(problem("is not a file of mode 0600"));
    }
    let mut text = String::new();
    let opened = fs::File::open(file).and_then(|opened| opened.take(256).read_to_string(&mut text));
    let value = text.strip_suffix('\n').unwrap_or(&text);
    let form = COLLECTOR_LENGTHS.contains(&value.len())
        && value.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_".contains(&b));
    if opened.is_err() || !form {
        return Err(problem("holds no collector"));
    }
    Ok(value.to_owned())
}

fn unwritable(file: &Path, error: &std::io::Error) -> Problem {
    Problem::usage(
        format!("`{}` cannot be written: {error}", file.display()),
        "let --out name a file in a folder that exists",
    )
}

#[cfg(test)]
mod tests {
    use super::super::output::tests::Folder;
    use super::*;

    #[test]
    fn a_second_run_finds_the_first_one_s_collector_until_it_is_forgotten() {
        let folder = Folder::new("collector-again");
        let out = folder.path().join("aws.jwt");
        let first = Collector::beside(&out, [1; 32]).unwrap();
        let second = Collector::beside(&out, [2; 32]).unwrap();
        assert_eq!(first.value(), second.value());
        assert_eq!(first.value().len(), COLLECTOR_CHARS);
        assert!(!first.resumed && second.resumed);
        let file = folder.path().join(".aws.jwt.countersign-collector");
        assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
        second.forget();
        assert!(!file.exists());
        assert_ne!(Collector::beside(&out, [3; 32]).unwrap().value(), first.value());
    }

    #[test]
    fn a_planted_collector_is_refused() {
        let folder = Folder::new("collector-planted");
        let out = folder.path().join("t");
        let file = folder.path().join(".t.countersign-collector");
        let good = format!("{}\n", "A".repeat(COLLECTOR_CHARS));
        for (text, mode) in [(good.as_str(), 0o644), ("short\n", 0o600), ("", 0o600)] {
            fs::write(&file, text).unwrap();
            fs::set_permissions(&file, fs::Permissions::from_mode(mode)).unwrap();
            assert!(Collector::beside(&out, [0; 32]).is_err(), "{text} {mode:o}");
            fs::remove_file(&file).unwrap();
        }
        let elsewhere = folder.path().join("elsewhere");
        fs::write(&elsewhere, &good).unwrap();
        fs::set_permissions(&elsewhere, fs::Permissions::from_mode(0o600)).unwrap();
        std::os::unix::fs::symlink(&elsewhere, &file).unwrap();
        assert!(Collector::beside(&out, [0; 32]).is_err(), "a link");
    }
}

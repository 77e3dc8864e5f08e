//! Writes a token where it was asked for.
//! In: a path and a token. Out: a file of mode 0600 that holds the whole token or is as it was.
//! Implements DESIGN §1 (`--out`).
//! Never writes through a link, never adds a line end: clouds read the file as it is.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use serde_json::{Value, json};

use super::Problem;
use super::answer::Issued;
use crate::domain::ids::Audience;

/// Says early what would fail late: a folder that is not there, a folder in the file's place.
pub fn check(out: &Path) -> Result<(), Problem> {
    let folder = folder_of(out);
    if out.file_name().is_none() || out.is_dir() {
        return Err(Problem::usage(format!("`{}` is not a file's name", out.display()), "let --out name a file"));
    }
    if !folder.is_dir() {
        let what = format!("`{}` is not a folder", folder.display());
        return Err(Problem::usage(what, "make the folder first, or let --out name a file elsewhere"));
    }
    Ok(())
}

/// Writes the token in one step.
pub fn write(out: &Path, token: &str) -> Result<(), Problem> {
    let name = out.file_name().unwrap_or_default().to_string_lossy();
    let fresh = out.with_file_name(format!(".{name}.countersign-new"));
    // One left by a run that was killed; whatever it is, it is not followed.
    let _ = fs::remove_file(&fresh);
    let written = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&fresh)
        .and_then(|mut file| file.write_all(token.as_bytes()).and_then(|()| file.sync_all()))
        .and_then(|()| fs::rename(&fresh, out));
    written.map_err(|error| {
        let _ = fs::remove_file(&fresh);
        let cure = "make room or name another file, then run the same command again: it gets the same token";
        Problem::usage(format!("`{}` cannot be written: {error}", out.display()), cure)
    })
}

fn folder_of(out: &Path) -> &Path {
    out.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// One token for `--json`; the value only where no file has it.
pub fn report(audience: &Audience, out: Option<&Path>, issued: &Issued) -> Value {
    let mut report = json!({ "audience": audience, "expires_in": issued.expires_in, "entry": issued.entry });
    if let Some(members) = report.as_object_mut() {
        match out {
            Some(out) => members.insert("out".to_owned(), json!(out.display().to_string())),
            None => members.insert("access_token".to_owned(), json!(issued.access_token)),
        };
    }
    report
}

#[cfg(test)]
pub(super) mod tests {
    use std::os::unix::fs::PermissionsExt;
    use std::path::PathBuf;

    use super::*;

    /// A folder of a test's own, gone at its end.
    pub(in super::super) struct Folder(PathBuf);

    impl Folder {
        pub(in super::super) fn new(name: &str) -> Self {
            let path = std::env::temp_dir().join(format!("countersign-cli-{}-{name}", std::process::id()));
            let _ = fs::remove_dir_all(&path);
            fs::create_dir_all(&path).unwrap();
            Self(path)
        }

        pub(in super::super) fn path(&self) -> &Path {
            &self.0
        }
    }

    impl Drop for Folder {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    #[test]
    fn the_file_holds_the_token_alone_and_only_its_owner_reads_it() {
        let folder = Folder::new("output");
        let out = folder.path().join("aws.jwt");
        fs::write(&out, "an older and longer token").unwrap();
        fs::write(folder.path().join(".aws.jwt.countersign-new"), "left over").unwrap();
        write(&out, "a.b.c").unwrap();
        assert_eq!(fs::read(&out).unwrap(), b"a.b.c");
        assert_eq!(fs::metadata(&out).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "nothing is left beside it");
    }

    #[test]
    fn a_link_in_the_file_s_place_is_replaced_not_followed() {
        let folder = Folder::new("output-link");
        let elsewhere = folder.path().join("elsewhere");
        fs::write(&elsewhere, "untouched").unwrap();
        let out = folder.path().join("t");
        std::os::unix::fs::symlink(&elsewhere, &out).unwrap();
        write(&out, "a.b.c").unwrap();
        assert_eq!(fs::read(&elsewhere).unwrap(), b"untouched");
        assert!(fs::symlink_metadata(&out).unwrap().is_file());
    }

    #[test]
    fn what_cannot_be_written_is_said_before_anybody_is_asked() {
        let folder = Folder::new("output-check");
        assert!(check(&folder.path().join("t")).is_ok() && check(Path::new("t")).is_ok());
        assert!(check(folder.path()).is_err());
        assert!(check(&folder.path().join("absent/t")).unwrap_err().what.contains("is not a folder"));
        assert!(check(Path::new("..")).is_err());
    }
}

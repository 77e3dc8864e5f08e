//! The folder of rules files, as typed.
//! In: a folder. Out: the name and text of each `*.toml`, sorted by name.
//! Implements DESIGN §4 (files by name).
//! Never parses a rule, never follows into sub-folders, never skips a file that it cannot read.

use std::path::Path;

use super::fault::{ConfigError, Fault, Origin};
use super::permissions;
use crate::domain::rules::MAX_RULES_FILE;

/// Most rules files.
pub const MAX_RULES_FILES: usize = 10_000;

/// Reads the folder: name and text of each `*.toml`, sorted by name. Hidden files are left out.
///
/// # Errors
/// Every file that cannot be read, is not UTF-8 or is larger than `MAX_RULES_FILE`; a folder that is not there.
pub fn read(folder: &Path) -> Result<Vec<(String, String)>, ConfigError> {
    let place = Origin::File(folder.display().to_string());
    let unreadable = |error: std::io::Error| {
        ConfigError::one(
            place.clone(),
            format!("the folder of rules cannot be read: {error}"),
            "make the folder, or set `rules` to the one that holds the rules",
        )
    };
    if let Some(open) = permissions::trusted(folder) {
        return Err(ConfigError::new(vec![open]));
    }
    let mut names = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(unreadable)? {
        let path = entry.map_err(unreadable)?.path();
        let Some(name) = path.file_name() else { continue };
        let shown = name.to_string_lossy().into_owned();
        if shown.starts_with('.') || path.extension().is_none_or(|extension| extension != "toml") {
            continue;
        }
        names.push((shown, path));
    }
    if names.len() > MAX_RULES_FILES {
        return Err(ConfigError::one(
            place,
            format!("{} rules files; {MAX_RULES_FILES} is the most", names.len()),
            "put several rules into one file",
        ));
    }
    names.sort();
    let mut texts = Vec::with_capacity(names.len());
    let mut faults = Vec::new();
    for (name, path) in names {
        if let Some(open) = permissions::trusted(&path) {
            faults.push(open);
            continue;
        }
        let read = super::read_limited(&path, MAX_RULES_FILE)
            .and_then(|bytes| String::from_utf8(bytes).map_err(|_| "the file is not UTF-8".to_owned()));
        match read {
            Ok(text) => texts.push((name, text)),
            Err(what) => faults.push(Fault {
                origin: Origin::File(path.display().to_string()),
                what,
                cure: "mend the file, or move it out of the folder".to_owned(),
            }),
        }
    }
    if faults.is_empty() { Ok(texts) } else { Err(ConfigError::new(faults)) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::tests::Folder;

    #[test]
    fn files_come_sorted_by_name_and_nothing_else_comes() {
        let folder = Folder::new("rules-sorted");
        for (name, text) in
            [("20-b.toml", "b"), ("10-a.toml", "a"), (".hidden.toml", "x"), ("notes.md", "x"), ("old.toml~", "x")]
        {
            folder.write(name, text);
        }
        let read = read(folder.path()).unwrap();
        assert_eq!(read, [("10-a.toml".to_owned(), "a".to_owned()), ("20-b.toml".to_owned(), "b".to_owned())]);
    }

    #[test]
    fn attack_096_a_file_that_others_may_write_fails_the_folder() {
        use std::os::unix::fs::PermissionsExt as _;

        let folder = Folder::new("rules-open");
        let path = folder.write("a.toml", "fine");
        for (mode, faults) in [(0o644, 0), (0o600, 0), (0o664, 1), (0o666, 1)] {
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
            let found = read(folder.path()).map_or_else(|error| error.faults.len(), |_| 0);
            assert_eq!(found, faults, "{mode:o}");
        }
    }

    #[test]
    fn one_bad_file_fails_the_folder_with_every_fault() {
        let folder = Folder::new("rules-bad");
        folder.write("a.toml", "fine");
        folder.write("b.toml", &"#".repeat(MAX_RULES_FILE + 1));
        std::fs::write(folder.path().join("c.toml"), [0xff, 0xfe]).unwrap();
        let error = read(folder.path()).unwrap_err();
        assert_eq!(error.faults.len(), 2);
        assert!(error.faults[0].what.contains("at most 1048576"), "{}", error.faults[0]);
        assert!(error.faults[1].what.contains("UTF-8"));
        assert!(read(&folder.path().join("absent")).unwrap_err().to_string().contains("cannot be read"));
    }
}

//! What `init` has made so far.
//! In: paths, as they are made. Out: nothing; where it is dropped before `keep`, they are gone again.
//! Implements DESIGN §12 (`init` leaves nothing behind where it fails).
//! Never removes what was there before, nor a folder that holds anything else.

use std::fs::{self, DirBuilder};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use crate::cli::not_opened::OpenError;

/// Files and folders, in the order in which they were made.
#[derive(Debug, Default)]
pub struct Made(Vec<PathBuf>);

impl Made {
    /// Makes a folder and those above it, where they are not there.
    pub fn folder(&mut self, path: &Path, mode: u32) -> Result<(), OpenError> {
        if path.as_os_str().is_empty() || path.is_dir() {
            return Ok(());
        }
        if let Some(above) = path.parent() {
            self.folder(above, 0o755)?;
        }
        let made = DirBuilder::new().mode(mode).create(path);
        made.map_err(|source| OpenError::Folder { path: path.display().to_string(), source })?;
        self.file(path);
        Ok(())
    }

    /// Remembers what was made elsewhere.
    pub fn file(&mut self, path: &Path) {
        self.0.push(path.to_owned());
    }

    /// All of it stays.
    pub fn keep(mut self) {
        self.0.clear();
    }
}

impl Drop for Made {
    fn drop(&mut self) {
        for path in self.0.iter().rev() {
            // What cannot be removed is said by the next `init`, which finds it in the way.
            let _ = if path.is_dir() { fs::remove_dir(path) } else { fs::remove_file(path) };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_made_goes_again_and_what_was_there_stays() {
        let root = std::env::temp_dir().join(format!("countersign-made-{}", std::process::id()));
        let _ = fs::remove_dir_all(&root);
        fs::create_dir_all(root.join("there")).unwrap();
        let mut made = Made::default();
        made.folder(&root.join("there/a/b"), 0o700).unwrap();
        fs::write(root.join("there/a/b/file"), "x").unwrap();
        made.file(&root.join("there/a/b/file"));
        drop(made);
        assert!(root.join("there").is_dir() && !root.join("there/a").exists());
        let mut made = Made::default();
        made.folder(&root.join("there/a"), 0o700).unwrap();
        fs::write(root.join("there/a/other"), "x").unwrap();
        drop(made);
        assert!(root.join("there/a/other").is_file(), "a folder that holds something else stays");
        let mut made = Made::default();
        made.folder(&root.join("kept"), 0o700).unwrap();
        made.keep();
        assert!(root.join("kept").is_dir());
        fs::remove_dir_all(&root).unwrap();
    }
}

//! Who else may write or read the files that the server trusts.
//! In: paths. Out: a fault for each that is too open, with the mode that it needs.
//! Implements DESIGN §9 (mode 0600) for what is on the disk already; what is not there yet is no fault here.
//! Never changes a mode.

use std::fs::Metadata;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use super::fault::{Fault, Origin};

/// A file that nobody but its owner may read or write.
#[must_use]
pub fn secret(path: &Path) -> Option<Fault> {
    let found = std::fs::metadata(path).ok()?;
    if !found.is_file() {
        return Some(fault(path, "is not a file", "name a file".to_owned()));
    }
    if mode(&found) & 0o077 != 0 {
        return Some(too_open(path, &found, "0600"));
    }
    reachable_by_others(path)
}

/// A file or folder that others may read but not write.
#[must_use]
pub fn trusted(path: &Path) -> Option<Fault> {
    let found = std::fs::metadata(path).ok()?;
    if mode(&found) & 0o022 != 0 {
        return Some(too_open(path, &found, if found.is_dir() { "0755" } else { "0644" }));
    }
    reachable_by_others(path)
}

/// A folder that nobody but its owner may enter.
#[must_use]
pub fn private_folder(path: &Path) -> Option<Fault> {
    let found = std::fs::metadata(path).ok()?;
    if !found.is_dir() {
        return Some(fault(path, "is not a folder", "name a folder".to_owned()));
    }
    (mode(&found) & 0o077 != 0).then(|| too_open(path, &found, "0700"))
}

/// A folder that everybody may write to lets everybody swap the file, or the link that leads to it.
fn reachable_by_others(path: &Path) -> Option<Fault> {
    let real = std::fs::canonicalize(path).ok()?;
    let folder = real.parent()?;
    let found = std::fs::metadata(folder).ok()?;
    let everybody = mode(&found) & 0o002 != 0;
    let sticky = mode(&found) & 0o1000 != 0;
    let link = std::fs::symlink_metadata(path).ok()?.file_type().is_symlink();
    let what = format!("lies in `{}`, where everybody may write", folder.display());
    (everybody && (!sticky || link)).then(|| fault(path, &what, "move it to a folder of its own".to_owned()))
}

fn mode(found: &Metadata) -> u32 {
    found.permissions().mode() & 0o7777
}

fn too_open(path: &Path, found: &Metadata, needed: &str) -> Fault {
    let what = format!(
        "has mode {:04o}, others could {}",
        mode(found),
        if needed == "0755" || needed == "0644" { "change it" } else { "read it" }
    );
    fault(path, &what, format!("chmod {needed} {}", path.display()))
}

fn fault(path: &Path, what: &str, cure: String) -> Fault {
    Fault { origin: Origin::File(path.display().to_string()), what: what.to_owned(), cure }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::tests::Folder;

    fn with_mode(folder: &Folder, name: &str, mode: u32) -> std::path::PathBuf {
        let path = folder.write(name, "x");
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
        path
    }

    #[test]
    fn attack_096_open_key_and_config_files_are_refused_with_path_and_mode() {
        let folder = Folder::new("modes");
        assert_eq!(secret(&with_mode(&folder, "good", 0o600)), None);
        assert_eq!(secret(&with_mode(&folder, "better", 0o400)), None);
        for open in [0o644, 0o640, 0o660, 0o602] {
            let fault = secret(&with_mode(&folder, "key", open)).unwrap();
            assert!(fault.to_string().contains("/key: has mode") && fault.cure.starts_with("chmod 0600 "), "{fault}");
        }
        assert_eq!(trusted(&with_mode(&folder, "config", 0o644)), None);
        assert!(trusted(&with_mode(&folder, "config", 0o664)).is_some());
        assert!(trusted(&with_mode(&folder, "config", 0o646)).is_some());
        assert_eq!(secret(&folder.path().join("absent")), None);
    }

    #[test]
    fn attack_096_an_open_state_directory_and_a_key_behind_a_link_into_one_are_refused() {
        let folder = Folder::new("open-folder");
        let open = folder.path().join("open");
        std::fs::create_dir(&open).unwrap();
        std::fs::set_permissions(&open, std::fs::Permissions::from_mode(0o777)).unwrap();
        assert!(private_folder(&open).unwrap().cure.starts_with("chmod 0700"));
        std::fs::write(open.join("key"), "x").unwrap();
        std::fs::set_permissions(open.join("key"), std::fs::Permissions::from_mode(0o600)).unwrap();
        std::os::unix::fs::symlink(open.join("key"), folder.path().join("link")).unwrap();
        assert!(secret(&folder.path().join("link")).unwrap().what.contains("everybody may write"));
        std::fs::set_permissions(&open, std::fs::Permissions::from_mode(0o1777)).unwrap();
        assert!(secret(&folder.path().join("link")).is_some(), "a link into a shared folder, sticky or not");
    }
}

//! Files that hold secrets: who may read them, where they lie, how they are written.
//! In: paths and bytes. Out: the bytes, or an error that names the path and the mode it needs.
//! Implements DESIGN §9's rule of modes 0600 and 0700.
//! Never mends a mode by itself and never makes a file that was only to be read.

use std::fs::{self, DirBuilder, File, OpenOptions, Permissions};
use std::io::{Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use data_encoding::HEXLOWER;
use zeroize::Zeroizing;

use super::{CryptoError, random};

/// Largest secret file that is read, in bytes.
pub const MAX_SECRET_FILE: u64 = 64 * 1024;
/// Mode of every file made here, unless its maker says otherwise.
pub const FILE_MODE: u32 = 0o600;
/// Mode of a file that everybody may read.
const PUBLIC_MODE: u32 = 0o644;
/// What the group and everybody else may do.
const OTHERS: u32 = 0o077;
/// Mode of every directory made here.
pub const DIR_MODE: u32 = 0o700;

/// Reads a file that only its owner may read.
///
/// # Errors
/// A file that others may read or write, that belongs to somebody else, that is not a file, that is too large, or
/// that a symbolic link finds in a directory where everybody may write.
pub fn read_secret(path: &Path) -> Result<Vec<u8>, CryptoError> {
    let link = fs::symlink_metadata(path).map_err(|e| unreadable(path, &e))?;
    check_owner(path, &link)?;
    if link.file_type().is_symlink() {
        check_link_target(path)?;
    }
    let named = fs::metadata(path).map_err(|e| unreadable(path, &e))?;
    // Opening a pipe would wait for its other end.
    if !named.is_file() {
        return Err(CryptoError::file(path, "is not a file", "name a regular file of mode 0600"));
    }
    // From here on the open file is judged, not its name: the name may come to mean another file.
    let mut file = File::open(path).map_err(|e| unreadable(path, &e))?;
    let meta = file.metadata().map_err(|e| unreadable(path, &e))?;
    check_owner(path, &meta)?;
    check_mode(path, &meta, FILE_MODE, "chmod 0600")?;
    if meta.len() > MAX_SECRET_FILE {
        return Err(CryptoError::file(path, "is too large for a key", "check that it is the right file"));
    }
    let mut bytes = Vec::new();
    (&mut file).take(MAX_SECRET_FILE).read_to_end(&mut bytes).map_err(|e| unreadable(path, &e))?;
    Ok(bytes)
}

/// As `read_secret`, for text on one line; the line's end is left out.
pub(super) fn read_secret_line(path: &Path) -> Result<Zeroizing<String>, CryptoError> {
    let bytes = Zeroizing::new(read_secret(path)?);
    let text = std::str::from_utf8(&bytes)
        .map_err(|_| CryptoError::file(path, "is not text", "check that it is the right file"))?;
    let line = text.strip_suffix('\n').unwrap_or(text);
    Ok(Zeroizing::new(line.to_owned()))
}

/// Makes a new file of mode 0600 and makes it durable; an existing one is left alone.
///
/// # Errors
/// A file that exists already, or that cannot be written.
pub fn create_secret(path: &Path, bytes: &[u8]) -> Result<(), CryptoError> {
    create(path, bytes, FILE_MODE)
}

/// As `create_secret`, for what everybody may read: mode 0644.
///
/// # Errors
/// A file that exists already, or that cannot be written.
pub fn create_public(path: &Path, bytes: &[u8]) -> Result<(), CryptoError> {
    create(path, bytes, PUBLIC_MODE)
}

fn create(path: &Path, bytes: &[u8], mode: u32) -> Result<(), CryptoError> {
    let mut file = create_new(path, mode)?;
    let written = file.write_all(bytes).and_then(|()| file.sync_all());
    if let Err(error) = written {
        // Half a key is worse than none: the next attempt must not find it.
        let _ = fs::remove_file(path);
        return Err(unwritable(path, &error));
    }
    sync_parent(path)
}

/// Makes a directory (and those above it) of mode 0700; an existing one must be private already.
///
/// # Errors
/// A directory that cannot be made, or that others may enter.
pub fn create_dir_private(path: &Path) -> Result<(), CryptoError> {
    if !path.is_dir() {
        DirBuilder::new()
            .recursive(true)
            .mode(DIR_MODE)
            .create(path)
            .map_err(|e| CryptoError::file(path, format!("cannot be made ({e})"), "make it by hand with mode 0700"))?;
    }
    check_dir(path)
}

/// Checks that a directory is ours and closed to others.
///
/// # Errors
/// Anything else, with the mode that it needs.
pub fn check_dir(path: &Path) -> Result<(), CryptoError> {
    let meta = fs::metadata(path)
        .map_err(|e| CryptoError::file(path, format!("cannot be read ({e})"), "make the directory with mode 0700"))?;
    if !meta.is_dir() {
        return Err(CryptoError::file(path, "is not a directory", "name a directory of mode 0700"));
    }
    check_owner(path, &meta)?;
    check_mode(path, &meta, DIR_MODE, "chmod 0700")
}

/// Checks that a file is ours and closed to others; one that is not there is no fault here.
///
/// # Errors
/// Anything else, with the mode that it needs.
pub fn check_file(path: &Path) -> Result<(), CryptoError> {
    let meta = match fs::metadata(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        found => found.map_err(|e| unreadable(path, &e))?,
    };
    check_owner(path, &meta)?;
    check_mode(path, &meta, FILE_MODE, "chmod 0600")
}

/// Reads a file that others may read too, where there is one; what is longer than `limit` bytes is cut off behind one more.
///
/// # Errors
/// A file that is there and cannot be read.
pub fn read_if_there(path: &Path, limit: usize) -> Result<Option<Vec<u8>>, CryptoError> {
    let failed = |error: std::io::Error| {
        CryptoError::file(path, format!("cannot be read ({error})"), "let the server's own user read it")
    };
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(failed(error)),
    };
    let mut bytes = Vec::new();
    let most = u64::try_from(limit).unwrap_or(u64::MAX).saturating_add(1);
    file.take(most).read_to_end(&mut bytes).map_err(failed)?;
    Ok(Some(bytes))
}

/// Replaces a file in one step: after a crash there is the old content or the new, never a part.
///
/// # Errors
/// A file that cannot be written or moved; the old one is then as it was.
pub fn write_atomically(path: &Path, bytes: &[u8], mode: u32) -> Result<(), CryptoError> {
    let name = path
        .file_name()
        .ok_or_else(|| CryptoError::file(path, "is not the name of a file", "name a file in a directory"))?;
    let mut temporary = std::ffi::OsString::from(".");
    temporary.push(name);
    temporary.push(format!(".{}", HEXLOWER.encode(&random::bytes::<8>()?)));
    let temporary = parent(path).join(temporary);
    let mut file = create_new(&temporary, mode)?;
    let done = file
        .write_all(bytes)
        .and_then(|()| file.set_permissions(Permissions::from_mode(mode)))
        .and_then(|()| file.sync_all())
        .and_then(|()| fs::rename(&temporary, path));
    if let Err(error) = done {
        let _ = fs::remove_file(&temporary);
        return Err(unwritable(path, &error));
    }
    sync_parent(path)
}

pub(super) fn create_new(path: &Path, mode: u32) -> Result<File, CryptoError> {
    OpenOptions::new().read(true).write(true).create_new(true).mode(mode).open(path).map_err(|error| {
        if error.kind() == std::io::ErrorKind::AlreadyExists {
            CryptoError::file(
                path,
                "exists already",
                "nothing was changed; move it away if it is really to be replaced",
            )
        } else {
            unwritable(path, &error)
        }
    })
}

pub(super) fn sync_parent(path: &Path) -> Result<(), CryptoError> {
    File::open(parent(path)).and_then(|dir| dir.sync_all()).map_err(|e| unwritable(path, &e))
}

fn parent(path: &Path) -> PathBuf {
    match path.parent() {
        Some(dir) if !dir.as_os_str().is_empty() => dir.to_owned(),
        _ => PathBuf::from("."),
    }
}

fn check_link_target(path: &Path) -> Result<(), CryptoError> {
    let target = fs::canonicalize(path).map_err(|e| unreadable(path, &e))?;
    let dir = parent(&target);
    let meta = fs::metadata(&dir).map_err(|e| unreadable(path, &e))?;
    if meta.mode() & 0o002 == 0 {
        return Ok(());
    }
    let problem = format!("is a link into `{}`, where everybody may write", dir.display());
    Err(CryptoError::file(path, problem, "keep the file in a directory of mode 0700"))
}

pub(super) fn check_mode(path: &Path, meta: &fs::Metadata, mode: u32, cure: &str) -> Result<(), CryptoError> {
    let has = meta.mode() & 0o7777;
    if has & OTHERS == 0 {
        return Ok(());
    }
    let problem = format!("has mode {has:04o}, so others may use it");
    Err(CryptoError::file(path, problem, format!("it needs mode {mode:04o} or stricter: {cure} {}", path.display())))
}

fn check_owner(path: &Path, meta: &fs::Metadata) -> Result<(), CryptoError> {
    let Some(us) = own_uid() else {
        return Err(CryptoError::file(path, "has an owner that cannot be compared", "mount /proc"));
    };
    // Root could do anything anyway, and secrets that an orchestrator mounts belong to it.
    if meta.uid() == us || meta.uid() == 0 {
        return Ok(());
    }
    let problem = format!("belongs to user {}, the server runs as user {us}", meta.uid());
    Err(CryptoError::file(path, problem, format!("it needs mode 0600 and the server as its owner: chown {us}")))
}

/// The user that this process acts as. Without unsafe code there is no system call for it; its entry in `/proc`
/// belongs to that user, and so does a file that it makes.
fn own_uid() -> Option<u32> {
    if let Ok(meta) = fs::metadata("/proc/self") {
        return Some(meta.uid());
    }
    let probe = std::env::temp_dir().join(format!(".countersign-{}", HEXLOWER.encode(&random::bytes::<8>().ok()?)));
    let uid = create_new(&probe, FILE_MODE).ok()?.metadata().ok().map(|meta| meta.uid());
    let _ = fs::remove_file(&probe);
    uid
}

fn unreadable(path: &Path, error: &std::io::Error) -> CryptoError {
    let cure = if error.kind() == std::io::ErrorKind::NotFound {
        "put back the file that belongs to this state, or make a new state with `countersign init`"
    } else {
        "it needs mode 0600 and the server as its owner"
    };
    CryptoError::file(path, format!("cannot be read ({error})"), cure)
}

fn unwritable(path: &Path, error: &std::io::Error) -> CryptoError {
    CryptoError::file(path, format!("cannot be written ({error})"), "check its directory's owner and free space")
}

#[cfg(test)]
mod tests;

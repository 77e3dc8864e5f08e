//! `[keys]`: where master key, log key and high-water mark lie, and when signing keys change.
//! In: what was typed. Out: `KeySettings`, the mark's path.
//! Implements DESIGN §7 (where the mark is), §9.
//! Never reads a key.

use std::path::PathBuf;

use super::checking::Checking;
use super::sections::KeysSource;
use super::settings::{KeySettings, MasterKeySource};
use crate::domain::keys::{self, Terms};
use crate::domain::time::humane;

impl Checking<'_> {
    pub(super) fn keys(&mut self, typed: &KeysSource) -> Option<KeySettings> {
        let terms = self.key_terms(typed);
        let master = match (&typed.master_key_file, &typed.master_key_command) {
            (Some(file), None) => Some(MasterKeySource::File(self.resolve(file))),
            (None, Some(command)) if !command.trim().is_empty() => Some(MasterKeySource::Command(command.clone())),
            (None, Some(_)) => {
                self.fault(
                    "keys.master_key_command",
                    "`keys.master_key_command` is empty",
                    "write the command that prints the key",
                );
                None
            }
            (Some(_), Some(_)) => {
                self.fault("keys.master_key_command", "`master_key_file` is set too", "keep one of the two");
                None
            }
            (None, None) => {
                self.fault(
                    "keys",
                    "no master key",
                    "set `keys.master_key_file` or `keys.master_key_command` (`countersign init` makes the file)",
                );
                None
            }
        };
        let Some(log_key_file) = &typed.log_key_file else {
            self.fault(
                "keys.log_key_file",
                "no log key",
                "set `keys.log_key_file` (`countersign init` makes the file)",
            );
            return None;
        };
        Some(KeySettings { master: master?, log_key_file: self.resolve(log_key_file), terms })
    }

    /// When signing keys change: a key is published for half of the time that one signs, at most.
    fn key_terms(&mut self, typed: &KeysSource) -> Terms {
        let every = (keys::ROTATE_EVERY, keys::ROTATE_EVERY_LEAST, keys::ROTATE_EVERY_MOST);
        let before = (keys::PUBLISH_BEFORE, keys::PUBLISH_BEFORE_LEAST, keys::PUBLISH_BEFORE_MOST);
        let rotate_every = self.duration("keys.rotate_every", typed.rotate_every.as_deref(), every);
        let publish_before = self.duration("keys.publish_before", typed.publish_before.as_deref(), before);
        if publish_before * 2 > rotate_every {
            self.fault(
                "keys.publish_before",
                format!(
                    "`keys.publish_before` ({}) is more than half of `keys.rotate_every` ({})",
                    humane(publish_before),
                    humane(rotate_every)
                ),
                "publish for a shorter time, or rotate less often",
            );
        }
        Terms { rotate_every, publish_before }
    }

    /// Where the mark is when nothing says so: beside the master key, which a database put back alone does not touch.
    pub(super) fn high_water_mark(&mut self, typed: Option<&str>, keys: Option<&KeySettings>) -> Option<PathBuf> {
        if let Some(typed) = typed {
            return Some(self.resolve(typed));
        }
        match &keys?.master {
            MasterKeySource::File(file) => Some(file.with_file_name("high-water-mark")),
            MasterKeySource::Command(_) => {
                let cure = "set `log.high_water_mark` to a file that is not in the database's backups";
                self.fault(
                    "keys.master_key_command",
                    "a command supplies the master key, and `log.high_water_mark` is missing",
                    cure,
                );
                None
            }
        }
    }
}

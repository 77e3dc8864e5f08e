//! What the list and a person's page show alike: changes that wait, roles, passkeys in words.
//! In: rows. Out: values for templates.
//! Implements SCREENS (Admin: People).
//! Never claims more of a passkey than its assurance says.

use std::collections::BTreeMap;

use crate::app::list_people::{ChangeLine, PersonLine};
use crate::app::show_people::SeenKey;
use crate::domain::people::Role;
use crate::domain::time::Timestamp;
use crate::http::me::passkeys_view::strength;
use crate::http::page::{Moment, Visible, visible};

/// A change that waits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChangeItem {
    /// Its link id.
    pub id: String,
    /// What, as an instruction with a capital.
    pub words: Visible,
    /// Signatures that count.
    pub signed: u32,
    /// Signatures with which it takes effect at once.
    pub needed: u32,
    /// When it takes effect by itself, where it does.
    pub from: Option<Moment>,
    /// Until when it may be signed.
    pub sign_by: Moment,
}

impl ChangeItem {
    /// A change as pages list it.
    #[must_use]
    pub fn new(line: &ChangeLine, now: Timestamp) -> Self {
        let mut letters = line.words.chars();
        let words: String = letters.next().into_iter().flat_map(char::to_uppercase).chain(letters).collect();
        Self {
            id: line.change.to_string(),
            words: visible(&words),
            signed: line.signed,
            needed: line.needed,
            from: line.effective.map(|at| Moment::new(at, now)),
            sign_by: Moment::new(line.sign_by, now),
        }
    }
}

/// A role with a capital.
#[must_use]
pub const fn role_word(line: &PersonLine) -> &'static str {
    match line.role {
        Role::Member => "Member",
        Role::Auditor => "Auditor",
        Role::Admin => "Admin",
    }
}

/// A role as a choice: its word for forms, and what it is.
#[must_use]
pub const fn role_choice(role: Role) -> (&'static str, &'static str) {
    let words = match role {
        Role::Member => "Member: signs what groups allow",
        Role::Auditor => "Auditor: looks, and signs nothing",
        Role::Admin => "Admin: signs changes too",
    };
    (role.as_str(), words)
}

/// `2 passkeys · Hardware key, proven · Synced passkey`.
#[must_use]
pub fn keys_in_words(keys: &[SeenKey]) -> String {
    let mut kinds: BTreeMap<String, usize> = BTreeMap::new();
    for one in keys.iter().filter(|one| one.key.row.suspended.is_none()) {
        *kinds.entry(strength(&one.key.assurance)).or_default() += 1;
    }
    let words: Vec<_> = kinds
        .iter()
        .map(|(kind, count)| if *count == 1 { kind.clone() } else { format!("{kind} ({count})") })
        .collect();
    match kinds.values().sum::<usize>() {
        0 => "No passkey".to_owned(),
        1 => format!("1 passkey · {}", words.join(" · ")),
        many => format!("{many} passkeys · {}", words.join(" · ")),
    }
}

//! The view of `/me/passkeys`: each passkey, what it can prove and why not more, and the sessions.
//! In: rows, judged. Out: `PasskeysView`, a template.
//! Implements the screen of `/me/passkeys`.
//! Never claims more than the assurance says.

use askama::Template;
use data_encoding::BASE64URL_NOPAD;

use crate::app::keep_passkeys::OwnPasskey;
use crate::app::use_session::SignedIn;
use crate::domain::assurance::{Assurance, Reason};
use crate::domain::time::{FRESH_SIGN_IN, Timestamp};
use crate::http::page::{Moment, Visible, visible};

/// What the page is made from.
pub struct PasskeysInput<'a> {
    /// Our host.
    pub host: &'a str,
    /// The RP id that passkeys are for.
    pub rp_id: &'a str,
    /// Who looks.
    pub me: &'a SignedIn,
    /// Their passkeys.
    pub passkeys: &'a [OwnPasskey],
    /// Their sessions, each with the names of the applications that are signed in to in it.
    pub sessions: &'a [(Vec<String>, SignedIn)],
}

/// One passkey.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PasskeyItem {
    id: i64,
    credential: String,
    name: Visible,
    strength: String,
    last_used: Option<Moment>,
    added: Moment,
    ended: Option<&'static str>,
    approves_from: Option<Moment>,
    amr: String,
    acr: &'static str,
    missing: Vec<String>,
}

/// One session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SessionItem {
    entry: u64,
    this: bool,
    device: Visible,
    passkey: Visible,
    started: Moment,
    last_used: Moment,
    ends: Moment,
    applications: Vec<Visible>,
}

/// The page.
#[derive(Debug, Clone, PartialEq, Eq, Template)]
#[template(path = "me/passkeys.html")]
pub struct PasskeysView {
    host: String,
    now: String,
    here: &'static str,
    sees_admin: bool,
    name: Visible,
    fresh_until: String,
    rp_id: String,
    user_id: String,
    passkeys: Vec<PasskeyItem>,
    only_one: bool,
    sessions: Vec<SessionItem>,
}

/// How strong a passkey is, in words.
#[must_use]
pub fn strength(assurance: &Assurance) -> String {
    match assurance.amr_missing.get("hwk").map(String::as_str) {
        None => "Hardware key, proven".to_owned(),
        Some("backup_eligible") => "Synced passkey".to_owned(),
        Some(word) => format!("Unproven: {}", word.replace('_', " ")),
    }
}

/// Why a value is absent, in words.
pub fn because(reason: &str) -> String {
    Reason::sentence(reason).map_or_else(|| reason.replace('_', " "), str::to_owned)
}

fn ended(why: Option<&'static str>) -> &'static str {
    match why {
        Some("copied") => "It may have been copied: its counter went back.",
        Some("reported") => "You reported it.",
        _ => "An admin suspended it.",
    }
}

fn passkey(own: &OwnPasskey, now: Timestamp) -> PasskeyItem {
    let OwnPasskey { row, assurance } = own;
    let missing = assurance.amr_missing.iter().map(|(value, reason)| format!("not {value}: {}", because(reason)));
    PasskeyItem {
        id: row.id,
        credential: BASE64URL_NOPAD.encode(&row.credential_id),
        name: visible(&row.name),
        strength: strength(assurance),
        last_used: row.last_used.map(|at| Moment::new(at, now)),
        added: Moment::new(row.added, now),
        ended: row.suspended.map(|_| ended(row.suspended_why.map(|why| why.as_str()))),
        approves_from: (row.suspended.is_none() && row.approves_from() > now)
            .then(|| Moment::new(row.approves_from(), now)),
        amr: assurance.amr.iter().cloned().collect::<Vec<_>>().join(" "),
        acr: assurance.acr.as_str(),
        missing: missing.collect(),
    }
}

/// The view of one's own passkeys and sessions.
#[must_use]
pub fn passkeys_view(input: &PasskeysInput<'_>) -> PasskeysView {
    let PasskeysInput { host, rp_id, me, passkeys, sessions } = input;
    let now = me.now;
    let session = |(applications, one): &(Vec<String>, SignedIn)| SessionItem {
        applications: applications.iter().map(|name| visible(name)).collect(),
        entry: one.session.entry,
        this: one.session.entry == me.session.entry,
        device: visible(&one.session.device),
        passkey: visible(&one.passkey.name),
        started: Moment::new(one.session.times.started, now),
        last_used: Moment::new(one.session.times.last_used, now),
        ends: Moment::new(one.session.times.ends, now),
    };
    PasskeysView {
        host: (*host).to_owned(),
        now: now.to_string(),
        here: "passkeys",
        sees_admin: me.sees_administration(),
        name: visible(&me.person.name),
        fresh_until: (me.session.times.started + FRESH_SIGN_IN).to_string(),
        rp_id: (*rp_id).to_owned(),
        user_id: BASE64URL_NOPAD.encode(&me.person.user_handle),
        passkeys: passkeys.iter().map(|own| passkey(own, now)).collect(),
        only_one: passkeys.iter().filter(|own| own.row.suspended.is_none()).count() < 2,
        sessions: sessions.iter().map(session).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::assurance::evidence::{Attestation, Evidence};
    use crate::domain::assurance::{AuthenticatorFacts, assess};

    #[test]
    fn strength_is_what_the_assurance_says() {
        let judged = |backup_eligible, attestation: &Attestation| {
            let facts = AuthenticatorFacts { backup_eligible, backup_state: false, counter: 0 };
            let (standing, admitted) = Default::default();
            let evidence =
                Evidence { facts, registered: facts, attestation, standing, trust_unattested_uv: false, admitted };
            assess(&evidence, Timestamp::from_seconds(1))
        };
        assert_eq!(strength(&judged(true, &Attestation::None)), "Synced passkey");
        assert_eq!(strength(&judged(false, &Attestation::None)), "Unproven: no attestation");
        assert_eq!(strength(&judged(false, &Attestation::SelfAttested)), "Unproven: self attestation");
        let mut hardware = judged(false, &Attestation::None);
        hardware.amr_missing.remove("hwk");
        assert_eq!(strength(&hardware), "Hardware key, proven");
        assert_eq!(because("no_attestation"), "the key sent no attestation");
        assert_eq!(because("a_new_reason"), "a new reason");
    }
}

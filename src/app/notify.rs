//! Tells people that something waits for them: a request, a change, a recovery.
//! In: what was recorded. Out: notices, in the form that chats take.
//! Implements DESIGN §11 (everybody is told), Standard Webhooks 1.0 (the body).
//! Never sends a link that does anything by itself, a code, or a secret; never holds anybody up.

use std::sync::OnceLock;

use serde_json::json;

use crate::domain::change::Change;
use crate::domain::ids::PersonId;
use crate::domain::request::standing::Mark;
use crate::domain::time::Timestamp;
use crate::outbound::{Lane, Notice, Outbound};
use crate::store::people::PersonRow;
use crate::store::requests::RequestRow;

use super::gather::{Gathered, Gathering, Place};
use super::known::approval_terms;
use super::push_requests::{Desk, PushJob};
use super::rotate_keys::Rotated;
use super::{AppError, Countersign};

/// What a notice is about, as its `type` spells it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    RequestWaits,
    RequestsWait,
    ChangeWaits,
    ChangeDelayed,
    ChangeDone,
    PasskeyAdded,
    PasskeyCopied,
    PasskeyReported,
    RecoveryOnConsole,
    KeysRevoked,
}

impl Kind {
    const fn as_str(self) -> &'static str {
        match self {
            Self::RequestWaits => "request.waits",
            Self::RequestsWait => "requests.wait",
            Self::ChangeWaits => "change.waits",
            Self::ChangeDelayed => "change.delayed",
            Self::ChangeDone => "change.done",
            Self::PasskeyAdded => "passkey.added",
            Self::PasskeyCopied => "passkey.copied",
            Self::PasskeyReported => "passkey.reported",
            Self::RecoveryOnConsole => "recovery.console",
            Self::KeysRevoked => "keys.revoked",
        }
    }

    const fn lane(self) -> Lane {
        match self {
            Self::RequestWaits | Self::RequestsWait => Lane::Waiting,
            Self::PasskeyAdded => Lane::Own,
            _ => Lane::Security,
        }
    }
}

/// By which ways people are told, and what waits to be told.
#[derive(Default)]
pub(super) struct Telling {
    outbound: OnceLock<Outbound>,
    gathering: Gathering,
    pub(super) desk: OnceLock<Desk>,
}

impl Countersign {
    /// Has notices sent from here on; the first word counts.
    pub fn send_through(&self, outbound: Outbound) {
        let _ = self.telling.outbound.set(outbound);
    }

    /// Whether anybody is told anything from here.
    pub fn tells_anybody(&self) -> bool {
        self.telling.outbound.get().is_some() || self.telling.desk.get().is_some()
    }

    /// A request waits for people: told at once, or gathered with others where its project has many.
    pub(super) fn tell_request(&self, row: &RequestRow) {
        if self.tells_anybody() && self.telling.gathering.admit(Place::of(row), &row.request.id, self.clock.monotonic())
        {
            self.tell_one_request(row);
        }
    }

    fn tell_one_request(&self, row: &RequestRow) {
        let request = &row.request;
        self.push(PushJob::Waits(request.id.clone()));
        let place = Place::of(row).words();
        let place = request.job_claim("environment").map_or(place.clone(), |name| format!("{place} · {name}"));
        let groups =
            approval_terms(&row.rule).map(|terms| terms.of.iter().map(ToString::to_string).collect::<Vec<_>>());
        let uri = format!("{}/a/{}", self.settings.url, request.id);
        let text = format!(
            "{place} waits for {} until {}: {uri}",
            groups.unwrap_or_default().join(", "),
            when(request.decide_by)
        );
        self.tell(Kind::RequestWaits, &text, &json!({ "request": request.id, "uri": uri, "until": request.decide_by }));
    }

    /// Tells of the requests that were gathered and still wait, one notice a project.
    ///
    /// # Errors
    /// The store cannot be read; then the next round tells of them.
    pub fn tell_gathered(&self) -> Result<(), AppError> {
        let mut done = Ok(());
        for gathered in self.telling.gathering.due(self.clock.monotonic()) {
            match self.still_waiting(&gathered) {
                Ok((waiting, beyond)) => self.tell_many_requests(&gathered.place, &waiting, beyond),
                Err(error) => {
                    self.telling.gathering.keep(gathered);
                    done = Err(error);
                }
            }
        }
        done
    }

    /// Those of the gathered requests that wait, and how many more there were than are looked at.
    fn still_waiting(&self, gathered: &Gathered) -> Result<(Vec<RequestRow>, usize), AppError> {
        let now = self.clock.now();
        let mut waiting = Vec::new();
        for id in &gathered.held {
            let row = self.store.read(|reader| reader.request(id))?;
            waiting.extend(row.filter(|row| row.mark == Mark::Open && row.request.decide_by > now));
        }
        Ok((waiting, gathered.beyond))
    }

    fn tell_many_requests(&self, place: &Place, waiting: &[RequestRow], beyond: usize) {
        match (waiting, beyond) {
            ([], 0) => {}
            ([one], 0) => self.tell_one_request(one),
            (many, beyond) => {
                let count = many.len() + beyond;
                let uri = format!("{}/", self.settings.url);
                let text = format!("{count} more requests wait for {}: {uri}", place.words());
                let requests: Vec<_> = many.iter().map(|row| row.request.id.clone()).collect();
                self.push(PushJob::Many(place.clone(), requests.clone()));
                self.tell(Kind::RequestsWait, &text, &json!({ "count": count, "uri": uri, "requests": requests }));
            }
        }
    }

    /// A change waits for admins.
    pub(super) fn tell_change(&self, change: &Change) {
        let uri = self.change_link(&change.id);
        let text = format!("Admins are asked to {}, until {}: {uri}", change.words(), when(change.sign_by));
        self.tell(Kind::ChangeWaits, &text, &json!({ "change": change.id, "uri": uri, "until": change.sign_by }));
    }

    /// A change takes effect by itself unless somebody objects.
    pub(super) fn tell_delay(&self, change: &Change, from: Timestamp) {
        let uri = self.change_link(&change.id);
        let text = format!("“{}” takes effect on {} unless somebody refuses: {uri}", change.words(), when(from));
        self.tell(Kind::ChangeDelayed, &text, &json!({ "change": change.id, "uri": uri, "effective": from }));
    }

    /// A change is in effect.
    pub(super) fn tell_done(&self, change: &Change) {
        let uri = self.change_link(&change.id);
        let text = format!("“{}” is in effect: {uri}", change.words());
        self.tell(Kind::ChangeDone, &text, &json!({ "change": change.id, "uri": uri }));
    }

    /// An owner reported a passkey of their own.
    pub(super) fn tell_report(&self, person: &PersonRow, entry: u64) {
        let (name, id) = (&person.name, &person.id);
        let text = format!(
            "{name} reported a passkey of their own (log entry {entry}): it signs nothing any more. Ask them what happened, \
             and look at what it signed"
        );
        self.tell(Kind::PasskeyReported, &text, &json!({ "person": id, "log": entry }));
    }

    /// Somebody made a passkey with a link: whoever knows that it was not them says so.
    pub(super) fn tell_passkey(&self, person: &PersonId, name: &str, entry: u64) {
        let text = format!("{name} made a passkey (log entry {entry}). Not them? countersign people suspend {person}");
        self.tell(Kind::PasskeyAdded, &text, &json!({ "person": person, "log": entry }));
    }

    /// A passkey signed whose counter went back; told as often as it is logged.
    pub(super) fn tell_copy(&self, person: &PersonRow, refused: &AppError) {
        let AppError::Refused { log: Some(entry), .. } = refused else { return };
        let (name, id) = (&person.name, &person.id);
        let text = format!(
            "A passkey of {name} signed whose counter went back: it is the key, or its copy (log entry {entry}). \
             Ask them; countersign people suspend {id}"
        );
        self.tell(Kind::PasskeyCopied, &text, &json!({ "person": id, "log": entry }));
    }

    /// The console let somebody in who lost every passkey.
    pub(super) fn tell_recovery(&self, person: &PersonId, name: &str) {
        let text = format!("The server's console let {name} make a new passkey. Nobody else signed for it.");
        self.tell(Kind::RecoveryOnConsole, &text, &json!({ "person": person }));
    }

    /// The console dropped signing keys in an emergency.
    pub(super) fn tell_revoked(&self, rotated: &Rotated) {
        let kids: Vec<_> = rotated.revoked.iter().map(ToString::to_string).collect();
        let text = format!(
            "The server's console revoked the signing keys {} in an emergency: no token that they signed is to be \
             believed. Let verifiers fetch {}/jwks again",
            kids.join(", "),
            self.settings.url
        );
        let entries: Vec<_> = rotated.keys.iter().map(|key| key.entry).collect();
        self.tell(Kind::KeysRevoked, &text, &json!({ "revoked": rotated.revoked, "log": entries }));
    }

    fn tell(&self, kind: Kind, text: &str, data: &serde_json::Value) {
        let Some(outbound) = self.telling.outbound.get() else { return };
        match self.notice(kind, text, data) {
            Ok(notice) => outbound.tell(&notice),
            Err(error) => tracing::error!(%error, kind = kind.as_str(), "a notice could not be made"),
        }
    }

    fn notice(&self, kind: Kind, text: &str, data: &serde_json::Value) -> Result<Notice, AppError> {
        let id = format!("msg_{}", data_encoding::BASE64URL_NOPAD.encode(&crate::crypto::random::bytes::<16>()?));
        let body = json!({ "type": kind.as_str(), "timestamp": self.clock.now(), "text": escaped(text), "data": data });
        Ok(Notice { id, body: serde_json::to_vec(&body).map_err(AppError::internal)?, lane: kind.lane() })
    }

    /// What went wrong with notices.
    pub(super) fn notice_troubles(&self) -> Vec<String> {
        self.telling.outbound.get().map(Outbound::troubles).unwrap_or_default()
    }
}

fn when(at: Timestamp) -> String {
    format!("{} {} UTC", at.day_month(), at.hour_minute())
}

/// Text that a chat shows as text: no mentions, no links of somebody else's making, one line.
fn escaped(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '&' => shown.push_str("&amp;"),
            '<' => shown.push_str("&lt;"),
            '>' => shown.push_str("&gt;"),
            letter if letter.is_control() => shown.push(' '),
            letter => shown.push(letter),
        }
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chat_takes_names_as_text() {
        assert_eq!(escaped("<!channel> & <https://evil|x>\n"), "&lt;!channel&gt; &amp; &lt;https://evil|x&gt; ");
    }
}

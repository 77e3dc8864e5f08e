//! Tells people that something waits for them: a request, a change, a recovery.
//! In: what was recorded. Out: notices, in the form that chats take.
//! Implements DESIGN §11 (everybody is told), Standard Webhooks 1.0 (the body).
//! Never sends a link that does anything by itself, a code, or a secret; never holds anybody up.

use serde_json::json;

use crate::domain::change::Change;
use crate::domain::ids::PersonId;
use crate::domain::time::Timestamp;
use crate::outbound::{Notice, Outbound};
use crate::store::people::PersonRow;
use crate::store::requests::RequestRow;

use super::known::approval_terms;
use super::{AppError, Countersign};

/// What a notice is about, as its `type` spells it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    RequestWaits,
    ChangeWaits,
    ChangeDelayed,
    PasskeyAdded,
    PasskeyCopied,
    RecoveryOnConsole,
}

impl Kind {
    const fn as_str(self) -> &'static str {
        match self {
            Self::RequestWaits => "request.waits",
            Self::ChangeWaits => "change.waits",
            Self::ChangeDelayed => "change.delayed",
            Self::PasskeyAdded => "passkey.added",
            Self::PasskeyCopied => "passkey.copied",
            Self::RecoveryOnConsole => "recovery.console",
        }
    }
}

impl Countersign {
    /// Has notices sent from here on; the first word counts.
    pub fn send_through(&self, outbound: Outbound) {
        let _ = self.outbound.set(outbound);
    }

    /// A request waits for people.
    pub(super) fn tell_request(&self, row: &RequestRow) {
        let request = &row.request;
        let claim = |name: &str| request.job_claim(name);
        let project = claim("job_project_path").or_else(|| claim("project_path"));
        let place =
            project.map_or_else(|| format!("project {}", claim("job_project_id").unwrap_or("?")), str::to_owned);
        let place = claim("environment").map_or(place.clone(), |environment| format!("{place} · {environment}"));
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

    fn tell(&self, kind: Kind, text: &str, data: &serde_json::Value) {
        let Some(outbound) = self.outbound.get() else { return };
        match self.notice(kind, text, data) {
            Ok(notice) => outbound.tell(&notice),
            Err(error) => tracing::error!(%error, kind = kind.as_str(), "a notice could not be made"),
        }
    }

    fn notice(&self, kind: Kind, text: &str, data: &serde_json::Value) -> Result<Notice, AppError> {
        let id = format!("msg_{}", data_encoding::BASE64URL_NOPAD.encode(&crate::crypto::random::bytes::<16>()?));
        let body = json!({ "type": kind.as_str(), "timestamp": self.clock.now(), "text": escaped(text), "data": data });
        Ok(Notice { id, body: serde_json::to_vec(&body).map_err(AppError::internal)? })
    }

    /// What went wrong with notices.
    pub(super) fn notice_troubles(&self) -> Vec<String> {
        self.outbound.get().map(Outbound::troubles).unwrap_or_default()
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

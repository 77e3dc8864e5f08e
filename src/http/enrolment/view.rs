//! The enrolment page's view: who is invited, by whom, into what; and the page of a dead link.
//! In: an invitation. Out: `EnrolmentView` or `DeadLinkView`, templates.
//! Implements the screens of `/enrol/⟨link⟩`.
//! Never tells for whom a dead link was.

use askama::Template;

use crate::domain::ids::GroupName;
use crate::domain::time::Timestamp;
use crate::http::page::{Moment, Visible, visible};

/// What the page is made from.
pub struct EnrolmentInput<'a> {
    /// Our host, as people see it in the address bar.
    pub host: &'a str,
    /// The invited person's name.
    pub name: &'a str,
    /// Who invited; `None` where it was the console.
    pub invited_by: Option<&'a str>,
    /// The person becomes an admin.
    pub admin: bool,
    /// The groups that the person joins.
    pub groups: &'a [GroupName],
    /// When the link ends.
    pub expires: Timestamp,
    /// What the device policy asks, as a sentence; `None` where every passkey will do.
    pub policy: Option<&'a str>,
    /// The time of this answer.
    pub now: Timestamp,
}

/// The enrolment page, all its steps.
#[derive(Debug, Clone, PartialEq, Eq, Template)]
#[template(path = "enrolment/page.html")]
pub struct EnrolmentView {
    host: String,
    now: String,
    name: Visible,
    invited_by: Option<Visible>,
    becomes: String,
    expires: Moment,
    policy: Option<Visible>,
}

/// The view of an invitation.
#[must_use]
pub fn enrolment_view(input: &EnrolmentInput<'_>) -> EnrolmentView {
    EnrolmentView {
        host: input.host.to_owned(),
        now: input.now.to_string(),
        name: visible(input.name),
        invited_by: input.invited_by.map(visible),
        becomes: becomes(input.admin, input.groups),
        expires: Moment::new(input.expires, input.now),
        policy: input.policy.map(visible),
    }
}

/// `an admin and a member of release-managers and security`.
fn becomes(admin: bool, groups: &[GroupName]) -> String {
    let names: Vec<&str> = groups.iter().map(GroupName::as_str).collect();
    let groups = match names.split_last() {
        None => None,
        Some((only, [])) => Some(format!("a member of {only}")),
        Some((last, before)) => Some(format!("a member of {} and {last}", before.join(", "))),
    };
    match (admin, groups) {
        (true, Some(groups)) => format!("an admin and {groups}"),
        (true, None) => "an admin".to_owned(),
        (false, Some(groups)) => groups,
        (false, None) => "a member".to_owned(),
    }
}

/// Why a link is dead.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DeadLink {
    /// Somebody used it, then.
    Used(Timestamp),
    /// Its time is over.
    Expired,
    /// The invited person declined it, or a newer one took its place.
    Ended,
    /// There never was such a link.
    Unknown,
}

/// The page of a dead link. It has no place for the name of the invited person.
#[derive(Debug, Clone, PartialEq, Eq, Template)]
#[template(path = "enrolment/dead.html")]
pub struct DeadLinkView {
    host: String,
    used: Option<Moment>,
    otherwise: &'static str,
    invited_by: Option<Visible>,
}

/// The view of a dead link.
#[must_use]
pub fn dead_link_view(host: &str, why: DeadLink, invited_by: Option<&str>, now: Timestamp) -> DeadLinkView {
    DeadLinkView {
        host: host.to_owned(),
        used: match why {
            DeadLink::Used(at) => Some(Moment::new(at, now)),
            DeadLink::Expired | DeadLink::Ended | DeadLink::Unknown => None,
        },
        otherwise: match why {
            DeadLink::Expired => "This link has expired.",
            DeadLink::Unknown => "This link is not known here.",
            DeadLink::Used(_) | DeadLink::Ended => "This link was ended.",
        },
        invited_by: invited_by.map(visible),
    }
}

/// The page of a link where somebody else is signed in. It has no place for the name of the invited person.
#[derive(Debug, Clone, PartialEq, Eq, Template)]
#[template(path = "enrolment/occupied.html")]
pub struct OccupiedView {
    host: String,
    now: String,
    name: Visible,
}

/// The view of a link where somebody of this name is signed in, whom it is not for.
#[must_use]
pub fn occupied_view(host: &str, signed_in: &str, now: Timestamp) -> OccupiedView {
    OccupiedView { host: host.to_owned(), now: now.to_string(), name: visible(signed_in) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn now() -> Timestamp {
        Timestamp::from_seconds(1_795_430_400)
    }

    #[test]
    fn the_page_says_who_invited_whom_to_what_and_until_when() {
        let groups = [GroupName::parse("release-managers").unwrap()];
        let html = enrolment_view(&EnrolmentInput {
            host: "sign.example.com",
            name: "Ada <Lind>",
            invited_by: Some("Mara Voss"),
            admin: false,
            groups: &groups,
            expires: now() + std::time::Duration::from_hours(24),
            policy: None,
            now: now(),
        })
        .render()
        .unwrap();
        for part in
            ["Ada &#60;Lind&#62;", "Mara Voss", "release-managers", "24 Nov 10:40 UTC", "Passkeys need JavaScript."]
        {
            assert!(html.contains(part), "{part} is missing");
        }
        assert!(!html.contains("<Lind>"));
    }

    #[test]
    fn roles_read_as_a_sentence() {
        let groups = [GroupName::parse("a").unwrap(), GroupName::parse("b").unwrap()];
        assert_eq!(becomes(true, &groups), "an admin and a member of a and b");
        assert_eq!(becomes(false, &[]), "a member");
    }

    #[test]
    fn a_dead_link_says_why_and_whom_to_ask() {
        let html =
            dead_link_view("sign.example.com", DeadLink::Used(now()), Some("Mara Voss"), now()).render().unwrap();
        assert!(html.contains("This link was used on") && html.contains("Mara Voss"));
        for (why, sentence) in [
            (DeadLink::Expired, "This link has expired."),
            (DeadLink::Ended, "This link was ended."),
            (DeadLink::Unknown, "This link is not known here."),
        ] {
            let html = dead_link_view("sign.example.com", why, None, now()).render().unwrap();
            assert!(html.contains(sentence) && html.contains("Ask an admin for a new one."));
        }
    }
}

//! The view of a change: what it does in words, how things are and will be, and where it stands.
//! In: a change as it was seen. Out: `ChangeView`, a template.
//! Implements SCREENS (Admin: "You will sign: add Tom Ahl to release-managers.").
//! Never reads clock, store or network.

use std::time::Duration;

use askama::Template;

use crate::app::view_change::SeenChange;
use crate::domain::canonical::Bytes;
use crate::domain::change::standing::{Standing, Terms, delay};
use crate::domain::change::{Change, Proposer, Weight};
use crate::domain::ids::RuleName;
use crate::domain::rules::difference::Fate;
use crate::domain::statement::{Choice, Countersignature, Statement};
use crate::domain::time::{RECOVERY_DELAY, Timestamp, humane};
use crate::http::approval::rows::{Row, rows};
use crate::http::page::{Moment, Visible, visible};

/// Rows that belong to one signature, not to the change: the script fills them from the statement.
const PER_SIGNATURE: &[&str] = &["decision", "nonce", "at"];

/// What the page is made from.
pub struct ChangeInput<'a> {
    /// The change.
    pub seen: &'a SeenChange,
    /// What the reader has just signed, and its log entry.
    pub by: Option<(Choice, u64)>,
    /// How admins act together.
    pub terms: &'a Terms,
    /// Our host, as people see it in the address bar.
    pub host: &'a str,
}

/// Where the page is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PageState {
    /// Signatures are missing.
    Waiting,
    /// It takes effect by itself.
    Delayed,
    /// It is in effect.
    Done,
    /// Somebody said no.
    Refused,
    /// It could not be done when its time came.
    Failed,
    /// A restore ended it.
    Voided,
    /// The files of the rules were read again, and no longer ask for it.
    Withdrawn,
    /// Too late.
    Expired,
}

impl PageState {
    /// As the script spells it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Delayed => "delayed",
            Self::Done => "done",
            Self::Refused => "refused",
            Self::Failed => "failed",
            Self::Voided => "voided",
            Self::Withdrawn => "withdrawn",
            Self::Expired => "expired",
        }
    }
}

/// Where the page of a change is.
#[must_use]
pub fn page_state(seen: &SeenChange) -> PageState {
    match seen.standing {
        _ if seen.has_failed() => PageState::Failed,
        _ if seen.is_voided() => PageState::Voided,
        _ if seen.is_withdrawn() => PageState::Withdrawn,
        Standing::Waiting { .. } => PageState::Waiting,
        Standing::Delayed { .. } => PageState::Delayed,
        Standing::Due => PageState::Done,
        Standing::Refused => PageState::Refused,
        Standing::Expired => PageState::Expired,
    }
}

/// Who proposed it, as the page says it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Proposed {
    /// The server's console.
    Console,
    /// An admin, whose name is not for everybody.
    Admin,
    /// An admin of this name.
    Named(Visible),
}

/// Whom it concerns.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Concerned {
    /// Somebody.
    Person {
        /// What they are called.
        name: Visible,
        /// Who.
        id: String,
    },
    /// Somebody who is not named to everybody.
    Hidden,
    /// Nobody: it is about the rules.
    Nobody,
}

/// What becomes of a rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RuleItem {
    name: Visible,
    fate: &'static str,
    lines: Vec<Visible>,
}

/// The page. `as_main()` renders what stands inside `<main>`.
#[derive(Debug, Clone, Template)]
#[template(path = "changes/page.html", blocks = ["main"])]
pub struct ChangeView {
    host: String,
    now: String,
    id: String,
    state: PageState,
    words: Visible,
    instruction: Visible,
    concerned: Concerned,
    rules: Vec<RuleItem>,
    cautions: Vec<Visible>,
    difference: Option<(Visible, Visible)>,
    proposed: Moment,
    proposer: Proposed,
    sign_by: Moment,
    from: Option<Moment>,
    signed: u32,
    needed: u32,
    signable: bool,
    refusable: bool,
    you: Option<Choice>,
    entry: Option<u64>,
    refused_at: Option<Moment>,
    admitted: bool,
    weight: Weight,
    when: String,
    hindrance: Option<Visible>,
    rows: Vec<Row>,
}

/// The view of a change.
#[must_use]
pub fn change_view(input: &ChangeInput<'_>) -> ChangeView {
    let seen = input.seen;
    let change = &seen.row.change;
    let state = page_state(seen);
    let moment = |at| Moment::new(at, seen.now);
    let (signed, needed, from) = match seen.standing {
        Standing::Waiting { signed, needed } => (signed, needed, None),
        Standing::Delayed { signed, needed, from } => (signed, needed, Some(from)),
        Standing::Due | Standing::Refused | Standing::Expired => (0, 0, None),
    };
    let open = matches!(state, PageState::Waiting | PageState::Delayed);
    let in_time = seen.now <= change.sign_by;
    let you = input.by.map(|(choice, _)| choice);
    let signable = open && in_time && seen.hindrance.is_none() && (from.is_none() || signed < needed);
    ChangeView {
        host: input.host.to_owned(),
        now: seen.now.to_string(),
        id: change.id.to_string(),
        state,
        words: visible(&capital(&seen.words())),
        instruction: visible(&seen.words()),
        concerned: match change.concern() {
            Some(one) if seen.named => Concerned::Person { name: visible(&one.name), id: one.person.to_string() },
            Some(_) => Concerned::Hidden,
            None => Concerned::Nobody,
        },
        rules: seen.rules.iter().flatten().map(RuleItem::new).collect(),
        cautions: seen.cautions.iter().map(|caution| visible(caution)).collect(),
        difference: seen.difference.as_ref().map(|(before, after)| (visible(before), visible(after))),
        proposed: moment(change.at),
        proposer: match (&change.by, &seen.proposer) {
            (Proposer::Console, _) => Proposed::Console,
            (Proposer::Person(_), None) => Proposed::Admin,
            (Proposer::Person(_), Some(name)) => Proposed::Named(visible(name)),
        },
        sign_by: moment(change.sign_by),
        from: from.map(moment),
        signed,
        needed,
        signable: signable && you.is_none(),
        refusable: open,
        you,
        entry: input.by.map(|(_, entry)| entry).or(seen.row.ended),
        refused_at: seen.refused_at.map(moment),
        admitted: seen.is_admitted(),
        weight: change.weight(),
        when: when(change.weight(), delay(change, input.terms)),
        hindrance: seen.hindrance.as_deref().map(visible),
        rows: if seen.named { preview(change, seen.now, open) } else { Vec::new() },
    }
}

impl ChangeView {
    fn signed_by_you(&self) -> bool {
        self.you == Some(Choice::Approve)
    }

    fn refused_by_you(&self) -> bool {
        self.you == Some(Choice::Deny)
    }

    /// The person, where one is named.
    const fn person(&self) -> Option<&Visible> {
        match &self.concerned {
            Concerned::Person { name, .. } => Some(name),
            Concerned::Hidden | Concerned::Nobody => None,
        }
    }

    /// How the same is proposed once more.
    const fn again(&self) -> &'static str {
        match &self.concerned {
            Concerned::Nobody => "Loading the rules again proposes it again.",
            Concerned::Person { .. } | Concerned::Hidden => "It can be proposed again.",
        }
    }

    fn is_recovery(&self) -> bool {
        self.weight == Weight::Recovery
    }

    fn pending(row: &Row) -> bool {
        PER_SIGNATURE.contains(&row.field.as_str())
    }

    fn missing(&self) -> u32 {
        self.needed.saturating_sub(self.signed)
    }
}

impl RuleItem {
    fn new((name, fate): &(RuleName, Fate)) -> Self {
        let (fate, lines) = match fate {
            Fate::Added(lines) => ("new", lines),
            Fate::Changed(lines) => ("changed", lines),
            Fate::Moved(lines) => ("moved", lines),
            Fate::Removed(lines) => ("gone", lines),
        };
        Self { name: visible(name.as_str()), fate, lines: lines.iter().map(|line| visible(line)).collect() }
    }
}

fn capital(words: &str) -> String {
    let mut letters = words.chars();
    letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
}

/// When it takes effect, as a part of a sentence; a delay is how long one signature waits for an objection.
pub fn when(weight: Weight, delay: Option<Duration>) -> String {
    let Some(delay) = delay.map(humane) else {
        return match weight {
            Weight::Heavy | Weight::Staged => "when a second admin signs",
            Weight::Light | Weight::Vouch | Weight::Rules | Weight::Recovery => "as soon as enough admins have signed",
        }
        .to_owned();
    };
    match weight {
        Weight::Light | Weight::Vouch | Weight::Rules => "as soon as enough admins have signed".to_owned(),
        Weight::Heavy => format!("when a second admin signs, or {delay} after the first"),
        Weight::Staged => {
            format!("the invitation at once; the rest when a second admin signs, or {delay} after the first")
        }
        Weight::Recovery => {
            format!("{} after enough admins have signed, unless somebody refuses", humane(RECOVERY_DELAY))
        }
    }
}

/// The rows that stand before anybody has asked for a statement.
fn preview(change: &Change, now: Timestamp, signable: bool) -> Vec<Row> {
    let statement = Statement::Change(Countersignature {
        decision: Choice::Approve,
        nonce: Bytes::default(),
        at: now,
        change: change.clone(),
    });
    // A change is plain data, so it always has a JSON form.
    let mut list = serde_json::to_value(statement).map(|value| rows(&value)).unwrap_or_default();
    list.retain(|row| signable || row.field.starts_with("change."));
    list
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::app::put_rules::MAX_RULES_SIGNED;
    use crate::domain::change::{About, Act, Concern, OtherRules};
    use crate::domain::ids::{ChangeId, Digest, GroupName, PersonId};
    use crate::store::changes::{ChangeRow, ChangeState};

    fn seen(standing: Standing, name: &str) -> SeenChange {
        let at = Timestamp::from_seconds(1_795_430_400);
        let change = Change {
            id: ChangeId::from_random([1; 16]),
            issuer: "https://sign.example.com".to_owned(),
            by: Proposer::Console,
            at,
            sign_by: at + Duration::from_hours(168),
            about: About::Person(Concern {
                person: PersonId::from_random([9; 10]),
                name: name.to_owned(),
                act: Act::Join { group: GroupName::parse("release-managers").unwrap() },
            }),
        };
        SeenChange {
            row: ChangeRow { change, state: ChangeState::Open, due: None, entry: 7, ended: None },
            standing,
            difference: Some(("none".to_owned(), "release-managers".to_owned())),
            rules: None,
            cautions: Vec::new(),
            refused_at: None,
            hindrance: None,
            named: true,
            proposer: None,
            now: at,
        }
    }

    fn page(seen: &SeenChange, by: Option<(Choice, u64)>) -> String {
        let terms = Terms::default();
        change_view(&ChangeInput { seen, by, terms: &terms, host: "sign.example.com" }).render().unwrap()
    }

    #[test]
    fn the_page_says_what_is_signed_and_when_it_takes_effect() {
        let html = page(&seen(Standing::Waiting { signed: 0, needed: 2 }, "Tom Ahl"), None);
        for part in [
            "You will sign: <bdi>add Tom Ahl to release-managers</bdi>.",
            "when a second admin signs, or 24 h after the first",
            "Sign with passkey",
            "Refuse",
            "change.act.group",
        ] {
            assert!(html.contains(part), "{part} is missing:\n{html}");
        }
    }

    #[test]
    fn attack_060_every_rule_that_differs_is_shown_and_what_hides_in_it_too() {
        let mut one = seen(Standing::Waiting { signed: 0, needed: 2 }, "Tom Ahl");
        let digest = |text: &[u8]| Digest::of(text);
        let rules =
            OtherRules { before: digest(b"a"), after: digest(b"b"), added: 200, changed: 0, moved: 1, removed: 0 };
        one.row.change.about = About::Rules { rules };
        let name = |at: u32| RuleName::parse(&format!("rule {at}")).unwrap();
        let line = |at: u32| if at == 0 { "match.ref is \"\u{202e}main\"" } else { "fork is false" };
        let mut rules: Vec<_> =
            (0..MAX_RULES_SIGNED).map(|at| (name(at), Fate::Added(vec![line(at).into()]))).collect();
        rules.push((name(999), Fate::Moved(vec!["asked last".to_owned()])));
        one.rules = Some(rules);
        one.cautions = vec!["rule 0: a caution".to_owned()];
        let html = page(&one, None);
        for part in
            ["rule 199", "rule 999", "moved", "asked last", "\\u{202e}main", "change.rules.after", "rule 0: a caution"]
        {
            assert!(html.contains(part), "{part} is missing:\n{html}");
        }
        assert!(!html.contains('\u{202e}') && !html.contains("<dt>Person"), "{html}");
        one.rules = None;
        assert!(!page(&one, None).contains("What becomes of the rules"));
    }

    #[test]
    fn attack_060_a_name_is_text_and_what_hides_in_it_is_shown() {
        let html = page(&seen(Standing::Waiting { signed: 0, needed: 2 }, "<b>\u{202e}Tom"), None);
        assert!(!html.contains("<b>\u{202e}") && !html.contains('\u{202e}'));
        assert!(html.contains("\\u{202e}"));
    }

    #[test]
    fn whose_change_it_was_is_not_for_everybody() {
        let mut over = seen(Standing::Due, "Tom Ahl");
        over.named = false;
        let html = page(&over, None);
        assert!(html.contains("Add somebody to release-managers") && html.contains("✓ In effect"), "{html}");
        for private in ["Tom Ahl", over.row.change.person().unwrap().as_str(), "change.name"] {
            assert!(!html.contains(private), "{private}");
        }
        over.named = true;
        assert!(page(&over, None).contains("Add Tom Ahl to release-managers"));
    }

    #[test]
    fn who_proposed_it_on_a_page_has_a_name_for_those_whom_it_concerns() {
        let mut one = seen(Standing::Waiting { signed: 0, needed: 2 }, "Tom Ahl");
        one.row.change.by = Proposer::Person(PersonId::from_random([3; 10]));
        let html = page(&one, None);
        assert!(html.contains("by an admin ·") && html.contains("change.by.person"), "{html}");
        one.proposer = Some("<i>Ada\u{202e}".to_owned());
        let html = page(&one, None);
        assert!(html.contains("Ada\\u{202e}") && !html.contains("<i>"), "{html}");
    }

    #[test]
    fn what_is_over_offers_no_signature() {
        for standing in [Standing::Due, Standing::Refused, Standing::Expired] {
            let html = page(&seen(standing, "Tom Ahl"), None);
            assert!(!html.contains("data-act=\"sign\"") && !html.contains("data-act=\"refuse\""), "{standing:?}");
        }
        for (state, sentence) in
            [(ChangeState::Voided, "A restore ended this change."), (ChangeState::Failed, "✕ It could not be done.")]
        {
            let mut over = seen(Standing::Expired, "Tom Ahl");
            over.row.state = state;
            assert!(page(&over, None).contains(sentence), "{sentence}");
        }
        let from = Timestamp::from_seconds(1_795_430_400) + Duration::from_hours(24);
        let html = page(&seen(Standing::Delayed { signed: 1, needed: 2, from }, "Tom Ahl"), Some((Choice::Approve, 9)));
        assert!(html.contains("✓ Signed by you.") && !html.contains("data-act=\"sign\""), "{html}");
        assert!(html.contains("data-act=\"refuse\""), "one may change one's mind");
    }
}

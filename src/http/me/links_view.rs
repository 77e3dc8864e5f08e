//! The view of `/me/links`: whose GitLab users are mine, on whose word, and what waits for my signature.
//! In: rows. Out: `LinksView`, a template; the job that brings a code.
//! Implements DESIGN §11 (proof by pipeline).
//! Never shows as signed what is only GitLab's word.

use askama::Template;

use crate::app::prove_link::{SeenBrought, SeenLinks};
use crate::app::settings::Settings;
use crate::app::use_session::SignedIn;
use crate::domain::canonical::Bytes;
use crate::domain::ids::IssuerName;
use crate::domain::people::proof::audience;
use crate::domain::statement::{Link, Statement};
use crate::domain::time::{LINK_CODE, humane};
use crate::http::approval::rows::{Row, rows};
use crate::http::page::{Moment, Visible, visible};

/// Values that each signature has of its own.
const PER_SIGNATURE: [&str; 2] = ["nonce", "at"];

/// What the page is made from.
pub struct LinksInput<'a> {
    /// What the operator decided.
    pub settings: &'a Settings,
    /// Who looks.
    pub me: &'a SignedIn,
    /// What there is.
    pub seen: &'a SeenLinks,
}

/// A GitLab user of the person's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UserItem {
    user_id: String,
    place: Visible,
    whose: &'static str,
    proved: bool,
}

/// What a job brought.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BroughtItem {
    proof: String,
    user_id: String,
    place: Visible,
    login: Option<Visible>,
    project: Visible,
    reference: Option<Visible>,
    pipeline: String,
    job: String,
    at: Moment,
    until: Moment,
    somebody_elses: bool,
    rows: Vec<Row>,
}

/// The page.
#[derive(Debug, Clone, PartialEq, Eq, Template)]
#[template(path = "me/links.html")]
pub struct LinksView {
    host: String,
    now: String,
    here: &'static str,
    name: Visible,
    sees_admin: bool,
    users: Vec<UserItem>,
    brought: Option<BroughtItem>,
    more: usize,
    auditor: bool,
    lifetime: String,
}

impl LinksView {
    fn pending(row: &Row) -> bool {
        PER_SIGNATURE.contains(&row.field.as_str())
    }
}

/// The job that brings a code, as it stands in `.gitlab-ci.yml`.
#[must_use]
pub fn snippet(url: &str, code: &str) -> String {
    let aud = audience(url);
    [
        "countersign-link:",
        "  rules:",
        "    - if: $CI_PIPELINE_SOURCE == \"web\"",
        "  id_tokens:",
        "    LINK_TOKEN:",
        &format!("      aud: {aud}"),
        "  script:",
        "    - >-",
        "      printf %s \"$LINK_TOKEN\" |",
        &format!("      curl -sS --fail-with-body {aud}"),
        &format!("      --data-urlencode code={code}"),
        "      --data-urlencode token@-",
        "",
    ]
    .join("\n")
}

fn place(settings: &Settings, issuer: &IssuerName) -> Visible {
    let url = settings.issuer(issuer).map(|one| one.terms.url.as_str());
    visible(url.and_then(|url| url.split_once("://")).map_or(issuer.as_str(), |(_, host)| host))
}

fn brought_item(input: &LinksInput<'_>, one: &SeenBrought) -> BroughtItem {
    let (user, now) = (&one.brought.user, input.me.now);
    let statement = Statement::Link(Link {
        nonce: Bytes::default(),
        at: now,
        issuer: input.settings.url.clone(),
        person: input.me.person.id.clone(),
        user: user.clone(),
    });
    let path = one.shown("job_project_path").or_else(|| one.shown("project_path"));
    BroughtItem {
        proof: one.proof.to_string(),
        user_id: user.user_id.clone(),
        place: place(input.settings, &user.issuer),
        login: one.shown("user_login").map(|login| visible(&login)),
        project: visible(path.as_deref().unwrap_or(&user.job_project_id)),
        reference: one.shown("ref").map(|name| visible(&name)),
        pipeline: user.pipeline_id.clone(),
        job: user.job_id.clone(),
        at: Moment::new(one.brought.at, now),
        until: Moment::new(one.brought.at + LINK_CODE, now),
        somebody_elses: one.somebody_elses,
        // A statement is plain data, so it always has a JSON form.
        rows: serde_json::to_value(statement).map(|value| rows(&value)).unwrap_or_default(),
    }
}

/// The view of a person's GitLab users.
#[must_use]
pub fn links_view(input: &LinksInput<'_>) -> LinksView {
    let LinksInput { settings, me, seen } = input;
    let tied = seen.tied.iter().map(|(issuer, user_id, bot)| UserItem {
        user_id: user_id.clone(),
        place: place(settings, issuer),
        whose: if *bot { "A bot for which you answer." } else { "An admin says that it is yours." },
        proved: false,
    });
    let proved = seen.proved.iter().map(|(issuer, user_id)| UserItem {
        user_id: user_id.clone(),
        place: place(settings, issuer),
        whose: "You proved that it is yours.",
        proved: true,
    });
    // Whoever became an auditor meanwhile signs none of it.
    let brought = if me.person.auditor { &[] } else { seen.brought.as_slice() };
    LinksView {
        host: settings.host().to_owned(),
        now: me.now.to_string(),
        here: "links",
        sees_admin: me.sees_administration(),
        name: visible(&me.person.name),
        users: tied.chain(proved).collect(),
        brought: brought.first().map(|one| brought_item(input, one)),
        more: brought.len().saturating_sub(1),
        auditor: me.person.auditor,
        lifetime: humane(LINK_CODE),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_job_asks_for_a_token_of_its_own_and_sends_nothing_else() {
        let job = snippet("https://sign.example.com", "AAAA-BBBB-CCCC-DDDD");
        assert_eq!(job.matches("https://sign.example.com/link").count(), 2);
        assert!(job.contains("aud: https://sign.example.com/link\n") && job.contains("== \"web\""));
        // Folded into one line by YAML: the token goes through standard input, so that no process list shows it.
        let script = job.split(">-\n").nth(1).unwrap().split_whitespace().collect::<Vec<_>>().join(" ");
        assert_eq!(
            script,
            "printf %s \"$LINK_TOKEN\" | curl -sS --fail-with-body https://sign.example.com/link --data-urlencode \
             code=AAAA-BBBB-CCCC-DDDD --data-urlencode token@-"
        );
    }
}

//! `requests`, `keys list`, `issuers list`, `clients list`, `clients show`, `rule list`, `rule refusals`: what the admin's pages show, in the terminal.
//! In: the configuration, what is looked at. Out: columns, or JSON.
//! Implements DESIGN §12.
//! Never shows what the pages do not: both draw the same values.

use std::path::Path;

use super::console;
use super::exit::Exit;
use super::people::aligned;
use super::printer::Printer;
use crate::app::console::{ConsoleAnswer, ConsoleCommand};
use crate::app::list_clients::ClientLine;
use crate::app::list_issuers::{IssuerLine, clock_words};
use crate::app::list_keys::{KeysSeen, words};
use crate::app::list_refusals::RefusalsSeen;
use crate::app::list_requests::RequestsSeen;
use crate::app::list_rules::{AllowLine, RuleLine, RulesSeen};
use crate::app::look::{Look, Sight};
use crate::app::show_client::ClientSeen;
use crate::domain::time::{Timestamp, humane, humane_seconds};

/// Runs the command.
pub fn run(at: Look, config: Option<&Path>, printer: &mut Printer) -> Exit {
    let settings = match super::configured(config, printer) {
        Ok(settings) => settings,
        Err(exit) => return exit,
    };
    let sight = match console::ask(&settings, ConsoleCommand::Look { at }, printer) {
        Ok(ConsoleAnswer::Seen { sight }) => sight,
        Ok(_) => return Exit::OurFault,
        Err(exit) => return exit,
    };
    show(&sight, printer);
    Exit::Yes
}

fn show(sight: &Sight, printer: &mut Printer) {
    if printer.json() {
        printer.line(&serde_json::to_string(sight).unwrap_or_default());
        return;
    }
    let lines = match sight {
        Sight::Requests(seen) => requests(seen),
        Sight::Keys(seen) => keys(seen),
        Sight::Issuers(lines) => issuers(lines),
        Sight::Clients(lines) => clients(lines),
        Sight::Client(seen) => client(seen),
        Sight::Rules(seen) => rules(seen),
        Sight::Refusals(seen) => refusals(seen),
        // `doctor` tells it.
        Sight::Health(_) => Vec::new(),
    };
    for line in lines {
        printer.data(line);
    }
    match sight {
        Sight::Requests(RequestsSeen { more: true, .. }) => printer.words("there are more, which end later"),
        Sight::Rules(seen) => {
            for warning in &seen.warnings {
                printer.signed(super::printer::Sign::Warn, warning);
            }
            if let Some(next) = seen.next {
                printer.words(format!("more: countersign rule list --first {next}"));
            }
        }
        Sight::Refusals(RefusalsSeen { before: Some(before), .. }) => {
            printer.words("say why with today's rules: countersign rule explain ENTRY");
            printer.words(format!("older ones: countersign rule refusals --before {before}"));
        }
        _ => {}
    }
}

fn row(cells: &[&str]) -> Vec<String> {
    cells.iter().map(|cell| (*cell).to_owned()).collect()
}

fn requests(seen: &RequestsSeen) -> Vec<String> {
    let mut rows = vec![row(&["rule", "project", "environment", "job", "signed", "left", "waits", "link"])];
    for line in &seen.requests {
        rows.push(vec![
            format!("{:?}", line.rule.as_str()),
            line.project.clone().unwrap_or_else(|| line.project_id.clone()),
            line.environment.clone().unwrap_or_else(|| "-".to_owned()),
            line.job_id.clone(),
            format!("{} of {}", line.signed, line.needed),
            humane(line.ends().since(seen.now)),
            line.waits.words().to_owned(),
            line.link.clone(),
        ]);
    }
    aligned(&rows)
}

fn keys(seen: &KeysSeen) -> Vec<String> {
    let mut rows = vec![row(&["key", "alg", "state", "since", "signs since", "until", "entry"])];
    for line in &seen.signing {
        rows.push(vec![
            line.kid.to_string(),
            line.alg.as_str().to_owned(),
            line.state.words().to_owned(),
            line.since.dated(),
            line.signs.map_or_else(|| "-".to_owned(), Timestamp::dated),
            line.until.map_or_else(|| "-".to_owned(), Timestamp::dated),
            line.entry.to_string(),
        ]);
    }
    let mut lines = aligned(&rows);
    lines.push(String::new());
    let next = seen.next.iter().map(|line| row(&["next", line.alg.as_str(), &words(&line.due)]));
    lines.extend(aligned(&next.collect::<Vec<_>>()));
    lines.push(String::new());
    lines.extend(aligned(&[
        row(&["log key", &seen.log_key]),
        row(&["high-water mark", &format!("{}, in {}", seen.mark_words(), seen.mark)]),
        row(&["master key", &seen.master_key]),
    ]));
    lines
}

fn issuers(lines: &[IssuerLine]) -> Vec<String> {
    let mut told = Vec::new();
    for line in lines {
        told.push(format!("{}  {}  {}", line.name, line.url, line.state()));
        let mut rows = Vec::new();
        if let Some(at) = line.fetched {
            let next =
                line.next.map_or_else(|| "by the next token".to_owned(), |next| format!("after {}", next.dated()));
            rows.push(row(&["  keys", &format!("fetched {}, again {next}", at.dated())]));
        }
        if let Some((entry, at)) = line.logged {
            rows.push(row(&["  logged", &format!("entry {entry}, {}", at.dated())]));
        }
        if let Some(failure) = &line.failure {
            let what = format!("{}, {}: {}", failure.at.dated(), failure.field, failure.problem);
            rows.push(row(&["  last failure", &what]));
            rows.push(row(&["  cure", &line.cure()]));
        }
        if let Some(ahead) = line.clock_ahead {
            rows.push(row(&["  its clock", &clock_words(ahead)]));
        }
        rows.push(row(&["  admits", &line.admits()]));
        rows.extend(line.keys.iter().map(|key| row(&["  key", &format!("{} {}", key.kid, key.alg.as_str())])));
        told.extend(aligned(&rows));
    }
    told
}

fn client(seen: &ClientSeen) -> Vec<String> {
    let line = &seen.client;
    let mut told = clients(std::slice::from_ref(line));
    let lives = [line.access_token_lifetime, line.refresh_lifetime, line.offline_lifetime].map(humane_seconds);
    let [access, refresh, offline] = lives;
    let mut rows = vec![row(&["  tokens live", &format!("access {access}, refresh {refresh}, offline {offline}")])];
    rows.extend(line.post_logout_redirect_uris.iter().map(|uri| row(&["  signed out to", uri])));
    rows.extend(line.backchannel_logout_uri.iter().map(|uri| row(&["  is told at", uri])));
    rows.push(row(&["  given", &format!("{}, of which {} have a refresh token", seen.total, seen.families)]));
    told.extend(aligned(&rows));
    told.push(String::new());
    let mut rows = vec![row(&["person", "name", "since", "how", "entry"])];
    for grant in &seen.grants {
        let how = match (grant.on_device, grant.offline) {
            (true, true) => "on a device, while they are away, too",
            (true, false) => "on a device",
            (false, true) => "while they are away, too",
            (false, false) => "in a session",
        };
        let (person, entry) = (grant.person.to_string(), grant.entry.to_string());
        rows.push(row(&[&person, &format!("{:?}", grant.name), &grant.at.dated(), how, &entry]));
    }
    told.extend(aligned(&rows));
    told
}

fn clients(lines: &[ClientLine]) -> Vec<String> {
    let mut told = Vec::new();
    for line in lines {
        told.push(format!("{}  {:?}", line.id, line.name));
        let used = line.last_used.map_or_else(|| "none yet".to_owned(), Timestamp::dated);
        let mut rows = vec![
            row(&["  last token", &used]),
            row(&["  admits", &line.admits()]),
            row(&["  demands", &line.demands()]),
            row(&["  auth", &line.auth]),
            row(&["  grants", &line.grants.join(" ")]),
            row(&["  scopes", &line.scopes]),
            row(&["  alg", &line.alg]),
        ];
        if line.secrets > 1 {
            rows.push(row(&["  secrets", "two count: take the old one out once the tool has the new one"]));
        }
        rows.extend(line.redirect_uris.iter().map(|uri| row(&["  answers to", uri])));
        rows.extend(line.resources.iter().map(|uri| row(&["  tokens for", uri.as_str()])));
        rows.extend(line.serves.iter().map(|uri| row(&["  is itself", uri.as_str()])));
        rows.extend(line.particulars().iter().map(|words| row(&["  beside", words])));
        told.extend(aligned(&rows));
    }
    told
}

fn rules(seen: &RulesSeen) -> Vec<String> {
    let logged =
        seen.logged.map_or_else(String::new, |(entry, at)| format!(", in force since entry {entry}, {}", at.dated()));
    let mut lines = vec![format!("{} in the order of asking, read {}{logged}", seen.total, seen.loaded.dated())];
    for rule in &seen.rules {
        let written = if rule.written.is_empty() { "in no file" } else { &rule.written };
        lines.push(format!("{} {:?}  {written}", rule.place, rule.name.as_str()));
        let mut rows = vec![row(&["  match", &rule.match_words()])];
        rows.extend(terms(rule).into_iter().map(|(name, text)| row(&[&format!("  {name}"), &text])));
        rows.push(row(&["  digest", &rule.digest.short()]));
        lines.extend(aligned(&rows));
    }
    lines
}

/// What a rule says of those that it matches.
fn terms(rule: &RuleLine) -> Vec<(&'static str, String)> {
    match (&rule.deny, &rule.allow) {
        (Some(sentence), _) => vec![("denies", sentence.clone())],
        (None, Some(allow)) => allowing(allow),
        (None, None) => Vec::new(),
    }
}

fn allowing(allow: &AllowLine) -> Vec<(&'static str, String)> {
    let audience: Vec<_> = allow.audience.iter().map(ToString::to_string).collect();
    let mut terms = vec![("audience", audience.join(" ")), ("asks", allow.people_words())];
    terms.extend(allow.acr.map(|acr| ("acr", acr.to_string())));
    terms.extend(allow.device_policy.as_ref().map(|policy| ("policy", policy.clone())));
    terms.push(("token", format!("for {}", humane_seconds(allow.lifetime))));
    if !allow.roles.is_empty() {
        terms.push(("roles", allow.roles.join(" ")));
    }
    terms
}

fn refusals(seen: &RefusalsSeen) -> Vec<String> {
    let mut rows = vec![row(&["entry", "time", "project", "job", "code", "what"])];
    for line in &seen.refusals {
        rows.push(vec![
            line.entry.to_string(),
            line.at.dated(),
            line.project.clone().unwrap_or_else(|| line.project_id.clone()),
            line.job_id.clone(),
            line.code.as_str().to_owned(),
            line.sentence.clone(),
        ]);
    }
    aligned(&rows)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::app::list_requests::{RequestLine, Waits};
    use crate::cli::printer::{Abilities, tests::taped};
    use crate::domain::ids::{Audience, IssuerName, RequestId, RuleName};

    #[test]
    fn what_waits_stands_in_columns_with_its_link_last() {
        let now = Timestamp::from_seconds(1_795_430_400);
        let id = RequestId::from_random([1; 16]);
        let line = |waits: Waits| RequestLine {
            request: id.clone(),
            link: format!("https://sign.example.com/a/{id}"),
            rule: RuleName::parse("production deploy").unwrap(),
            issuer: IssuerName::parse("gitlab").unwrap(),
            project_id: "4711".to_owned(),
            project: None,
            pipeline_id: "7".to_owned(),
            job_id: "555123".to_owned(),
            environment: Some("production".to_owned()),
            audience: vec![Audience::parse("sts.amazonaws.com").unwrap()],
            waits,
            signed: 1,
            needed: 2,
            asked: now,
            decide_by: now + Duration::from_mins(14),
            use_by: now + Duration::from_mins(19),
            entry: 8,
        };
        let requests = vec![line(Waits::Signatures), line(Waits::Job)];
        let seen = Sight::Requests(RequestsSeen { requests, more: true, now });
        let (mut printer, out, err) = taped(Abilities::default());
        show(&seen, &mut printer);
        let told = out.text();
        let rows: Vec<_> = told.lines().collect();
        assert!(
            rows[1].starts_with("\"production deploy\"  4711     production   555123  1 of 2  14 min  waits for"),
            "{told}"
        );
        assert!(rows[1].ends_with(&format!("https://sign.example.com/a/{id}")), "{told}");
        assert!(
            rows[2].contains("19 min") && rows[2].contains("approved, not collected"),
            "until the job may collect: {told}"
        );
        assert_eq!(err.text(), "there are more, which end later\n");
        let (mut printer, out, _) = taped(Abilities { json: true, ..Abilities::default() });
        show(&seen, &mut printer);
        assert!(out.text().starts_with("{\"requests\":{\"requests\":[{\"request\":"), "{}", out.text());
    }
}

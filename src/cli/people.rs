//! `countersign people`: everything about people, at once or as a change that admins sign.
//! In: names, groups, ids. Out: one-time links, tables.
//! Implements DESIGN §11, §12.
//! Never acts by itself: the console's use case does, and logs it.

use std::path::Path;

use super::args::{PeopleArgs, PeopleCommand, RoleArg};
use super::exit::Exit;
use super::printer::Printer;
use super::{console, not_opened, open};
use crate::app::console::{ConsoleAnswer, ConsoleCommand};
use crate::app::list_people::{ChangeLine, PersonDetails, PersonLine};
use crate::app::propose_change::Wish;
use crate::config::settings::Settings;
use crate::domain::change::LinkKind;
use crate::domain::ids::{GroupName, IssuerName};
use crate::domain::people::Role;
use crate::domain::time::Timestamp;

/// Runs the command.
pub fn run(args: &PeopleArgs, config: Option<&Path>, printer: &mut Printer) -> Exit {
    let asked = match parse(args) {
        Ok(asked) => asked,
        Err((what, cure)) => {
            printer.problem(what, cure);
            return Exit::Usage;
        }
    };
    let settings = match super::configured(config, printer) {
        Ok(settings) => settings,
        Err(exit) => return exit,
    };
    if is_recovery_at_once(&asked)
        && let Err(exit) = prove_master_key(&settings, printer)
    {
        return exit;
    }
    match console::ask(&settings, asked, printer) {
        Ok(answer) => show(&answer, printer),
        Err(exit) => exit,
    }
}

const fn is_recovery_at_once(command: &ConsoleCommand) -> bool {
    matches!(command, ConsoleCommand::Change { wish: Wish::Recover { .. }, propose: false })
}

/// Whoever lets somebody in alone holds the key that wraps this state's signing keys: it is loaded and tried on them.
fn prove_master_key(settings: &Settings, printer: &mut Printer) -> Result<(), Exit> {
    open::prove_master_key(settings).map_err(|error| not_opened::explain(&error, printer))
}

type Fault = (String, String);

fn group(typed: &str) -> Result<GroupName, Fault> {
    GroupName::parse(typed)
        .map_err(|error| (error.to_string(), "spell the group as the rules do: `of = [\"…\"]`".to_owned()))
}

fn issuer(typed: &str) -> Result<IssuerName, Fault> {
    IssuerName::parse(typed)
        .map_err(|error| (error.to_string(), "use the `name` of an [[issuer]] of the configuration".to_owned()))
}

const fn role(typed: RoleArg) -> Role {
    match typed {
        RoleArg::Member => Role::Member,
        RoleArg::Auditor => Role::Auditor,
        RoleArg::Admin => Role::Admin,
    }
}

fn parse(args: &PeopleArgs) -> Result<ConsoleCommand, Fault> {
    let wish = match &args.command {
        PeopleCommand::List => return Ok(ConsoleCommand::List),
        PeopleCommand::Changes => return Ok(ConsoleCommand::Changes),
        PeopleCommand::Show { person } => return Ok(ConsoleCommand::Show { person: person.clone() }),
        PeopleCommand::Link { person, issuer: name, user_id, bot: false } if !args.propose => {
            let (person, user_id) = (person.clone(), user_id.clone());
            return Ok(ConsoleCommand::Link { person, issuer: issuer(name)?, user_id });
        }
        PeopleCommand::Invite { name, group: groups, admin, role: typed } => Wish::Invite {
            name: name.clone(),
            groups: groups.iter().map(|typed| group(typed)).collect::<Result<_, _>>()?,
            role: typed.map_or(if *admin { Role::Admin } else { Role::Member }, role),
        },
        PeopleCommand::Join { person, group: name } => Wish::Join { person: person.clone(), group: group(name)? },
        PeopleCommand::Leave { person, group: name } => Wish::Leave { person: person.clone(), group: group(name)? },
        PeopleCommand::Role { person, role: typed } => Wish::Role { person: person.clone(), role: role(*typed) },
        PeopleCommand::Email { person, address, none: _ } => {
            Wish::Email { person: person.clone(), address: address.clone().unwrap_or_default() }
        }
        PeopleCommand::Suspend { person } => Wish::Suspend { person: person.clone() },
        PeopleCommand::Restore { person } => Wish::Restore { person: person.clone() },
        PeopleCommand::Recover { person } => Wish::Recover { person: person.clone() },
        PeopleCommand::RemovePasskey { person, passkey } => {
            Wish::RemovePasskey { person: person.clone(), passkey: passkey.to_ascii_lowercase() }
        }
        PeopleCommand::Vouch { person, passkey } => {
            Wish::Vouch { person: person.clone(), passkey: passkey.to_ascii_lowercase() }
        }
        PeopleCommand::Link { person, issuer: name, user_id, bot } => Wish::Link {
            person: person.clone(),
            issuer: issuer(name)?,
            user_id: user_id.clone(),
            owner: if *bot { LinkKind::Bot } else { LinkKind::Person },
        },
        PeopleCommand::Unlink { person, issuer: name, user_id } => {
            Wish::Unlink { person: person.clone(), issuer: issuer(name)?, user_id: user_id.clone() }
        }
    };
    Ok(ConsoleCommand::Change { wish, propose: args.propose })
}

/// Shows an answer: data on stdout, what to do with it on stderr.
pub fn show(answer: &ConsoleAnswer, printer: &mut Printer) -> Exit {
    if printer.json() {
        let text = serde_json::to_string(answer).unwrap_or_default();
        printer.line(&text);
        return Exit::Yes;
    }
    match answer {
        ConsoleAnswer::Invited { person, link, expires } => {
            printer.words(format!("{person} makes a passkey here; the link works once, until {}:", expires.dated()));
            printer.data(link);
        }
        ConsoleAnswer::Linked { person } => printer.data(format!("linked {person}")),
        ConsoleAnswer::Done { words, .. } => printer.data(format!("done: {words}")),
        ConsoleAnswer::Proposed { words, link, sign_by, enrolment, .. } => {
            printer.words(format!("Admins sign here until {}: {words}", sign_by.dated()));
            printer.data(link);
            if let Some(enrolment) = enrolment {
                printer.words("For that person alone; it works once admins have signed:");
                printer.data(enrolment);
            }
        }
        ConsoleAnswer::People { people } => {
            for line in table(people) {
                printer.data(line);
            }
        }
        ConsoleAnswer::Person { person } => {
            for line in details(person) {
                printer.data(line);
            }
        }
        ConsoleAnswer::Changes { changes } => {
            for line in changes_table(changes) {
                printer.data(line);
            }
        }
        // Said already, or another command's.
        ConsoleAnswer::Refused { .. }
        | ConsoleAnswer::TimeAccepted { .. }
        | ConsoleAnswer::Rotated { .. }
        | ConsoleAnswer::GrantsEnded { .. }
        | ConsoleAnswer::Metadata { .. }
        | ConsoleAnswer::Warnings { .. }
        | ConsoleAnswer::Seen { .. } => return Exit::No,
    }
    Exit::Yes
}

fn or_none(text: String) -> String {
    if text.is_empty() { "-".to_owned() } else { text }
}

/// One person: the line of the list, then each passkey.
fn details(person: &PersonDetails) -> Vec<String> {
    let mut lines = table(std::slice::from_ref(&person.line));
    if let Some(email) = &person.line.email {
        lines.extend([String::new(), format!("e-mail  {email}")]);
    }
    if person.keys.is_empty() {
        return lines;
    }
    let mut rows = vec![["passkey", "name", "added", "last used", "signs"].map(str::to_owned).to_vec()];
    for key in &person.keys {
        let signs = key.rests_until.map_or_else(|| "yes".to_owned(), |until| format!("from {}", until.dated()));
        rows.push(vec![
            key.credential.short(),
            key.name.clone(),
            key.added.dated(),
            or_none(key.last_used.map(Timestamp::dated).unwrap_or_default()),
            signs,
        ]);
    }
    lines.push(String::new());
    lines.extend(aligned(&rows));
    lines
}

fn changes_table(changes: &[ChangeLine]) -> Vec<String> {
    let mut rows = vec![["signed", "what", "takes effect", "sign until", "link"].map(str::to_owned).to_vec()];
    for line in changes {
        rows.push(vec![
            format!("{} of {}", line.signed, line.needed),
            line.words.clone(),
            or_none(line.effective.map(Timestamp::dated).unwrap_or_default()),
            line.sign_by.dated(),
            line.link.clone(),
        ]);
    }
    aligned(&rows)
}

/// Columns that are as wide as they need to be.
fn table(people: &[PersonLine]) -> Vec<String> {
    let mut rows = vec![["person", "name", "role", "passkeys", "groups", "linked"].map(str::to_owned).to_vec()];
    for line in people {
        let groups: Vec<_> = line.groups.iter().map(ToString::to_string).collect();
        let role = if line.suspended.is_some() { "suspended" } else { line.role.as_str() };
        rows.push(vec![
            line.person.to_string(),
            line.name.clone(),
            role.to_owned(),
            line.passkeys.to_string(),
            or_none(groups.join(" ")),
            or_none(line.links.join(" ")),
        ]);
    }
    aligned(&rows)
}

/// Cells padded to their column's width; nothing behind the last.
pub fn aligned(rows: &[Vec<String>]) -> Vec<String> {
    let columns = rows.iter().map(Vec::len).max().unwrap_or_default();
    let width = |column: usize| {
        rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max().unwrap_or_default()
    };
    let widths: Vec<_> = (0..columns).map(width).collect();
    let line = |row: &Vec<String>| {
        let cells: Vec<_> = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}")).collect();
        cells.join("  ").trim_end().to_owned()
    };
    rows.iter().map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::printer::{Abilities, tests::taped};
    use crate::domain::ids::PersonId;

    fn person(name: &str, groups: &[&str]) -> PersonLine {
        PersonLine {
            person: PersonId::from_random([7; 10]),
            name: name.to_owned(),
            email: None,
            role: if groups.is_empty() { Role::Admin } else { Role::Member },
            suspended: None,
            groups: groups.iter().map(|group| GroupName::parse(group).unwrap()).collect(),
            passkeys: 2,
            links: Vec::new(),
        }
    }

    #[test]
    fn people_stand_in_columns() {
        let lines = table(&[person("Ada Lind", &["release-managers"]), person("Bo", &[])]);
        let at = |line: &String, word: &str| line.find(word);
        assert_eq!(at(&lines[0], "role"), at(&lines[1], "member"));
        assert_eq!(at(&lines[1], "member"), at(&lines[2], "admin"));
        assert!(lines[1].contains("release-managers") && lines[2].ends_with('-'), "{}", lines[2]);
    }

    #[test]
    fn a_link_is_data_and_the_rest_is_words() {
        let (mut printer, out, err) = taped(Abilities::default());
        let answer = ConsoleAnswer::Invited {
            person: PersonId::from_random([7; 10]),
            link: "https://sign.example.com/enrol/x".to_owned(),
            expires: Timestamp::from_seconds(1_795_430_400),
        };
        assert_eq!(show(&answer, &mut printer), Exit::Yes);
        assert_eq!(out.text(), "https://sign.example.com/enrol/x\n");
        assert!(err.text().contains("works once, until 23 Nov 10:40 UTC"), "{}", err.text());
    }

    #[test]
    fn a_group_that_no_rule_could_name_is_refused_before_anything_is_asked() {
        let group = vec!["A B".to_owned()];
        let command = PeopleCommand::Invite { name: "Ada".to_owned(), group, admin: false, role: None };
        assert!(parse(&PeopleArgs { propose: false, command }).unwrap_err().1.contains("as the rules do"));
    }
}

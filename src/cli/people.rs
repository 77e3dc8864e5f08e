//! `countersign people`: invites, ties to GitLab users, lists.
//! In: names, groups, ids. Out: one-time links, tables.
//! Implements DESIGN §11, §12.
//! Never acts by itself: the console's use case does, and logs it.

use std::collections::BTreeSet;
use std::path::Path;

use super::args::PeopleCommand;
use super::console;
use super::exit::Exit;
use super::printer::Printer;
use crate::app::console::{ConsoleAnswer, ConsoleCommand, PersonLine};
use crate::domain::ids::{GroupName, IssuerName};
use crate::domain::time::Timestamp;

/// Runs the command.
pub fn run(command: &PeopleCommand, config: Option<&Path>, printer: &mut Printer) -> Exit {
    let asked = match parse(command) {
        Ok(asked) => asked,
        Err((what, cure)) => {
            printer.problem(what, cure);
            return Exit::Usage;
        }
    };
    let answered = super::configured(config, printer).and_then(|settings| console::ask(&settings, asked, printer));
    match answered {
        Ok(answer) => show(&answer, printer),
        Err(exit) => exit,
    }
}

fn parse(command: &PeopleCommand) -> Result<ConsoleCommand, (String, String)> {
    Ok(match command {
        PeopleCommand::Invite { name, group, admin } => {
            let groups: Result<BTreeSet<_>, _> = group.iter().map(|group| GroupName::parse(group)).collect();
            let groups = groups
                .map_err(|error| (error.to_string(), "spell the group as the rules do: `of = [\"…\"]`".to_owned()))?;
            ConsoleCommand::Invite { name: name.clone(), groups, admin: *admin }
        }
        PeopleCommand::Link { person, issuer, user_id } => ConsoleCommand::Link {
            person: person.clone(),
            issuer: IssuerName::parse(issuer).map_err(|error| {
                (error.to_string(), "use the `name` of an [[issuer]] of the configuration".to_owned())
            })?,
            user_id: user_id.clone(),
        },
        PeopleCommand::List => ConsoleCommand::List,
    })
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
            invitation(person.as_str(), *expires, printer);
            printer.data(link);
        }
        ConsoleAnswer::Linked { person } => printer.data(format!("linked {person}")),
        ConsoleAnswer::People { people } => {
            for line in table(people) {
                printer.data(line);
            }
        }
        // Said already, or another command's.
        ConsoleAnswer::Refused { .. } | ConsoleAnswer::TimeAccepted { .. } => return Exit::No,
    }
    Exit::Yes
}

fn invitation(person: &str, expires: Timestamp, printer: &mut Printer) {
    let until = format!("{} {} UTC", expires.day_month(), expires.hour_minute());
    printer.words(format!("{person} makes a passkey here; the link works once, until {until}:"));
}

/// Columns that are as wide as they need to be.
fn table(people: &[PersonLine]) -> Vec<String> {
    let mut rows = vec![["person", "name", "role", "passkeys", "groups", "linked"].map(str::to_owned).to_vec()];
    for line in people {
        let groups: Vec<_> = line.groups.iter().map(ToString::to_string).collect();
        let or_none = |text: String| if text.is_empty() { "-".to_owned() } else { text };
        rows.push(vec![
            line.person.to_string(),
            line.name.clone(),
            if line.admin { "admin" } else { "member" }.to_owned(),
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
            admin: groups.is_empty(),
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
        let command = PeopleCommand::Invite { name: "Ada".to_owned(), group: vec!["A B".to_owned()], admin: false };
        assert!(parse(&command).unwrap_err().1.contains("as the rules do"));
    }
}

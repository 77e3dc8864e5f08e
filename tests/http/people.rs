//! `/admin/people`: every act of the command line has a form, and a form proposes.

use std::collections::{BTreeMap, BTreeSet};

use clap::CommandFactory as _;
use countersign::app::console::{ConsoleAnswer, ConsoleCommand};
use countersign::app::propose_change::Wish;
use countersign::app::show_people::MAX_PEOPLE_SHOWN;
use countersign::cli::args::Args;
use countersign::domain::people::Role;
use serde_json::{Map, Value, json};

use crate::support::person::{add_passkey, authenticator, in_session, page};
use crate::support::{Person, Server, Snapshot};

/// What is asked for on the command line, and changes nothing.
const LOOKING: [&str; 3] = ["list", "show", "changes"];

/// An input of a form.
#[derive(Debug)]
struct Input {
    name: String,
    kind: String,
    value: String,
    checked: bool,
}

/// A form, by the act that it proposes.
#[derive(Debug)]
struct Form {
    act: String,
    inputs: Vec<Input>,
}

fn attribute(tag: &str, name: &str) -> Option<String> {
    tag.split(&format!(" {name}=\"")).nth(1).map(|rest| rest.split('"').next().unwrap().to_owned())
}

fn forms(html: &str) -> Vec<Form> {
    let form = |rest: &str| {
        let act = rest.split('"').next().unwrap().to_owned();
        let body = rest.split("</form>").next().unwrap();
        let inputs = body.split("<input").skip(1).map(|rest| rest.split('>').next().unwrap());
        let input = |tag: &str| Input {
            name: attribute(tag, "name").unwrap(),
            kind: attribute(tag, "type").unwrap(),
            value: attribute(tag, "value").unwrap_or_default(),
            checked: tag.ends_with(" checked"),
        };
        Form { act, inputs: inputs.map(input).collect() }
    };
    html.split("<form data-wish=\"").skip(1).map(form).collect()
}

impl Form {
    /// What the script would send, were this typed into the fields for text.
    fn wish(&self, typed: &BTreeMap<&str, &str>) -> Value {
        let mut wish = Map::from_iter([("act".to_owned(), json!(self.act))]);
        let mut groups = Vec::new();
        for input in &self.inputs {
            let value = match input.kind.as_str() {
                "text" | "email" => typed.get(input.name.as_str()).map_or(String::new(), |text| (*text).to_owned()),
                "radio" if !input.checked && wish.contains_key(&input.name) => continue,
                "checkbox" => {
                    groups.push(json!(input.value));
                    continue;
                }
                _ => input.value.clone(),
            };
            if input.name != "others" {
                wish.insert(input.name.clone(), json!(value));
            }
        }
        if self.act == "invite" {
            wish.insert("groups".to_owned(), json!(groups));
        }
        Value::Object(wish)
    }

    /// The names of its fields, as the command line has them.
    fn fields(&self) -> BTreeSet<String> {
        let plain = |input: &Input| match input.name.as_str() {
            "groups" | "others" => "group".to_owned(),
            other => other.to_owned(),
        };
        self.inputs.iter().map(plain).collect()
    }
}

struct Scene {
    server: Server,
    session: String,
    pages: Vec<String>,
}

fn at_once(server: &Server, wish: Wish) -> ConsoleAnswer {
    server.console(ConsoleCommand::Change { wish, propose: false })
}

/// People for whom each act can be done: Tom has two passkeys, a group and a user; Sue is suspended; Rex came back.
fn scene() -> Scene {
    let server = Server::start();
    let (mut ada, _bea) = (Person::first_admin(&server), Person::admin(&server, "Bea Admin"));
    let (mut tom, sue) = (Person::manager(&server, "Tom Ahl"), Person::enrol(&server, "Sue", &[]));
    let rex = Person::enrol(&server, "Rex", &[]);
    server.link_starter(&tom.id);
    let of_tom = tom.sign_in(&server);
    add_passkey(&server, &of_tom, &mut authenticator()).expect(200);
    at_once(&server, Wish::Suspend { person: sue.id.clone() });
    let ConsoleAnswer::Invited { link, .. } = at_once(&server, Wish::Recover { person: rex.id.clone() }) else {
        panic!("no link")
    };
    Person::by_link(&server, "Rex", link.rsplit_once('/').unwrap().1.to_owned());
    let session = ada.sign_in(&server);
    let mut pages = vec!["/admin/people".to_owned()];
    pages.extend([&tom, &sue, &rex].map(|person| format!("/admin/people/{}", person.id)));
    Scene { server, session, pages }
}

#[test]
fn every_act_of_the_command_line_has_a_form_with_the_same_fields() {
    let scene = scene();
    let mut offered: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for path in &scene.pages {
        for form in forms(&page(&scene.server, &scene.session, path).expect(200).text()) {
            offered.entry(form.act.clone()).or_default().extend(form.fields());
        }
    }
    let args = Args::command();
    let people = args.find_subcommand("people").unwrap();
    let acts = people.get_subcommands().filter(|act| !LOOKING.contains(&act.get_name()));
    let known: BTreeMap<String, BTreeSet<String>> = acts
        .map(|act| {
            // Two flags say what a choice of the form says.
            let plain = |id: &str| match id {
                "admin" => "role".to_owned(),
                "bot" => "owner".to_owned(),
                "none" => "address".to_owned(),
                other => other.to_owned(),
            };
            (act.get_name().to_owned(), act.get_arguments().map(|one| plain(one.get_id().as_str())).collect())
        })
        .collect();
    assert_eq!(known.len(), 12);
    assert_eq!(offered, known);
}

#[test]
fn every_form_makes_a_change_of_its_kind_and_does_nothing_else() {
    let scene = scene();
    let Scene { server, session, pages } = &scene;
    let typed = BTreeMap::from([
        ("name", "Eva Nyman"),
        ("group", "security"),
        ("user_id", "4242"),
        ("address", "eva@example.com"),
    ]);
    let mut proposed: BTreeMap<String, usize> = BTreeMap::new();
    for path in pages {
        for form in forms(&page(server, session, path).expect(200).text()) {
            let before = Snapshot::of(server);
            let answer = in_session(server, session, "/admin/people/changes", &form.wish(&typed));
            if *proposed.get(&form.act).unwrap_or(&0) > 0 && answer.status == 409 {
                // The same user, or the same group, of a second page.
                assert_eq!(answer.code(), "already_decided", "{}", answer.text());
                continue;
            }
            let answer = answer.expect(200);
            let after = Snapshot::of(server);
            for table in ["person", "membership", "link", "passkey", "invitation", "change_signature"] {
                assert_eq!(after.table(table), before.table(table), "{} changed {table}", form.act);
            }
            let [entry] = after.since(&before) else { panic!("{}: {:?}", form.act, after.since(&before)) };
            assert_eq!((&entry["kind"], &entry["outcome"]), (&json!("change"), &json!("proposed")));
            let html = page(server, session, &answer.member("location")).expect(200).text();
            let kind = format!("<bdi>{}</bdi>", form.act);
            assert!(html.contains("You will sign: ") && html.contains(&kind), "{}: {html}", form.act);
            let has_link = answer.json().get("html").is_some();
            assert_eq!(has_link, matches!(form.act.as_str(), "invite" | "recover"), "{}", form.act);
            *proposed.entry(form.act).or_default() += 1;
        }
    }
    assert_eq!(proposed.len(), 12, "{proposed:?}");
    // What waits stands on the list, and on the page of whom it concerns.
    let list = page(server, session, "/admin/people").expect(200).text();
    assert_eq!(list.matches("href=\"/changes/").count(), proposed.values().sum::<usize>());
    let tom = page(server, session, &pages[1]).expect(200).text();
    assert!(tom.contains("Waiting for signatures") && tom.contains("Suspend <") || tom.contains("Suspend Tom Ahl"));
}

#[test]
fn a_person_is_shown_with_all_that_an_admin_must_know() {
    let scene = scene();
    let Scene { server, session, pages } = &scene;
    let list = page(server, session, "/admin/people").expect(200).text();
    for words in ["Ada Admin", "Bea Admin", "2 passkeys · Unproven: no attestation (2)", "✕ Suspended", "gitlab:88"]
    {
        assert!(list.contains(words), "{words}: {list}");
    }
    assert!(!list.contains("You are the only admin"));
    let tom = page(server, session, &pages[1]).expect(200).text();
    for words in
        ["release-managers", "User 88 of gitlab", "Signed in once", "acr phr", "New: it approves nothing before"]
    {
        assert!(tom.contains(words), "{words}: {tom}");
    }
    let rex = page(server, session, &pages[3]).expect(200).text();
    assert!(rex.contains("Made after a recovery") && rex.contains("data-wish=\"vouch\""), "{rex}");
    let sue = page(server, session, &pages[2]).expect(200).text();
    let acts: Vec<_> = forms(&sue).into_iter().map(|form| form.act).collect();
    assert_eq!(acts, ["restore"], "of somebody who is suspended");
}

#[test]
fn the_only_admin_is_told_so_and_home_tells_what_waits() {
    let server = Server::start();
    let mut ada = Person::first_admin(&server);
    let mut tom = Person::enrol(&server, "Tom Ahl", &[]);
    let (session, of_tom) = (ada.sign_in(&server), tom.sign_in(&server));
    let only = "! You are the only admin. <a href=\"#invite\">Invite a second.</a>";
    assert!(page(&server, &session, "/admin/people").expect(200).text().contains(only));
    let home = |session: &str| page(&server, session, "/").expect(200).text();
    assert!(home(&session).contains("<a href=\"/admin\">Admin</a>") && !home(&session).contains("for a signature"));
    assert!(!home(&of_tom).contains("/admin"));
    let (first, _) = server.propose(Wish::Role { person: tom.id.clone(), role: Role::Auditor });
    assert!(home(&session).contains("1 change waits for a signature. <a href=\"/admin/people#changes\">"));
    server.propose(Wish::Suspend { person: tom.id.clone() });
    assert!(home(&session).contains("2 changes wait for a signature."));
    assert!(!home(&of_tom).contains("for a signature"));
    // An auditor looks, and is asked for nothing.
    ada.sign_change(&server, &first, "approve").expect(200);
    let _bea = Person::admin(&server, "Bea Admin");
    server.pass(24 * 3600 + 1);
    let (session, of_tom) = (ada.sign_in(&server), tom.sign_in(&server));
    assert!(home(&of_tom).contains("<a href=\"/admin\">Admin</a>") && !home(&of_tom).contains("for a signature"));
    assert!(!page(&server, &session, "/admin/people").expect(200).text().contains("You are the only admin"));
}

#[test]
fn a_long_list_goes_on_behind_a_link() {
    let server = Server::start();
    let mut ada = Person::first_admin(&server);
    for n in 0..MAX_PEOPLE_SHOWN {
        server.invite(&format!("Person {n:04}"), &[]);
    }
    let session = ada.sign_in(&server);
    let count = |html: &str| html.matches("href=\"/admin/people/p").count();
    let first = page(&server, &session, "/admin/people").expect(200).text();
    assert_eq!(count(&first), MAX_PEOPLE_SHOWN);
    assert!(first.contains(&format!("href=\"/admin/people?from={MAX_PEOPLE_SHOWN}\"")));
    let rest = page(&server, &session, &format!("/admin/people?from={MAX_PEOPLE_SHOWN}")).expect(200).text();
    assert_eq!(count(&rest), 1);
    assert!(!rest.contains("?from="));
    for odd in ["?from=x", "?from=-1", "?from=99999999999999999999"] {
        assert_eq!(
            count(&page(&server, &session, &format!("/admin/people{odd}")).expect(200).text()),
            MAX_PEOPLE_SHOWN
        );
    }
    assert_eq!(count(&page(&server, &session, "/admin/people?from=18446744073709551615").expect(200).text()), 0);
}

#[test]
fn an_e_mail_address_is_one_persons_and_in_no_entry() {
    let server = Server::start();
    let (mara, ben) = (Person::manager(&server, "Mara"), Person::manager(&server, "Ben"));
    let ask = |person: &Person, email: Option<&str>| {
        let address = email.unwrap_or_default().to_owned();
        ConsoleCommand::Change { wish: Wish::Email { person: person.id.clone(), address }, propose: false }
    };
    server.console(ask(&mara, Some("mara@shop.example")));
    let before = Snapshot::of(&server);
    assert_eq!(before.of_kind("admin").last().unwrap()["outcome"], "email");
    assert!(before.entries.iter().all(|entry| !entry.to_string().contains("shop.example\"@")));
    assert!(before.entries.iter().all(|entry| !entry.to_string().contains("mara@")));
    for (email, code) in [("MARA@shop.example", "name_taken"), ("no address", "parameter_invalid")] {
        assert_eq!(server.console_refuses(ask(&ben, Some(email))), code);
    }
    Snapshot::of(&server).assert_identical(&before);
    let admin = Person::first_admin(&server).sign_in(&server);
    let html = page(&server, &admin, &format!("/admin/people/{}", mara.id)).expect(200).text();
    assert!(html.contains("mara@shop.example"), "{html}");
    server.console(ask(&mara, None));
    server.console(ask(&ben, Some("mara@shop.example")));
}

//! The admin's pages: who may look, and that what they show is so.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use countersign::app::check_first_run::FIRST_RUN;
use countersign::app::check_health::Severity;
use countersign::app::console::{ConsoleAnswer, ConsoleCommand};
use countersign::app::list_refusals::{MAX_LOOKED_AT, MAX_REFUSALS_LISTED};
use countersign::app::list_requests::MAX_REQUESTS_LISTED;
use countersign::app::list_rules::{MAX_RULES_LISTED, MAX_WARNINGS_LISTED};
use countersign::app::look::{Look, Sight};
use countersign::app::propose_change::Wish;
use countersign::app::settings::IssuerSettings;
use countersign::app::show_health::{FIRST_LOOK, Health};
use countersign::domain::ids::{Digest, GroupName, IssuerName, RequestId};
use countersign::domain::job::gitlab::IssuerTerms;
use countersign::domain::log::entry::Event;
use countersign::domain::oauth::client::{Client, ClientAuth};
use countersign::domain::people::Role;
use countersign::domain::rules::explain::lines;
use countersign::domain::time::Timestamp;
use countersign::http::admin::refusal_view::MAX_RULES_DRAWN;
use countersign::http::routes::{TABLE, Who};
use countersign::store::StoreError;
use countersign::upstream::fetch::FETCH_DEADLINE;
use serde_json::Value;

use crate::support::clients::{SECRET, client, code, code_pairs, post, public, server_with};
use crate::support::hostile::Hostile;
use crate::support::https::{Reply, TestServer};
use crate::support::person::page;
use crate::support::rules::{AWS, RULES};
use crate::support::server::block_on;
use crate::support::{Answer, Options, Person, Server, Snapshot, URL, collector};

/// A page as it is read: no tags, one space between words.
fn read(html: &str) -> String {
    let mut text = String::new();
    for part in html.split('<') {
        text.push_str(part.split_once('>').map_or(part, |(_, after)| after));
        text.push(' ');
    }
    for (escaped, letter) in [("&#60;", "<"), ("&#62;", ">"), ("&#34;", "\""), ("&#39;", "'"), ("&#38;", "&")] {
        text = text.replace(escaped, letter);
    }
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn shows(server: &Server, session: &str, path: &str) -> String {
    read(&page(server, session, path).expect(200).text())
}

fn sight(server: &Server, at: Look) -> Sight {
    match server.console(ConsoleCommand::Look { at }) {
        ConsoleAnswer::Seen { sight } => sight,
        other => panic!("{other:?}"),
    }
}

fn health(server: &Server) -> Health {
    match sight(server, Look::Health) {
        Sight::Health(health) => *health,
        other => panic!("{other:?}"),
    }
}

fn role(server: &Server, person: &Person, role: Role) {
    let wish = Wish::Role { person: person.id.clone(), role };
    server.console(ConsoleCommand::Change { wish, propose: false });
}

/// A server with an admin who is signed in.
fn with_admin(options: Options) -> (Server, String) {
    let server = Server::with(options);
    let session = Person::first_admin(&server).sign_in(&server);
    (server, session)
}

fn refuse(server: &Server, project: &str) -> u64 {
    let job = server.job().with("job_project_id", project).with("project_id", project);
    let answer = server.exchange(&job.sign(), &[AWS]).send().invalid("no_rule_matches");
    answer.json()["log"]["index"].as_u64().unwrap()
}

#[test]
fn only_admins_and_auditors_see_them_and_are_judged_at_each_call() {
    let server = server_with(vec![client("grafana")]);
    let (mut ada, mut bea) = (Person::first_admin(&server), Person::admin(&server, "Bea"));
    let (mut tom, mut uma) = (Person::manager(&server, "Tom"), Person::enrol(&server, "Uma", &[]));
    role(&server, &uma, Role::Auditor);
    let entry = refuse(&server, "1234");
    let sessions = [&mut ada, &mut bea, &mut tom, &mut uma].map(|person| person.sign_in(&server));
    let [of_ada, of_bea, of_tom, of_uma] = &sessions;
    let paths: Vec<_> = TABLE
        .iter()
        .filter(|row| row.who == Who::Admin && row.method == "GET")
        .map(|row| row.path.replace("{number}", &entry.to_string()).replace("{person}", &tom.id))
        .map(|path| path.replace("{client}", "grafana"))
        .collect();
    assert!(paths.len() >= 6, "{paths:?}");
    let before = Snapshot::of(&server);
    for path in &paths {
        page(&server, of_ada, path).expect(200);
        page(&server, of_uma, path).expect(200);
        let hidden = page(&server, of_tom, path).expect(404).text();
        assert!(hidden.contains("This page does not exist, or it is not yours to see."), "{hidden}");
        let out = server.get(path).expect(303);
        assert!(out.header("location").unwrap().starts_with("/sign-in?next="), "{path}");
        assert!(out.body.is_empty());
    }
    Snapshot::of(&server).assert_identical(&before);
    // What somebody was when they signed in does not count.
    role(&server, &bea, Role::Member);
    role(&server, &tom, Role::Auditor);
    page(&server, of_bea, "/admin").expect(404);
    page(&server, of_tom, "/admin").expect(200);
    let wish = Wish::Suspend { person: uma.id.clone() };
    server.console(ConsoleCommand::Change { wish, propose: false });
    page(&server, of_uma, "/admin/keys").expect(303);
}

#[test]
fn numbers_that_are_none_lead_nowhere() {
    let (server, session) = with_admin(Options::default());
    refuse(&server, "1234");
    for path in ["/admin/refusals/0", "/admin/refusals/999999", "/admin/refusals/x", "/admin/refusals/-1"] {
        page(&server, &session, path).expect(404);
    }
    // What is no number in a query is as if it were not there.
    for path in ["/admin/rules?first=x&before=-1", "/admin/rules?first=0", "/admin/rules?before=99999999"] {
        assert!(shows(&server, &session, path).contains("no_rule_matches"), "{path}");
    }
    assert!(!shows(&server, &session, "/admin/rules?before=0").contains("no_rule_matches"));
    assert!(shows(&server, &session, "/admin/rules?first=18446744073709551615").contains("Refused tokens"));
}

/// Whether each step of the first run is done, as the page has it; empty where the list is gone.
fn steps(html: &str) -> Vec<bool> {
    let part = |all: &str| all.split("class=\"steps\"").nth(1).map(str::to_owned);
    let Some(list) = part(html) else { return Vec::new() };
    let list = list.split("</ol>").next().unwrap().to_owned();
    list.split("<li>").skip(1).map(|step| step.contains(", done")).collect()
}

#[test]
fn the_first_run_ticks_itself_and_then_is_gone() {
    let trusted_proxies = vec!["127.0.0.1/32".parse().unwrap()];
    let (mut server, session) = with_admin(Options { trusted_proxies, ..Options::rules("") });
    let seen = |server: &Server| steps(&page(server, &session, "/admin").expect(200).text());
    assert_eq!(seen(&server), [true, true, false, false, false, false]);
    let text = shows(&server, &session, "/admin");
    for words in [
        "no rule allows anything, so nothing is issued",
        "countersign people invite NAME --admin",
        "put countersign token --audience AUDIENCE into a job",
        "no other machine fetched https://sign.shop.example/jwks",
    ] {
        assert!(text.contains(words), "{words}: {text}");
    }
    server.load_rules(RULES);
    assert_eq!(seen(&server), [true, true, true, false, false, false]);
    let mut bea = Person::admin(&server, "Bea");
    assert_eq!(seen(&server), [true, true, true, true, false, false]);
    // This machine's own look at the keys is nobody's trust.
    server.get("/jwks").expect(200);
    server.call("HEAD", "/jwks").header("x-forwarded-for", "198.51.100.7").send().expect(200);
    assert_eq!(seen(&server), [true, true, true, true, false, false]);
    server.exchange(&server.job().environment("staging").sign(), &[AWS]).send().expect(200);
    assert_eq!(seen(&server), [true, true, true, true, true, false]);
    // A new server waits for its cloud; one that has issued for a week is no new one.
    server.pass(FIRST_RUN.as_secs());
    let session = bea.sign_in(&server);
    assert_eq!(steps(&page(&server, &session, "/admin").expect(200).text()), [true, true, true, true, true, false]);
    server.pass(1);
    assert!(steps(&page(&server, &session, "/admin").expect(200).text()).is_empty());
    assert!(health(&server).first_run.over);
    server.call("GET", "/jwks").header("x-forwarded-for", "198.51.100.7").send().expect(200);
    let cloud = health(&server).first_run.steps.pop().unwrap();
    assert!(cloud.done && cloud.text.starts_with("198.51.100.7 fetched our keys"), "{cloud:?}");
}

#[test]
fn health_tells_what_the_server_finds_worst_first() {
    let (server, session) = with_admin(Options::default());
    let _tom = Person::manager(&server, "Tom");
    let text = shows(&server, &session, "/admin");
    let health = health(&server);
    // What is typed stands apart by its letters, and not by backticks and spaces.
    let bare = |text: &str| text.replace(['`', ' '], "");
    let (mut at, all) = (0, bare(&text));
    for finding in &health.findings {
        at += all[at..].find(&bare(&finding.text)).unwrap_or_else(|| panic!("{finding:?} after {at}: {text}"));
        assert!(finding.cure.as_ref().is_none_or(|cure| all.contains(&bare(cure))), "{finding:?}");
    }
    let severities: Vec<_> = health.findings.iter().map(|finding| finding.severity).collect();
    assert!(severities.is_sorted_by(|a, b| a >= b), "{severities:?}");
    // One manager, and a rule that wants two.
    assert_eq!(health.findings[0].severity, Severity::Fail);
    assert!(health.findings[0].text.contains("\"finance deploy\" wants 2 to sign, and 1 can"));
    for word in ["✕ Fault", "! Warning", "✓ Good"] {
        assert!(text.contains(word), "{word}: {text}");
    }
    let entries = Snapshot::of(&server).entries.len();
    assert_eq!((health.log.entries, health.log.checkpoint), (entries as u64, entries as u64));
    assert!(text.contains(&format!("{entries} entries in sign.shop.example/log")), "{text}");
    assert!(health.log.note.starts_with("sign.shop.example/log\n") && text.contains("— sign.shop.example/log"));
    assert!(text.contains(&format!("Version {}", env!("CARGO_PKG_VERSION"))));
    assert!(text.contains("none configured, so no passkey is proven hardware"));
    // A clock that stepped signs nobody in, so the console alone tells of it.
    let now = server.now();
    server.hand.set(Timestamp::from_seconds(now + 120));
    let stepped = self::health(&server);
    assert!(stepped.findings.iter().any(|one| one.severity == Severity::Fail && one.subject == "clock"));
    server.hand.set(Timestamp::from_seconds(now));
}

#[test]
fn rules_stand_in_the_order_of_asking_with_what_they_mean() {
    let (mut server, session) = with_admin(Options::default());
    let _tom = Person::manager(&server, "Tom");
    let text = shows(&server, &session, "/admin/rules");
    let rules = server.app.rules();
    let mut at = 0;
    for (place, rule) in rules.rules.iter().enumerate() {
        let heading = format!("{} · {}", place + 1, rule.name);
        at += text[at..].find(&heading).unwrap_or_else(|| panic!("{heading} after {at}: {text}"));
        assert!(text.contains(&rule.digest().to_string()), "{heading}");
    }
    assert!(text.contains("1 · never here ✕ denies"), "deny rules first: {text}");
    for words in [
        "rules.toml:2",
        "Deploy from the project itself.",
        "environment finance",
        "not from forks",
        "approval · 2 of release-managers (1 can sign), within 15 min",
        "✕ Too few: 1 can sign, and 2 must.",
        "none · nobody",
        "acr phr",
        "nobody approves, and every branch of the project can run such a job",
        "not whoever started the job",
    ] {
        assert!(text.contains(words), "{words}: {text}");
    }
    let Sight::Rules(seen) = sight(&server, Look::Rules { first: 1 }) else { panic!() };
    assert_eq!((seen.total, seen.next), (5, None));
    assert_eq!(seen.digest, rules.rules.digest());
    let logged = Snapshot::of(&server).of_kind("rules").last().unwrap()["seq"].as_u64().unwrap();
    assert_eq!(seen.logged.unwrap().0, logged);
    let _wim = Person::manager(&server, "Wim");
    assert!(!shows(&server, &session, "/admin/rules").contains("Too few"));
    // More rules than a page takes.
    let rule = |n: usize| {
        format!(
            "[[rule]]\nname = \"rule {n:03}\"\nmatch = {{ issuer = \"gitlab\", job_project_id = \"{n}\" }}\n\
             audience = [\"a\"]\nrequire = \"none\"\ntoken = {{ sub = \"gitlab:{{job_project_id}}\" }}\n"
        )
    };
    let many = MAX_RULES_LISTED + 7;
    server.load_rules(&(1..=many).map(rule).collect::<String>());
    let first = page(&server, &session, "/admin/rules").expect(200).text();
    assert!(first.contains("rule 100<") && !first.contains("101 · "), "one page");
    assert!(first.contains("href=\"/admin/rules?first=101\""));
    // Each of them asks nobody, which is worth a warning.
    let Sight::Rules(seen) = sight(&server, Look::Rules { first: 1 }) else { panic!() };
    assert_eq!((seen.warnings.len(), seen.more_warnings), (MAX_WARNINGS_LISTED, many - MAX_WARNINGS_LISTED));
    let more = format!("! and {} more: countersign rule check", many - MAX_WARNINGS_LISTED);
    assert!(read(&first).contains(&more), "{}", read(&first));
    assert_eq!(read(&first).matches("nobody approves, and every branch").count(), MAX_WARNINGS_LISTED);
    let second = shows(&server, &session, "/admin/rules?first=101");
    assert!(second.contains("101 · rule 101") && second.contains("107 · rule 107"));
    assert!(!second.contains("Next rules"));
}

#[test]
fn refused_tokens_are_listed_in_pages_and_explained_as_the_command_does() {
    let (server, session) = with_admin(Options::default());
    let entries: Vec<u64> = (0..MAX_REFUSALS_LISTED + 3).map(|at| refuse(&server, &format!("9{at:03}"))).collect();
    let listed = |path: &str| -> (Vec<u64>, Option<String>) {
        let html = page(&server, &session, path).expect(200).text();
        let number = |part: &str| part.split('"').next().unwrap().to_owned();
        let entries = html.split("data-entry=\"").skip(1).map(|part| number(part).parse().unwrap()).collect();
        (entries, html.split("href=\"/admin/rules?before=").nth(1).map(number))
    };
    let (newest, older) = listed("/admin/rules");
    // The state was founded with one of its own.
    let founding = Snapshot::of(&server).of_kind("refusal").next().unwrap()["seq"].as_u64().unwrap();
    let expected: Vec<_> = entries.iter().rev().copied().chain([founding]).collect();
    assert_eq!(newest, expected[..MAX_REFUSALS_LISTED]);
    let (rest, _) = listed(&format!("/admin/rules?before={}", older.unwrap().trim_end_matches("#refused")));
    assert_eq!(rest, expected[MAX_REFUSALS_LISTED..]);
    let text = shows(&server, &session, "/admin/rules");
    assert!(text.contains("shop/api") && text.contains("gitlab project 9027"), "{text}");
    assert!(text.contains("no_rule_matches · no rule matches this job"), "{text}");
    let Sight::Refusals(seen) = sight(&server, Look::Refusals { before: None }) else { panic!() };
    assert_eq!(seen.refusals.iter().map(|line| line.entry).collect::<Vec<_>>(), newest);
    // What was asked stands in the entry; the tree is the command's.
    let job = server.job().environment("nowhere");
    let answer = server.exchange(&job.sign(), &[AWS, "b"]).send().invalid("no_rule_matches");
    let entry = answer.json()["log"]["index"].as_u64().unwrap();
    let explained = server.app.explain_entry(entry, Vec::new()).unwrap();
    let asked: Vec<_> = explained.asked.iter().map(|audience| audience.as_str()).collect();
    assert_eq!(asked, [AWS, "b"]);
    let text = shows(&server, &session, &format!("/admin/refusals/{entry}"));
    assert!(text.contains(&format!("Asked for {AWS} b")), "{text}");
    let bare = |text: &str| text.replace(['`', ' '], "");
    let (mut at, all) = (0, bare(&text));
    for line in lines(&explained.trace, &explained.outcome) {
        at += all[at..].find(&bare(&line)).unwrap_or_else(|| panic!("{line} after {at}: {text}"));
    }
    assert!(text.contains("✕ environment: wants \"production\", there is \"nowhere\""), "{text}");
    // A refused signature holds no job token, and is none of these.
    let mut eve = Person::enrol(&server, "Eve", &["others"]);
    let _tom = Person::manager(&server, "Tom");
    let request = server.ask(&server.job().sign(), &collector());
    eve.decide(&server, &request, "approve").expect(403);
    assert_eq!(listed("/admin/rules").0[0], entry);
}

#[test]
fn a_page_of_refusals_looks_at_so_many_entries_and_the_next_goes_on() {
    let (server, session) = with_admin(Options::default());
    let old = refuse(&server, "1234");
    let append = server.app.store.write(|unit| -> Result<(), StoreError> {
        (0..MAX_LOOKED_AT).try_for_each(|_| unit.append(Event::Clock { step: 0 }).map(drop))
    });
    block_on(append).unwrap();
    let size = Snapshot::of(&server).entries.len() as u64;
    let Sight::Refusals(seen) = sight(&server, Look::Refusals { before: None }) else { panic!() };
    assert_eq!((seen.refusals.len(), seen.before), (0, Some(size - MAX_LOOKED_AT)), "the entry before it is not read");
    let html = page(&server, &session, "/admin/rules").expect(200).text();
    assert!(html.contains(&format!("href=\"/admin/rules?before={}", size - MAX_LOOKED_AT)), "{html}");
    let Sight::Refusals(rest) = sight(&server, Look::Refusals { before: seen.before }) else { panic!() };
    assert_eq!(rest.refusals[0].entry, old);
}

#[test]
fn the_page_that_explains_a_refusal_draws_so_many_rules_and_says_how_many_more_there_are() {
    let (mut server, session) = with_admin(Options::default());
    let rule = |n: usize| {
        format!(
            "[[rule]]\nname = \"rule {n:04}\"\naudience = [\"a\"]\nrequire = \"none\"\n\
             match = {{ issuer = \"gitlab\", job_project_id = \"4711\", environment = \"e{n}\" }}\n"
        )
    };
    let answer = |server: &Server| {
        let entry = server.exchange(&server.job().sign(), &["a"]).send().invalid("no_rule_matches").json();
        let entry = entry["log"]["index"].as_u64().unwrap();
        let text = shows(server, &session, &format!("/admin/refusals/{entry}"));
        (text.matches("✕ \"rule ").count(), text)
    };
    server.load_rules(&(1..=MAX_RULES_DRAWN).map(rule).collect::<String>());
    let (drawn, text) = answer(&server);
    assert_eq!((drawn, text.contains("more rules")), (MAX_RULES_DRAWN, false));
    server.load_rules(&(1..=MAX_RULES_DRAWN + 3).map(rule).collect::<String>());
    let (drawn, text) = answer(&server);
    assert_eq!(drawn, MAX_RULES_DRAWN);
    assert!(text.contains("and 3 more rules: countersign rule explain"), "{text}");
}

#[test]
fn health_waits_a_moment_for_an_issuer_that_was_never_asked_and_then_shows_the_rest() {
    let stalls = TestServer::start();
    // It answers after the page has waited, and before the fetch gives up.
    stalls.answer("/.well-known/openid-configuration", Reply::Gated(Vec::new()));
    assert!(FIRST_LOOK < FETCH_DEADLINE);
    let terms = IssuerTerms {
        name: IssuerName::parse("stalls").unwrap(),
        url: stalls.url(),
        our_url: URL.to_owned(),
        legacy: BTreeSet::new(),
        identity_provider: None,
        projects: None,
        namespaces: None,
    };
    let issuer = IssuerSettings {
        terms,
        jwks_host: None,
        pinned_jwks: None,
        ca_file: Some(stalls.ca_file.clone()),
        allow_private: true,
        stale_use: Duration::from_hours(24),
    };
    let (server, session) = with_admin(Options { issuers: vec![issuer], ..Options::default() });
    let text = shows(&server, &session, "/admin");
    assert_eq!(stalls.asked("/.well-known/openid-configuration"), 1);
    assert!(text.contains(&format!("{}: not asked yet", stalls.url())), "what came of it is not there yet: {text}");
    stalls.open_gate();
}

fn unreachable(hostile: &Hostile, kind: &str) -> IssuerSettings {
    IssuerSettings {
        terms: IssuerTerms {
            name: IssuerName::parse(kind).unwrap(),
            url: format!("{}/{kind}", hostile.url),
            our_url: URL.to_owned(),
            legacy: BTreeSet::new(),
            identity_provider: None,
            projects: Some(BTreeSet::from(["4711".to_owned(), "4712".to_owned()])),
            namespaces: Some(BTreeSet::from(["310".to_owned()])),
        },
        jwks_host: None,
        pinned_jwks: None,
        ca_file: Some(hostile.ca.clone()),
        allow_private: true,
        stale_use: Duration::from_hours(24),
    }
}

#[test]
fn issuers_tell_their_keys_and_what_failed() {
    let hostile = Hostile::start();
    let issuers = ["redirect", "good"].map(|kind| unreachable(&hostile, kind)).to_vec();
    let (server, session) = with_admin(Options { issuers, ..Options::default() });
    let text = shows(&server, &session, "/admin/issuers");
    assert_eq!(text.matches("not asked yet").count(), 2, "{text}");
    assert_eq!(hostile.calls("redirect"), 0, "looking at the list asks nobody");
    // The first look at the server's health does, once.
    shows(&server, &session, "/admin");
    let text = shows(&server, &session, "/admin/issuers");
    for words in [
        "gitlab ✓ pinned",
        "redirect ✕ no keys",
        "redirects are not followed",
        "a token has it asked again in 0:15 at the earliest",
        "Cure: open port 443 to",
        "Admits projects 4711, 4712; namespaces 310",
        "Admits every project that a rule names",
        "the keys of the last token that was verified are log entry",
    ] {
        assert!(text.contains(words), "{words}: {text}");
    }
    let Sight::Issuers(lines) = sight(&server, Look::Issuers) else { panic!() };
    let names: Vec<_> = lines.iter().map(|line| (line.name.as_str(), line.usable)).collect();
    assert_eq!(names, [("gitlab", true), ("other", true), ("redirect", false), ("good", true)]);
    let good = &lines[3];
    assert!(!good.keys.is_empty() && good.failure.is_none() && good.fetched.is_some() && good.next.is_some());
    for line in &lines {
        for key in &line.keys {
            assert!(text.contains(&format!("{} {}", key.kid, key.alg.as_str())), "{key:?}: {text}");
        }
    }
    let logged = Snapshot::of(&server).of_kind("issuer-keys").next().unwrap()["seq"].as_u64().unwrap();
    assert_eq!(lines[0].logged.unwrap().0, logged);
    let found = health(&server).findings;
    assert!(found.iter().any(|one| one.subject == "redirect" && one.severity == Severity::Fail), "{found:?}");
    let first_run = health(&server).first_run;
    assert!(!first_run.steps[1].done && first_run.steps[1].next.as_ref().unwrap().contains("jwks_file"));
    let asked = hostile.calls("redirect");
    shows(&server, &session, "/admin");
    assert_eq!(hostile.calls("redirect"), asked, "what is known is not asked again");
}

#[test]
fn keys_are_those_that_are_published_and_nothing_secret_is_told() {
    let (server, session) = with_admin(Options::default());
    let html = page(&server, &session, "/admin/keys").expect(200).text();
    let text = read(&html);
    let published = server.get("/jwks").expect(200).json();
    let kids: BTreeSet<_> =
        published["keys"].as_array().unwrap().iter().map(|key| key["kid"].as_str().unwrap().to_owned()).collect();
    let Sight::Keys(seen) = sight(&server, Look::Keys) else { panic!() };
    assert_eq!(seen.signing.iter().map(|line| line.kid.to_string()).collect::<BTreeSet<_>>(), kids);
    for line in &seen.signing {
        assert!(text.contains(line.kid.as_str()) && text.contains(line.alg.as_str()), "{text}");
    }
    assert_eq!(text.matches("✓ signs, published").count(), 2, "{text}");
    assert!(text.contains(&server.app.log_vkey), "{text}");
    assert!(text.contains("the file master.key") && text.contains("the file mark"), "{text}");
    let entries = Snapshot::of(&server).entries.len();
    assert!(text.contains(&format!("{entries} of {entries} entries are under it")), "{text}");
    for file in ["master.key", "log.key"] {
        let secret = std::fs::read(server.directory.join(file)).unwrap();
        let secret = String::from_utf8_lossy(&secret).into_owned();
        for word in secret.split_whitespace().filter(|word| word.len() > 20) {
            assert!(!html.contains(word), "{file}");
        }
    }
}

#[test]
fn requests_are_listed_by_rule_with_what_they_wait_for() {
    let (server, session) = with_admin(Options::default());
    let (mut tom, _uma) = (Person::manager(&server, "Tom"), Person::manager(&server, "Uma"));
    assert!(shows(&server, &session, "/admin/requests").contains("Nothing waits."));
    let keys: Vec<_> = (0..4).map(|_| collector()).collect();
    let finance = server.ask(&server.job().environment("finance").sign(), &keys[0]);
    server.pass(60);
    let production = server.ask(&server.job().sign(), &keys[1]);
    let contested_job = server.job().sign();
    let contested = server.ask(&contested_job, &keys[2]);
    let denied = server.ask(&server.job().sign(), &keys[3]);
    tom.approve(&server, &finance);
    tom.approve(&server, &production);
    tom.deny(&server, &denied);
    server.exchange(&contested_job, &[AWS]).collector(&collector()).send().invalid("other_collector");
    let html = page(&server, &session, "/admin/requests").expect(200).text();
    let text = read(&html);
    for words in [
        "3 requests wait.",
        "finance deploy 1",
        "production deploy 2",
        "1 of 2 signed · waits for signatures",
        "1 of 1 signed · approved, not collected",
        "! contested: it can only be denied",
        "14:00 left",
        "for sts.amazonaws.com",
        "production · shop/api",
    ] {
        assert!(text.contains(words), "{words}: {text}");
    }
    let links: Vec<_> = html.split("href=\"/a/").skip(1).map(|rest| rest.split('"').next().unwrap()).collect();
    assert_eq!(links[0], finance, "by rule");
    let listed: BTreeSet<_> = links.iter().copied().collect();
    assert_eq!(listed, BTreeSet::from([&*finance, &*production, &*contested]));
    // Neither the code, for which the request's own page is, nor a name, nor a collector.
    for request in [&finance, &production, &contested] {
        let code =
            server.app.view_request(&RequestId::parse(request).unwrap()).unwrap().unwrap().row.request.code.to_string();
        assert!(!html.contains(&code));
    }
    assert!(!html.contains("Tom") && keys.iter().all(|key| !html.contains(key)));
    let Sight::Requests(seen) = sight(&server, Look::Requests) else { panic!() };
    assert_eq!(seen.requests.iter().map(|line| line.request.as_str()).collect::<Vec<_>>(), links);
    assert_eq!(seen.requests[0].link, format!("{URL}/a/{finance}"));
    assert!(!seen.more);
    // Time ends them.
    server.pass(20 * 60 + 1);
    assert!(shows(&server, &session, "/admin/requests").contains("Nothing waits."));
}

#[test]
fn a_list_of_requests_has_an_end() {
    let (server, session) = with_admin(Options::default());
    let _tom = Person::manager(&server, "Tom");
    for _ in 0..=MAX_REQUESTS_LISTED {
        server.ask(&server.job().sign(), &collector());
    }
    let text = shows(&server, &session, "/admin/requests");
    assert!(text.contains(&format!("{MAX_REQUESTS_LISTED} requests wait. There are more, which end later.")), "{text}");
}

/// Hostile words of a job, wherever the admin's pages show them.
#[test]
fn attack_074_claims_are_text_on_the_admins_pages() {
    let (mut server, session) = with_admin(Options::default());
    let _tom = Person::manager(&server, "Tom");
    let hostile = "shop/<img src=x onerror=alert(1)>\u{200b}";
    let job = server.job().with("job_project_path", hostile).with("project_path", hostile);
    server.ask(&job.sign(), &collector());
    let refused = server.job().with("job_project_path", hostile).environment("<script>alert(1)</script>");
    let answer = server.exchange(&refused.sign(), &["<b>aud"]).send();
    let entry: Value = answer.json()["log"]["index"].clone();
    assert!(entry.is_u64(), "{}", answer.text());
    server.load_rules(&RULES.replace("name     = \"staging deploy\"", "name     = \"<i>staging</i> {{ 7 }}\""));
    for (path, shown) in [
        ("/admin/requests".to_owned(), "&#60;img src=x"),
        ("/admin/rules".to_owned(), "&#60;i&#62;staging"),
        (format!("/admin/refusals/{entry}"), "&#60;script&#62;alert"),
    ] {
        let html = page(&server, &session, &path).expect(200).text();
        for wrong in ["<img", "<script>", "<i>", "<b>aud", "\u{200b}"] {
            assert!(!html.contains(wrong), "{path}: {wrong}");
        }
        assert!(html.contains(shown), "{path}: {html}");
    }
    let html: Answer = page(&server, &session, "/admin/requests");
    assert!(html.text().contains("\\u{200b}"), "what hides is shown");
}

#[test]
fn clients_tell_what_they_may_and_when_they_had_a_token() {
    let sre = GroupName::parse("sre").unwrap();
    let grafana = Client { groups: Some(BTreeSet::from([sre])), par: true, ..client("grafana") };
    let two = ClientAuth::Post(vec![Digest::of(b"new"), Digest::of(b"old")]);
    let argo = Client { name: "Argo\u{200b} CD".to_owned(), auth: two, ..client("argo") };
    let options =
        Options { clients: vec![Arc::new(grafana), Arc::new(argo), Arc::new(public("spa"))], ..Options::default() };
    let (server, session) = with_admin(options);
    let text = shows(&server, &session, "/admin/clients");
    for words in [
        "Grafana grafana",
        "members of sre",
        "client_secret_basic",
        "authorization_code, refresh_token",
        "email groups offline_access openid profile",
        "https://grafana.example/cb",
        "pushes its requests",
        "Two secrets count",
        "! invisible or",
    ] {
        assert!(text.contains(words), "{words}: {text}");
    }
    assert_eq!(text.matches("none yet").count(), 3, "{text}");
    for secret in [Digest::of(b"new").to_string(), Digest::of(SECRET.as_bytes()).to_string()] {
        assert!(!text.contains(&secret), "{text}");
    }
    let mara = Person::manager(&server, "Mara").sign_in(&server);
    let code = code(&server, &mara, "spa", "openid");
    let pairs = [code_pairs(&code), vec![("client_id", "spa")]].concat();
    post(&server, "/token", &pairs).send().expect(200);
    assert_eq!(shows(&server, &session, "/admin/clients").matches("none yet").count(), 2);
    let Sight::Clients(lines) = sight(&server, Look::Clients) else { panic!() };
    let used: Vec<_> = lines.iter().map(|line| (line.id.as_str(), line.last_used.is_some())).collect();
    assert_eq!(used, [("grafana", false), ("argo", false), ("spa", true)]);
    let (server, session) = with_admin(Options::default());
    assert!(shows(&server, &session, "/admin/clients").contains("There are none."));
}

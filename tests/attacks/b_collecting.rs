//! Collecting: once, by one, also after a lost answer.

use serde_json::json;

use crate::support::rules::{AWS, GCP, VAULT};
use crate::support::server::parts;
use crate::support::wire::Call;
use crate::support::{Logged, Options, Person, Server, Snapshot, collector, refused};

#[test]
fn attack_020_an_approved_token_is_collected_by_its_collector_alone() {
    let mut server = Server::start();
    let mut mara = Person::manager(&server, "Mara");
    let (token, key) = (server.job().sign(), collector());

    let before = Snapshot::of(&server);
    let answer = server.exchange(&token, &[AWS]).send().invalid("collector_required");
    refused(&server, &before, &answer, Logged::Yes);
    let before = Snapshot::of(&server);
    for malformed in [&key[..31], "", &"a".repeat(129), &format!("{}!", &key[..40])] {
        let answer = server.exchange(&token, &[AWS]).collector(malformed).send().invalid("collector_malformed");
        refused(&server, &before, &answer, Logged::No);
    }

    let id = server.ask(&token, &key);
    mara.approve(&server, &id);
    let first = server.exchange(&token, &[AWS]).collector(&key).send().expect(200).claims();
    for round in 0..2 {
        let before = Snapshot::of(&server);
        let again = server.exchange(&token, &[AWS]).collector(&key).send().expect(200).claims();
        assert_eq!(again, first);
        Snapshot::of(&server).assert_identical(&before);
        let other = collector();
        for wrong in [None, Some(&other)] {
            let before = Snapshot::of(&server);
            let mut call = server.exchange(&token, &[AWS]);
            if let Some(wrong) = wrong {
                call = call.collector(wrong);
            }
            refused(&server, &before, &call.send().invalid("other_collector"), Logged::Yes);
        }
        let before = Snapshot::of(&server);
        let answer = server.exchange(&token, &[VAULT]).collector(&key).send().invalid("token_spent");
        refused(&server, &before, &answer, Logged::Yes);
        if round == 0 {
            server.restart();
        }
    }
    // Until `exp`, and not a moment longer.
    server.pass(599);
    server.exchange(&token, &[AWS]).collector(&key).send().expect(200);
    server.pass(1);
    let before = Snapshot::of(&server);
    let answer = server.exchange(&token, &[AWS]).collector(&key).send().invalid("token_spent");
    refused(&server, &before, &answer, Logged::Yes);
    assert_eq!(Snapshot::of(&server).count("token"), 1);
}

#[test]
fn attack_020_a_token_that_nobody_approved_is_spent_once() {
    let mut server = Server::start();
    let token = server.job().environment("staging").sign();
    server.exchange(&token, &[AWS]).send().expect(200);
    let key = collector();
    for round in 0..2 {
        for wanted in [None, Some(&key)] {
            for audience in [AWS, VAULT] {
                let before = Snapshot::of(&server);
                let mut call = server.exchange(&token, &[audience]);
                if let Some(key) = wanted {
                    call = call.collector(key);
                }
                refused(&server, &before, &call.send().invalid("token_spent"), Logged::Yes);
            }
        }
        if round == 0 {
            server.restart();
        }
    }
    // It is remembered as long as it would be accepted.
    server.pass(3595 + 29);
    server.exchange(&token, &[AWS]).send().invalid("token_spent");
    server.pass(1);
    server.exchange(&token, &[AWS]).send().invalid("token_expired");
}

#[test]
fn attack_020_a_collector_is_kept_hashed() {
    let server = Server::start();
    let (token, key) = (server.job().environment("staging").sign(), collector());
    let first = server.exchange(&token, &[AWS]).collector(&key).send().expect(200).claims();
    assert_eq!(server.exchange(&token, &[AWS]).collector(&key).send().expect(200).claims(), first);
    server.exchange(&token, &[AWS]).collector(&collector()).send().invalid("other_collector");
    server.app.store.write_blocking(|unit| unit.reader().size()).unwrap();
    for file in std::fs::read_dir(&server.directory).unwrap() {
        let bytes = std::fs::read(file.unwrap().path()).unwrap();
        assert!(crate::support::wire::find(&bytes, key.as_bytes()).is_none(), "the collector lies on the disk");
    }
}

fn all_at_once(calls: Vec<Call>) -> Vec<crate::support::Answer> {
    let threads: Vec<_> = calls.into_iter().map(|call| std::thread::spawn(move || call.send())).collect();
    threads.into_iter().map(|thread| thread.join().unwrap()).collect()
}

#[test]
fn attack_021_a_hundred_collectors_at_once_get_one_token() {
    let server = Server::with(Options { workers: 4, ..Options::default() });
    let mut mara = Person::manager(&server, "Mara");
    let (token, key) = (server.job().sign(), collector());
    let id = server.ask(&token, &key);
    mara.approve(&server, &id);
    server.pass(6);
    let call = server.exchange(&token, &[AWS]).collector(&key).call();
    let answers = all_at_once(vec![call; 100]);
    let mut ids = std::collections::BTreeSet::new();
    for answer in &answers {
        assert_eq!(answer.status, 200, "{}", answer.text());
        server.note(answer);
        ids.insert(answer.claims()["jti"].to_string());
    }
    assert_eq!(ids.len(), 1);
    assert_eq!(Snapshot::of(&server).count("token"), 1);
}

#[test]
fn attack_021_the_database_itself_holds_one_token_an_audience() {
    let server = Server::start();
    let mut mara = Person::manager(&server, "Mara");
    let (token, key) = (server.job().sign(), collector());
    let id = server.ask(&token, &key);
    mara.approve(&server, &id);
    server.pass(6);
    server.exchange(&token, &[AWS]).collector(&key).send().expect(200);
    let database = rusqlite::Connection::open(server.directory.join("countersign.db")).unwrap();
    let columns = "binding, audience, request, collector, claims, kid, exp";
    for changed in [columns, &columns.replace("binding", "binding + 1"), &columns.replace("request,", "NULL,")] {
        // One with another id, in another entry, for the same job token or the same request.
        let again =
            format!("INSERT INTO issued (jti, entry, {columns}) SELECT 'again', entry - 1, {changed} FROM issued");
        let refused = database.execute(&again, []).unwrap_err().to_string();
        assert!(refused.contains("UNIQUE constraint failed: issued."), "{changed}: {refused}");
    }
}

#[test]
fn attack_021_a_stranger_among_the_collectors_contests_or_comes_too_late() {
    let server = Server::with(Options { workers: 4, ..Options::default() });
    let mut mara = Person::manager(&server, "Mara");
    for _ in 0..4 {
        let (token, key) = (server.job().sign(), collector());
        let id = server.ask(&token, &key);
        mara.approve(&server, &id);
        server.pass(61);
        let own = server.exchange(&token, &[AWS]).collector(&key).call();
        let strange = server.exchange(&token, &[AWS]).collector(&collector()).call();
        let calls = (0..50).map(|n| if n % 2 == 0 { own.clone() } else { strange.clone() }).collect();
        let answers = all_at_once(calls);
        let tokens: std::collections::BTreeSet<_> = answers
            .iter()
            .filter(|answer| answer.status == 200)
            .map(|answer| answer.claims()["jti"].to_string())
            .collect();
        for (n, answer) in answers.iter().enumerate() {
            match (n % 2, answer.status, answer.code().as_str()) {
                (0, 200, _) => server.note(answer),
                (0, 400, "request_contested") | (1, 400, "other_collector") => {}
                other => panic!("{other:?}: {}", answer.text()),
            }
        }
        let snapshot = Snapshot::of(&server);
        let contested =
            snapshot.of_kind("request").any(|entry| entry["outcome"] == "contested" && entry["request"] == id.as_str());
        assert_eq!(tokens.len(), usize::from(!contested), "either contested, or one token");
    }
}

#[test]
fn attack_021_a_stranger_before_the_issue_contests() {
    let server = Server::start();
    let mut mara = Person::manager(&server, "Mara");
    let (token, key) = (server.job().sign(), collector());
    let id = server.ask(&token, &key);
    server.pass(6);
    server.exchange(&token, &[AWS]).collector(&collector()).send().invalid("other_collector");
    let answer = server.exchange(&token, &[AWS]).collector(&key).send();
    answer.expect_error(400, "access_denied", "request_contested");
    mara.decide(&server, &id, "approve").expect_error(409, "access_denied", "request_contested");
    assert!(server.get(&format!("/a/{id}")).expect(200).text().contains("data-state=\"contested\""));
    mara.deny(&server, &id);
    let answer = server.exchange(&token, &[AWS]).collector(&key).send();
    answer.expect_error(400, "access_denied", "denied_by_person");
    assert_eq!(Snapshot::of(&server).count("token"), 0);
}

#[test]
fn attack_021_a_second_server_does_not_start_on_the_same_state() {
    let server = Server::start();
    let (clock, _) =
        countersign::clock::Clock::steerable(countersign::domain::time::Timestamp::from_seconds(server.now()));
    let parts = parts(&server.directory, &clock, &Options::default());
    let second = crate::support::server::block_on(countersign::app::start::start(parts, None));
    assert!(second.is_err());
}

#[test]
fn attack_022_two_tokens_of_one_job_are_one_job() {
    let server = Server::start();
    let mut mara = Person::manager(&server, "Mara");
    let (job, key) = (server.job(), collector());
    let (first, second) = (job.sign(), job.again().sign());
    let id = server.ask_for(&first, &key, &[AWS, VAULT]);
    server.pass(6);

    // Several of the list, but not all; an audience off the list.
    let before = Snapshot::of(&server);
    let answer = server.exchange(&first, &[AWS, GCP]).collector(&key).send().invalid("token_spent");
    refused(&server, &before, &answer, Logged::Yes);
    let long = job.again().sign();
    let before = Snapshot::of(&server);
    let answer = server.exchange(&long, &[AWS, GCP]).collector(&key).send();
    let answer = answer.expect_error(400, "invalid_target", "audience_not_in_request");
    refused(&server, &before, &answer, Logged::Yes);

    // The same collector joins with the second token; a further audience is a request of its own.
    let joined = server.exchange(&second, &[AWS]).collector(&key).send().pending();
    assert_eq!(joined.member("approval_id"), id);
    let further = job.again().sign();
    let own = server.ask_for(&further, &key, &[GCP]);
    assert_ne!(own, id);
    mara.approve(&server, &id);
    server.pass(6);
    let collected = server.exchange(&second, &[AWS]).collector(&key).send().expect(200).claims();
    assert_eq!(server.exchange(&first, &[AWS]).collector(&key).send().expect(200).claims(), collected);
    server.exchange(&further, &[GCP]).collector(&key).send().pending();
    // Another collector does not join: before any token of that request it contests it.
    let stranger = job.again().sign();
    server.exchange(&stranger, &[GCP]).collector(&collector()).send().invalid("other_collector");
    assert_eq!(Snapshot::of(&server).count("token"), 1);
}

#[test]
fn attack_022_several_but_not_all_of_a_list_are_no_target() {
    let server = Server::start();
    let _mara = Person::manager(&server, "Mara");
    let (token, key) = (server.job().sign(), collector());
    server.ask_for(&token, &key, &[AWS, VAULT, GCP]);
    server.pass(6);
    let before = Snapshot::of(&server);
    let answer = server.exchange(&token, &[AWS, GCP]).collector(&key).send();
    let answer = answer.expect_error(400, "invalid_target", "audience_not_in_request");
    refused(&server, &before, &answer, Logged::Yes);
    server.exchange(&token, &[GCP, VAULT, AWS]).collector(&key).send().pending();
}

#[test]
fn attack_023_a_retried_job_asks_again() {
    let server = Server::start();
    let mut mara = Person::manager(&server, "Mara");
    let (job, key) = (server.job(), collector());
    let (token, id) = (job.sign(), server.ask(&job.sign(), &key));
    mara.approve(&server, &id);
    server.pass(6);
    server.exchange(&token, &[AWS]).collector(&key).send().expect(200);
    let retried = job.again().with("job_id", crate::support::gitlab::fresh_id().to_string());
    let fresh = server.ask(&retried.sign(), &collector());
    assert_ne!(fresh, id);
    let options = server.post_page(&format!("/a/{fresh}/options"), &json!({ "decision": "approve" })).expect(200);
    assert!(options.member("statement").contains(retried.claim("job_id")), "the statement binds the job");
    let before = Snapshot::of(&server);
    let answer = server.exchange(&token, &[VAULT]).collector(&key).send().invalid("token_spent");
    refused(&server, &before, &answer, Logged::Yes);
    // Nothing of the approval serves the new job.
    server.pass(6);
    let before = Snapshot::of(&server);
    let waiting = server.exchange(&retried.sign(), &[AWS]).collector(&key).send();
    assert_ne!(waiting.status, 200, "{}", waiting.text());
    assert_eq!(Snapshot::of(&server).count("token"), before.count("token"));
}

//! Lost answers, a clock that jumps, and many who wait.

use std::collections::BTreeMap;

use countersign::domain::time::Timestamp;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::support::gitlab::claims_of;
use crate::support::person::{Signed, decide};
use crate::support::rules::AWS;
use crate::support::server::{block_on, until};
use crate::support::wire::{Answer, PATIENCE};
use crate::support::{Logged, Options, Person, Server, Snapshot, collector, refused};

/// Waits until the log has so many tokens.
fn until_tokens(server: &Server, wanted: usize) {
    until(&format!("{wanted} tokens in the log"), || Snapshot::of(server).count("token") >= wanted);
}

#[test]
fn attack_088_a_lost_answer_is_given_again_after_a_restart() {
    let mut server = Server::start();
    let mut mara = Person::manager(&server, "Mara");
    let (token, key) = (server.job().sign(), collector());
    let id = server.ask(&token, &key);
    mara.approve(&server, &id);
    server.pass(6);
    // The answer is in the log, and on its way when the server dies.
    drop(server.exchange(&token, &[AWS]).collector(&key).call().start());
    until_tokens(&server, 1);
    server.restart();
    let first = server.exchange(&token, &[AWS]).collector(&key).send().expect(200).claims();
    server.restart();
    assert_eq!(server.exchange(&token, &[AWS]).collector(&key).send().expect(200).claims(), first);
    let snapshot = Snapshot::of(&server);
    assert_eq!(snapshot.count("token"), 1);
    assert_eq!(snapshot.of_kind("token").next().unwrap()["jti"], first["jti"]);

    // Without a collector it is spent, never doubled.
    let token = server.job().environment("staging").sign();
    drop(server.exchange(&token, &[AWS]).call().start());
    until_tokens(&server, 2);
    server.restart();
    server.exchange(&token, &[AWS]).send().invalid("token_spent");
    assert_eq!(Snapshot::of(&server).count("token"), 2);
}

#[test]
fn attack_088_what_waits_survives_a_restart() {
    let mut server = Server::start();
    let mut mara = Person::manager(&server, "Mara");
    let (token, key) = (server.job().sign(), collector());
    let id = server.ask(&token, &key);
    let held = server.exchange(&token, &[AWS]).collector(&key).wait(50).call().start();
    let signed = mara.sign(&server, &id, "approve");
    server.restart();
    drop(held);
    decide(&server, &id, &signed).expect(200);
    server.restart();
    server.exchange(&token, &[AWS]).collector(&key).send().expect(200);
}

#[test]
fn attack_084_a_clock_that_jumps_stops_issuing() {
    let server = Server::start();
    let mut mara = Person::manager(&server, "Mara");
    let (token, key) = (server.job().sign(), collector());
    let id = server.ask(&token, &key);
    mara.approve(&server, &id);
    server.pass(6);
    let true_time = Timestamp::from_seconds(server.now());
    for wrong in [server.now() - 3600, server.now() + 10 * 365 * 86_400, server.now() + 61] {
        server.hand.set(Timestamp::from_seconds(wrong));
        let before = Snapshot::of(&server);
        let answer = server.exchange(&token, &[AWS]).collector(&key).send();
        let answer = answer.expect_error(503, "temporarily_unavailable", "clock_stepped");
        assert!(answer.header("retry-after").is_some());
        refused(&server, &before, &answer, Logged::No);
        server.get("/readyz").expect(503);
        server.get("/healthz").expect(200);
        server.hand.set(true_time);
    }
    server.get("/readyz").expect(200);
    server.exchange(&token, &[AWS]).collector(&key).send().expect(200);
}

/// Does the same to all, sixteen at a time; the results are in order.
fn in_a_burst<T: Sync, R: Send>(items: &[T], act: impl Fn(&T) -> R + Sync) -> Vec<R> {
    let act = &act;
    std::thread::scope(|scope| {
        let shares = items
            .chunks(items.len().div_ceil(16))
            .map(|share| scope.spawn(move || share.iter().map(act).collect::<Vec<_>>()));
        let shares: Vec<_> = shares.collect();
        shares.into_iter().flat_map(|share| share.join().unwrap()).collect()
    })
}

/// How many wait in the test below; the real thing has ten thousand.
const WAITERS: usize = 300;

#[test]
fn attack_091_each_of_many_waiters_gets_its_own_answer() {
    let server = Server::with(Options { workers: 2, ..Options::default() });
    let mut mara = Person::manager(&server, "Mara");
    mara.authenticator.behaviour.counter_step = 0;
    let jobs: Vec<_> = (0..WAITERS).map(|_| (server.job(), collector())).collect();
    let requests = in_a_burst(&jobs, |(job, key)| server.ask(&job.sign(), key));
    let mut signed = Vec::new();
    // One address starts at most 120 ceremonies a minute.
    for some in requests.chunks(100) {
        let body = serde_json::json!({ "decision": "approve" });
        let options = in_a_burst(some, |id| server.post_page(&format!("/a/{id}/options"), &body).expect(200).json());
        for (id, options) in some.iter().zip(options) {
            let response = mara.authenticator.get(&options).unwrap();
            let ceremony = options["ceremony"].as_str().unwrap().to_owned();
            signed.push((id, Signed { ceremony, response }));
        }
        server.pass(61);
    }
    let calls: Vec<Vec<u8>> = jobs
        .iter()
        .map(|(job, key)| server.exchange(&job.sign(), &[AWS]).collector(key).wait(50).call().bytes())
        .collect();
    let address = server.address;
    let (ready, waiting) = std::sync::mpsc::channel();
    let waiters = std::thread::spawn(move || {
        block_on(async move {
            let local = tokio::task::LocalSet::new();
            local
                .run_until(async move {
                    let mut tasks = Vec::new();
                    for call in calls {
                        let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
                        stream.write_all(&call).await.unwrap();
                        tasks.push(tokio::task::spawn_local(async move {
                            let mut bytes = Vec::new();
                            tokio::time::timeout(PATIENCE, stream.read_to_end(&mut bytes)).await.unwrap().unwrap();
                            Answer::parse(&bytes)
                        }));
                    }
                    ready.send(()).unwrap();
                    let mut answers = Vec::new();
                    for task in tasks {
                        answers.push(task.await.unwrap());
                    }
                    answers
                })
                .await
        })
    });
    waiting.recv_timeout(PATIENCE).unwrap();
    until("all of them held", || server.app.waiting().count() >= WAITERS);
    // The server is not busy with waiting.
    server.get("/healthz").expect(200);
    in_a_burst(&signed, |(id, signed)| decide(&server, id, signed).expect(200));
    let answers = waiters.join().unwrap();
    let mut jtis = BTreeMap::new();
    for ((job, _), answer) in jobs.iter().zip(&answers) {
        assert_eq!(answer.status, 200, "{}", answer.text());
        server.note(answer);
        let claims = claims_of(&answer.member("access_token"));
        assert_eq!(claims["gitlab_job_id"], job.claim("job_id"), "somebody else's answer");
        *jtis.entry(claims["jti"].to_string()).or_insert(0) += 1;
    }
    assert_eq!(jtis.len(), WAITERS);
    assert_eq!(Snapshot::of(&server).count("token"), WAITERS);
}

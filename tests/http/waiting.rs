//! Waiting for people: held calls, polls that come too fast, requests that end.

use std::time::Duration;

use crate::support::rules::{AWS, VAULT};
use crate::support::server::until;
use crate::support::wire::finish;
use crate::support::{Options, Person, Server, collector};

/// Waits until so many requests have somebody waiting.
fn until_held(server: &Server, wanted: usize) {
    until(&format!("{wanted} held"), || server.app.waiting().count() == wanted);
}

#[test]
fn a_held_call_is_answered_the_moment_the_last_signature_lands() {
    let server = Server::start();
    let (mut mara, mut ben) = (Person::manager(&server, "Mara"), Person::manager(&server, "Ben"));
    let (token, key) = (server.job().environment("finance").sign(), collector());
    let id = server.ask(&token, &key);
    let held = server.exchange(&token, &[AWS]).collector(&key).wait(50).call().start();
    until_held(&server, 1);
    mara.approve(&server, &id);
    ben.approve(&server, &id);
    let answer = finish(held).expect(200);
    server.note(&answer);
    assert!(answer.claims()["approver"].as_str().unwrap().contains('+'));
}

#[test]
fn a_held_call_is_told_of_a_denial() {
    let server = Server::start();
    let mut mara = Person::manager(&server, "Mara");
    let (token, key) = (server.job().sign(), collector());
    let id = server.ask(&token, &key);
    let held = server.exchange(&token, &[AWS]).collector(&key).wait(50).call().start();
    until_held(&server, 1);
    mara.deny(&server, &id);
    finish(held).expect_error(400, "access_denied", "denied_by_person");
}

#[test]
fn the_first_call_is_never_held() {
    let server = Server::start();
    let _mara = Person::manager(&server, "Mara");
    let token = server.job().sign();
    server.exchange(&token, &[AWS]).collector(&collector()).wait(50).send().pending();
    assert_eq!(server.app.waiting().count(), 0);
}

#[test]
fn a_wait_that_is_over_is_pending_again() {
    let server = Server::with(Options { wait_limit: Duration::from_millis(50), ..Options::default() });
    let _mara = Person::manager(&server, "Mara");
    let (token, key) = (server.job().sign(), collector());
    let id = server.ask(&token, &key);
    // The clock stands still, so it is moved for the server to see its limit.
    let held = server.exchange(&token, &[AWS]).collector(&key).wait(3600).call().start();
    until_held(&server, 1);
    server.pass(1);
    let answer = finish(held).pending();
    assert_eq!(answer.member("approval_id"), id);
}

#[test]
fn a_newer_call_of_the_same_collector_replaces_the_older() {
    let server = Server::start();
    let mut mara = Person::manager(&server, "Mara");
    let (token, key) = (server.job().sign(), collector());
    let id = server.ask(&token, &key);
    let call = server.exchange(&token, &[AWS]).collector(&key).wait(50);
    let older = call.call().start();
    until_held(&server, 1);
    let newer = call.call().start();
    finish(older).pending();
    mara.approve(&server, &id);
    let answer = finish(newer).expect(200);
    server.note(&answer);
}

#[test]
fn a_poll_under_the_interval_slows_down() {
    let server = Server::start();
    let _mara = Person::manager(&server, "Mara");
    let (token, key) = (server.job().sign(), collector());
    server.ask(&token, &key);
    let poll = server.exchange(&token, &[AWS]).collector(&key);
    let fast = poll.send().expect_error(400, "slow_down", "polled_too_fast");
    assert_eq!(fast.json()["interval"], 10);
    assert!(!fast.member("approval_uri").is_empty() && fast.json()["summary"].is_array());
    server.pass(9);
    assert_eq!(poll.send().expect_error(400, "slow_down", "polled_too_fast").json()["interval"], 15);
    server.pass(15);
    assert_eq!(poll.send().pending().json()["interval"], 15);
}

#[test]
fn ten_waiting_calls_a_minute_are_enough() {
    let server = Server::start();
    let _mara = Person::manager(&server, "Mara");
    let (token, key) = (server.job().sign(), collector());
    server.ask(&token, &key);
    let call = server.exchange(&token, &[AWS]).collector(&key).wait(0);
    for _ in 0..10 {
        call.send().pending();
    }
    call.send().expect_error(400, "slow_down", "polled_too_fast");
    server.pass(61);
    call.send().pending();
}

#[test]
fn a_request_expires_and_a_new_job_may_ask() {
    let server = Server::start();
    let mut mara = Person::manager(&server, "Mara");
    let (token, key) = (server.job().sign(), collector());
    let id = server.ask(&token, &key);
    server.pass(901);
    let answer = server.exchange(&token, &[AWS]).collector(&key).send();
    answer.expect_error(400, "expired_token", "request_expired");
    mara.decide(&server, &id, "approve").expect_error(410, "expired_token", "request_expired");
    assert!(server.get(&format!("/a/{id}")).expect(200).text().contains("data-state=\"expired\""));
    server.ask(&server.job().sign(), &key);
}

#[test]
fn an_approved_job_collects_until_use_by() {
    let server = Server::start();
    let mut mara = Person::manager(&server, "Mara");
    let (token, key) = (server.job().sign(), collector());
    let id = server.ask_for(&token, &key, &[AWS, VAULT]);
    server.pass(890);
    mara.approve(&server, &id);
    server.pass(310);
    server.exchange(&token, &[AWS]).collector(&key).send().expect(200);
    server.pass(1);
    let answer = server.exchange(&token, &[VAULT]).collector(&key).send();
    answer.expect_error(400, "expired_token", "request_expired");
    // What was issued is given again all the same.
    server.exchange(&token, &[AWS]).collector(&key).send().expect(200);
}

#[test]
fn a_bare_token_for_those_who_ask_so() {
    let server = Server::start();
    let token = server.job().environment("staging").sign();
    let answer = server.exchange(&token, &[AWS]).header("accept", "application/jwt").send().expect(200);
    assert_eq!(answer.header("content-type"), Some("application/jwt"));
    assert_eq!(answer.text().split('.').count(), 3);
}

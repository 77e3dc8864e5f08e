//! An exchange as a job makes it, with what a test wants otherwise.
//! In: a job token, audiences, headers. Out: the answer, remembered where it is a token.
//! Implements RFC 8693 §2.1 as a client.
//! Never retries.

use countersign::domain::oauth::exchange::{GRANT_TYPE, TYPE_ID_TOKEN};

use super::clients::Prover;
use super::server::Server;
use super::wire::{Answer, Call, form};

/// The parameters of an exchange.
pub fn exchange_pairs<'a>(token: &'a str, audiences: &[&'a str]) -> Vec<(&'a str, &'a str)> {
    let mut pairs = vec![("grant_type", GRANT_TYPE), ("subject_token_type", TYPE_ID_TOKEN), ("subject_token", token)];
    pairs.extend(audiences.iter().map(|audience| ("audience", *audience)));
    pairs
}

/// An exchange before it is sent.
#[derive(Clone)]
pub struct Exchange<'a> {
    server: &'a Server,
    /// The form.
    pub pairs: Vec<(&'a str, &'a str)>,
    headers: Vec<(String, String)>,
}

impl<'a> Exchange<'a> {
    /// An exchange of a token for audiences, without a collector.
    pub fn new(server: &'a Server, token: &'a str, audiences: &[&'a str]) -> Self {
        Self { server, pairs: exchange_pairs(token, audiences), headers: Vec::new() }
    }

    /// With this collector.
    pub fn collector(self, collector: &str) -> Self {
        self.header("idempotency-key", collector)
    }

    /// With a fresh proof of this key as the collector.
    pub fn proof(self, prover: &Prover) -> Self {
        let proof = prover.proof(self.server, "POST", "/token");
        self.header("dpop", &proof)
    }

    /// Lets itself be held.
    pub fn wait(self, seconds: u32) -> Self {
        self.header("prefer", &format!("wait={seconds}"))
    }

    /// With one more header.
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// With one more parameter.
    pub fn pair(mut self, name: &'a str, value: &'a str) -> Self {
        self.pairs.push((name, value));
        self
    }

    /// With another value of a parameter.
    pub fn set(mut self, name: &'a str, value: &'a str) -> Self {
        self.pairs.retain(|(known, _)| *known != name);
        self.pair(name, value)
    }

    /// The call that it makes.
    pub fn call(&self) -> Call {
        let mut call = self.server.call("POST", "/token");
        for (name, value) in &self.headers {
            call = call.header(name, value);
        }
        call.body("application/x-www-form-urlencoded", form(&self.pairs))
    }

    /// Sends and waits for the answer.
    pub fn send(&self) -> Answer {
        let answer = self.call().send();
        assert_eq!(answer.header("cache-control"), Some("no-store"), "{}", answer.text());
        self.server.note(&answer);
        answer
    }
}

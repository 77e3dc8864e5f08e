//! Our own signing keys, as those see them who verify: `/jwks`, tokens, and what the log says of both.
//! In: a server whose clock a test moves. Out: key ids, answers, outcomes.
//! Implements OpenID Connect Core §10.1.1 as a verifier.
//! Never reads a private key.

use std::time::Duration;

use countersign::crypto::jwk::KeySet;
use countersign::crypto::jwt::UnverifiedToken;
use countersign::domain::time::Timestamp;
use serde_json::Value;

use super::ledger::Snapshot;
use super::rules::AWS;
use super::server::{Server, block_on};
use super::wire::Answer;

/// The ids that `/jwks` shows for a type of key, in its order.
pub fn published(server: &Server, kty: &str) -> Vec<String> {
    let set = server.get("/jwks").expect(200).json();
    let keys = set["keys"].as_array().unwrap().iter().filter(|key| key["kty"] == kty);
    keys.map(|key| key["kid"].as_str().unwrap().to_owned()).collect()
}

/// A token of a job that nobody is asked for, and how to have it again.
pub struct Issued {
    /// The job token and its collector.
    pub asked: (String, String),
    /// The compact JWS.
    pub token: String,
    /// Its entry.
    pub log: u64,
}

impl Issued {
    /// A new one.
    pub fn of(server: &Server) -> Self {
        let asked = (server.job().environment("staging").sign(), super::collector());
        let answer = server.exchange(&asked.0, &[AWS]).collector(&asked.1).send().expect(200);
        Self { token: answer.member("access_token"), log: answer.json()["log"]["index"].as_u64().unwrap(), asked }
    }

    /// The key that signed it.
    pub fn kid(&self) -> String {
        UnverifiedToken::parse(&self.token).unwrap().unverified_kid().unwrap().to_owned()
    }

    /// Whether somebody who fetches the keys now believes it.
    pub fn verifies(&self, server: &Server) -> bool {
        let (keys, warnings) = KeySet::parse(&server.get("/jwks").expect(200).body).unwrap();
        assert!(warnings.is_empty(), "{warnings:?}");
        UnverifiedToken::parse(&self.token).unwrap().verify(&keys).is_ok()
    }

    /// Asks for it again, as whoever lost the answer does.
    pub fn again(&self, server: &Server) -> Answer {
        server.exchange(&self.asked.0, &[AWS]).collector(&self.asked.1).send()
    }
}

/// Lets time pass, and then a round of the task that changes keys; how many steps it did.
pub fn pass_and_turn(server: &Server, span: Duration) -> usize {
    server.hand.advance(span);
    block_on(server.app.turn_keys()).unwrap()
}

/// The same, at a moment that is to come.
pub fn turn_at(server: &Server, at: Timestamp) -> usize {
    pass_and_turn(server, at.since(server.app.clock.now()))
}

/// What the log says of the keys of an algorithm since a moment: outcome and key id.
pub fn outcomes(server: &Server, since: usize, alg: &str) -> Vec<(String, String)> {
    let snapshot = Snapshot::of(server);
    let entries = snapshot.entries[since..].iter().filter(|entry| entry["kind"] == "signing-key");
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    entries.filter(|entry| entry["alg"] == alg).map(|entry| (text(&entry["outcome"]), text(&entry["kid"]))).collect()
}

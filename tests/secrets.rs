//! The built server at its loudest, and everything else that speaks: no word of it holds a secret.
//! In: one whole life of a server, its clients and its console. Out: where a secret was said, and in which spelling.
//! Implements ATTACKS 95.
//! Never looks for whole values alone: half a key is as bad, and so is its hexadecimal form.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "a test may stop at once")]

#[path = "support/built.rs"]
mod built;
#[path = "secrets/ear.rs"]
mod ear;
#[path = "secrets/keys.rs"]
mod keys;
#[path = "secrets/life.rs"]
mod life;
#[path = "secrets/panics.rs"]
mod panics;
#[path = "secrets/spellings.rs"]
mod spellings;
#[path = "secrets/stage.rs"]
mod stage;

use spellings::spelling_in;

#[test]
fn attack_095_no_word_of_the_built_server_and_its_clients_holds_a_secret() {
    let told = life::live();
    // It was listened to: the loudest level, a refusal, a fault, a reload of everything, a denial in a job's log.
    for sign in [
        "\"level\":\"TRACE\"",
        "other_collector",
        "\"message\":\"failed\"",
        "rules reloaded",
        "certificate reloaded",
        "the new certificate cannot be used",
        "wrong commit",
        "\"kind\":\"token\"",
    ] {
        assert!(told.words.contains(sign), "nothing was heard of {sign}");
    }
    assert!(told.secrets.len() > 60, "only {} secrets were used", told.secrets.len());
    let mut found = Vec::new();
    for (name, secret) in &told.secrets {
        if let Some(spelling) = spelling_in(&told.words, secret) {
            found.push(format!("{name}, {spelling}"));
        }
    }
    for (name, secret) in &told.links {
        if let Some(spelling) = spelling_in(&told.diagnostics, secret) {
            found.push(format!("{name} in the diagnostics, {spelling}"));
        }
    }
    for code in &told.codes {
        if told.diagnostics.contains(code.as_str()) {
            found.push(format!("the code {code} in the diagnostics"));
        }
    }
    assert!(found.is_empty(), "said, in words:\n{}", found.join("\n"));
}

#[test]
fn attack_095_no_answer_that_refuses_holds_a_secret() {
    // One life serves both tests.
    let told = life::live();
    assert!(told.refusals.len() > 20, "only {} answers refuse", told.refusals.len());
    for (name, secret) in &told.secrets {
        for refusal in &told.refusals {
            let said = spelling_in(&refusal.text, secret);
            assert!(said.is_none(), "{} {} says {name}: {said:?}", refusal.status, refusal.call);
        }
    }
}

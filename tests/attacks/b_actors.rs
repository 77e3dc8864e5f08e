//! Actors: refused by name until they exist, and never taken from a job token.

use serde_json::json;

use crate::support::rules::AWS;
use crate::support::{Logged, Person, Server, Snapshot, collector, refused};

const JWT: &str = "urn:ietf:params:oauth:token-type:jwt";
const ID_TOKEN: &str = "urn:ietf:params:oauth:token-type:id_token";

#[test]
fn attack_042_an_actor_token_is_refused_whatever_it_is() {
    let server = Server::start();
    let subject = server.job().environment("staging").sign();
    let other_job = server.job().environment("staging").sign();
    let expired = server.job().with("exp", server.now() - 3_600).sign();
    let production = server.job().sign();
    for (token, actor, pairs) in [
        (&subject, "without its type", vec![("actor_token", other_job.as_str())]),
        (&subject, "a type without it", vec![("actor_token_type", JWT)]),
        (&subject, "another job's", vec![("actor_token", &other_job), ("actor_token_type", JWT)]),
        (&subject, "expired", vec![("actor_token", &expired), ("actor_token_type", ID_TOKEN)]),
        (&other_job, "subject and actor swapped", vec![("actor_token", &subject), ("actor_token_type", JWT)]),
        (&subject, "itself", vec![("actor_token", &subject), ("actor_token_type", JWT)]),
        (&subject, "nothing", vec![("actor_token", ""), ("actor_token_type", "")]),
        (&subject, "junk", vec![("actor_token", "junk"), ("actor_token_type", "junk")]),
        (&production, "another job's, where people are asked", vec![("actor_token", &other_job)]),
    ] {
        let before = Snapshot::of(&server);
        let mut call = server.exchange(token, &[AWS]).collector(&"c".repeat(43));
        for (name, value) in pairs {
            call = call.pair(name, value);
        }
        let answer = call.send();
        assert_eq!(answer.code(), "actor_unsupported", "{actor}: {}", answer.text());
        refused(&server, &before, &answer.invalid("actor_unsupported"), Logged::No);
    }
    let twice = server.exchange(&subject, &[AWS]).pair("actor_token", "a").pair("actor_token", "b");
    twice.send().invalid("parameter_repeated");
    // Nothing of it was spent.
    server.exchange(&subject, &[AWS]).send().expect(200);
}

#[test]
fn attack_042_who_acts_is_not_taken_from_the_job_token() {
    let server = Server::start();
    let mut mara = Person::manager(&server, "Mara");
    let forged = json!({
        "act": { "sub": "mallory-bot", "act": { "sub": "mallory" } },
        "may_act": { "sub": "mallory-bot", "iss": "https://evil.example" },
    });
    let job = server.job().environment("staging").with_all(forged.clone());
    let claims = server.exchange(&job.sign(), &[AWS]).send().expect(200).claims();
    assert!(claims.get("act").is_none() && claims.get("may_act").is_none(), "{claims}");
    assert!(!claims.to_string().contains("mallory"), "{claims}");

    let (token, key) = (server.job().with_all(forged).sign(), collector());
    let id = server.ask(&token, &key);
    let options = server.post_page(&format!("/a/{id}/options"), &json!({ "decision": "approve" })).expect(200);
    assert!(!options.text().contains("mallory"), "nobody signs what the job token says of actors");
    assert!(!server.get(&format!("/a/{id}")).expect(200).text().contains("mallory"));
    mara.approve(&server, &id);
    server.pass(6);
    let claims = server.exchange(&token, &[AWS]).collector(&key).send().expect(200).claims();
    assert!(claims.get("act").is_none() && claims.get("may_act").is_none(), "{claims}");
    assert!(!claims.to_string().contains("mallory"), "{claims}");
}

//! Proof by pipeline: it excludes whoever signs it, and gives nobody anything.

use countersign::app::console::{ConsoleAnswer, ConsoleCommand};
use countersign::app::propose_change::Wish;
use countersign::app::prove_link::MAX_PROVED_LINKS;
use countersign::app::verify_bundle::verify_bundle;
use countersign::domain::change::LinkKind;
use countersign::domain::ids::{GroupName, IssuerName};
use countersign::domain::log::note::VerifierKey;
use countersign::domain::people::Role;
use countersign::domain::time::LINK_CODE;
use countersign::store::links::MAX_LINK_CODES;
use serde_json::{Value, json};

use crate::support::gitlab::{JobToken, other};
use crate::support::person::{in_session, page};
use crate::support::rules::AWS;
use crate::support::server::URL;
use crate::support::wire::form;
use crate::support::{Answer, Logged, Options, Person, Server, Snapshot, collector, refused};

fn at_once(wish: Wish) -> ConsoleCommand {
    ConsoleCommand::Change { wish, propose: false }
}

fn managers() -> GroupName {
    GroupName::parse("release-managers").unwrap()
}

fn gitlab() -> IssuerName {
    IssuerName::parse("gitlab").unwrap()
}

/// A job of GitLab's user 88, started by hand now, with a token for bringing a code.
fn by_hand(server: &Server) -> JobToken {
    server.job().with_all(json!({ "pipeline_source": "web", "aud": format!("{URL}/link"), "iat": server.now() }))
}

fn code(server: &Server, session: &str) -> String {
    in_session(server, session, "/me/links/code", &json!({})).expect(200).member("code")
}

fn bring(server: &Server, code: &str, token: &str) -> Answer {
    let body = form(&[("code", code), ("token", token)]);
    server.call("POST", "/link").body("application/x-www-form-urlencoded", body).send()
}

/// What names what a job brought, as the page has it.
fn proof(server: &Server, session: &str) -> String {
    let html = page(server, session, "/me/links").expect(200).text();
    html.split("data-proof=\"").nth(1).expect("something was brought").split('"').next().unwrap().to_owned()
}

/// Signs what was brought; what the first call refuses is the answer.
fn sign(server: &Server, person: &mut Person, session: &str, proof: &str) -> Answer {
    let options = in_session(server, session, "/me/links/options", &json!({ "proof": proof }));
    if options.status != 200 {
        return options;
    }
    let options = options.json();
    let response = person.authenticator.get(&options).unwrap();
    let body = json!({ "ceremony": options["ceremony"], "response": response });
    in_session(server, session, "/me/links/signature", &body)
}

/// The whole way, for the user of this token.
fn prove(server: &Server, person: &mut Person, session: &str, token: &JobToken) -> Answer {
    let code = code(server, session);
    bring(server, &code, &token.sign()).expect(200);
    let proof = proof(server, session);
    sign(server, person, session, &proof)
}

/// A careful job, which excludes its starter.
fn careful(server: &Server) -> (String, String) {
    (server.job().environment("careful").sign(), collector())
}

#[test]
fn attack_024_a_proof_by_pipeline_makes_no_starter_known() {
    let server = Server::start();
    let mut mara = Person::manager(&server, "Mara Voss");
    let session = mara.sign_in(&server);
    let (token, key) = careful(&server);
    let asked = |token: &str| server.exchange(token, &[AWS]).collector(&key).send();
    asked(&token).invalid("starter_not_linked");
    let code = code(&server, &session);
    let brought = bring(&server, &code, &by_hand(&server).sign()).expect(200).json();
    assert_eq!((&brought["issuer"], &brought["user_id"]), (&json!("gitlab"), &json!("88")));
    let html = page(&server, &session, "/me/links").expect(200).text();
    for words in ["GitLab says: user 88", "@<bdi>mara</bdi>", "<bdi>shop/api</bdi>", "is <bdi>Mara Voss</bdi>"] {
        assert!(html.contains(words), "{words}: {html}");
    }
    // Nothing is tied before the person has signed.
    let before = Snapshot::of(&server);
    assert!(before.table("proved_link").is_empty() && before.of_kind("link").next().is_none());
    let signed = sign(&server, &mut mara, &session, &proof(&server, &session)).expect(200).json();
    let after = Snapshot::of(&server);
    let new = after.since(&before);
    assert_eq!(new.len(), 1, "{new:?}");
    assert_eq!(
        (&new[0]["kind"], &new[0]["outcome"], &new[0]["seq"]),
        (&json!("link"), &json!("proved"), &signed["log"])
    );
    let named: Vec<_> = new[0]["evidence"].as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!(named, ["assertion", "job_token", "link", "statement"]);
    assert!(after.table("link_code").is_empty());
    // Whoever started the job is as unknown as before.
    asked(&token).invalid("starter_not_linked");
}

#[test]
fn attack_024_who_takes_somebody_elses_user_upon_themself_frees_nobody() {
    let server = Server::start();
    let mut mallory = Person::manager(&server, "Mallory");
    let (mut ada, mut ben) = (Person::manager(&server, "Ada Lind"), Person::manager(&server, "Ben Ray"));
    server.link_starter(&mallory.id);
    let first = server.ask(&careful(&server).0, &collector());
    // Mallory runs the pipeline with Ada's code, and Ada signs that Mallory's user is hers.
    let session = ada.sign_in(&server);
    prove(&server, &mut ada, &session, &by_hand(&server)).expect(200);
    // What people were shown before said less of the starter.
    let answer = server.post_page(&format!("/a/{first}/options"), &json!({ "decision": "approve" }));
    assert_eq!(answer.code(), "rule_changed", "{}", answer.text());
    let (token, key) = careful(&server);
    let request = server.ask(&token, &key);
    for person in [&mut mallory, &mut ada] {
        let before = Snapshot::of(&server);
        let answer = person.decide(&server, &request, "approve").expect_error(403, "access_denied", "self_approval");
        refused(&server, &before, &answer, Logged::Yes);
    }
    let home = page(&server, &session, "/").expect(200).text();
    assert!(home.contains("Nothing waits for you"), "{home}");
    ben.approve(&server, &request);
    server.pass(6);
    server.exchange(&token, &[AWS]).collector(&key).send().expect(200);

    let snapshot = Snapshot::of(&server);
    let asked = snapshot.of_kind("request").filter(|one| one["outcome"] == "asked").last().unwrap();
    let proved = snapshot.of_kind("link").find(|one| one["outcome"] == "proved").unwrap();
    assert_eq!(asked["asked"]["proved"], json!([proved["seq"]]), "the request says who counts as its starter");
    let token = snapshot.of_kind("token").last().unwrap()["seq"].as_u64().unwrap();
    let bundle = server.app.make_bundle(token).unwrap();
    let verifier = VerifierKey::parse(&server.app.log_vkey).unwrap();
    let report = verify_bundle(&serde_json::to_vec(&bundle).unwrap(), &verifier);
    assert_eq!(report.failed().map(|step| step.name), None, "{report:?}");
    // Taken for what an admin said, or left out, it is no proof any more.
    let text = serde_json::to_string(&bundle).unwrap();
    for changed in [text.replace("\\\"outcome\\\":\\\"proved\\\"", "\\\"outcome\\\":\\\"added\\\""), {
        let mut bundle = serde_json::to_value(&bundle).unwrap();
        let entries = bundle["entries"].as_array_mut().unwrap();
        entries.retain(|entry| entry["index"] != proved["seq"]);
        bundle.to_string()
    }] {
        assert_ne!(changed, text);
        assert!(verify_bundle(changed.as_bytes(), &verifier).failed().is_some());
    }
}

#[test]
fn attack_024_an_admins_word_stands_beside_a_proof_and_confirms_it() {
    let server = Server::start();
    let (mut mara, ben) = (Person::manager(&server, "Mara Voss"), Person::manager(&server, "Ben Ray"));
    let mut eva = Person::manager(&server, "Eva Nyman");
    let session = mara.sign_in(&server);
    prove(&server, &mut mara, &session, &by_hand(&server)).expect(200);
    let listed = |name: &str| match server.console(ConsoleCommand::List) {
        ConsoleAnswer::People { people } => people.into_iter().find(|line| line.name == name).unwrap().links,
        other => panic!("{other:?}"),
    };
    assert_eq!(listed("Mara Voss"), ["gitlab:88 (proved)"]);
    // It does not keep an admin from saying whose the user is.
    server.link_starter(&ben.id);
    let request = server.ask(&careful(&server).0, &collector());
    mara.decide(&server, &request, "approve").expect_error(403, "access_denied", "self_approval");
    // To withdraw takes more than one's own word.
    server.console(at_once(Wish::Leave { person: mara.id.clone(), group: managers() }));
    mara.decide(&server, &request, "deny").expect_error(403, "access_denied", "not_an_approver");
    server.console(at_once(Wish::Join { person: mara.id.clone(), group: managers() }));
    eva.approve(&server, &request);

    let unlink = |person: Option<&Person>| {
        let person = person.map(|person| person.id.clone());
        at_once(Wish::Unlink { person, issuer: gitlab(), user_id: "88".to_owned() })
    };
    server.console(unlink(None));
    assert_eq!((listed("Ben Ray").len(), listed("Mara Voss").len()), (0, 1), "the one whom the console tied");
    assert_eq!(server.console_refuses(unlink(Some(&ben))), "not_found");
    server.link_starter(&mara.id);
    assert_eq!(listed("Mara Voss"), ["gitlab:88"], "what was proved is confirmed");
    let request = server.ask(&careful(&server).0, &collector());
    mara.decide(&server, &request, "approve").expect_error(403, "access_denied", "self_approval");
    server.console(unlink(None));
    assert!(listed("Mara Voss").is_empty());
    assert_eq!(server.console_refuses(unlink(None)), "not_found");

    // Where several proved it and nobody else said anything, one says from whom.
    prove(&server, &mut mara, &session, &by_hand(&server)).expect(200);
    let second = eva.sign_in(&server);
    prove(&server, &mut eva, &second, &by_hand(&server)).expect(200);
    assert_eq!(server.console_refuses(unlink(None)), "parameter_invalid");
    server.console(unlink(Some(&eva)));
    server.console(unlink(None));
    assert!(Snapshot::of(&server).table("proved_link").is_empty());
}

#[test]
fn attack_024_only_a_pipeline_by_hand_with_a_token_for_it_brings_a_code() {
    let server = Server::start();
    let mut mara = Person::manager(&server, "Mara Voss");
    let session = mara.sign_in(&server);
    server.pass(10);
    let code = code(&server, &session);
    let good = by_hand(&server);
    let before = Snapshot::of(&server);
    let no = |token: &str, wanted: &str| {
        let answer = bring(&server, &code, token).invalid(wanted);
        refused(&server, &before, &answer, Logged::No);
    };
    for source in ["push", "api", "schedule", "trigger", "pipeline", "webide", "merge_request_event", "Web"] {
        no(&good.clone().with("pipeline_source", source).sign(), "not_by_hand");
    }
    no(&good.clone().with("user_id", "").sign(), "not_by_hand");
    // A token that was made before the code, for whatever purpose.
    no(&good.clone().with("iat", server.now() - 1).sign(), "token_too_old");
    // A token for the exchange, or for others, or for several.
    for aud in [json!(URL), json!(format!("{URL}/link/")), json!("https://evil.example/link"), json!("link")] {
        no(&good.clone().with("aud", aud).sign(), "aud_wrong");
    }
    no(&good.clone().with("aud", json!([URL, format!("{URL}/link")])).sign(), "aud_not_exclusive");
    no(&good.clone().without("aud").sign(), "aud_missing");
    no(&good.sign_by(other()), "signature_invalid");
    no(&good.clone().header("alg", "none").sign(), "alg_not_allowed");
    no(&good.clone().with("exp", server.now() - 60).sign(), "token_expired");
    no(&good.clone().with("iss", "https://gitlab.evil.example").sign(), "unknown_issuer");
    // What brings a code gets no token.
    let answer = server.exchange(&good.sign(), &[AWS]).collector(&collector()).send().invalid("aud_wrong");
    refused(&server, &before, &answer, Logged::No);
    // Codes that nobody made.
    for wrong in ["AAAA-AAAA-AAAA-AAAA", "aaaa", "%00", &code.to_lowercase(), &code.replace('-', "")] {
        let answer = bring(&server, wrong, &good.sign()).invalid("link_code_unknown");
        refused(&server, &before, &answer, Logged::No);
    }
    bring(&server, &code, &good.sign()).expect(200);
    bring(&server, &code, &by_hand(&server).sign()).invalid("link_code_unknown");
    let secrets: Vec<_> = Snapshot::of(&server).table("link_code").iter().cloned().collect();
    assert!(!secrets.concat().contains(&code), "a code is kept hashed");
}

#[test]
fn attack_024_what_was_brought_is_signed_by_its_person_in_time_or_by_nobody() {
    let server = Server::start();
    let (mut mara, mut ben) = (Person::manager(&server, "Mara Voss"), Person::manager(&server, "Ben Ray"));
    let (of_mara, of_ben) = (mara.sign_in(&server), ben.sign_in(&server));
    let mine = code(&server, &of_mara);
    bring(&server, &mine, &by_hand(&server).sign()).expect(200);
    let proof = proof(&server, &of_mara);
    // Somebody else's session, or none.
    sign(&server, &mut ben, &of_ben, &proof).expect_error(404, "invalid_request", "not_found");
    in_session(&server, &of_ben, "/me/links/forget", &json!({ "proof": proof })).expect_error(
        404,
        "invalid_request",
        "not_found",
    );
    server.post_page("/me/links/options", &json!({ "proof": proof })).expect_error(
        401,
        "access_denied",
        "sign_in_needed",
    );
    let options = in_session(&server, &of_mara, "/me/links/options", &json!({ "proof": proof })).expect(200).json();
    // The browser is told whose keys to look for. Another person's over the very statement, and the right one from another
    // session.
    let listed = options["publicKey"]["allowCredentials"].as_array().unwrap();
    assert_eq!(listed.len(), 1);
    let mut options = options;
    options["publicKey"]["allowCredentials"] = json!([]);
    let wrong = json!({ "ceremony": options["ceremony"], "response": ben.authenticator.get(&options).unwrap() });
    in_session(&server, &of_mara, "/me/links/signature", &wrong).expect_error(403, "access_denied", "passkey_unknown");
    let options = in_session(&server, &of_mara, "/me/links/options", &json!({ "proof": proof })).expect(200).json();
    let right = json!({ "ceremony": options["ceremony"], "response": mara.authenticator.get(&options).unwrap() });
    in_session(&server, &of_ben, "/me/links/signature", &right).invalid("statement_mismatch");
    in_session(&server, &of_mara, "/me/links/signature", &right).invalid("challenge_unknown");
    assert!(Snapshot::of(&server).table("proved_link").is_empty());
    // "That was not me."
    in_session(&server, &of_mara, "/me/links/forget", &json!({ "proof": proof })).expect(200);
    sign(&server, &mut mara, &of_mara, &proof).expect_error(404, "invalid_request", "not_found");

    // Too late: the job with its code, then the person with what it brought.
    let late = code(&server, &of_mara);
    server.pass(LINK_CODE.as_secs() + 1);
    bring(&server, &late, &by_hand(&server).sign()).invalid("link_code_unknown");
    let late = code(&server, &of_mara);
    bring(&server, &late, &by_hand(&server).sign()).expect(200);
    let proof = self::proof(&server, &of_mara);
    server.pass(LINK_CODE.as_secs() + 1);
    sign(&server, &mut mara, &of_mara, &proof).expect_error(404, "invalid_request", "not_found");

    // Whoever is suspended meanwhile, or signs nothing.
    let last = code(&server, &of_mara);
    server.console(at_once(Wish::Suspend { person: mara.id.clone() }));
    bring(&server, &last, &by_hand(&server).sign()).invalid("link_code_unknown");
    let of_ben = ben.sign_in(&server);
    server.console(at_once(Wish::Role { person: ben.id.clone(), role: Role::Auditor }));
    let answer = in_session(&server, &of_ben, "/me/links/code", &json!({}));
    answer.expect_error(403, "access_denied", "not_an_approver");
    assert!(page(&server, &of_ben, "/me/links").expect(200).text().contains("Auditors sign nothing"));
}

#[test]
fn codes_and_proved_users_have_an_end() {
    let server = Server::start();
    let mut mara = Person::manager(&server, "Mara Voss");
    let session = mara.sign_in(&server);
    let codes: Vec<_> = (0..=MAX_LINK_CODES)
        .map(|_| {
            server.pass(1);
            code(&server, &session)
        })
        .collect();
    bring(&server, &codes[0], &by_hand(&server).sign()).invalid("link_code_unknown");
    bring(&server, &codes[1], &by_hand(&server).sign()).expect(200);
    assert_eq!(Snapshot::of(&server).table("link_code").len(), MAX_LINK_CODES);
    for n in 0..MAX_PROVED_LINKS {
        let user = (1000 + n).to_string();
        prove(&server, &mut mara, &session, &by_hand(&server).with("user_id", user)).expect(200);
    }
    // The newest is shown first.
    server.pass(1);
    let answer = prove(&server, &mut mara, &session, &by_hand(&server).with("user_id", "7"));
    answer.expect_error(409, "access_denied", "links_enough");
    // One that is hers already is nothing to prove.
    server.pass(1);
    let answer = prove(&server, &mut mara, &session, &by_hand(&server).with("user_id", "1000"));
    answer.expect_error(409, "access_denied", "already_decided");
    assert_eq!(Snapshot::of(&server).table("proved_link").len(), MAX_PROVED_LINKS);
}

#[test]
fn a_bot_is_shown_as_one() {
    let server = Server::start();
    let mut mara = Person::manager(&server, "Mara Voss");
    let (person, issuer) = (mara.id.clone(), gitlab());
    server.console(at_once(Wish::Link { person, issuer, user_id: "4242".to_owned(), owner: LinkKind::Bot }));
    let session = mara.sign_in(&server);
    let html = page(&server, &session, "/me/links").expect(200).text();
    assert!(html.contains("User 4242") && html.contains("A bot for which you answer."), "{html}");
    let _: Value = in_session(&server, &session, "/me/links/code", &json!({})).expect(200).json();
}

/// The newest token's bundle verifies, whole.
fn newest_token_is_proven(server: &Server) {
    let token = Snapshot::of(server).of_kind("token").last().unwrap()["seq"].as_u64().unwrap();
    let bundle = server.app.make_bundle(token).unwrap();
    let verifier = VerifierKey::parse(&server.app.log_vkey).unwrap();
    let report = verify_bundle(&serde_json::to_vec(&bundle).unwrap(), &verifier);
    assert_eq!(report.failed().map(|step| step.name), None, "{report:?}");
}

/// A server whose GitLab signs its users in through it, and its people.
fn signing_in() -> (Server, Person, Person) {
    let provider = Some("countersign".to_owned());
    let server = Server::with(Options { identity_provider: provider, ..Options::default() });
    let (mara, ben) = (Person::manager(&server, "Mara Voss"), Person::manager(&server, "Ben Ray"));
    (server, mara, ben)
}

fn identified(server: &Server, uid: &str) -> JobToken {
    let identities =
        json!([{ "provider": "ldapmain", "extern_uid": "uid=x" }, { "provider": "countersign", "extern_uid": uid }]);
    server.job().environment("careful").with("user_identities", identities)
}

#[test]
fn attack_024_whom_gitlab_signs_in_through_us_started_the_job() {
    let (server, mut mara, mut ben) = signing_in();
    let (job, key) = (identified(&server, &mara.id), collector());
    // Whom GitLab signs in as whom, its users choose: that alone makes nobody known.
    server.exchange(&job.sign(), &[AWS]).collector(&key).send().invalid("starter_not_linked");
    server.link_starter(&mara.id);
    let request = server.ask(&job.sign(), &key);
    let page = server.get(&format!("/a/{request}")).expect(200).text();
    assert!(page.contains("request.job.identity") && page.contains(&mara.id), "people sign who that is: {page}");
    let before = Snapshot::of(&server);
    let answer = mara.decide(&server, &request, "approve").expect_error(403, "access_denied", "self_approval");
    refused(&server, &before, &answer, Logged::Yes);
    // Another token of the job that says something else of its user serves nothing.
    for other in [job.again().with("user_identities", json!([])), {
        let claims = identified(&server, &ben.id).claims["user_identities"].clone();
        job.again().with("user_identities", claims)
    }] {
        server.exchange(&other.sign(), &[AWS]).collector(&key).send().invalid("token_spent");
    }
    ben.approve(&server, &request);
    server.pass(6);
    server.exchange(&job.sign(), &[AWS]).collector(&key).send().expect(200);
    newest_token_is_proven(&server);
    // Withdrawing is the known starter's: an identity alone gives nothing.
    let mut eve = Person::enrol(&server, "Eve Nyman", &["others"]);
    let own = server.job().with("user_identities", json!([{ "provider": "countersign", "extern_uid": eve.id }]));
    let request = server.ask(&own.sign(), &collector());
    eve.decide(&server, &request, "deny").expect_error(403, "access_denied", "not_an_approver");
}

#[test]
fn attack_024_a_dispute_refuses_where_the_starter_is_excluded_and_spoils_no_other_proof() {
    let (server, mara, mut ben) = signing_in();
    // A rule without `not` asks nobody who started it; a dispute spoils no proof of its tokens.
    server.link_starter(&ben.id);
    let job = server.job().with("user_identities", json!([{ "provider": "countersign", "extern_uid": mara.id }]));
    let key = collector();
    let request = server.ask(&job.sign(), &key);
    ben.approve(&server, &request);
    server.pass(6);
    server.exchange(&job.sign(), &[AWS]).collector(&key).send().expect(200);
    newest_token_is_proven(&server);
    // Where the starter is excluded, the dispute refuses.
    let job = identified(&server, &mara.id);
    server.exchange(&job.sign(), &[AWS]).collector(&collector()).send().invalid("starter_disputed");
}

#[test]
fn attack_024_an_identity_that_contradicts_or_names_nobody_is_refused() {
    let (server, mara, ben) = signing_in();
    let no = |job: &JobToken, code: &str| {
        let before = Snapshot::of(&server);
        let answer = server.exchange(&job.sign(), &[AWS]).collector(&collector()).send().invalid(code);
        let logged = if code == "starter_disputed" || code == "starter_not_linked" { Logged::Yes } else { Logged::No };
        (before, answer, logged)
    };
    for (before, answer, logged) in [
        no(&identified(&server, "mara"), "identity_unknown"),
        no(&server.job().environment("careful").with("user_identities", json!("x")), "bad_claim_type"),
        no(
            &server.job().environment("careful").with("user_identities", json!([{ "provider": "countersign" }])),
            "bad_claim_type",
        ),
    ] {
        refused(&server, &before, &answer, logged);
    }
    // An id that is well formed, and nobody's.
    let before = Snapshot::of(&server);
    let stranger = identified(&server, "paaaaaaaaaaaaaaaa");
    let answer = server.exchange(&stranger.sign(), &[AWS]).collector(&collector()).send().invalid("identity_unknown");
    refused(&server, &before, &answer, Logged::Yes);
    // No identity, or one of others: as if there were none.
    for claims in [json!([]), Value::Null, json!([{ "provider": "openid_connect", "extern_uid": mara.id }])] {
        let job = server.job().environment("careful").with("user_identities", claims);
        let (before, answer, logged) = no(&job, "starter_not_linked");
        refused(&server, &before, &answer, logged);
    }
    server.link_starter(&ben.id);
    let (before, answer, logged) = no(&identified(&server, &mara.id), "starter_disputed");
    refused(&server, &before, &answer, logged);
    assert!(answer.text().contains(&mara.id) && answer.text().contains(&ben.id), "{}", answer.text());
    server.ask(&identified(&server, &ben.id).sign(), &collector());
    // Where the configuration names no provider it is nobody's word.
    let server = Server::start();
    let mara = Person::manager(&server, "Mara Voss");
    let answer = server.exchange(&identified(&server, &mara.id).sign(), &[AWS]).collector(&collector()).send();
    answer.invalid("starter_not_linked");
}

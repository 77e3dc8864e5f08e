//! What must happen before a code is given, case by case and by properties.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;
use crate::domain::oauth::authorize::AcrWish;
use crate::domain::oauth::authorize::samples::{client, person, request};
use crate::domain::oauth::client::ClientAuth;

const CAME: u64 = 100;

fn now() -> Timestamp {
    Timestamp::from_seconds(1_795_430_400)
}

fn minutes_ago(minutes: i64) -> Timestamp {
    Timestamp::from_seconds(1_795_430_400 - minutes * 60)
}

fn ada() -> SessionFacts {
    SessionFacts {
        person: person(0),
        groups: vec![GroupName::parse("sre").unwrap()],
        started: minutes_ago(10),
        entry: CAME - 1,
        acr: Acr::Phr,
        could_reach: Acr::Phr,
        missed: None,
        allowed: Scopes::default(),
    }
}

fn miss() -> Miss {
    Miss { policy: "production".to_owned(), what: "its key can be copied".to_owned(), cure: "use another".to_owned() }
}

fn next(request: &AuthorizationRequest, client: &Client, who: Option<&SessionFacts>) -> Interaction {
    let signed_in = who.map(|who| who.entry);
    interaction(&Situation { request, client, came_at: CAME, signed_in, who, agrees: false, now: now() })
}

fn prompting(prompts: &[Prompt]) -> AuthorizationRequest {
    AuthorizationRequest { prompt: prompts.iter().copied().collect(), ..request() }
}

fn wishing(values: &[Acr], essential: bool) -> AuthorizationRequest {
    AuthorizationRequest { acr: Some(AcrWish { values: values.to_vec(), essential }), ..request() }
}

#[test]
fn whoever_is_signed_in_goes_on() {
    assert_eq!(next(&request(), &client(), Some(&ada())), Interaction::Issue);
    assert_eq!(next(&request(), &client(), None), Interaction::SignIn(SignInReason::NotSignedIn));
}

#[test]
fn attack_076_without_a_page_what_would_be_asked_is_told() {
    let none = prompting(&[Prompt::None]);
    assert_eq!(next(&none, &client(), None), Interaction::Refuse(ErrorCode::LoginNeeded));
    assert_eq!(next(&none, &client(), Some(&ada())), Interaction::Issue);
    let strict = Client { acr: Acr::Phrh, ..client() };
    assert_eq!(next(&none, &strict, Some(&ada())), Interaction::Refuse(ErrorCode::LoginNeeded));
    let once = Client { consent: Consent::Once, ..client() };
    assert_eq!(next(&none, &once, Some(&ada())), Interaction::Refuse(ErrorCode::ConsentNeeded));
    let others = Client { groups: Some(BTreeSet::from([GroupName::parse("finance").unwrap()])), ..client() };
    assert_eq!(next(&none, &others, Some(&ada())), Interaction::Refuse(ErrorCode::NotInGroups));
    let hinted = AuthorizationRequest { hinted: Some(person(1)), ..none.clone() };
    assert_eq!(next(&hinted, &client(), Some(&ada())), Interaction::Refuse(ErrorCode::LoginNeeded));
    // A level that would only be liked keeps nobody out.
    let liked = AuthorizationRequest { prompt: none.prompt, ..wishing(&[Acr::Phrh], false) };
    let keyed = SessionFacts { could_reach: Acr::Phrh, ..ada() };
    assert_eq!(next(&liked, &client(), Some(&keyed)), Interaction::Issue);
}

#[test]
fn attack_076_an_old_session_is_not_used_where_a_new_one_is_asked_for() {
    for (asked, reason) in [
        (prompting(&[Prompt::Login]), SignInReason::Asked),
        (prompting(&[Prompt::SelectAccount]), SignInReason::WhoIsMeant),
        (AuthorizationRequest { max_age: Some(0), ..request() }, SignInReason::TooOld),
        (AuthorizationRequest { max_age: Some(599), ..request() }, SignInReason::TooOld),
    ] {
        let again = Interaction::SignIn(reason);
        // However often they come back with it.
        assert_eq!(next(&asked, &client(), Some(&ada())), again);
        assert_eq!(next(&asked, &client(), Some(&ada())), again);
        // The clock stood still, and still the sign-in before is the one before.
        let same_moment = SessionFacts { started: now(), ..ada() };
        let too_old = asked.max_age == Some(599);
        let expected = if too_old { Interaction::Issue } else { again };
        assert_eq!(next(&asked, &client(), Some(&same_moment)), expected);
        let anew = SessionFacts { started: now(), entry: CAME, ..ada() };
        assert_eq!(next(&asked, &client(), Some(&anew)), Interaction::Issue);
    }
    let young_enough = AuthorizationRequest { max_age: Some(600), ..request() };
    assert_eq!(next(&young_enough, &client(), Some(&ada())), Interaction::Issue);
}

#[test]
fn attack_076_a_sign_in_for_something_else_is_none_for_this_request() {
    let meanwhile = SessionFacts { started: now(), entry: CAME + 1, ..ada() };
    for (asked, reason) in [
        (prompting(&[Prompt::Login]), SignInReason::Asked),
        (prompting(&[Prompt::SelectAccount]), SignInReason::WhoIsMeant),
        (AuthorizationRequest { max_age: Some(0), ..request() }, SignInReason::TooOld),
    ] {
        for (signed_in, expected) in [
            (None, Interaction::SignIn(reason)),
            (Some(CAME), Interaction::SignIn(reason)),
            (Some(CAME + 1), Interaction::Issue),
        ] {
            let (request, who) = (&asked, Some(&meanwhile));
            let at = Situation { request, client: &client(), came_at: CAME, signed_in, who, agrees: false, now: now() };
            assert_eq!(interaction(&at), expected, "{signed_in:?}");
        }
    }
    // Where only the age counts, it counts whatever it was made for.
    let aged = AuthorizationRequest { max_age: Some(60), ..request() };
    let at = Situation {
        request: &aged,
        client: &client(),
        came_at: CAME,
        signed_in: None,
        who: Some(&meanwhile),
        agrees: false,
        now: now(),
    };
    assert_eq!(interaction(&at), Interaction::Issue);
}

#[test]
fn attack_076_nobody_else_comes_in_place_of_whom_the_client_expects() {
    let hinted = AuthorizationRequest { hinted: Some(person(1)), ..request() };
    let again = Interaction::SignIn(SignInReason::SomebodyElse);
    assert_eq!(next(&hinted, &client(), Some(&ada())), again);
    assert_eq!(next(&hinted, &client(), Some(&SessionFacts { entry: CAME, ..ada() })), again, "nor after a sign-in");
    let ben = SessionFacts { person: person(1), ..ada() };
    assert_eq!(next(&hinted, &client(), Some(&ben)), Interaction::Issue);
}

#[test]
fn a_level_that_is_demanded_is_reached_or_nothing_is_given() {
    let up = Interaction::StepUp(StepUpReason::Level(Acr::Phrh));
    let strong = SessionFacts { acr: Acr::Phrh, could_reach: Acr::Phrh, ..ada() };
    let strict = Client { acr: Acr::Phrh, ..client() };
    for (request, client) in [(wishing(&[Acr::Phrh], true), client()), (request(), strict)] {
        assert_eq!(next(&request, &client, Some(&ada())), up);
        let anew = SessionFacts { entry: CAME, ..ada() };
        assert_eq!(next(&request, &client, Some(&anew)), up, "a new sign-in with the same key changes nothing");
        assert_eq!(next(&request, &client, Some(&strong)), Interaction::Issue);
    }
    assert_eq!(next(&wishing(&[Acr::Phr, Acr::Phrh], true), &client(), Some(&ada())), Interaction::Issue);
}

#[test]
fn a_level_that_is_liked_is_asked_for_once_and_only_of_those_who_have_it() {
    let liked = wishing(&[Acr::Phrh, Acr::Phr], false);
    let keyed = SessionFacts { could_reach: Acr::Phrh, ..ada() };
    assert_eq!(next(&liked, &client(), Some(&ada())), Interaction::Issue);
    assert_eq!(next(&liked, &client(), Some(&keyed)), Interaction::StepUp(StepUpReason::Level(Acr::Phrh)));
    let anew = SessionFacts { entry: CAME, ..keyed.clone() };
    assert_eq!(next(&liked, &client(), Some(&anew)), Interaction::Issue);
    assert_eq!(next(&wishing(&[Acr::Phr, Acr::Phrh], false), &client(), Some(&keyed)), Interaction::Issue);
}

#[test]
fn a_device_that_misses_something_is_told_what() {
    let weak = SessionFacts { missed: Some(miss()), ..ada() };
    assert_eq!(next(&request(), &client(), Some(&weak)), Interaction::StepUp(StepUpReason::Device(miss())));
}

#[test]
fn whoever_is_in_none_of_the_groups_stays_outside() {
    let others = Client { groups: Some(BTreeSet::from([GroupName::parse("finance").unwrap()])), ..client() };
    assert_eq!(next(&request(), &others, Some(&ada())), Interaction::Outside);
    let sre = Client { groups: Some(BTreeSet::from([GroupName::parse("sre").unwrap()])), ..client() };
    assert_eq!(next(&request(), &sre, Some(&ada())), Interaction::Issue);
    // Whoever asks for a stronger key of somebody who may not come in anyway would waste their time.
    let strict = Client { acr: Acr::Phrh, ..others };
    assert_eq!(next(&request(), &strict, Some(&ada())), Interaction::Outside);
}

#[test]
fn people_are_asked_as_the_operator_and_the_client_want() {
    let scopes = request().scopes;
    let question = Interaction::Consent(scopes.clone());
    let (once, always) =
        (Client { consent: Consent::Once, ..client() }, Client { consent: Consent::Always, ..client() });
    let allowed = SessionFacts { allowed: scopes.clone(), ..ada() };
    let less = SessionFacts { allowed: scopes.without("groups"), ..ada() };
    assert_eq!(next(&request(), &once, Some(&ada())), question);
    assert_eq!(next(&request(), &once, Some(&less)), question);
    assert_eq!(next(&request(), &once, Some(&allowed)), Interaction::Issue);
    assert_eq!(next(&request(), &always, Some(&allowed)), question);
    assert_eq!(next(&prompting(&[Prompt::Consent]), &client(), Some(&ada())), question);
    // A service is asked about each time, and a claim that is asked for by name like its scope.
    let service = AuthorizationRequest { resources: client().resources, ..request() };
    assert_eq!(next(&service, &once, Some(&allowed)), question);
    let mut by_name = request();
    by_name.claims.userinfo.insert("name".to_owned());
    let asked = Interaction::Consent(Scopes::parse("openid groups profile").unwrap());
    assert_eq!(next(&by_name, &once, Some(&allowed)), asked);
    let may_not = Client { scopes: request().scopes, ..once };
    assert_eq!(next(&by_name, &may_not, Some(&allowed)), Interaction::Issue);
    let (request, who) = (request(), ada());
    let at = Situation {
        request: &request,
        client: &always,
        came_at: CAME,
        signed_in: None,
        who: Some(&who),
        agrees: true,
        now: now(),
    };
    assert_eq!(interaction(&at), Interaction::Issue);
}

#[test]
fn attack_063_what_was_allowed_to_a_program_that_could_be_another_answers_for_none() {
    let native = Client { native: true, consent: Consent::Once, ..client() };
    let allowed = SessionFacts { allowed: request().scopes, ..ada() };
    let to = |uri: &str| AuthorizationRequest { redirect_uri: uri.to_owned(), ..request() };
    let question = Interaction::Consent(request().scopes);
    for uri in ["http://127.0.0.1:4711/cb", "http://[::1]/cb", "com.example.app:/cb"] {
        assert_eq!(next(&to(uri), &native, Some(&allowed)), question, "{uri}");
        let silent = AuthorizationRequest { prompt: BTreeSet::from([Prompt::None]), ..to(uri) };
        assert_eq!(next(&silent, &native, Some(&allowed)), Interaction::Refuse(ErrorCode::ConsentNeeded), "{uri}");
        let proven = Client { auth: ClientAuth::Basic(Vec::new()), ..native.clone() };
        assert_eq!(next(&to(uri), &proven, Some(&allowed)), Interaction::Issue, "{uri}");
    }
    assert_eq!(next(&to("https://app.example.com/cb"), &native, Some(&allowed)), Interaction::Issue);
}

fn any_request() -> impl Strategy<Value = AuthorizationRequest> {
    let prompts = prop::sample::subsequence(Prompt::ALL.to_vec(), 0..=4);
    let wish = prop::option::of((prop::sample::subsequence(vec![Acr::Phr, Acr::Phrh], 1..=2), any::<bool>()));
    let age = prop::option::of(0_u64..1200);
    (prompts, wish, age, prop::option::of(0_u8..2)).prop_map(|(prompt, wish, max_age, hinted)| AuthorizationRequest {
        prompt: prompt.into_iter().collect(),
        acr: wish.map(|(values, essential)| AcrWish { values, essential }),
        max_age,
        hinted: hinted.map(person),
        ..request()
    })
}

fn any_client() -> impl Strategy<Value = Client> {
    let groups = prop::option::of(prop::sample::subsequence(vec!["sre", "finance"], 1..=2));
    let consent = prop::sample::select(vec![Consent::NotAsked, Consent::Once, Consent::Always]);
    (groups, prop::sample::select(vec![Acr::Phr, Acr::Phrh]), consent).prop_map(|(groups, acr, consent)| Client {
        groups: groups.map(|names| names.into_iter().map(|name| GroupName::parse(name).unwrap()).collect()),
        acr,
        consent,
        ..client()
    })
}

fn any_who() -> impl Strategy<Value = SessionFacts> {
    let level = || prop::sample::select(vec![Acr::Phr, Acr::Phrh]);
    let groups = prop::sample::subsequence(vec!["sre", "finance", "other"], 0..=3);
    let rest = (any::<bool>(), any::<bool>(), 0_i64..30, CAME - 5..CAME + 5);
    (0_u8..2, groups, level(), level(), rest).prop_map(
        |(id, groups, acr, could_reach, (missed, allowed, age, entry))| SessionFacts {
            person: person(id),
            groups: groups.into_iter().map(|name| GroupName::parse(name).unwrap()).collect(),
            started: minutes_ago(age),
            entry,
            acr,
            could_reach,
            missed: missed.then(miss),
            allowed: if allowed { request().scopes } else { Scopes::default() },
        },
    )
}

proptest! {
    #[test]
    fn a_code_is_given_only_where_everything_holds(
        request in any_request(), client in any_client(), who in any_who(), agrees in any::<bool>(), for_it in any::<bool>(),
    ) {
        let signed_in = for_it.then_some(who.entry);
        let (request_of, who_of) = (&request, Some(&who));
        let at = Situation { request: request_of, client: &client, came_at: CAME, signed_in, who: who_of, agrees, now: now() };
        let answer = interaction(&at);
        prop_assert_eq!(&answer, &interaction(&at));
        if answer == Interaction::Issue {
            let is_new = who.entry >= CAME && for_it;
            prop_assert!(client.admits(&who.groups) && who.acr >= client.acr && who.missed.is_none());
            prop_assert!(request.hinted.as_ref().is_none_or(|hinted| *hinted == who.person));
            let essential = request.acr.as_ref().filter(|wish| wish.essential);
            prop_assert!(essential.is_none_or(|wish| who.acr >= wish.least()));
            prop_assert!(is_new || !(request.prompts(Prompt::Login) || request.prompts(Prompt::SelectAccount)));
            prop_assert!(is_new || request.max_age.is_none_or(|age| age > 0 && now().since(who.started).as_secs() <= age));
            let asked = client.consent == Consent::Always || request.prompts(Prompt::Consent)
                || (client.consent == Consent::Once && !request.scopes.within(&who.allowed));
            prop_assert!(agrees || !asked);
        }
        if request.prompts(Prompt::None) {
            prop_assert!(matches!(answer, Interaction::Issue | Interaction::Refuse(_)));
        } else {
            prop_assert!(!matches!(answer, Interaction::Refuse(_)));
        }
    }

    #[test]
    fn nobody_gets_a_code_without_a_session(request in any_request(), client in any_client(), agrees in any::<bool>()) {
        let signed_in = None;
        let at = Situation { request: &request, client: &client, came_at: CAME, signed_in, who: None, agrees, now: now() };
        prop_assert!(matches!(interaction(&at), Interaction::SignIn(SignInReason::NotSignedIn)
            | Interaction::Refuse(ErrorCode::LoginNeeded)));
    }

    #[test]
    fn more_is_never_given_for_more_that_is_demanded(request in any_request(), client in any_client(), who in any_who()) {
        let issues = |request: &AuthorizationRequest, client: &Client| next(request, client, Some(&who)) == Interaction::Issue;
        let stricter = Client { acr: Acr::Phrh, ..client.clone() };
        let fewer = Client { groups: Some(BTreeSet::from([GroupName::parse("sre").unwrap()])), ..client.clone() };
        prop_assert!(issues(&request, &client) || !issues(&request, &stricter));
        prop_assert!(client.groups.is_some() || issues(&request, &client) || !issues(&request, &fewer));
        let younger = AuthorizationRequest { max_age: Some(0), ..request.clone() };
        prop_assert!(issues(&request, &client) || !issues(&younger, &client));
    }
}

use proptest::prelude::*;

use super::*;
use crate::domain::change::{About, Act, Concern, LinkKind, OtherRules, Proposer};
use crate::domain::ids::{ChangeId, Digest, GroupName, IssuerName};
use crate::domain::people::Role;
use crate::domain::statement::Choice::{Approve, Deny};

const TERMS: Terms = Terms { delay: Duration::from_hours(24), recovery_signatures: 2, rule_signatures: None };
const SIGNED: Terms = Terms { rule_signatures: Some(2), ..TERMS };

fn at(hours: i64) -> Timestamp {
    Timestamp::from_seconds(1_795_430_400 + hours * 3600)
}

fn person(number: u8) -> PersonId {
    PersonId::from_random([number; 10])
}

fn council(numbers: &[u8]) -> Council {
    numbers.iter().map(|number| person(*number)).collect()
}

fn join() -> Act {
    Act::Join { group: GroupName::parse("release-managers").unwrap() }
}

fn invitation() -> Digest {
    Digest::of(b"link")
}

fn recover() -> Act {
    Act::Recover { invitation: invitation() }
}

/// A change about person 9.
fn change(act: Act) -> Change {
    Change {
        id: ChangeId::from_random([1; 16]),
        issuer: "https://sign.example.com".to_owned(),
        by: Proposer::Console,
        at: at(0),
        sign_by: at(7 * 24),
        about: About::Person(Concern { person: person(9), name: "Tom Ahl".to_owned(), act }),
    }
}

fn sign(number: u8, choice: Choice, hours: i64) -> Signature {
    Signature { person: person(number), choice, at: at(hours) }
}

fn stands(act: Act, signatures: &[Signature], admins: &[u8], hours: i64) -> Standing {
    let (one, admins) = (change(act), council(admins));
    let judged = |count: usize, moment, now| standing(&one, &signatures[..count], &admins, &TERMS, (moment, now));
    let mut runs = None;
    for (before, signature) in signatures.iter().enumerate() {
        runs = match judged(before + 1, Moment::Signed(runs), signature.at) {
            Standing::Delayed { from, .. } => Some(from),
            Standing::Due => Some(signature.at),
            _ => None,
        };
    }
    judged(signatures.len(), Moment::Seen(runs), at(hours))
}

/// At an hour at which a delay runs until hour 100.
fn seen(hours: i64) -> (Moment, Timestamp) {
    (Moment::Seen(Some(at(100))), at(hours))
}

#[test]
fn attack_100_a_delay_runs_from_the_signature_that_starts_it() {
    let one = [sign(1, Approve, 1)];
    let judged = |moment, hours| standing(&change(join()), &one, &council(&[1, 2]), &TERMS, (moment, at(hours)));
    // An old signature that counts again takes nothing into effect, however long ago it was made.
    assert_eq!(judged(Moment::Seen(None), 100), Standing::Waiting { signed: 1, needed: 2 });
    assert_eq!(judged(Moment::Signed(None), 100), Standing::Delayed { signed: 1, needed: 2, from: at(124) });
    assert_eq!(judged(Moment::Signed(Some(at(110))), 100), Standing::Delayed { signed: 1, needed: 2, from: at(110) });
    assert_eq!(judged(Moment::Seen(Some(at(110))), 110), Standing::Due);
    let both = [sign(1, Approve, 1), sign(2, Approve, 2)];
    let all = |moment| standing(&change(recover()), &both, &council(&[1, 2]), &TERMS, (moment, at(100)));
    assert_eq!(all(Moment::Signed(None)), Standing::Delayed { signed: 2, needed: 2, from: at(124) });
    assert_eq!(all(Moment::Seen(None)), Standing::Waiting { signed: 2, needed: 2 });
}

#[test]
fn attack_100_one_admin_alone_makes_nobody_an_approver_at_once() {
    let groups = [GroupName::parse("release-managers").unwrap()].into();
    let link =
        Act::Link { issuer: IssuerName::parse("gitlab").unwrap(), user_id: "88".to_owned(), owner: LinkKind::Person };
    let heavy = [
        join(),
        link,
        Act::Role { role: Role::Admin },
        Act::Restore,
        Act::Invite { groups, role: Role::Member, invitation: invitation() },
        Act::Invite { groups: BTreeSet::new(), role: Role::Admin, invitation: invitation() },
    ];
    for act in heavy {
        let one = [sign(1, Approve, 1)];
        for admins in [&[1][..], &[1, 2]] {
            let delayed = Standing::Delayed { signed: 1, needed: 2, from: at(25) };
            assert_eq!(stands(act.clone(), &one, admins, 24), delayed, "{act:?}");
            assert_eq!(stands(act.clone(), &one, admins, 25), Standing::Due);
        }
        let twice = [sign(1, Approve, 1), sign(1, Approve, 2)];
        assert!(matches!(stands(act.clone(), &twice, &[1, 2], 3), Standing::Delayed { signed: 1, .. }));
        let two = [sign(1, Approve, 1), sign(2, Approve, 2)];
        assert_eq!(stands(act.clone(), &two, &[1, 2], 2), Standing::Due);
        assert!(matches!(stands(act, &two, &[1], 3), Standing::Delayed { signed: 1, .. }), "2 is no admin any more");
    }
}

#[test]
fn attack_100_whoever_gains_does_not_count() {
    let both = [sign(9, Approve, 1), sign(1, Approve, 2)];
    assert_eq!(stands(join(), &both, &[1, 9], 3), Standing::Delayed { signed: 1, needed: 2, from: at(26) });
    assert_eq!(stands(join(), &[sign(9, Approve, 1)], &[1, 9], 100), Standing::Waiting { signed: 0, needed: 2 });
    let alone = Standing::Delayed { signed: 1, needed: 2, from: at(25) };
    assert_eq!(stands(join(), &[sign(9, Approve, 1)], &[9], 3), alone, "the only admin gets the delay");
    let subject = change(join());
    let waiting = Standing::Waiting { signed: 0, needed: 2 };
    let asked = |admins: &[u8], who: u8| {
        admits(&subject, &[], &council(admins), (&person(who), Approve), waiting, at(1)).map_err(|(code, _)| code)
    };
    assert_eq!(asked(&[1, 9], 9), Err(ErrorCode::SelfApproval));
    assert_eq!(asked(&[1, 9], 1), Ok(()));
    assert_eq!(asked(&[9], 9), Ok(()));
    assert_eq!(asked(&[1], 9), Err(ErrorCode::NotAnAdmin));
    assert_eq!(asked(&[], 3), Err(ErrorCode::NotAnAdmin));
}

#[test]
fn what_takes_away_needs_one() {
    for act in [Act::Suspend, Act::RemovePasskey { credential: invitation() }] {
        assert_eq!(stands(act.clone(), &[], &[1, 2], 1), Standing::Waiting { signed: 0, needed: 1 });
        assert_eq!(stands(act.clone(), &[sign(1, Approve, 1)], &[1, 2], 1), Standing::Due);
        assert_eq!(stands(act.clone(), &[], &[1, 2], 7 * 24 + 1), Standing::Expired);
        assert_eq!(stands(act, &[sign(3, Approve, 1)], &[1, 2], 1), Standing::Waiting { signed: 0, needed: 1 });
    }
    let plain = Act::Invite { groups: BTreeSet::new(), role: Role::Member, invitation: invitation() };
    assert_eq!(stands(plain, &[sign(1, Approve, 1)], &[1], 1), Standing::Due);
}

#[test]
fn attack_062_a_recovery_takes_others_then_a_day_in_which_it_can_be_stopped() {
    let all = [sign(1, Approve, 1), sign(2, Approve, 5)];
    assert_eq!(stands(recover(), &all[..1], &[1, 2, 3], 200), Standing::Expired, "one of three is not enough, ever");
    assert_eq!(stands(recover(), &all, &[1, 2, 3], 28), Standing::Delayed { signed: 2, needed: 2, from: at(29) });
    assert_eq!(stands(recover(), &all, &[1, 2, 3], 29), Standing::Due);
    let stopped = [all.to_vec(), vec![sign(9, Deny, 20)]].concat();
    assert_eq!(stands(recover(), &stopped, &[1, 2, 3], 100), Standing::Refused);
    // Where fewer exist, all of them; never the person alone.
    assert_eq!(stands(recover(), &all[..1], &[1], 24), Standing::Delayed { signed: 1, needed: 1, from: at(25) });
    assert_eq!(stands(recover(), &[sign(9, Approve, 1)], &[9], 100), Standing::Waiting { signed: 0, needed: 1 });
    let own = change(recover());
    let waiting = Standing::Waiting { signed: 0, needed: 1 };
    let asked = |who: u8, choice: Choice| {
        admits(&own, &[], &council(&[1, 9]), (&person(who), choice), waiting, at(1)).map_err(|(code, _)| code)
    };
    assert_eq!(asked(9, Approve), Err(ErrorCode::SelfApproval));
    assert_eq!((asked(9, Deny), asked(1, Deny)), (Ok(()), Ok(())));
    assert_eq!(asked(3, Deny), Err(ErrorCode::NotAnAdmin));
    let vouch = Act::Vouch { credential: invitation() };
    assert_eq!(stands(vouch.clone(), &all[..1], &[1, 2], 100), Standing::Waiting { signed: 1, needed: 2 });
    assert_eq!(stands(vouch, &all, &[1, 2], 5), Standing::Due);
}

#[test]
fn what_is_over_takes_no_signature() {
    let subject = change(join());
    let asked = |standing: Standing, signatures: &[Signature], hours: i64| {
        let who = person(1);
        let admins = council(&[1, 2]);
        admits(&subject, signatures, &admins, (&who, Approve), standing, at(hours)).map_err(|(code, _)| code)
    };
    assert_eq!(asked(Standing::Refused, &[], 1), Err(ErrorCode::AlreadyDecided));
    assert_eq!(asked(Standing::Due, &[], 1), Err(ErrorCode::AlreadyDecided));
    assert_eq!(asked(Standing::Expired, &[], 1), Err(ErrorCode::ChangeOver));
    let delayed = Standing::Delayed { signed: 1, needed: 2, from: at(300) };
    assert_eq!(asked(delayed, &[sign(1, Approve, 1)], 2), Err(ErrorCode::AlreadyApproved));
    assert_eq!(asked(delayed, &[sign(2, Approve, 1)], 2), Ok(()));
    assert_eq!(asked(delayed, &[sign(2, Approve, 1)], 7 * 24 + 1), Err(ErrorCode::ChangeOver));
}

fn acts() -> impl Strategy<Value = Act> {
    prop_oneof![
        Just(join()),
        Just(Act::Suspend),
        Just(Act::Restore),
        Just(Act::Role { role: Role::Admin }),
        Just(recover()),
        Just(Act::Vouch { credential: invitation() }),
        Just(Act::Invite { groups: BTreeSet::new(), role: Role::Admin, invitation: invitation() }),
    ]
}

fn signatures() -> impl Strategy<Value = Vec<Signature>> {
    let one = (0_u8..12, prop::bool::weighted(0.9), 0_i64..200)
        .prop_map(|(who, yes, hours)| sign(who, if yes { Approve } else { Deny }, hours));
    proptest::collection::vec(one, 0..6)
}

proptest! {
    #[test]
    fn nothing_takes_effect_without_an_admin_who_gains_nothing(
        act in acts(), given in signatures(), admins in proptest::collection::btree_set(0_u8..12, 0..5), hours in 0_i64..300,
    ) {
        let admins: Vec<_> = admins.into_iter().collect();
        let one = change(act);
        let stands = standing(&one, &given, &council(&admins), &TERMS, seen(hours));
        if matches!(stands, Standing::Due | Standing::Delayed { .. }) {
            prop_assert!(given.iter().all(|signature| signature.choice == Approve));
            let sole = admins == [9];
            let able = given.iter().any(|s| council(&admins).contains(&s.person)
                && (Some(&s.person) != one.person() || sole || one.weight() == Weight::Light));
            prop_assert!(able);
        }
    }

    #[test]
    fn strangers_and_repetitions_change_nothing(
        act in acts(), given in signatures(), admins in proptest::collection::btree_set(0_u8..10, 0..5), hours in 0_i64..300,
    ) {
        let admins: Vec<_> = admins.into_iter().collect();
        let one = change(act);
        let before = standing(&one, &given, &council(&admins), &TERMS, seen(hours));
        let mut more = given.clone();
        more.push(sign(77, Approve, 1));
        more.extend(given.iter().map(|signature| Signature { at: at(500), ..signature.clone() }));
        prop_assert_eq!(standing(&one, &more, &council(&admins), &TERMS, seen(hours)), before);
    }

    #[test]
    fn a_denial_ends_it_whatever_else_was_signed(act in acts(), given in signatures(), hours in 0_i64..300) {
        let mut given = given;
        given.push(sign(1, Deny, 1));
        let stands = standing(&change(act), &given, &council(&[1, 2, 3]), &TERMS, seen(hours));
        prop_assert_eq!(stands, Standing::Refused);
    }

    #[test]
    fn more_time_never_takes_effect_away(act in acts(), given in signatures(), hours in 0_i64..300) {
        let one = change(act);
        let admins = council(&[1, 2, 3]);
        if standing(&one, &given, &admins, &TERMS, seen(hours)) == Standing::Due {
            prop_assert_eq!(standing(&one, &given, &admins, &TERMS, seen(hours + 1)), Standing::Due);
        }
    }
}

#[test]
fn attack_100_where_admins_sign_the_rules_nobody_becomes_an_admin_by_time() {
    let alone = [sign(1, Approve, 1)];
    let invite = |role| Act::Invite { groups: BTreeSet::new(), role, invitation: invitation() };
    for (act, makes) in [
        (Act::Role { role: Role::Admin }, true),
        (invite(Role::Admin), true),
        (Act::Role { role: Role::Auditor }, false),
        (invite(Role::Auditor), false),
        (join(), false),
    ] {
        let one = change(act);
        let stands = |terms, signatures: &[Signature]| {
            standing(&one, signatures, &council(&[1, 2]), &terms, (Moment::Signed(None), at(2)))
        };
        assert_eq!(one.makes_an_admin(), makes);
        assert!(matches!(stands(TERMS, &alone), Standing::Delayed { .. }), "{one:?}");
        assert_eq!(stands(SIGNED, &alone) == Standing::Waiting { signed: 1, needed: 2 }, makes, "{one:?}");
        assert!(!makes || !lets_in(&one, stands(SIGNED, &alone)));
        assert_eq!(stands(SIGNED, &[alone[0].clone(), sign(2, Approve, 2)]), Standing::Due);
    }
}

#[test]
fn attack_100_other_rules_take_the_signatures_that_they_take_and_never_a_delay() {
    let digest = |text: &[u8]| Digest::of(text);
    let rules = OtherRules { before: digest(b"a"), after: digest(b"b"), added: 0, changed: 1, moved: 0, removed: 0 };
    let one = Change { about: About::Rules { rules }, ..change(join()) };
    let judged = |signatures: &[Signature], admins: &[u8], moment| {
        standing(&one, signatures, &council(admins), &SIGNED, (moment, at(100)))
    };
    let (first, second, again) = (sign(1, Approve, 1), sign(2, Approve, 2), sign(1, Approve, 3));
    let missing = Standing::Waiting { signed: 1, needed: 2 };
    for moment in [Moment::Signed(None), Moment::Seen(None)] {
        assert_eq!(judged(std::slice::from_ref(&first), &[1, 2], moment), missing);
        // Twice by one admin, and also where there is no other, or the other is no admin any more.
        assert_eq!(judged(&[first.clone(), again.clone()], &[1, 2], moment), missing);
        assert_eq!(judged(&[first.clone(), again.clone()], &[1], moment), missing);
        assert_eq!(judged(&[first.clone(), second.clone()], &[1, 3], moment), missing);
    }
    assert_eq!(judged(&[first.clone(), second.clone()], &[1, 2, 3], Moment::Signed(None)), Standing::Due);
    assert_eq!(judged(&[first, sign(2, Deny, 2)], &[1, 2, 3], Moment::Signed(None)), Standing::Refused);
    // Nobody is barred: it concerns nobody.
    for admin in [1, 9] {
        let choice = (&person(admin), Approve);
        let stands = Standing::Waiting { signed: 0, needed: 2 };
        assert!(admits(&one, &[], &council(&[1, 9]), choice, stands, at(1)).is_ok());
    }
}

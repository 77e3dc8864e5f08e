use proptest::prelude::*;

use super::*;
use crate::domain::change::{About, Act, Concern, LinkKind, OtherRules, Proposer};
use crate::domain::ids::{Audience, ChangeId, ClientId, Code, IssuerName, RequestId, RuleName};
use crate::domain::oauth::scope::Scopes;
use crate::domain::people::Role;
use crate::domain::people::email::Email;
use crate::domain::people::proof::LinkedUser;
use crate::domain::request::{Access, Presence, RuleRef};

/// Texts that a careless encoding would let run into their neighbours.
fn text() -> impl Strategy<Value = String> {
    prop_oneof!["[a\",:\\\\{}\\[\\]]{0,3}", "\\PC{0,4}", Just("\0\u{1f}\u{2028}".to_owned()), any::<String>()]
}

fn digest() -> impl Strategy<Value = Digest> {
    any::<u8>().prop_map(|byte| Digest::of(&[byte]))
}

fn time() -> impl Strategy<Value = Timestamp> {
    prop_oneof![any::<i64>(), 0_i64..3].prop_map(Timestamp::from_millis)
}

fn access() -> impl Strategy<Value = Access> {
    let roles = proptest::collection::vec(text(), 0..3);
    ("[!-~]{1,3}", text(), 0_u64..=1 << 53, any::<u32>(), roles, any::<bool>()).prop_map(
        |(audience, sub, lifetime, tokens, roles, asks)| Access {
            audience: Audience::parse(&audience).unwrap(),
            sub,
            lifetime,
            tokens,
            roles,
            presence: if asks { Presence::Approval } else { Presence::None },
        },
    )
}

fn request() -> impl Strategy<Value = Request> {
    let ids = (0_u8..3, 0_u8..3, digest(), digest());
    let job = proptest::collection::btree_map(text(), text(), 0..3);
    let rule = "[a-c](\\PC?[a-c])?".prop_filter_map("a rule's name", |name| RuleName::parse(&name).ok());
    (ids, text(), time(), time(), job, proptest::collection::vec(access(), 0..3), rule).prop_map(
        |((id, code, collector, sha256), issuer, decide_by, use_by, job, access, name)| Request {
            id: RequestId::from_random([id; 16]),
            issuer,
            code: Code::from_random([code; 6]),
            collector,
            decide_by,
            use_by,
            job,
            access,
            rule: RuleRef { name, sha256 },
        },
    )
}

fn statement() -> impl Strategy<Value = Statement> {
    let nonce = || proptest::collection::vec(any::<u8>(), 0..34).prop_map(Bytes);
    let approval = (any::<bool>(), nonce(), time(), request(), proptest::option::of(text())).prop_map(
        |(yes, nonce, at, request, reason)| {
            let decision = if yes { Choice::Approve } else { Choice::Deny };
            Statement::Approval(Approval { decision, nonce, at, request, reason })
        },
    );
    let groups = proptest::collection::vec("[a-c]{1,2}".prop_map(|name| GroupName::parse(&name).unwrap()), 0..3);
    let admission = (proptest::option::of(digest()), proptest::option::of(digest()));
    let registration = (nonce(), time(), text(), 0_u8..3, admission, groups).prop_map(
        |(nonce, at, issuer, person, (invitation, admitted_by), groups)| {
            let person = PersonId::from_random([person; 10]);
            Statement::Registration(Registration { nonce, at, issuer, person, invitation, admitted_by, groups })
        },
    );
    let change = (any::<bool>(), nonce(), time(), change()).prop_map(|(yes, nonce, at, change)| {
        let decision = if yes { Choice::Approve } else { Choice::Deny };
        Statement::Change(Countersignature { decision, nonce, at, change })
    });
    let user = ("[ab]", "[0-9]{1,2}", ("[0-9]{1,2}", "[0-9]{1,2}", "[0-9]{1,2}"), digest());
    let link = (nonce(), time(), text(), 0_u8..3, user).prop_map(|(nonce, at, issuer, person, user)| {
        let (gitlab, user_id, (job_project_id, pipeline_id, job_id), token_sha256) = user;
        let gitlab = IssuerName::parse(&gitlab).unwrap();
        let user = LinkedUser { issuer: gitlab, user_id, job_project_id, pipeline_id, job_id, token_sha256 };
        Statement::Link(Link { nonce, at, issuer, person: PersonId::from_random([person; 10]), user })
    });
    let asked = ("[ab]", prop_oneof![Just("openid"), Just("groups openid")], digest(), any::<u32>(), time());
    let resources = proptest::collection::vec("[!-~]{1,3}".prop_map(|text| Audience::parse(&text).unwrap()), 0..3);
    let device = (nonce(), time(), text(), 0_u8..3, (asked, resources)).prop_map(
        |(nonce, at, issuer, person, ((client, scopes, id, from, asked), resources))| {
            let client = ClientId::parse(&client).unwrap();
            let (scopes, from) = (Scopes::parse(scopes).unwrap(), std::net::Ipv4Addr::from(from).into());
            let device = DeviceRequest { id, client, scopes, resources, from, asked };
            Statement::Device(DeviceStatement {
                nonce,
                at,
                issuer,
                person: PersonId::from_random([person; 10]),
                device,
            })
        },
    );
    prop_oneof![approval, registration, change, link, device]
}

fn act() -> impl Strategy<Value = Act> {
    let group = || "[a-c]{1,2}".prop_map(|name| GroupName::parse(&name).unwrap());
    let user = || ("[ab]".prop_map(|name| IssuerName::parse(&name).unwrap()), "[0-9]{1,2}");
    let role = || prop_oneof![Just(Role::Member), Just(Role::Auditor), Just(Role::Admin)];
    prop_oneof![
        (proptest::collection::btree_set(group(), 0..3), role(), digest())
            .prop_map(|(groups, role, invitation)| Act::Invite { groups, role, invitation }),
        group().prop_map(|group| Act::Join { group }),
        group().prop_map(|group| Act::Leave { group }),
        role().prop_map(|role| Act::Role { role }),
        proptest::option::of("[ab]@[ab]\\.c")
            .prop_map(|address| { Act::Email { address: address.map(|text| Email::parse(&text).unwrap()) } }),
        prop_oneof![Just(Act::Suspend), Just(Act::Restore)],
        digest().prop_map(|credential| Act::RemovePasskey { credential }),
        digest().prop_map(|credential| Act::Vouch { credential }),
        digest().prop_map(|invitation| Act::Recover { invitation }),
        (user(), any::<bool>()).prop_map(|((issuer, user_id), bot)| {
            let owner = if bot { LinkKind::Bot } else { LinkKind::Person };
            Act::Link { issuer, user_id, owner }
        }),
        user().prop_map(|(issuer, user_id)| Act::Unlink { issuer, user_id }),
    ]
}

fn proposer() -> impl Strategy<Value = Proposer> {
    let person = (0_u8..3).prop_map(|person| Proposer::Person(PersonId::from_random([person; 10])));
    prop_oneof![Just(Proposer::Console), person]
}

fn about() -> impl Strategy<Value = About> {
    let person = (0_u8..3, text(), act()).prop_map(|(person, name, act)| {
        About::Person(Concern { person: PersonId::from_random([person; 10]), name, act })
    });
    let counts = [0_u32..3, 0..3, 0..3, 0..3];
    let rules = (digest(), digest(), counts).prop_map(|(before, after, [added, changed, moved, removed])| {
        About::Rules { rules: OtherRules { before, after, added, changed, moved, removed } }
    });
    prop_oneof![3 => person, 1 => rules]
}

fn change() -> impl Strategy<Value = Change> {
    ((0_u8..3, proposer()), text(), time(), time(), about()).prop_map(|((id, by), issuer, at, sign_by, about)| Change {
        id: ChangeId::from_random([id; 16]),
        issuer,
        by,
        at,
        sign_by,
        about,
    })
}

/// A statement and one that differs from it in one place at most.
fn neighbours() -> impl Strategy<Value = (Statement, Statement)> {
    (request(), request(), 0_usize..10, any::<bool>()).prop_map(|(one, other, place, twice)| {
        let mut next = one.clone();
        match place {
            0 => next.id = other.id,
            1 => next.issuer = other.issuer,
            2 => next.code = other.code,
            3 => next.collector = other.collector,
            4 => next.decide_by = other.decide_by,
            5 => next.use_by = other.use_by,
            6 => next.job = other.job,
            7 => next.access = other.access,
            8 => next.rule = other.rule,
            _ => {}
        }
        let said = |request: Request, decision| {
            let (nonce, at) = (Bytes(vec![7; 32]), Timestamp::from_millis(0));
            Statement::Approval(Approval { decision, nonce, at, request, reason: None })
        };
        (said(one, Choice::Approve), said(next, if twice { Choice::Approve } else { Choice::Deny }))
    })
}

#[test]
fn a_change_has_these_bytes() {
    let statement = Statement::Change(Countersignature {
        decision: Choice::Approve,
        nonce: Bytes(vec![7; 3]),
        at: Timestamp::from_seconds(1_795_430_400),
        change: Change {
            id: ChangeId::from_random([1; 16]),
            issuer: "https://sign.example.com".to_owned(),
            by: Proposer::Console,
            at: Timestamp::from_seconds(1_795_430_400),
            sign_by: Timestamp::from_seconds(1_795_430_400),
            about: About::Person(Concern {
                person: PersonId::from_random([0; 10]),
                name: "Tom Ahl".to_owned(),
                act: Act::Join { group: GroupName::parse("release-managers").unwrap() },
            }),
        },
    });
    let expected = concat!(
        r#"{"at":"2026-11-23T10:40:00.000Z","change":{"act":{"group":"release-managers","kind":"join"},"#,
        r#""at":"2026-11-23T10:40:00.000Z","by":"console","id":"AQEBAQEBAQEBAQEBAQEBAQ","#,
        r#""issuer":"https://sign.example.com","name":"Tom Ahl","person":"paaaaaaaaaaaaaaaa","#,
        r#""sign_by":"2026-11-23T10:40:00.000Z"},"decision":"approve","nonce":"BwcH","type":"countersign/change/v1"}"#
    );
    assert_eq!(String::from_utf8(statement.to_bytes().unwrap()).unwrap(), expected);
    // One that an admin proposed on a page names them, in one spelling.
    let person = r#""by":{"person":"paaaaaaaaaaaaaaaa"}"#;
    let proposed = expected.replace(r#""by":"console""#, person);
    let Ok(Statement::Change(read)) = Statement::from_bytes(proposed.as_bytes()) else { panic!("{proposed}") };
    assert_eq!(read.change.by, Proposer::Person(PersonId::from_random([0; 10])));
    for wrong in [
        r#""by":{"console":null}"#,
        r#""by":"person""#,
        r#""by":{"person":"Ada"}"#,
        r#""by":{"person":"paaaaaaaaaaaaaaaa","session":7}"#,
        r#""by":{}"#,
        r#""by":null"#,
    ] {
        assert!(Statement::from_bytes(expected.replace(r#""by":"console""#, wrong).as_bytes()).is_err(), "{wrong}");
    }
}

#[test]
fn a_change_of_rules_has_these_bytes_and_concerns_nobody() {
    let at = Timestamp::from_seconds(1_795_430_400);
    let rules =
        OtherRules { before: Digest::of(b"a"), after: Digest::of(b"b"), added: 1, changed: 2, moved: 3, removed: 0 };
    let statement = Statement::Change(Countersignature {
        decision: Choice::Approve,
        nonce: Bytes(vec![7; 3]),
        at,
        change: Change {
            id: ChangeId::from_random([1; 16]),
            issuer: "https://sign.example.com".to_owned(),
            by: Proposer::Console,
            at,
            sign_by: at,
            about: About::Rules { rules },
        },
    });
    let expected = concat!(
        r#"{"at":"2026-11-23T10:40:00.000Z","change":{"at":"2026-11-23T10:40:00.000Z","by":"console","#,
        r#""id":"AQEBAQEBAQEBAQEBAQEBAQ","issuer":"https://sign.example.com","rules":{"added":1,"#,
        r#""after":"3e23e8160039594a33894f6564e1b1348bbd7a0088d42c4acb73eeaed59c009d","#,
        r#""before":"ca978112ca1bbdcafac231b39a23dc4da786eff8147c4e72b9807785afee48bb","changed":2,"moved":3,"#,
        r#""removed":0},"#,
        r#""sign_by":"2026-11-23T10:40:00.000Z"},"decision":"approve","nonce":"BwcH","type":"countersign/change/v1"}"#
    );
    assert_eq!(String::from_utf8(statement.to_bytes().unwrap()).unwrap(), expected);
    assert_eq!(Statement::from_bytes(expected.as_bytes()), Ok(statement));
    // It is about rules or about a person, and never about both, nor about anything beside.
    let person = r#""name":"Tom Ahl","person":"paaaaaaaaaaaaaaaa","rules""#;
    let act = r#""change":{"act":{"kind":"suspend"},"at""#;
    for wrong in [
        expected.replace(r#""changed":2,"#, ""),
        expected.replace(r#""removed":0"#, r#""removed":0,"renamed":0"#),
        expected.replace(r#""rules""#, person),
        expected.replace(r#""rules""#, person).replace(r#""change":{"at""#, act),
        expected.replace(r#""change":{"at""#, act),
    ] {
        assert_ne!(wrong, expected);
        assert!(Statement::from_bytes(wrong.as_bytes()).is_err(), "{wrong}");
    }
}

proptest! {
    #[test]
    fn a_statement_reads_back_as_it_was(statement in statement()) {
        let bytes = statement.to_bytes().unwrap();
        prop_assert_eq!(Statement::from_bytes(&bytes), Ok(statement));
    }

    #[test]
    fn equal_bytes_are_equal_statements(one in statement(), other in statement()) {
        prop_assert_eq!(one == other, one.to_bytes().unwrap() == other.to_bytes().unwrap());
    }

    #[test]
    fn statements_and_requests_that_differ_anywhere_have_other_digests((one, other) in neighbours()) {
        let challenge_of = |statement: &Statement| challenge(&statement.to_bytes().unwrap());
        prop_assert_eq!(one == other, challenge_of(&one) == challenge_of(&other));
        if let (Statement::Approval(one), Statement::Approval(other)) = (&one, &other) {
            let digest = |request: &Request| canonical::digest(request).unwrap();
            prop_assert_eq!(one.request == other.request, digest(&one.request) == digest(&other.request));
            let back: Request = canonical::from_bytes(&canonical::to_bytes(&one.request).unwrap()).unwrap();
            prop_assert_eq!(&back, &one.request);
        }
    }

    #[test]
    fn no_flipped_bit_of_a_statement_says_the_same(statement in statement(), at: prop::sample::Index, bit in 0_u8..8) {
        let bytes = statement.to_bytes().unwrap();
        let mut flipped = bytes.clone();
        flipped[at.index(bytes.len())] ^= 1 << bit;
        prop_assert_ne!(challenge(&flipped), challenge(&bytes));
        prop_assert_ne!(Statement::from_bytes(&flipped), Ok(statement));
    }
}

#[test]
fn a_registration_by_invitation_is_written_as_it_always_was() {
    let registration = Statement::Registration(Registration {
        nonce: Bytes(vec![0x5e; 32]),
        at: Timestamp::from_seconds(1_795_430_400),
        issuer: "https://sign.example.com".to_owned(),
        person: PersonId::from_random([0; 10]),
        invitation: Some(Digest::of(b"link")),
        admitted_by: None,
        groups: vec![GroupName::parse("release-managers").unwrap()],
    });
    let text = String::from_utf8(registration.to_bytes().unwrap()).unwrap();
    let invitation = Digest::of(b"link");
    assert_eq!(
        text,
        format!(
            "{{\"at\":\"2026-11-23T10:40:00.000Z\",\"groups\":[\"release-managers\"],\"invitation\":\"{invitation}\",\
             \"issuer\":\"https://sign.example.com\",\"nonce\":\"Xl5eXl5eXl5eXl5eXl5eXl5eXl5eXl5eXl5eXl5eXl4\",\
             \"person\":\"paaaaaaaaaaaaaaaa\",\"type\":\"countersign/registration/v1\"}}"
        )
    );
}

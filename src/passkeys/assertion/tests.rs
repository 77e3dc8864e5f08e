use proptest::prelude::*;

use super::*;
use crate::domain::oauth::error_code::ErrorCode;
use crate::passkeys::Expected;
use crate::passkeys::offline;
use crate::passkeys::registration::Registered;
use crate::passkeys::testing::{HANDLE, SoftAuthenticator, UserHandle, authenticator, challenge, register, rp, stored};

/// A registered passkey and an answer to the challenge of "approve".
fn answered(lie: impl FnOnce(&mut SoftAuthenticator)) -> (Registered, Value) {
    let mut authenticator = authenticator(1);
    let registered = register(&mut authenticator).unwrap();
    lie(&mut authenticator);
    let answer = authenticator.get(&options(&rp(), challenge("approve"), &[])).unwrap();
    (registered, answer)
}

fn outcome(lie: impl FnOnce(&mut SoftAuthenticator)) -> Result<Verification, PasskeyError> {
    let (registered, answer) = answered(lie);
    verify(&rp(), challenge("approve"), &stored(&registered), &answer)
}

fn code(lie: impl FnOnce(&mut SoftAuthenticator)) -> ErrorCode {
    outcome(lie).unwrap_err().code()
}

#[test]
fn an_assertion_over_the_statement_verifies_and_moves_the_counter() {
    let mut authenticator = authenticator(1);
    let registered = register(&mut authenticator).unwrap();
    let first = authenticator.get(&options(&rp(), challenge("one"), &[])).unwrap();
    assert_eq!(credential_id(&first).as_deref(), Some(&registered.credential_id[..]));
    assert_eq!(user_handle(&first).as_deref(), Some(&HANDLE[..]));
    let first = verify(&rp(), challenge("one"), &stored(&registered), &first).unwrap();
    assert_eq!(first.facts, AuthenticatorFacts { backup_eligible: false, backup_state: false, counter: 1 });

    let now = StoredCredential { credential: &first.credential, ..stored(&registered) };
    let second = authenticator.get(&options(&rp(), challenge("two"), &[])).unwrap();
    assert_eq!(verify(&rp(), challenge("two"), &now, &second).unwrap().facts.counter, 2);
}

#[test]
fn the_options_demand_verification_and_carry_the_challenge() {
    let open = options(&rp(), challenge("approve"), &[]);
    assert_eq!(open["publicKey"]["userVerification"], "required");
    assert_eq!(open["publicKey"]["rpId"], "sign.example.com");
    assert_eq!(open["publicKey"]["timeout"], 300_000);
    assert_eq!(open["publicKey"]["allowCredentials"], json!([]));
    assert_eq!(open["publicKey"]["challenge"], BASE64URL_NOPAD.encode(challenge("approve").as_bytes()));
    let listed = options(&rp(), challenge("approve"), &[vec![1, 2, 3]]);
    assert_eq!(listed["publicKey"]["allowCredentials"], json!([{ "type": "public-key", "id": "AQID" }]));
}

#[test]
fn attack_047_an_assertion_is_good_for_one_statement_and_one_use() {
    let (registered, answer) = answered(|_| ());
    let other = verify(&rp(), challenge("another job"), &stored(&registered), &answer).unwrap_err();
    assert_eq!(other, PasskeyError::StatementMismatch);
    assert_eq!(other.code(), ErrorCode::StatementMismatch);
    let used = verify(&rp(), challenge("approve"), &stored(&registered), &answer).unwrap();
    let now = StoredCredential { credential: &used.credential, ..stored(&registered) };
    let again = verify(&rp(), challenge("approve"), &now, &answer).unwrap_err();
    assert_eq!(again, PasskeyError::CounterRolledBack { stored: 1, found: 1 });
}

#[test]
fn attack_048_only_the_exact_origin_and_no_frame() {
    for origin in [
        "https://evil.example",
        "https://a.sign.example.com",
        "https://example.com",
        "https://sign.example.com:8443",
        "https://sign.example.com:443",
        "http://sign.example.com",
        "https://sign.example.com/",
        "https://sign.example.com/evil?x",
        "https://SIGN.example.com",
        "https://xn--sgn-yqa.example.com",
        "https://sign.example.com.",
        "null",
        "",
    ] {
        let refused = code(|authenticator| authenticator.behaviour.origin = Some(origin.to_owned()));
        assert_eq!(refused, ErrorCode::OriginWrong, "{origin}");
    }
    let framed = outcome(|authenticator| authenticator.behaviour.cross_origin = Some(true));
    assert_eq!(framed.unwrap_err(), PasskeyError::CrossOrigin);
    let framed = outcome(|authenticator| {
        authenticator.behaviour.cross_origin = Some(true);
        authenticator.behaviour.top_origin = Some("https://evil.example".to_owned());
    });
    assert_eq!(framed.unwrap_err(), PasskeyError::CrossOrigin);
    let contradicting =
        code(|authenticator| authenticator.behaviour.top_origin = Some("https://sign.example.com".to_owned()));
    assert_eq!(contradicting, ErrorCode::OriginWrong);
    assert!(
        outcome(|authenticator| authenticator.behaviour.cross_origin = None).is_ok(),
        "an old browser says nothing"
    );
}

#[test]
fn attack_049_rp_id_presence_and_type() {
    for rp_id in ["example.com", "other.example.com", "evil.example", ""] {
        let refused = outcome(|authenticator| authenticator.behaviour.rp_id = Some(rp_id.to_owned()));
        assert_eq!(refused.unwrap_err(), PasskeyError::RpIdWrong, "{rp_id}");
    }
    let untouched = outcome(|authenticator| authenticator.behaviour.user_present = false);
    assert_eq!(untouched.unwrap_err(), PasskeyError::UserNotPresent);
    for ceremony in ["webauthn.create", "payment.get", "webauthn.get ", "WEBAUTHN.GET"] {
        let refused = outcome(|authenticator| authenticator.behaviour.ceremony = Some(ceremony.to_owned()));
        assert!(matches!(refused, Err(PasskeyError::CeremonyType { .. })), "{ceremony}");
    }
    let mut authenticator = authenticator(1);
    let registered = register(&mut authenticator).unwrap();
    let registration = crate::passkeys::testing::create(&mut authenticator);
    let swapped = verify(&rp(), challenge("register"), &stored(&registered), &registration).unwrap_err();
    assert_eq!(swapped.code(), ErrorCode::AssertionInvalid, "{swapped}");
}

#[test]
fn attack_050_verification_cannot_be_stripped() {
    let (registered, _) = answered(|_| ());
    let mut authenticator = authenticator(1);
    register(&mut authenticator).unwrap();
    let mut edited = options(&rp(), challenge("approve"), &[]);
    edited["publicKey"]["userVerification"] = "discouraged".into();
    authenticator.behaviour.user_verified = false;
    let answer = authenticator.get(&edited).unwrap();
    let refused = verify(&rp(), challenge("approve"), &stored(&registered), &answer).unwrap_err();
    assert_eq!(refused.code(), ErrorCode::UvRequired);
}

#[test]
fn attack_051_the_key_must_belong_to_the_person_it_names() {
    let (mine, my_answer) = answered(|_| ());
    let mut theirs = authenticator(2);
    let their_key = register(&mut theirs).unwrap();
    let their_answer = theirs.get(&options(&rp(), challenge("approve"), &[])).unwrap();
    let try_with = |stored: &StoredCredential<'_>, answer: &Value| {
        verify(&rp(), challenge("approve"), stored, answer).map(|_| ()).unwrap_err()
    };

    assert_eq!(try_with(&stored(&mine), &their_answer), PasskeyError::PasskeyUnknown);
    // Their signature under my credential id.
    let mut forged = their_answer.clone();
    forged["id"] = my_answer["id"].clone();
    forged["rawId"] = my_answer["rawId"].clone();
    assert_eq!(try_with(&stored(&mine), &forged), PasskeyError::SignatureInvalid);
    // Two ids in one answer.
    let mut two = their_answer.clone();
    two["id"] = my_answer["id"].clone();
    assert_eq!(try_with(&stored(&their_key), &two).code(), ErrorCode::AssertionInvalid);
    // The row says another owner than the authenticator.
    let other_owner = StoredCredential { user_handle: &[8; 16], ..stored(&mine) };
    assert_eq!(try_with(&other_owner, &my_answer), PasskeyError::UserHandleWrong);
    for handle in [UserHandle::Other(vec![8; 16]), UserHandle::Other(vec![]), UserHandle::Absent] {
        let refused = outcome(|authenticator| authenticator.behaviour.user_handle = handle);
        assert_eq!(refused.unwrap_err(), PasskeyError::UserHandleWrong);
    }
}

#[test]
fn a_listed_passkey_may_leave_its_handle_out_but_not_name_another() {
    let listed = |handle: UserHandle| {
        let (registered, answer) = answered(|authenticator| authenticator.behaviour.user_handle = handle);
        verify_listed(&rp(), challenge("approve"), &stored(&registered), &answer).map(|_| ())
    };
    assert_eq!(listed(UserHandle::Own), Ok(()));
    assert_eq!(listed(UserHandle::Absent), Ok(()));
    assert_eq!(listed(UserHandle::Other(vec![8; 16])), Err(PasskeyError::UserHandleWrong));
    assert_eq!(listed(UserHandle::Other(vec![])), Err(PasskeyError::UserHandleWrong));
}

#[test]
fn attack_054_a_counter_that_does_not_grow_is_refused() {
    let mut authenticator = authenticator(1);
    let registered = register(&mut authenticator).unwrap();
    let ask = |authenticator: &mut SoftAuthenticator, step: i64, credential: &str| {
        authenticator.behaviour.counter_step = step;
        let answer = authenticator.get(&options(&rp(), challenge("approve"), &[])).unwrap();
        let now = StoredCredential { credential, ..stored(&registered) };
        verify(&rp(), challenge("approve"), &now, &answer)
    };
    let zero = ask(&mut authenticator, 0, &registered.credential).unwrap();
    assert_eq!(zero.facts.counter, 0, "synced passkeys stay at zero");
    let jumped = ask(&mut authenticator, 1 << 31, &zero.credential).unwrap();
    assert_eq!(jumped.facts.counter, 1 << 31);
    let same = ask(&mut authenticator, 0, &jumped.credential).unwrap_err();
    assert_eq!(same, PasskeyError::CounterRolledBack { stored: 1 << 31, found: 1 << 31 });
    let back = ask(&mut authenticator, -5, &jumped.credential).unwrap_err();
    assert_eq!(back, PasskeyError::CounterRolledBack { stored: 1 << 31, found: (1 << 31) - 5 });
}

#[test]
fn attack_055_backup_eligibility_never_changes() {
    let flipped = outcome(|authenticator| authenticator.behaviour.backup_eligible = true);
    assert_eq!(flipped.unwrap_err(), PasskeyError::BackupFlags);
    let malformed = outcome(|authenticator| authenticator.behaviour.backup_state = true);
    assert_eq!(malformed.unwrap_err(), PasskeyError::BackupFlags);

    let mut synced = authenticator(3);
    synced.behaviour.backup_eligible = true;
    let registered = register(&mut synced).unwrap();
    assert!(!registered.facts.backup_state);
    synced.behaviour.backup_state = true;
    let answer = synced.get(&options(&rp(), challenge("approve"), &[])).unwrap();
    let verified = verify(&rp(), challenge("approve"), &stored(&registered), &answer).unwrap();
    assert!(verified.facts.backup_state, "a change of BS is fine");
    let kept: proto::Credential = serde_json::from_str(&verified.credential).unwrap();
    assert!(kept.backup_state, "and recorded");
    synced.behaviour.backup_eligible = false;
    synced.behaviour.backup_state = false;
    let answer = synced.get(&options(&rp(), challenge("approve"), &[])).unwrap();
    let lost = verify(&rp(), challenge("approve"), &stored(&registered), &answer).unwrap_err();
    assert_eq!(lost, PasskeyError::BackupFlags);
}

#[test]
fn attack_056_flags_lengths_and_sizes() {
    for bits in [0x80, 0x40, 0x20, 0x02] {
        let refused = code(|authenticator| authenticator.behaviour.extra_flags = bits);
        assert_eq!(refused, ErrorCode::AssertionInvalid, "flag {bits:02x}");
    }
    assert_eq!(code(|authenticator| authenticator.behaviour.trailing = vec![0]), ErrorCode::AssertionInvalid);
    let extended = outcome(|authenticator| {
        authenticator.behaviour.extra_flags = 0x80;
        authenticator.behaviour.trailing = vec![0xa1, 0x63, b'u', b'v', b'm', 0x81, 0x83, 0x02, 0x04, 0x02];
    });
    assert!(extended.is_ok(), "extension data that is announced");
    let with_a_key = outcome(|authenticator| {
        authenticator.behaviour.extra_flags = 0x40;
        authenticator.behaviour.trailing = [&[0; 16][..], &[0, 1, 0xaa, 0xa0]].concat();
    });
    assert!(matches!(with_a_key, Err(PasskeyError::Malformed(_))), "credential data in an assertion");
    let huge = outcome(|authenticator| authenticator.behaviour.trailing = vec![0; MAX_AUTHENTICATOR_DATA]);
    assert!(matches!(huge, Err(PasskeyError::Malformed(_))));
    let (registered, mut answer) = answered(|_| ());
    answer["response"]["signature"] = BASE64URL_NOPAD.encode(&vec![0x30; MAX_SIGNATURE + 1]).into();
    assert!(verify(&rp(), challenge("approve"), &stored(&registered), &answer).is_err());
}

#[test]
fn attack_056_answers_that_are_no_answers_are_refused_without_panic() {
    let (registered, answer) = answered(|_| ());
    for wrong in [json!(null), json!([]), json!("x"), json!({}), json!({ "rawId": 7, "response": [] })] {
        assert!(verify(&rp(), challenge("approve"), &stored(&registered), &wrong).is_err(), "{wrong}");
        assert_eq!(credential_id(&wrong), None);
    }
    for (path, wrong) in [
        ("/type", json!("password")),
        ("/rawId", json!("AA=")),
        ("/response/signature", json!(null)),
        ("/response/clientDataJSON", json!("bm90IGpzb24")),
        ("/response/clientDataJSON", json!("")),
        ("/response/authenticatorData", json!("")),
    ] {
        let mut broken = answer.clone();
        *broken.pointer_mut(path).unwrap() = wrong;
        let refused = verify(&rp(), challenge("approve"), &stored(&registered), &broken);
        assert_eq!(refused.unwrap_err().code(), ErrorCode::AssertionInvalid, "{path}");
    }
    let twice = br#"{"type":"webauthn.get","origin":"https://sign.example.com","origin":"https://evil.example"}"#;
    let mut broken = answer.clone();
    broken["response"]["clientDataJSON"] = BASE64URL_NOPAD.encode(twice).into();
    assert!(verify(&rp(), challenge("approve"), &stored(&registered), &broken).is_err(), "a member twice");
}

#[test]
fn attack_057_extension_outputs_change_nothing() {
    let (registered, answer) = answered(|_| ());
    let plain = verify(&rp(), challenge("approve"), &stored(&registered), &answer).unwrap();
    for outputs in [
        json!({ "appid": true, "uvm": [[2, 4, 2]], "prf": { "enabled": true }, "largeBlob": { "written": true } }),
        json!({ "appid": "not a boolean", "credProps": 7, "hmacGetSecret": [] }),
        json!("nonsense"),
        json!(null),
    ] {
        let mut forged = answer.clone();
        forged["clientExtensionResults"] = outputs.clone();
        forged["extensions"] = outputs;
        forged["authenticatorAttachment"] = "cross-platform".into();
        let verified = verify(&rp(), challenge("approve"), &stored(&registered), &forged).unwrap();
        assert_eq!(verified.facts, plain.facts);
        assert_eq!(verified.credential, plain.credential);
    }
    // `appid` would let the hash of another id stand in for the RP id's.
    let (registered, mut answer) = answered(|authenticator| {
        authenticator.behaviour.rp_id = Some("https://sign.example.com/app-id.json".to_owned());
    });
    answer["clientExtensionResults"] = json!({ "appid": true });
    let refused = verify(&rp(), challenge("approve"), &stored(&registered), &answer).unwrap_err();
    assert_eq!(refused, PasskeyError::RpIdWrong);
}

#[test]
fn a_stored_credential_that_is_not_the_one_named_is_our_fault() {
    let (registered, answer) = answered(|_| ());
    for credential in ["", "{}", "not json"] {
        let broken = StoredCredential { credential, ..stored(&registered) };
        let refused = verify(&rp(), challenge("approve"), &broken, &answer).unwrap_err();
        assert_eq!(refused, PasskeyError::StoredCredential);
    }
    let other_id = StoredCredential { credential_id: &[1; 32], ..stored(&registered) };
    let refused = verify(&rp(), challenge("approve"), &other_id, &answer).unwrap_err();
    assert_eq!(refused, PasskeyError::StoredCredential);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]
    #[test]
    fn any_flipped_bit_of_what_was_signed_is_refused(part in 0_usize..3, at in any::<prop::sample::Index>(), bit in 0_u8..8) {
        let (registered, answer) = answered(|_| ());
        let name = ["clientDataJSON", "authenticatorData", "signature"][part];
        let mut bytes = BASE64URL_NOPAD.decode(answer["response"][name].as_str().unwrap().as_bytes()).unwrap();
        let at = at.index(bytes.len());
        bytes[at] ^= 1 << bit;
        let mut flipped = answer;
        flipped["response"][name] = BASE64URL_NOPAD.encode(&bytes).into();
        prop_assert!(verify(&rp(), challenge("approve"), &stored(&registered), &flipped).is_err());

        let raw = |name: &str| BASE64URL_NOPAD.decode(flipped["response"][name].as_str().unwrap().as_bytes()).unwrap();
        let expected = Expected { rp_id: "sign.example.com", origin: "https://sign.example.com", challenge: &challenge("approve") };
        let (client_data, data, signature) = (raw("clientDataJSON"), raw("authenticatorData"), raw("signature"));
        prop_assert!(offline::verify_assertion(&expected, &registered.public_key, &client_data, &data, &signature).is_err());
    }
}

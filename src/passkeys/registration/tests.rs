use super::*;
use crate::domain::assurance::evidence::{Attestation as Verdict, Evidence, Standing};
use crate::domain::assurance::models::Trusted;
use crate::domain::assurance::{Assurance, assess};
use crate::domain::oauth::error_code::ErrorCode;
use crate::domain::time::Timestamp;
use crate::passkeys::device;
use crate::passkeys::testing::{
    Attestation as How, HANDLE, SoftAuthenticator, authenticator, challenge, create, register, rp,
};

fn outcome(lie: impl FnOnce(&mut SoftAuthenticator)) -> Result<Registered, PasskeyError> {
    let mut authenticator = authenticator(1);
    lie(&mut authenticator);
    register(&mut authenticator)
}

fn code(lie: impl FnOnce(&mut SoftAuthenticator)) -> ErrorCode {
    outcome(lie).unwrap_err().code()
}

/// The answer with other CBOR in place of the attestation object.
fn with_object(object: &[u8]) -> Result<Registered, PasskeyError> {
    let mut answer = create(&mut authenticator(1));
    answer["response"]["attestationObject"] = BASE64URL_NOPAD.encode(object).into();
    finish(&rp(), challenge("register"), &answer)
}

/// The attestation object of an honest answer.
fn object() -> Vec<u8> {
    outcome(|_| ()).unwrap().attestation_object
}

#[test]
fn a_registration_gives_the_key_and_what_was_signed() {
    let registered = outcome(|authenticator| authenticator.behaviour.backup_eligible = true).unwrap();
    assert_eq!(registered.facts, AuthenticatorFacts { backup_eligible: true, backup_state: false, counter: 0 });
    assert_eq!(registered.public_key_sha256, Digest::of(&registered.public_key));
    assert_eq!((registered.format.as_str(), registered.discoverable), ("none", Some(true)));
    assert_eq!(registered.transports, ["internal"]);
    assert_eq!(registered.credential_id.len(), 32);
    let packed = outcome(|authenticator| authenticator.behaviour.attestation = How::PackedSelf).unwrap();
    assert_eq!(packed.format, "packed");
}

#[test]
fn the_options_ask_for_what_is_checked() {
    let options = options(&rp(), &HANDLE, "mara", "Mara Voss", &[vec![1, 2, 3]], challenge("register")).unwrap();
    let asked = &options["publicKey"];
    assert_eq!(asked["authenticatorSelection"]["residentKey"], "required");
    assert_eq!(asked["authenticatorSelection"]["requireResidentKey"], true);
    assert_eq!(asked["authenticatorSelection"]["userVerification"], "required");
    assert_eq!(asked["attestation"], "direct");
    assert_eq!(asked["timeout"], 300_000);
    assert_eq!(asked["extensions"]["enforceCredentialProtectionPolicy"], false);
    assert_eq!(asked.get("hints"), None);
    let algorithms: Vec<_> = asked["pubKeyCredParams"].as_array().unwrap().iter().map(|p| p["alg"].clone()).collect();
    assert_eq!(algorithms, [json!(-7), json!(-35), json!(-257)]);
    assert_eq!(asked["excludeCredentials"], json!([{ "type": "public-key", "id": "AQID" }]));
    assert_eq!(asked["user"]["id"], BASE64URL_NOPAD.encode(&HANDLE));
    let long = "x".repeat(MAX_ACCOUNT_NAME + 1);
    for name in ["", long.as_str()] {
        let refused = super::options(&rp(), &HANDLE, name, "Mara", &[], challenge("register"));
        assert_eq!(refused, Err(PasskeyError::AccountName));
    }
}

#[test]
fn attack_047_a_registration_is_good_for_one_challenge() {
    let answer = create(&mut authenticator(1));
    let refused = finish(&rp(), challenge("another invitation"), &answer).unwrap_err();
    assert_eq!(refused, PasskeyError::StatementMismatch);
}

#[test]
fn attack_048_only_the_exact_origin_and_no_frame() {
    for origin in ["https://evil.example", "https://sign.example.com/", "https://sign.example.com:443", "null"] {
        let refused = code(|authenticator| authenticator.behaviour.origin = Some(origin.to_owned()));
        assert_eq!(refused, ErrorCode::OriginWrong, "{origin}");
    }
    assert_eq!(code(|authenticator| authenticator.behaviour.cross_origin = Some(true)), ErrorCode::OriginWrong);
    let framed = code(|authenticator| authenticator.behaviour.top_origin = Some("https://evil.example".to_owned()));
    assert_eq!(framed, ErrorCode::OriginWrong);
}

#[test]
fn attack_049_rp_id_presence_and_type() {
    let other_rp = outcome(|authenticator| authenticator.behaviour.rp_id = Some("example.com".to_owned()));
    assert_eq!(other_rp.unwrap_err(), PasskeyError::RpIdWrong);
    let untouched = outcome(|authenticator| authenticator.behaviour.user_present = false);
    assert_eq!(untouched.unwrap_err(), PasskeyError::UserNotPresent);
    let swapped = outcome(|authenticator| authenticator.behaviour.ceremony = Some("webauthn.get".to_owned()));
    assert!(matches!(swapped, Err(PasskeyError::CeremonyType { .. })));
    // An assertion posted as a registration.
    let mut authenticator = authenticator(1);
    register(&mut authenticator).unwrap();
    let assertion = authenticator.get(&crate::passkeys::assertion::options(&rp(), challenge("register"), &[])).unwrap();
    assert!(matches!(finish(&rp(), challenge("register"), &assertion), Err(PasskeyError::Malformed(_))));
}

#[test]
fn attack_050_a_passkey_that_does_not_verify_is_not_enrolled() {
    assert_eq!(code(|authenticator| authenticator.behaviour.user_verified = false), ErrorCode::UvRequired);
}

#[test]
fn attack_053_what_was_asked_is_checked_here() {
    for algorithm in [-65535, -47, -8, -36, -37, -258, 0] {
        let refused = code(|authenticator| authenticator.behaviour.algorithm = algorithm);
        assert_eq!(refused, ErrorCode::PolicyNotMet, "algorithm {algorithm}");
    }
    for offered_but_false in [-35, -257] {
        let refused = outcome(|authenticator| authenticator.behaviour.algorithm = offered_but_false);
        assert!(refused.is_err(), "a P-256 key that claims {offered_but_false}");
    }
    assert_eq!(code(|authenticator| authenticator.behaviour.credential_id_length = 1024), ErrorCode::PolicyNotMet);
    assert_eq!(code(|authenticator| authenticator.behaviour.credential_id_length = 0), ErrorCode::PolicyNotMet);
    assert!(outcome(|authenticator| authenticator.behaviour.credential_id_length = 1023).is_ok());
    let u2f = code(|authenticator| authenticator.behaviour.attestation = How::Named("fido-u2f".to_owned()));
    assert_eq!(u2f, ErrorCode::PolicyNotMet);
}

/// What a passkey proves where nothing vouches for any maker.
fn proves(registered: &Registered) -> Assurance {
    let attestation = attestation::judge(&registered.statement, &Trusted::default(), Timestamp::from_seconds(0));
    assert!(!matches!(attestation, Verdict::Proven(_)));
    let evidence = Evidence {
        facts: registered.facts,
        registered: registered.facts,
        attestation: &attestation,
        standing: Standing::Good,
        trust_unattested_uv: false,
        admitted: None,
    };
    assess(&evidence, Timestamp::from_seconds(0))
}

#[test]
fn attack_058_a_statement_is_verified_or_counts_for_nothing() {
    for format in ["packed", "tpm", "apple", "android-key"] {
        let empty = outcome(|authenticator| authenticator.behaviour.attestation = How::Named(format.to_owned()));
        assert!(matches!(empty, Err(PasskeyError::AttestationInvalid(_))), "{format}");
    }
    for format in ["android-safetynet", "compound", "made-up"] {
        let kept =
            outcome(|authenticator| authenticator.behaviour.attestation = How::Named(format.to_owned())).unwrap();
        assert_eq!((kept.format.as_str(), &kept.statement), (format, &Statement::None));
        let credential: Value = serde_json::from_str(&kept.credential).unwrap();
        assert_eq!(credential["attestation_format"], "none");
        assert!(!proves(&kept).amr.contains("hwk"));
    }
    let long = outcome(|authenticator| authenticator.behaviour.attestation = How::Named("x".repeat(MAX_FORMAT + 1)));
    assert!(matches!(long, Err(PasskeyError::Malformed(_))));
}

#[test]
fn attack_055_backed_up_without_being_eligible_is_malformed() {
    let refused = outcome(|authenticator| authenticator.behaviour.backup_state = true);
    assert_eq!(refused.unwrap_err(), PasskeyError::BackupFlags);
}

#[test]
fn attack_056_attestation_objects_are_read_strictly() {
    let good = object();
    assert!(with_object(&good).is_ok());
    let mut trailing = good.clone();
    trailing.push(0);
    let mut indefinite = good.clone();
    indefinite[0] = 0xbf;
    indefinite.push(0xff);
    let mut repeated = good.clone();
    repeated[0] = 0xa4;
    repeated.extend_from_slice(&[0x63, b'f', b'm', b't', 0x64, b'n', b'o', b'n', b'e']);
    let mut deep = vec![0x81; 20_000];
    deep.push(0);
    for (what, object) in [
        ("empty", vec![]),
        ("bytes behind it", trailing),
        ("indefinite length", indefinite),
        ("a key twice", repeated),
        ("cut off", good[..good.len() - 1].to_vec()),
        ("deep", deep),
        ("10 MB", vec![0x81; 10 * 1024 * 1024]),
        ("no map", vec![0x80]),
    ] {
        let refused = with_object(&object);
        assert!(matches!(refused, Err(PasskeyError::Malformed(_))), "{what}: {refused:?}");
    }
    for bits in [0x80, 0x20, 0x02] {
        assert_eq!(code(|authenticator| authenticator.behaviour.extra_flags = bits), ErrorCode::AssertionInvalid);
    }
    assert_eq!(code(|authenticator| authenticator.behaviour.trailing = vec![0xa0]), ErrorCode::AssertionInvalid);
}

#[test]
fn attack_056_a_second_spelling_of_a_key_is_not_taken() {
    let key = outcome(|_| ()).unwrap().public_key;
    assert!(PublicKey::parse(&key).is_ok());
    // The same members with one more, and in another order.
    let mut extended = key.clone();
    extended[0] = 0xa6;
    extended.extend_from_slice(&[0x04, 0x81, 0x02]);
    let mut reordered = vec![0xa5];
    reordered.extend_from_slice(&key[3..5]);
    reordered.extend_from_slice(&key[1..3]);
    reordered.extend_from_slice(&key[5..]);
    for second in [extended, reordered] {
        assert!(cbor::is_one_item(&second));
        assert!(matches!(PublicKey::parse(&second), Err(PasskeyError::Malformed(_))));
    }
    let mut off_curve = key.clone();
    *off_curve.last_mut().unwrap() ^= 1;
    assert!(PublicKey::parse(&off_curve).is_err());
}

#[test]
fn attack_057_unsigned_words_stay_out_of_the_credential() {
    let mut answer = create(&mut authenticator(1));
    let plain = finish(&rp(), challenge("register"), &answer).unwrap();
    answer["clientExtensionResults"] = json!({ "credProps": { "rk": false }, "appid": true, "uvm": [[2, 4, 2]],
        "credProtect": "userVerificationRequired", "prf": { "enabled": true } });
    answer["response"]["transports"] = json!(["usb", "made-up", 7, "usb"]);
    answer["authenticatorAttachment"] = "cross-platform".into();
    let forged = finish(&rp(), challenge("register"), &answer).unwrap();
    assert_eq!(forged.credential, plain.credential);
    assert_eq!(forged.facts, plain.facts);
    assert_eq!((forged.discoverable, forged.transports), (Some(false), vec!["usb".to_owned(), "usb".to_owned()]));
}

#[test]
fn attack_059_a_claimed_model_gives_a_name_and_nothing_else() {
    // 2fc0579f-8113-47ea-b116-bb5a8db9202a, a hardware key's.
    let yubikey = *b"\x2f\xc0\x57\x9f\x81\x13\x47\xea\xb1\x16\xbb\x5a\x8d\xb9\x20\x2a";
    for attestation in [How::None, How::PackedSelf] {
        let registered = outcome(|authenticator| {
            authenticator.behaviour.aaguid = yubikey;
            authenticator.behaviour.attestation = attestation;
        })
        .unwrap();
        assert_eq!(device::claimed_name(&registered.aaguid), Some("YubiKey 5 with NFC"));
        let proven = proves(&registered);
        assert_eq!(proven.amr.iter().map(String::as_str).collect::<Vec<_>>(), ["pop", "user"]);
        assert_eq!(proven.acr.as_str(), "phr");
    }
}

#[test]
fn a_packed_statement_over_other_bytes_is_refused() {
    let honest = outcome(|authenticator| authenticator.behaviour.attestation = How::PackedSelf).unwrap();
    let mut object = honest.attestation_object.clone();
    // One bit of the AAGUID, which the statement signs.
    let at = object.windows(32).position(|window| window == Digest::of(b"sign.example.com").as_bytes()).unwrap() + 37;
    object[at] ^= 1;
    let mut authenticator = authenticator(1);
    authenticator.behaviour.attestation = How::PackedSelf;
    let mut answer = create(&mut authenticator);
    answer["response"]["attestationObject"] = BASE64URL_NOPAD.encode(&object).into();
    let refused = finish(&rp(), challenge("register"), &answer);
    assert!(matches!(refused, Err(PasskeyError::AttestationInvalid(_))), "{refused:?}");
}

#[test]
fn the_id_beside_the_object_must_be_the_one_inside() {
    let mut answer = create(&mut authenticator(1));
    answer["id"] = "AQID".into();
    answer["rawId"] = "AQID".into();
    assert!(matches!(finish(&rp(), challenge("register"), &answer), Err(PasskeyError::Malformed(_))));
}

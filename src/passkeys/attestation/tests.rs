use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use data_encoding::{BASE64URL_NOPAD, HEXLOWER};
use serde_json::{Value, json};

use super::*;
use crate::domain::assurance::evidence::{KeyProtection, Model, Source};
use crate::domain::assurance::models::{EVERYBODYS, Listed, Metadata, OwnRoot};
use crate::passkeys::maker::{Leaf, Maker, authenticator_data, put_statement};
use crate::passkeys::registration::{self, Registered};
use crate::passkeys::testing::{authenticator, challenge, create, rp};

const KEY: [u8; 16] = [7; 16];

fn now() -> Timestamp {
    Timestamp::from_seconds(1_795_430_400)
}

/// A registration that a maker vouches for, with a last change to the answer.
fn vouched(maker: &Maker, aaguid: [u8; 16], change: impl FnOnce(&mut Value)) -> Result<Registered, PasskeyError> {
    let mut device = authenticator(1);
    device.behaviour.aaguid = aaguid;
    let mut answer = create(&mut device);
    maker.vouch(&mut answer);
    change(&mut answer);
    registration::finish(&rp(), challenge("register"), &answer)
}

fn listed(roots: &[&[u8]], aaguids: &[[u8; 16]]) -> Trusted {
    let model = Model {
        name: "Keys Inc. One".to_owned(),
        key_protection: BTreeSet::from([KeyProtection::Hardware]),
        ..Model::default()
    };
    let roots: BTreeSet<_> = roots.iter().map(|root| root.to_vec()).collect();
    let listed = Listed { model, roots, ..Listed::default() };
    let entries: BTreeMap<_, _> = aaguids.iter().map(|aaguid| (Aaguid(*aaguid), listed.clone())).collect();
    let metadata = Metadata { number: 42, next_update: Timestamp::from_seconds(1_800_000_000), entries, skipped: 0 };
    Trusted { metadata: Some(metadata), ..Trusted::default() }
}

fn verdict(registered: &Registered, trusted: &Trusted) -> Attestation {
    judge(&registered.statement, trusted, now())
}

fn why(maker: &Maker, aaguid: [u8; 16], trusted: &Trusted) -> String {
    match verdict(&vouched(maker, aaguid, |_| ()).unwrap(), trusted) {
        Attestation::Untrusted { why } => why,
        other => panic!("{other:?}"),
    }
}

fn refused(leaf: &Leaf) -> String {
    match vouched(&Maker::new(leaf), KEY, |_| ()).unwrap_err() {
        PasskeyError::AttestationInvalid(why) => why,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_chain_to_a_listed_root_proves_the_model() {
    let maker = Maker::of(KEY);
    let root = maker.root.to_der().unwrap();
    let registered = vouched(&maker, KEY, |_| ()).unwrap();
    let Attestation::Proven(proof) = verdict(&registered, &listed(&[&root], &[KEY])) else { panic!("not proven") };
    assert_eq!((proof.aaguid, &proof.anchor.0, proof.source.clone()), (Aaguid(KEY), &root, Source::Metadata(42)));
    assert_eq!(proof.model.name, "Keys Inc. One");
    // What the log says can be checked again from the registration alone, and nothing else can.
    let proven = Attestation::Proven(proof.clone());
    assert_eq!(confirms(&registered.statement, &proven, now()), Ok(()));
    let other = vouched(&Maker::of(KEY), KEY, |_| ()).unwrap();
    assert!(confirms(&other.statement, &proven, now()).is_err());
    assert!(confirms(&Statement::None, &proven, now()).is_err());
    assert!(confirms(&Statement::SelfAttested, &proven, now()).is_err());
    let mut another = proof.clone();
    another.serials.clear();
    assert!(confirms(&registered.statement, &Attestation::Proven(another), now()).unwrap_err().contains("other cert"));
    let mut another = proof;
    another.aaguid = Aaguid([8; 16]);
    assert!(confirms(&registered.statement, &Attestation::Proven(another), now()).is_err());
    // The batch's certificate may be listed itself.
    let leaf = maker.leaf.to_der().unwrap();
    assert!(matches!(verdict(&registered, &listed(&[&leaf], &[KEY])), Attestation::Proven(_)));
}

#[test]
fn attack_058_only_the_models_own_root_stands_for_it() {
    let (maker, other) = (Maker::of(KEY), Maker::of(KEY));
    let (root, wrong) = (maker.root.to_der().unwrap(), other.root.to_der().unwrap());
    assert!(why(&maker, KEY, &listed(&[&wrong], &[KEY])).contains("does not hold"), "another maker's root");
    assert!(why(&maker, KEY, &listed(&[], &[KEY])).contains("does not hold"));
    assert!(why(&maker, KEY, &listed(&[&root], &[[8; 16]])).contains("does not list"), "another model's root");
    assert!(why(&maker, KEY, &Trusted::default()).contains("no metadata"));
    let mut stale = listed(&[&root], &[KEY]);
    stale.metadata.as_mut().unwrap().next_update = Timestamp::from_seconds(1);
    assert!(why(&maker, KEY, &stale).contains("older than it may be"));
    let mut revoked = listed(&[&root], &[KEY]);
    revoked.metadata.as_mut().unwrap().entries.get_mut(&Aaguid(KEY)).unwrap().compromised = true;
    assert!(why(&maker, KEY, &revoked).contains("revoked"));
}

#[test]
fn attack_058_certificates_must_be_good_at_the_time() {
    for (since, until) in [(1_580_000_000, 1_700_000_000), (1_800_000_000, 2_000_000_000)] {
        let maker = Maker::new(&Leaf { aaguid: Some(KEY), since, until, ..Leaf::default() });
        let root = maker.root.to_der().unwrap();
        assert!(why(&maker, KEY, &listed(&[&root], &[KEY])).contains("does not hold"), "{since} to {until}");
    }
}

#[test]
fn attack_058_certificates_that_are_not_for_attestation_are_refused() {
    let base = Leaf { aaguid: Some(KEY), ..Leaf::default() };
    assert!(refused(&Leaf { ca: Some(true), ..base.clone() }).contains("sign others"));
    assert!(refused(&Leaf { ca: None, ..base.clone() }).contains("does not say"));
    for foreign in ["1.3.6.1.4.1.11129.2.1.17", "1.2.840.113635.100.8.2"] {
        assert!(refused(&Leaf { foreign: Some(foreign), ..base.clone() }).contains("another format"), "{foreign}");
    }
    assert!(refused(&Leaf { unit: "Devices", ..base.clone() }).contains("not one for attestation"));
    assert!(refused(&Leaf { aaguid: Some([8; 16]), ..base }).contains("another model"));
}

#[test]
fn attack_058_a_statement_over_other_bytes_is_refused() {
    let maker = Maker::of(KEY);
    let changed = vouched(&maker, KEY, |answer| {
        let statement = json!(answer["response"]["attestationObject"]);
        let mut object = BASE64URL_NOPAD.decode(statement.as_str().unwrap().as_bytes()).unwrap();
        let signature = object.windows(4).position(|window| window == b"csig").unwrap() + 12;
        object[signature] ^= 1;
        answer["response"]["attestationObject"] = BASE64URL_NOPAD.encode(&object).into();
    });
    assert!(matches!(changed, Err(PasskeyError::AttestationInvalid(_))), "{changed:?}");
    // Signed for another ceremony.
    let mut device = authenticator(1);
    device.behaviour.aaguid = KEY;
    let mut first = create(&mut device);
    maker.vouch(&mut first);
    let mut second = create(&mut device);
    second["response"]["attestationObject"] = first["response"]["attestationObject"].clone();
    second["id"] = first["id"].clone();
    second["rawId"] = first["rawId"].clone();
    second["response"]["clientDataJSON"] = BASE64URL_NOPAD
        .encode(
            String::from_utf8(
                BASE64URL_NOPAD.decode(first["response"]["clientDataJSON"].as_str().unwrap().as_bytes()).unwrap(),
            )
            .unwrap()
            .replace('}', ",\"other\":1}")
            .as_bytes(),
        )
        .into();
    let refused = registration::finish(&rp(), challenge("register"), &second);
    assert!(matches!(refused, Err(PasskeyError::AttestationInvalid(_))), "{refused:?}");
}

#[test]
fn attack_058_a_root_of_several_models_needs_the_model_in_the_certificate() {
    let silent = Maker::new(&Leaf::default());
    let root = silent.root.to_der().unwrap();
    assert!(matches!(
        verdict(&vouched(&silent, KEY, |_| ()).unwrap(), &listed(&[&root], &[KEY])),
        Attestation::Proven(_)
    ));
    assert!(why(&silent, KEY, &listed(&[&root], &[KEY, [8; 16]])).contains("several models"));
    let telling = Maker::of(KEY);
    let root = telling.root.to_der().unwrap();
    let both = listed(&[&root], &[KEY, [8; 16]]);
    assert!(matches!(verdict(&vouched(&telling, KEY, |_| ()).unwrap(), &both), Attestation::Proven(_)));
}

#[test]
fn attack_059_the_key_that_everybody_has_proves_nothing() {
    let chromium =
        Leaf { organization: "Chromium", common_name: "Batch Certificate", country: "US", ..Leaf::default() };
    let maker = Maker::new(&chromium);
    let root = maker.root.to_der().unwrap();
    // Under its own model's id, and under another's.
    let forged = |maker: &Maker, aaguid: [u8; 16]| {
        let serial = maker.leaf.serial_number().to_bn().unwrap().to_hex_str().unwrap().to_ascii_lowercase();
        let proof = Proof {
            aaguid: Aaguid(aaguid),
            anchor: Bytes(maker.root.to_der().unwrap()),
            source: Source::Metadata(42),
            model: Model::default(),
            serials: vec![serial.trim_start_matches('0').to_owned()],
        };
        let statement = vouched(maker, aaguid, |_| ()).unwrap().statement;
        confirms(&statement, &Attestation::Proven(Box::new(proof)), now())
    };
    assert_eq!(forged(&Maker::of(KEY), KEY), Ok(()));
    for aaguid in [EVERYBODYS.0, KEY] {
        assert!(why(&maker, aaguid, &listed(&[&root], &[aaguid])).contains("everybody has the key"));
        // Nor where a log says that it did.
        assert!(forged(&maker, aaguid).unwrap_err().contains("everybody has the key"));
    }
    assert!(forged(&Maker::of(EVERYBODYS.0), EVERYBODYS.0).unwrap_err().contains("everybody has the key"));
    let usual = Maker::of(EVERYBODYS.0);
    let root = usual.root.to_der().unwrap();
    assert!(why(&usual, EVERYBODYS.0, &listed(&[&root], &[EVERYBODYS.0])).contains("everybody has the key"));
}

#[test]
fn the_operators_root_proves_hardware_and_its_list_of_revoked_certificates_counts() {
    let maker = Maker::of(KEY);
    let mut own = OwnRoot {
        name: "Our CA".to_owned(),
        format: "packed".to_owned(),
        aaguids: BTreeSet::from([Aaguid(KEY)]),
        roots: BTreeSet::from([maker.root.to_der().unwrap()]),
        revoked: BTreeSet::new(),
    };
    let registered = vouched(&maker, KEY, |_| ()).unwrap();
    let trusted = |own: &OwnRoot| Trusted { own: vec![own.clone()], ..Trusted::default() };
    let Attestation::Proven(proof) = verdict(&registered, &trusted(&own)) else { panic!("not proven") };
    assert_eq!(proof.source, Source::Configured("Our CA".to_owned()));
    assert!(proof.model.verification.is_empty() && proof.model.key_protection.contains(&KeyProtection::Hardware));
    let serial = maker.leaf.serial_number().to_bn().unwrap().to_hex_str().unwrap().to_ascii_lowercase();
    own.revoked.insert(serial.trim_start_matches('0').to_owned());
    let Attestation::Untrusted { why } = verdict(&registered, &trusted(&own)) else { panic!("proven") };
    assert!(why.contains("revoked"), "{why}");
}

#[test]
fn attack_058_metadata_does_not_outweigh_the_operators_list_of_revoked_certificates() {
    let maker = Maker::of(KEY);
    let root = maker.root.to_der().unwrap();
    let serial = maker.leaf.serial_number().to_bn().unwrap().to_hex_str().unwrap().to_ascii_lowercase();
    let mut trusted = listed(&[&root], &[KEY]);
    trusted.own = vec![OwnRoot {
        name: "Google".to_owned(),
        format: "android-key".to_owned(),
        aaguids: BTreeSet::new(),
        roots: BTreeSet::from([root]),
        revoked: BTreeSet::from([serial.trim_start_matches('0').to_owned()]),
    }];
    assert!(why(&maker, KEY, &trusted).contains("revoked"));
}

/// A statement of an Android keystore: its levels of security, and what hardware enforces of the key.
fn android(levels: [u8; 2], hardware: &[u8], challenge_of: Option<&[u8]>) -> (Maker, Result<Registered, PasskeyError>) {
    let maker = Maker::of(KEY);
    let mut device = authenticator(1);
    device.behaviour.attestation = crate::passkeys::testing::Attestation::PackedSelf;
    let mut answer = create(&mut device);
    maker.vouch_as_android(&mut answer, levels, hardware, challenge_of);
    (maker, registration::finish(&rp(), challenge("register"), &answer))
}

/// `[1] purpose = {2}`, `[702] origin = 0`.
const GENERATED_TO_SIGN: &[u8] = &[0xa1, 0x05, 0x31, 0x03, 0x02, 0x01, 0x02, 0xbf, 0x85, 0x3e, 0x03, 0x02, 0x01, 0x00];

#[test]
fn a_key_of_androids_hardware_is_proven_and_one_of_its_software_is_not() {
    let verdict = |(maker, registered): (Maker, Result<Registered, PasskeyError>)| {
        let own = OwnRoot {
            name: "Google".to_owned(),
            format: "android-key".to_owned(),
            aaguids: BTreeSet::new(),
            roots: BTreeSet::from([maker.root.to_der().unwrap()]),
            revoked: BTreeSet::new(),
        };
        judge(&registered.unwrap().statement, &Trusted { own: vec![own], ..Trusted::default() }, now())
    };
    for levels in [[1, 1], [2, 2]] {
        assert!(matches!(verdict(android(levels, GENERATED_TO_SIGN, None)), Attestation::Proven(_)), "{levels:?}");
    }
    let imported = [&GENERATED_TO_SIGN[..13], &[0x02]].concat();
    let encrypts = [&[0xa1, 0x08, 0x31, 0x06, 0x02, 0x01, 0x00], &GENERATED_TO_SIGN[4..]].concat();
    for (levels, hardware) in [
        ([0, 1], GENERATED_TO_SIGN),
        ([1, 0], GENERATED_TO_SIGN),
        ([1, 1], &[]),
        ([1, 1], &imported),
        ([1, 1], &encrypts),
    ] {
        let found = verdict(android(levels, hardware, None));
        assert!(matches!(found, Attestation::Untrusted { .. }), "{levels:?} {hardware:02x?} {found:?}");
    }
    let everybodys = [GENERATED_TO_SIGN, &[0xbf, 0x84, 0x58, 0x02, 0x05, 0x00]].concat();
    assert!(android([1, 1], &everybodys, None).1.is_err(), "every application may use it");
    assert!(android([1, 1], GENERATED_TO_SIGN, Some(b"other")).1.is_err(), "another ceremony's");
}

#[test]
fn attack_058_a_key_that_was_loaded_into_a_tpm_proves_no_hardware() {
    let maker = Maker::of(KEY);
    let found = |attributes: u32| {
        let mut device = authenticator(1);
        device.behaviour.aaguid = KEY;
        let mut answer = create(&mut device);
        maker.vouch_as_tpm(&mut answer, attributes);
        let registered = registration::finish(&rp(), challenge("register"), &answer).unwrap();
        verdict(&registered, &listed(&[&maker.root.to_der().unwrap()], &[KEY]))
    };
    // What Windows makes: fixedTPM, fixedParent, sensitiveDataOrigin, userWithAuth, noDA, decrypt, sign.
    let made = 0x0006_0472;
    assert!(matches!(found(made), Attestation::Proven(_)));
    for missing in [1 << 1, 1 << 4, 1 << 5, made] {
        let Attestation::Untrusted { why } = found(made & !missing) else { panic!("proven without {missing:#x}") };
        assert!(why.contains("made and keeps"), "{why}");
    }
}

#[test]
fn statements_without_their_parts_are_refused() {
    for format in ["packed", "tpm", "apple", "android-key"] {
        let mut device = authenticator(1);
        let mut answer = create(&mut device);
        let data = authenticator_data(&answer);
        put_statement(&mut answer, format, BTreeMap::new(), data);
        let refused = registration::finish(&rp(), challenge("register"), &answer);
        assert!(matches!(refused, Err(PasskeyError::AttestationInvalid(_))), "{format}: {refused:?}");
    }
    let many = Cbor::Array(vec![Cbor::Bytes(vec![0]); MAX_CERTIFICATES + 1]);
    let mut answer = create(&mut authenticator(1));
    let data = authenticator_data(&answer);
    let parts = [("alg", Cbor::Integer(-7)), ("sig", Cbor::Bytes(vec![0])), ("x5c", many)];
    put_statement(&mut answer, "packed", parts.into_iter().collect(), data);
    assert!(registration::finish(&rp(), challenge("register"), &answer).is_err());
}

/// The W3C's registrations, and the root above their certificates.
fn vectors() -> (Vec<u8>, Vec<Value>) {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/vectors/webauthn-l3/test-vectors.json");
    let all: Value = serde_json::from_str(&std::fs::read_to_string(file).unwrap()).unwrap();
    let examples = all["examples"].as_array().unwrap();
    let root = examples[0]["root"]["attestation_ca_cert"].as_str().unwrap();
    (HEXLOWER.decode(root.as_bytes()).unwrap(), examples[1..].to_vec())
}

/// Everything about a statement, without what else is asked of a registration (user verification, origin).
fn examined(object: &[u8], client_data: &[u8]) -> Result<Statement, PasskeyError> {
    let Cbor::Map(members) = serde_cbor_2::from_slice(object).unwrap() else { panic!("no map") };
    let get = |name: &str| members.get(&Cbor::Text(name.to_owned())).unwrap().clone();
    let (Cbor::Text(format), Cbor::Map(statement), Cbor::Bytes(data)) = (get("fmt"), get("attStmt"), get("authData"))
    else {
        panic!("no attestation object")
    };
    let parsed = crate::passkeys::authenticator_data::AuthenticatorData::parse(&data)?;
    examine((&format, &statement), &data, client_data, &parsed.attested()?)
}

/// What each of the fifteen statements proves: the verdict where its root is the model's, or why it is refused.
const STATEMENTS: [(&str, &str); 15] = [
    ("ES256 Credential with No Attestation", "none"),
    ("ES256 Credential with Self Attestation", "self"),
    ("ES256 Credential with \"crossOrigin\": true in clientDataJSON", "none"),
    ("ES256 Credential with \"topOrigin\" in clientDataJSON", "none"),
    ("ES256 Credential with very long credential ID", "none"),
    ("Packed Attestation with ES256 Credential", "proven"),
    ("Packed Attestation with ES384 Credential", "proven"),
    ("Packed Attestation with ES512 Credential", "refused: policy_not_met"),
    ("Packed Attestation with RS256 Credential", "refused: policy_not_met"),
    ("Packed Attestation with Ed25519 Credential", "refused: policy_not_met"),
    ("Packed Attestation with Ed448 Credential", "refused: policy_not_met"),
    ("TPM Attestation with ES256 Credential", "untrusted: its TPM does not say that it made and keeps the key"),
    (
        "Android Key Attestation with ES256 Credential",
        "untrusted: the device's keystore does not say that hardware made and keeps its key",
    ),
    ("Apple Anonymous Attestation with ES256 Credential", "proven"),
    ("FIDO U2F Attestation with ES256 Credential", "none"),
];

#[test]
fn attack_058_each_w3c_statement_has_its_verdict() {
    let (root, examples) = vectors();
    let titles: Vec<_> = examples.iter().map(|example| example["title"].as_str().unwrap()).collect();
    assert_eq!(titles, STATEMENTS.map(|(title, _)| title));
    for (example, (title, wanted)) in examples.iter().zip(STATEMENTS) {
        let part = |name: &str| HEXLOWER.decode(example["registration"][name].as_str().unwrap().as_bytes()).unwrap();
        let (object, client_data) = (part("attestationObject"), part("clientDataJSON"));
        let aaguid: [u8; 16] = part("aaguid").try_into().unwrap();
        let trusted = listed(&[&root], &[aaguid]);
        let found = match examined(&object, &client_data) {
            Err(error) => format!("refused: {}", error.code().as_str()),
            Ok(statement) => match judge(&statement, &trusted, now()) {
                Attestation::None => "none".to_owned(),
                Attestation::SelfAttested => "self".to_owned(),
                Attestation::Untrusted { why } => format!("untrusted: {why}"),
                Attestation::Proven(_) => "proven".to_owned(),
            },
        };
        assert_eq!(found, wanted, "{title}");
        if wanted != "proven" && !wanted.starts_with("untrusted") {
            continue;
        }
        // Over other client data, and with any one bit of the signature changed, it proves nothing.
        let other = [client_data.as_slice(), b" "].concat();
        assert!(examined(&object, &other).is_err(), "{title}: client data");
        let Ok(Statement::Certified(certified)) = examined(&object, &client_data) else { panic!("{title}") };
        let mut foreign = Certified { not_in_hardware: None, ..certified.clone() };
        foreign.certificates = vec![Maker::of(aaguid).leaf.to_der().unwrap()];
        let judged = judge(&Statement::Certified(foreign), &trusted, now());
        assert!(matches!(judged, Attestation::Untrusted { .. }), "{title}: another chain");
    }
}

#[test]
fn attack_058_no_byte_of_a_w3c_statement_can_be_changed() {
    let (root, examples) = vectors();
    for example in examples.iter().filter(|example| {
        let title = example["title"].as_str().unwrap();
        STATEMENTS
            .iter()
            .any(|(known, verdict)| *known == title && (*verdict == "proven" || verdict.starts_with("untrusted")))
    }) {
        let title = example["title"].as_str().unwrap();
        let part = |name: &str| HEXLOWER.decode(example["registration"][name].as_str().unwrap().as_bytes()).unwrap();
        let (object, client_data) = (part("attestationObject"), part("clientDataJSON"));
        let mut trusted = listed(&[&root], &[part("aaguid").try_into().unwrap()]);
        trusted.own = vec![OwnRoot {
            name: "Google".to_owned(),
            format: "android-key".to_owned(),
            aaguids: BTreeSet::new(),
            roots: BTreeSet::from([root.clone()]),
            revoked: BTreeSet::new(),
        }];
        let start = object.windows(7).position(|window| window == b"attStmt").unwrap() + 7;
        for at in (start..object.len()).step_by(3) {
            let mut changed = object.clone();
            changed[at] ^= 1;
            if !crate::passkeys::cbor::is_one_item(&changed) {
                continue;
            }
            let Ok(Cbor::Map(members)) = serde_cbor_2::from_slice(&changed) else { continue };
            let whole =
                ["fmt", "attStmt", "authData"].iter().all(|name| members.contains_key(&Cbor::Text((*name).to_owned())));
            if !whole {
                continue;
            }
            // Also of those that prove no hardware: what certifies them is not to be changed either.
            let proven = examined(&changed, &client_data).is_ok_and(|statement| {
                let Statement::Certified(certified) = statement else { return false };
                let certified = Statement::Certified(Certified { not_in_hardware: None, ..certified });
                matches!(judge(&certified, &trusted, now()), Attestation::Proven(_))
            });
            assert!(!proven, "{title}: byte {at} of {}", object.len());
        }
    }
}

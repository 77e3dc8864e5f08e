use super::super::Acr;
use super::super::evidence::{Admission, Model, Source, Vouched};
use super::*;
use crate::domain::canonical::Bytes;

const KEY: Aaguid = Aaguid([7; 16]);

fn device(model: Model) -> Device {
    let proof = Proof { aaguid: KEY, anchor: Bytes(vec![1]), source: Source::Metadata(1), model, serials: Vec::new() };
    Device { attestation: Attestation::Proven(Box::new(proof)), standing: Standing::Good, ..Device::default() }
}

fn model() -> Model {
    Model {
        name: "A key".to_owned(),
        key_protection: BTreeSet::from([KeyProtection::Hardware, KeyProtection::SecureElement]),
        verification: vec![BTreeSet::from([Method::PasscodeExternal, Method::PresenceInternal])],
        certification: Some(Certification::L2),
        fips: Some(3),
        roaming: true,
    }
}

fn policy() -> DevicePolicy {
    DevicePolicy { name: "production".to_owned(), attestation: true, synced: true, ..DevicePolicy::default() }
}

fn missed(policy: &DevicePolicy, device: &Device) -> Option<String> {
    policy.miss(device).map(|miss| miss.what)
}

#[test]
fn a_policy_that_asks_for_nothing_takes_everything() {
    let open = DevicePolicy { attestation: false, ..policy() };
    assert!(!open.needs_proof());
    assert_eq!(open.miss(&Device { synced: true, ..Device::default() }), None);
}

#[test]
fn attack_053_each_demand_is_met_by_proof_alone() {
    let strict = DevicePolicy {
        aaguids: BTreeSet::from([KEY]),
        certification: Some(Certification::L1Plus),
        fips: Some(2),
        key_protection: BTreeSet::from([KeyProtection::Hardware]),
        verification: BTreeSet::from([Method::PasscodeExternal, Method::PasscodeInternal]),
        roaming: true,
        synced: false,
        ..policy()
    };
    assert_eq!(strict.miss(&device(model())), None);
    let misses = |change: fn(&mut Model)| {
        let mut changed = model();
        change(&mut changed);
        missed(&strict, &device(changed)).unwrap()
    };
    assert!(misses(|model| model.certification = Some(Certification::L1)).contains("certified"));
    assert!(misses(|model| model.certification = None).contains("certified"));
    assert!(misses(|model| model.fips = Some(1)).contains("FIPS 140"));
    assert!(misses(|model| model.fips = None).contains("FIPS 140"));
    assert!(misses(|model| model.key_protection.clear()).contains("keep keys"));
    assert!(misses(|model| model.verification.push([Method::FingerprintInternal].into())).contains("verify"));
    assert!(misses(|model| model.verification.clear()).contains("verify"));
    assert!(misses(|model| model.roaming = false).contains("device of its own"));
    let other = DevicePolicy { aaguids: BTreeSet::from([Aaguid([8; 16])]), ..strict.clone() };
    assert!(missed(&other, &device(model())).unwrap().contains("not on the list"));
    assert!(missed(&strict, &Device { synced: true, ..device(model()) }).unwrap().contains("copied"));
}

#[test]
fn attack_059_an_allow_list_never_matches_a_claimed_model() {
    let listed = DevicePolicy { aaguids: BTreeSet::from([KEY]), ..policy() };
    for attestation in [
        Attestation::None,
        Attestation::SelfAttested,
        Attestation::Untrusted { why: "no metadata is configured".to_owned() },
    ] {
        let device = Device { attestation, standing: Standing::Good, ..Device::default() };
        assert!(listed.miss(&device).is_some(), "{device:?}");
    }
    for standing in [Standing::Compromised, Standing::Unlisted] {
        assert!(listed.miss(&Device { standing, ..device(model()) }).is_some(), "{standing:?}");
    }
}

#[test]
fn attack_059_a_device_that_a_weaker_one_admitted_proves_nothing_to_a_rules_policy() {
    let admitted = |acr| Vouched { admitted: Some(Admission { acr, mfa: false }), ..Vouched::default() };
    assert!(admitted(Acr::Phr).is_admitted_by_weaker() && !admitted(Acr::Phrh).is_admitted_by_weaker());
    assert!(!Vouched::default().is_admitted_by_weaker());
    let weaker = Device { admitted_by_weaker: true, ..device(model()) };
    assert!(missed(&policy(), &weaker).unwrap().contains("weaker"));
    assert_eq!(missed(&policy(), &device(model())), None);
    // A policy that asks for no proof takes it, and so does the one that is held at the enrolment.
    assert_eq!(missed(&DevicePolicy { attestation: false, ..policy() }, &weaker), None);
    assert_eq!(first_miss([&policy()], &weaker), None);
}

#[test]
fn the_strictest_of_several_policies_wins() {
    let open = DevicePolicy { attestation: false, ..policy() };
    let mut strict = policy();
    strict.name = "strict".to_owned();
    let plain = Device::default();
    assert_eq!(first_miss([&open], &plain), None);
    assert_eq!(first_miss([&open, &strict], &plain).unwrap().policy, "strict");
}

#[test]
fn what_would_do_is_said_in_a_few_words() {
    let strict = DevicePolicy { roaming: true, synced: false, certification: Some(Certification::L2), ..policy() };
    let miss = strict.miss(&Device::default()).unwrap();
    assert_eq!(miss.cure, "use a hardware security key with proof from its maker, certified to FIDO L2 or higher");
    let validated = DevicePolicy { fips: Some(2), ..policy() };
    assert!(validated.needs_proof() && validated.wanted().ends_with(", validated to FIPS 140 level 2 or higher"));
}

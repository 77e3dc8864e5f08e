use proptest::prelude::*;

use super::evidence::{Aaguid, Admission, Proof, Source};
use super::*;
use crate::domain::canonical::Bytes;

fn facts(backup_eligible: bool) -> AuthenticatorFacts {
    AuthenticatorFacts { backup_eligible, backup_state: false, counter: 1 }
}

fn at() -> Timestamp {
    Timestamp::from_seconds(7)
}

fn amr(assurance: &Assurance) -> Vec<&str> {
    assurance.amr.iter().map(String::as_str).collect()
}

fn proven(key_protection: &[KeyProtection], verification: &[&[Method]]) -> Attestation {
    Attestation::Proven(Box::new(Proof {
        aaguid: Aaguid([7; 16]),
        anchor: Bytes(vec![1]),
        source: Source::Metadata(42),
        model: Model {
            name: "A key".to_owned(),
            key_protection: key_protection.iter().copied().collect(),
            verification: verification.iter().map(|all| all.iter().copied().collect()).collect(),
            ..Model::default()
        },
        serials: Vec::new(),
    }))
}

fn untrusted() -> Attestation {
    Attestation::Untrusted { why: "metadata no. 42 does not list the model".to_owned() }
}

const HW: &[KeyProtection] = &[KeyProtection::Hardware, KeyProtection::SecureElement];
const SW: &[KeyProtection] = &[KeyProtection::Software];
const FINGER_OR_PIN: &[&[Method]] = &[&[Method::FingerprintInternal], &[Method::PasscodeExternal]];

fn evidence(attestation: &Attestation) -> Evidence<'_> {
    Evidence {
        facts: facts(false),
        registered: facts(false),
        attestation,
        standing: Standing::Good,
        trust_unattested_uv: false,
        admitted: None,
    }
}

/// `amr`, `acr`, and why neither `hwk` nor `mfa`.
fn row(evidence: &Evidence<'_>) -> (String, Acr, String, String) {
    let found = assess(evidence, at());
    let why = |value: &str| found.amr_missing.get(value).cloned().unwrap_or_default();
    (amr(&found).join(" "), found.acr, why("hwk"), why("mfa"))
}

fn is(evidence: &Evidence<'_>, amr: &str, acr: Acr, hwk: &str, mfa: &str) {
    assert_eq!(row(evidence), (amr.to_owned(), acr, hwk.to_owned(), mfa.to_owned()), "{evidence:?}");
}

#[test]
fn a_device_bound_key_without_attestation_proves_possession_and_touch() {
    is(&evidence(&Attestation::None), "pop user", Acr::Phr, "no_attestation", "no_attestation");
    assert_eq!(assess(&evidence(&Attestation::None), at()).auth_time, at());
}

#[test]
fn a_key_that_vouches_for_itself_proves_no_more() {
    is(&evidence(&Attestation::SelfAttested), "pop user", Acr::Phr, "self_attestation", "self_attestation");
}

#[test]
fn attack_058_a_chain_that_nobody_trusts_proves_no_more() {
    is(&evidence(&untrusted()), "pop user", Acr::Phr, "chain_untrusted", "chain_untrusted");
}

#[test]
fn attack_055_a_key_that_is_or_was_backup_eligible_is_a_software_key() {
    for attestation in [Attestation::None, proven(HW, FINGER_OR_PIN)] {
        for (now, then) in [(true, true), (true, false), (false, true)] {
            let copied = Evidence { facts: facts(now), registered: facts(then), ..evidence(&attestation) };
            is(&copied, "pop swk user", Acr::Phr, "backup_eligible", "backup_eligible");
        }
    }
}

#[test]
fn proven_hardware_is_hardware_and_its_verification_counts() {
    is(&evidence(&proven(HW, FINGER_OR_PIN)), "hwk mfa pop user", Acr::Phrh, "", "");
}

#[test]
fn proven_software_is_software() {
    for kept in [SW, &[KeyProtection::Software, KeyProtection::Hardware]] {
        let model = proven(kept, FINGER_OR_PIN);
        is(&evidence(&model), "pop swk user", Acr::Phr, "software_key", "software_key");
    }
    // Neither is said: neither is claimed.
    is(&evidence(&proven(&[KeyProtection::Tee], &[])), "pop user", Acr::Phr, "software_key", "software_key");
}

#[test]
fn a_way_of_verifying_is_named_only_where_there_is_no_other() {
    use Method::*;
    let named = |verification: &[&[Method]]| row(&evidence(&proven(HW, verification))).0;
    assert_eq!(named(&[&[PasscodeExternal]]), "hwk mfa pin pop user");
    assert_eq!(named(&[&[PasscodeInternal], &[PatternInternal]]), "hwk mfa pin pop user");
    assert_eq!(named(&[&[FingerprintInternal], &[PresenceInternal]]), "fpt hwk mfa pop user");
    assert_eq!(named(&[&[FaceprintInternal]]), "face hwk mfa pop user");
    assert_eq!(named(&[&[VoiceprintInternal, PresenceInternal]]), "hwk mfa pop user vbm");
    for mixed in [
        &[&[FingerprintInternal][..], &[PasscodeExternal]][..],
        &[&[FingerprintInternal, PasscodeInternal]],
        &[&[EyeprintInternal]],
        &[&[HandprintInternal]],
        &[&[LocationInternal]],
        &[&[All]],
        &[&[PasscodeExternal], &[Unknown]],
        &[&[PatternExternal]],
    ] {
        assert_eq!(named(mixed), "hwk mfa pop user", "{mixed:?}");
    }
    // A touch is no verification, and a model that says nothing verifies nobody.
    for none in [&[&[PresenceInternal][..], &[Method::None]][..], &[]] {
        is(&evidence(&proven(HW, none)), "hwk pop user", Acr::Phrh, "", "uv_unattested");
    }
}

#[test]
fn attack_058_what_is_known_against_a_model_counts_at_each_use() {
    let model = proven(HW, &[&[Method::PasscodeExternal]]);
    let today = |standing| Evidence { standing, ..evidence(&model) };
    is(&today(Standing::Compromised), "pop user", Acr::Phr, "status", "status");
    is(&today(Standing::Unlisted), "pop user", Acr::Phr, "chain_untrusted", "chain_untrusted");
    is(&today(Standing::VerificationBypassed), "hwk pop user", Acr::Phrh, "", "status");
}

#[test]
fn verification_that_nobody_attests_counts_only_on_the_operators_word() {
    let (none, hardware) = (Attestation::None, proven(HW, &[]));
    let believed = |attestation| Evidence { trust_unattested_uv: true, ..evidence(attestation) };
    is(&believed(&none), "mfa pop user", Acr::Phr, "no_attestation", "");
    is(&believed(&hardware), "hwk mfa pop user", Acr::Phrh, "", "");
    let synced = Evidence { facts: facts(true), registered: facts(true), ..believed(&none) };
    is(&synced, "mfa pop swk user", Acr::Phr, "backup_eligible", "");
    for standing in [Standing::Compromised, Standing::VerificationBypassed] {
        let broken = Evidence { standing, ..believed(&hardware) };
        assert_eq!(row(&broken).3, "status", "{standing:?}");
    }
}

#[test]
fn a_passkey_carries_no_more_than_what_admitted_it() {
    let model = proven(HW, &[&[Method::PasscodeExternal]]);
    let capped = |acr, mfa| Evidence { admitted: Some(Admission { acr, mfa }), ..evidence(&model) };
    is(&capped(Acr::Phrh, true), "hwk mfa pin pop user", Acr::Phrh, "", "");
    is(&capped(Acr::Phr, true), "mfa pop user", Acr::Phr, "admitted_by_weaker", "");
    is(&capped(Acr::Phr, false), "pop user", Acr::Phr, "admitted_by_weaker", "admitted_by_weaker");
    is(&capped(Acr::Phrh, false), "hwk pop user", Acr::Phrh, "", "admitted_by_weaker");
    let by = assess(&evidence(&model), at());
    assert_eq!(Admission::from(&by), Admission { acr: Acr::Phrh, mfa: true });
}

#[test]
fn every_reason_has_its_sentence() {
    let model = proven(HW, &[]);
    for reason in [row(&evidence(&Attestation::None)).2, row(&evidence(&model)).3] {
        assert!(Reason::sentence(&reason).is_some(), "{reason}");
    }
    assert_eq!(Reason::sentence("made_up"), None);
}

#[test]
fn an_aaguid_is_read_as_people_write_it() {
    let text = "2fc0579f-8113-47ea-b116-bb5a8db9202a";
    let aaguid = Aaguid::parse(text).unwrap();
    assert_eq!(aaguid.to_string(), text);
    assert_eq!(Aaguid::parse(&text.to_uppercase().replace('-', "")), Some(aaguid));
    for wrong in ["", "2fc0579f", "2fc0579f8-113-47ea-b116-bb5a8db9202a", "2fc0579f-8113-47ea-b116-bb5a8db9202g"] {
        assert_eq!(Aaguid::parse(wrong), None, "{wrong}");
    }
}

fn any_method() -> impl Strategy<Value = Method> {
    use Method::*;
    prop::sample::select(vec![
        PresenceInternal,
        FingerprintInternal,
        PasscodeInternal,
        FaceprintInternal,
        PasscodeExternal,
        All,
        Unknown,
    ])
}

fn any_attestation() -> impl Strategy<Value = Attestation> {
    let kept = prop::collection::btree_set(
        prop::sample::select(vec![KeyProtection::Hardware, KeyProtection::Software, KeyProtection::Tee]),
        0..3,
    );
    let ways = prop::collection::vec(prop::collection::btree_set(any_method(), 0..3), 0..3);
    prop_oneof![
        Just(Attestation::None),
        Just(Attestation::SelfAttested),
        Just(untrusted()),
        (kept, ways).prop_map(|(kept, ways)| {
            let kept: Vec<_> = kept.into_iter().collect();
            let Attestation::Proven(mut proof) = proven(&kept, &[]) else { unreachable!() };
            proof.model.verification = ways;
            Attestation::Proven(proof)
        }),
    ]
}

prop_compose! {
    fn rest()(
        now: bool, then: bool, trust: bool,
        standing in prop::sample::select(vec![
            Standing::Good, Standing::VerificationBypassed, Standing::Compromised, Standing::Unlisted,
        ]),
        admitted in prop::option::of((any::<bool>(), any::<bool>())),
    ) -> (bool, bool, bool, Standing, Option<Admission>) {
        let admission = |(strong, mfa)| Admission { acr: if strong { Acr::Phrh } else { Acr::Phr }, mfa };
        (now, then, trust, standing, admitted.map(admission))
    }
}

fn made(attestation: &Attestation, rest: (bool, bool, bool, Standing, Option<Admission>)) -> Evidence<'_> {
    let (now, then, trust_unattested_uv, standing, admitted) = rest;
    Evidence { facts: facts(now), registered: facts(then), attestation, standing, trust_unattested_uv, admitted }
}

proptest! {
    #[test]
    fn attack_059_without_attestation_neither_hwk_nor_phrh(attestation in any_attestation(), rest in rest()) {
        let found = assess(&made(&attestation, rest), at());
        let has = |value: &str| found.amr.contains(value);
        prop_assert!(has("pop") && has("user"));
        // Neither without a verified chain, nor for a key that may be copied, nor for a broken model.
        let (now, then, _, standing, _) = rest;
        let chain = matches!(attestation, Attestation::Proven(_));
        if !chain || now || then || matches!(standing, Standing::Compromised | Standing::Unlisted) {
            prop_assert!(["hwk", "pin", "fpt", "face", "vbm"].iter().all(|value| !has(value)));
            prop_assert_eq!(found.acr, Acr::Phr);
        }
        prop_assert!(!(has("hwk") && has("swk")));
        prop_assert_eq!(has("hwk"), found.acr == Acr::Phrh);
        prop_assert!(["pin", "fpt", "face", "vbm"].iter().all(|value| !has(value) || (has("mfa") && has("hwk"))));
        for value in ["hwk", "mfa"] {
            prop_assert_eq!(has(value), !found.amr_missing.contains_key(value));
        }
        for reason in found.amr_missing.values() {
            prop_assert!(Reason::sentence(reason).is_some());
        }
    }

    /// What is known for a key never takes away what it proved without: each step here only adds knowledge in its favour.
    #[test]
    fn more_evidence_never_removes_a_true_value(attestation in any_attestation(), rest in rest()) {
        let less = assess(&made(&attestation, rest), at());
        let (now, then, _, _, _) = rest;
        let mut steps = vec![(now, then, true, rest.3, rest.4), (now, then, rest.2, rest.3, None)];
        if rest.3 == Standing::Unlisted || rest.3 == Standing::VerificationBypassed {
            steps.push((now, then, rest.2, Standing::Good, rest.4));
        }
        for more in steps {
            let found = assess(&made(&attestation, more), at());
            prop_assert!(less.amr.is_subset(&found.amr), "{:?} {:?}", less, found);
            prop_assert!(less.acr <= found.acr);
        }
        if rest.3 == Standing::Good || rest.3 == Standing::Unlisted {
            for weaker in [Attestation::None, Attestation::SelfAttested, untrusted()] {
                let before = assess(&made(&weaker, rest), at());
                prop_assert!(before.amr.is_subset(&less.amr) || attestation == weaker || !matches!(attestation, Attestation::Proven(_)));
            }
        }
    }
}

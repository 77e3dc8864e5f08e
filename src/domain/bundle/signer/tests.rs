use super::*;
use crate::domain::assurance::Acr;
use crate::domain::assurance::evidence::{Aaguid, Admission, Method, Model};
use crate::domain::canonical::Bytes;

fn proven(source: Source, change: impl FnOnce(&mut Model)) -> Attestation {
    let mut model = Model { key_protection: BTreeSet::from([KeyProtection::Hardware]), ..Model::default() };
    change(&mut model);
    let (aaguid, anchor, serials) = (Aaguid([7; 16]), Bytes(vec![1]), Vec::new());
    Attestation::Proven(Box::new(Proof { aaguid, anchor, source, model, serials }))
}

#[test]
fn attack_059_a_passkey_that_another_one_admitted_has_its_cap_in_the_log() {
    let by = Digest::of(b"key");
    let capped = Vouched { admitted: Some(Admission { acr: Acr::Phr, mfa: false }), ..Vouched::default() };
    assert!(has_its_cap(Some(&by), &Vouched::default()).unwrap_err().contains("which level"));
    assert_eq!(has_its_cap(Some(&by), &capped), Ok(()));
    assert_eq!(has_its_cap(None, &Vouched::default()), Ok(()));
}

#[test]
fn attack_059_the_operators_root_proves_no_more_than_it_can() {
    let own = || Source::Configured("us".to_owned());
    assert_eq!(is_within_its_source(&proven(own(), |_| ())), Ok(()));
    let verified = |model: &mut Model| model.verification.push(BTreeSet::from([Method::PasscodeExternal]));
    assert!(is_within_its_source(&proven(own(), verified)).is_err());
    let guarded = |model: &mut Model| model.key_protection.extend([KeyProtection::Tee]);
    assert!(is_within_its_source(&proven(own(), guarded)).is_err());
    assert!(is_within_its_source(&proven(own(), |model| model.key_protection.clear())).is_err());
    assert_eq!(is_within_its_source(&proven(Source::Metadata(1), verified)), Ok(()));
}

#[test]
fn a_membership_is_on_the_word_of_the_console_or_of_a_change_from_before() {
    // Documents from before changes were named by their entries have the link id.
    for (by, known) in [
        ("console", true),
        ("change:6", true),
        ("AQEBAQEBAQEBAQEBAQEBAQ", true),
        ("change:7", false),
        ("change:06", false),
        ("change:", false),
        ("recovery", false),
        ("somebody", false),
    ] {
        assert_eq!(is_known_authority(by, 7), known, "{by}");
    }
}

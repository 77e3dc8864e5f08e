use super::super::evidence::Method;
use super::*;

const KEY: Aaguid = Aaguid([7; 16]);

fn root(n: u8) -> BTreeSet<Vec<u8>> {
    BTreeSet::from([vec![n]])
}

fn trusted(compromised: bool, bypassed: bool) -> Trusted {
    let listed = Listed { roots: root(1), compromised, bypassed, ..Listed::default() };
    let entries = BTreeMap::from([(KEY, listed)]);
    let metadata = Metadata { number: 42, next_update: Timestamp::from_seconds(100), entries, ..Metadata::default() };
    Trusted { metadata: Some(metadata), ..Trusted::default() }
}

fn own(name: &str, format: &str, aaguids: &[Aaguid]) -> OwnRoot {
    OwnRoot {
        name: name.to_owned(),
        format: format.to_owned(),
        aaguids: aaguids.iter().copied().collect(),
        roots: root(2),
        revoked: BTreeSet::new(),
    }
}

fn proof(anchor: u8, source: Source) -> Attestation {
    let (model, serials) = (Model::default(), vec!["c0ffee".to_owned(), "5".to_owned()]);
    Attestation::Proven(Box::new(Proof { aaguid: KEY, anchor: Bytes(vec![anchor]), source, model, serials }))
}

fn now(seconds: i64) -> Timestamp {
    Timestamp::from_seconds(seconds)
}

#[test]
fn metadata_vouches_for_its_own_models_while_it_is_new() {
    let trusted = trusted(false, false);
    assert_eq!(trusted.candidates("packed", KEY, now(100)).unwrap().len(), 1);
    let why = |aaguid, at| trusted.candidates("packed", aaguid, at).unwrap_err();
    assert!(why(KEY, now(101)).contains("older than it may be"));
    assert!(why(Aaguid([8; 16]), now(1)).contains("no. 42 does not list the model"));
    assert!(Trusted::default().candidates("packed", KEY, now(1)).unwrap_err().contains("no metadata"));
}

#[test]
fn attack_058_a_compromised_model_admits_no_new_key_whoever_vouches() {
    let mut bad = trusted(true, false);
    bad.own = vec![own("us", "packed", &[KEY])];
    assert!(bad.candidates("packed", KEY, now(1)).unwrap_err().contains("revoked or compromised"));
    assert_eq!(bad.standing(&proof(2, Source::Configured("us".to_owned()))), Standing::Compromised);
}

#[test]
fn attack_059_the_key_that_everybody_has_vouches_for_nothing() {
    let mut trusted = trusted(false, false);
    trusted.own = vec![own("us", "packed", &[EVERYBODYS])];
    assert!(trusted.candidates("packed", EVERYBODYS, now(1)).is_err());
}

#[test]
fn the_operators_roots_stand_for_what_they_name() {
    let mut trusted = Trusted { own: vec![own("us", "packed", &[KEY]), own("tpm", "tpm", &[])], ..Trusted::default() };
    let names = |trusted: &Trusted, format, aaguid| -> Vec<Source> {
        let found = trusted.candidates(format, aaguid, now(1)).unwrap_or_default();
        found.into_iter().map(|one| one.source).collect()
    };
    let us = Source::Configured("us".to_owned());
    assert_eq!(names(&trusted, "packed", KEY), std::slice::from_ref(&us));
    assert!(names(&trusted, "packed", Aaguid([8; 16])).is_empty());
    assert_eq!(names(&trusted, "tpm", Aaguid([8; 16])), [Source::Configured("tpm".to_owned())]);
    assert_eq!(trusted.standing(&proof(2, us.clone())), Standing::Good);
    trusted.own.clear();
    assert_eq!(trusted.standing(&proof(2, us)), Standing::Unlisted);
}

#[test]
fn a_model_stands_as_it_does_today() {
    let by = || Source::Metadata(41);
    assert_eq!(trusted(false, false).standing(&proof(1, by())), Standing::Good);
    assert_eq!(trusted(false, true).standing(&proof(1, by())), Standing::VerificationBypassed);
    assert_eq!(trusted(true, false).standing(&proof(1, by())), Standing::Compromised);
    // The root was taken out since, or there is no metadata any more.
    assert_eq!(trusted(false, false).standing(&proof(3, by())), Standing::Unlisted);
    assert_eq!(Trusted::default().standing(&proof(1, by())), Standing::Unlisted);
    assert_eq!(trusted(false, false).standing(&Attestation::None), Standing::Unlisted);
}

#[test]
fn attack_058_metadata_vouches_for_no_android_key_without_a_list_of_revoked_certificates() {
    let mut trusted = trusted(false, false);
    assert!(trusted.candidates("android-key", KEY, now(1)).unwrap_err().contains("revoked certificates"));
    trusted.own = vec![own("us", "packed", &[KEY])];
    assert!(trusted.candidates("android-key", KEY, now(1)).is_err());
    trusted.own = vec![own("google", "android-key", &[])];
    let sources: Vec<_> =
        trusted.candidates("android-key", KEY, now(1)).unwrap().into_iter().map(|one| one.source).collect();
    assert_eq!(sources, [Source::Metadata(42), Source::Configured("google".to_owned())]);
}

#[test]
fn attack_058_a_model_of_which_metadata_says_something_else_today_proves_no_more_than_that() {
    let today = |change: fn(&mut Model), source: Source, anchor| {
        let mut trusted = trusted(false, false);
        trusted.own = vec![own("us", "packed", &[KEY])];
        change(&mut trusted.metadata.as_mut().unwrap().entries.get_mut(&KEY).unwrap().model);
        trusted.standing(&proof(anchor, source))
    };
    let kept: fn(&mut Model) = |model| model.key_protection = BTreeSet::from([KeyProtection::Software]);
    let verified: fn(&mut Model) = |model| model.verification = vec![BTreeSet::from([Method::PasscodeExternal])];
    let touched: fn(&mut Model) = |model| model.verification = vec![BTreeSet::from([Method::PresenceInternal])];
    assert_eq!(today(kept, Source::Metadata(41), 1), Standing::Unlisted);
    assert_eq!(today(verified, Source::Metadata(41), 1), Standing::VerificationBypassed);
    assert_eq!(today(touched, Source::Metadata(41), 1), Standing::Good, "a touch verifies nobody, then as now");
    assert_eq!(today(|model| model.name = "Another".to_owned(), Source::Metadata(41), 1), Standing::Good);
    // The operator's word is the operator's.
    assert_eq!(today(kept, Source::Configured("us".to_owned()), 2), Standing::Good);
}

#[test]
fn attack_058_a_certificate_that_is_revoked_later_proves_nothing_from_then_on() {
    let mut trusted = trusted(false, false);
    trusted.own = vec![own("us", "packed", &[KEY]), own("google", "android-key", &[])];
    let proofs = [proof(1, Source::Metadata(41)), proof(2, Source::Configured("us".to_owned()))];
    let standings = |trusted: &Trusted| proofs.each_ref().map(|proof| trusted.standing(proof));
    trusted.own[1].revoked = BTreeSet::from(["6".to_owned()]);
    assert_eq!(standings(&trusted), [Standing::Good; 2]);
    // Whosever list it is on.
    trusted.own[1].revoked.insert("5".to_owned());
    assert_eq!(standings(&trusted), [Standing::Compromised; 2]);
}

#[test]
fn a_root_of_several_models_is_known_as_such() {
    let mut trusted = trusted(false, false);
    assert!(!trusted.is_shared(&vec![1]));
    let second = Listed { roots: root(1), ..Listed::default() };
    trusted.metadata.as_mut().unwrap().entries.insert(Aaguid([9; 16]), second);
    assert!(trusted.is_shared(&vec![1]) && !trusted.is_shared(&vec![2]));
}

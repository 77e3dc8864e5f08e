use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::passkeys::maker::{Maker, Service};

const KEY: &str = "07070707-0707-0707-0707-070707070707";

fn now() -> Timestamp {
    Timestamp::from_seconds(1_795_430_400)
}

fn entry(maker: &Maker, statuses: &[&str]) -> Value {
    maker.entry(KEY, &["hardware", "secure_element"], &[&["passcode_external", "presence_internal"]], statuses)
}

#[test]
fn what_a_blob_says_of_a_model_comes_out() {
    let (service, maker) = (Service::fido(), Maker::of([7; 16]));
    let blob = service.blob(
        42,
        "2026-12-01",
        &[entry(&maker, &["FIDO_CERTIFIED", "FIDO_CERTIFIED_L2", "FIPS140_CERTIFIED_L3"])],
    );
    let metadata = read(&blob, &service.root_pem(), now()).unwrap();
    assert_eq!((metadata.number, metadata.entries.len(), metadata.skipped), (42, 1, 0));
    assert_eq!(metadata.next_update.to_string(), "2026-12-02T00:00:00.000Z");
    assert!(!metadata.is_stale(now()));
    let listed = &metadata.entries[&Aaguid([7; 16])];
    assert_eq!(listed.roots, BTreeSet::from([maker.root.to_der().unwrap()]));
    assert_eq!(listed.model.name, "Keys Inc. One");
    assert_eq!(listed.model.key_protection, BTreeSet::from([KeyProtection::Hardware, KeyProtection::SecureElement]));
    assert_eq!(listed.model.verification, [BTreeSet::from([Method::PasscodeExternal, Method::PresenceInternal])]);
    assert_eq!((listed.model.certification, listed.model.fips), (Some(Certification::L2), Some(3)));
    assert!(listed.model.roaming && !listed.compromised && !listed.bypassed);
    let der = service.root.to_der().unwrap();
    assert!(read(&blob, &der, now()).is_ok(), "the root as DER");
}

#[test]
fn the_newest_report_says_to_which_level_of_fips_140_a_model_is_validated() {
    let (service, maker) = (Service::fido(), Maker::of([7; 16]));
    let of = |reports: &[(&str, &str)]| {
        let mut entry = entry(&maker, &[]);
        let reports = reports.iter().map(|(status, date)| json!({ "status": status, "effectiveDate": date }));
        entry["statusReports"] = reports.collect();
        let metadata = read(&service.blob(1, "2026-12-01", &[entry]), &service.root_pem(), now()).unwrap();
        let model = &metadata.entries[&Aaguid([7; 16])].model;
        (model.certification, model.fips)
    };
    let (two, three) = ("FIPS140_CERTIFIED_L2", "FIPS140_CERTIFIED_L3");
    assert_eq!(of(&[(three, "2025-01-01"), (two, "2025-02-01"), ("FIDO_CERTIFIED_L1", "2024-01-01")]).1, Some(2));
    assert_eq!(of(&[(two, "2025-01-01"), (three, "2025-02-01")]), (None, Some(3)));
    for other in ["FIPS140_CERTIFIED_L5", "FIPS140_CERTIFIED_L0", "FIPS140_CERTIFIED_L", "FIPS140_CERTIFIED"] {
        assert_eq!(of(&[(other, "2025-01-01")]).1, None, "{other}");
    }
}

#[test]
fn attack_058_reports_against_a_model_are_heard() {
    let (service, maker) = (Service::fido(), Maker::of([7; 16]));
    let of = |statuses: &[&str]| {
        let blob = service.blob(1, "2026-12-01", &[entry(&maker, statuses)]);
        let metadata = read(&blob, &service.root_pem(), now()).unwrap();
        let listed = metadata.entries[&Aaguid([7; 16])].clone();
        (listed.compromised, listed.bypassed, listed.model.certification)
    };
    for status in COMPROMISED {
        assert_eq!(of(&["FIDO_CERTIFIED_L1", status]), (true, false, Some(Certification::L1)), "{status}");
        assert!(of(&[status, "UPDATE_AVAILABLE"]).0, "{status}, with an update that nobody can see");
    }
    assert!(of(&["USER_VERIFICATION_BYPASS"]).1);
    assert_eq!(of(&["FIDO_CERTIFIED_L2", "NOT_FIDO_CERTIFIED"]).2, None);
    assert_eq!(of(&["A_STATUS_OF_TOMORROW"]), (false, false, None));
}

#[test]
fn attack_058_reports_are_heard_where_the_rest_of_an_entry_is_not_good() {
    let (service, maker) = (Service::fido(), Maker::of([7; 16]));
    let revoked = ["FIDO_CERTIFIED", "REVOKED"];
    let mut broken = entry(&maker, &revoked);
    broken["metadataStatement"]["attestationRootCertificates"] = json!(["!"]);
    let mut without = entry(&maker, &revoked);
    without.as_object_mut().unwrap().remove("metadataStatement");
    let mut bad_report = entry(&maker, &revoked);
    bad_report["statusReports"][0] = json!(7);
    let bypass = entry(&maker, &["USER_VERIFICATION_BYPASS"]);
    let of = |entries: &[Value]| {
        let metadata = read(&service.blob(1, "2026-12-01", entries), &service.root_pem(), now()).unwrap();
        let listed = &metadata.entries[&Aaguid([7; 16])];
        (listed.compromised, listed.bypassed, listed.roots.len(), metadata.skipped)
    };
    for entry in [&broken, &without, &bad_report] {
        assert_eq!(of(std::slice::from_ref(entry)), (true, false, 0, 1), "{entry}");
    }
    // Listed twice, in either order.
    let good = entry(&maker, &[]);
    assert_eq!(of(&[good.clone(), entry(&maker, &revoked), bypass]), (true, true, 1, 2));
    assert_eq!(of(&[good.clone(), broken.clone()]), (true, false, 1, 1));
    assert_eq!(of(&[broken, good]), (true, false, 0, 2));
}

#[test]
fn one_bad_entry_is_skipped_and_counted() {
    let (service, maker) = (Service::fido(), Maker::of([7; 16]));
    let good = entry(&maker, &[]);
    let mut no_roots = entry(&maker, &[]);
    no_roots["aaguid"] = json!("08080808-0808-0808-0808-080808080808");
    no_roots["metadataStatement"].as_object_mut().unwrap().remove("attestationRootCertificates");
    let mut broken_root = entry(&maker, &[]);
    broken_root["aaguid"] = json!("09090909-0909-0909-0909-090909090909");
    broken_root["metadataStatement"]["attestationRootCertificates"] = json!(["!"]);
    let everybodys = maker.entry("01020304-0506-0708-0102-030405060708", &["hardware"], &[], &[]);
    let u2f = json!({ "attestationCertificateKeyIdentifiers": ["00"], "statusReports": [] });
    let mut unknown = entry(&maker, &[]);
    unknown["aaguid"] = json!("0a0a0a0a-0a0a-0a0a-0a0a-0a0a0a0a0a0a");
    unknown["metadataStatement"]["keyProtection"] = json!(["hardware", "a_word_of_tomorrow"]);
    unknown["a_member_of_tomorrow"] = json!(true);
    let entries = [good.clone(), good, no_roots, broken_root, everybodys, u2f, unknown, json!({ "aaguid": 7 })];
    let blob = service.blob(1, "2026-12-01", &entries);
    let metadata = read(&blob, &service.root_pem(), now()).unwrap();
    assert_eq!(metadata.skipped, 5);
    let vouch: Vec<_> =
        metadata.entries.iter().filter(|(_, one)| !one.roots.is_empty()).map(|(id, _)| id.0[0]).collect();
    assert_eq!(vouch, [7, 10]);
}

#[test]
fn attack_058_a_blob_is_fidos_or_nothing() {
    let (service, other) = (Service::fido(), Service::fido());
    let root = service.root_pem();
    let blob = service.blob(1, "2026-12-01", &[]);
    assert!(read(&blob, &root, now()).is_ok());
    let refused = |blob: &[u8], root: &[u8]| read(blob, root, now()).unwrap_err();
    assert!(refused(&other.blob(1, "2026-12-01", &[]), &root).contains("whoever signed it"), "another root");
    let stranger = Service::new("mds.example.com", 2_208_988_800);
    assert!(refused(&stranger.blob(1, "2026-12-01", &[]), &stranger.root_pem()).contains("signed by another"));
    let mut changed = blob.clone();
    let body = changed.iter().position(|byte| *byte == b'.').unwrap() + 60;
    changed[body] = if changed[body] == b'A' { b'B' } else { b'A' };
    assert!(read(&changed, &root, now()).is_err(), "a changed byte");
    for algorithm in ["none", "HS256", "RS512"] {
        let body = br#"{"no":1,"nextUpdate":"2026-12-01","entries":[]}"#;
        assert!(refused(&service.sign(algorithm, body), &root).contains("is not taken"), "{algorithm}");
    }
    for broken in [&b""[..], b"a.b", b"a.b.c.d", b"\xff"] {
        assert!(read(broken, &root, now()).is_err());
    }
    assert!(refused(&vec![b'a'; MAX_BLOB + 1], &root).contains("more than"));
    assert!(refused(&vec![b'.'; 1_000_000], &root).contains("three parts"));
    let long = [vec![b'A'; MAX_HEADER + 1], b".e30.AA".to_vec()].concat();
    assert!(refused(&long, &root).contains("its header has more than"));
    // Of a stranger's contents nothing but the date is read: what follows need not even be a list.
    let stranger = other.sign("RS256", br#"{"no":"one","nextUpdate":"2026-12-01","entries":7}"#);
    assert!(refused(&stranger, &root).contains("whoever signed it"));
    assert!(refused(&service.blob(1, "tomorrow", &[]), &root).contains("no date"));
    assert!(refused(&blob, b"no certificate").contains("no certificate"));
}

#[test]
fn attack_058_an_old_blob_is_read_and_known_to_be_old() {
    // Its certificate has run out since; it was good while the blob was the newest.
    let service = Service::new("mds.fidoalliance.org", 1_767_225_600);
    let blob = service.blob(7, "2025-06-01", &[]);
    let metadata = read(&blob, &service.root_pem(), now()).unwrap();
    assert!(metadata.is_stale(now()));
    // One that claims to be new cannot be signed with it.
    assert!(read(&service.blob(8, "2026-12-01", &[]), &service.root_pem(), now()).is_err());
}

#[test]
fn a_list_of_revoked_certificates_is_read() {
    let list = json!({ "entries": { "00C0FFEE": { "status": "REVOKED" }, "6681152659205225093": {} } }).to_string();
    let revoked = revoked(list.as_bytes()).unwrap();
    assert!(revoked.contains("c0ffee") && revoked.len() == 2);
    assert!(super::revoked(b"[]").is_err() && super::revoked(b"").is_err());
}

#[test]
fn so_many_models_are_read_and_the_others_vouch_for_nothing() {
    let entry = |n: usize| {
        let aaguid = format!("00000000-0000-0000-0000-{n:012x}");
        json!({ "aaguid": aaguid, "statusReports": [{ "status": "REVOKED" }], "metadataStatement": {} })
    };
    let read = |count: usize| {
        let payload =
            json!({ "no": 1, "nextUpdate": "2026-12-01", "entries": (0..count).map(entry).collect::<Vec<_>>() });
        listed(serde_json::from_value(payload).unwrap(), now())
    };
    let (full, over) = (read(MAX_MODELS), read(MAX_MODELS + 1));
    assert_eq!((full.entries.len(), over.entries.len()), (MAX_MODELS, MAX_MODELS));
    assert_eq!(over.skipped, full.skipped + 1);
    assert_eq!(over.entries, full.entries, "the first stand");
}

/// Every place of an entry, as a JSON pointer, its own included.
fn places(value: &Value, at: &str, found: &mut Vec<String>) {
    found.push(at.to_owned());
    match value {
        Value::Object(members) => {
            members.iter().for_each(|(name, member)| places(member, &format!("{at}/{name}"), found));
        }
        Value::Array(items) => {
            items.iter().enumerate().for_each(|(index, item)| places(item, &format!("{at}/{index}"), found));
        }
        _ => {}
    }
}

fn anything() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        "\\PC{0,40}".prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 12, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::btree_map("[a-zA-Z]{1,12}", inner, 0..4)
                .prop_map(|members| members.into_iter().collect()),
        ]
    })
}

proptest! {
    #[test]
    fn whatever_an_entry_says_the_others_are_read(at in any::<prop::sample::Index>(), put in anything()) {
        let (service, maker, other) = (Service::fido(), Maker::of([7; 16]), Maker::of([8; 16]));
        let good = other.entry("08080808-0808-0808-0808-080808080808", &["hardware"], &[&["presence_internal"]], &[]);
        let mut bad = entry(&maker, &["FIDO_CERTIFIED_L1"]);
        let mut found = Vec::new();
        places(&bad, "", &mut found);
        *bad.pointer_mut(&found[at.index(found.len())]).unwrap() = put;
        let alone = read(&service.blob(1, "2026-12-01", std::slice::from_ref(&good)), &service.root_pem(), now()).unwrap();
        let both = read(&service.blob(1, "2026-12-01", &[bad, good]), &service.root_pem(), now()).unwrap();
        let key = Aaguid([8; 16]);
        prop_assert_eq!(&both.entries[&key].model, &alone.entries[&key].model);
        prop_assert_eq!(&both.entries[&key].roots, &alone.entries[&key].roots);
    }

    #[test]
    fn a_blob_of_which_any_byte_is_another_is_refused(at in any::<prop::sample::Index>(), bit in 0..7_u8) {
        let (service, maker) = (Service::fido(), Maker::of([7; 16]));
        let mut blob = service.blob(1, "2026-12-01", &[entry(&maker, &[])]);
        let at = at.index(blob.len());
        blob[at] ^= 1 << bit;
        prop_assert!(read(&blob, &service.root_pem(), now()).is_err());
    }
}

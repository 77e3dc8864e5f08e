//! The proof bundle, made by the demo's real thread: whatever one value is changed, the verification says no and where.
#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test may stop at once")]

use std::path::PathBuf;
use std::process::Command;
use std::sync::LazyLock;

use countersign::app::verify_bundle::verify_bundle;
use countersign::domain::bundle::report::{Report, StepOutcome};
use countersign::domain::log::note::VerifierKey;
use serde_json::{Value, json};

struct Proof {
    bundle: Value,
    key: VerifierKey,
    folder: PathBuf,
}

/// One run of the demo serves every test here.
static PROOF: LazyLock<Proof> = LazyLock::new(|| {
    let folder = std::env::temp_dir().join(format!("countersign-proof-{}", std::process::id()));
    let ran = Command::new(env!("CARGO_BIN_EXE_countersign"))
        .args(["demo", "--auto", "--keep"])
        .arg(&folder)
        .output()
        .expect("the demo starts");
    assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
    let bundle = serde_json::from_slice(&std::fs::read(folder.join("bundle.json")).unwrap()).unwrap();
    let key = std::fs::read_to_string(folder.join("log-key")).unwrap();
    Proof { bundle, key: VerifierKey::parse(key.trim()).unwrap(), folder }
});

fn verify(bundle: &Value) -> Report {
    verify_bundle(bundle.to_string().as_bytes(), &PROOF.key)
}

/// Every place of a document that holds a value, as a JSON pointer.
fn places(value: &Value, at: &str, found: &mut Vec<String>) {
    let inner = |name: &str| format!("{at}/{}", name.replace('~', "~0").replace('/', "~1"));
    match value {
        Value::Object(members) if !members.is_empty() => {
            members.iter().for_each(|(name, member)| places(member, &inner(name), found));
        }
        Value::Array(items) if !items.is_empty() => {
            items.iter().enumerate().for_each(|(n, item)| places(item, &inner(&n.to_string()), found));
        }
        _ => found.push(at.to_owned()),
    }
}

/// The same kind of value, changed as little as possible.
fn changed(value: &Value) -> Vec<Value> {
    match value {
        Value::Bool(flag) => vec![json!(!flag)],
        Value::Number(number) => {
            let number = number.as_i64().unwrap();
            vec![json!(number + 1), json!(number - 1)]
        }
        Value::String(text) => {
            let mut other = Vec::new();
            for at in [0, text.len() / 2, text.len().saturating_sub(1)] {
                let mut bytes = text.clone().into_bytes();
                if let Some(byte) = bytes.get_mut(at) {
                    *byte = if *byte == b'a' { b'b' } else { b'a' };
                }
                if let Ok(text) = String::from_utf8(bytes) {
                    other.push(json!(text));
                }
            }
            other.push(json!(format!("{text}a")));
            other
        }
        Value::Null | Value::Array(_) | Value::Object(_) => vec![json!("a")],
    }
}

#[test]
fn the_untouched_bundle_is_proven_whole() {
    let report = verify(&PROOF.bundle);
    assert_eq!(report.answer(), "yes", "{report:#?}");
    assert_eq!(report.count(StepOutcome::NotChecked), 0);
    let proven = report.proven.unwrap();
    assert!(proven.contains("signed \"approve\" for job 555123, commit 1f3c9ab, production"), "{proven}");
}

#[test]
fn attack_085_whatever_one_value_is_changed_the_answer_is_no_and_names_the_step() {
    let mut all = Vec::new();
    places(&PROOF.bundle, "", &mut all);
    assert!(all.len() > 60, "the bundle has {} values", all.len());
    for place in all {
        for other in changed(PROOF.bundle.pointer(&place).unwrap()) {
            let mut bundle = PROOF.bundle.clone();
            if *bundle.pointer(&place).unwrap() == other {
                continue;
            }
            *bundle.pointer_mut(&place).unwrap() = other.clone();
            let report = verify(&bundle);
            let failed = report.failed().unwrap_or_else(|| panic!("{place} = {other} passes"));
            assert!(report.answer().starts_with(&format!("no: {} failed: ", failed.name)));
        }
    }
}

#[test]
fn attack_085_whichever_bit_is_flipped_the_answer_is_no() {
    let whole = PROOF.bundle.to_string().into_bytes();
    // A prime step meets every bit of a byte and every part of the file.
    for at in (0..whole.len() * 8).step_by(101) {
        let mut flipped = whole.clone();
        flipped[at / 8] ^= 1 << (at % 8);
        let report = verify_bundle(&flipped, &PROOF.key);
        assert!(report.failed().is_some(), "bit {} of byte {} passes", at % 8, at / 8);
    }
}

#[test]
fn attack_085_a_part_that_is_taken_away_or_added_is_noticed() {
    let members = |name: &str| PROOF.bundle.get(name).unwrap().clone();
    for digest in members("evidence").as_object().unwrap().keys() {
        let mut bundle = PROOF.bundle.clone();
        bundle["evidence"].as_object_mut().unwrap().remove(digest);
        assert!(verify(&bundle).failed().is_some(), "without document {digest}");
    }
    for at in 0..members("entries").as_array().unwrap().len() {
        let mut bundle = PROOF.bundle.clone();
        bundle["entries"].as_array_mut().unwrap().remove(at);
        assert!(verify(&bundle).failed().is_some(), "without entry {at}");
    }
    for claim in members("claims").as_object().unwrap().keys() {
        let mut bundle = PROOF.bundle.clone();
        bundle["claims"].as_object_mut().unwrap().remove(claim);
        assert!(verify(&bundle).failed().is_some(), "without claim {claim}");
    }
    let mut bundle = PROOF.bundle.clone();
    bundle["note"] = json!("one more");
    assert_eq!(verify(&bundle).failed().unwrap().name, "format");
    let mut bundle = PROOF.bundle.clone();
    bundle["entries"][1]["proof"] = json!([]);
    assert_eq!(verify(&bundle).failed().unwrap().name, "inclusion");
    let mut bundle = PROOF.bundle.clone();
    bundle["claims"]["admin"] = json!(true);
    assert_eq!(verify(&bundle).failed().unwrap().name, "claims");
}

/// The position of an entry of a kind.
fn at(bundle: &Value, kind: &str) -> usize {
    let entries = bundle["entries"].as_array().unwrap();
    let is = |entry: &Value| entry["entry"].as_str().unwrap().contains(&format!("\"kind\":\"{kind}\""));
    entries.iter().position(is).unwrap()
}

#[test]
fn attack_085_proofs_are_of_their_own_entry() {
    let failed = |change: &dyn Fn(&mut Value)| {
        let mut bundle = PROOF.bundle.clone();
        change(&mut bundle);
        verify(&bundle).failed().map(|step| step.name)
    };
    let (decision, token) = (at(&PROOF.bundle, "decision"), at(&PROOF.bundle, "token"));
    let size: u64 = PROOF.bundle["checkpoint"].as_str().unwrap().lines().nth(1).unwrap().parse().unwrap();
    // The proof of one entry with the text of another, at either index.
    let proof = PROOF.bundle["entries"][token]["proof"].clone();
    assert_eq!(failed(&|bundle| bundle["entries"][decision]["proof"] = proof.clone()), Some("inclusion"));
    let text = PROOF.bundle["entries"][decision]["entry"].clone();
    assert_eq!(failed(&|bundle| bundle["entries"][token]["entry"] = text.clone()), Some("inclusion"));
    // Indices at the end of the tree, behind it, and beyond all numbers.
    for index in [json!(size), json!(size + 1), json!(u64::MAX)] {
        assert_eq!(failed(&|bundle| bundle["entries"][token]["index"] = index.clone()), Some("inclusion"), "{index}");
    }
    assert_eq!(failed(&|bundle| bundle["entries"][token]["index"] = json!(-1)), Some("format"));
    // An empty proof is one of a tree of one entry, and the checkpoint is not.
    assert_eq!(failed(&|bundle| bundle["entries"][0]["proof"] = json!([])), Some("inclusion"));
    let single = |bundle: &mut Value| {
        let checkpoint = bundle["checkpoint"].as_str().unwrap().replace(&format!("\n{size}\n"), "\n1\n");
        bundle["checkpoint"] = json!(checkpoint);
        bundle["entries"][0]["proof"] = json!([]);
    };
    assert_eq!(failed(&single), Some("checkpoint"));
    // An inner node in place of a leaf: 65 bytes that begin with 1 are no entry.
    let node = format!("\u{1}{}", "h".repeat(64));
    assert_eq!(failed(&|bundle| bundle["entries"][token]["entry"] = json!(node)), Some("inclusion"));
    // One hash more, one less, two exchanged.
    for change in [
        &(|proof: &mut Vec<Value>| proof.push(json!("00".repeat(32)))) as &dyn Fn(&mut Vec<Value>),
        &|proof| drop(proof.pop()),
        &|proof| proof.reverse(),
    ] {
        let change = |bundle: &mut Value| change(bundle["entries"][0]["proof"].as_array_mut().unwrap());
        assert_eq!(failed(&change), Some("inclusion"));
    }
}

#[test]
fn attack_085_parts_are_not_exchanged_nor_called_withheld_or_erased() {
    let entry = |kind: &str| -> Value {
        serde_json::from_str(PROOF.bundle["entries"][at(&PROOF.bundle, kind)]["entry"].as_str().unwrap()).unwrap()
    };
    let digest = |kind: &str, name: &str| entry(kind)["evidence"][name].as_str().unwrap().to_owned();
    let names = [
        digest("decision", "assertion"),
        digest("decision", "statement"),
        digest("passkey", "registration"),
        digest("request", "request"),
        digest("request", "rule"),
        digest("request", "job_token"),
        digest("issuer-keys", "keys"),
    ];
    for one in &names {
        for other in names.iter().filter(|other| *other != one) {
            // The document of another place under this digest, with its own salt or the one that belongs there.
            for member in ["", "/text"] {
                let mut bundle = PROOF.bundle.clone();
                let foreign = bundle.pointer(&format!("/evidence/{other}{member}")).unwrap().clone();
                *bundle.pointer_mut(&format!("/evidence/{one}{member}")).unwrap() = foreign;
                assert_eq!(verify(&bundle).failed().unwrap().name, "documents");
            }
        }
        // Called erased or withheld, in every spelling that comes to mind, without an entry that says so.
        for gone in [
            json!(null),
            json!({}),
            json!({ "erased": true }),
            json!({ "salt": null, "text": null }),
            json!({ "withheld": true }),
            json!("erased"),
        ] {
            let mut bundle = PROOF.bundle.clone();
            bundle["evidence"][one] = gone;
            assert_eq!(verify(&bundle).failed().unwrap().name, "format");
        }
        let mut bundle = PROOF.bundle.clone();
        bundle["evidence"].as_object_mut().unwrap().remove(one);
        let report = verify(&bundle);
        assert!(report.failed().is_some() && report.answer().starts_with("no: "), "{}", report.answer());
    }
    // Another RP id or origin in the log's first entry: the entry is no longer the leaf.
    for (from, to) in
        [("\"rp_id\":\"localhost\"", "\"rp_id\":\"evil.test\""), ("\"issuer\":\"http", "\"issuer\":\"https")]
    {
        let mut bundle = PROOF.bundle.clone();
        let first = bundle["entries"][0]["entry"].as_str().unwrap().to_owned();
        assert!(first.contains(from), "{first}");
        bundle["entries"][0]["entry"] = json!(first.replacen(from, to, 1));
        assert_eq!(verify(&bundle).failed().unwrap().name, "inclusion");
    }
}

#[test]
fn attack_085_trust_never_comes_from_the_bundle() {
    let other = VerifierKey::new(PROOF.key.name(), [7; 32]).unwrap();
    let report = verify_bundle(PROOF.bundle.to_string().as_bytes(), &other);
    assert_eq!(report.failed().unwrap().name, "checkpoint");
}

#[test]
fn a_document_that_occurs_twice_is_refused() {
    let text = PROOF.bundle.to_string().replacen('{', "{\"type\":\"countersign/bundle/v1\",", 1);
    let report = verify_bundle(text.as_bytes(), &PROOF.key);
    assert_eq!(report.failed().unwrap().name, "format");
}

#[test]
fn the_folder_holds_what_it_says() {
    let index: Value = serde_json::from_slice(&std::fs::read(PROOF.folder.join("demo.json")).unwrap()).unwrap();
    for file in index["files"].as_array().unwrap() {
        assert!(PROOF.folder.join(file.as_str().unwrap()).is_file(), "{file}");
    }
}

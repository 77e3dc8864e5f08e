//! The seeds of the fuzz targets, replayed and varied; and that no public test key is trusted.
//! In: `fuzz/corpus/`, `tests/vectors/`. Out: the input that breaks a parser's promise, ready to become a seed.
//! Implements bounded fuzzing on any machine: the same variations in every run.
//! Never judges by itself what is right: `fuzz/bodies.rs` does.
#![expect(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test may stop at once")]

#[path = "../fuzz/bodies.rs"]
mod bodies;
#[path = "corpus/trust.rs"]
mod trust;
#[path = "corpus/variations.rs"]
mod variations;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use bodies::{ALL, Body};
use variations::Varied;

/// Variations of each target. A fuzzer does a thousand times more; this many cost a second or two.
const VARIATIONS: usize = 4_000;

fn fuzz(place: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz").join(place)
}

fn names(folder: &Path) -> BTreeSet<String> {
    let entries = std::fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

/// The seeds of a target, by name.
fn seeds(target: &str) -> Vec<(String, Vec<u8>)> {
    let folder = fuzz("corpus").join(target);
    names(&folder).into_iter().map(|name| (name.clone(), std::fs::read(folder.join(name)).unwrap())).collect()
}

/// What the body says; where it panics, the input that made it do so.
fn judge(target: &str, from: &str, body: Body, bytes: &[u8]) -> bool {
    std::panic::catch_unwind(|| body(bytes)).unwrap_or_else(|_| {
        panic!("{target}, from {from}: a seed for fuzz/corpus/{target}:\n{}", bytes.escape_ascii());
    })
}

#[test]
fn each_target_has_a_file_and_seeds_of_both_kinds() {
    let targets: BTreeSet<_> = ALL.iter().map(|(name, _)| (*name).to_owned()).collect();
    assert_eq!(names(&fuzz("corpus")), targets);
    let files: BTreeSet<_> = targets.iter().map(|name| format!("{name}.rs")).collect();
    assert_eq!(names(&fuzz("fuzz_targets")), files);
    let manifest = std::fs::read_to_string(fuzz("Cargo.toml")).unwrap();
    for (target, _) in ALL {
        let source = std::fs::read_to_string(fuzz(&format!("fuzz_targets/{target}.rs"))).unwrap();
        assert!(source.contains(&format!("bodies::{target}(bytes)")), "{target}");
        assert!(manifest.contains(&format!("name = \"{target}\"\npath = \"fuzz_targets/{target}.rs\"")), "{target}");
        let seeds = seeds(target);
        for kind in ["good-", "bad-"] {
            assert!(seeds.iter().any(|(name, _)| name.starts_with(kind)), "{target} has no seed {kind}…");
        }
    }
}

#[test]
fn each_seed_gets_its_answer() {
    for (target, body) in ALL {
        for (name, bytes) in seeds(target) {
            let accepted = judge(target, &name, *body, &bytes);
            let kind = name.split_once('-').map(|(kind, _)| kind);
            assert!(matches!(kind, Some("good" | "bad" | "found")), "{target}/{name}: good-…, bad-… or found-…");
            assert!(kind == Some("found") || accepted == (kind == Some("good")), "{target}/{name}: {accepted}");
        }
    }
}

#[test]
fn no_variation_of_a_seed_breaks_a_promise() {
    // One thread a target would starve the other tests; two halves take half as long.
    let halves = ALL.split_at(ALL.len() / 2);
    std::thread::scope(|scope| {
        for half in [halves.0, halves.1] {
            scope.spawn(|| half.iter().for_each(|(target, body)| vary(target, *body)));
        }
    });
}

fn vary(target: &str, body: Body) {
    let seeds = seeds(target);
    let mut varied = Varied::of(target, seeds.iter().map(|(_, bytes)| bytes.as_slice()).collect());
    for round in 0..VARIATIONS {
        let (from, bytes) = varied.next(round);
        judge(target, &seeds[from].0, body, &bytes);
    }
}

//! Holds the shape of the code: floors, rooms, sizes, heads and names.
//! In: the files under `src/`, the manifest and the tour. Out: one sentence a fault, with file, line and cure.
//! Implements the rule of the floors in `src/lib.rs`.
//! Never lets a rule go unproven: each has a test beside it that shows it failing.
#![expect(clippy::expect_used, reason = "a tree that cannot be read must fail the test")]

#[path = "architecture/lexer.rs"]
mod lexer;
#[path = "architecture/rules.rs"]
mod rules;
#[path = "architecture/source.rs"]
mod source;
#[path = "architecture/tables.rs"]
mod tables;

use std::path::Path;
use std::sync::LazyLock;

use source::Tree;

const ROOT: &str = env!("CARGO_MANIFEST_DIR");

/// Read once for all rules.
static TREE: LazyLock<Tree> = LazyLock::new(|| Tree::read(Path::new(ROOT)).expect("the files under src/"));

fn sample(files: &[(&str, &str)]) -> Tree {
    Tree::of(files.iter().map(|(path, text)| ((*path).to_owned(), (*text).to_owned())).collect())
}

/// The product keeps the rule.
fn kept(faults: &[String]) {
    assert!(faults.is_empty(), "\n{}\n", faults.join("\n"));
}

/// A sample breaks the rule, once, in these words.
fn broken(faults: &[String], expected: &str) {
    assert_eq!(faults, [expected]);
}

#[test]
fn the_whole_product_is_read() {
    let tree = &*TREE;
    for area in ["app", "cli", "config", "crypto", "domain", "http", "passkeys", "store", "upstream"] {
        let of_area = tree.sources.iter().filter(|source| source.path.starts_with(&format!("src/{area}/")));
        assert!(of_area.count() > 3, "{area}");
    }
    let count = |path: &str| tree.sources.iter().filter(|source| source.path == path).count();
    assert_eq!((count("src/store/writer.rs"), count("src/store/tests.rs"), count("src/crypto/attacks.rs")), (1, 0, 0));
    assert!(tree.sources.iter().any(|source| source.names.iter().any(|named| named.path == "rusqlite::Connection")));
}

#[test]
fn arrows_point_down() {
    kept(&rules::floors(&TREE));
}

#[test]
fn an_arrow_that_points_up_is_seen() {
    let up = sample(&[("src/store/a.rs", "fn a() {\n    crate::app::exchange::exchange();\n}")]);
    broken(
        &rules::floors(&up),
        "src/store/a.rs:2 names crate::app::exchange::exchange; `store` is floor 1 and `app` floor 2: pass in what is needed from there",
    );
    let up = sample(&[("src/domain/job/a.rs", "use super::super::super::http::page as p;")]);
    assert_eq!(rules::floors(&up).len(), 1);
    let new = sample(&[("src/attic/a.rs", "")]);
    broken(
        &rules::floors(&new),
        "src/attic/a.rs is on no floor; put it into a module of lib.rs's map, or the module into FLOORS",
    );
    let all = sample(&[("src/domain/a.rs", "use crate::*;")]);
    broken(&rules::floors(&all), "src/domain/a.rs:1 names crate::*; name the module on whose floor it is");
}

#[test]
fn neighbours_do_not_know_one_another() {
    kept(&rules::neighbours(&TREE));
}

#[test]
fn a_neighbour_who_is_known_is_seen() {
    let known = sample(&[("src/store/a.rs", "use crate::{crypto::{self as c}};\nfn a() { c::digest::x() }")]);
    let faults = rules::neighbours(&known);
    assert_eq!(faults.len(), 2, "{faults:?}");
    assert_eq!(
        faults.last().map(String::as_str),
        Some(
            "src/store/a.rs:2 names crate::crypto::digest::x; `store` and `crypto` do not know one another: the floor above hands over what is needed"
        )
    );
    let known = sample(&[("src/http/a.rs", "use crate::cli::args;"), ("src/cli/a.rs", "use crate::http::routes;")]);
    assert_eq!(rules::neighbours(&known).len(), 2);
}

#[test]
fn the_top_floor_acts_through_use_cases() {
    kept(&rules::acts(&TREE));
}

#[test]
fn an_act_that_goes_past_the_use_cases_is_seen() {
    let act = sample(&[
        ("src/http/token.rs", "fn a(s: &crate::store::Store) {}"),
        ("src/cli/open.rs", "use crate::crypto::files;"),
    ]);
    broken(&rules::acts(&act), "src/http/token.rs:1 names crate::store::Store; call a use case of app/, which does it");
}

#[test]
fn the_configuration_knows_values_only() {
    kept(&rules::configuration_knows_values_only(&TREE));
}

#[test]
fn a_configuration_that_acts_is_seen() {
    let act = sample(&[("src/config/a.rs", "use crate::{app::start, domain::ids};")]);
    broken(
        &rules::configuration_knows_values_only(&act),
        "src/config/a.rs:1 names crate::app::start; config/ reads and checks; let cli/ act on its settings",
    );
}

#[test]
fn nobody_hands_on_what_lives_elsewhere() {
    kept(&rules::hands_on(&TREE));
}

#[test]
fn a_name_that_is_handed_on_is_seen() {
    let handed = sample(&[("src/app/a.rs", "pub(crate) use crate::store::Store;\nuse crate::store::Unit;")]);
    broken(
        &rules::hands_on(&handed),
        "src/app/a.rs:1 names crate::store::Store; do not re-export it; let callers name where it lives",
    );
}

#[test]
fn the_domain_is_pure() {
    kept(&rules::domain_is_pure(&TREE));
}

#[test]
fn a_domain_that_is_not_pure_is_seen() {
    let impure = sample(&[("src/domain/x.rs", "//! rusqlite::Connection\nfn a(c: &rusqlite::Connection) {}")]);
    broken(
        &rules::domain_is_pure(&impure),
        "src/domain/x.rs:2 names rusqlite::Connection; load the value in app/ and pass it in",
    );
    let named = [
        "use std::{fs, collections::BTreeMap};",
        "use std::time;\nfn a() -> time::SystemTime { b() }",
        "fn a() { std::env::var(\"a::b\") }",
        "use std::net::TcpStream;",
        "use std::net::*;",
        "use tracing::info;",
        "use ring as r;",
        "use jiff::Timestamp;\nfn a() -> i64 { Timestamp::now().as_second() }",
        "use std::sync::Mutex;",
        "async fn a() {}",
        "fn a() { tokio::spawn(b) }",
    ];
    for text in named {
        assert!(!rules::domain_is_pure(&sample(&[("src/domain/x.rs", text)])).is_empty(), "{text}");
    }
    let pure = "use std::{net::IpAddr, sync::Arc, time::Duration};\nuse jiff::Timestamp;\n#[cfg(test)]\nmod tests { use std::fs; }";
    kept(&rules::domain_is_pure(&sample(&[("src/domain/x.rs", pure)])));
}

#[test]
fn each_library_keeps_to_its_rooms() {
    kept(&rules::rooms(&TREE));
}

#[test]
fn a_library_outside_its_room_is_seen() {
    let outside =
        sample(&[("src/app/a.rs", "use webauthn_rs_core::proto::*;"), ("src/store/a.rs", "use rusqlite::Row;")]);
    broken(&rules::rooms(&outside), "src/app/a.rs:1 names webauthn_rs_core::proto::*; use passkeys' own types");
    for text in [
        "josekit::a()",
        "openssl::a()",
        "getrandom::fill(x)",
        "std::fs::read(x)",
        "std::env::vars()",
        "std::time::Instant::now()",
    ] {
        let text = format!("fn a() {{ {text} }}");
        assert_eq!(rules::rooms(&sample(&[("src/app/a.rs", &text)])).len(), 1, "{text}");
    }
}

#[test]
fn each_dependency_has_its_rooms() {
    kept(&rules::dependencies(include_str!("../Cargo.toml")));
}

#[test]
fn a_dependency_without_rooms_is_seen() {
    let manifest = "[package]\nname = \"a\"\n\n[dependencies]\nserde = \"1\"\nleft-pad = \"1\"\n\n[dev-dependencies]\nother = \"1\"";
    broken(
        &rules::dependencies(manifest),
        "Cargo.toml brings left_pad; give it a row in ROOMS or COMMON_GROUND of tests/architecture/tables.rs",
    );
}

#[test]
fn each_dependency_is_needed() {
    kept(&rules::idle_dependencies(include_str!("../Cargo.toml"), &TREE));
}

#[test]
fn a_dependency_that_is_not_needed_is_seen() {
    let manifest = "[package]\n\n[dependencies]\nserde = \"1\"\nserde_json = \"1\"";
    let tree = sample(&[("src/app/a.rs", "#[derive(serde::Serialize)]\nstruct A;")]);
    broken(
        &rules::idle_dependencies(manifest, &tree),
        "Cargo.toml brings serde_json, and nothing in src/ names it; remove it",
    );
}

#[test]
fn each_exception_is_needed() {
    kept(&rules::idle_doors(&TREE));
}

#[test]
fn an_exception_that_is_not_needed_is_seen() {
    let all = rules::idle_doors(&sample(&[]));
    assert_eq!(all.len(), tables::NEIGHBOURS.len() + tables::DOORS.len());
}

#[test]
fn one_caller_says_verified() {
    kept(&rules::one_verifier(&TREE));
}

#[test]
fn another_caller_who_says_verified_is_seen() {
    let call = "fn a() { Verified::after_checking_the_signature(b) }";
    let two = sample(&[("src/crypto/jwt.rs", call), ("src/app/a.rs", call)]);
    broken(
        &rules::one_verifier(&two),
        "src/app/a.rs:1 calls Verified::after_checking_the_signature; let crypto/jwt.rs verify",
    );
    let twice = sample(&[("src/crypto/jwt.rs", &format!("{call}{call}"))]);
    assert_eq!(rules::one_verifier(&twice).len(), 1);
    assert_eq!(rules::one_verifier(&sample(&[])).len(), 1);
}

#[test]
fn nothing_prints_past_the_printer() {
    kept(&rules::no_prints(&TREE));
}

#[test]
fn a_print_is_seen() {
    let print = sample(&[("src/app/a.rs", "fn a() {\n    eprintln!(\"println!\"); // dbg!\n}")]);
    broken(
        &rules::no_prints(&print),
        "src/app/a.rs:2 prints with eprintln!; hand it to cli/printer.rs, or to diagnostics",
    );
}

#[test]
fn files_are_short() {
    kept(&rules::sizes(&TREE));
}

#[test]
fn a_long_file_is_seen() {
    let lines = "//! x\n".repeat(rules::MAX_LINES + 1);
    broken(
        &rules::sizes(&sample(&[("src/app/a.rs", &lines)])),
        "src/app/a.rs has 401 lines without tests; split it at 400 by reason to change",
    );
    let tests = format!("fn a() {{}}\n#[cfg(test)]\nmod tests {{\n{}}}\n", "fn a() {}\n".repeat(500));
    kept(&rules::sizes(&sample(&[("src/app/a.rs", &tests)])));
    kept(&rules::sizes(&sample(&[("src/app/a.rs", &format!("//! A register of claims.\n{lines}"))])));
}

#[test]
fn each_file_says_what_it_is() {
    kept(&rules::heads(&TREE));
}

#[test]
fn a_file_without_a_head_is_seen() {
    let short = sample(&[
        ("src/app/a.rs", "//! a\n//! b\n//! c\n\nfn a() {}\n//! d"),
        ("src/app/b.rs", "//! a\n//! b\n//! c\n//! d\n"),
    ]);
    broken(
        &rules::heads(&short),
        "src/app/a.rs:1 lacks its head; say in four `//!` lines: what · in, out · which standard · what never",
    );
}

#[test]
fn the_map_shows_each_module() {
    kept(&rules::map(&TREE));
}

#[test]
fn a_module_that_the_map_lacks_is_seen() {
    let lib = "pub mod app; // floor 1: wrong\npub mod http; // floor 3: right\n";
    let lost = sample(&[("src/lib.rs", lib), ("src/app/a.rs", ""), ("src/http/a.rs", "")]);
    broken(&rules::map(&lost), "src/lib.rs does not map app; write `pub mod app; // floor 2: what it is`");
    assert_eq!(rules::map(&sample(&[("src/lib.rs", ""), ("src/clock.rs", "")])).len(), 1);
}

#[test]
fn no_name_is_a_drawer() {
    kept(&rules::drawers(&TREE));
}

#[test]
fn a_drawer_is_seen() {
    broken(
        &rules::drawers(&sample(&[("src/app/utils.rs", "")])),
        "src/app/utils.rs is called utils; name the thing that is inside",
    );
    broken(
        &rules::drawers(&sample(&[("src/app/a.rs", "mod helpers {}")])),
        "src/app/a.rs:1 has a module called helpers; name the thing that is inside",
    );
}

#[test]
fn the_tour_leads_to_files_that_are_there() {
    let path = Path::new(ROOT).join("ARCHITECTURE.md");
    let Ok(text) = std::fs::read_to_string(path) else { return };
    kept(&rules::tour(&text, |path| Path::new(ROOT).join(path).exists()));
}

#[test]
fn a_tour_that_leads_astray_is_seen() {
    let text = "`src/lib.rs`, src/app/.\n[gone](./src/gone.rs), src/gone/** and https://example.com/src/x";
    let faults = rules::tour(text, |path| ["src/lib.rs", "src/app"].contains(&path));
    assert_eq!(faults.len(), 2, "{faults:?}");
    assert_eq!(
        faults.first().map(String::as_str),
        Some("ARCHITECTURE.md:2 leads to src/gone.rs, which is not there; mend the path")
    );
}

#[test]
fn test_code_is_left_out_and_the_rest_is_not() {
    let text = "#[cfg(test)]\npub(crate) mod fixtures;\n#[cfg(not(test))]\nfn a() { ureq::get(\"'\") }\nfn b<'a>(c: &'a str) -> char { '\"' }\nfn d() { clap::e(r#\"\"\"#, b'\\'', '\\u{1f}') }";
    let tree = sample(&[
        ("src/app/mod.rs", text),
        ("src/app/fixtures.rs", "use openssl;"),
        ("src/app/fixtures/deep.rs", "use openssl;"),
    ]);
    let faults = rules::rooms(&tree);
    assert_eq!(
        faults.iter().filter(|fault| fault.contains("ureq::get") || fault.contains(":6 names clap::e")).count(),
        2,
        "{faults:?}"
    );
    assert_eq!(faults.len(), 2, "{faults:?}");
}

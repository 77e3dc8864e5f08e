//! The command without a server: what it says and how it ends.

use std::cell::Cell;

use super::super::printer::Abilities;
use super::super::printer::tests::{Tape, taped};
use super::output::tests::Folder;
use super::*;
use crate::domain::time::Timestamp;

/// Runs the command where nothing listens; every look at the clock takes 20 s.
fn run_nowhere(args: &TokenArgs) -> (Exit, Tape, Tape) {
    let (mut printer, out, err) = taped(Abilities::default());
    let clock = Cell::new(0);
    let elapsed = || {
        clock.set(clock.get() + 20);
        Duration::from_secs(clock.get())
    };
    let variable = |name: &str| (name == "COUNTERSIGN_ID_TOKEN").then(|| "secret.secret.secret".to_owned());
    let surroundings = Surroundings {
        now: &|| Timestamp::from_seconds(0),
        elapsed: &elapsed,
        chance: &|| Some([7; 32]),
        variable: &variable,
    };
    (run(args, &surroundings, &mut printer), out, err)
}

fn args(out: Option<std::path::PathBuf>) -> TokenArgs {
    TokenArgs {
        audience: vec!["sts.amazonaws.com".to_owned()],
        out: out.into_iter().collect(),
        url: Some("http://127.0.0.1:9".to_owned()),
        id_token_env: "COUNTERSIGN_ID_TOKEN".to_owned(),
        ..TokenArgs::default()
    }
}

#[test]
fn a_server_that_does_not_answer_is_tried_again_then_exit_3_and_the_collector_stays() {
    let folder = Folder::new("unreachable");
    let (exit, out, err) = run_nowhere(&args(Some(folder.path().join("aws.jwt"))));
    assert_eq!(exit, Exit::TryAgain);
    let said = err.text();
    assert!(said.contains("127.0.0.1 does not answer") && said.contains("; trying again for "), "{said}");
    assert!(said.contains("  cure: check the server and the way to it, then run the same command again"), "{said}");
    assert_eq!(said.lines().count(), 3, "one line a change: {said}");
    assert!(!said.contains("secret") && out.text().is_empty());
    assert!(folder.path().join(".aws.jwt.countersign-collector").exists());
}

#[test]
fn a_key_of_the_run_leaves_no_file_behind() {
    let folder = Folder::new("dpop");
    let (exit, out, _) = run_nowhere(&TokenArgs { dpop: true, ..args(Some(folder.path().join("aws.jwt"))) });
    assert_eq!(exit, Exit::TryAgain);
    assert!(out.text().is_empty());
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[test]
fn usage_is_told_before_anything_is_written_or_called() {
    let (exit, out, err) = run_nowhere(&args(Some("/absent/folder/aws.jwt".into())));
    assert_eq!(exit, Exit::Usage);
    assert!(err.text().starts_with("`/absent/folder` is not a folder\n  cure: "), "{}", err.text());
    assert!(out.text().is_empty());
}

#[test]
fn json_reports_name_the_file_or_hold_the_token_never_both() {
    let issued =
        Issued { access_token: "a.b.c".to_owned(), expires_in: Some(600), entry: Some(5), summary: Vec::new() };
    let audience = Audience::parse("sts.amazonaws.com").unwrap();
    let with_file = output::report(&audience, Some(std::path::Path::new("aws.jwt")), &issued);
    let expected = json!({ "audience": "sts.amazonaws.com", "entry": 5, "expires_in": 600, "out": "aws.jwt" });
    assert_eq!(with_file, expected);
    assert!(output::report(&audience, None, &issued).to_string().contains("a.b.c"));
}

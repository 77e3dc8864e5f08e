//! `docs/conformance.md` against the tests: which of them stands for which module of the suite.
//! In: the page's tables, the files under `tests/`. Out: the row that is not true.
//! Implements the rule that a list of what is tested names tests that are there.
//! Never counts a function as a test that is none.

use std::collections::BTreeSet;

use super::{backticked, prose, read};

const PAGE: &str = "docs/conformance.md";

/// Rows of the page: line, heading, module, tests, what a run would say.
fn rows() -> Vec<(usize, String, String, String, String)> {
    let mut heading = String::new();
    let mut rows = Vec::new();
    for (line, text) in prose(PAGE) {
        if let Some(title) = text.strip_prefix("## ") {
            title.clone_into(&mut heading);
        }
        if text.starts_with("| `oidcc-") {
            let cells: Vec<_> = text.trim_matches('|').split(" | ").map(str::trim).collect();
            let [module, tests, says] = cells.as_slice() else { panic!("{PAGE}:{line}: not three cells") };
            let module = module.trim_matches('`').to_owned();
            rows.push((line, heading.clone(), module, (*tests).to_owned(), (*says).to_owned()));
        }
    }
    rows
}

/// Whether a file under `tests/` has this function, as a test.
fn is_test(path: &str, name: &str) -> bool {
    let text = read(format!("tests/{path}"));
    let mut marked = false;
    for line in text.lines() {
        if line == "#[test]" {
            marked = true;
        } else if let Some(rest) = line.strip_prefix("pub fn ").or_else(|| line.strip_prefix("fn ")) {
            if marked && rest.strip_prefix(name).is_some_and(|rest| rest.starts_with('(')) {
                return true;
            }
            marked = false;
        }
    }
    false
}

#[test]
fn every_module_of_the_suite_has_a_test_that_is_there_or_a_reason() {
    let rows = rows();
    let names: BTreeSet<&str> = rows.iter().map(|(_, _, module, ..)| module.as_str()).collect();
    assert_eq!(names.len(), rows.len(), "{PAGE} names a module twice");
    for (line, _, module, tests, says) in &rows {
        let reason = says.strip_prefix("does not apply: ").is_some_and(|reason| !reason.is_empty());
        let known = ["pass", "warns", "skipped"].iter().any(|word| says.starts_with(word));
        assert!(reason || known, "{PAGE}:{line}: what would a run of `{module}` say?");
        assert!(reason || backticked(tests).count() > 0, "{PAGE}:{line}: `{module}` has neither a test nor a reason");
        for test in backticked(tests) {
            let there = test.split_once("::").is_some_and(|(path, name)| is_test(path, name));
            assert!(there, "{PAGE}:{line}: there is no test `{test}`");
        }
    }
}

#[test]
fn every_plan_has_as_many_modules_as_its_heading_says() {
    let rows = rows();
    let mut plans = 0;
    for (line, text) in prose(PAGE) {
        let Some((title, count)) = text.strip_prefix("## ").and_then(|title| title.rsplit_once(": ")) else { continue };
        let count: usize = count.split(' ').next().unwrap().parse().unwrap();
        let found = rows.iter().filter(|(_, heading, ..)| heading.starts_with(&format!("{title}: "))).count();
        assert_eq!(found, count, "{PAGE}:{line}: {title}");
        plans += 1;
    }
    assert_eq!((plans, rows.len()), (4, 52), "{PAGE} lost some of the suite's modules");
}

#[test]
fn every_test_that_the_page_names_elsewhere_is_there() {
    for (line, text) in prose(PAGE) {
        for test in backticked(&text).filter(|text| text.contains(".rs::")) {
            let (path, name) = test.split_once("::").unwrap();
            assert!(is_test(path, name), "{PAGE}:{line}: there is no test `{test}`");
        }
    }
}

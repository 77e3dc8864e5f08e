//! The documents against the source: limits, paths, links, rules, commands.
//! In: README.md, ARCHITECTURE.md and the other documents, `src/`. Out: file and line of what is not true.
//! Implements the rule that a document which the code has left behind is a fault.
//! Never reads anything outside the repository.
#![expect(clippy::unwrap_used, clippy::panic, reason = "helpers of a test: a failed unwrap is a failed test")]

#[path = "documents/configuration.rs"]
mod configuration;
#[path = "documents/conformance.rs"]
mod conformance;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use clap::Parser as _;
use countersign::cli::args::Args;
use countersign::domain::ids::IssuerName;
use countersign::domain::job::gitlab::INVENTORY;
use countersign::domain::rules::compile::Rules;

/// Every document that people read.
const DOCUMENTS: &[&str] = &[
    "README.md",
    "ARCHITECTURE.md",
    "SECURITY.md",
    "CONTRIBUTING.md",
    "CHANGELOG.md",
    "docs/admin.md",
    "docs/attacks.md",
    "docs/clients.md",
    "docs/clouds.md",
    "docs/conformance.md",
    "docs/deploy.md",
    "docs/faults.md",
    "docs/gitlab.md",
    "docs/keys.md",
    "docs/limits.md",
    "docs/people.md",
    "docs/performance.md",
    "docs/amr.md",
    "docs/relying-parties.md",
    "docs/rules.md",
    "docs/sign-in.md",
    "docs/verify.md",
    "keys.example/README.md",
];

/// Public numbers that are no limits: formats, modes, sizes that nothing outside can reach.
const NO_LIMITS: &[&str] = &[
    "COLLECTOR_CHARS",
    "DIR_MODE",
    "FILE_MODE",
    "FORMAT",
    "PUBLIC_MODE",
    "RSA_BITS",
    "SALT",
    "SLOT",
    "TICK",
    "WORKERS_LEAST",
];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: impl AsRef<Path>) -> String {
    let path = root().join(path);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// A fenced block: its language, its first line's number, its text.
struct Block {
    language: String,
    line: usize,
    text: String,
}

fn blocks(document: &str) -> Vec<Block> {
    let mut found: Vec<Block> = Vec::new();
    let mut open = false;
    for (at, line) in read(document).lines().enumerate() {
        if let Some(language) = line.strip_prefix("```") {
            if !open {
                found.push(Block { language: language.to_owned(), line: at + 1, text: String::new() });
            }
            open = !open;
        } else if open {
            let block = found.last_mut().unwrap();
            block.text.push_str(line);
            block.text.push('\n');
        }
    }
    assert!(!open, "{document}: a fenced block does not end");
    found
}

/// The document's lines outside fenced blocks, numbered.
fn prose(document: &str) -> Vec<(usize, String)> {
    let mut open = false;
    let mut lines = Vec::new();
    for (at, line) in read(document).lines().enumerate() {
        if line.starts_with("```") {
            open = !open;
        } else if !open {
            lines.push((at + 1, line.to_owned()));
        }
    }
    lines
}

fn backticked(line: &str) -> impl Iterator<Item = &str> {
    line.split('`').skip(1).step_by(2)
}

fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

fn without_spaces(text: &str) -> String {
    text.split_whitespace().collect()
}

/// `pub const NAME: TYPE = VALUE;` of a file, outside its tests: name, type, value.
fn constants(text: &str) -> Vec<(String, String, String)> {
    let text = text.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default();
    let mut found = Vec::new();
    for part in text.split("pub const ").skip(1) {
        let Some((head, rest)) = part.split_once('=') else { continue };
        let Some((name, kind)) = head.split_once(':') else { continue };
        // A type such as `[u32; 2]` holds a semicolon, a value here does not.
        let Some((value, _)) = rest.split_once(';') else { continue };
        found.push((name.trim().to_owned(), kind.trim().to_owned(), value.trim().to_owned()));
    }
    found
}

/// Rows of docs/limits.md: line, name, value, path.
fn limits() -> Vec<(usize, String, String, String)> {
    let mut rows = Vec::new();
    for (line, text) in prose("docs/limits.md") {
        if !text.starts_with("| `") {
            continue;
        }
        let cells: Vec<_> = text.trim_matches('|').split('|').map(|cell| cell.trim().trim_matches('`')).collect();
        let [name, value, path, what] = cells.as_slice() else { panic!("docs/limits.md:{line}: not four cells") };
        assert!(!what.is_empty(), "docs/limits.md:{line}: says nothing of `{name}`");
        rows.push((line, (*name).to_owned(), (*value).to_owned(), (*path).to_owned()));
    }
    rows
}

#[test]
fn every_documented_limit_has_this_value_in_this_file() {
    let rows = limits();
    assert!(rows.len() > 50, "the table of limits was not found");
    for (line, name, value, path) in rows {
        let known = constants(&read(&path)).into_iter().find(|(constant, ..)| *constant == name);
        let Some((_, _, real)) = known else { panic!("docs/limits.md:{line}: {path} has no `pub const {name}`") };
        assert_eq!(without_spaces(&value), without_spaces(&real), "docs/limits.md:{line}: `{name}` of {path}");
    }
}

#[test]
fn every_limit_is_documented() {
    let documented: BTreeSet<_> = limits().into_iter().map(|(_, name, _, path)| (name, path)).collect();
    let mut files = Vec::new();
    sources(&root().join("src"), &mut files);
    let mut missing = Vec::new();
    for file in files {
        let path = file.strip_prefix(root()).unwrap().display().to_string();
        // The demo stands in for others; its numbers bound nobody.
        if path.contains("/tests") || path.starts_with("src/cli/demo") {
            continue;
        }
        for (name, kind, value) in constants(&read(&path)) {
            let number = matches!(kind.as_str(), "usize" | "u8" | "u16" | "u32" | "u64" | "Duration");
            if number && !NO_LIMITS.contains(&name.as_str()) && !documented.contains(&(name.clone(), path.clone())) {
                missing.push(format!("| `{name}` | `{value}` | `{path}` | … |"));
            }
        }
    }
    assert!(missing.is_empty(), "docs/limits.md lacks these rows:\n{}", missing.join("\n"));
}

#[test]
fn every_path_in_backticks_exists() {
    for document in DOCUMENTS {
        for (line, text) in prose(document) {
            for path in backticked(&text) {
                let ours = ["src/", "tests/", "benches/", "docs/", "static/", "templates/", "keys.example/", ".ci/"];
                if ours.iter().any(|folder| path.starts_with(folder)) && !path.contains(['*', ' ', '…']) {
                    assert!(root().join(path).exists(), "{document}:{line}: there is no `{path}`");
                }
            }
        }
    }
}

#[test]
fn every_link_within_the_repository_leads_somewhere() {
    for document in DOCUMENTS {
        let folder = Path::new(document).parent().unwrap();
        for (line, text) in prose(document) {
            let links = text.split("](").skip(1).filter_map(|rest| rest.split(')').next());
            let pictures = text.split("src=\"").skip(1).filter_map(|rest| rest.split('"').next());
            for target in links.chain(pictures) {
                if target.contains("://") {
                    continue;
                }
                let (path, anchor) = target.split_once('#').map_or((target, None), |(path, at)| (path, Some(at)));
                let file = if path.is_empty() { PathBuf::from(document) } else { folder.join(path) };
                assert!(root().join(&file).exists(), "{document}:{line}: the link `{target}` leads nowhere");
                if let Some(anchor) = anchor {
                    let known = read(&file).lines().any(|heading| heading.starts_with('#') && slug(heading) == anchor);
                    assert!(known, "{document}:{line}: `{}` has no heading `{anchor}`", file.display());
                }
            }
        }
    }
}

/// A heading's anchor, as forges make it.
fn slug(heading: &str) -> String {
    let title = heading.trim_start_matches('#').trim().to_lowercase();
    let kept = title.chars().filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
    kept.map(|c| if c == ' ' { '-' } else { c }).collect()
}

#[test]
fn every_rule_in_the_documents_compiles_without_a_warning() {
    let issuers = [IssuerName::parse("gitlab").unwrap()];
    let mut count = 0;
    for document in DOCUMENTS {
        for block in blocks(document) {
            if block.language != "toml" || !block.text.contains("[[rule]]") {
                continue;
            }
            count += 1;
            let at = format!("{document}:{}", block.line);
            match Rules::compile(&[(at.clone(), block.text)], &issuers, &[]) {
                Ok(loaded) => assert!(loaded.warnings.is_empty(), "{at}: {}", loaded.warnings[0]),
                Err(errors) => panic!("{}", errors[0]),
            }
        }
    }
    assert!(count >= 8, "only {count} rules were found");
}

#[test]
fn every_command_in_the_documents_is_one() {
    let mut count = 0;
    for document in DOCUMENTS {
        for block in blocks(document).iter().filter(|block| matches!(block.language.as_str(), "sh" | "console")) {
            for (at, line) in block.text.lines().enumerate() {
                let line = line.strip_prefix("$ ").unwrap_or(line).trim_start();
                let Some(rest) = line.strip_prefix("countersign ") else { continue };
                let rest =
                    rest.split([';', '|', '>', '#', '&']).next().unwrap_or_default().trim_end_matches(['\\', ' ']);
                let parsed = Args::try_parse_from(std::iter::once("countersign".to_owned()).chain(words(rest)));
                let problem = parsed.err().map(|error| error.to_string());
                assert!(problem.is_none(), "{document}:{}: {}", block.line + at + 1, problem.unwrap_or_default());
                count += 1;
            }
        }
        for (line, text) in prose(document) {
            for command in backticked(&text).filter_map(|text| text.strip_prefix("countersign ")) {
                let known = command.split(' ').next().is_some_and(is_command);
                assert!(known, "{document}:{line}: there is no `countersign {command}`");
                count += 1;
            }
        }
    }
    assert!(count >= 20, "only {count} commands were found");
}

fn is_command(name: &str) -> bool {
    use clap::CommandFactory as _;
    Args::command().get_subcommands().any(|command| command.get_name() == name)
}

/// Splits as a shell does, as far as the documents need it.
fn words(line: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut quote = None;
    for c in line.chars() {
        match (quote, c) {
            (Some(open), c) if c == open => quote = None,
            (None, '"' | '\'') => quote = Some(c),
            (None, ' ') => words.push(String::new()),
            (_, c) => words.last_mut().unwrap().push(c),
        }
    }
    words.retain(|word| !word.is_empty());
    words
}

#[test]
fn every_claim_that_rules_may_match_is_in_the_page_on_rules() {
    let page = read("docs/rules.md");
    for claim in INVENTORY.iter().filter(|claim| claim.is_matchable()) {
        assert!(page.contains(&format!("`{}`", claim.name)), "docs/rules.md does not name `{}`", claim.name);
    }
}

#[test]
fn every_page_of_the_documentation_is_built_in() {
    let built_in: BTreeSet<_> =
        countersign::http::assets::DOCUMENTS.iter().map(|(name, _)| (*name).to_owned()).collect();
    let pages = std::fs::read_dir(root().join("docs")).unwrap().filter_map(|entry| {
        let path = entry.unwrap().path();
        (path.extension()? == "md").then(|| path.file_stem().unwrap().display().to_string())
    });
    assert_eq!(built_in, pages.collect());
}

#[test]
fn every_document_that_the_source_names_is_there() {
    let mut files = Vec::new();
    sources(&root().join("src"), &mut files);
    files.extend(["static/countersign.sh", "keys.example/countersign.toml"].map(|path| root().join(path)));
    for file in files {
        for (at, line) in read(&file).lines().enumerate() {
            let words = line.split(|c: char| !(c.is_alphanumeric() || "./_-".contains(c)));
            for page in words.filter(|word| word.starts_with("docs/") && word.rsplit('.').next() == Some("md")) {
                let shown = file.strip_prefix(root()).unwrap().display();
                assert!(root().join(page).exists(), "{shown}:{}: there is no {page}", at + 1);
            }
        }
    }
}

/// Rows of docs/attacks.md: line, number, state, tests.
fn attacks() -> Vec<(usize, usize, String, Vec<String>)> {
    let mut rows = Vec::new();
    for (line, text) in prose("docs/attacks.md") {
        let cells: Vec<_> = text.trim_matches('|').split('|').map(str::trim).collect();
        let Some(Ok(number)) = cells.first().map(|cell| cell.parse()) else { continue };
        let [_, title, state, tests] = cells.as_slice() else { panic!("docs/attacks.md:{line}: not four cells") };
        assert!(!title.is_empty(), "docs/attacks.md:{line}: says nothing of {number}");
        rows.push((line, number, (*state).to_owned(), backticked(tests).map(str::to_owned).collect()));
    }
    rows
}

/// The names of all tests of attacks, as the source has them.
fn attack_tests() -> BTreeSet<String> {
    let mut files = Vec::new();
    for folder in ["src", "tests"] {
        sources(&root().join(folder), &mut files);
    }
    let mut found = BTreeSet::new();
    for file in files {
        for rest in read(file).split("fn attack_").skip(1) {
            let name: String = rest.chars().take_while(|c| c.is_ascii_alphanumeric() || *c == '_').collect();
            // A function of a test, and not a sentence about them.
            if name.starts_with(|c: char| c.is_ascii_digit()) && rest[name.len()..].starts_with('(') {
                found.insert(format!("attack_{name}"));
            }
        }
    }
    found
}

#[test]
fn every_attack_is_a_row_with_its_tests() {
    let rows = attacks();
    assert_eq!(rows.iter().map(|row| row.1).collect::<Vec<_>>(), (1..=100).collect::<Vec<_>>());
    let source = attack_tests();
    assert!(source.len() > 150, "only {} tests were found", source.len());
    for (line, number, state, tests) in &rows {
        let at = format!("docs/attacks.md:{line}: {number}");
        let (waits, part) = (state.starts_with("waits for "), state.starts_with("part: "));
        assert!(state == "whole" || waits || part, "{at}: the state `{state}` is none of three");
        assert_eq!(waits, tests.is_empty(), "{at}: only what waits has no test");
        for test in tests {
            assert!(source.contains(test), "{at}: there is no test `{test}`");
        }
    }
    for test in source {
        let number: usize = test[7..10].parse().unwrap();
        let row = rows.iter().find(|row| row.1 == number);
        assert!(row.is_some_and(|row| row.3.contains(&test)), "docs/attacks.md, {number}: `{test}` is not in the row");
    }
}

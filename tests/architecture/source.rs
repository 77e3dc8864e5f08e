//! Reads Rust source as text and tells which paths it names, where, and from which module.
//! In: files. Out: a `Tree` of `Source`s without comments, literals and test code, and every `Named` path in them.
//! Implements as much of the language's grammar of paths as the rules need: `use` trees, aliases, `self`, `super`.
//! Never expands a macro; a path inside a macro's arguments is read like any other.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use super::lexer::{Token, tokens};

/// A path that a file names.
#[derive(Debug, Clone)]
pub struct Named {
    /// Resolved: begins with `crate`, or with the name of another crate.
    pub path: String,
    pub line: usize,
    /// Everything below `path`.
    pub glob: bool,
    /// A `use` that hands the name on.
    pub handed_on: bool,
}

/// One file, without its tests.
pub struct Source {
    /// Relative to the repository, with `/`.
    pub path: String,
    pub text: String,
    pub tokens: Vec<Token>,
    pub names: Vec<Named>,
    /// Lines outside of test items.
    pub length: usize,
}

/// All files that are built into the product.
pub struct Tree {
    pub sources: Vec<Source>,
}

impl Tree {
    /// The files under `src/`.
    pub fn read(root: &Path) -> std::io::Result<Self> {
        let mut files = Vec::new();
        let mut folders = vec![root.join("src")];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(folder)? {
                let path = entry?.path();
                if path.is_dir() {
                    folders.push(path);
                } else if path.extension().is_some_and(|extension| extension == "rs") {
                    let relative = path.strip_prefix(root).unwrap_or(&path).to_string_lossy().replace('\\', "/");
                    files.push((relative, fs::read_to_string(&path)?));
                }
            }
        }
        files.sort();
        Ok(Self::of(files))
    }

    /// These files, as if they were the whole product.
    pub fn of(files: Vec<(String, String)>) -> Self {
        let stripped: Vec<_> = files
            .into_iter()
            .map(|(path, text)| {
                let (tokens, tests) = without_tests(&tokens(&text), &path);
                (path, text, tokens, tests)
            })
            .collect();
        let tests: Vec<String> = stripped.iter().flat_map(|(_, _, _, tests)| tests.modules.clone()).collect();
        let built = |path: &str| !tests.iter().any(|test| path == format!("{test}.rs") || within(path, test));
        let modules: BTreeSet<_> = stripped.iter().map(|(path, ..)| module_of(path).join("::")).collect();
        let sources = stripped.into_iter().filter(|(path, ..)| built(path)).map(|(path, text, tokens, tests)| {
            let names = names(&tokens, &path, &modules);
            let length = text.lines().count().saturating_sub(tests.lines);
            Source { path, text, tokens, names, length }
        });
        Self { sources: sources.collect() }
    }
}

/// Words that stand for a module and alone name nothing: `pub(crate)`.
const KEYWORDS: &[&str] = &["crate", "self", "super"];

/// Whether `path` lies in the folder.
pub fn within(path: &str, folder: &str) -> bool {
    path.strip_prefix(folder).is_some_and(|rest| rest.starts_with('/') || folder.ends_with('/'))
}

/// The module that a file is: `src/a/b.rs` and `src/a/b/mod.rs` are `crate::a::b`.
fn module_of(path: &str) -> Vec<String> {
    let inner = path.strip_prefix("src/").unwrap_or(path);
    let inner = inner.strip_suffix(".rs").unwrap_or(inner);
    let inner = inner.strip_suffix("/mod").unwrap_or(inner);
    let below = inner.split('/').filter(|part| *part != "lib" && *part != "main").map(str::to_owned);
    std::iter::once("crate".to_owned()).chain(below).collect()
}

/// What a file holds for its tests alone.
#[derive(Default)]
struct Tests {
    lines: usize,
    /// Paths without `.rs` of the modules that only tests have.
    modules: Vec<String>,
}

fn text(tokens: &[Token], index: usize) -> &str {
    tokens.get(index).map_or("", |token| &token.text)
}

/// The index after the bracket that closes the one at `open`.
fn after_brackets(tokens: &[Token], open: usize) -> usize {
    let (mut depth, mut i) = (0_usize, open);
    while i < tokens.len() {
        match text(tokens, i) {
            "(" | "[" | "{" => depth += 1,
            ")" | "]" | "}" => depth = depth.saturating_sub(1),
            _ => {}
        }
        i += 1;
        if depth == 0 {
            break;
        }
    }
    i
}

/// Leaves out items under `#[cfg(test)]`.
fn without_tests(tokens: &[Token], path: &str) -> (Vec<Token>, Tests) {
    let (mut kept, mut tests, mut i) = (Vec::new(), Tests::default(), 0);
    while i < tokens.len() {
        let inner = usize::from(text(tokens, i + 1) == "!");
        if text(tokens, i) != "#" || text(tokens, i + 1 + inner) != "[" {
            kept.extend(tokens.get(i).cloned());
            i += 1;
            continue;
        }
        let end = after_brackets(tokens, i + 1 + inner);
        let attribute: Vec<_> = (i + 2 + inner..end).map(|j| text(tokens, j)).collect();
        let for_tests = attribute.first() == Some(&"cfg") && attribute.contains(&"test") && !attribute.contains(&"not");
        if !for_tests {
            kept.extend(tokens.get(i..end).unwrap_or_default().iter().cloned());
            i = end;
            continue;
        }
        if inner == 1 {
            tests.modules.extend(path.strip_suffix(".rs").map(str::to_owned));
            return (Vec::new(), tests);
        }
        let mut item = end;
        while text(tokens, item) == "#" {
            item = after_brackets(tokens, item + 1);
        }
        let name = (item..tokens.len()).find(|j| text(tokens, *j) == "mod").filter(|j| *j < item + 5);
        let stop = after_item(tokens, item);
        if let Some(name) = name.filter(|name| text(tokens, name + 2) == ";") {
            let folder = module_of(path).join("/").replacen("crate", "src", 1);
            tests.modules.push(format!("{folder}/{}", text(tokens, name + 1)));
        }
        let line = |index: usize| tokens.get(index).map_or(0, |token| token.line);
        tests.lines += line(stop.saturating_sub(1)).saturating_sub(line(i)) + 1;
        i = stop;
    }
    (kept, tests)
}

fn after_item(tokens: &[Token], start: usize) -> usize {
    let mut i = start;
    while i < tokens.len() {
        match text(tokens, i) {
            ";" => return i + 1,
            "{" => return after_brackets(tokens, i),
            "(" | "[" => i = after_brackets(tokens, i),
            ")" | "]" | "}" => return i,
            _ => i += 1,
        }
    }
    i
}

struct Found {
    path: Vec<String>,
    alias: Option<String>,
    line: usize,
    glob: bool,
    handed_on: bool,
    module: Vec<String>,
}

/// Every path, as written, with the module that it stands in.
fn found(tokens: &[Token], path: &str) -> Vec<Found> {
    let is_word = |text: &str| text.starts_with(|c: char| c.is_alphabetic() || c == '_');
    let (mut all, mut i, mut depth) = (Vec::new(), 0, 0_usize);
    let mut module = module_of(path);
    let mut inline: Vec<usize> = Vec::new();
    while i < tokens.len() {
        let here = text(tokens, i);
        match here {
            "{" => depth += 1,
            "}" => {
                depth = depth.saturating_sub(1);
                if inline.last() == Some(&depth) {
                    inline.pop();
                    module.pop();
                }
            }
            "mod" if text(tokens, i + 2) == "{" => {
                inline.push(depth);
                module.push(text(tokens, i + 1).to_owned());
                i += 2;
                continue;
            }
            "use" if text(tokens, i + 1) != "<" => {
                let before = (i > 0).then(|| text(tokens, i - 1));
                let handed_on = matches!(before, Some("pub" | ")"));
                i = tree(tokens, i + 1, &[], &mut |path, alias, line, glob| {
                    all.push(Found { path, alias, line, glob, handed_on, module: module.clone() });
                });
                continue;
            }
            _ if is_word(here) => {
                let member = i > 0 && text(tokens, i - 1) == "." && (i < 2 || text(tokens, i - 2) != ".");
                let line = tokens.get(i).map_or(0, |token| token.line);
                let mut path = vec![here.to_owned()];
                while text(tokens, i + 1) == "::" && is_word(text(tokens, i + 2)) {
                    path.push(text(tokens, i + 2).to_owned());
                    i += 2;
                }
                if !member {
                    all.push(Found { path, alias: None, line, glob: false, handed_on: false, module: module.clone() });
                }
            }
            _ => {}
        }
        i += 1;
    }
    all
}

/// Reads one `use` tree; the index after it.
fn tree(
    tokens: &[Token],
    start: usize,
    prefix: &[String],
    leaf: &mut dyn FnMut(Vec<String>, Option<String>, usize, bool),
) -> usize {
    let (mut path, mut i) = (prefix.to_vec(), start);
    let line = tokens.get(start).map_or(0, |token| token.line);
    loop {
        match text(tokens, i) {
            "::" => i += 1,
            "{" => {
                i += 1;
                while !matches!(text(tokens, i), "}" | "") {
                    i = tree(tokens, i, &path, leaf);
                    i += usize::from(text(tokens, i) == ",");
                }
                return i + 1;
            }
            "*" => {
                leaf(path, None, line, true);
                return i + 1;
            }
            "as" => {
                leaf(path, Some(text(tokens, i + 1).to_owned()), line, false);
                return i + 2;
            }
            "self" if !path.is_empty() => i += 1,
            "," | "}" | ";" | "" => {
                let alias = path.last().cloned();
                leaf(path, alias, line, false);
                return i;
            }
            word => {
                path.push(word.to_owned());
                i += 1;
            }
        }
    }
}

/// Resolves every path that a file names.
fn names(tokens: &[Token], path: &str, modules: &BTreeSet<String>) -> Vec<Named> {
    let found = found(tokens, path);
    let mut aliases: BTreeMap<&str, Vec<&Found>> = BTreeMap::new();
    for one in &found {
        if let Some(alias) = &one.alias {
            aliases.entry(alias).or_default().push(one);
        }
    }
    let mut names = Vec::new();
    for one in &found {
        let word = one.path.len() == 1 && one.alias.is_none() && !one.glob;
        for path in resolved(&one.path, &one.module, &aliases, modules, 4) {
            // A word by itself is a path only where a `use` brought it.
            if word
                && (one.path.first() == Some(&path)
                    || one.path.first().is_some_and(|first| KEYWORDS.contains(&first.as_str())))
            {
                continue;
            }
            names.push(Named { path, line: one.line, glob: one.glob, handed_on: one.handed_on });
        }
    }
    names
}

fn resolved(
    path: &[String],
    module: &[String],
    aliases: &BTreeMap<&str, Vec<&Found>>,
    modules: &BTreeSet<String>,
    left: u8,
) -> Vec<String> {
    let Some((first, rest)) = path.split_first() else { return Vec::new() };
    let joined = |base: &[String], rest: &[String]| base.iter().chain(rest).cloned().collect::<Vec<_>>().join("::");
    match first.as_str() {
        "crate" | "countersign" => return vec![joined(&["crate".to_owned()], rest)],
        "self" => return vec![joined(module, rest)],
        "super" => {
            let ups = path.iter().take_while(|word| *word == "super").count();
            let base = module.get(..module.len().saturating_sub(ups)).unwrap_or_default();
            return vec![joined(base, path.get(ups..).unwrap_or_default())];
        }
        _ => {}
    }
    let child = format!("{}::{first}", module.join("::"));
    if modules.contains(&child) {
        return vec![joined(&[child], rest)];
    }
    let brought = aliases.get(first.as_str()).map(Vec::as_slice).unwrap_or_default();
    let brought = brought.iter().filter(|one| one.path.first() != Some(first) && left > 0);
    let longer: Vec<String> = brought
        .flat_map(|one| {
            let path: Vec<_> = one.path.iter().chain(rest).cloned().collect();
            resolved(&path, &one.module, aliases, modules, left - 1)
        })
        .collect();
    if longer.is_empty() { vec![path.join("::")] } else { longer }
}

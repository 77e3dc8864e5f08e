//! The rules of the house, each a function from the tree to its faults.
//! In: a `Tree`. Out: one sentence a fault: file, line, what is named, and what to do instead.
//! Implements the rule of the floors and the habits of CONTRIBUTING.
//! Never asks the file system: what a rule needs is handed in.

use super::source::{Named, Source, Tree, within};
use super::tables::{
    COMMON_GROUND, DOORS, DRAWERS, Door, FLOORS, IMPURE_STD, NEIGHBOURS, PURE_CRATES, ROOMS, STD_VALUES,
};

/// Most lines of a file outside of its tests.
pub const MAX_LINES: usize = 400;
/// Lines that tell a newcomer what a file is.
pub const HEAD_LINES: usize = 4;

/// The top-level module that a file belongs to; `lib.rs` and `main.rs` belong to none.
fn area(path: &str) -> Option<&str> {
    let inner = path.strip_prefix("src/")?;
    let first = inner.split('/').next()?;
    let name = first.strip_suffix(".rs").unwrap_or(first);
    (!matches!(name, "lib" | "main")).then_some(name)
}

fn floor(area: &str) -> Option<u8> {
    FLOORS.iter().find(|(name, _)| *name == area).map(|(_, floor)| *floor)
}

/// Whether `path` is `what` or lies below it, or brings it in by a glob.
fn reaches(named: &Named, what: &str) -> bool {
    let below = |long: &str, short: &str| {
        long.strip_prefix(short).is_some_and(|rest| rest.is_empty() || rest.starts_with("::"))
    };
    below(&named.path, what) || (named.glob && below(what, &named.path))
}

fn at_home(path: &str, place: &str) -> bool {
    path == place || (place.ends_with('/') && within(path, place))
}

fn open(doors: &[Door], source: &Source, named: &Named) -> bool {
    doors.iter().any(|door| {
        at_home(&source.path, door.place) && reaches(named, door.path) && !(named.glob && named.path == "crate")
    })
}

/// One fault's sentence.
fn fault(source: &Source, named: &Named, rule: &str) -> String {
    let below = if named.glob { "::*" } else { "" };
    format!("{}:{} names {}{below}; {rule}", source.path, named.line, named.path)
}

/// Each name of another top-level module: file, its area, the name, the other area.
fn abroad(tree: &Tree) -> impl Iterator<Item = (&Source, &str, &Named, &str)> {
    tree.sources.iter().flat_map(|source| {
        source.names.iter().filter_map(move |named| {
            let here = area(&source.path)?;
            let there = named.path.strip_prefix("crate").map(|rest| rest.trim_start_matches("::"))?;
            let there = there.split("::").next()?;
            (here != there && (named.path == "crate" || named.path.starts_with("crate::")))
                .then_some((source, here, named, there))
        })
    })
}

/// Arrows point down.
pub fn floors(tree: &Tree) -> Vec<String> {
    let mut faults = Vec::new();
    for source in &tree.sources {
        if area(&source.path).is_some_and(|area| floor(area).is_none()) {
            faults.push(format!(
                "{} is on no floor; put it into a module of lib.rs's map, or the module into FLOORS",
                source.path
            ));
        }
    }
    for (source, here, named, there) in abroad(tree) {
        match (floor(here), floor(there)) {
            (Some(own), Some(other)) if other > own => faults.push(fault(
                source,
                named,
                &format!("`{here}` is floor {own} and `{there}` floor {other}: pass in what is needed from there"),
            )),
            (Some(_), None) => faults.push(fault(source, named, "name the module on whose floor it is")),
            _ => {}
        }
    }
    faults
}

/// Modules of one floor do not know one another.
pub fn neighbours(tree: &Tree) -> Vec<String> {
    abroad(tree)
        .filter(|(source, here, named, there)| floor(here) == floor(there) && !open(NEIGHBOURS, source, named))
        .map(|(source, here, named, there)| {
            let rule =
                format!("`{here}` and `{there}` do not know one another: the floor above hands over what is needed");
            fault(source, named, &rule)
        })
        .collect()
}

/// Floor 3 acts through use cases.
pub fn acts(tree: &Tree) -> Vec<String> {
    abroad(tree)
        .filter(|(source, here, named, there)| {
            floor(here) == Some(3) && floor(there) == Some(1) && !open(DOORS, source, named)
        })
        .map(|(source, _, named, _)| fault(source, named, "call a use case of app/, which does it"))
        .collect()
}

/// The configuration is read before anything runs.
pub fn configuration_knows_values_only(tree: &Tree) -> Vec<String> {
    abroad(tree)
        .filter(|(_, here, _, there)| *here == "config" && *there != "domain")
        .map(|(source, _, named, _)| fault(source, named, "config/ reads and checks; let cli/ act on its settings"))
        .collect()
}

/// Nobody hands on another module's names, which would hide who knows whom.
pub fn hands_on(tree: &Tree) -> Vec<String> {
    abroad(tree)
        .filter(|(_, _, named, _)| named.handed_on)
        .map(|(source, _, named, _)| fault(source, named, "do not re-export it; let callers name where it lives"))
        .collect()
}

/// Floor 0 computes.
pub fn domain_is_pure(tree: &Tree) -> Vec<String> {
    let mut faults = Vec::new();
    for source in tree.sources.iter().filter(|source| area(&source.path) == Some("domain")) {
        for named in &source.names {
            let known = ROOMS.iter().map(|room| room.path).chain(COMMON_GROUND.iter().copied());
            let impure = known.filter(|path| !PURE_CRATES.contains(path)).chain(IMPURE_STD.iter().copied());
            let value = STD_VALUES.iter().any(|path| reaches(named, path) && !named.glob);
            if impure.clone().any(|path| reaches(named, path)) && !value {
                faults.push(fault(source, named, "load the value in app/ and pass it in"));
            }
        }
        for token in source.tokens.iter().filter(|token| matches!(token.text.as_str(), "async" | "await")) {
            faults.push(format!("{}:{} is {}; floor 0 never waits: wait in app/", source.path, token.line, token.text));
        }
    }
    faults
}

/// Each library has its rooms.
pub fn rooms(tree: &Tree) -> Vec<String> {
    let mut faults = Vec::new();
    for source in &tree.sources {
        for named in &source.names {
            for room in ROOMS.iter().filter(|room| reaches(named, room.path)) {
                if !room.places.iter().any(|place| at_home(&source.path, place)) {
                    faults.push(fault(source, named, room.instead));
                }
            }
        }
    }
    faults
}

/// The crates that the manifest brings into the product, as paths name them.
fn brought(manifest: &str) -> impl Iterator<Item = String> {
    let section = manifest.split("\n[").find_map(|part| part.strip_prefix("dependencies]")).unwrap_or_default();
    let names = section.lines().filter_map(|line| line.split_once('=').map(|(name, _)| name.trim().replace('-', "_")));
    names.filter(|name| !name.starts_with('#'))
}

/// Each dependency is named somewhere.
pub fn idle_dependencies(manifest: &str, tree: &Tree) -> Vec<String> {
    let named = |name: &str| tree.sources.iter().any(|source| source.names.iter().any(|named| reaches(named, name)));
    brought(manifest)
        .filter(|name| !named(name))
        .map(|name| format!("Cargo.toml brings {name}, and nothing in src/ names it; remove it"))
        .collect()
}

/// Each dependency of the manifest is in a table.
pub fn dependencies(manifest: &str) -> Vec<String> {
    brought(manifest)
        .filter(|name| !COMMON_GROUND.contains(&name.as_str()))
        .filter(|name| !ROOMS.iter().any(|room| room.path == *name))
        .map(|name| {
            format!("Cargo.toml brings {name}; give it a row in ROOMS or COMMON_GROUND of tests/architecture/tables.rs")
        })
        .collect()
}

/// Every exception is needed.
pub fn idle_doors(tree: &Tree) -> Vec<String> {
    let used = |door: &Door| {
        let through = |source: &Source| source.names.iter().any(|named| reaches(named, door.path));
        tree.sources.iter().any(|source| at_home(&source.path, door.place) && through(source))
    };
    let idle = NEIGHBOURS.iter().chain(DOORS).filter(|door| !used(door));
    idle.map(|door| format!("nothing in {} names {} ({}); remove the row", door.place, door.path, door.why)).collect()
}

/// Only a verifier says that something is verified.
pub fn one_verifier(tree: &Tree) -> Vec<String> {
    const CALLER: &str = "src/crypto/jwt.rs";
    let calls: Vec<_> = tree
        .sources
        .iter()
        .filter(|source| source.path != "src/domain/verified.rs")
        .flat_map(|source| {
            source.tokens.iter().filter(|t| t.text == "after_checking_the_signature").map(move |t| (source, t))
        })
        .collect();
    let strangers = calls.iter().filter(|(source, _)| source.path != CALLER).map(|(source, token)| {
        format!("{}:{} calls Verified::after_checking_the_signature; let crypto/jwt.rs verify", source.path, token.line)
    });
    let mut faults: Vec<_> = strangers.collect();
    let own = calls.iter().filter(|(source, _)| source.path == CALLER).count();
    if own != 1 {
        faults.push(format!(
            "{CALLER} calls Verified::after_checking_the_signature {own} times; it has exactly one caller"
        ));
    }
    faults
}

/// All output goes through the printer.
pub fn no_prints(tree: &Tree) -> Vec<String> {
    let prints = |text: &str| matches!(text, "print" | "println" | "eprint" | "eprintln" | "dbg");
    tree.sources
        .iter()
        .flat_map(|source| source.tokens.windows(2).map(move |pair| (source, pair)))
        .filter_map(|(source, pair)| match pair {
            [word, mark] if prints(&word.text) && mark.text == "!" => Some(format!(
                "{}:{} prints with {}!; hand it to cli/printer.rs, or to diagnostics",
                source.path, word.line, word.text
            )),
            _ => None,
        })
        .collect()
}

/// A file has one subject.
pub fn sizes(tree: &Tree) -> Vec<String> {
    let register = |source: &Source| source.text.lines().next().is_some_and(|line| line.contains("register"));
    tree.sources
        .iter()
        .filter(|source| source.length > MAX_LINES && !register(source))
        .map(|source| {
            format!(
                "{} has {} lines without tests; split it at {MAX_LINES} by reason to change",
                source.path, source.length
            )
        })
        .collect()
}

/// A file says what it is, what goes in and out, what it implements and what it never does.
pub fn heads(tree: &Tree) -> Vec<String> {
    let head = |source: &Source| source.text.lines().take_while(|line| line.starts_with("//! ")).count() >= HEAD_LINES;
    tree.sources
        .iter()
        .filter(|source| !head(source))
        .map(|source| {
            format!(
                "{}:1 lacks its head; say in four `//!` lines: what · in, out · which standard · what never",
                source.path
            )
        })
        .collect()
}

/// `lib.rs` is the map.
pub fn map(tree: &Tree) -> Vec<String> {
    let Some(lib) = tree.sources.iter().find(|source| source.path == "src/lib.rs") else {
        return vec!["src/lib.rs is missing; it is the map".to_owned()];
    };
    let mut faults = Vec::new();
    let mut areas: Vec<_> = tree.sources.iter().filter_map(|source| area(&source.path)).collect();
    areas.dedup();
    for area in areas {
        let entry = lib.text.lines().find_map(|line| line.strip_prefix(&format!("pub mod {area};")));
        let says = floor(area).map(|floor| format!(" // floor {floor}: "));
        if !entry.zip(says.as_ref()).is_some_and(|(entry, says)| entry.starts_with(says.as_str())) {
            let says = says.unwrap_or_else(|| " // floor …: ".to_owned());
            faults.push(format!("src/lib.rs does not map {area}; write `pub mod {area};{says}what it is`"));
        }
    }
    faults
}

/// A name tells what is inside.
pub fn drawers(tree: &Tree) -> Vec<String> {
    let mut faults = Vec::new();
    for source in &tree.sources {
        for part in source.path.split(['/', '.']).filter(|part| DRAWERS.contains(part)) {
            faults.push(format!("{} is called {part}; name the thing that is inside", source.path));
        }
        for pair in source.tokens.windows(2) {
            if let [word, name] = pair
                && word.text == "mod"
                && DRAWERS.contains(&name.text.as_str())
            {
                faults.push(format!(
                    "{}:{} has a module called {}; name the thing that is inside",
                    source.path, name.line, name.text
                ));
            }
        }
    }
    faults
}

/// The guided tour leads to files that are there.
pub fn tour(text: &str, there: impl Fn(&str) -> bool) -> Vec<String> {
    let mut faults = Vec::new();
    for (number, line) in text.lines().enumerate() {
        let words = line.split(|c: char| !(c.is_alphanumeric() || "/._-{*".contains(c)));
        for word in words.map(|word| word.trim_start_matches("./")) {
            let path = word.trim_end_matches(['.', '*']).trim_end_matches('/');
            if !["src/", "tests/", "templates/", "docs/"].iter().any(|folder| word.starts_with(folder))
                || path.contains('/') && there(path)
            {
                continue;
            }
            if path.contains('/') {
                faults
                    .push(format!("ARCHITECTURE.md:{} leads to {path}, which is not there; mend the path", number + 1));
            }
        }
    }
    faults
}

//! What the documents tell people to put into a configuration, ours and that of the tools that sign people in here.
//! In: fenced blocks. Out: the block that the server would refuse, or that does not fit the one beside it.
//! Implements the rule that an example works as it stands.
//! Never lets an example be left out: what is TOML is a rule, or goes through the configuration's own check.

use std::collections::BTreeSet;
use std::path::Path;

use countersign::config::examine;
use toml::{Table, Value};

use super::{Block, DOCUMENTS, blocks, read};

/// The least that a server starts with, and somebody who vouches for passkeys: some pieces need one.
const LEAST: &str = "url = \"https://sign.example.com\"\n[keys]\nmaster_key_file = \"m\"\nlog_key_file = \"l\"\n\
    [[issuer]]\nname = \"gitlab\"\nurl = \"https://gitlab.example.com\"\n\
    [metadata]\nblob_file = \"metadata/blob.jwt\"\nroot_file = \"metadata/root.crt\"\n";

const RELYING_PARTIES: &str = "docs/relying-parties.md";

fn table(at: &str, text: &str) -> Table {
    text.parse().unwrap_or_else(|error| panic!("{at}: {error}"))
}

/// The least configuration with a block in it: what it says of a section stands beside what is there.
fn with(at: &str, block: &str) -> String {
    let mut whole = table(at, LEAST);
    for (name, value) in table(at, block) {
        match (whole.get_mut(&name), value) {
            (Some(Value::Table(there)), Value::Table(more)) => there.extend(more),
            (_, value) => drop(whole.insert(name, value)),
        }
    }
    whole.to_string()
}

/// Lays down every file that a piece names, empty: what is in them is the operator's.
fn lay_files(folder: &Path, value: &Value) {
    for one in value.as_array().into_iter().flatten() {
        lay_files(folder, one);
    }
    for (name, value) in value.as_table().into_iter().flatten() {
        if let Some(path) = value.as_str().filter(|_| name.ends_with("_file")) {
            let path = folder.join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, "").unwrap();
        }
        lay_files(folder, value);
    }
}

#[test]
fn every_piece_of_configuration_in_the_documents_is_one() {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("pieces");
    let (mut clients, mut others) = (0, 0);
    for document in DOCUMENTS {
        for block in blocks(document) {
            if block.language != "toml" || block.text.contains("[[rule]]") {
                continue;
            }
            *if block.text.contains("[[client]]") { &mut clients } else { &mut others } += 1;
            let at = format!("{document}:{}", block.line);
            let whole = with(&at, &block.text);
            lay_files(&folder, &Value::Table(table(&at, &whole)));
            let checked = examine(&folder.join("countersign.toml"), &whole);
            let faults = checked.err().map(|error| error.to_string());
            assert!(faults.is_none(), "{at}: {}", faults.unwrap_or_default());
        }
    }
    assert!(clients >= 8 && others >= 8, "only {clients} clients and {others} other pieces were found");
}

/// The sections of a document: heading, and the blocks under it.
fn sections(document: &str) -> Vec<(String, Vec<Block>)> {
    let mut headings = Vec::new();
    let mut open = false;
    for (at, line) in read(document).lines().enumerate() {
        if line.starts_with("```") {
            open = !open;
        } else if let Some(title) = line.strip_prefix("## ").filter(|_| !open) {
            headings.push((at + 1, title.to_owned()));
        }
    }
    let mut sections: Vec<(String, Vec<Block>)> = Vec::new();
    for block in blocks(document) {
        let Some((_, title)) = headings.iter().rev().find(|(line, _)| *line < block.line) else { continue };
        match sections.last_mut().filter(|(last, _)| last == title) {
            Some((_, blocks)) => blocks.push(block),
            None => sections.push((title.clone(), vec![block])),
        }
    }
    sections
}

fn texts<'a>(client: &'a Table, name: &str) -> BTreeSet<&'a str> {
    client.get(name).and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str).collect()
}

/// Words of a tool's own configuration: what stands between anything that no scope and no id has.
fn words(text: &str) -> BTreeSet<&str> {
    text.split(|c: char| !(c.is_ascii_alphanumeric() || "_-.".contains(c))).filter(|word| !word.is_empty()).collect()
}

#[test]
fn what_a_tool_is_told_fits_what_the_server_is_told_of_it() {
    let known = ["openid", "profile", "email", "groups", "offline_access"];
    let mut tools = Vec::new();
    for (title, blocks) in sections(RELYING_PARTIES) {
        let own: Vec<_> = blocks.iter().filter(|block| block.language == "toml").collect();
        let theirs: String =
            blocks.iter().filter(|block| block.language != "toml").map(|block| block.text.as_str()).collect();
        let ([own, ..], false) = (own.as_slice(), theirs.is_empty() || title == "For every tool") else { continue };
        let at = format!("{RELYING_PARTIES}:{}: {title}", own.line);
        let read = table(&at, &own.text);
        let client = read["client"].as_array().unwrap()[0].as_table().unwrap();
        let id = client["id"].as_str().unwrap();
        assert!(words(&theirs).contains(id), "{at}: the tool is not told its id `{id}`");
        assert!(theirs.contains("https://sign.example.com"), "{at}: the tool is not told the issuer");
        // What it asks for it may have, and what it may have it asks for.
        let lines = theirs.lines().filter(|line| line.to_lowercase().contains("scope"));
        let asked: BTreeSet<&str> =
            lines.flat_map(words).filter(|word| known.contains(word)).chain(["openid"]).collect();
        let may = texts(client, "scopes");
        let may_ask: BTreeSet<&str> = may.iter().copied().filter(|scope| asked.contains(scope)).collect();
        assert_eq!(asked, may_ask, "{at}: of these scopes the client may have {may:?}");
        let uris = texts(client, "redirect_uris");
        for line in theirs.lines().filter(|line| line.contains("redirect_ur")) {
            let uri = line.split('"').find(|part| part.starts_with("https://"));
            assert!(uri.is_none_or(|uri| uris.contains(uri)), "{at}: {line} is not in {uris:?}");
        }
        let refreshes = texts(client, "grants").contains("refresh_token");
        assert_eq!(may.contains("offline_access"), refreshes, "{at}: a refresh token that nobody may use");
        tools.push(title);
    }
    assert_eq!(tools, ["GitLab", "Grafana", "Argo CD", "oauth2-proxy", "Kubernetes"]);
}

//! What was typed: unknown keys, kinds, the environment.

use super::*;

fn read_text(text: &str, variables: &[(&str, &str)]) -> Result<(Source, Origins), ConfigError> {
    let variables: Vec<_> = variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    read(Path::new("countersign.toml"), text, &variables)
}

fn faults(text: &str, variables: &[(&str, &str)]) -> Vec<(String, String)> {
    let error = read_text(text, variables).unwrap_err();
    error.faults.iter().map(|fault| (fault.to_string(), fault.cure.clone())).collect()
}

#[test]
fn attack_098_every_unknown_key_is_told_at_once_with_line_and_nearest_name() {
    let text = "ulr = \"https://x\"\n[server]\nlisten = \"127.0.0.1:1\"\nlisen = \"x\"\n[[issuer]]\nname = \"a\"\nprojekts = []\n\
                [sever]\nlisten = \"x\"\n[limits]\ncontact = \"x\"\ncolor = \"x\"\n";
    let expected = [
        ("countersign.toml:1: unknown key `ulr`", "did you mean `url`?"),
        ("countersign.toml:4: unknown key `server.lisen`", "did you mean `listen`?"),
        ("countersign.toml:7: unknown key `issuer[0].projekts`", "did you mean `projects`?"),
        ("countersign.toml:8: unknown key `sever`", "did you mean `server`?"),
        ("countersign.toml:11: unknown key `limits.contact`", "`contact` belongs to [people]"),
        (
            "countersign.toml:12: unknown key `limits.color`",
            "remove it; [limits] takes max_token_age, refused_per_minute, ceremonies_per_minute, \
             open_requests_per_project, open_requests_per_rule",
        ),
    ];
    let found = faults(text, &[]);
    let found: Vec<_> = found.iter().map(|(what, cure)| (what.as_str(), cure.as_str())).collect();
    assert_eq!(found, expected);
}

#[test]
fn values_of_another_kind_name_line_kind_and_cure() {
    let found = faults(
        "url = 1\n[[issuer]]\nprojects = [4711]\nallow_private = \"yes\"\n[limits]\nrefused_per_minute = \"9\"\n",
        &[],
    );
    assert_eq!(found.len(), 4, "{found:?}");
    assert!(found[0].0.starts_with("countersign.toml:1: `url` is integer, not a string"), "{found:?}");
    assert!(found[1].0.contains(":3: `issuer[0].projects`") && found[1].1.contains("\"4711\""), "{found:?}");
    assert_eq!(faults("server = 1", &[])[0].1, "write `[server]`");
    assert_eq!(faults("[issuer]\nname = \"a\"", &[])[0].1, "write `[[issuer]]`");
    assert_eq!(faults("[[server]]\nlisten = \"a\"", &[])[0].1, "write `[server]`");
}

#[test]
fn attack_098_broken_and_hostile_toml_is_refused_not_followed() {
    for text in ["url = ", "[server", "a = 1\na = 2", "url = \"x\"\n[server]\n[server]", "\u{0}"] {
        assert!(read_text(text, &[]).is_err(), "{text}");
    }
    let found = faults("url = \"https://x\"\nlisten = = 1\n", &[]);
    assert!(found[0].0.starts_with("countersign.toml:2: "), "{found:?}");
    for bomb in
        ["[".repeat(100_000), format!("url = {}", "[".repeat(100_000)), format!("{}x = 1", "a.".repeat(100_000))]
    {
        assert!(read_text(&bomb, &[]).is_err());
    }
}

#[test]
fn every_key_can_be_set_by_its_variable_and_the_variable_wins() {
    for key in keys::of_environment() {
        let value = match key.kind {
            Kind::Text => "a text",
            Kind::Texts => "10.0.0.0/8, ::1",
            Kind::Whole => "7",
            Kind::Flag => "true",
        };
        let (_, origins) = read_text("", &[(&key.variable(), value)]).unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(origins.of(&key.path()), Origin::Environment(key.variable()));
    }
    let text = "[server]\nlisten = \"127.0.0.1:1\"\nwait_limit = \"5s\"\n";
    let variables =
        [("COUNTERSIGN_SERVER__LISTEN", "127.0.0.1:2"), ("COUNTERSIGN_SERVER__TRUSTED_PROXIES", "10.0.0.0/8, ::1")];
    let (source, _) = read_text(text, &variables).unwrap();
    assert_eq!(source.server.listen.as_deref(), Some("127.0.0.1:2"));
    assert_eq!(source.server.wait_limit.as_deref(), Some("5s"));
    assert_eq!(source.server.trusted_proxies.unwrap(), ["10.0.0.0/8", "::1"]);
}

#[test]
fn unknown_variables_are_errors_and_the_job_s_own_are_not() {
    let found = faults("", &[("COUNTERSIGN_SERVER__LISTN", "x"), ("COUNTERSIGN_SERVER__LISTEN__FILE", "x")]);
    assert_eq!(
        found[1],
        ("COUNTERSIGN_SERVER__LISTN: no such key".into(), "did you mean `COUNTERSIGN_SERVER__LISTEN`?".into())
    );
    assert_eq!(found.len(), 2);
    let job = [("COUNTERSIGN_ID_TOKEN", "x"), ("COUNTERSIGN_AUDIENCE", "x"), ("COUNTERSIGN_CA_FILE", "x")];
    assert!(read_text("", &job).is_ok());
    let found = faults("", &[("COUNTERSIGN_LIMITS__REFUSED_PER_MINUTE", "many")]);
    assert_eq!(found[0].0, "COUNTERSIGN_LIMITS__REFUSED_PER_MINUTE: the value is not a whole number");
}

#[test]
fn a_file_variable_gives_the_file_s_contents_without_its_last_line_end() {
    let folder = crate::config::tests::Folder::new("file-variable");
    let path = folder.write("command", "print-key --now\n");
    let path = path.to_str().unwrap();
    let (source, _) = read_text("", &[("COUNTERSIGN_KEYS__MASTER_KEY_COMMAND_FILE", path)]).unwrap();
    assert_eq!(source.keys.master_key_command.as_deref(), Some("print-key --now"));
    let both = [("COUNTERSIGN_KEYS__MASTER_KEY_COMMAND_FILE", path), ("COUNTERSIGN_KEYS__MASTER_KEY_COMMAND", "x")];
    assert_eq!(faults("", &both)[0].1, "set one of the two");
    assert!(faults("", &[("COUNTERSIGN_PEOPLE__CONTACT_FILE", "/absent")])[0].0.contains("cannot be read"));
}

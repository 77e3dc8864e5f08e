//! The configuration as a whole: discovery, the example, what is on the disk.

use std::os::unix::fs::PermissionsExt;

use super::*;

/// A folder of a test's own, gone at its end.
pub(super) struct Folder(PathBuf);

impl Folder {
    pub(super) fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("countersign-config-{}-{name}", std::process::id()));
        let _ = std::fs::remove_dir_all(&path);
        std::fs::create_dir_all(&path).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o700)).unwrap();
        Self(path)
    }

    pub(super) fn path(&self) -> &Path {
        &self.0
    }

    pub(super) fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.0.join(name);
        std::fs::write(&path, text).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
        path
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// The least that works.
pub(super) const LEAST: &str = "url = \"https://sign.example.com\"
[keys]
master_key_file = \"keys/master-key\"
log_key_file = \"keys/log-key\"
[[issuer]]
name = \"gitlab\"
url = \"https://gitlab.example.com\"
";

#[test]
fn the_file_is_the_one_named_then_the_variable_s() {
    let variables = [(FILE_VARIABLE.to_owned(), "/by/variable".to_owned())];
    assert_eq!(discover(Some(Path::new("/named")), &variables).unwrap(), Path::new("/named"));
    assert_eq!(discover(None, &variables).unwrap(), Path::new("/by/variable"));
    let error = load(Some(Path::new("/absent/countersign.toml")), &[]).unwrap_err();
    assert!(error.to_string().contains("cannot be read") && error.faults[0].cure.contains("--config"), "{error}");
}

#[test]
fn the_least_configuration_has_the_documented_defaults() {
    let folder = Folder::new("least");
    let file = folder.write("countersign.toml", LEAST);
    let settings = load(Some(&file), &[]).unwrap();
    assert_eq!((settings.url.as_str(), settings.rp_id.as_str()), ("https://sign.example.com", "sign.example.com"));
    assert_eq!(settings.log.origin, "sign.example.com/log");
    assert_eq!(settings.rules, folder.path().join("rules"));
    assert_eq!(settings.keys.log_key_file, folder.path().join("keys/log-key"));
    assert_eq!(settings.log.high_water_mark, folder.path().join("keys/high-water-mark"));
    assert_eq!(settings.server.listen.to_string(), "127.0.0.1:8080");
    assert_eq!(settings.server.wait_limit.as_secs(), 50);
    assert_eq!(settings.limits.max_token_age.as_secs(), 3600);
    assert_eq!(settings.limits.refused_per_minute, 600);
    assert_eq!(settings.limits.ceremonies_per_minute, 30);
    assert_eq!(settings.limits.open_requests_per_project, 100);
    assert_eq!(settings.limits.open_requests_per_rule, 10_000);
    assert_eq!(settings.issuers[0].stale_use.as_secs(), 86_400);
    assert_eq!(settings.issuers[0].projects, None);
}

#[test]
fn attack_096_a_configuration_that_others_may_write_does_not_load() {
    let folder = Folder::new("writable");
    let file = folder.write("countersign.toml", LEAST);
    folder.write("key", "x");
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o666)).unwrap();
    let error = load(Some(&file), &[]).unwrap_err();
    assert!(error.to_string().contains("countersign.toml: has mode 0666"), "{error}");
    assert!(error.faults[0].cure.starts_with("chmod 0644 "), "{}", error.faults[0].cure);
}

#[test]
fn the_example_configuration_parses_and_names_every_key() {
    let examples = Path::new(env!("CARGO_MANIFEST_DIR")).join("keys.example");
    let file = examples.join("countersign.toml");
    let text = std::fs::read_to_string(&file).unwrap();
    let (source, origins) = source::read(&file, &text, &[]).unwrap();
    let settings = check::check(&file, &source, &origins).unwrap();
    assert_eq!(settings.url, "https://sign.example.com");
    assert!(settings.rules.join("example.toml").is_file());
    for key in keys::KEYS {
        let shown = text.lines().any(|line| {
            let line = line.trim_start_matches(['#', ':', ' ']);
            line.strip_prefix(key.name).is_some_and(|rest| rest.trim_start().starts_with('='))
        });
        assert!(shown, "`{}` is not in keys.example/countersign.toml", key.path());
    }
    // What is commented out is right as well, where it can stand beside the rest.
    let uncommented: String =
        text.lines().map(|line| line.strip_prefix("#: ").unwrap_or(line).to_owned() + "\n").collect();
    assert_ne!(uncommented, text);
    source::read(&file, &uncommented, &[]).unwrap();
}

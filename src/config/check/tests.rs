//! Values: what is refused, with which cure, and that all is said at once.

use super::*;
use crate::config::source;
use crate::config::tests::{Folder, LEAST};

fn settings(text: &str) -> Result<Settings, ConfigError> {
    let file = Path::new("/etc/countersign/countersign.toml");
    let (source, origins) = source::read(file, text, &[])?;
    check(file, &source, &origins)
}

/// The one fault of the least configuration with one line changed or added.
fn fault_of(from: &str, to: &str) -> String {
    assert!(LEAST.contains(from), "{from}");
    let error = settings(&LEAST.replacen(from, to, 1)).expect_err(to);
    assert_eq!(error.faults.len(), 1, "{to}: {error:?}");
    format!("{} → {}", error.faults[0], error.faults[0].cure)
}

const URL: &str = "url = \"https://sign.example.com\"\n";
const KEYS: &str = "[keys]\n";
const ISSUER: &str = "url = \"https://gitlab.example.com\"\n";

#[test]
fn our_url_is_exact_https_and_a_name() {
    for (wrong, says) in [
        ("https://sign.example.com/", "url = \"https://sign.example.com\""),
        ("https://Sign.Example.com", "url = \"https://sign.example.com\""),
        ("https://sign.example.com:443", "url = \"https://sign.example.com\""),
        ("https://sign.example.com/sub", "url = \"https://sign.example.com\""),
        ("http://sign.example.com", "must be https"),
        ("ftp://sign.example.com", "must be https"),
        ("https://192.0.2.1", "names an address"),
        ("https://[::1]", "names an address"),
        ("sign.example.com", "is not a URL"),
    ] {
        let said = fault_of(URL, &format!("url = \"{wrong}\"\n"));
        assert!(said.contains(says) && said.starts_with("/etc/countersign/countersign.toml:1: "), "{wrong}: {said}");
    }
    assert_eq!(settings(&LEAST.replacen(URL, "url = \"http://localhost:8080\"\n", 1)).unwrap().rp_id, "localhost");
    assert!(fault_of(URL, "").contains("`url` is missing"));
}

#[test]
fn attack_097_rp_id_is_the_host_or_a_domain_above_it() {
    for right in ["sign.example.com", "example.com"] {
        assert_eq!(settings(&format!("rp_id = \"{right}\"\n{LEAST}")).unwrap().rp_id, right);
    }
    for wrong in ["localhost", "com", "ign.example.com", "example.org", "www.sign.example.com", ""] {
        assert!(fault_of(URL, &format!("{URL}rp_id = \"{wrong}\"\n")).contains("can never change"), "{wrong}");
    }
}

#[test]
fn attack_097_plain_http_is_refused_where_others_can_reach_it() {
    for open in ["0.0.0.0:80", "[::]:80", "192.0.2.1:80"] {
        let said = fault_of(KEYS, &format!("[server]\nlisten = \"{open}\"\n{KEYS}"));
        assert!(said.contains("plain http on") && said.contains("trusted_proxies"), "{said}");
    }
    let proxied = format!("[server]\nlisten = \"0.0.0.0:80\"\ntrusted_proxies = [\"10.0.0.0/8\"]\n{KEYS}");
    assert!(settings(&LEAST.replacen(KEYS, &proxied, 1)).is_ok());
    for home in ["127.0.0.1:0", "[::1]:80", "127.9.9.9:80"] {
        assert!(
            settings(&LEAST.replacen(KEYS, &format!("[server]\nlisten = \"{home}\"\n{KEYS}"), 1)).is_ok(),
            "{home}"
        );
    }
    let demo = LEAST.replacen(URL, "url = \"http://localhost:8080\"\n", 1).replacen(KEYS, &proxied, 1);
    assert!(settings(&demo).unwrap_err().to_string().contains("open to others while `url` is plain http"));
}

#[test]
fn proxies_are_ranges_and_never_everybody() {
    for (wrong, says) in [("0.0.0.0/0", "is everybody"), ("proxy", "not a range"), ("10.1.0.0/8", "write `10.0.0.0/8`")]
    {
        let said = fault_of(KEYS, &format!("[server]\ntrusted_proxies = [\"{wrong}\"]\n{KEYS}"));
        assert!(said.contains(says), "{said}");
    }
}

#[test]
fn certificate_and_key_come_together_and_are_there() {
    let folder = Folder::new("tls");
    folder.write("tls.crt", "x");
    folder.write("tls.key", "x");
    let crt = folder.path().join("tls.crt");
    let key = folder.path().join("tls.key");
    let both = format!("[server]\nlisten = \"0.0.0.0:443\"\ntls_cert = {crt:?}\ntls_key = {key:?}\n{KEYS}");
    assert_eq!(settings(&LEAST.replacen(KEYS, &both, 1)).unwrap().server.tls.unwrap().key, key);
    let one = format!("[server]\nlisten = \"0.0.0.0:443\"\ntls_cert = {crt:?}\n{KEYS}");
    assert!(fault_of(KEYS, &one).contains("`tls_cert` without `tls_key` → add `tls_key`"));
    let absent = format!("[server]\ntls_cert = {crt:?}\ntls_key = \"absent\"\n{KEYS}");
    assert!(fault_of(KEYS, &absent).contains("/etc/countersign/absent`, where there is no file"));
}

#[test]
fn signing_keys_change_within_bounds() {
    let terms = |typed: &str| settings(&LEAST.replacen(KEYS, &format!("{KEYS}{typed}"), 1)).unwrap().keys.terms;
    assert_eq!(terms(""), crate::domain::keys::Terms::default());
    let chosen = terms("rotate_every = \"90d\"\npublish_before = \"2h\"\n");
    assert_eq!((chosen.rotate_every.as_secs(), chosen.publish_before.as_secs()), (90 * 86_400, 7_200));
    let fault = |typed: &str| fault_of(KEYS, &format!("{KEYS}{typed}\n"));
    assert!(fault("rotate_every = \"91d\"").contains("`keys.rotate_every` is `91d`; 2 days to 90 days are possible"));
    assert!(fault("rotate_every = \"1d\"").contains("are possible"));
    assert!(fault("publish_before = \"1h\"").contains("`keys.publish_before` is `1h`; 2 h to 7 days are possible"));
    assert!(fault("publish_before = \"8d\"").contains("are possible"));
    let fault = fault("rotate_every = \"2d\"\npublish_before = \"25h\"");
    assert!(
        fault.contains("`keys.publish_before` (25 h) is more than half of `keys.rotate_every` (2 days)"),
        "{fault}"
    );
}

#[test]
fn keys_and_mark_must_be_said() {
    assert!(fault_of("log_key_file = \"keys/log-key\"\n", "").contains("no log key"));
    assert!(fault_of("master_key_file = \"keys/master-key\"\n", "").contains("no master key"));
    let both = "master_key_file = \"a\"\nmaster_key_command = \"b\"\n";
    assert!(fault_of("master_key_file = \"keys/master-key\"\n", both).contains("keep one of the two"));
    let command = "master_key_command = \"print-key\"\n";
    assert!(fault_of("master_key_file = \"keys/master-key\"\n", command).contains("`log.high_water_mark` is missing"));
    let marked = LEAST.replacen("master_key_file = \"keys/master-key\"\n", command, 1).replacen(
        "[[issuer]]",
        "[log]\nhigh_water_mark = \"/mark\"\n[[issuer]]",
        1,
    );
    let marked = settings(&marked).unwrap();
    assert_eq!(marked.log.high_water_mark, Path::new("/mark"));
    assert!(!format!("{marked:?}").contains("print-key"), "a command may carry a credential");
}

#[test]
fn issuers_are_exact_distinct_and_never_everybody() {
    for (wrong, says) in [
        ("https://gitlab.example.com/", "no slash at the end"),
        ("https://gitlab.example.com?x", "more than an issuer"),
        ("https://u@gitlab.example.com", "more than an issuer"),
        ("http://gitlab.example.com", "is not https"),
        ("http://localhost:1", "is not https"),
        ("https://GitLab.example.com", "write `https://gitlab.example.com`"),
        ("gitlab.example.com", "is not a URL"),
        ("https://gitlab.com", "add `projects` or `namespaces`"),
        ("https://sign.example.com", "our own `url`"),
    ] {
        let said = fault_of(ISSUER, &format!("url = \"{wrong}\"\n"));
        assert!(said.contains(says), "{wrong}: {said}");
    }
    for (added, says) in [
        ("projects = []\n", "admits nobody"),
        ("projects = [\"shop/api\"]\n", "is not an id"),
        ("namespaces = [\"*\"]\n", "is not an id"),
        ("legacy = [\"CI_JOB_JWT_V3\"]\n", "did you mean `CI_JOB_JWT"),
        ("legacy = [\"JWT\"]\n", "are possible"),
        ("identity_provider = \"\"\n", "is no name of a provider"),
        ("identity_provider = \"counter sign\"\n", "is no name of a provider"),
        ("stale_use = \"30d\"\n", "0 s to 7 days"),
        ("jwks_host = \"https://keys.example.com/jwks\"\n", "is not a host"),
        ("jwks_host = \"\"\n", "is not a host"),
        ("jwks_host = \"keys.example.com:443\"\n", "is not a host"),
        ("[[issuer]]\nname = \"gitlab\"\nurl = \"https://other.example.com\"\n", "a second issuer named `gitlab`"),
        ("[[issuer]]\nname = \"other\"\nurl = \"https://gitlab.example.com\"\n", "a second issuer with"),
        ("[[issuer]]\nname = \"Other\"\nurl = \"https://other.example.com\"\n", "`Other` is not an issuer name"),
    ] {
        assert!(fault_of(ISSUER, &format!("{ISSUER}{added}")).contains(says), "{added}");
    }
    assert!(
        fault_of("[[issuer]]\nname = \"gitlab\"\nurl = \"https://gitlab.example.com\"\n", "").contains("no issuer")
    );
    let shared = LEAST.replacen("https://gitlab.example.com\"\n", "https://gitlab.com\"\nnamespaces = [\"9001\"]\n", 1);
    assert_eq!(settings(&shared).unwrap().issuers[0].namespaces.as_deref().unwrap(), ["9001"]);
}

#[test]
fn attack_098_limits_and_sizes_have_bounds() {
    for (added, says) in [
        ("[limits]\nrefused_per_minute = 0\n", "at least 1"),
        ("[limits]\nopen_requests_per_rule = -1\n", "at least 1"),
        ("[limits]\nmax_token_age = \"2d\"\n", "1 min to 24 h"),
        ("[limits]\nmax_token_age = \"1 hour\"\n", "not a duration"),
        ("[server]\nwait_limit = \"0s\"\n", "1 s to 5 min"),
        ("[database]\nmax_size = \"1MiB\"\n", "too small"),
        ("[database]\nmax_size = \"lots\"\n", "not a size"),
        ("[database]\nmax_size = \"99999999999TiB\"\n", "not a size"),
        ("[log]\norigin = \"a b\"\n", "log.origin"),
        ("[people]\ncontact = \"\"\n", "people.contact"),
        ("[session]\nidle = \"25h\"\n", "5 min to 24 h"),
        ("[session]\nabsolute = \"1m\"\n", "15 min to 7 days"),
        ("[people]\ndelay = \"10m\"\n", "60 min to 14 days"),
        ("[people]\ndelay = \"15d\"\n", "60 min to 14 days"),
        ("[people]\nrecovery_signatures = 0\n", "at least 1"),
        ("[people]\nrecovery_signatures = 11\n", "1 to 10"),
        ("[people]\nrule_signatures = 0\n", "at least 1"),
        ("[people]\nrule_signatures = 11\n", "1 to 10"),
        ("[notify]\nwebhooks = [\"https://hooks.example.com/x\"]\n", "without `notify.secret_file`"),
        ("[notify]\nsecret_file = \"absent\"\n", "nobody to tell"),
        ("[notify]\nwebhooks = [\"http://hooks.example.com/secret\"]\nsecret_file = \"x\"\n", "address 1 of"),
    ] {
        assert!(fault_of(KEYS, &format!("{added}{KEYS}")).contains(says), "{added}");
    }
    let webhooks: Vec<_> = (0..=notify::MAX_WEBHOOKS).map(|n| format!("\"https://hooks.example.com/{n}\"")).collect();
    let webhooks = webhooks.join(", ");
    let many = format!("[notify]\nwebhooks = [{webhooks}]\nsecret_file = \"x\"\n{KEYS}");
    let refused = settings(&LEAST.replacen(KEYS, &many, 1)).unwrap_err();
    assert!(
        refused.faults.iter().any(|fault| fault.to_string().contains("11 addresses; 10 are the most")),
        "{refused:?}"
    );
    assert_eq!(parse_size("20GiB"), Some(20 << 30));
}

#[test]
fn all_faults_are_told_at_once_in_the_order_of_the_file() {
    let error = settings("url = \"http://x\"\n[server]\nlisten = \"x\"\n[[issuer]]\nname = \"A\"\n").unwrap_err();
    let said: Vec<_> = error.faults.iter().map(ToString::to_string).collect();
    assert_eq!(said.len(), 6, "{said:#?}");
    assert!(said[0].contains(":1: ") && said[1].contains(":3: "), "{said:#?}");
    assert!(error.faults.iter().all(|fault| !fault.cure.is_empty()));
}

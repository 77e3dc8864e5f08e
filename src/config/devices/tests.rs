use std::path::Path;

use super::*;

/// The faults of a configuration with these lines at its end, in a folder that has the files `a` and `b`.
fn checked(lines: &str) -> Result<DeviceSettings, Vec<String>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/config/devices");
    let head = "url = \"https://sign.example.com\"\n[keys]\nmaster_key_file = \"m\"\nlog_key_file = \"l\"\n\
                [[issuer]]\nname = \"gitlab\"\nurl = \"https://gitlab.example.com\"\n";
    let text = format!("{head}{}", lines.replace("FILE", "tests.rs"));
    match crate::config::examine(&folder.join("countersign.toml"), &text) {
        Ok(settings) => Ok(settings.devices),
        Err(error) => Err(error.faults.iter().map(|fault| format!("{fault}; {}", fault.cure)).collect()),
    }
}

fn fault(lines: &str) -> String {
    checked(lines).unwrap_err().join("\n")
}

const METADATA: &str = "[metadata]\nblob_file = \"FILE\"\nroot_file = \"FILE\"\n";

#[test]
fn everything_can_be_said() {
    let settings = checked(&format!(
        "{METADATA}[enrolment]\ndevice_policy = \"production\"\ntrust_unattested_uv = true\n\
         [[attestation_root]]\nname = \"Our CA\"\nformat = \"packed\"\nfile = \"FILE\"\n\
         aaguids = [\"2fc0579f-8113-47ea-b116-bb5a8db9202a\"]\n\
         [[device_policy]]\nname = \"production\"\nattestation = \"required\"\nsynced = false\nroaming = true\n\
         certification = \"L1plus\"\nfips = 2\nkey_protection = [\"hardware\"]\nverification = [\"passcode_external\"]\n\
         groups = [\"release-managers\"]\n"
    ))
    .unwrap();
    assert!(settings.trust_unattested_uv && settings.metadata.is_some());
    assert_eq!(settings.enrolment.as_deref(), Some("production"));
    assert_eq!((settings.roots.len(), settings.files().count()), (1, 3));
    let (policy, groups) = &settings.policies[0];
    assert!(policy.attestation && policy.roaming && !policy.synced);
    assert_eq!((policy.certification, policy.fips), (Some(Certification::L1Plus), Some(2)));
    assert_eq!(groups.len(), 1);
    assert_eq!(checked("").unwrap(), DeviceSettings::default());
}

#[test]
fn attack_053_a_policy_that_only_the_clients_word_could_meet_is_refused_at_load() {
    for demand in [
        "aaguids = [\"2fc0579f-8113-47ea-b116-bb5a8db9202a\"]",
        "roaming = true",
        "synced = false",
        "certification = \"L1\"",
        "fips = 1",
        "key_protection = [\"hardware\"]",
        "verification = [\"passcode_external\"]",
    ] {
        let lines = format!("{METADATA}[[device_policy]]\nname = \"p\"\n{demand}\n");
        assert!(fault(&lines).contains("attestation = \"required\""), "{demand}");
        assert!(checked(&format!("{lines}attestation = \"required\"\n")).is_ok(), "{demand}");
    }
    let unfounded = "[[device_policy]]\nname = \"p\"\nattestation = \"required\"\n";
    assert!(fault(unfounded).contains("nothing vouches for any maker"));
}

#[test]
fn what_cannot_be_meant_is_refused() {
    assert!(fault("[metadata]\nblob_file = \"FILE\"\n").contains("GlobalSign"));
    assert!(fault("[metadata]\nroot_file = \"FILE\"\n").contains("mds.fidoalliance.org"));
    assert!(fault("[enrolment]\ndevice_policy = \"prod\"\n").contains("no device policy"));
    let policy =
        |rest: &str| fault(&format!("{METADATA}[[device_policy]]\nname = \"p\"\nattestation = \"required\"\n{rest}"));
    assert!(policy("aaguids = [\"yubikey\"]\n").contains("no AAGUID"));
    assert!(policy("aaguids = [\"01020304-0506-0708-0102-030405060708\"]\n").contains("everybody has"));
    assert!(policy("aaguids = []\n").contains("1 to"));
    let models = vec!["\"2fc0579f-8113-47ea-b116-bb5a8db9202a\""; MAX_POLICY_AAGUIDS + 1].join(", ");
    assert!(policy(&format!("aaguids = [{models}]\n")).contains("1 to 200 models"));
    let many: Vec<_> = (0..=MAX_POLICIES).map(|n| format!("[[device_policy]]\nname = \"p{n}\"\n")).collect();
    assert!(fault(&many.concat()).contains("101 of [[device_policy]]; 100 is the most"));
    assert!(policy("certification = \"L9\"\n").contains("no level"));
    for level in ["0", "5", "-1", "300"] {
        assert!(policy(&format!("fips = {level}\n")).contains("no level of FIPS 140"), "{level}");
    }
    assert!(policy("key_protection = [\"steel\"]\n").contains("no word"));
    assert!(policy("groups = [\"No Group!\"]\n").contains("groups"));
    assert!(policy("[[device_policy]]\nname = \"p\"\n").contains("a second device policy"));
    assert!(fault("[[device_policy]]\nname = \"\"\n").contains("1 to"));
    assert!(fault("[[device_policy]]\nname = \"p\"\nattestation = \"maybe\"\n").contains("`attestation` is `maybe`"));
    let root = |rest: &str| fault(&format!("[[attestation_root]]\nname = \"r\"\nfile = \"FILE\"\n{rest}"));
    assert!(root("format = \"packed\"\n").contains("names no models"));
    assert!(root("format = \"android-key\"\n").contains("revoked certificates"));
    assert!(root("format = \"none\"\n").contains("not a format"));
    assert!(fault("[[attestation_root]]\nname = \"r\"\nformat = \"tpm\"\n").contains("without `file`"));
}

#[test]
fn metadata_is_fetched_only_where_it_is_said_and_then_need_not_be_there() {
    let fetched = |rest: &str| {
        checked(&format!("[metadata]\nblob_file = \"new.jwt\"\nroot_file = \"FILE\"\n{rest}")).map(|settings| {
            let files = settings.metadata.unwrap();
            (files.blob.file_name().unwrap().to_owned(), files.fetch)
        })
    };
    let (blob, fetch) = fetched("fetch = true\nca_file = \"FILE\"\n").unwrap();
    assert_eq!(blob, "new.jwt");
    let fetch = fetch.unwrap();
    assert_eq!(fetch.url.as_str(), "https://mds3.fidoalliance.org/");
    assert!(fetch.ca_file.is_some() && !fetch.allow_private);
    for off in ["", "fetch = false\n"] {
        assert!(fetched(off).unwrap_err().concat().contains("there is no file"), "{off}");
    }
    assert!(checked(METADATA).unwrap().metadata.unwrap().fetch.is_none());
    for said in ["url = \"https://mirror.example.com/\"", "allow_private = true", "ca_file = \"FILE\""] {
        assert!(fault(&format!("{METADATA}{said}\n")).contains("fetch = true"), "{said}");
    }
    for wrong in ["http://mds3.fidoalliance.org/", "https://a:b@example.com/", "mirror", "file:///etc/passwd"] {
        let said = format!("{METADATA}fetch = true\nurl = \"{wrong}\"\n");
        assert!(fault(&said).contains("not an https URL"), "{wrong}");
    }
    let elsewhere = "[metadata]\nfetch = true\nblob_file = \"nowhere/new.jwt\"\nroot_file = \"FILE\"\n";
    assert!(fault(elsewhere).contains("make the folder"));
    assert!(fault("[metadata]\nfetch = true\nblob_file = \"new.jwt\"\n").contains("GlobalSign"));
}

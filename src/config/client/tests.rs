//! `[[client]]`, each key wrong in turn.
//! In: stanzas. Out: settings, or the fault with its cure.
//! Implements the tests of `config::client`.
//! Never touches a file outside the repository.

use std::path::Path;

use super::*;

const WHOLE: &str = "id = \"grafana\"\nname = \"Grafana\"\nauth = \"client_secret_basic\"\n\
    secret_sha256 = [\"21fa0096ea8489653508e071ff514695a8e6ec705279416f5d2ffd3eda232891\"]\n\
    redirect_uris = [\"https://grafana.example.com/login/generic_oauth\"]\n";

fn checked(stanza: &str) -> Result<Vec<ClientSettings>, String> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/config");
    let head = "url = \"https://sign.example.com\"\n[keys]\nmaster_key_file = \"m\"\nlog_key_file = \"l\"\n\
                [[issuer]]\nname = \"gitlab\"\nurl = \"https://gitlab.example.com\"\n\
                [[device_policy]]\nname = \"mild\"\nattestation = \"optional\"\n[[client]]\n";
    match crate::config::examine(&folder.join("countersign.toml"), &format!("{head}{stanza}")) {
        Ok(settings) => Ok(settings.clients),
        Err(error) => {
            let told: Vec<_> = error.faults.iter().map(|fault| format!("{fault}; {}", fault.cure)).collect();
            Err(told.join("\n"))
        }
    }
}

fn with(line: &str) -> Result<Client, String> {
    let key = line.split(' ').next().unwrap();
    let kept: Vec<_> = WHOLE.lines().filter(|old| old.split(' ').next() != Some(key)).collect();
    let kept = kept.join("\n");
    checked(&format!("{kept}\n{line}\n")).map(|mut clients| clients.remove(0).client)
}

#[test]
fn a_client_of_five_lines_has_careful_defaults() {
    let client = checked(WHOLE).unwrap().remove(0).client;
    assert_eq!(client.grants, BTreeSet::from([GrantType::AuthorizationCode]));
    assert_eq!(client.scopes.to_string(), "openid");
    assert_eq!((client.acr, client.consent, client.alg), (Acr::Phr, Consent::NotAsked, TokenAlg::Rs256));
    assert_eq!(client.response_modes, BTreeSet::from([ResponseMode::Query]));
    assert_eq!((client.par, client.dpop, client.native, client.groups), (false, false, false, None));
    assert_eq!(client.lifetimes.access_token, time::ACCESS_TOKEN);
}

#[test]
fn attack_063_people_are_asked_about_a_client_that_another_program_could_be() {
    let native =
        "id = \"cli\"\nname = \"CLI\"\nauth = \"none\"\nnative = true\nredirect_uris = [\"http://127.0.0.1/cb\"]\n";
    let consent = |stanza: &str| checked(stanza).unwrap().remove(0).client.consent;
    assert_eq!(consent(native), Consent::Once);
    assert_eq!(consent(&format!("{native}consent = \"none\"\n")), Consent::NotAsked, "the operator answers for it");
    assert_eq!(consent(&format!("{native}consent = \"always\"\n")), Consent::Always);
    let web = native.replace("native = true\n", "").replace("http://127.0.0.1", "https://cli.example.com");
    assert_eq!(consent(&web), Consent::NotAsked);
    assert_eq!(consent(&format!("{WHOLE}native = true\n")), Consent::NotAsked, "it proves who it is");
}

#[test]
fn every_key_is_read() {
    let more = "grants = [\"authorization_code\", \"refresh_token\", \"client_credentials\"]\n\
        scopes = [\"openid\", \"groups\", \"offline_access\", \"api:read\"]\nresources = [\"https://api.example.com\"]\n\
        serves = [\"https://serves.example.com\"]\n\
        groups = [\"sre\"]\nacr = \"phrh\"\ndevice_policy = \"mild\"\nconsent = \"once\"\npar = true\ndpop = true\n\
        alg = \"ES256\"\nresponse_modes = [\"query\", \"form_post\"]\n\
        post_logout_redirect_uris = [\"https://grafana.example.com/\"]\n\
        backchannel_logout_uri = \"https://grafana.example.com/logout\"\naccess_token_lifetime = \"5m\"\n\
        refresh_lifetime = \"1h\"\noffline_lifetime = \"7d\"\nlogo_file = \"client.rs\"\n";
    let found = checked(&format!("{WHOLE}{more}")).unwrap().remove(0);
    let client = found.client;
    assert!(client.par && client.dpop && found.logo_file.is_some());
    assert_eq!(client.groups.unwrap().len(), 1);
    assert_eq!(client.device_policy.unwrap().name, "mild");
    assert_eq!(client.lifetimes.offline.as_secs(), 7 * 86_400);
    assert_eq!(client.resources[0].as_str(), "https://api.example.com");
}

#[test]
fn a_client_for_devices_needs_no_address() {
    let device = "urn:ietf:params:oauth:grant-type:device_code";
    let stanza = format!("id = \"tv\"\nname = \"TV\"\nauth = \"none\"\ngrants = [\"{device}\", \"refresh_token\"]\n");
    let client = checked(&stanza).unwrap().remove(0).client;
    assert!(client.may(GrantType::DeviceCode) && client.signs_people_in() && client.redirect_uris.is_empty());
    assert!(!checked(WHOLE).unwrap().remove(0).client.may(GrantType::DeviceCode), "off by default");
    let told = with("grants = [\"device_code\"]").unwrap_err();
    assert!(told.contains("`device_code` is no grant") && told.contains(device), "{told}");
}

#[test]
fn each_fault_has_its_sentence_and_its_cure() {
    for (line, told) in [
        ("id = \"Grafana\"", "is not a client id"),
        ("id = \"gitlab\"", "is the name of an issuer"),
        ("id = \"sign.example.com\"", "own host"),
        ("name = \"\"", "1 to 100 characters"),
        ("auth = \"client_secret_jwt\"", "no way in which clients prove"),
        ("auth = \"none\"", "wants no secret"),
        ("auth = \"private_key_jwt\"", "without `jwks_file`"),
        ("jwks_file = \"client.rs\"", "is not \"private_key_jwt\""),
        ("secret_sha256 = []", "has 0 values"),
        ("secret_sha256 = [\"cs_typed\"]", "never the secret"),
        ("redirect_uris = []", "no `redirect_uris`"),
        ("redirect_uris = [\"http://grafana.example.com/\"]", "is plain http"),
        ("redirect_uris = [\"https://a.example/\", \"https://a.example/\"]", "twice"),
        ("grants = []", "empty list of grants"),
        ("grants = [\"password\"]", "no grant of this server"),
        ("grants = [\"refresh_token\"]", "comes of nothing else"),
        ("grants = [\"client_credentials\"]", "nobody signs in"),
        ("scopes = [\"openid profile\"]", "quotes of its own"),
        ("scopes = [\"a\\\"b\"]", "is no scope"),
        ("scopes = [\"offline_access\"]", "no refresh tokens"),
        ("resources = [\"api\"]", "no absolute URI"),
        ("resources = [\"https://api.example.com/#x\"]", "no absolute URI"),
        ("groups = []", "lets nobody in"),
        ("groups = [\"SRE\"]", "is not a group name"),
        ("acr = \"mfa\"", "write \"phr\" or \"phrh\""),
        ("device_policy = \"mil\"", "did you mean `mild`?"),
        ("consent = \"never\"", "write \"none\""),
        ("alg = \"HS256\"", "write \"RS256\""),
        ("response_modes = [\"fragment\"]", "names no mode"),
        ("access_token_lifetime = \"2h\"", "are possible"),
        ("backchannel_logout_uri = \"http://grafana.example.com/\"", "is plain http"),
        ("logo_file = \"none.png\"", "no file"),
    ] {
        let error = with(line).unwrap_err();
        assert!(error.contains(told), "{line}: {error}");
        assert!(!error.contains("cs_typed"), "{error}");
    }
    let twice = checked(&format!("{WHOLE}[[client]]\n{WHOLE}")).unwrap_err();
    assert!(twice.contains("a second client"), "{twice}");
}

#[test]
fn lists_addresses_and_times_have_their_limits() {
    for (key, most, before, after) in [
        ("secret_sha256", MAX_CLIENT_SECRETS, "5".repeat(61).as_str(), ""),
        ("redirect_uris", client_uris::MAX_REDIRECT_URIS, "https://grafana.example.com/", "/cb"),
        ("resources", MAX_CLIENT_RESOURCES, "https://api.example.com/", ""),
        ("serves", MAX_CLIENT_RESOURCES, "https://api.example.com/", ""),
        ("groups", MAX_CLIENT_GROUPS, "g", ""),
    ] {
        let list = |count: usize| {
            let items: Vec<_> = (100..100 + count).map(|n| format!("\"{before}{n}{after}\"")).collect();
            with(&format!("{key} = [{}]", items.join(", ")))
        };
        assert!(list(most).is_ok(), "{key}");
        assert!(list(most + 1).unwrap_err().contains(&most.to_string()), "{key}");
    }
    let long = |bytes: usize| with(&format!("redirect_uris = [\"https://a.example/{}\"]", "a".repeat(bytes - 18)));
    assert!(long(client_uris::MAX_REDIRECT_URI_BYTES).is_ok());
    assert!(long(client_uris::MAX_REDIRECT_URI_BYTES + 1).unwrap_err().contains("is no URI"));
    for (key, least, most) in [
        ("access_token_lifetime", time::ACCESS_TOKEN_LEAST, time::ACCESS_TOKEN_MOST),
        ("refresh_lifetime", time::REFRESH_LEAST, time::REFRESH_MOST),
        ("offline_lifetime", time::REFRESH_LEAST, time::OFFLINE_MOST),
    ] {
        let lives = |seconds: u64| with(&format!("{key} = \"{seconds}s\""));
        assert!(lives(least.as_secs()).is_ok() && lives(most.as_secs()).is_ok(), "{key}");
        assert!(lives(least.as_secs() - 1).is_err() && lives(most.as_secs() + 1).is_err(), "{key}");
    }
}

#[test]
fn there_are_so_many_clients_and_no_more() {
    let many = |count: usize| {
        let one = |n: usize| {
            format!("id = \"c{n}\"\nname = \"C\"\nauth = \"none\"\nredirect_uris = [\"https://c{n}.example/\"]\n")
        };
        checked(&(0..count).map(one).collect::<Vec<_>>().join("[[client]]\n"))
    };
    assert_eq!(many(MAX_CLIENTS).unwrap().len(), MAX_CLIENTS);
    assert!(many(MAX_CLIENTS + 1).unwrap_err().contains("is the most"));
}

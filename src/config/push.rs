//! `[push]`, checked: whether people may be told on their devices, and by whose services.
//! In: what was typed. Out: `PushSettings`, or faults.
//! Implements DESIGN §11 (being told), §12.
//! Never lets a browser name a service that the operator does not.

use serde::Deserialize;

use super::checking::Checking;
use super::settings::PushSettings;
use crate::domain::push::{SERVICES, Service};

/// `[push]`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct PushSource {
    pub(super) enabled: Option<bool>,
    pub(super) services: Option<Vec<String>>,
    pub(super) ca_file: Option<String>,
    pub(super) allow_private: Option<bool>,
}

/// Most push services.
pub const MAX_PUSH_SERVICES: usize = 50;

pub(super) fn check(checking: &mut Checking<'_>, typed: &PushSource) -> Option<PushSettings> {
    let PushSource { enabled, services, ca_file, allow_private } = typed;
    if *enabled != Some(true) {
        if services.is_some() || ca_file.is_some() || allow_private.is_some() {
            let cure = "add `enabled = true`, or take the others out";
            checking.fault("push", "[push] says by whom people are told, and not that they are", cure);
        }
        return None;
    }
    let usual = || SERVICES.iter().map(|text| (*text).to_owned()).collect();
    let named: Vec<String> = services.clone().unwrap_or_else(usual);
    if named.is_empty() || named.len() > MAX_PUSH_SERVICES {
        let text = format!("`push.services` names {}; 1 to {MAX_PUSH_SERVICES} are possible", named.len());
        checking.fault("push.services", text, "leave it out: then the services of today's browsers are talked to");
    }
    let mut services = Vec::new();
    for text in &named {
        if let Some(service) = Service::parse(text) {
            services.push(service);
        } else {
            let what = format!("`{text}` of `push.services` is no host");
            checking.fault("push.services", what, "write \"push.example.com\", or \"*.push.example.com\"");
        }
    }
    let ca_file = checking.existing("push.ca_file", ca_file.as_deref());
    Some(PushSettings { services, ca_file, allow_private: allow_private.unwrap_or(false) })
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn checked(lines: &str) -> Result<Option<PushSettings>, String> {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/config");
        let head = "url = \"https://sign.example.com\"\n[keys]\nmaster_key_file = \"m\"\nlog_key_file = \"l\"\n\
                    [[issuer]]\nname = \"gitlab\"\nurl = \"https://gitlab.example.com\"\n";
        match crate::config::examine(&folder.join("countersign.toml"), &format!("{head}{lines}")) {
            Ok(settings) => Ok(settings.push),
            Err(error) => {
                let told: Vec<_> = error.faults.iter().map(|fault| format!("{fault}; {}", fault.cure)).collect();
                Err(told.join("\n"))
            }
        }
    }

    #[test]
    fn nobody_is_told_on_devices_unless_the_operator_says_so() {
        assert_eq!(checked(""), Ok(None));
        assert_eq!(checked("[push]\nenabled = false\n"), Ok(None));
        let usual = checked("[push]\nenabled = true\n").unwrap().unwrap();
        assert_eq!((usual.services.len(), usual.ca_file, usual.allow_private), (SERVICES.len(), None, false));
        let own = "[push]\nenabled = true\nservices = [\"push.example.com:8443\"]\nca_file = \"push.rs\"\nallow_private = true\n";
        let own = checked(own).unwrap().unwrap();
        assert!(own.services.len() == 1 && own.ca_file.is_some() && own.allow_private);
    }

    #[test]
    fn what_cannot_be_meant_is_refused() {
        for alone in ["services = [\"push.example.com\"]", "ca_file = \"push.rs\"", "allow_private = true"] {
            assert!(checked(&format!("[push]\n{alone}\n")).unwrap_err().contains("enabled = true"), "{alone}");
        }
        let services = |text: &str| checked(&format!("[push]\nenabled = true\nservices = [{text}]\n")).unwrap_err();
        assert!(services("").contains("names 0"));
        assert!(services(&vec!["\"a.example\""; MAX_PUSH_SERVICES + 1].join(", ")).contains("names 51"));
        assert!(services("\"https://push.example.com/x\"").contains("is no host"));
        assert!(checked("[push]\nenabled = true\nca_file = \"none.pem\"\n").unwrap_err().contains("no file"));
    }
}

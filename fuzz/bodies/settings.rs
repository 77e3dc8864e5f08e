//! What operators write.

use std::path::Path;

use countersign::config::examine;
use countersign::domain::canonical::{from_bytes, to_bytes};
use countersign::domain::ids::{Audience, IssuerName};
use countersign::domain::rules::compile::Rules;
use countersign::domain::rules::decide::decide;
use countersign::domain::rules::{Facts, Outcome, Rule};

use super::text;
use super::tokens::JOB;

/// A configuration is read the same twice; what is wrong is said with a place and a cure.
pub fn config(bytes: &[u8]) -> bool {
    let Some(text) = text(bytes) else { return false };
    let file = Path::new("/etc/countersign/countersign.toml");
    let read = examine(file, text);
    assert_eq!(examine(file, text), read);
    if let Err(error) = &read {
        assert!(!error.faults.is_empty());
        for fault in &error.faults {
            assert!(!fault.what.is_empty() && !fault.cure.is_empty(), "{fault}");
        }
    }
    read.is_ok()
}

/// Compiled rules are their canonical form, and deciding by them is total.
pub fn rules(bytes: &[u8]) -> bool {
    let Some(text) = text(bytes) else { return false };
    let issuers = [IssuerName::parse("gitlab").unwrap(), IssuerName::parse("other").unwrap()];
    let loaded = match Rules::compile(&[("rules.toml".to_owned(), text.to_owned())], &issuers, &[]) {
        Ok(loaded) => loaded,
        Err(errors) => {
            let lines = text.split('\n').count();
            assert!(!errors.is_empty());
            for error in errors {
                assert!((1..=lines).contains(&error.line), "{error} is not on one of {lines} lines");
            }
            return false;
        }
    };
    let mut kept: Vec<Rule> = Vec::new();
    for rule in loaded.rules.iter() {
        let canonical = to_bytes(&***rule).unwrap();
        kept.push(from_bytes(&canonical).unwrap());
        assert_eq!(kept.last(), Some(&***rule));
    }
    let again = Rules::from_rules(kept).unwrap();
    assert_eq!((again.digest(), &again), (loaded.rules.digest(), &loaded.rules));
    for audience in ["vault", "sts.amazonaws.com"] {
        let asked = [Audience::parse(audience).unwrap()];
        let ask = || decide(&loaded.rules, &JOB, &asked, &Facts::default(), JOB.issued_at);
        let verdict = ask();
        assert_eq!(verdict, ask());
        if let Outcome::Issue { rule, counted } = verdict.outcome {
            assert!(counted.is_empty() && rule.allow().is_some(), "nobody signed");
        }
    }
    !loaded.rules.is_empty()
}

//! What changed between two versions of a rule.
//! In: the rule that people would have signed under, and the one of that name now. Out: a line a member that differs.
//! Implements DESIGN §4 (a changed digest voids requests).
//! Never judges whether a change matters: the digest does.

use std::collections::BTreeMap;

use serde_json::Value;

use super::Rule;

/// Each member that differs, as `member was this, is that`; one line where the rule is gone.
#[must_use]
pub fn difference(before: &Rule, after: Option<&Rule>) -> Vec<String> {
    let Some(after) = after else { return vec!["there is no rule of that name any more".to_owned()] };
    let (before, after) = (members(before), members(after));
    let mut names: Vec<_> = before.keys().chain(after.keys()).collect();
    names.sort_unstable();
    names.dedup();
    let shown = |value: Option<&String>| value.map_or_else(|| "nothing".to_owned(), Clone::clone);
    names
        .into_iter()
        .filter(|name| before.get(*name) != after.get(*name))
        .map(|name| format!("{name} was {}, is {}", shown(before.get(name)), shown(after.get(name))))
        .collect()
}

/// Every leaf of the canonical form, by the names that lead to it; a list is one value.
fn members(rule: &Rule) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    flatten(&serde_json::to_value(rule).unwrap_or_default(), "", &mut found);
    found
}

fn flatten(value: &Value, at: &str, found: &mut BTreeMap<String, String>) {
    match value {
        Value::Object(members) => {
            for (name, member) in members {
                // `effect` and `allow` are how the rule is kept, not how people write it.
                let path = match (at, name.as_str()) {
                    (_, "effect" | "allow") => at.to_owned(),
                    ("", name) => name.to_owned(),
                    (at, name) => format!("{at}.{name}"),
                };
                flatten(member, &path, found);
            }
        }
        Value::String(text) => {
            found.insert(at.to_owned(), text.clone());
        }
        other => {
            found.insert(at.to_owned(), other.to_string());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::rules::samples::{DEPLOY, rules};

    fn rule(text: &str) -> Rule {
        Rule::clone(rules(text).iter().find(|rule| rule.allow().is_some()).unwrap())
    }

    #[test]
    fn only_what_differs_is_told() {
        let before = rule(DEPLOY);
        assert!(difference(&before, Some(&before)).is_empty());
        let mut after = before.clone();
        if let super::super::Effect::Allow(allow) = &mut after.effect {
            allow.token.lifetime += 60;
            allow.show_approvers = !allow.show_approvers;
        }
        let told = difference(&before, Some(&after));
        assert_eq!(told.len(), 2, "{told:?}");
        assert!(told.iter().any(|line| line.starts_with("token.lifetime was ")), "{told:?}");
        assert_eq!(difference(&before, None).len(), 1);
    }
}

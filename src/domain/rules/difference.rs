//! What changed between two versions of a rule, and between two sets of rules.
//! In: the rule that people would have signed under, and the one of that name now. Out: a line a member that differs.
//! Implements DESIGN §4 (a changed digest voids requests), ATTACKS 100 (admins see what they sign).
//! Never judges whether a change matters: the digest does.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::Rule;
use super::set::{Rules, SealedRule};
use crate::domain::change::OtherRules;
use crate::domain::ids::RuleName;

/// What becomes of one rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fate {
    /// It is new; where it is asked, and a line a member.
    Added(Vec<String>),
    /// It says something else; a line a member that differs, and where it is asked, if that is elsewhere.
    Changed(Vec<String>),
    /// It says the same, and is asked elsewhere; where.
    Moved(Vec<String>),
    /// It is gone; a line a member that it had.
    Removed(Vec<String>),
}

/// The difference between two sets of rules: what becomes of each rule that differs, first of those that are gone, then in
/// the order in which they will be asked. The first rule that fits decides, so that its place is part of what it says.
pub type SetDifference = Vec<(RuleName, Fate)>;

/// What differs between the rules in force and those that are to be.
#[must_use]
pub fn of_sets(before: &Rules, after: &Rules) -> SetDifference {
    let (old, new) = (by_name(before), by_name(after));
    let gone = before.iter().filter(|rule| !new.contains_key(&rule.name));
    let mut difference: Vec<_> = gone.map(|rule| (rule.name.clone(), Fate::Removed(written(rule)))).collect();
    let moved = moved(before, after);
    for (at, rule) in after.iter().enumerate() {
        let place = || match after.iter().nth(at + 1) {
            Some(next) => format!("asked before {:?}", next.name.as_str()),
            None => "asked last".to_owned(),
        };
        let elsewhere = moved.contains(&rule.name);
        let fate = match old.get(&rule.name) {
            None => Fate::Added([vec![place()], written(rule)].concat()),
            Some(known) if known.digest() == rule.digest() && elsewhere => Fate::Moved(vec![place()]),
            Some(known) if known.digest() == rule.digest() => continue,
            Some(known) => {
                let lines = difference_of(known, rule);
                Fate::Changed(if elsewhere { [vec![place()], lines].concat() } else { lines })
            }
        };
        difference.push((rule.name.clone(), fate));
    }
    difference
}

/// The record of a difference, which admins sign.
#[must_use]
pub fn record(difference: &SetDifference, before: &Rules, after: &Rules) -> OtherRules {
    let count = |is: fn(&Fate) -> bool| {
        u32::try_from(difference.iter().filter(|(_, fate)| is(fate)).count()).unwrap_or(u32::MAX)
    };
    OtherRules {
        before: before.digest(),
        after: after.digest(),
        added: count(|fate| matches!(fate, Fate::Added(_))),
        changed: count(|fate| matches!(fate, Fate::Changed(_))),
        moved: count(|fate| matches!(fate, Fate::Moved(_))),
        removed: count(|fate| matches!(fate, Fate::Removed(_))),
    }
}

/// The fewest rules of both sets that stand elsewhere: all but a longest run that kept its order.
fn moved<'a>(before: &'a Rules, after: &'a Rules) -> BTreeSet<&'a RuleName> {
    let places: BTreeMap<_, _> = before.iter().enumerate().map(|(at, rule)| (&rule.name, at)).collect();
    let both: Vec<_> = after.iter().filter_map(|rule| Some((&rule.name, *places.get(&rule.name)?))).collect();
    // For each length, the run that ends earliest: where it ends, and for each member who stands before it.
    let (mut ends, mut previous) = (Vec::<usize>::new(), vec![None; both.len()]);
    for (at, (_, place)) in both.iter().enumerate() {
        let length = ends.partition_point(|end| both.get(*end).is_some_and(|(_, other)| other < place));
        if let Some(slot) = previous.get_mut(at) {
            *slot = length.checked_sub(1).and_then(|last| ends.get(last).copied());
        }
        match ends.get_mut(length) {
            Some(end) => *end = at,
            None => ends.push(at),
        }
    }
    let run = std::iter::successors(ends.last().copied(), |at| previous.get(*at).copied().flatten());
    let stays: BTreeSet<_> = run.collect();
    both.iter().enumerate().filter(|(at, _)| !stays.contains(at)).map(|(_, (name, _))| *name).collect()
}

fn by_name(rules: &Rules) -> BTreeMap<&RuleName, &SealedRule> {
    rules.iter().map(|rule| (&rule.name, rule.as_ref())).collect()
}

/// A line a member, as `member is that`.
fn written(rule: &Rule) -> Vec<String> {
    let members = members(rule).into_iter().filter(|(name, _)| name != "name");
    members.map(|(name, value)| format!("{name} is {value}")).collect()
}

/// Each member that differs, as `member was this, is that`; one line where the rule is gone.
#[must_use]
pub fn difference(before: &Rule, after: Option<&Rule>) -> Vec<String> {
    match after {
        Some(after) => difference_of(before, after),
        None => vec!["there is no rule of that name any more".to_owned()],
    }
}

fn difference_of(before: &Rule, after: &Rule) -> Vec<String> {
    let (before, after) = (members(before), members(after));
    let mut names: Vec<_> = before.keys().chain(after.keys()).collect();
    names.sort_unstable();
    names.dedup();
    names
        .into_iter()
        .filter_map(|name| match (before.get(name), after.get(name)) {
            (before, after) if before == after => None,
            (Some(before), Some(after)) => Some(format!("{name} was {before}, is {after}")),
            (Some(before), None) => Some(format!("{name} was {before}, is gone")),
            (None, after) => Some(format!("{name} is new: {}", after.map_or("", String::as_str))),
        })
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
                    ("", "effect" | "allow") => String::new(),
                    ("", name) => name.to_owned(),
                    (at, name) => format!("{at}.{name}"),
                };
                flatten(member, &path, found);
            }
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

    #[test]
    fn two_sets_differ_by_what_came_went_changed_and_moved() {
        let (deploy, _) = DEPLOY.split_once("[[rule]]\nname = \"never").unwrap();
        let allow = |name: &str, project: &str| deploy.replace("production deploy", name).replace("4711", project);
        let set = |parts: &[String]| rules(&parts.concat());
        let (one, two) = (allow("one", "1"), allow("two", "2"));
        let before = set(&[one.clone(), two.clone()]);
        assert!(of_sets(&before, &before).is_empty());

        let turned = set(&[two.clone(), one.clone()]);
        let difference = of_sets(&before, &turned);
        let [(name, Fate::Moved(lines))] = difference.as_slice() else { panic!("{difference:?}") };
        let record_of = |difference: &SetDifference, after: &Rules| record(difference, &before, after);
        assert!(["one", "two"].contains(&name.as_str()) && lines.len() == 1, "{difference:?}");
        let signed = record_of(&difference, &turned);
        assert_eq!(signed.words(), "put other rules in force (1 moved)");
        assert_eq!((signed.before, signed.after), (before.digest(), turned.digest()));

        let after = set(&[one.replace("count = 1", "count = 2"), allow("three", "3")]);
        let difference = of_sets(&before, &after);
        let told: Vec<_> = difference.iter().map(|(name, fate)| (name.as_str(), fate)).collect();
        assert!(matches!(told[0], ("two", Fate::Removed(lines)) if !lines.is_empty()), "{told:?}");
        assert!(
            matches!(told[1], ("one", Fate::Changed(lines)) if *lines == ["require.approval.count was 1, is 2"]),
            "{told:?}"
        );
        assert!(
            matches!(told[2], ("three", Fate::Added(lines))
                if lines[0] == "asked last" && lines.contains(&"match.job_project_id is \"3\"".to_owned())),
            "{told:?}"
        );
        let words = record_of(&difference, &after).words();
        assert_eq!(words, "put other rules in force (1 added, 1 changed, 1 removed)");
    }

    #[test]
    fn attack_100_a_rule_that_is_renamed_to_stand_first_says_so() {
        let (deploy, _) = DEPLOY.split_once("[[rule]]\nname = \"never").unwrap();
        let named = |name: &str, project: &str| deploy.replace("production deploy", name).replace("4711", project);
        let before = rules(&[named("strict", "1"), named("lenient", "2"), named("other", "3")].concat());
        let after = rules(&[named("lenient too", "2"), named("strict", "1"), named("other", "3")].concat());
        let difference = of_sets(&before, &after);
        let [(gone, Fate::Removed(_)), (new, Fate::Added(lines))] = difference.as_slice() else {
            panic!("{difference:?}")
        };
        assert_eq!((gone.as_str(), new.as_str()), ("lenient", "lenient too"));
        assert_eq!(lines[0], "asked before \"strict\"");
        // Also where it says something else, and stands elsewhere.
        let changed = named("other", "3").replace("count = 1", "count = 2");
        let after = rules(&[changed, named("strict", "1"), named("lenient", "2")].concat());
        let difference = of_sets(&before, &after);
        let [(name, Fate::Changed(lines))] = difference.as_slice() else { panic!("{difference:?}") };
        assert_eq!(name.as_str(), "other");
        assert_eq!(*lines, ["asked before \"strict\"", "require.approval.count was 1, is 2"]);
    }
}

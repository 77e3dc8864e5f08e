//! Compiling: what people typed becomes `Rules`, or every fault with file, line, rule and cure.
//! In: the texts of the rules files, the names of the issuers. Out: rules and warnings, or all errors at once.
//! Implements DESIGN §4.
//! Never drops a rule, never repairs one: one fault and nothing loads.

use std::collections::{BTreeMap, HashMap};
use std::fmt;

use super::conditions::conditions;
use super::source::{self, AwsSource, Source};
use super::{Effect, MAX_RULE, MAX_RULES, MAX_RULES_FILE, MAX_SENTENCE_CHARS, Rule, caution, shadow, terms};
use crate::domain::assurance::policy::DevicePolicy;
use crate::domain::canonical;
use crate::domain::ids::{IssuerName, RuleName};
use crate::domain::nearest::did_you_mean;

pub use super::set::Rules;

/// Rules that loaded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Loaded {
    /// The rules.
    pub rules: Rules,
    /// What people may not have meant.
    pub warnings: Vec<RuleWarning>,
    /// Where each rule was written.
    pub places: BTreeMap<RuleName, Place>,
}

/// Where a rule was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// The file.
    pub file: String,
    /// The line, from 1.
    pub line: usize,
}

/// A fault for which nothing loads.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, thiserror::Error)]
pub struct RuleError {
    /// The file.
    pub file: String,
    /// The line, from 1.
    pub line: usize,
    /// The rule's name, where it has one.
    pub rule: Option<String>,
    /// What is wrong.
    pub what: String,
    /// What to do.
    pub hint: Option<String>,
}

/// Something that loads and may not be meant.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct RuleWarning {
    /// The file.
    pub file: String,
    /// The line, from 1.
    pub line: usize,
    /// The rule's name.
    pub rule: Option<String>,
    /// What may not be meant.
    pub what: String,
    /// What to do.
    pub hint: Option<String>,
}

impl fmt::Display for RuleError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        show(f, (&self.file, self.line), self.rule.as_deref(), &self.what, self.hint.as_deref())
    }
}

impl fmt::Display for RuleWarning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        show(f, (&self.file, self.line), self.rule.as_deref(), &self.what, self.hint.as_deref())
    }
}

fn show(
    f: &mut fmt::Formatter<'_>,
    (file, line): (&str, usize),
    rule: Option<&str>,
    what: &str,
    hint: Option<&str>,
) -> fmt::Result {
    write!(f, "{file}:{line}: ")?;
    if let Some(rule) = rule {
        write!(f, "rule \"{}\": ", rule.escape_debug())?;
    }
    write!(f, "{what}")?;
    hint.map_or(Ok(()), |hint| write!(f, " ({hint})"))
}

/// What was found about one rule.
pub(super) struct Notes<'a> {
    source: &'a Source,
    pub(super) errors: Vec<RuleError>,
    pub(super) warnings: Vec<RuleWarning>,
}

impl<'a> Notes<'a> {
    pub(super) const fn new(source: &'a Source) -> Self {
        Self { source, errors: Vec::new(), warnings: Vec::new() }
    }

    fn name(&self) -> Option<String> {
        self.source.name.as_ref().map(|name| name.value.clone())
    }

    pub(super) fn error(&mut self, line: usize, what: impl Into<String>, hint: impl Into<String>) {
        self.error_maybe(line, what, Some(hint.into()));
    }

    pub(super) fn error_maybe(&mut self, line: usize, what: impl Into<String>, hint: Option<String>) {
        let (file, rule) = (self.source.file.clone(), self.name());
        self.errors.push(RuleError { file, line, rule, what: what.into(), hint });
    }

    /// A key that the rule needs, unless it is written in a form that was refused already.
    pub(super) fn missing(&mut self, path: &str, line: usize, what: &str, hint: &str) {
        if !self.source.has(path) {
            self.error(line, what, hint);
        }
    }

    /// A word that should be one of a few; `None` after noting that it is not.
    pub(super) fn word<T: Copy>(&mut self, what: &str, at: &source::At<String>, known: &[(&str, T)]) -> Option<T> {
        if let Some((_, value)) = known.iter().find(|(word, _)| *word == at.value) {
            return Some(*value);
        }
        let words: Vec<_> = known.iter().map(|(word, _)| *word).collect();
        let hint = did_you_mean(&at.value, words.iter().copied())
            .unwrap_or_else(|| format!("this version knows {}", source::list_of(&words)));
        self.error(at.line, format!("`{what}` is `{}`", at.value.escape_debug()), hint);
        None
    }

    pub(super) fn warning(&mut self, line: usize, what: impl Into<String>, hint: impl Into<String>) {
        let (file, rule) = (self.source.file.clone(), self.name());
        self.warnings.push(RuleWarning { file, line, rule, what: what.into(), hint: Some(hint.into()) });
    }
}

impl Rules {
    /// Compiles the texts of rules files, each with its name, and the device policies that they may name; files count in
    /// the order of their names.
    ///
    /// # Errors
    /// Every fault that was found, in the order of files and lines.
    pub fn compile(
        files: &[(String, String)],
        issuers: &[IssuerName],
        policies: &[DevicePolicy],
    ) -> Result<Loaded, Vec<RuleError>> {
        let (mut errors, mut warnings) = (Vec::new(), Vec::new());
        let mut files: Vec<_> = files.iter().collect();
        files.sort_by(|a, b| a.0.cmp(&b.0));
        let mut sources = Vec::new();
        for (file, text) in files {
            if text.len() > MAX_RULES_FILE {
                let what = format!("the file has {} bytes; {MAX_RULES_FILE} is the most", text.len());
                errors.push(of_file(file, what));
                continue;
            }
            sources.extend(source::read(file, text, &mut errors));
            if sources.len() > MAX_RULES {
                errors.push(of_file(file, format!("there are more than {MAX_RULES} rules")));
                return Err(errors);
            }
        }
        check_names(&sources, &mut errors);
        let mut compiled = Vec::new();
        for source in &sources {
            let mut notes = Notes::new(source);
            if let Some(rule) = compile_rule(source, (issuers, policies), &mut notes) {
                check_size(&rule, source, &mut notes);
                caution::warn(&rule, source, &mut notes);
                compiled.push((rule, source));
            }
            errors.append(&mut notes.errors);
            warnings.append(&mut notes.warnings);
        }
        if errors.is_empty() {
            errors = shadow::shadowed(&compiled);
        }
        if !errors.is_empty() {
            errors.sort();
            errors.dedup();
            return Err(errors);
        }
        let place = |source: &Source| Place { file: source.file.clone(), line: source.line };
        let places = compiled.iter().map(|(rule, source)| (rule.name.clone(), place(source))).collect();
        let rules = Self::from_rules(compiled.into_iter().map(|(rule, _)| rule).collect())
            .map_err(|error| vec![of_file("", error.to_string())])?;
        warnings.sort();
        Ok(Loaded { rules, warnings, places })
    }
}

fn of_file(file: &str, what: String) -> RuleError {
    RuleError { file: file.to_owned(), line: 1, rule: None, what, hint: None }
}

fn check_names(sources: &[Source], errors: &mut Vec<RuleError>) {
    let mut seen: HashMap<&str, &Source> = HashMap::new();
    for source in sources {
        let Some(name) = &source.name else { continue };
        if let Some(first) = seen.insert(&name.value, source) {
            let what = format!("the name is taken by the rule at {}:{}", first.file, first.line);
            let hint = Some("give each rule a name of its own".to_owned());
            let (file, rule) = (source.file.clone(), Some(name.value.clone()));
            errors.push(RuleError { file, line: name.line, rule, what, hint });
        }
    }
}

fn check_size(rule: &Rule, source: &Source, notes: &mut Notes<'_>) {
    let size = canonical::to_bytes(rule).map_or(usize::MAX, |bytes| bytes.len());
    if size > MAX_RULE {
        let what = format!("the rule has {size} bytes in its canonical form; {MAX_RULE} is the most");
        notes.error(source.line, what, "split it: fewer audiences, roles or values a rule");
    }
}

/// The rule, or `None` with an error noted. A rule whose file had faults of form gives errors of its own at most.
fn compile_rule(
    source: &Source,
    (issuers, policies): (&[IssuerName], &[DevicePolicy]),
    notes: &mut Notes<'_>,
) -> Option<Rule> {
    let name = match &source.name {
        None => {
            notes.missing("name", source.line, "the rule has no `name`", "say in a few words what it is for");
            None
        }
        Some(at) => match RuleName::parse(&at.value) {
            Ok(name) => Some(name),
            Err(error) => {
                notes.error_maybe(at.line, error.to_string(), None);
                None
            }
        },
    };
    let conditions = conditions(source, issuers, notes);
    let effect = match &source.deny {
        Some(_) => deny(source, notes).map(Effect::Deny),
        None => terms::allow(source, policies, notes).map(|allow| Effect::Allow(Box::new(allow))),
    };
    let (name, conditions, effect) = (name?, conditions?, effect?);
    let rule = Rule { name, issuer: conditions.issuer, matches: conditions.matches, fork: conditions.fork, effect };
    notes.errors.is_empty().then_some(rule)
}

fn deny(source: &Source, notes: &mut Notes<'_>) -> Option<String> {
    let at = source.deny.as_ref()?;
    let allowing = [
        ("audience", source.audience.as_ref().map(|at| at.line)),
        ("require", source.require.as_ref().map(|at| at.line)),
        ("acr", source.acr.as_ref().map(|at| at.line)),
        ("device_policy", source.device_policy.as_ref().map(|at| at.line)),
        ("token", source.token.as_ref().map(|at| at.line)),
        ("aws", source.aws.as_ref().map(|at: &source::At<AwsSource>| at.line)),
        ("show_approvers", source.show_approvers.as_ref().map(|at| at.line)),
    ];
    for (key, line) in allowing {
        if let Some(line) = line {
            notes.error(line, format!("`{key}` beside `deny`"), "a rule allows or denies; take one of the two out");
        }
    }
    let text = &at.value;
    if text.trim().is_empty() || text.chars().count() > MAX_SENTENCE_CHARS || text.chars().any(char::is_control) {
        let what = format!("`deny` is not a sentence of 1 to {MAX_SENTENCE_CHARS} characters");
        notes.error(at.line, what, "tell the engineer what to do instead");
        return None;
    }
    Some(text.clone())
}

#[cfg(test)]
mod tests;

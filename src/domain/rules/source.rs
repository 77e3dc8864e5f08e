//! Rules as people typed them: every value with its line, nothing judged yet.
//! In: the text of a rules file. Out: `Source`s, and every fault of form at once.
//! Implements DESIGN §4's keys; TOML 1.0.
//! Never knows a key that is not listed here, never stops at the first fault.

use std::collections::BTreeSet;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::compile::RuleError;
use crate::domain::nearest::did_you_mean;

/// A value and the line on which it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct At<T> {
    /// The value.
    pub value: T,
    /// Its line, from 1.
    pub line: usize,
}

/// One `[[rule]]`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Source {
    /// The file that it stands in.
    pub file: String,
    /// The line of `[[rule]]`.
    pub line: usize,
    /// `name`.
    pub name: Option<At<String>>,
    /// `match`.
    pub matches: Option<At<MatchSource>>,
    /// `audience`.
    pub audience: Option<At<Vec<At<String>>>>,
    /// `require`.
    pub require: Option<At<RequireSource>>,
    /// `acr`.
    pub acr: Option<At<String>>,
    /// `device_policy`.
    pub device_policy: Option<At<String>>,
    /// `token`.
    pub token: Option<At<TokenSource>>,
    /// `aws`.
    pub aws: Option<At<AwsSource>>,
    /// `show_approvers`.
    pub show_approvers: Option<At<bool>>,
    /// `deny`.
    pub deny: Option<At<String>>,
    /// Paths of the keys that are written, though perhaps in a form that gave a fault: `match.ref`, `approval.of`.
    pub written: BTreeSet<String>,
}

impl Source {
    /// Whether the key is written, however wrongly.
    #[must_use]
    pub fn has(&self, path: &str) -> bool {
        self.written.contains(path)
    }
}

/// `match = { … }`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct MatchSource {
    /// `issuer`.
    pub issuer: Option<At<String>>,
    /// `fork`.
    pub fork: Option<At<bool>>,
    /// Claims and their patterns.
    pub claims: Vec<(String, At<String>)>,
}

/// `require = …`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RequireSource {
    /// A word such as `none`.
    Word(String),
    /// `{ approval = { … } }`.
    Approval(ApprovalSource),
}

/// `approval = { … }`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ApprovalSource {
    /// `of`.
    pub of: Option<At<Vec<At<String>>>>,
    /// `count`.
    pub count: Option<At<i64>>,
    /// `not`.
    pub not: Option<At<Vec<At<String>>>>,
    /// `within`.
    pub within: Option<At<String>>,
}

/// `token = { … }`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TokenSource {
    /// `lifetime`.
    pub lifetime: Option<At<String>>,
    /// `forward`.
    pub forward: Option<At<Vec<At<String>>>>,
    /// `alg`.
    pub alg: Option<At<String>>,
    /// `sub`.
    pub sub: Option<At<String>>,
}

/// `aws = { … }`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AwsSource {
    /// `audience`.
    pub audience: Option<At<String>>,
    /// `roles`.
    pub roles: Option<At<Vec<At<String>>>>,
    /// `tags`.
    pub tags: Option<At<Vec<At<String>>>>,
    /// `source_identity`.
    pub source_identity: Option<At<String>>,
}

const RULE_KEYS: &[&str] =
    &["name", "match", "audience", "require", "acr", "device_policy", "token", "aws", "show_approvers", "deny"];

/// Reads one file. Faults are added to `faults`; a rule with faults of form is still returned, as far as it goes.
pub fn read(file: &str, text: &str, faults: &mut Vec<RuleError>) -> Vec<Source> {
    let starts = text.bytes().enumerate().filter(|(_, b)| *b == b'\n').map(|(at, _)| at + 1).collect();
    let mut reader = Reader { file, starts, rule: None, faults };
    let (document, errors) = DeTable::parse_recoverable(text);
    if !errors.is_empty() {
        for error in errors {
            let line = error.span().map_or(1, |span| reader.line(span.start));
            reader.fault(line, format!("this is not TOML: {}", error.message().replace('\n', ", ")), None);
        }
        return Vec::new();
    }
    let table = document.get_ref();
    reader.known("a rules file", table, &["rule"]);
    let Some((_, rules)) = table.iter().find(|(key, _)| key.get_ref() == "rule") else { return Vec::new() };
    let DeValue::Array(items) = rules.get_ref() else {
        let line = reader.line(rules.span().start);
        reader.fault(line, "`rule` is not a list of rules", Some("write `[[rule]]`, with two brackets".to_owned()));
        return Vec::new();
    };
    items.iter().map(|item| reader.rule(item)).collect()
}

type Table<'i> = DeTable<'i>;

struct Reader<'a> {
    file: &'a str,
    /// Where the second and every later line begins.
    starts: Vec<usize>,
    rule: Option<String>,
    faults: &'a mut Vec<RuleError>,
}

impl Reader<'_> {
    fn line(&self, offset: usize) -> usize {
        self.starts.partition_point(|start| *start <= offset) + 1
    }

    fn fault(&mut self, line: usize, what: impl Into<String>, hint: Option<String>) {
        let (file, rule) = (self.file.to_owned(), self.rule.clone());
        self.faults.push(RuleError { file, line, rule, what: what.into(), hint });
    }

    fn known(&mut self, place: &str, table: &Table<'_>, keys: &[&str]) {
        for key in table.keys().filter(|key| !keys.contains(&key.get_ref().as_ref())) {
            let name = key.get_ref();
            let hint =
                did_you_mean(name, keys.iter().copied()).unwrap_or_else(|| format!("{place} takes {}", list_of(keys)));
            self.fault(
                self.line(key.span().start),
                format!("unknown key `{}` in {place}", name.escape_debug()),
                Some(hint),
            );
        }
    }

    fn rule(&mut self, item: &Spanned<DeValue<'_>>) -> Source {
        let line = self.line(item.span().start);
        self.rule = None;
        let DeValue::Table(table) = item.get_ref() else {
            self.fault(line, "a rule is not a table", Some("write `[[rule]]`".to_owned()));
            return Source { file: self.file.to_owned(), line, ..Source::default() };
        };
        let name = self.text(table, "name");
        self.rule = name.as_ref().map(|name| name.value.clone());
        self.known("a rule", table, RULE_KEYS);
        Source {
            file: self.file.to_owned(),
            line,
            name,
            matches: self.table(table, "match").map(|at| self.matches(&at)),
            audience: self.texts(table, "audience"),
            require: self.require(table),
            acr: self.text(table, "acr"),
            device_policy: self.text(table, "device_policy"),
            token: self.table(table, "token").map(|at| self.token(&at)),
            aws: self.table(table, "aws").map(|at| self.aws(&at)),
            show_approvers: self.flag(table, "show_approvers"),
            deny: self.text(table, "deny"),
            written: written(table),
        }
    }

    fn matches(&mut self, at: &At<&Table<'_>>) -> At<MatchSource> {
        let mut read = MatchSource {
            issuer: self.text(at.value, "issuer"),
            fork: self.flag(at.value, "fork"),
            claims: Vec::new(),
        };
        for key in at.value.keys() {
            let name = key.get_ref().as_ref();
            if name == "issuer" || name == "fork" {
                continue;
            }
            if let Some(pattern) = self.text(at.value, name) {
                read.claims.push((name.to_owned(), pattern));
            }
        }
        At { value: read, line: at.line }
    }

    fn require(&mut self, table: &Table<'_>) -> Option<At<RequireSource>> {
        let value = table.get("require")?;
        let line = self.line(value.span().start);
        let read = match value.get_ref() {
            DeValue::String(word) => RequireSource::Word(word.to_string()),
            DeValue::Table(require) => {
                self.known("`require`", require, &["approval"]);
                let approval = self.table(require, "approval")?.value;
                self.known("`approval`", approval, &["of", "count", "not", "within"]);
                RequireSource::Approval(ApprovalSource {
                    of: self.texts(approval, "of"),
                    count: self.number(approval, "count"),
                    not: self.texts(approval, "not"),
                    within: self.text(approval, "within"),
                })
            }
            other => {
                let what = format!("`require` is {}", a_kind(other));
                let hint = "write \"none\" or { approval = { of = [\"group\"] } }";
                self.fault(line, what, Some(hint.to_owned()));
                return None;
            }
        };
        Some(At { value: read, line })
    }

    fn token(&mut self, at: &At<&Table<'_>>) -> At<TokenSource> {
        self.known("`token`", at.value, &["lifetime", "forward", "alg", "sub"]);
        let value = TokenSource {
            lifetime: self.text(at.value, "lifetime"),
            forward: self.texts(at.value, "forward"),
            alg: self.text(at.value, "alg"),
            sub: self.text(at.value, "sub"),
        };
        At { value, line: at.line }
    }

    fn aws(&mut self, at: &At<&Table<'_>>) -> At<AwsSource> {
        self.known("`aws`", at.value, &["audience", "roles", "tags", "source_identity"]);
        let value = AwsSource {
            audience: self.text(at.value, "audience"),
            roles: self.texts(at.value, "roles"),
            tags: self.texts(at.value, "tags"),
            source_identity: self.text(at.value, "source_identity"),
        };
        At { value, line: at.line }
    }

    /// A value of the wanted kind, or a fault.
    fn get<'t, 'i, T>(
        &mut self,
        table: &'t Table<'i>,
        key: &str,
        wanted: &str,
        take: impl FnOnce(&'t DeValue<'i>) -> Option<T>,
    ) -> Option<At<T>> {
        let value = table.get(key)?;
        let line = self.line(value.span().start);
        let taken = take(value.get_ref());
        if taken.is_none() {
            let hint = match value.get_ref() {
                DeValue::Integer(number) if wanted == "a string" => Some(format!("write \"{}\"", number.as_str())),
                DeValue::Boolean(flag) if wanted == "a string" => Some(format!("write \"{flag}\"")),
                DeValue::String(text) if wanted.starts_with("a list") => {
                    Some(format!("write [\"{}\"]", text.escape_debug()))
                }
                DeValue::String(text) if wanted == "true or false" => {
                    Some(format!("write {} without quotes", text.escape_debug()))
                }
                _ => None,
            };
            self.fault(line, format!("`{}` is {}, not {wanted}", key.escape_debug(), a_kind(value.get_ref())), hint);
        }
        taken.map(|value| At { value, line })
    }

    fn text(&mut self, table: &Table<'_>, key: &str) -> Option<At<String>> {
        self.get(table, key, "a string", |value| value.as_str().map(str::to_owned))
    }

    fn flag(&mut self, table: &Table<'_>, key: &str) -> Option<At<bool>> {
        self.get(table, key, "true or false", DeValue::as_bool)
    }

    fn number(&mut self, table: &Table<'_>, key: &str) -> Option<At<i64>> {
        self.get(table, key, "a whole number", |value| {
            let number = value.as_integer()?;
            i64::from_str_radix(number.as_str(), number.radix()).ok()
        })
    }

    fn table<'t, 'i>(&mut self, table: &'t Table<'i>, key: &str) -> Option<At<&'t Table<'i>>> {
        self.get(table, key, "a table", |value| match value {
            DeValue::Table(inner) => Some(inner),
            _ => None,
        })
    }

    fn texts(&mut self, table: &Table<'_>, key: &str) -> Option<At<Vec<At<String>>>> {
        let items = self.get(table, key, "a list of strings", DeValue::as_array)?;
        let mut texts = Vec::new();
        for item in items.value {
            let line = self.line(item.span().start);
            match item.get_ref().as_str() {
                Some(text) => texts.push(At { value: text.to_owned(), line }),
                None => self.fault(line, format!("`{key}` holds {}; it takes strings", a_kind(item.get_ref())), None),
            }
        }
        // An empty list is the compiler's to refuse; one that lost its items here was refused above.
        (!texts.is_empty() || items.value.is_empty()).then_some(At { value: texts, line: items.line })
    }
}

fn written(rule: &Table<'_>) -> BTreeSet<String> {
    fn add(prefix: &str, table: &Table<'_>, depth: u8, paths: &mut BTreeSet<String>) {
        for (key, value) in table {
            let key = key.get_ref();
            paths.insert(if prefix.is_empty() { key.to_string() } else { format!("{prefix}.{key}") });
            if let (DeValue::Table(inner), true) = (value.get_ref(), depth > 0) {
                add(key, inner, depth - 1, paths);
            }
        }
    }
    let mut paths = BTreeSet::new();
    add("", rule, 2, &mut paths);
    paths
}

fn a_kind(value: &DeValue<'_>) -> &'static str {
    match value {
        DeValue::String(_) => "a string",
        DeValue::Integer(_) => "a whole number",
        DeValue::Float(_) => "a number",
        DeValue::Boolean(_) => "true or false",
        DeValue::Datetime(_) => "a date",
        DeValue::Array(_) => "a list",
        DeValue::Table(_) => "a table",
    }
}

/// `` `a`, `b` and `c` ``.
pub(super) fn list_of(words: &[&str]) -> String {
    let quoted: Vec<_> = words.iter().map(|word| format!("`{word}`")).collect();
    match quoted.split_last() {
        Some((last, rest)) if !rest.is_empty() => format!("{} and {last}", rest.join(", ")),
        _ => quoted.concat(),
    }
}

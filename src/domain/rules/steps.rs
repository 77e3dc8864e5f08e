//! What rules compare, side by side and texts as numbers: ten thousand rules are asked with little reading of memory.
//! In: sealed rules, once; then a job. Out: whether a rule fits, and after how many comparisons that was known.
//! Implements nothing of its own: it answers as `matching` does in words.
//! Never compares anything but what a rule's conditions say, in their order.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use super::matching::{Condition, View};
use super::set::SealedRule;

/// The number of a text that no rule wants, and of a claim that is not there.
const NOBODYS: u32 = u32::MAX;

/// One comparison.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    Issuer(u32),
    /// A claim, by its row of the inventory, that must be one text.
    Text {
        row: usize,
        wanted: u32,
    },
    /// A claim that must fit a pattern, or have an item that fits; by its position among the patterns.
    Pattern(usize),
    Fork(bool),
    /// The rule means no merge requests.
    NoMergeRequest,
    /// A claim that no job has.
    Never,
}

/// The comparisons of all rules.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Steps {
    /// Every text that must be met exactly.
    numbers: HashMap<String, u32>,
    /// Rows of the inventory of which a text must be met exactly.
    rows: BTreeSet<usize>,
    in_order: Vec<Step>,
    /// Where each rule's begin, and after the last, where they end.
    starts: Vec<usize>,
    patterns: Vec<Condition>,
}

/// A job's texts as the rules' numbers.
pub(super) struct Numbered<'a> {
    view: &'a View<'a>,
    issuer: u32,
    claims: Vec<u32>,
}

impl Steps {
    /// Of rules in their order.
    pub(super) fn of(rules: &[Arc<SealedRule>]) -> Self {
        let (numbers, rows) = (HashMap::new(), BTreeSet::new());
        let mut all = Self { numbers, rows, in_order: Vec::new(), starts: vec![0], patterns: Vec::new() };
        for rule in rules {
            all.add(rule);
            all.starts.push(all.in_order.len());
        }
        all
    }

    fn add(&mut self, rule: &SealedRule) {
        let (places, others) = rule.conditions().split_at(rule.places());
        if let Some(issuer) = &rule.issuer {
            let number = self.number(issuer.as_str());
            self.in_order.push(Step::Issuer(number));
        }
        for condition in places {
            self.add_condition(condition);
        }
        self.in_order.extend(rule.fork.map(Step::Fork));
        if rule.takes_no_merge_request() {
            self.in_order.push(Step::NoMergeRequest);
        }
        for condition in others {
            self.add_condition(condition);
        }
    }

    fn add_condition(&mut self, condition: &Condition) {
        let step = match (condition.row(), condition.text()) {
            (None, _) => Step::Never,
            (Some(row), Some(text)) => {
                self.rows.insert(row);
                Step::Text { row, wanted: self.number(text) }
            }
            (Some(_), None) => {
                self.patterns.push(condition.clone());
                Step::Pattern(self.patterns.len() - 1)
            }
        };
        self.in_order.push(step);
    }

    fn number(&mut self, text: &str) -> u32 {
        // So many texts would not fit into memory, nor into the files that rules are read from.
        let next = u32::try_from(self.numbers.len()).unwrap_or(NOBODYS);
        *self.numbers.entry(text.to_owned()).or_insert(next)
    }

    /// The job in numbers.
    pub(super) fn numbered<'a>(&self, view: &'a View<'a>) -> Numbered<'a> {
        let number = |text: &str| self.numbers.get(text).copied().unwrap_or(NOBODYS);
        let mut claims = vec![NOBODYS; self.rows.last().map_or(0, |last| last + 1)];
        for row in &self.rows {
            if let (Some(place), Some(text)) = (claims.get_mut(*row), view.of_row(*row)) {
                *place = number(text);
            }
        }
        Numbered { view, issuer: number(view.issuer()), claims }
    }

    /// Whether the rule at this position fits, and how many comparisons were made.
    pub(super) fn ask(&self, at: usize, job: &Numbered<'_>) -> (bool, usize) {
        let steps = match (self.starts.get(at), self.starts.get(at + 1)) {
            (Some(from), Some(to)) => self.in_order.get(*from..*to).unwrap_or_default(),
            _ => return (false, 0),
        };
        let mut made = 0;
        for step in steps {
            let passed = match *step {
                Step::Issuer(wanted) => job.issuer == wanted,
                Step::Text { row, wanted } => job.claims.get(row) == Some(&wanted),
                Step::Pattern(at) => self.patterns.get(at).is_some_and(|condition| job.view.meets(condition)),
                Step::Fork(wanted) => job.view.is_fork() == wanted,
                Step::NoMergeRequest if !job.view.is_merge_request() => continue,
                Step::NoMergeRequest | Step::Never => false,
            };
            made += 1;
            if !passed {
                return (false, made);
            }
        }
        (true, made)
    }
}

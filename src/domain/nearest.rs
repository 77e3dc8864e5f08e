//! The known name that a mistyped one most likely meant.
//! In: a word and the names that exist. Out: the nearest, where one is near enough to be worth saying.
//! Implements the optimal string alignment distance (insert, delete, replace, swap of neighbours).
//! Never guesses wildly: more than a third of the letters wrong, and it stays silent.

/// Longest word that is compared; nobody mistypes a longer one by a letter.
const MAX_CHARS: usize = 64;

/// The name of `known` that is nearest to `word`, if it is near.
#[must_use]
pub fn nearest<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let letters = word.chars().count();
    if letters > MAX_CHARS {
        return None;
    }
    let tolerated = (letters / 3).max(1);
    known
        .into_iter()
        .map(|name| (distance(word, name), name))
        .filter(|(distance, _)| *distance <= tolerated)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, name)| name)
}

/// `did you mean …?`, where the word is near one.
#[must_use]
pub fn did_you_mean<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<String> {
    nearest(word, known).map(|meant| format!("did you mean `{meant}`?"))
}

/// How many single-letter edits lie between the two, letter case aside.
fn distance(left: &str, right: &str) -> usize {
    let left: Vec<char> = left.to_lowercase().chars().collect();
    let right: Vec<char> = right.to_lowercase().chars().collect();
    let mut before_last: Vec<usize> = Vec::new();
    let mut last: Vec<usize> = (0..=right.len()).collect();
    for (row, letter) in left.iter().enumerate() {
        let mut current = vec![row + 1];
        for (column, other) in right.iter().enumerate() {
            let at = |line: &[usize], place: usize| line.get(place).copied().unwrap_or(usize::MAX - 1);
            let mut best = (at(&last, column) + usize::from(letter != other))
                .min(at(&last, column + 1) + 1)
                .min(at(&current, column) + 1);
            let swapped = row > 0
                && column > 0
                && left.get(row - 1) == Some(other)
                && right.get(column - 1) == Some(letter)
                && letter != other;
            if swapped {
                best = best.min(at(&before_last, column - 1) + 1);
            }
            current.push(best);
        }
        before_last = std::mem::replace(&mut last, current);
    }
    last.last().copied().unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_of_the_finger_finds_its_name() {
        let known = ["audience", "match", "require", "listen", "trusted_proxies"];
        for (typed, meant) in
            [("audiance", "audience"), ("lisetn", "listen"), ("trusted-proxies", "trusted_proxies"), ("Match", "match")]
        {
            assert_eq!(nearest(typed, known), Some(meant), "{typed}");
        }
        for wild in ["color", "x", "", "a".repeat(1000).as_str()] {
            assert_eq!(nearest(wild, known), None, "{wild}");
        }
    }

    #[test]
    fn distances_are_those_of_the_textbook() {
        assert_eq!(distance("kitten", "sitting"), 3);
        assert_eq!(distance("ab", "ba"), 1);
        assert_eq!(distance("", "abc"), 3);
        assert_eq!(distance("same", "same"), 0);
    }
}

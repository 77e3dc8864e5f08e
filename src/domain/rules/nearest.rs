//! The known word that is nearest to a mistyped one.
//! In: a word, the words there are. Out: the one meant, where it is clear enough.
//! Implements the Levenshtein distance, with swapped neighbours as one edit.
//! Never guesses beyond a third of the letters.

/// Longest word looked at, in bytes.
const MAX_WORD: usize = 64;

/// The known word at the least distance, where that is at most a third of the letters.
#[must_use]
pub fn nearest<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    if word.len() > MAX_WORD {
        return None;
    }
    let allowed = (word.chars().count() / 3).max(1);
    known
        .into_iter()
        .map(|candidate| (edits(word, candidate), candidate))
        .filter(|(edits, _)| *edits <= allowed)
        .min_by_key(|(edits, _)| *edits)
        .map(|(_, candidate)| candidate)
}

/// `did you mean …?`, where the word is near one.
#[must_use]
pub fn did_you_mean<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<String> {
    nearest(word, known).map(|meant| format!("did you mean `{meant}`?"))
}

/// Letters put in, left out, replaced, or swapped with their neighbour.
fn edits(from: &str, to: &str) -> usize {
    let (from, to): (Vec<char>, Vec<char>) = (from.chars().collect(), to.chars().collect());
    let at = |row: &[usize], column: usize| row.get(column).copied().unwrap_or(usize::MAX / 2);
    let (mut above, mut row): (Vec<usize>, Vec<usize>) = (Vec::new(), (0..=to.len()).collect());
    for (line, letter) in from.iter().enumerate() {
        let mut next = vec![line + 1];
        for (column, other) in to.iter().enumerate() {
            let mut best = at(&row, column) + usize::from(letter != other);
            best = best.min(at(&row, column + 1) + 1).min(at(&next, column) + 1);
            let swapped =
                line > 0 && column > 0 && from.get(line - 1) == Some(other) && to.get(column - 1) == Some(letter);
            if swapped {
                best = best.min(at(&above, column - 1) + 1);
            }
            next.push(best);
        }
        above = std::mem::replace(&mut row, next);
    }
    row.last().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slips_are_recognised_and_strangers_are_not() {
        let known = ["name", "match", "audience", "require", "ref_protected"];
        assert_eq!(nearest("audiance", known), Some("audience"));
        assert_eq!(nearest("ref_protectd", known), Some("ref_protected"));
        assert_eq!(nearest("colour", known), None);
        assert_eq!(nearest(&"a".repeat(100_000), known), None);
        assert_eq!(edits("kitten", "sitting"), 3);
        assert_eq!(edits("cuont", "count"), 1);
        assert_eq!(edits("", "abc"), 3);
        assert_eq!(edits("abc", ""), 3);
    }
}

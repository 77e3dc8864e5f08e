//! The known word that is nearest to a mistyped one.
//! In: a word, the words there are. Out: the one meant, where it is clear enough.
//! Implements the Levenshtein distance.
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

fn edits(from: &str, to: &str) -> usize {
    let to: Vec<char> = to.chars().collect();
    let mut row: Vec<usize> = (0..=to.len()).collect();
    for (line, letter) in from.chars().enumerate() {
        let mut diagonal = line;
        let mut left = line + 1;
        for (place, (cell, other)) in row.iter_mut().skip(1).zip(&to).enumerate() {
            let above = *cell;
            let above_left = if place == 0 { line } else { diagonal };
            *cell = (above_left + usize::from(letter != *other)).min(above + 1).min(left + 1);
            diagonal = above;
            left = *cell;
        }
        if let Some(first) = row.first_mut() {
            *first = line + 1;
        }
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
        assert_eq!(edits("", "abc"), 3);
        assert_eq!(edits("abc", ""), 3);
    }
}

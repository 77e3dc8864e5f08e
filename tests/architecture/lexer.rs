//! Splits Rust source into words, marks and literals.
//! In: a file's text. Out: `Token`s with their lines; comments are left out, literals have no text.
//! Implements the lexical structure of the language as far as it hides paths: strings, characters, comments.
//! Never fails: what it does not know is a mark.

/// A word, a mark, or a literal (whose text is empty).
#[derive(Debug, Clone)]
pub struct Token {
    pub text: String,
    pub line: usize,
}

/// What a stretch of text is.
enum Kind {
    Blank,
    Literal,
    Text,
}

/// Splits a text; comments are left out.
pub fn tokens(text: &str) -> Vec<Token> {
    let chars: Vec<char> = text.chars().collect();
    let (mut found, mut start, mut line) = (Vec::new(), 0, 1);
    while start < chars.len() {
        let (kind, end) = next(&chars, start);
        let taken = chars.get(start..end).unwrap_or_default();
        match kind {
            Kind::Blank => {}
            Kind::Literal => found.push(Token { text: String::new(), line }),
            Kind::Text => found.push(Token { text: taken.iter().collect(), line }),
        }
        line += taken.iter().filter(|c| **c == '\n').count();
        start = end;
    }
    found
}

fn at(chars: &[char], index: usize) -> char {
    chars.get(index).copied().unwrap_or('\0')
}

/// The first index from `start` at which `stop` holds.
fn until(chars: &[char], start: usize, stop: impl Fn(char) -> bool) -> usize {
    (start..chars.len()).find(|i| stop(at(chars, *i))).unwrap_or(chars.len())
}

fn in_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

fn next(chars: &[char], start: usize) -> (Kind, usize) {
    match (at(chars, start), at(chars, start + 1)) {
        (c, _) if c.is_whitespace() => (Kind::Blank, start + 1),
        ('/', '/') => (Kind::Blank, until(chars, start, |c| c == '\n')),
        ('/', '*') => (Kind::Blank, after_block(chars, start)),
        ('"', _) => (Kind::Literal, after_string(chars, start, 0, true)),
        ('\'', _) => after_quote(chars, start),
        (':', ':') => (Kind::Text, start + 2),
        (c, _) if in_word(c) => word(chars, start),
        _ => (Kind::Text, start + 1),
    }
}

/// A word, or a literal with a prefix: `b"…"`, `r#"…"#`, `b'…'`; a raw identifier loses its mark.
fn word(chars: &[char], start: usize) -> (Kind, usize) {
    let end = until(chars, start, |c| !in_word(c));
    let text: String = chars.get(start..end).unwrap_or_default().iter().collect();
    let hashes = until(chars, end, |c| c != '#') - end;
    match (text.as_str(), at(chars, end + hashes)) {
        ("r" | "br" | "cr", '"') => (Kind::Literal, after_string(chars, end + hashes, hashes, false)),
        ("b" | "c", '"') if hashes == 0 => (Kind::Literal, after_string(chars, end, 0, true)),
        ("b", '\'') if hashes == 0 => (Kind::Literal, after_quote(chars, end).1),
        ("r", _) if hashes == 1 => (Kind::Blank, end + 1),
        _ => (Kind::Text, end),
    }
}

/// A character, or a lifetime, whose name is no path.
fn after_quote(chars: &[char], start: usize) -> (Kind, usize) {
    if at(chars, start + 1) == '\\' {
        (Kind::Literal, until(chars, start + 3, |c| c == '\'') + 1)
    } else if at(chars, start + 2) == '\'' {
        (Kind::Literal, start + 3)
    } else {
        (Kind::Blank, until(chars, start + 1, |c| !in_word(c)))
    }
}

fn after_block(chars: &[char], start: usize) -> usize {
    let (mut depth, mut i) = (0_usize, start);
    while i < chars.len() {
        match (at(chars, i), at(chars, i + 1)) {
            ('/', '*') => (depth, i) = (depth + 1, i + 2),
            ('*', '/') => (depth, i) = (depth.saturating_sub(1), i + 2),
            _ => i += 1,
        }
        if depth == 0 {
            break;
        }
    }
    i
}

fn after_string(chars: &[char], quote: usize, hashes: usize, escapes: bool) -> usize {
    let mut i = quote + 1;
    while i < chars.len() {
        if at(chars, i) == '\\' && escapes {
            i += 2;
            continue;
        }
        i += 1;
        if at(chars, i - 1) == '"' && (0..hashes).all(|n| at(chars, i + n) == '#') {
            return i + hashes;
        }
    }
    i
}

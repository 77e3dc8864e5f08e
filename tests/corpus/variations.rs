//! Changes of seeds: the same in every run, so that a fault found once is found again.
//! In: the seeds of a target. Out: bytes that are almost one of them.
//! Implements the usual changes of a fuzzer, without its feedback.
//! Never draws chance from the system.

/// Pieces at which parsers stumble.
const PIECES: &[&[u8]] = &[
    b"\"",
    b"\\",
    b"\\u0000",
    b"\\ud800",
    b"\0",
    b"\n",
    b"\r\n",
    b" ",
    b"{",
    b"}",
    b"[",
    b"]",
    b"[[",
    b",",
    b":",
    b".",
    b"..",
    b"=",
    b"&",
    b"+",
    b"%",
    b"%00",
    b"-1",
    b"0",
    b"1e999",
    b"9007199254740993",
    b"18446744073709551615",
    b"null",
    b"true",
    b"\xff",
    b"\xc3\xa9",
    b"\xe2\x80\xae",
    b"\xe2\x80\x94 ",
    b"*",
    b"**",
    b"/",
    b"#",
    b"'''",
    b"\xa0",
    b"\xa1",
    b"\xbf",
    b"\xf6",
    b"\x7f",
    b"AAAA",
    b"____",
    b"https://",
    b"@",
];

/// Longest variation; what is longer is cut.
const LONGEST: usize = 64 * 1024;

/// Variations of some seeds.
pub struct Varied<'a> {
    seeds: Vec<&'a [u8]>,
    state: u64,
}

impl<'a> Varied<'a> {
    /// Variations for a target; its name starts the row of numbers.
    pub fn of(target: &str, seeds: Vec<&'a [u8]>) -> Self {
        let state = target.bytes().fold(0x9e37_79b9_7f4a_7c15, |state: u64, byte| {
            (state ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
        });
        Self { seeds, state: state | 1 }
    }

    /// The next one, and the place of the seed that it comes from.
    pub fn next(&mut self, round: usize) -> (usize, Vec<u8>) {
        let from = round % self.seeds.len();
        let mut bytes = self.seeds[from].to_vec();
        for _ in 0..=self.below(4) {
            self.change(&mut bytes);
        }
        bytes.truncate(LONGEST);
        (from, bytes)
    }

    fn change(&mut self, bytes: &mut Vec<u8>) {
        let at = self.below(bytes.len() + 1);
        let span = at..(at + 1 + self.below(16)).min(bytes.len());
        match self.below(9) {
            0 | 1 if at < bytes.len() => bytes[at] ^= 1 << self.below(8),
            2 if at < bytes.len() => bytes[at] = u8::try_from(self.below(256)).unwrap(),
            3 if at < bytes.len() => drop(bytes.drain(span)),
            4 if at < bytes.len() => {
                let copy = bytes[span].to_vec();
                let to = self.below(bytes.len() + 1);
                bytes.splice(to..to, copy);
            }
            5 => {
                let place = self.below(self.seeds.len());
                let other = self.seeds[place];
                let start = self.below(other.len() + 1);
                let end = (start + self.below(64)).min(other.len());
                bytes.splice(at..at, other[start..end].iter().copied());
            }
            6 if at < bytes.len() => {
                let other = self.below(bytes.len());
                bytes.swap(at, other);
            }
            7 if self.below(8) == 0 => bytes.truncate(at),
            _ => {
                let place = self.below(PIECES.len());
                let piece = PIECES[place];
                let end = if self.below(2) == 0 { at } else { (at + piece.len()).min(bytes.len()) };
                bytes.splice(at..end, piece.iter().copied());
            }
        }
    }

    /// A number below `end`, which is not zero (xorshift64*).
    fn below(&mut self, end: usize) -> usize {
        self.state ^= self.state >> 12;
        self.state ^= self.state << 25;
        self.state ^= self.state >> 27;
        let drawn = self.state.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 32;
        usize::try_from(drawn).unwrap() % end
    }
}

//! What happened: always as a hash, and in words when one seed is looked at.

use std::fmt::Display;

/// What is done with the words.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Telling {
    #[default]
    Nothing,
    Printed,
    /// For the first difference between two runs.
    Kept,
}

/// Everything that happened, in order.
#[derive(Debug, Default)]
pub(crate) struct Trace {
    hash: u64,
    events: u64,
    telling: Telling,
    pub(crate) lines: Vec<String>,
}

impl Trace {
    pub(crate) fn new(telling: Telling) -> Self {
        Trace { telling, ..Trace::default() }
    }

    /// Notes an event: its time, its kind and its bytes count for the hash; the words are made only when wanted.
    pub(crate) fn note<W: Display>(
        &mut self,
        at_ms: u64,
        kind: &str,
        bytes: &[u8],
        words: impl FnOnce() -> W,
    ) {
        self.events += 1;
        self.fold(at_ms);
        kind.bytes().chain(bytes.iter().copied()).for_each(|byte| self.fold(u64::from(byte)));
        let line = || format!("{at_ms:>7} {kind:<10} {}", words());
        match self.telling {
            Telling::Nothing => {}
            Telling::Printed => println!("{}", line()),
            Telling::Kept => self.lines.push(line()),
        }
    }

    fn fold(&mut self, word: u64) {
        self.hash = (self.hash.rotate_left(5) ^ word).wrapping_mul(0x517c_c1b7_2722_0a95);
    }

    /// Two runs with the same hash did the same.
    pub(crate) fn hash(&self) -> (u64, u64) {
        (self.hash, self.events)
    }
}

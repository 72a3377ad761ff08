//! A small seeded generator (SplitMix64): the same seed gives the same run.

use std::fmt::Write;

#[derive(Debug, Clone)]
pub(crate) struct Random {
    state: u64,
}

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        Random { state: seed }
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.state;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// Below `n`; 0 when `n` is 0.
    pub(crate) fn below(&mut self, n: usize) -> usize {
        if n == 0 { 0 } else { (self.next() % n as u64) as usize }
    }

    /// 40 lower-case hex digits: replication ids and EOF tokens.
    pub(crate) fn hex40(&mut self) -> String {
        let mut s = String::with_capacity(48);
        for _ in 0..3 {
            let _ = write!(s, "{:016x}", self.next());
        }
        s.truncate(40);
        s
    }
}

//! Random numbers that a seed reproduces.

/// A small generator (SplitMix64): good enough to choose operations, the same on every machine.
#[derive(Debug, Clone)]
pub struct Rng(u64);

impl Rng {
    /// The same seed gives the same numbers.
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The next 64 bits.
    pub fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `bound`, which must be above 0.
    pub fn below(&mut self, bound: u64) -> u64 {
        assert!(bound > 0, "no number is below 0");
        self.bits() % bound
    }

    /// True in `percent` of 100 cases.
    pub fn chance(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }

    /// One of the items.
    pub fn pick<'a, T>(&mut self, items: &'a [T]) -> &'a T {
        &items[self.below(items.len() as u64) as usize]
    }

    /// Up to `longest` bytes: mostly readable, sometimes any bytes, sometimes a number.
    pub fn value(&mut self, longest: u64) -> Vec<u8> {
        let length = self.below(longest + 1) as usize;
        match self.below(10) {
            0 => (0..length).map(|_| self.bits() as u8).collect(),
            1 => (self.bits() as i64 >> self.below(64)).to_string().into_bytes(),
            _ => (0..length).map(|_| b'a' + self.below(26) as u8).collect(),
        }
    }
}

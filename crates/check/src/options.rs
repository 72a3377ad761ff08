//! What is compared, and how thoroughly.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use command::JsonAs;

use crate::Globs;

/// How values are compared. Type and expiry are compared in every mode.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Mode {
    /// Every value to its last byte.
    Full,
    /// Lengths; small values to the last byte; of longer strings the two ends. The others by their length.
    #[default]
    Outline,
    /// Lengths only.
    Length,
    /// [`Mode::Full`], except for big keys ([`Options::big_key_bytes`]): those as in [`Mode::Outline`].
    Smart,
}

impl Mode {
    /// The word that the command line takes.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Mode::Full => "full",
            Mode::Outline => "outline",
            Mode::Length => "length",
            Mode::Smart => "smart",
        }
    }
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Mode {
    type Err = String;

    fn from_str(word: &str) -> Result<Mode, String> {
        let all = [Mode::Full, Mode::Outline, Mode::Length, Mode::Smart];
        let found = all.into_iter().find(|mode| mode.name() == word);
        found.ok_or_else(|| format!("{word:?} is no mode; there are full, outline, length and smart"))
    }
}

/// What a check does.
#[derive(Debug, Clone)]
pub struct Options {
    /// How values are compared.
    pub mode: Mode,
    /// Commands per second that the source is sent at most; 0: as many as it takes.
    pub qps: u64,
    /// Pages of about 1 000 keys under way at the same time; at least 1.
    pub parallel: usize,
    /// Only keys whose name at the source fits one of these; all where there is none.
    pub filter: Globs,
    /// At most so many keys of each side are looked at; 0: all. The first that the servers list, which is no fair sample.
    pub max_keys: u64,
    /// Bytes (`MEMORY USAGE` at the source; a string's length) above which a key is big in [`Mode::Smart`].
    pub big_key_bytes: u64,
    /// How often a difference has to be seen before it counts, the first time included; at least 2, unless nothing is
    /// written at the source.
    pub rounds: u32,
    /// Pause between two rounds, where no daemon tells how far it is.
    pub interval: Duration,
    /// Least pause between two rounds, after what is waited for. Where members expire through the daemon, what is past its
    /// time has to be gone by then.
    pub pause: Duration,
    /// How far two expiries may be apart.
    pub ttl_tolerance: Duration,
    /// What becomes of JSON documents on the target.
    pub json: JsonAs,
}

impl Default for Options {
    fn default() -> Self {
        Options {
            mode: Mode::default(),
            qps: 0,
            parallel: 4,
            filter: Globs::default(),
            max_keys: 0,
            big_key_bytes: 512 << 10,
            rounds: 3,
            interval: Duration::from_secs(2),
            pause: Duration::from_millis(100),
            ttl_tolerance: Duration::from_secs(1),
            json: JsonAs::default(),
        }
    }
}

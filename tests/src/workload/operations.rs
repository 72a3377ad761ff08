//! Which command comes next.

use super::{Mode, Options, Rng, names};

/// One command.
pub(super) type Command = Vec<Vec<u8>>;

/// Fields or members of one key: few, so that they are overwritten and removed again.
const MEMBERS: u64 = 40;

/// Longest random value in bytes; one value in a hundred is [`LONG`] instead.
const SHORT: u64 = 60;

/// Longest of the long values: beyond what one small read or one packed encoding holds.
const LONG: u64 = 9_000;

/// Hash tags of the keys that are moved into each other; keys of one tag share a slot.
const TAGS: u64 = 12;

/// Draws commands from a seed.
pub(super) struct Generator {
    rng: Rng,
    options: Options,
}

impl Generator {
    pub(super) fn new(options: Options) -> Self {
        Self { rng: Rng::new(options.seed), options }
    }

    /// The database of the next pipeline.
    pub(super) fn database(&mut self) -> u32 {
        *self.rng.pick(&self.options.dbs)
    }

    /// The next command, or a whole transaction.
    pub(super) fn next(&mut self, out: &mut Vec<Command>) {
        if self.rng.chance(3) {
            out.push(command(["MULTI"]));
            for _ in 0..2 + self.rng.below(3) {
                let inner = self.single();
                out.push(inner);
            }
            out.push(command(["EXEC"]));
            return;
        }
        let single = self.single();
        out.push(single);
    }

    fn single(&mut self) -> Command {
        if self.options.short_ttls && self.rng.chance(2) {
            let key = format!("short:{}", self.rng.below(200)).into_bytes();
            let ttl = (50 + self.rng.below(400)).to_string().into_bytes();
            return vec![b"SET".to_vec(), key, self.value(), b"PX".to_vec(), ttl];
        }
        match self.options.mode {
            Mode::Idempotent => self.idempotent(),
            Mode::Full if self.rng.chance(40) => self.idempotent(),
            Mode::Full => self.full(),
            Mode::Counting => self.counting(),
        }
    }

    /// Each effect depends on the command alone, so repeating a run of them in order changes nothing.
    fn idempotent(&mut self) -> Command {
        match self.rng.below(18) {
            0..=3 => vec![b"SET".to_vec(), self.key("s"), self.value()],
            4 => {
                let at = self.far();
                vec![b"SET".to_vec(), self.key("s"), self.value(), b"PXAT".to_vec(), at]
            }
            5 => {
                let mut mset = command(["MSET"]);
                for _ in 0..1 + self.rng.below(4) {
                    mset.extend([self.key("s"), self.value()]);
                }
                mset
            }
            6 | 7 => {
                let mut hset = vec![b"HSET".to_vec(), self.key("h")];
                for _ in 0..1 + self.rng.below(3) {
                    hset.extend([self.member(), self.value()]);
                }
                hset
            }
            8 => vec![b"HDEL".to_vec(), self.key("h"), self.member(), self.member()],
            9 | 10 => vec![b"SADD".to_vec(), self.key("e"), self.member(), self.member()],
            11 => vec![b"SREM".to_vec(), self.key("e"), self.member()],
            12 | 13 => vec![b"ZADD".to_vec(), self.key("z"), self.score(), self.member()],
            14 => vec![b"ZREM".to_vec(), self.key("z"), self.member(), self.member()],
            15 => {
                let name = *self.rng.pick(&["DEL", "UNLINK"]);
                let mut del = command([name]);
                for _ in 0..1 + self.rng.below(3) {
                    let kind = *self.rng.pick(&["s", "h", "e", "z"]);
                    del.push(self.key(kind));
                }
                del
            }
            // Only strings: `PEXPIREAT h`, `HDEL h f` that empties it, `HSET h g` leave no expiry behind, but repeated
            // on the result HDEL no longer empties it, and the expiry stays.
            16 => {
                let at = self.far();
                vec![b"PEXPIREAT".to_vec(), self.key("s"), at]
            }
            _ => vec![b"PERSIST".to_vec(), self.key("s")],
        }
    }

    /// Commands that build on what is there.
    fn full(&mut self) -> Command {
        match self.rng.below(33) {
            0..=3 => vec![b"INCR".to_vec(), self.key("n")],
            4 => vec![b"INCRBY".to_vec(), self.key("n"), self.number(1_000_000)],
            5 => vec![b"DECRBY".to_vec(), self.key("n"), self.number(1_000)],
            6 | 7 => vec![b"APPEND".to_vec(), self.key("a"), self.value()],
            8 => vec![b"SETRANGE".to_vec(), self.key("a"), self.number(200), self.value()],
            9 => vec![b"SETNX".to_vec(), self.key("s"), self.value()],
            10 => vec![b"GETSET".to_vec(), self.key("s"), self.value()],
            11 => vec![b"GETDEL".to_vec(), self.key("s")],
            12 => vec![b"HINCRBY".to_vec(), self.key("hn"), self.member(), self.number(100)],
            13 => vec![b"HSETNX".to_vec(), self.key("h"), self.member(), self.value()],
            14..=16 => {
                let name = *self.rng.pick(&["RPUSH", "LPUSH"]);
                vec![name.into(), self.key("l"), self.value(), self.value()]
            }
            17 | 18 => vec![self.rng.pick(&["LPOP", "RPOP"]).as_bytes().to_vec(), self.key("l")],
            19 => vec![b"RPOP".to_vec(), self.key("l"), b"2".to_vec()],
            20 => vec![b"LSET".to_vec(), self.key("l"), b"0".to_vec(), self.value()],
            21 => vec![b"LTRIM".to_vec(), self.key("l"), b"0".to_vec(), b"30".to_vec()],
            22 => vec![b"SPOP".to_vec(), self.key("e")],
            23 | 24 => {
                // Halves are exact in binary, so sums do not depend on who adds them up.
                let half = format!("{}.5", self.rng.below(100)).into_bytes();
                vec![b"ZINCRBY".to_vec(), self.key("z"), half, self.member()]
            }
            25 => vec![self.rng.pick(&["ZPOPMIN", "ZPOPMAX"]).as_bytes().to_vec(), self.key("z")],
            26 => {
                let kind = *self.rng.pick(&["n", "a", "l", "hn", "any"]);
                vec![b"DEL".to_vec(), self.key(kind)]
            }
            27 => self.changing_type(),
            28 => {
                let (kind, at) = (*self.rng.pick(&["h", "e", "z", "l", "n"]), self.far());
                vec![b"PEXPIREAT".to_vec(), self.key(kind), at]
            }
            29 => {
                let kind = *self.rng.pick(&["h", "e", "z", "l", "n"]);
                vec![b"PERSIST".to_vec(), self.key(kind)]
            }
            _ => self.moving(),
        }
    }

    /// No effect may be repeated, and none left out.
    fn counting(&mut self) -> Command {
        match self.rng.below(26) {
            0..=3 => vec![b"INCR".to_vec(), self.key("n")],
            4 | 5 => vec![b"APPEND".to_vec(), self.key("a"), self.value()],
            6..=8 => vec![b"LPUSH".to_vec(), self.key("l"), self.value()],
            9 | 10 => vec![b"RPOP".to_vec(), self.key("l")],
            11..=13 => vec![b"HINCRBY".to_vec(), self.key("hn"), self.member(), self.number(100)],
            14 | 15 => {
                let half = format!("{}.5", self.rng.below(100)).into_bytes();
                vec![b"ZINCRBY".to_vec(), self.key("z"), half, self.member()]
            }
            16 | 17 => vec![b"XADD".to_vec(), self.key("x"), b"*".to_vec(), self.member(), self.value()],
            18 | 19 => vec![b"SADD".to_vec(), self.key("e"), self.member(), self.member()],
            20 | 21 => vec![b"SPOP".to_vec(), self.key("e")],
            22..=24 => {
                // Mostly within a slot of the target. From one node to the other the value is read anew each time.
                let tag = self.rng.below(TAGS);
                let other = if self.rng.chance(5) { self.rng.below(TAGS) } else { tag };
                let mut list = |tag: u64| format!("move:{{{tag}}}:l:{}", self.rng.below(4)).into_bytes();
                let (from, to) = (list(tag), list(other));
                match self.rng.below(2) {
                    0 => vec![b"LPUSH".to_vec(), to, self.value()],
                    _ => vec![b"LMOVE".to_vec(), from, to, b"LEFT".to_vec(), b"RIGHT".to_vec()],
                }
            }
            _ => {
                let kind = *self.rng.pick(&["n", "a", "l", "hn", "z", "x", "e"]);
                let key = match self.rng.chance(20) {
                    true => format!("move:{{{}}}:l:{}", self.rng.below(TAGS), self.rng.below(4)).into_bytes(),
                    false => self.key(kind),
                };
                vec![b"DEL".to_vec(), key]
            }
        }
    }

    /// A key that changes its type. The source refuses what does not fit, and journals nothing then.
    fn changing_type(&mut self) -> Command {
        let key = self.key("any");
        match self.rng.below(4) {
            0 => vec![b"SET".to_vec(), key, self.value()],
            1 => vec![b"RPUSH".to_vec(), key, self.value()],
            2 => vec![b"HSET".to_vec(), key, self.member(), self.value()],
            _ => vec![b"SADD".to_vec(), key, self.member()],
        }
    }

    /// From one key into another of the same slot.
    fn moving(&mut self) -> Command {
        let tag = self.rng.below(TAGS);
        let kind = *self.rng.pick(&["l", "e", "s"]);
        let mut key = || format!("move:{{{tag}}}:{kind}:{}", self.rng.below(4)).into_bytes();
        let (from, to) = (key(), key());
        match (kind, self.rng.below(4)) {
            (_, 0) => vec![b"RENAME".to_vec(), from, to],
            ("l", 1) => vec![b"LMOVE".to_vec(), from, to, b"LEFT".to_vec(), b"RIGHT".to_vec()],
            ("l", 2) => vec![b"RPOPLPUSH".to_vec(), from, to],
            ("l", _) => vec![b"RPUSH".to_vec(), to, self.value()],
            ("e", 1) => vec![b"SMOVE".to_vec(), from, to, self.member()],
            ("e", _) => vec![b"SADD".to_vec(), to, self.member(), self.member()],
            _ => vec![b"SET".to_vec(), to, self.value()],
        }
    }

    fn key(&mut self, kind: &str) -> Vec<u8> {
        names::key(kind, self.rng.below(u64::from(self.options.keys)))
    }

    fn member(&mut self) -> Vec<u8> {
        names::member(self.rng.below(MEMBERS))
    }

    fn value(&mut self) -> Vec<u8> {
        let longest = if self.rng.chance(1) { LONG } else { SHORT };
        self.rng.value(longest)
    }

    fn score(&mut self) -> Vec<u8> {
        match self.rng.below(8) {
            0 => self.rng.pick(&["inf", "-inf", "0", "1e300", "0.1", "3.14159265358979"]).as_bytes().to_vec(),
            _ => format!("{}.25", self.rng.below(1_000_000)).into_bytes(),
        }
    }

    fn number(&mut self, bound: u64) -> Vec<u8> {
        self.rng.below(bound).to_string().into_bytes()
    }

    fn far(&mut self) -> Vec<u8> {
        (names::far_away() + self.rng.below(1_000_000_000)).to_string().into_bytes()
    }
}

fn command<const N: usize>(words: [&str; N]) -> Command {
    words.iter().map(|word| word.as_bytes().to_vec()).collect()
}

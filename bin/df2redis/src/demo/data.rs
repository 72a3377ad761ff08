//! What is in the source, and what the client writes.
//!
//! Every name keeps its type, and every write has the same effect when it is executed again after later ones: until
//! exactly-once is built, a killed replicator may execute some records twice.

use bytes::Bytes;

/// A command.
pub(crate) type Command = Vec<Bytes>;

const SESSIONS: u64 = 12_000;
const USERS: u64 = 4_000;
const QUEUES: u64 = 1_000;
const TAGS: u64 = 2_000;
const RANKS: u64 = 1_000;
const CACHED: u64 = 2_000;
/// Elements of every queue: the client replaces them and neither adds nor takes any.
const QUEUED: u64 = 8;
/// Elements of the one large list and of the one large hash.
const LARGE: u64 = 30_000;
/// Elements in one command.
const BATCH: u64 = 500;

/// Keys that [`first`] makes, by what they are.
pub(crate) const MADE: &str = "strings with expiry, hashes, lists, sets, sorted sets, a list and a hash of 30 000 elements, \
     and strings in database 1";

/// Everything that is there before the replication starts, by database.
pub(crate) fn first() -> Vec<(u32, Command)> {
    let mut random = Random::new(1);
    let mut commands: Vec<Command> = Vec::new();
    for n in 0..SESSIONS {
        commands.push(session(n, &mut random));
    }
    for n in 0..USERS {
        let name = format!("user:{n}");
        commands.push(words(&["HSET", &name, "name", &format!("name {n}"), "visits", "0", "city", "Basel"]));
    }
    for n in 0..QUEUES {
        let mut push = words(&["RPUSH", &format!("queue:{n}")]);
        push.extend((0..QUEUED).map(|i| Bytes::from(format!("job {n}.{i}"))));
        commands.push(push);
    }
    for n in 0..TAGS {
        commands.push(words(&["SADD", &format!("tags:{n}"), "red", "green", &format!("{n}")]));
    }
    for n in 0..RANKS {
        commands.push(words(&["ZADD", &format!("rank:{n}"), "1", "anna", "2.5", "ben", "-3", "carl"]));
    }
    for start in (0..LARGE).step_by(BATCH as usize) {
        let mut push = words(&["RPUSH", "large:list"]);
        let mut set = words(&["HSET", "large:hash"]);
        for i in start..start + BATCH {
            push.push(Bytes::from(format!("element {i}")));
            set.extend([Bytes::from(format!("field {i}")), Bytes::from(format!("value {i}"))]);
        }
        commands.extend([push, set]);
    }
    let cached = (0..CACHED).map(|n| (1, words(&["SET", &format!("cache:{n}"), &random.text()])));
    let cached: Vec<_> = cached.collect();
    commands.into_iter().map(|command| (0, command)).chain(cached).collect()
}

/// One write of the client, and its database.
pub(crate) fn next(random: &mut Random) -> (u32, Command) {
    let number = random.below(100_000);
    let command = match random.below(10) {
        // Some of them are new.
        0..=2 => session(random.below(SESSIONS * 2), random),
        3 => words(&["DEL", &format!("session:{}", random.below(SESSIONS))]),
        4 => words(&["HSET", &format!("user:{}", random.below(USERS)), "visits", &number.to_string()]),
        5 => words(&["ZADD", &format!("rank:{}", random.below(RANKS)), &format!("{number}.5"), "ben"]),
        6 => words(&["SADD", &format!("tags:{}", random.below(TAGS)), &format!("tag {}", number % 20)]),
        7 => words(&["SREM", &format!("tags:{}", random.below(TAGS)), &format!("tag {}", number % 20)]),
        8 => {
            let index = (number % QUEUED).to_string();
            words(&["LSET", &format!("queue:{}", random.below(QUEUES)), &index, &format!("job {number}")])
        }
        _ => return (1, words(&["SET", &format!("cache:{}", random.below(CACHED)), &random.text()])),
    };
    (0, command)
}

fn session(n: u64, random: &mut Random) -> Command {
    words(&["SET", &format!("session:{n}"), &random.text(), "EX", &(3600 + n % 3600).to_string()])
}

fn words(words: &[&str]) -> Command {
    words.iter().map(|word| Bytes::copy_from_slice(word.as_bytes())).collect()
}

/// Numbers that look random and are the same in every run (splitmix64).
#[derive(Debug)]
pub(crate) struct Random(u64);

impl Random {
    /// A sequence of its own for every seed.
    pub(crate) fn new(seed: u64) -> Random {
        Random(seed)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit
    }

    fn text(&mut self) -> String {
        format!("{:016x}-{:016x}", self.next(), self.next())
    }
}

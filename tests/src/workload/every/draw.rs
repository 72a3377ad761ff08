//! What stands in place of a name in a template.

use std::time::{SystemTime, UNIX_EPOCH};

use super::{DATABASES, Everything};
use crate::workload::Rng;

/// Keys of one kind: the first share a slot with those of all kinds, the last two have a long name and one of any bytes.
const KEYS: u64 = 8;

/// Bytes of a long name.
const LONG_NAME: usize = 2_000;

/// Keys of one kind that share a slot.
const TOGETHER: u64 = 3;

/// Members of a collection.
const MEMBERS: u64 = 12;

/// Kinds of keys that commands of other kinds are tried on now and then.
const KINDS: &[&str] = &["s", "n", "h", "hn", "l", "e", "z", "g", "x", "p"];

/// Longest of the values that are not quite short.
const LONG: u64 = 40_000;

/// Shortest of the values that the source is asked for in pages, and how much longer they may be.
const PAGED: usize = 1 << 20;

/// Largest value.
pub(super) const HUGE: usize = 16 << 20;

#[derive(Debug)]
pub(super) struct Draw {
    pub(super) rng: Rng,
    tag: String,
    /// Keys drawn since this was last emptied.
    pub(super) keys: Vec<Vec<u8>>,
}

impl Draw {
    pub(super) fn new(seed: u64) -> Self {
        // Neighbouring seeds begin alike otherwise.
        let rng = Rng::new(Rng::new(seed ^ 0x5eed).bits());
        Draw { rng, tag: Everything::tag(seed), keys: Vec::new() }
    }

    /// What a name of a template stands for this time.
    pub(super) fn named(&mut self, name: &str) -> Vec<u8> {
        match name {
            "any" => {
                let kind = *self.rng.pick(KINDS);
                self.key(kind)
            }
            "s" | "n" | "h" | "hn" | "l" | "e" | "z" | "g" | "x" | "p" if self.rng.chance(4) => {
                let kind = *self.rng.pick(KINDS);
                self.key(kind)
            }
            // Only ever streams: `XGROUP CREATE … MKSTREAM` of another type aborts v1.40.1.
            "xg" | "s" | "n" | "h" | "hn" | "l" | "e" | "z" | "g" | "x" | "p" | "j" | "bf" | "cf" | "cms"
            | "tk" => self.key(name),
            "v" => self.value(),
            "huge" => self.repeated(HUGE),
            "m" => self.member(),
            "word" => self.rng.pick(&["alpha", "beta", "gamma", "delta"]).as_bytes().to_vec(),
            "pattern" => format!("*{}l:*", self.tag).into_bytes(),
            "int" => (self.rng.below(2_000) as i64 - 1_000).to_string().into_bytes(),
            "uint" => self.text(300),
            "idx" => (self.rng.below(12) as i64 - 4).to_string().into_bytes(),
            "count" => (1 + self.rng.below(4)).to_string().into_bytes(),
            "count0" => self.text(4),
            "bit" => self.text(2),
            "offset" => self.text(20_000),
            "float" => self.float(),
            "score" => self.score(),
            "bound" => {
                let open = if self.rng.chance(30) { "(" } else { "" };
                let score = String::from_utf8(self.score()).expect("scores are text");
                format!("{open}{score}").into_bytes()
            }
            "lex" => match self.rng.below(6) {
                0 => b"-".to_vec(),
                1 => b"+".to_vec(),
                2 => [b"(".to_vec(), self.member()].concat(),
                _ => [b"[".to_vec(), self.member()].concat(),
            },
            "weight" => self.rng.pick(&["1", "2", "0.5", "-1.25", "3"]).as_bytes().to_vec(),
            "lon" => format!("{}.{:06}", self.rng.below(170), self.rng.below(1_000_000)).into_bytes(),
            "lat" => format!("{}.{:06}", self.rng.below(80), self.rng.below(1_000_000)).into_bytes(),
            "ttl" => (100_000 + self.rng.below(1_000_000)).to_string().into_bytes(),
            "pttl" => (100_000_000 + self.rng.below(1_000_000_000)).to_string().into_bytes(),
            "at" => (now_ms() / 1_000 + 100_000 + self.rng.below(1_000_000)).to_string().into_bytes(),
            "pat" => (now_ms() + 100_000_000 + self.rng.below(1_000_000_000)).to_string().into_bytes(),
            "short" => (20 + self.rng.below(300)).to_string().into_bytes(),
            "past" => (1_600_000_000_000 + self.rng.below(1_000_000)).to_string().into_bytes(),
            "ms" => (now_ms() - self.rng.below(100_000)).to_string().into_bytes(),
            "id" => format!("{}-{}", 1 + self.rng.below(60), self.rng.below(3)).into_bytes(),
            "idseq" => format!("{}-*", 1 + self.rng.below(60)).into_bytes(),
            "grp" => format!("g{}", self.rng.below(2)).into_bytes(),
            "con" => format!("c{}", self.rng.below(3)).into_bytes(),
            "db" => self.text(u64::from(DATABASES)),
            "chunk1" => BLOOM[0].to_vec(),
            "chunk109" => BLOOM[1].to_vec(),
            "dump" => self.rng.pick(DUMPS).to_vec(),
            "json" => self.rng.pick(JSON).as_bytes().to_vec(),
            other => panic!("<{other}> stands for nothing"),
        }
    }

    fn text(&mut self, bound: u64) -> Vec<u8> {
        self.rng.below(bound).to_string().into_bytes()
    }

    fn key(&mut self, kind: &str) -> Vec<u8> {
        let number = self.rng.below(KEYS);
        let tag = &self.tag;
        let key = match number {
            0..TOGETHER => format!("{{{tag}}}{kind}:{number}").into_bytes(),
            n if n == KEYS - 1 => [tag.as_bytes(), b"\x00\xff {}\x80", kind.as_bytes()].concat(),
            n if n == KEYS - 2 => format!("{tag}{kind}:{}", "k".repeat(LONG_NAME)).into_bytes(),
            _ => format!("{tag}{kind}:{number}").into_bytes(),
        };
        self.keys.push(key.clone());
        key
    }

    fn member(&mut self) -> Vec<u8> {
        match self.rng.below(MEMBERS + 3) {
            n if n < MEMBERS => format!("m{n}").into_bytes(),
            n if n == MEMBERS => b"\x00\r\n\xff".to_vec(),
            n if n == MEMBERS + 1 => Vec::new(),
            _ => self.rng.below(1_000).to_string().into_bytes(),
        }
    }

    fn value(&mut self) -> Vec<u8> {
        match self.rng.below(2_000) {
            0..100 => Vec::new(),
            100..120 => self.rng.value(LONG),
            120..123 => {
                let more = self.rng.below(PAGED as u64) as usize;
                self.repeated(PAGED + more)
            }
            130..600 => self.rng.below(1_000).to_string().into_bytes(),
            _ => self.rng.value(60),
        }
    }

    fn repeated(&mut self, bytes: usize) -> Vec<u8> {
        let unit = self.rng.bits().to_le_bytes();
        unit.iter().copied().cycle().take(bytes).collect()
    }

    fn float(&mut self) -> Vec<u8> {
        match self.rng.below(5) {
            0 => self.rng.pick(&["0.1", "3.14159265358979", "1e5", "-2.5e-3", "100"]).as_bytes().to_vec(),
            _ => format!("{}.{}", self.rng.below(1_000), self.rng.below(1_000)).into_bytes(),
        }
    }

    fn score(&mut self) -> Vec<u8> {
        match self.rng.below(8) {
            0 => self.rng.pick(&["inf", "-inf", "1e300", "0.1", "-7"]).as_bytes().to_vec(),
            1 => format!("{}.{}", self.rng.below(10_000_000), self.rng.below(10_000)).into_bytes(),
            _ => self.rng.below(40).to_string().into_bytes(),
        }
    }
}

/// Payloads of `DUMP` by v1.40.1: string, list, set of integers, set, hash, sorted set, stream with a group.
const DUMPS: &[&[u8]] = &[
    b"\x00\x05hello\x09\x00\xb3\x80\x8e\xba1\xb2C\xbb",
    b"\x12\x01\x02\x0e\x0e\x00\x00\x00\x02\x00\x01\x01\x83two\x04\xff\x09\x00\xc8u*{\xf2Y%j",
    b"\x0b\x14\x04\x00\x00\x00\x03\x00\x00\x00\x01\x00\x00\x00\x02\x00\x00\x00p\x11\x01\x00\x09\x00U'\x90\xca\x0f\x9b\xb3\xe4",
    b"\x02\x02\x02m2\x02m1\x09\x00\xd7\xb9\x9eo\xbaVe\x12",
    b"\x10\x15\x15\x00\x00\x00\x04\x00\x82m1\x03\x81v\x02\x82m2\x03\x81w\x02\xff\x09\x00\x02\xd30\x08\xf8'ZF",
    b"\x11\x16\x16\x00\x00\x00\x04\x00\x82m1\x03\x831.5\x04\x82m2\x03\x02\x01\xff\x09\x00\xd2e\xd5\xf3\xe8W\xb6o",
    b"\x15\x01\x10\x00\x00\x00\x00\x00\x00\x00\x01\x00\x00\x00\x00\x00\x00\x00\x01\x1e\x1e\x00\x00\x00\x0a\x00\x01\x01\x00\
      \x01\x01\x01\x82m1\x03\x00\x01\x02\x01\x00\x01\x00\x01\x81v\x02\x04\x01\xff\x01\x01\x01\x01\x01\x00\x00\x01\x01\x02g0\
      \x01\x01\x01\x01\x00\x00\x00\x00\x00\x00\x00\x01\x00\x00\x00\x00\x00\x00\x00\x01\x06\x9e5\xfa\xa1\x01\x00\x00\x01\x01\
      \x02c0\x06\x9e5\xfa\xa1\x01\x00\x00\x06\x9e5\xfa\xa1\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\x00\x01\x00\x00\x00\x00\
      \x00\x00\x00\x01\x09\x00\xc2\x97c:\xdc\xe8\x05\x04",
];

/// The chunks of a filter, as `BF.SCANDUMP` of v1.40.1 gives them with the cursors 1 and 109.
const BLOOM: [&[u8]; 2] = [
    b"\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x40",
    b"\x05\x00\x00\x00\x40\x00\x00\x00\x00\x00\x00\x00\x9a\x99\x99\x99\x99\x99\xa9\x3f\x52\x00\x00\x00\x00\x00\x00\
      \x00\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x08\x00\x00\x00\x00\x00\x00\x00\
      \x00\x80\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x20\x00\x00\x00\x00\x00\x00\x00\
      \x00\x00\x02\x00\x00\x00\x00\x00\x00\x00\x00\x20\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00",
];

const JSON: &[&str] = &["{\"a\":[1,2,3],\"b\":\"text\",\"n\":5,\"t\":true}", "[1,2,\"x\"]", "{\"n\":1.5}"];

fn now_ms() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_millis() as u64)
}

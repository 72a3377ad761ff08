//! Fingerprints of what was seen at the source.

use std::hash::Hasher;

use resp::Reply;
use twox_hash::XxHash64;

/// Grows with what is seen of a key.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Print(u64);

impl Print {
    /// Of a key that is not there; `exact`: the source has PEXPIRETIME.
    pub(crate) fn absent(exact: bool) -> u64 {
        let mut print = Print::default();
        print.begin("none", None, exact);
        print.0
    }

    /// Type and expiry. One that is computed from the time that is left is never twice the same.
    pub(crate) fn begin(&mut self, kind: &str, expiry: Option<i64>, exact: bool) {
        self.add(kind.as_bytes());
        self.number(if exact { expiry.unwrap_or(-1) as u64 } else { u64::from(expiry.is_some()) });
    }

    /// Something whose place counts.
    pub(crate) fn add(&mut self, bytes: &[u8]) {
        self.0 = XxHash64::oneshot(self.0, bytes);
    }

    pub(crate) fn number(&mut self, number: u64) {
        self.add(&number.to_le_bytes());
    }

    /// Something whose place among its like does not count.
    pub(crate) fn member(&mut self, parts: &[&[u8]]) {
        self.0 = self.0.wrapping_add(group(parts));
    }

    /// A reply; `each` > 0: groups of so many whose order does not count.
    pub(crate) fn reply(&mut self, reply: &Reply, each: usize) {
        match reply {
            Reply::Array(items) if each > 0 => {
                let mut sum = 0u64;
                for items in items.chunks(each) {
                    let parts: Vec<&[u8]> =
                        items.iter().map(|item| item.as_bytes().map_or(&b""[..], AsRef::as_ref)).collect();
                    sum = sum.wrapping_add(group(&parts));
                }
                self.number(sum);
            }
            Reply::Array(items) => {
                self.number(items.len() as u64);
                items.iter().for_each(|item| self.reply(item, 0));
            }
            Reply::Integer(n) => self.number(*n as u64),
            Reply::Nil => self.number(0),
            Reply::Bulk(bytes) | Reply::Simple(bytes) | Reply::Error(bytes) => self.add(bytes),
        }
    }

    pub(crate) fn value(self) -> u64 {
        self.0
    }
}

fn group(parts: &[&[u8]]) -> u64 {
    let mut hasher = XxHash64::with_seed(parts.len() as u64);
    for part in parts {
        hasher.write_usize(part.len());
        hasher.write(part);
    }
    hasher.finish()
}

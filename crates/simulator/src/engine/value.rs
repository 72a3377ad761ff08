//! What a key can hold. Ordered containers throughout, so that every run and every dump is the same.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use bytes::Bytes;

use super::stream::Stream;

/// A key's value.
#[derive(Debug, Clone)]
pub(crate) enum Value {
    String(Bytes),
    List(VecDeque<Bytes>),
    Set(BTreeSet<Bytes>),
    Hash(BTreeMap<Bytes, Bytes>),
    Zset(Zset),
    Stream(Box<Stream>),
    Json(Bytes),
}

impl Value {
    /// The name TYPE answers.
    pub(crate) fn type_name(&self) -> &'static str {
        match self {
            Value::String(_) => "string",
            Value::List(_) => "list",
            Value::Set(_) => "set",
            Value::Hash(_) => "hash",
            Value::Zset(_) => "zset",
            Value::Stream(_) => "stream",
            Value::Json(_) => "ReJSON-RL",
        }
    }

    /// Roughly the bytes of what it holds.
    pub(crate) fn size(&self) -> usize {
        const EACH: usize = 16;
        match self {
            Value::String(s) | Value::Json(s) => s.len(),
            Value::List(l) => l.iter().map(|e| e.len() + EACH).sum(),
            Value::Set(s) => s.iter().map(|e| e.len() + EACH).sum(),
            Value::Hash(h) => h.iter().map(|(f, v)| f.len() + v.len() + EACH).sum(),
            Value::Zset(z) => z.iter().map(|(m, _)| m.len() + 2 * EACH).sum(),
            Value::Stream(s) => s.entries.values().flatten().map(|(f, v)| f.len() + v.len() + EACH).sum(),
        }
    }

    /// Whether this is a container without elements, which makes the key vanish. Streams stay.
    pub(crate) fn is_empty_container(&self) -> bool {
        match self {
            Value::String(_) | Value::Stream(_) | Value::Json(_) => false,
            Value::List(l) => l.is_empty(),
            Value::Set(s) => s.is_empty(),
            Value::Hash(h) => h.is_empty(),
            Value::Zset(z) => z.len() == 0,
        }
    }
}

/// A double that sorts: scores are never NaN.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Score(pub(crate) f64);

impl PartialEq for Score {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Score {}

impl PartialOrd for Score {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Score {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        // -0.0 equals 0.0, as in a comparison of doubles.
        self.0.partial_cmp(&other.0).unwrap_or(std::cmp::Ordering::Equal)
    }
}

/// A sorted set: by member and by (score, member).
#[derive(Debug, Clone, Default)]
pub(crate) struct Zset {
    scores: BTreeMap<Bytes, f64>,
    order: BTreeSet<(Score, Bytes)>,
}

impl Zset {
    pub(crate) fn len(&self) -> usize {
        self.scores.len()
    }

    pub(crate) fn score(&self, member: &[u8]) -> Option<f64> {
        self.scores.get(member).copied()
    }

    /// Sets a member's score; returns the old one.
    pub(crate) fn insert(&mut self, member: Bytes, score: f64) -> Option<f64> {
        let old = self.scores.insert(member.clone(), score);
        if let Some(old) = old {
            self.order.remove(&(Score(old), member.clone()));
        }
        self.order.insert((Score(score), member));
        old
    }

    pub(crate) fn remove(&mut self, member: &[u8]) -> Option<f64> {
        let (member, score) = self.scores.remove_entry(member)?;
        self.order.remove(&(Score(score), member));
        Some(score)
    }

    /// Ascending by score, then member.
    pub(crate) fn iter(&self) -> impl DoubleEndedIterator<Item = (&Bytes, f64)> {
        self.order.iter().map(|(s, m)| (m, s.0))
    }

    pub(crate) fn rank(&self, member: &[u8]) -> Option<usize> {
        let score = self.score(member)?;
        Some(self.order.range(..(Score(score), Bytes::copy_from_slice(member))).count())
    }
}

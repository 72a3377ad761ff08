//! Keys by the time of their last write, oldest first, each once.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// What an entry costs besides its name: the slab's entry, the map's entry, the reference count.
const OVERHEAD: usize = 112;

const NONE: u32 = u32::MAX;

/// Bytes that all flows share.
#[derive(Debug)]
pub(crate) struct Budget {
    used: AtomicUsize,
    limit: usize,
}

impl Budget {
    pub(crate) fn new(limit: usize) -> Arc<Budget> {
        Arc::new(Budget { used: AtomicUsize::new(0), limit })
    }

    pub(crate) fn take(&self, bytes: usize) {
        self.used.fetch_add(bytes, Ordering::Relaxed);
    }

    pub(crate) fn give(&self, bytes: usize) {
        self.used.fetch_sub(bytes, Ordering::Relaxed);
    }

    pub(crate) fn is_over(&self) -> bool {
        self.used.load(Ordering::Relaxed) > self.limit
    }

    pub(crate) fn used(&self) -> usize {
        self.used.load(Ordering::Relaxed)
    }
}

#[derive(Debug)]
struct Entry {
    /// Database (four bytes, big endian) and name; `None` in a free entry.
    key: Option<Arc<[u8]>>,
    tag: u64,
    older: u32,
    newer: u32,
}

/// The keys that were written last, with the tag of their last write.
#[derive(Debug)]
pub(crate) struct Recent {
    index: HashMap<Arc<[u8]>, u32>,
    entries: Vec<Entry>,
    free: Vec<u32>,
    oldest: u32,
    newest: u32,
    scratch: Vec<u8>,
    budget: Arc<Budget>,
}

impl Recent {
    pub(crate) fn new(budget: Arc<Budget>) -> Recent {
        Recent {
            index: HashMap::new(),
            entries: Vec::new(),
            free: Vec::new(),
            oldest: NONE,
            newest: NONE,
            scratch: Vec::new(),
            budget,
        }
    }

    /// Tags never go down from one call to the next.
    pub(crate) fn note(&mut self, db: u32, name: &[u8], tag: u64) {
        self.scratch.clear();
        self.scratch.extend_from_slice(&db.to_be_bytes());
        self.scratch.extend_from_slice(name);
        let at = match self.index.get(self.scratch.as_slice()) {
            Some(&at) => {
                self.entries[at as usize].tag = tag;
                if self.newest == at {
                    return;
                }
                self.unlink(at);
                at
            }
            None => {
                let key: Arc<[u8]> = self.scratch.as_slice().into();
                self.budget.take(key.len() + OVERHEAD);
                let entry = Entry { key: Some(key.clone()), tag, older: NONE, newer: NONE };
                let at = match self.free.pop() {
                    Some(at) => {
                        self.entries[at as usize] = entry;
                        at
                    }
                    None => {
                        self.entries.push(entry);
                        // The budget ends far below four billion entries.
                        (self.entries.len() - 1) as u32
                    }
                };
                self.index.insert(key, at);
                at
            }
        };
        let entry = &mut self.entries[at as usize];
        (entry.older, entry.newer) = (self.newest, NONE);
        match self.newest {
            NONE => self.oldest = at,
            newest => self.entries[newest as usize].newer = at,
        }
        self.newest = at;
    }

    fn unlink(&mut self, at: u32) {
        let Entry { older, newer, .. } = self.entries[at as usize];
        match older {
            NONE => self.oldest = newer,
            older => self.entries[older as usize].newer = newer,
        }
        match newer {
            NONE => self.newest = older,
            newer => self.entries[newer as usize].older = older,
        }
    }

    fn remove(&mut self, at: u32) -> (u32, Vec<u8>, u64) {
        self.unlink(at);
        let entry = &mut self.entries[at as usize];
        let key = entry.key.take().expect("only linked entries are removed");
        self.budget.give(key.len() + OVERHEAD);
        let tag = entry.tag;
        self.index.remove(&key);
        self.free.push(at);
        let (db, name) = key.split_first_chunk::<4>().expect("every key begins with its database");
        (u32::from_be_bytes(*db), name.to_vec(), tag)
    }

    /// Forgets what has a tag below `tag`, and returns the highest tag that went.
    pub(crate) fn forget_below(&mut self, tag: u64) -> Option<u64> {
        let mut highest = None;
        while let Some(oldest) = self.oldest_tag().filter(|oldest| *oldest < tag) {
            self.remove(self.oldest);
            highest = Some(oldest);
        }
        if self.index.is_empty() && self.entries.capacity() > 1024 {
            (self.index, self.entries, self.free) = (HashMap::new(), Vec::new(), Vec::new());
        }
        highest
    }

    /// Forgets the oldest key, and returns its tag.
    pub(crate) fn forget_one(&mut self) -> Option<u64> {
        (self.oldest != NONE).then(|| self.remove(self.oldest).2)
    }

    /// Takes out everything from `safe` up to `at`, oldest first: (database, name).
    pub(crate) fn take(&mut self, safe: u64, at: u64) -> Vec<(u32, Vec<u8>)> {
        let mut taken = Vec::new();
        let mut next = self.oldest;
        while next != NONE {
            let (current, tag) = (next, self.entries[next as usize].tag);
            next = self.entries[next as usize].newer;
            if tag >= safe && tag <= at {
                let (db, name, _) = self.remove(current);
                taken.push((db, name));
            }
        }
        taken
    }

    pub(crate) fn clear(&mut self) {
        while self.forget_one().is_some() {}
    }

    fn oldest_tag(&self) -> Option<u64> {
        (self.oldest != NONE).then(|| self.entries[self.oldest as usize].tag)
    }

    pub(crate) fn len(&self) -> usize {
        self.index.len()
    }
}

impl Drop for Recent {
    fn drop(&mut self) {
        self.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(list: Vec<(u32, Vec<u8>)>) -> Vec<String> {
        list.into_iter().map(|(db, name)| format!("{db}:{}", String::from_utf8(name).unwrap())).collect()
    }

    #[test]
    fn a_key_stands_once_at_its_last_write() {
        let budget = Budget::new(1 << 20);
        let mut recent = Recent::new(budget.clone());
        for (name, tag) in [("a", 1), ("b", 1), ("c", 2), ("a", 3), ("c", 3), ("d", 4)] {
            recent.note(0, name.as_bytes(), tag);
        }
        recent.note(7, b"a", 5);
        assert_eq!(recent.len(), 5);
        assert_eq!(recent.forget_below(3), Some(1));
        assert_eq!(names(recent.take(3, 4)), ["0:a", "0:c", "0:d"]);
        assert_eq!(names(recent.take(0, 9)), ["7:a"]);
        assert_eq!(budget.used(), 0);
    }

    #[test]
    fn links_hold_through_any_order() {
        let budget = Budget::new(1 << 20);
        let mut recent = Recent::new(budget.clone());
        let mut model: Vec<(Vec<u8>, u64)> = Vec::new();
        let mut state = 88_172_645_463_325_252_u64;
        for tag in 0..20_000 {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            let name = (state % 97).to_string().into_bytes();
            model.retain(|(n, _)| *n != name);
            model.push((name.clone(), tag));
            recent.note(0, &name, tag);
            if state.is_multiple_of(11) {
                assert_eq!(recent.forget_one(), Some(model.remove(0).1));
            }
            if state.is_multiple_of(101) {
                let half = model[model.len() / 2].1;
                let expected: Vec<_> =
                    model.extract_if(.., |(_, t)| *t >= half).map(|(n, _)| (0, n)).collect();
                assert_eq!(recent.take(half, u64::MAX), expected);
            }
        }
        let rest: Vec<_> = model.into_iter().map(|(n, _)| (0, n)).collect();
        assert_eq!(recent.take(0, u64::MAX), rest);
        assert_eq!(budget.used(), 0);
    }
}

//! Which flow carries a key: learned from what the source sends.
//!
//! A master shards by whole keys unless it is told otherwise: by hash tags (`--lock_on_hashtags`), or by cluster slots
//! (`--experimental_cluster_shard_by_slot`). It does not tell, but every entry and every record shows the flow of its keys.
//! Single keys lie on a wrong flow: PFMERGE leaves such copies behind, and journals them (v1.40.1 `hll_family.cc`
//! PFMergeInternal).

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, PoisonError};

/// Seed of Dragonfly's key hash (`sharding.cc` `Shard`, v1.0 to v1.40.1).
const SHARD_SEED: u64 = 120_577_240_643;

/// With fewer different keys seen, nothing is taken for certain.
const ENOUGH: u64 = 20;

/// The ways in which a master may shard.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    Key,
    Tag,
    Slot,
}

const WAYS: [Way; 3] = [Way::Key, Way::Tag, Way::Slot];

/// What was seen of the source's sharding.
#[derive(Debug)]
pub struct Sharding {
    flows: usize,
    seen: AtomicU64,
    /// Keys that came on another flow than a way says.
    off: [AtomicU64; 3],
    /// Hashes of the first keys: one that comes again shows nothing new.
    first: Mutex<BTreeSet<u64>>,
}

impl Sharding {
    /// Nothing seen yet.
    pub fn new(flows: usize) -> Sharding {
        Sharding {
            flows: flows.max(1),
            seen: AtomicU64::new(0),
            off: Default::default(),
            first: Mutex::default(),
        }
    }

    /// A key came on a flow.
    pub fn saw(&self, key: &[u8], flow: usize) {
        if self.flows == 1 {
            return;
        }
        if self.seen.load(Relaxed) < ENOUGH {
            let hash = twox_hash::XxHash64::oneshot(SHARD_SEED, key);
            // Only whole values are put in under this lock.
            if !self.first.lock().unwrap_or_else(PoisonError::into_inner).insert(hash) {
                return;
            }
        }
        self.seen.fetch_add(1, Relaxed);
        for way in WAYS {
            if way.flow_of(key, self.flows) != flow {
                self.off[way as usize].fetch_add(1, Relaxed);
            }
        }
    }

    /// The flow that carries a key. `None`: not known, since the ways that fit what was seen do not agree about it, or none
    /// fits.
    pub fn flow_of(&self, key: &[u8]) -> Option<usize> {
        if self.flows == 1 {
            return Some(0);
        }
        let seen = self.seen.load(Relaxed);
        let fits = |way: &Way| seen < ENOUGH || self.off[*way as usize].load(Relaxed) <= seen / 10;
        let mut flows = WAYS.into_iter().filter(fits).map(|way| way.flow_of(key, self.flows));
        let flow = flows.next()?;
        flows.all(|other| other == flow).then_some(flow)
    }

    /// Whether a key certainly does not belong to the flow that it came on.
    pub fn is_misplaced(&self, key: &[u8], flow: usize) -> bool {
        self.seen.load(Relaxed) >= ENOUGH && self.flow_of(key).is_some_and(|own| own != flow)
    }
}

/// The flow that carries a key on a master that shards by whole keys.
pub fn flow_by_key(key: &[u8], flows: usize) -> usize {
    Way::Key.flow_of(key, flows)
}

impl Way {
    fn flow_of(self, key: &[u8], flows: usize) -> usize {
        let hash = match self {
            Way::Key => twox_hash::XxHash64::oneshot(SHARD_SEED, key),
            Way::Tag => twox_hash::XxHash64::oneshot(SHARD_SEED, tag(key)),
            Way::Slot => u64::from(command::slot(key)),
        };
        (hash % flows as u64) as usize
    }
}

/// What stands between the first braces, or the whole key.
fn tag(key: &[u8]) -> &[u8] {
    let Some(open) = key.iter().position(|byte| *byte == b'{') else { return key };
    let rest = &key[open + 1..];
    match rest.iter().position(|byte| *byte == b'}') {
        Some(end) if end > 0 => &rest[..end],
        _ => key,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys() -> impl Iterator<Item = String> {
        (0..200).map(|n| if n % 3 == 0 { format!("{{user{}}}:{n}", n % 7) } else { format!("key:{n}") })
    }

    #[test]
    fn each_way_is_learned() {
        for way in WAYS {
            let sharding = Sharding::new(4);
            for key in keys() {
                sharding.saw(key.as_bytes(), way.flow_of(key.as_bytes(), 4));
            }
            for key in keys() {
                let flow = way.flow_of(key.as_bytes(), 4);
                assert_eq!(sharding.flow_of(key.as_bytes()), Some(flow), "{way:?} {key}");
                assert!(!sharding.is_misplaced(key.as_bytes(), flow));
                assert!(sharding.is_misplaced(key.as_bytes(), (flow + 1) % 4));
            }
        }
    }

    #[test]
    fn a_few_copies_on_wrong_flows_change_nothing() {
        let sharding = Sharding::new(2);
        for key in keys() {
            sharding.saw(key.as_bytes(), Way::Key.flow_of(key.as_bytes(), 2));
        }
        let own = Way::Key.flow_of(b"copy", 2);
        sharding.saw(b"copy", 1 - own);
        assert_eq!(sharding.flow_of(b"copy"), Some(own));
        assert!(sharding.is_misplaced(b"copy", 1 - own));
    }

    #[test]
    fn little_or_contradictory_evidence_settles_nothing() {
        let sharding = Sharding::new(3);
        for key in keys() {
            let agreed =
                WAYS.iter().all(|way| way.flow_of(key.as_bytes(), 3) == Way::Key.flow_of(key.as_bytes(), 3));
            assert_eq!(sharding.flow_of(key.as_bytes()).is_some(), agreed, "{key}");
        }
        assert!(!sharding.is_misplaced(b"plain", 0) && !sharding.is_misplaced(b"plain", 1));
        for n in 0..100u32 {
            sharding.saw(&n.to_le_bytes(), n as usize % 3);
        }
        assert_eq!(sharding.flow_of(b"plain"), None);
    }

    #[test]
    fn the_same_key_again_and_again_shows_nothing_new() {
        let sharding = Sharding::new(2);
        let key =
            keys().find(|key| flows_of(key).windows(2).any(|two| two[0] != two[1])).expect("there is one");
        for _ in 0..1000 {
            sharding.saw(b"always the same", Way::Key.flow_of(b"always the same", 2));
        }
        assert_eq!(sharding.flow_of(key.as_bytes()), None);
    }

    #[test]
    fn keys_without_tags_do_not_tell_where_those_with_tags_go() {
        let sharding = Sharding::new(2);
        for n in 0..100 {
            let key = format!("key:{n}");
            sharding.saw(key.as_bytes(), Way::Key.flow_of(key.as_bytes(), 2));
        }
        let [by_key, by_tag, _] = WAYS;
        let flows = |key: &String| (by_key.flow_of(key.as_bytes(), 2), by_tag.flow_of(key.as_bytes(), 2));
        let apart = keys().find(|key| flows(key).0 != flows(key).1).expect("there is one");
        let alike = keys().find(|key| key.starts_with('{') && flows(key).0 == flows(key).1);
        let alike = alike.expect("there is one");
        assert_eq!(sharding.flow_of(apart.as_bytes()), None, "the master may shard by tags");
        assert_eq!(sharding.flow_of(alike.as_bytes()), Some(flows(&alike).0));
    }

    fn flows_of(key: &str) -> Vec<usize> {
        WAYS.iter().map(|way| way.flow_of(key.as_bytes(), 2)).collect()
    }

    #[test]
    fn only_a_tag_that_holds_something_counts() {
        assert_eq!(
            (tag(b"a{b}c"), tag(b"a{}c"), tag(b"a{b"), tag(b"ab")),
            (&b"b"[..], &b"a{}c"[..], &b"a{b"[..], &b"ab"[..])
        );
    }
}

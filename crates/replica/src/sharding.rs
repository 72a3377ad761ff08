//! Which flow carries a key: learned from what the source sends.
//!
//! A master shards by whole keys unless it is told otherwise: by hash tags (`--lock_on_hashtags`), or by cluster slots
//! (`--experimental_cluster_shard_by_slot`). It does not tell, but every entry and every record shows the flow of its keys.
//! Single keys lie on a wrong flow: PFMERGE leaves such copies behind, and journals them (v1.40.1 `hll_family.cc`
//! PFMergeInternal).

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// Seed of Dragonfly's key hash (`sharding.cc` `Shard`, v1.0 to v1.40.1).
const SHARD_SEED: u64 = 120_577_240_643;

/// With fewer keys seen, nothing is taken for certain.
const ENOUGH: u64 = 20;

/// So often a removal of stale keys is put off before a master of which little is seen is taken for one like most.
const PATIENCE: u64 = 2;

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
    /// How often a removal had to be put off because too little was seen.
    unclear: AtomicU64,
}

impl Sharding {
    /// Nothing seen yet.
    pub fn new(flows: usize) -> Sharding {
        Sharding {
            flows: flows.max(1),
            seen: AtomicU64::new(0),
            off: Default::default(),
            unclear: AtomicU64::new(0),
        }
    }

    /// A key came on a flow.
    pub fn saw(&self, key: &[u8], flow: usize) {
        if self.flows == 1 {
            return;
        }
        self.seen.fetch_add(1, Relaxed);
        for way in WAYS {
            if way.flow_of(key, self.flows) != flow {
                self.off[way as usize].fetch_add(1, Relaxed);
            }
        }
    }

    /// The flow that carries a key; `None`: not known.
    pub fn flow_of(&self, key: &[u8]) -> Option<usize> {
        if self.flows == 1 {
            return Some(0);
        }
        let seen = self.seen.load(Relaxed);
        if seen < ENOUGH {
            let flow = Way::Key.flow_of(key, self.flows);
            return (flow == Way::Tag.flow_of(key, self.flows)).then_some(flow);
        }
        let way = WAYS.into_iter().min_by_key(|way| self.off[*way as usize].load(Relaxed))?;
        let off = self.off[way as usize].load(Relaxed);
        (off <= seen / 10).then(|| way.flow_of(key, self.flows))
    }

    /// The flow that carries a stale key. A source that has few keys and is quiet never shows more: after some tries, and
    /// unless something speaks against it, it counts as one that shards as masters do if they are not told otherwise. So
    /// small a source does not bring back a key in just the moment in which it is removed.
    pub fn flow_of_stale(&self, key: &[u8]) -> Option<usize> {
        self.flow_of(key).or_else(|| {
            let patient = self.unclear.load(Relaxed) >= PATIENCE && self.seen.load(Relaxed) < ENOUGH;
            let fits = self.off[Way::Key as usize].load(Relaxed) == 0;
            (patient && fits).then(|| Way::Key.flow_of(key, self.flows))
        })
    }

    /// A removal is put off.
    pub fn is_unclear(&self) {
        self.unclear.fetch_add(1, Relaxed);
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
        assert!(sharding.flow_of(b"plain").is_some(), "without a tag both usual ways agree");
        assert!(!sharding.is_misplaced(b"plain", 0) && !sharding.is_misplaced(b"plain", 1));
        for n in 0..100u32 {
            sharding.saw(&n.to_le_bytes(), n as usize % 3);
        }
        assert_eq!(sharding.flow_of(b"plain"), None);
    }

    #[test]
    fn a_small_quiet_source_is_taken_for_a_usual_one_in_the_end() {
        let sharding = Sharding::new(8);
        let key = keys().find(|key| sharding.flow_of(key.as_bytes()).is_none()).expect("one has a tag");
        for _ in 0..PATIENCE {
            assert_eq!(sharding.flow_of_stale(key.as_bytes()), None);
            sharding.is_unclear();
        }
        let own = Way::Key.flow_of(key.as_bytes(), 8);
        assert_eq!(sharding.flow_of_stale(key.as_bytes()), Some(own));
        sharding.saw(key.as_bytes(), (own + 1) % 8);
        assert_eq!(sharding.flow_of_stale(key.as_bytes()), None, "something speaks against it");
    }

    #[test]
    fn only_a_tag_that_holds_something_counts() {
        assert_eq!(
            (tag(b"a{b}c"), tag(b"a{}c"), tag(b"a{b"), tag(b"ab")),
            (&b"b"[..], &b"a{}c"[..], &b"a{b"[..], &b"ab"[..])
        );
    }
}

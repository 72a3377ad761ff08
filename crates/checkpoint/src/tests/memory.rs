//! The checkpoint in memory is one: whatever is committed, both say the same.

use super::support::{Random, entry, state};
use crate::{Commit, Durable, Error, Failing, Memory, Store};

#[test]
fn memory_and_store_say_the_same_after_any_commits() {
    let mut random = Random::seeded();
    let dir = tempfile::tempdir().unwrap();
    let mut store = Store::open(dir.path()).unwrap();
    let mut memory = Memory::new(&store.name());
    let mut applied = 0;
    for n in 0..400 {
        applied += random.below(3);
        let mut keys = || {
            let from = random.below(40) as u32;
            (0..random.below(6) as u32).map(|i| entry(from + i)).collect::<Vec<_>>()
        };
        let (add, remove) = (keys(), keys());
        let commit = Commit {
            state: (random.below(3) > 0).then(|| state(applied)),
            add,
            remove: remove.into_iter().map(|entry| (entry.db, entry.key)).collect(),
            clear_list: random.below(20) == 0,
            schedule: super::scheduling::plans(&mut random),
            clean_stop: false,
        };
        store.commit(&commit).unwrap();
        memory.commit(&commit).unwrap();
        if random.below(20) == 0 {
            let db = (random.below(2) == 0).then(|| random.below(3) as u32);
            store.forget_schedule(db).unwrap();
            memory.forget_schedule(db).unwrap();
        }
        if n % 50 == 0 {
            drop(store);
            store = Store::open(dir.path()).unwrap();
            memory = memory.reopen();
        }
        let both: [&dyn Durable; 2] = [&store, &memory];
        let [a, b] = both.map(|d| (d.state(), d.listed_count(), d.listed(usize::MAX).unwrap(), d.name()));
        assert_eq!(a, b, "commit {n}: {commit:?}");
        assert_eq!(store.listed(3).unwrap(), memory.listed(3).unwrap());
        let [a, b] = both.map(|d| (d.due(u64::MAX, usize::MAX).unwrap(), d.scheduled_count(), d.next_due()));
        assert_eq!(a, b, "commit {n}: {commit:?}");
        assert_eq!(store.due(50, 4).unwrap(), memory.due(50, 4).unwrap());
    }
}

#[test]
fn a_commit_that_is_told_to_fail_is_kept_or_not_and_is_the_last() {
    for (failing, kept) in [(Failing::Before, 1), (Failing::After, 2)] {
        let memory = Memory::new("0123456789abcdef");
        memory.fail_commit(2, failing);
        let commit = |n| Commit { state: Some(state(n)), add: vec![entry(n as u32)], ..Commit::default() };
        memory.commit(&commit(1)).unwrap();
        assert!(matches!(memory.commit(&commit(2)), Err(Error::Io { .. })));
        assert!(matches!(memory.clone().commit(&commit(3)), Err(Error::Io { .. })));
        let next = memory.reopen();
        assert_eq!((next.state(), next.listed_count()), (Some(state(kept)), kept));
        next.commit(&commit(4)).unwrap();
        assert!(matches!(memory.commit(&commit(5)), Err(Error::InUse { .. })), "the one before is dead");
        assert_eq!(memory.reopen().state(), Some(state(4)));
    }
}

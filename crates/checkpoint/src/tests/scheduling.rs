//! The schedule: what each plan makes of a key, and that what was written is found again.

use super::support::Random;
use crate::{Commit, Durable, Error, Plan, Planned, Scheduled, Store};

fn planned(key: &str, plan: Plan) -> Planned {
    Planned { db: 0, key: key.as_bytes().to_vec(), plan }
}

fn with(key: &str) -> Plan {
    Plan::With { db: 0, key: key.as_bytes().to_vec() }
}

fn at(due_ms: u64, not_before_ms: u64) -> Plan {
    Plan::At { due_ms, not_before_ms }
}

/// Some plans over few keys and times.
pub(super) fn plans(random: &mut Random) -> Vec<Planned> {
    let count = random.below(8);
    let key = |random: &mut Random| (random.below(3) as u32, vec![b'a' + random.below(6) as u8]);
    let plan = |random: &mut Random| {
        let ms = random.below(100);
        match random.below(6) {
            0 | 1 => Plan::By(ms),
            2 => at(ms, random.below(100)),
            3 => {
                let (db, key) = key(random);
                Plan::With { db, key }
            }
            4 => Plan::Taken(ms),
            _ => Plan::Never,
        }
    };
    let mut plans = Vec::new();
    for _ in 0..count {
        let plan = plan(random);
        let (db, key) = (random.below(3) as u32, vec![b'a' + random.below(6) as u8]);
        plans.push(Planned { db, key, plan });
    }
    plans
}

/// The keys on the schedule with their times, after these plans in one write each, and in one together.
fn after(plans: &[Planned]) -> Vec<(String, u64)> {
    let shown = |store: &Store| -> Vec<(String, u64)> {
        let due = store.due(u64::MAX, usize::MAX).unwrap();
        due.into_iter().map(|Scheduled { key, at_ms, .. }| (String::from_utf8(key).unwrap(), at_ms)).collect()
    };
    let (one, each) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let store = Store::open(one.path()).unwrap();
    store.commit(&Commit { schedule: plans.to_vec(), ..Commit::default() }).unwrap();
    let together = shown(&store);
    let store = Store::open(each.path()).unwrap();
    for plan in plans {
        store.commit(&Commit { schedule: vec![plan.clone()], ..Commit::default() }).unwrap();
    }
    assert_eq!(shown(&store), together);
    assert_eq!(store.next_due(), together.first().map(|(_, at_ms)| *at_ms));
    together
}

#[test]
fn what_plans_make_of_a_key() {
    let one = |plans: &[Plan]| -> Option<u64> {
        let plans: Vec<Planned> = plans.iter().map(|plan| planned("k", plan.clone())).collect();
        after(&plans).first().map(|(_, at_ms)| *at_ms)
    };
    assert_eq!(one(&[Plan::By(9)]), Some(9));
    assert_eq!(one(&[Plan::By(9), Plan::By(12)]), Some(9), "the earlier one counts");
    assert_eq!(one(&[at(9, 20), Plan::By(5)]), Some(20), "the pause stays");
    assert_eq!(one(&[at(9, 20), at(30, 25)]), Some(30), "what was read last counts");
    assert_eq!(one(&[Plan::By(5), Plan::Taken(5)]), None);
    assert_eq!(one(&[Plan::By(5), at(7, 0), Plan::Taken(6)]), Some(7), "what came meanwhile stays");
    assert_eq!(one(&[at(5, 9), Plan::Taken(8)]), Some(9), "nobody took it up before its pause was over");
    assert_eq!(one(&[Plan::By(5), Plan::Never]), None);
    assert_eq!(one(&[Plan::Taken(5), Plan::Never]), None);
}

#[test]
fn a_key_that_takes_over_the_members_of_another_is_due_with_it() {
    let moved = after(&[planned("a", Plan::By(5)), planned("b", with("a"))]);
    assert_eq!(moved, [("a".to_owned(), 5), ("b".to_owned(), 5)]);
    let own = after(&[planned("a", Plan::By(5)), planned("b", Plan::By(3)), planned("b", with("a"))]);
    assert_eq!(own, [("b".to_owned(), 3), ("a".to_owned(), 5)]);
    assert!(after(&[planned("b", with("a"))]).is_empty());
    assert_eq!(after(&[planned("a", Plan::By(5)), planned("a", with("a"))]), [("a".to_owned(), 5)]);
}

#[test]
fn the_next_ones_are_found_in_order_over_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).unwrap();
    let plans = (0..1_000u32).map(|n| Planned {
        db: n % 2,
        key: n.to_be_bytes().to_vec(),
        plan: Plan::By(u64::from(n) * 7 % 1_000),
    });
    store.commit(&Commit { schedule: plans.collect(), ..Commit::default() }).unwrap();
    drop(store);
    let store = Store::open(dir.path()).unwrap();
    assert_eq!((store.scheduled_count(), store.next_due()), (1_000, Some(0)));
    let due = store.due(99, 50).unwrap();
    assert_eq!(due.iter().map(|scheduled| scheduled.at_ms).collect::<Vec<_>>(), (0..50).collect::<Vec<_>>());
    assert_eq!(store.due(99, 500).unwrap().len(), 100);
    store.forget_schedule(Some(1)).unwrap();
    assert_eq!(store.scheduled_count(), 500);
    assert!(store.due(u64::MAX, 1_000).unwrap().iter().all(|scheduled| scheduled.db == 0));
    store.forget_schedule(None).unwrap();
    assert_eq!((store.scheduled_count(), store.next_due()), (0, None));
    drop(store);
    assert_eq!(Store::open(dir.path()).unwrap().scheduled_count(), 0);
}

#[test]
fn more_than_one_portion_is_forgotten() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).unwrap();
    for from in [0u32, 6_000] {
        let plans = (from..from + 6_000).map(|n| Planned {
            db: 0,
            key: n.to_be_bytes().to_vec(),
            plan: Plan::By(u64::from(n)),
        });
        store.commit(&Commit { schedule: plans.collect(), ..Commit::default() }).unwrap();
    }
    store.forget_schedule(None).unwrap();
    assert_eq!(store.scheduled_count(), 0);
}

#[test]
fn a_schedule_that_lost_a_record_is_refused() {
    for lost in [0, 1] {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path()).unwrap();
        store.commit(&Commit { schedule: vec![planned("k", Plan::By(5))], ..Commit::default() }).unwrap();
        drop(store);
        // Sled gives its lock back from a background thread.
        let sled = (0..500).find_map(|_| {
            std::thread::sleep(std::time::Duration::from_millis(10));
            sled::open(dir.path().join("store")).ok()
        });
        let sled = sled.unwrap();
        let record = [&b"m\0\0\0\0k"[..], b"t\0\0\0\0\0\0\0\x05\0\0\0\0k"][lost];
        assert!(sled.remove(record).unwrap().is_some());
        sled.flush().unwrap();
        drop(sled);
        // Waits for the lock itself.
        match Store::open(dir.path()) {
            Err(error @ Error::Corrupted { .. }) => {
                assert!(error.to_string().contains("schedule"), "{error}")
            }
            other => panic!("{other:?}"),
        }
    }
}

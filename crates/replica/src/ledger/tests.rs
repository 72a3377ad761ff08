//! What a crash leaves between the list and the schedule, whichever write it hits.

use checkpoint::{Failing, Memory, Plan, Planned};

use super::*;

const NOW: u64 = 100;

fn name(n: usize) -> Vec<u8> {
    format!("key:{n}").into_bytes()
}

fn plans(keys: usize, plan: &Plan) -> Vec<Planned> {
    (0..keys).map(|n| Planned { db: 0, key: name(n), plan: plan.clone() }).collect()
}

fn listed(keys: usize) -> Vec<NotInSync> {
    let entry = |n| NotInSync { db: 0, key: name(n), reason: "due".into(), flow: 0, lsn: 0, at_ms: NOW };
    (0..keys).map(entry).collect()
}

fn unlisted(keys: usize) -> Vec<SourceKey> {
    (0..keys).map(|n| SourceKey { db: 0, key: name(n).into() }).collect()
}

/// Taken up: from the schedule to the list.
fn take_up(keys: usize) -> Entry {
    Entry::default().list(listed(keys)).plan(plans(keys, &Plan::Taken(NOW)))
}

/// Repaired: from the list to the schedule.
fn placed(keys: usize) -> Entry {
    let due = Plan::At { due_ms: NOW + 50, not_before_ms: NOW + 10 };
    Entry::default().plan(plans(keys, &due)).unlist(unlisted(keys))
}

fn open(memory: &Memory) -> Ledger {
    Ledger::with(Arc::new(memory.clone()), Clock::System).unwrap()
}

/// Keys that stand in neither.
fn lost(memory: &Memory, keys: usize) -> usize {
    let ledger = open(memory);
    let due = memory.due(u64::MAX, usize::MAX).unwrap();
    let scheduled: BTreeSet<Vec<u8>> = due.into_iter().map(|scheduled| scheduled.key).collect();
    let on_list = |key: &[u8]| ledger.lists(&SourceKey { db: 0, key: key.to_vec().into() }).is_some();
    (0..keys).map(name).filter(|key| !scheduled.contains(key) && !on_list(key)).count()
}

#[tokio::test]
async fn a_key_stands_on_the_schedule_or_on_the_list_whichever_write_fails() {
    for keys in [3, TOGETHER, TOGETHER + 1, 2 * TOGETHER + 500] {
        for (begin, change) in
            [(Plan::By(NOW), take_up as fn(usize) -> Entry), (Plan::Never, placed as fn(usize) -> Entry)]
        {
            let mut failed_at = 0;
            for nth in 1.. {
                let mut fails = false;
                for failing in [Failing::Before, Failing::After] {
                    let memory = Memory::new("0123456789abcdef");
                    let ledger = open(&memory);
                    let first = Entry::default().plan(plans(keys, &begin));
                    let first = if begin == Plan::Never { first.list(listed(keys)) } else { first };
                    ledger.write(first).await.unwrap();
                    assert_eq!(lost(&memory, keys), 0);
                    memory.fail_commit(nth, failing);
                    fails = ledger.write(change(keys)).await.is_err();
                    let next = memory.reopen();
                    assert_eq!(lost(&next, keys), 0, "{keys} keys, write {nth} {failing:?}");
                }
                if !fails {
                    break;
                }
                failed_at = nth;
            }
            assert!(failed_at >= if keys > TOGETHER { 3 } else { 1 }, "{keys}: {failed_at} writes");
        }
    }
}

/// Few plans and many keys that leave the list: the plans come first all the same.
#[tokio::test]
async fn a_long_list_that_empties_waits_for_its_plans() {
    let keys = 2 * TOGETHER;
    for nth in 1.. {
        let memory = Memory::new("0123456789abcdef");
        let ledger = open(&memory);
        let mut begin = plans(keys, &Plan::By(NOW));
        let rest = begin.split_off(TOGETHER / 2);
        ledger.write(Entry::default().plan(rest).list(listed(keys))).await.unwrap();
        memory.fail_commit(nth, Failing::After);
        let fails = ledger.write(Entry::default().plan(begin).unlist(unlisted(keys))).await.is_err();
        assert_eq!(lost(&memory.reopen(), keys), 0, "write {nth}");
        if !fails {
            assert!(nth > 2);
            break;
        }
    }
}

#[tokio::test]
async fn the_next_due_is_known_without_asking_the_store() {
    let memory = Memory::new("0123456789abcdef");
    let ledger = open(&memory);
    assert_eq!((ledger.scheduled(), ledger.next_due()), (0, None));
    ledger.note(Entry::default().plan(plans(2, &Plan::By(NOW))));
    assert_eq!(ledger.next_due(), None, "not written yet");
    ledger.write(Entry::default()).await.unwrap();
    assert_eq!((ledger.scheduled(), ledger.next_due()), (2, Some(NOW)));
    assert_eq!(open(&memory.reopen()).next_due(), Some(NOW));
    let ledger = open(&memory.reopen());
    ledger.forget_schedule(Some(1)).await.unwrap();
    assert_eq!(ledger.next_due(), Some(NOW), "of another database");
    ledger.forget_schedule(None).await.unwrap();
    assert_eq!((ledger.scheduled(), ledger.next_due()), (0, None));
}

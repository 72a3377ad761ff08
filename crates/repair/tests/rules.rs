//! One test for each rule that the core carries out, named by its number.
#![allow(clippy::unwrap_used)]

use bytes::Bytes;
use command::SourceKey;
use journal::{Record, RecordKind};
use repair::{Cause, Failed, Limits, Phase, Reached, Repairs, Rules, Value, Verdict};

fn key(name: &str) -> SourceKey {
    SourceKey { db: 0, key: Bytes::copy_from_slice(name.as_bytes()) }
}

fn record(line: &str) -> Record {
    let args = line.split(' ').map(|word| Bytes::copy_from_slice(word.as_bytes())).collect();
    Record { db: 0, txid: 0, kind: RecordKind::Command, args }
}

fn repairs_with(rules: Rules, limits: Limits) -> Repairs {
    Repairs::new(0, 2, limits, rules)
}

fn repairs() -> Repairs {
    repairs_with(Rules::all(), Limits::default())
}

/// `a` under repair, its fence under way.
fn reading() -> (Repairs, u64) {
    let mut repairs = repairs();
    repairs.begin(key("a"), Cause::Uncertain, 10);
    let batch = repairs.wants_fence(0).unwrap();
    assert_eq!(batch.keys, [key("a")]);
    (repairs, batch.id)
}

/// `a` read in `[r0, r1)`.
fn ready(r0: u64, r1: u64) -> Repairs {
    let (mut repairs, id) = reading();
    repairs.fence_answer(id, r0, r1, vec![(key("a"), Value::Absent)]);
    repairs
}

fn taken(repairs: &mut Repairs, lsn: u64, line: &str) {
    assert_eq!(repairs.record(lsn, &record(line)), Verdict::Taken, "{line}");
}

fn phase(repairs: &Repairs, name: &str) -> Phase {
    repairs.status().find(|status| status.key == key(name)).unwrap().phase
}

fn held(repairs: &mut Repairs, disp: u64) -> Vec<u64> {
    repairs.due(disp, u64::MAX).unwrap().held.into_iter().map(|(lsn, _)| lsn).collect()
}

#[test]
fn rule_4_a_key_stays_listed_until_its_value_has_settled() {
    let mut repairs = ready(20, 20);
    let token = repairs.due(20, 20).unwrap().token;
    assert!(!repairs.contains(&key("a")));
    assert_eq!(repairs.repairing().collect::<Vec<_>>(), [&key("a")]);
    assert_eq!(phase(&repairs, "a"), Phase::Sent);
    assert_eq!(repairs.settled(token), Some(key("a")));
    assert_eq!(repairs.repairing_len(), 0);
    assert_eq!(repairs.settled(token), None);
}

#[test]
fn rule_6_a_value_waits_for_the_reservation() {
    let mut repairs = ready(20, 25);
    assert!(repairs.due(30, 24).is_none());
    assert!(repairs.due(30, 25).is_some());
}

#[test]
fn rule_12_a_cause_joins_or_starts_again() {
    let (mut repairs, id) = reading();
    repairs.begin(key("a"), Cause::Refused, 12);
    repairs.fence_answer(id, 20, 20, vec![(key("a"), Value::Absent)]);
    assert_eq!(phase(&repairs, "a"), Phase::Ready, "it has joined");
    let token = repairs.due(20, 20).unwrap().token;
    repairs.begin(key("a"), Cause::Refused, 21);
    assert_eq!(phase(&repairs, "a"), Phase::Waiting, "the value was out already");
    assert_eq!(repairs.settled(token), None, "the key has to stay");
    assert_eq!(repairs.repairing_len(), 1);
    assert_eq!(repairs.counters().begun, 1);
}

#[test]
fn rule_12_only_the_last_value_counts() {
    let mut repairs = ready(20, 20);
    let first = repairs.due(20, 20).unwrap().token;
    repairs.begin(key("a"), Cause::Refused, 21);
    let id = repairs.wants_fence(0).unwrap().id;
    repairs.fence_answer(id, 30, 30, vec![(key("a"), Value::Absent)]);
    let second = repairs.due(30, 30).unwrap().token;
    repairs.failed(first, Failed::Unanswered);
    assert_eq!(phase(&repairs, "a"), Phase::Sent);
    assert_eq!(repairs.settled(second), Some(key("a")));
}

#[test]
fn rule_13_keys_share_a_fence() {
    let mut repairs = repairs_with(Rules::all(), Limits { keys_per_fence: 3, ..Limits::default() });
    for name in ["d", "a", "c", "b"] {
        repairs.begin(key(name), Cause::Uncertain, 10);
    }
    let batch = repairs.wants_fence(0).unwrap();
    assert_eq!(batch.keys, [key("a"), key("b"), key("c")]);
    assert!(repairs.wants_fence(0).is_none(), "one at a time");
    // b did not fit
    repairs.fence_answer(batch.id, 20, 20, vec![(key("a"), Value::Absent), (key("c"), Value::TooBig)]);
    let batch = repairs.wants_fence(0).unwrap();
    assert_eq!((batch.keys, batch.big), (vec![key("b"), key("d")], false));
    let batch = repairs.wants_fence(0).unwrap();
    assert_eq!((batch.keys, batch.big), (vec![key("c")], true));
}

#[test]
fn rule_13_positions_of_another_source_void_the_fence() {
    for (r0, r1) in [(5, 6), (30, 20)] {
        let (mut repairs, id) = reading();
        taken(&mut repairs, 10, "APPEND a 1");
        repairs.fence_answer(id, r0, r1, vec![(key("a"), Value::Absent)]);
        assert_eq!(phase(&repairs, "a"), Phase::Waiting);
        assert_eq!(repairs.counters().voided, 1);
        assert_eq!(repairs.counters().held_bytes, 0);
    }
}

#[test]
fn values_that_wait_bound_the_fences() {
    let mut repairs =
        repairs_with(Rules::all(), Limits { value_bytes: 1, keys_per_fence: 1, ..Limits::default() });
    repairs.begin(key("a"), Cause::Uncertain, 10);
    repairs.begin(key("b"), Cause::Uncertain, 10);
    let id = repairs.wants_fence(0).unwrap().id;
    repairs.fence_answer(id, 20, 20, vec![(key("a"), Value::Absent)]);
    assert!(repairs.wants_fence(0).is_none(), "a value waits");
    assert!(repairs.due(20, 20).is_some());
    assert!(repairs.wants_fence(0).is_some());
}

#[test]
fn rule_14a_without_a_fence_records_are_dropped() {
    let mut repairs = repairs();
    repairs.begin(key("a"), Cause::Uncertain, 10);
    taken(&mut repairs, 10, "APPEND a 1");
    assert_eq!(repairs.counters().held_bytes, 0);
    assert_eq!(repairs.counters().dropped, 1);
    assert_eq!(repairs.record(11, &record("APPEND b 1")), Verdict::Send);
}

#[test]
fn rule_14b_records_are_held_until_the_answer() {
    // below R0, and at R1
    let (mut repairs, id) = reading();
    taken(&mut repairs, 10, "APPEND a 1");
    taken(&mut repairs, 15, "APPEND a 2");
    assert!(repairs.counters().held_bytes > 0);
    repairs.fence_answer(id, 12, 15, vec![(key("a"), Value::Absent)]);
    assert_eq!(held(&mut repairs, 15), [15]);

    // inside
    let (mut repairs, id) = reading();
    for lsn in [10, 12, 15] {
        taken(&mut repairs, lsn, "APPEND a 1");
    }
    repairs.fence_answer(id, 12, 15, vec![(key("a"), Value::Absent)]);
    assert_eq!(phase(&repairs, "a"), Phase::Waiting);
    assert_eq!(repairs.counters().held_bytes, 0);
    assert_eq!(repairs.counters().read_again, 1);

    // void
    let (mut repairs, id) = reading();
    taken(&mut repairs, 10, "APPEND a 1");
    repairs.fence_void(id);
    assert_eq!(phase(&repairs, "a"), Phase::Waiting);
    assert_eq!(repairs.counters().held_bytes, 0);
    repairs.fence_answer(id, 12, 15, vec![(key("a"), Value::Absent)]);
    assert_eq!(phase(&repairs, "a"), Phase::Waiting, "too late");
}

#[test]
fn rule_14b_what_is_held_is_bounded() {
    let mut repairs = repairs_with(Rules::all(), Limits { held_bytes: 1000, ..Limits::default() });
    repairs.begin(key("a"), Cause::Uncertain, 10);
    repairs.begin(key("b"), Cause::Uncertain, 10);
    let id = repairs.wants_fence(0).unwrap().id;
    taken(&mut repairs, 10, "APPEND b 1");
    for lsn in 11..30 {
        taken(&mut repairs, lsn, "APPEND a 1");
        assert!(repairs.counters().held_bytes <= 1000);
    }
    assert_eq!(phase(&repairs, "a"), Phase::Waiting, "it held most");
    repairs.fence_answer(id, 10, 10, vec![(key("a"), Value::Absent), (key("b"), Value::Absent)]);
    assert_eq!(phase(&repairs, "a"), Phase::Waiting, "its part of the fence is void");
    assert_eq!(held(&mut repairs, 30), [10]);
}

#[test]
fn rule_14c_records_below_a_known_value() {
    let mut repairs = ready(12, 15);
    taken(&mut repairs, 11, "APPEND a 1");
    assert_eq!(phase(&repairs, "a"), Phase::Ready, "below R0: it is in the value");
    taken(&mut repairs, 14, "APPEND a 1");
    assert_eq!(phase(&repairs, "a"), Phase::Waiting, "in the window");
    assert_eq!(repairs.next_due(), None);
    assert_eq!(repairs.counters().value_bytes, 0);

    let mut repairs = ready(12, 15);
    taken(&mut repairs, 15, "APPEND a 1");
    assert_eq!(held(&mut repairs, 16), [15], "at R1: behind the value");
}

#[test]
fn rule_15_a_moving_record_takes_all_its_keys() {
    let mut repairs = repairs();
    repairs.begin(key("a"), Cause::Uncertain, 10);
    let verdict = repairs.record(10, &record("RENAME a b"));
    assert_eq!(verdict, Verdict::Moving(vec![key("a"), key("b")]));
    assert!(repairs.contains(&key("b")));
    assert_eq!(repairs.record(11, &record("RENAME c d")), Verdict::Send);
    assert_eq!(repairs.record(12, &record("MOVE b 4")), {
        Verdict::Moving(vec![key("b"), SourceKey { db: 4, ..key("b") }])
    });
}

#[test]
fn rule_15_a_moving_record_voids_what_is_not_above_it() {
    for (lsn, phase_then) in
        [(11, Phase::Ready), (12, Phase::Waiting), (14, Phase::Waiting), (15, Phase::Waiting)]
    {
        // before the answer
        let (mut repairs, id) = reading();
        repairs.record(lsn, &record("RENAME a b"));
        repairs.fence_answer(id, 12, 15, vec![(key("a"), Value::Absent)]);
        assert_eq!(phase(&repairs, "a"), phase_then, "{lsn} before the answer");
        // and after it
        let mut repairs = ready(12, 15);
        repairs.record(lsn, &record("RENAME a b"));
        assert_eq!(phase(&repairs, "a"), phase_then, "{lsn} after the answer");
        assert!(repairs.contains(&key("b")));
    }
}

#[test]
fn rule_15_a_record_that_crosses_nodes_is_told() {
    let mut repairs = ready(12, 15);
    repairs.moved(20, &[key("a"), key("z")], Cause::Moving);
    assert_eq!(phase(&repairs, "a"), Phase::Waiting);
    assert_eq!(phase(&repairs, "z"), Phase::Waiting);
}

#[test]
fn rule_16_a_list_is_split() {
    let (mut repairs, id) = reading();
    let rest = repairs.record(20, &record("MSET a 1 b 2 c 3"));
    assert_eq!(rest, Verdict::Rest(record("MSET b 2 c 3")));
    taken(&mut repairs, 21, "DEL a a");
    taken(&mut repairs, 22, "DEL a");
    repairs.fence_answer(id, 20, 20, vec![(key("a"), Value::Absent)]);
    let held = repairs.due(22, 22).unwrap().held;
    let expected = [(20, "MSET a 1"), (21, "DEL a a"), (22, "DEL a")];
    assert_eq!(held, expected.map(|(lsn, line)| (lsn, record(line))));
}

#[test]
fn rule_16_what_cannot_be_split_is_moving() {
    let mut repairs = repairs();
    repairs.begin(key("a"), Cause::Uncertain, 10);
    let verdict = repairs.record(10, &record("MSETNX a 1 b 2"));
    assert_eq!(verdict, Verdict::Moving(vec![key("a"), key("b")]));
    let verdict = repairs.record(11, &record("NOSUCH x a"));
    assert_eq!(verdict, Verdict::Moving(vec![key("a"), key("x")]), "of unknown meaning");
}

#[test]
fn rule_17_a_value_waits_for_its_place() {
    let mut repairs = ready(12, 15);
    assert_eq!(repairs.next_due(), Some(15));
    assert!(repairs.due(14, u64::MAX).is_none());
    assert!(repairs.contains(&key("a")));
    assert!(repairs.due(15, u64::MAX).is_some());
    assert!(!repairs.contains(&key("a")) && repairs.is_empty());
    assert_eq!(repairs.record(15, &record("APPEND a 1")), Verdict::Send);
}

#[test]
fn rule_17_values_come_in_the_order_of_the_stream() {
    let mut repairs = repairs_with(Rules::all(), Limits { keys_per_fence: 1, ..Limits::default() });
    for (name, r) in [("a", 30), ("b", 20)] {
        repairs.begin(key(name), Cause::Uncertain, 10);
        let id = repairs.wants_fence(0).unwrap().id;
        repairs.fence_answer(id, r, r, vec![(key(name), Value::Absent)]);
    }
    assert_eq!(repairs.next_due(), Some(20));
    assert_eq!(repairs.due(25, 25).unwrap().key, key("b"));
    assert!(repairs.due(25, 25).is_none());
}

#[test]
fn rule_19_an_unknown_flow_holds_in_all() {
    let mut flows = [0, 1].map(|flow| Repairs::new(flow, 2, Limits::default(), Rules::all()));
    for repairs in &mut flows {
        repairs.begin_unknown(key("a"), Cause::Listed, 10);
        assert!(repairs.wants_fence(0).is_none(), "the coordinator reads it");
        assert_eq!(repairs.reached(&key("a"), 99), Reached::Again);
        repairs.unknown_reading(&key("a"));
        taken(repairs, 11, "APPEND a 1");
        assert!(repairs.unknown_answer(&key("a"), 11, 11));
        taken(repairs, 12, "APPEND a 2");
    }
    assert_eq!(flows[0].reached(&key("a"), 11), Reached::Yes);
    assert_eq!(flows[1].reached(&key("a"), 10), Reached::NotYet);
    assert!(flows[0].due(99, 99).is_none(), "not by itself");
    for repairs in &mut flows {
        assert!(repairs.contains(&key("a")), "until it is acknowledged");
    }
    // A record of it came to both, so that each takes it for its own: it is read again there, as any other key.
    for repairs in &mut flows {
        assert_eq!(repairs.leave(&key("a")), Reached::Again);
        assert!(repairs.is_own(&key("a")) && repairs.wants_fence(0).is_some());
    }
}

#[test]
fn rule_19_a_key_without_records_leaves_every_flow() {
    let mut flows = [0, 1].map(|flow| Repairs::new(flow, 2, Limits::default(), Rules::all()));
    for repairs in &mut flows {
        repairs.begin_unknown(key("a"), Cause::Stale, 10);
        taken(repairs, 10, "SET a 1");
        repairs.unknown_reading(&key("a"));
        assert!(!repairs.unknown_answer(&key("a"), 10, 12), "received is 11 already (rule 13)");
        repairs.unknown_reading(&key("a"));
        assert!(repairs.unknown_answer(&key("a"), 11, 12));
        assert_eq!(repairs.reached(&key("a"), 12), Reached::Yes);
        assert_eq!(repairs.leave(&key("a")), Reached::Yes);
        assert_eq!((repairs.repairing_len(), repairs.leave(&key("a"))), (0, Reached::Ended));
    }
}

#[test]
fn rule_19_the_flow_that_met_a_record_keeps_the_key() {
    let mut flows = [0, 1].map(|flow| Repairs::new(flow, 2, Limits::default(), Rules::all()));
    flows.iter_mut().for_each(|repairs| repairs.begin_unknown(key("a"), Cause::Stale, 10));
    taken(&mut flows[1], 11, "APPEND a 1");
    assert_eq!(flows.each_mut().map(|repairs| repairs.withdraw(&key("a"))), [Reached::Yes, Reached::Again]);
    assert!(!flows[0].is_own(&key("a")) && flows[1].is_own(&key("a")));
}

#[test]
fn rule_24_a_barrier_ends_every_phase() {
    let mut repairs = repairs_with(Rules::all(), Limits { keys_per_fence: 1, ..Limits::default() });
    // sent, ready, reading, waiting, and one that is out of scope
    for name in ["a", "b", "c", "d", "e"] {
        repairs.begin(key(name), Cause::Uncertain, 10);
    }
    let mut token = 0;
    for name in ["a", "b"] {
        let id = repairs.wants_fence(0).unwrap().id;
        repairs.fence_answer(id, 20, 20, vec![(key(name), Value::Absent)]);
        if name == "a" {
            token = repairs.due(20, 20).unwrap().token;
        }
    }
    let id = repairs.wants_fence(0).unwrap().id;
    let phases: Vec<Phase> = repairs.status().map(|status| status.phase).collect();
    assert_eq!(phases, [Phase::Sent, Phase::Ready, Phase::Reading, Phase::Waiting, Phase::Waiting]);
    taken(&mut repairs, 20, "APPEND b 1");
    taken(&mut repairs, 20, "APPEND c 1");

    let ended = repairs.barrier(&|key| key.key != "e");
    assert_eq!(ended, ["a", "b", "c", "d"].map(key));
    assert_eq!(repairs.repairing().collect::<Vec<_>>(), [&key("e")]);
    assert_eq!(repairs.counters().held_bytes, 0);
    assert_eq!(repairs.settled(token), None);
    repairs.failed(token, Failed::Unanswered);
    // begun anew: the old fence is not its own
    repairs.begin(key("c"), Cause::Refused, 30);
    repairs.fence_answer(id, 25, 25, vec![(key("c"), Value::Absent)]);
    assert_eq!(phase(&repairs, "c"), Phase::Waiting);
    assert!(repairs.due(99, 99).is_none());
}

#[test]
fn rule_25_nothing_is_due_while_frozen() {
    let mut repairs = ready(12, 15);
    repairs.freeze(true);
    assert!(repairs.due(20, 20).is_none());
    repairs.freeze(false);
    assert!(repairs.due(20, 20).is_some());
}

#[test]
fn rule_34_a_full_sync_forgets_everything() {
    let (mut repairs, id) = reading();
    repairs.full_sync();
    assert_eq!(repairs.repairing_len(), 0);
    assert!(repairs.is_empty());
    repairs.begin(key("a"), Cause::Stale, 0);
    let new = repairs.wants_fence(0).unwrap().id;
    assert_ne!(new, id, "an answer to the old fence means nothing");
    repairs.fence_answer(new, 1, 1, vec![(key("a"), Value::Absent)]);
    assert_eq!(phase(&repairs, "a"), Phase::Ready, "the new LSNs may be lower");
}

#[test]
fn rule_35_no_fence_while_suspended() {
    let mut repairs = repairs();
    repairs.suspended(true);
    repairs.begin(key("a"), Cause::Refused, 0);
    assert!(repairs.wants_fence(0).is_none());
    taken(&mut repairs, 5, "APPEND a 1");
    repairs.suspended(false);
    assert!(repairs.wants_fence(0).is_some());
}

#[test]
fn refused_values_wait_longer_and_longer() {
    let mut repairs = repairs();
    repairs.begin(key("a"), Cause::Refused, 10);
    let (mut now, mut pauses) = (0, Vec::new());
    for _ in 0..14 {
        let id = repairs.wants_fence(now).unwrap().id;
        repairs.fence_answer(id, 20, 20, vec![(key("a"), Value::Absent)]);
        let token = repairs.due(20, 20).unwrap().token;
        repairs.failed(token, Failed::Refused("OOM command not allowed".into()));
        let at = repairs.next_fence_at().unwrap();
        assert!(at == now || repairs.wants_fence(at - 1).is_none());
        pauses.push(at - now);
        now = at;
    }
    assert_eq!(pauses[..4], [0, 100, 200, 400]);
    assert_eq!(pauses[13], 60_000);
    let status = repairs.status().next().unwrap();
    assert_eq!(status.refusal.as_deref(), Some("OOM command not allowed"));
    assert_eq!(status.cause, Cause::Refused);
}

#[test]
fn a_hot_key_is_read_again_at_once_at_first() {
    let mut repairs = repairs();
    repairs.begin(key("a"), Cause::Uncertain, 10);
    let (mut now, mut pauses) = (0, Vec::new());
    for lsn in 0..20 {
        let id = repairs.wants_fence(now).unwrap().id;
        taken(&mut repairs, 20 + lsn, "APPEND a 1");
        repairs.fence_answer(id, 20 + lsn, 21 + lsn, vec![(key("a"), Value::Absent)]);
        let at = repairs.next_fence_at().unwrap();
        pauses.push(at - now);
        now = at;
    }
    assert_eq!(pauses[..6], [0, 0, 0, 2, 4, 8]);
    assert_eq!(pauses[19], 1000);
}

#[test]
fn what_cannot_be_read_stays_listed() {
    let (mut repairs, id) = reading();
    repairs.fence_answer(id, 20, 20, vec![(key("a"), Value::Unreadable("too large".into()))]);
    assert_eq!(repairs.repairing_len(), 1);
    assert_eq!(repairs.status().next().unwrap().refusal.as_deref(), Some("too large"));
}

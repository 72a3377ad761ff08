//! The checkpoint stays near: what a new process would ask the source for is still there.

use simulator::Release;

use crate::faults::{KEYS, Keeping, Write};
use crate::network::Latency;
use crate::schedule::{self, Plan};

const SCHEDULES: u64 = 40;
/// Records of a flow that the source keeps.
const BACKLOG: u64 = 100;

/// Many writes, a target that answers at once, and a checkpoint that takes up to 0.6 s: longer than a source that keeps so
/// few records could be left alone.
fn plan(seed: u64) -> Plan {
    let mut plan = crate::plan(seed);
    let p = &mut plan.profile;
    (p.keeping, p.replicas, p.stale, p.standby, p.release) =
        (Keeping::Nothing, false, false, false, Release::V1_40);
    (p.backlog, p.backlog_told, p.count) = (BACKLOG as usize, true, 0);
    p.latency = Latency { min_ms: 0, max_ms: 2, split: 0 };
    (p.commit_ms, p.pause_ms, p.active_ms) = (300, 1, 2000);
    p.keys = KEYS.to_vec();
    p.writes = vec![(Write::Append, 30), (Write::Push, 30), (Write::Incr, 5)];
    plan
}

#[test]
fn stored_is_never_more_than_a_quarter_of_the_backlog_behind_applied() {
    let mut most = 0;
    for seed in 0..SCHEDULES {
        let outcome = schedule::run(&plan(seed));
        assert_eq!(outcome.failure, None, "seed {seed}");
        assert!(outcome.behind <= BACKLOG / 4, "seed {seed}: {} records behind", outcome.behind);
        most = most.max(outcome.behind);
    }
    assert!(most > BACKLOG / 8, "{most} records behind at most: the checkpoint never lagged");
}

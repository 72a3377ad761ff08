//! Each rule switched off: some schedule fails, and the same schedule goes well with all rules.
//!
//! A rule that is not here is either carried out by construction, so that there is nothing to switch, or one of which
//! docs/repair.md says that a comparison at rest cannot tell; [`SILENT`] gives the reason for each.

use rules::Rules;

use crate::faults::{Fault, KEYS, Keeping, Profile, Write};
use crate::runs;
use crate::schedule::{self, Plan};

/// Most schedules that are tried for one rule.
const TRIES: u64 = 3_000;

/// A rule, and what makes its absence visible.
struct Switch {
    rule: u8,
    /// Changes a profile that was drawn.
    tuned: fn(&mut Profile),
}

fn only(profile: &mut Profile, faults: &[(Fault, u64)], count: usize) {
    profile.faults = faults.to_vec();
    profile.count = count;
}

/// Nothing goes wrong but what is asked for: nodes that keep everything, and clocks that are right.
fn sober(profile: &mut Profile) {
    profile.keeping = Keeping::Nothing;
    (profile.replicas, profile.stale) = (false, false);
    (profile.skew_ms, profile.replica_lag_ms) = (0, 0);
    profile.writes.retain(|(write, _)| !matches!(write, Write::ExpireSoon | Write::FlushAll));
    profile.backlog = 8192;
}

/// A target with replicas that are behind.
fn lagging(profile: &mut Profile) {
    sober(profile);
    profile.replicas = true;
    profile.shards = profile.shards.max(1);
    profile.replica_lag_ms = 500;
}

/// Many keys under repair, all the time.
fn doubtful(profile: &mut Profile) {
    sober(profile);
    only(profile, &[(Fault::CutTarget, 3), (Fault::Refuse, 2), (Fault::Delay, 2)], 12);
    profile.latency.max_ms = 20;
    profile.pause_ms = 5;
}

/// Keys that move from name to name, or not as the source meant.
fn moving(profile: &mut Profile) {
    profile.writes.push((Write::Rename, 30));
    profile.writes.push((Write::Lmove, 20));
}

/// Writes that build on the ones before: what was lost or doubled once stays so.
fn growing(profile: &mut Profile) {
    profile.keys = KEYS.to_vec();
    profile.writes = vec![(Write::Append, 30), (Write::Push, 30), (Write::Incr, 5)];
}

/// A reservation that is only a little ahead, and slow to be extended.
fn short_reservation(profile: &mut Profile) {
    profile.window = Some(6);
    profile.commit_ms = 200;
    profile.pause_ms = 4;
    profile.active_ms = 2500;
}

/// Global commands among doubts.
fn flushing(profile: &mut Profile) {
    doubtful(profile);
    profile.shards = profile.shards.max(2);
    profile.writes.push((Write::FlushAll, 12));
}

/// Expiries that the target may reach first.
fn expiring(profile: &mut Profile) {
    sober(profile);
    only(profile, &[(Fault::Delay, 1), (Fault::SlowNode, 1)], 4);
    profile.skew_ms = 300;
    profile.writes.extend([(Write::ExpireSoon, 30), (Write::ExpireLate, 20), (Write::Persist, 20)]);
}

/// Data of an earlier time, and crashes before it is sorted out.
fn stale(profile: &mut Profile) {
    sober(profile);
    profile.stale = true;
    profile.keys = KEYS.to_vec();
    profile.pause_ms = 40;
    profile.active_ms = 3000;
    only(profile, CRASHES, 3);
}

const CRASHES: &[(Fault, u64)] = &[
    (Fault::Crash, 3),
    (Fault::CrashAfterBytes, 3),
    (Fault::CrashAtCommit, 3),
    (Fault::SlowNode, 2),
    (Fault::Delay, 2),
];

/// Rules whose absence shows.
const SWITCHES: &[Switch] = &[
    Switch {
        rule: 4,
        tuned: |p| {
            sober(p);
            growing(p);
            p.window = Some(3);
            (p.latency.max_ms, p.commit_ms, p.pause_ms, p.active_ms) = (30, 0, 30, 6000);
            (p.machine_crash, p.late_buffers) = (100, 0);
            only(p, &[(Fault::RefuseNext, 4), (Fault::CrashAtUnlisting, 3)], 12);
        },
    },
    Switch {
        rule: 5,
        tuned: |p| {
            sober(p);
            growing(p);
            short_reservation(p);
            only(p, &[(Fault::Crash, 2), (Fault::CrashAfterBytes, 1)], 2);
        },
    },
    Switch {
        rule: 6,
        tuned: |p| {
            sober(p);
            growing(p);
            p.shards = p.shards.max(2);
            (p.window, p.commit_ms, p.latency.max_ms) = (Some(4), 0, 2);
            (p.pause_ms, p.burst, p.active_ms) = (6, 6, 3000);
            (p.machine_crash, p.late_buffers) = (0, 0);
            only(p, &[(Fault::Refuse, 10), (Fault::CrashAtUnlisting, 3)], 26);
        },
    },
    Switch {
        rule: 7,
        tuned: |p| {
            sober(p);
            only(p, CRASHES, 3);
        },
    },
    Switch {
        rule: 8,
        tuned: |p| {
            doubtful(p);
            (p.late_buffers, p.late_ms) = (100, 1500);
            only(p, &[(Fault::CutTarget, 1), (Fault::SlowNode, 1)], 6);
        },
    },
    Switch {
        rule: 9,
        tuned: |p| {
            sober(p);
            growing(p);
            only(p, &[(Fault::CutLane, 1)], 6);
            (p.latency.min_ms, p.latency.max_ms, p.late_buffers) = (5, 20, 0);
            (p.pause_ms, p.active_ms) = (5, 3000);
        },
    },
    Switch { rule: 10, tuned: doubtful },
    Switch {
        rule: 11,
        tuned: |p| {
            sober(p);
            growing(p);
            // Few of them: a key that moves on is overwritten, or goes under repair for other reasons, before long.
            p.writes.push((Write::Rename, 1));
            only(p, &[(Fault::RefuseNext, 1)], 10);
            // The first second passes before the journal is followed.
            (p.shards, p.pause_ms, p.active_ms) = (0, 3, 3000);
            (p.latency.min_ms, p.latency.max_ms) = (10, 20);
        },
    },
    Switch { rule: 12, tuned: doubtful },
    Switch {
        rule: 13,
        tuned: |p| {
            doubtful(p);
            growing(p);
            p.standby = true;
            only(p, &[(Fault::CutTarget, 3), (Fault::TakeOverSource, 2)], 16);
        },
    },
    Switch { rule: 14, tuned: doubtful },
    Switch {
        rule: 15,
        tuned: |p| {
            doubtful(p);
            moving(p);
        },
    },
    Switch {
        rule: 16,
        tuned: |p| {
            doubtful(p);
            p.writes.push((Write::Mset, 40));
        },
    },
    Switch { rule: 17, tuned: doubtful },
    Switch {
        rule: 19,
        tuned: |p| {
            stale(p);
            p.writes = vec![(Write::Append, 20), (Write::Del, 12)];
            only(p, &[(Fault::DelayFlow, 1)], 6);
            (p.pause_ms, p.latency.max_ms) = (15, 20);
        },
    },
    Switch {
        rule: 22,
        tuned: |p| {
            sober(p);
            growing(p);
            p.standby = true;
            only(p, &[(Fault::LoseSource, 1)], 2);
        },
    },
    Switch {
        rule: 24,
        tuned: |p| {
            doubtful(p);
            growing(p);
            p.writes = vec![(Write::Append, 40), (Write::Push, 40), (Write::FlushAll, 4)];
            only(p, &[(Fault::CutTarget, 3), (Fault::DelayAnswers, 4)], 16);
            (p.pause_ms, p.active_ms) = (20, 3000);
        },
    },
    Switch {
        rule: 26,
        tuned: |p| {
            flushing(p);
            p.faults.extend(CRASHES);
        },
    },
    Switch {
        rule: 27,
        tuned: |p| {
            lagging(p);
            only(p, &[(Fault::Failover, 3), (Fault::Crash, 3), (Fault::LagReplica, 1)], 4);
        },
    },
    Switch {
        rule: 28,
        tuned: |p| {
            lagging(p);
            only(p, &[(Fault::Failover, 3), (Fault::LagReplica, 1)], 3);
        },
    },
    Switch {
        rule: 29,
        tuned: |p| {
            lagging(p);
            growing(p);
            only(p, &[(Fault::Failover, 3)], 4);
            p.writes.push((Write::FlushAll, 3));
            p.pause_ms = 40;
        },
    },
    Switch {
        rule: 30,
        tuned: |p| {
            sober(p);
            only(p, &[(Fault::RestartNode, 3), (Fault::Crash, 1)], 3);
        },
    },
    Switch { rule: 31, tuned: expiring },
    Switch { rule: 32, tuned: expiring },
    Switch {
        rule: 35,
        tuned: |p| {
            sober(p);
            growing(p);
            p.shards = p.shards.min(1);
            (p.latency.max_ms, p.commit_ms, p.pause_ms, p.active_ms) = (10, 0, 4, 800);
            only(p, &[(Fault::RefuseForNow, 4), (Fault::CrashAtCommit, 1), (Fault::Crash, 1)], 8);
        },
    },
    Switch { rule: 36, tuned: stale },
    Switch { rule: 37, tuned: stale },
    Switch {
        rule: 38,
        tuned: |p| {
            stale(p);
            p.writes = vec![(Write::Append, 1)];
            only(p, &[(Fault::DelayFlow, 1)], 4);
            (p.commit_ms, p.pause_ms, p.active_ms, p.latency.max_ms) = (200, 100, 1200, 3);
        },
    },
];

/// Rules that no schedule can miss, and why.
pub(crate) const SILENT: &[(u8, &str)] = &[
    (1, "by construction: `checkpoint::Commit` is the only write, and one transaction"),
    (2, "by construction: the tracker knows no other applied LSN than the oldest open one"),
    (3, "by construction: a record that is handed over stays open until the ledger has written its keys"),
    (18, "a permission: there is nothing to leave out"),
    (20, "by construction: the flow tasks outlive the link, so what was received cannot be received twice"),
    (21, "an order of steps that other rules are about (5 to 8)"),
    (23, "by construction: a flow that stands at a global command waits for the order to go on"),
    (
        25,
        "by construction: a flow that stands at a global command places nothing, its freeze is a second lock",
    ),
    (33, "says that nothing special is to be done"),
    (34, "by construction: a full sync begins with a session of its own"),
];

fn plan(switch: &Switch, seed: u64, rules: Rules) -> Plan {
    let mut plan = crate::plan(seed);
    (switch.tuned)(&mut plan.profile);
    Plan { rules, patience_ms: 40_000, ..plan }
}

#[test]
fn without_any_rule_some_schedule_fails() {
    let wanted = runs::number("RULE");
    if let (Some(rule), Some(seed)) = (wanted, runs::number("SCHEDULE_SEED")) {
        let switch = SWITCHES.iter().find(|switch| u64::from(switch.rule) == rule).unwrap();
        let seed = rule * 1_000_000 + seed;
        assert_ne!(crate::tell(plan(switch, seed, Rules::all().without(switch.rule))).failure, None);
        return;
    }
    let tries = runs::number("TRIES").unwrap_or(TRIES);
    let mut missed = Vec::new();
    let shown = SWITCHES.iter().filter(|switch| wanted.is_none_or(|rule| rule == u64::from(switch.rule)));
    for switch in shown {
        let begin = u64::from(switch.rule) * 1_000_000;
        let without = Rules::all().without(switch.rule);
        let summary =
            runs::all(begin..begin + tries, |seed| plan(switch, seed, without), |_, o| o.failure.is_none());
        let Some((seed, failure)) = summary.failures.first() else {
            println!("rule {}: nothing fails without it in {} schedules", switch.rule, summary.runs);
            missed.push(switch.rule);
            continue;
        };
        let failure: String = failure.chars().take(160).collect();
        println!("rule {}: schedule {} of {:?}, {failure}", switch.rule, seed - begin, summary.took);
        let with = schedule::run(&plan(switch, *seed, Rules::all()));
        assert_eq!(with.failure, None, "seed {seed} fails with rule {} as well", switch.rule);
    }
    for (rule, why) in SILENT {
        println!("rule {rule}: {why}");
    }
    assert!(missed.is_empty(), "nothing fails without these rules: {missed:?}");
}

#[test]
fn every_rule_is_accounted_for() {
    for rule in 1..=rules::LAST {
        let switched = SWITCHES.iter().filter(|switch| switch.rule == rule).count();
        let silent = SILENT.iter().filter(|(silent, _)| *silent == rule).count();
        assert_eq!(switched + silent, 1, "rule {rule}");
    }
}

//! Each rule switched off: some schedule fails, and the same schedule goes well with all rules.
//!
//! A rule that is not here is either carried out by construction, so that there is nothing to switch, or one of which
//! docs/repair.md says that a comparison at rest cannot tell; [`SILENT`] gives the reason for each.

use rules::Rules;

use crate::faults::{Fault, Profile, WRITES, Write};
use crate::random::Random;
use crate::runs;
use crate::schedule::{self, Plan};

/// Most schedules that are tried for one rule.
const TRIES: u64 = 3000;

/// A rule, and what makes its absence visible.
struct Switch {
    rule: u8,
    /// Changes a profile that was drawn.
    tuned: fn(&mut Profile),
}

fn only(profile: &mut Profile, faults: &[(Fault, u64)]) {
    profile.faults = faults.to_vec();
}

fn more(profile: &mut Profile, write: Write, weight: u64) {
    profile.writes = WRITES.to_vec();
    profile.writes.retain(|(other, _)| *other != write);
    profile.writes.push((write, weight));
}

const CRASHES: &[(Fault, u64)] = &[
    (Fault::Crash, 3),
    (Fault::CrashAfterBytes, 3),
    (Fault::CrashAtCommit, 3),
    (Fault::SlowNode, 2),
    (Fault::Delay, 2),
];

/// Rules whose absence shows.
const SWITCHES: &[Switch] = &[];

/// Rules that no schedule can miss, and why.
pub(crate) const SILENT: &[(u8, &str)] = &[];

fn plan(switch: &Switch, seed: u64, rules: Rules) -> Plan {
    let mut plan = crate::plan(seed);
    (switch.tuned)(&mut plan.profile);
    Plan { rules, patience_ms: 40_000, ..plan }
}

#[test]
fn without_any_rule_some_schedule_fails() {
    let wanted = runs::number("RULE");
    let mut missed = Vec::new();
    for switch in SWITCHES.iter().filter(|switch| wanted.is_none_or(|rule| rule == u64::from(switch.rule))) {
        let begin = u64::from(switch.rule) * 1_000_000;
        let without = Rules::all().without(switch.rule);
        let summary =
            runs::all(begin..begin + TRIES, |seed| plan(switch, seed, without), |_, o| o.failure.is_none());
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

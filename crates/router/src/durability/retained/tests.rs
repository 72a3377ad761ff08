use super::*;

fn retained(budget: &Arc<Budget>) -> Retained {
    Retained::new(node(), Settings::default(), 0, 1, budget.clone())
}

fn node() -> NodeId {
    NodeId::NONE
}

fn budget() -> Arc<Budget> {
    Budget::new(1 << 20)
}

fn write(retained: &mut Retained, tag: u64, verdict: Verdict, lsn: u64, names: &str) -> bool {
    let names = names.split(' ').map(|name| (0, name.as_bytes()));
    retained.acknowledged(tag, verdict, Origin::Record(lsn), names)
}

fn up_to(settled: u64, forget: u64) -> Verdict {
    Verdict { settled, at_once: false, forget }
}

const AT_ONCE: Verdict = Verdict { settled: 0, at_once: true, forget: 0 };

fn ending(safe: u64, at: u64, remains: Remains) -> Ending {
    Ending { at, safe, remains, by: None, beyond: false, reason: "ended".into() }
}

fn lsns(resolved: &Resolved) -> Vec<u64> {
    let lsn = |(origin, _): &(Origin, u64)| match origin {
        Origin::Record(lsn) => Some(*lsn),
        _ => None,
    };
    resolved.settled.iter().filter_map(lsn).collect()
}

fn lost(resolved: &Resolved) -> Vec<(String, Option<Origin>)> {
    let names = |keys: &[(u32, Bytes)]| {
        let names: Vec<_> = keys.iter().map(|(_, name)| String::from_utf8_lossy(name)).collect();
        names.join(" ")
    };
    resolved.lost.iter().map(|lost| (names(&lost.keys), lost.origin)).collect()
}

fn end(retained: &mut Retained, ending: Ending) -> Resolved {
    let mut resolved = Resolved::default();
    retained.ended(&ending, "a:1", &mut resolved);
    resolved
}

fn settle(retained: &mut Retained, verdict: Verdict) -> Resolved {
    let mut resolved = Resolved::default();
    retained.settle(verdict, &mut resolved);
    resolved
}

#[test]
fn writes_wait_in_order_for_the_poll_that_settles_them() {
    let budget = budget();
    let mut flow = retained(&budget);
    assert!(!write(&mut flow, 1, up_to(1, 0), 10, "a"));
    assert!(!write(&mut flow, 1, up_to(1, 0), 11, "b c"));
    assert!(!write(&mut flow, 2, up_to(1, 0), 12, "a"));
    assert_eq!(lsns(&settle(&mut flow, up_to(1, 0))), []);
    assert_eq!(lsns(&settle(&mut flow, up_to(2, 0))), [10, 11]);
    assert_eq!((flow.open(), flow.remembered()), (1, 3));
    assert_eq!(lsns(&settle(&mut flow, up_to(3, 0))), [12]);
    assert_eq!((flow.open(), flow.remembered()), (0, 3), "a stands once");
    settle(&mut flow, up_to(3, 2));
    assert_eq!(flow.remembered(), 1, "what is on the disk need not be remembered");
    settle(&mut flow, up_to(3, 3));
    assert_eq!(budget.used(), 0);
}

#[test]
fn a_takeover_loses_what_its_node_did_not_have() {
    let budget = budget();
    let mut flow = retained(&budget);
    for (tag, lsn, names) in [(2, 10, "a"), (3, 11, "b"), (3, 12, "c d"), (4, 13, "b")] {
        assert!(!write(&mut flow, tag, up_to(2, 0), lsn, names));
    }
    settle(&mut flow, up_to(3, 0));
    let resolved = end(&mut flow, ending(3, 4, Remains::Elsewhere));
    let record = |lsn| Some(Origin::Record(lsn));
    let expected = [("b", record(11)), ("c d", record(12)), ("b", record(13))];
    assert_eq!(lost(&resolved), expected.map(|(names, origin)| (names.to_owned(), origin)));
    assert!(resolved.events.is_empty());
    assert_eq!((flow.open(), flow.remembered(), budget.used()), (0, 0, 0));
}

#[test]
fn what_a_successor_has_is_settled() {
    let budget = budget();
    let mut flow = retained(&budget);
    write(&mut flow, 2, up_to(2, 0), 10, "a");
    write(&mut flow, 3, up_to(2, 0), 11, "b");
    let resolved = end(&mut flow, ending(3, 3, Remains::Elsewhere));
    assert_eq!((lsns(&resolved), lost(&resolved)), (vec![10], vec![("b".into(), Some(Origin::Record(11)))]));
}

#[test]
fn a_restart_loses_settled_writes_too() {
    let budget = budget();
    let mut flow = retained(&budget);
    assert!(write(&mut flow, 2, AT_ONCE, 10, "a"));
    assert!(write(&mut flow, 3, AT_ONCE, 11, "b"));
    assert!(write(&mut flow, 4, AT_ONCE, 12, "a"));
    let resolved = end(&mut flow, ending(3, 4, Remains::OnDisk));
    assert_eq!(lost(&resolved), [("b".into(), None), ("a".into(), None)]);
    assert!(resolved.events.is_empty(), "{:?}", resolved.events);
}

#[test]
fn what_is_on_the_disk_waits_for_the_replicas_of_the_next_incarnation() {
    let budget = budget();
    let mut flow = retained(&budget);
    write(&mut flow, 2, up_to(2, 0), 10, "a");
    write(&mut flow, 5, up_to(2, 0), 11, "b");
    let resolved = end(&mut flow, ending(u64::MAX, 5, Remains::OnDisk));
    assert!(lost(&resolved).is_empty() && lsns(&resolved).is_empty() && resolved.events.is_empty());
    write(&mut flow, 7, up_to(0, 0), 12, "c");
    assert_eq!(lsns(&settle(&mut flow, up_to(6, 0))), []);
    assert_eq!(lsns(&settle(&mut flow, up_to(7, 0))), [10, 11]);
    assert_eq!(lsns(&settle(&mut flow, up_to(8, 0))), [12]);
}

#[test]
fn a_loss_that_reaches_behind_the_memory_is_an_event() {
    let budget = budget();
    // What was there before this flow began is not known.
    assert_eq!(end(&mut retained(&budget), ending(1, 4, Remains::OnDisk)).events.len(), 1);
    assert_eq!(end(&mut retained(&budget), ending(2, 4, Remains::OnDisk)).events.len(), 0);
    // Forgotten, because it was on the disk, or on that of another node.
    let mut flow = retained(&budget);
    write(&mut flow, 3, AT_ONCE, 10, "a");
    settle(&mut flow, Verdict { forget: 4, ..AT_ONCE });
    assert_eq!(end(&mut flow, ending(3, 4, Remains::Here)).events.len(), 1);
    let mut flow = retained(&budget);
    flow.gained(3);
    assert_eq!(end(&mut flow, ending(3, 4, Remains::OnDisk)).events.len(), 1);
    // Empty, whatever was known.
    let empty = Ending { beyond: true, ..ending(u64::MAX, 4, Remains::OnDisk) };
    assert_eq!(end(&mut retained(&budget), empty).events.len(), 1);
}

#[test]
fn the_snapshot_is_counted_and_its_loss_begins_it_again() {
    let budget = budget();
    let mut flow = retained(&budget);
    for _ in 0..1000 {
        let names = std::iter::once((0, b"key".as_slice()));
        assert!(!flow.acknowledged(2, up_to(0, 0), Origin::Snapshot, names));
    }
    assert_eq!((flow.open(), budget.used()), (1000, 0));
    let mut safe = retained(&budget);
    safe.acknowledged(2, up_to(0, 0), Origin::Snapshot, std::iter::once((0, b"key".as_slice())));
    assert_eq!(settle(&mut safe, up_to(3, 0)).settled, [(Origin::Snapshot, 1)]);
    assert!(end(&mut safe, ending(3, 4, Remains::OnDisk)).events.is_empty());
    let resolved = end(&mut flow, ending(2, 4, Remains::Elsewhere));
    assert_eq!((resolved.events.len(), resolved.settled), (1, vec![(Origin::Snapshot, 1000)]));
}

#[test]
fn the_budget_is_kept_and_the_window_cut_off() {
    let budget = Budget::new(20_000);
    let mut flow = retained(&budget);
    for n in 0..1000 {
        write(&mut flow, 2 + n / 10, AT_ONCE, n, &format!("settled-{n}"));
        settle(&mut flow, AT_ONCE);
        assert!(!budget.is_over());
    }
    let kept = flow.remembered() as u64;
    assert!(kept > 50 && kept < 200, "{kept}");
    let oldest = 2 + (1000 - kept) / 10;
    let mut other = retained(&budget);
    let waiting = up_to(0, 0);
    for n in 0..1000 {
        write(&mut other, 2 + n / 10, waiting, n, &format!("waiting-{n}"));
        settle(&mut other, waiting);
    }
    // The settled keys of the other flow are not its to forget: it lets go of its own waiting ones.
    assert!(!budget.is_over());
    assert!(other.open() < 1000);
    assert_eq!(end(&mut other, ending(2, 200, Remains::Elsewhere)).events.len(), 1);
    assert_eq!(end(&mut flow, ending(oldest + 1, 200, Remains::OnDisk)).events.len(), 0);
    drop((flow, other));
    assert_eq!(budget.used(), 0);
}

#[test]
fn without_the_rules_nobody_notices() {
    let budget = budget();
    let settings = Settings { rules: rules::Rules::all().without(28), ..Settings::default() };
    let mut flow = Retained::new(node(), settings, 0, 1, budget.clone());
    write(&mut flow, 2, up_to(2, 0), 10, "a");
    assert!(lost(&end(&mut flow, ending(0, 4, Remains::OnDisk))).is_empty());
    let settings = Settings { rules: rules::Rules::all().without(30), ..Settings::default() };
    let mut flow = Retained::new(node(), settings, 0, 1, budget);
    write(&mut flow, 2, up_to(2, 0), 10, "a");
    let resolved = end(&mut flow, ending(0, 4, Remains::OnDisk));
    assert_eq!((resolved.lost.len(), resolved.events.len()), (1, 0));
}

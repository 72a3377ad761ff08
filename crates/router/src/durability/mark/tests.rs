use super::*;
use crate::durability::info::Replication;

fn mark(offset: u64, kept: Kept) -> Mark {
    Mark {
        address: "a:1".into(),
        run_id: "run".into(),
        replid: "id".into(),
        offset,
        kept,
        keys: 7,
        taken_ms: 0,
    }
}

fn told(run_id: &str, role: Role, replid: &str, offset: u64, former: Option<(&str, u64)>) -> Found {
    let former = former.map(|(id, first)| (id.to_owned(), first));
    let replication = Replication { role, replid: replid.into(), former, offset, replicas: Vec::new() };
    Found::Told(NodeInfo { run_id: run_id.into(), replication, persistence: None, keys: 1 })
}

fn compare(mark: &Mark, found: Vec<(&str, Found)>, serving: &[&str]) -> Comparison {
    let found = found.into_iter().map(|(address, found)| (address.to_owned(), found)).collect();
    let serving: Vec<String> = serving.iter().map(|s| (*s).to_owned()).collect();
    compare_one(mark, &found, &serving)
}

fn at_home(mark: &Mark, found: Found) -> Comparison {
    compare(mark, vec![("a:1", found)], &["a:1"])
}

#[test]
fn the_same_process_with_the_same_history_has_lost_nothing() {
    let found = told("run", Role::Master, "id", 500, None);
    assert_eq!(at_home(&mark(500, Kept::Part), found.clone()), Comparison::Same);
    assert!(at_home(&mark(501, Kept::Part), found).may_have_lost().is_some(), "an offset went back");
}

#[test]
fn a_restart_without_everything_on_the_disk_may_have_lost_some() {
    let found = told("other", Role::Master, "new", 0, None);
    for (kept, lost) in [(Kept::Always, false), (Kept::All, false), (Kept::Part, true)] {
        let comparison = at_home(&mark(500, kept), found.clone());
        assert!(matches!(comparison, Comparison::Restarted { .. }), "{comparison:?}");
        assert_eq!(comparison.may_have_lost().is_some(), lost, "{kept:?}");
    }
}

#[test]
fn an_empty_node_and_a_stranger_under_the_address_have_lost_everything() {
    let Found::Told(mut empty) = told("other", Role::Master, "new", 0, None) else { unreachable!() };
    empty.keys = 0;
    assert!(at_home(&mark(500, Kept::Always), Found::Told(empty)).may_have_lost().is_some());
    let stranger = told("other", Role::Master, "new", 900, Some(("unknown", 800)));
    assert!(at_home(&mark(500, Kept::Always), stranger).may_have_lost().is_some());
}

#[test]
fn a_restart_from_a_snapshot_that_names_its_offset_is_exact() {
    // Whatever the disk was believed to hold: an older file may have been put in its place.
    for kept in [Kept::All, Kept::Part] {
        let found = |first| told("other", Role::Master, "new", first, Some(("id", first)));
        assert_eq!(at_home(&mark(500, kept), found(501)).may_have_lost(), None);
        assert!(at_home(&mark(500, kept), found(500)).may_have_lost().is_some());
    }
}

#[test]
fn a_successor_tells_how_much_it_had() {
    let old = ("a:1", told("run", Role::Replica, "new", 900, None));
    let new = |first| ("b:2", told("x", Role::Master, "new", 900, Some(("id", first))));
    let exact = compare(&mark(500, Kept::Always), vec![old.clone(), new(501)], &["b:2"]);
    assert_eq!(exact, Comparison::TookOver { node: "a:1".into(), may_have_lost: None });
    let behind = compare(&mark(500, Kept::Always), vec![old.clone(), new(500)], &["b:2"]);
    assert!(behind.may_have_lost().is_some());
    // Another node of the cluster that has always been a master is no successor.
    let stranger = ("b:2", told("x", Role::Master, "y", 900, Some(("z", 10))));
    assert!(compare(&mark(500, Kept::Always), vec![old, stranger], &["b:2"]).may_have_lost().is_some());
}

#[test]
fn a_master_whose_slots_moved_away_has_lost_nothing() {
    let old = ("a:1", told("run", Role::Master, "id", 600, None));
    let new = ("b:2", told("x", Role::Master, "y", 900, None));
    assert_eq!(compare(&mark(500, Kept::Part), vec![old, new], &["b:2"]), Comparison::Same);
}

#[test]
fn a_history_that_was_only_dropped_is_no_loss() {
    let comparison = at_home(&mark(500, Kept::Part), told("run", Role::Master, "new", 700, None));
    assert_eq!(comparison.may_have_lost(), None, "{comparison:?}");
    let followed = told("run", Role::Master, "new", 700, Some(("other", 600)));
    assert!(at_home(&mark(500, Kept::Part), followed).may_have_lost().is_some());
}

#[test]
fn what_is_not_told_is_not_known() {
    let denied = at_home(&mark(1, Kept::Always), Found::Denied);
    assert!(matches!(denied, Comparison::Unknown { .. }), "{denied:?}");
    let silent = at_home(&mark(1, Kept::Always), Found::Silent("refused".into()));
    assert!(matches!(silent, Comparison::Silent { .. }), "it has to be asked again: {silent:?}");
    assert!(silent.rank() > denied.rank());
}

#[tokio::test(start_paused = true)]
async fn everything_is_kept_when_the_newest_write_is_on_the_disk() {
    use crate::durability::Settings;
    use crate::durability::info::Persistence;
    use tokio::time::{Instant, advance};

    let aof = Persistence {
        loading: false,
        aof: true,
        aof_rewriting: false,
        aof_writes: true,
        last_save: 0,
        saving: false,
    };
    let Found::Told(mut info) = told("run", Role::Master, "id", 0, None) else { unreachable!() };
    info.persistence = Some(aof);
    let mut node = Node::new(Settings::default());
    node.fsync = Some(Fsync::EverySecond);
    let poll = |node: &mut Node| {
        let (number, now) = (node.begin(), Instant::now());
        assert!(node.observe(number, now, info.clone(), now));
        number
    };
    let kept = |node: &Node, newest| node.body(newest).map(|body| body.kept);
    let first = poll(&mut node);
    assert_eq!(kept(&node, None), Some(Kept::Part), "what an earlier process wrote may be a moment old");
    for _ in 0..3 {
        advance(Duration::from_secs(1)).await;
        poll(&mut node);
    }
    assert_eq!((kept(&node, None), kept(&node, Some(first))), (Some(Kept::All), Some(Kept::All)));
    assert_eq!(kept(&node, Some(first + 2)), Some(Kept::Part));
    node.fsync = Some(Fsync::Always);
    poll(&mut node);
    assert_eq!(kept(&node, Some(first + 9)), Some(Kept::Always));
}

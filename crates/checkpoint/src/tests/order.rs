//! Nothing that was promised is taken back within one LSN space.

use super::support::state;
use crate::{Commit, Durable, Error, Memory, Phase, State, Store};

/// One flow.
fn at(applied: u64, reserved: u64) -> State {
    State { applied: vec![7, applied], reserved: vec![7, reserved], ..state(0) }
}

fn write(state: &State) -> Commit {
    Commit { state: Some(state.clone()), ..Commit::default() }
}

#[test]
fn applied_and_reserved_only_grow() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).unwrap();
    let memory = Memory::new("0123456789abcdef");
    for checkpoint in [&store as &dyn Durable, &memory] {
        checkpoint.commit(&write(&at(10, 20))).unwrap();
        let refused = |state: State, clean_stop: bool, why: &str| {
            let refused = checkpoint.commit(&Commit { clean_stop, ..write(&state) });
            assert!(matches!(refused, Err(Error::Regression { .. })), "{refused:?}");
            let message = refused.unwrap_err().to_string();
            assert!(message.contains(why), "{message}");
            assert_eq!(checkpoint.state(), Some(at(10, 20)));
        };
        for clean_stop in [false, true] {
            refused(at(9, 20), clean_stop, "flow 1 would go back from applied LSN 10 to 9");
            refused(at(30, 29), clean_stop, "flow 1 has applied LSN 30 above reserved LSN 29");
            refused(at(12, 13), clean_stop, "flow 1 would go back from reserved LSN 20 to 13");
            refused(State { reserved: vec![7], ..at(10, 20) }, clean_stop, "2 applied and 1 reserved LSNs");
        }
        refused(at(12, 12), false, "flow 1 would go back from reserved LSN 20 to 12");
        checkpoint.commit(&Commit { clean_stop: true, ..write(&at(12, 12)) }).unwrap();
        checkpoint.commit(&write(&at(12, 40))).unwrap();
    }
}

#[test]
fn another_lsn_space_begins_anywhere() {
    let other_id = State { replication_id: "other".into(), ..at(1, 2) };
    let fewer_flows = State { applied: vec![1], reserved: vec![2], ..at(0, 0) };
    for next in [other_id, fewer_flows] {
        let memory = Memory::new("0123456789abcdef");
        memory.commit(&write(&at(10, 20))).unwrap();
        memory.commit(&write(&next)).unwrap();
        assert_eq!(memory.state(), Some(next));
    }
    for phase in [Phase::None, Phase::FullSync] {
        let memory = Memory::new("0123456789abcdef");
        memory.commit(&write(&at(10, 20))).unwrap();
        memory.commit(&write(&State { phase, ..at(3, 2) })).unwrap();
        memory.commit(&write(&at(1, 1))).unwrap();
    }
}

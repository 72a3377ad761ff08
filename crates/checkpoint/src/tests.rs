mod failing;
mod guarding;
mod memory;
mod order;
mod platter;
mod power;
mod scheduling;
#[path = "../tests/support/mod.rs"]
mod support;
mod upgraded;

use crate::codec::{DecodeError, Encoder};
use crate::head::Head;
use crate::schedule::Sum;
use crate::{Kept, NodeMark, Phase, State, TargetIdentity, upgrade};

/// What version 1 could say.
fn head_1() -> Head {
    Head {
        generation: 3,
        listed: 2,
        list_digest: 0x0102_0304_0506_0708,
        name: String::new(),
        scheduled: Sum::default(),
        state: Some(State {
            phase: Phase::Stable,
            replication_id: "ab".into(),
            applied: vec![5, 6],
            reserved: vec![7, 8],
            reconcile: true,
            target: TargetIdentity::Cluster { node_ids: vec!["n".into()] },
            updated_at_ms: 9,
            nodes: Vec::new(),
        }),
    }
}

/// What version 2 can say.
fn head_2() -> Head {
    let mut head = Head { name: "0123456789abcdef".into(), ..head_1() };
    let node = |address: &str, persistence| NodeMark {
        address: address.into(),
        run_id: "r".into(),
        replication_id: "p".into(),
        offset: 10,
        kept: persistence,
        keys: 7,
        taken_ms: 1_700_000_000_000,
    };
    head.state.as_mut().unwrap().nodes = vec![node("h:1", Kept::All), node("h:2", Kept::Part)];
    head
}

/// What version 3 can say.
fn head_3() -> Head {
    Head { scheduled: Sum { keys: 4, digest: 5 }, ..head_2() }
}

/// The bytes version 1 wrote. They must be read for ever; a new version adds its own, it does not change these.
const VERSION_1: &str = "01\
    0300000000000000 0200000000000000 0807060504030201 01 02\
    0200000000000000 6162\
    0200000000000000 0500000000000000 0600000000000000\
    0200000000000000 0700000000000000 0800000000000000\
    01 01 0100000000000000 0100000000000000 6e 0900000000000000";

/// The bytes version 2 wrote, likewise.
const VERSION_2: &str = "02\
    0300000000000000 0200000000000000 0807060504030201\
    1000000000000000 30313233343536373839616263646566 01 02\
    0200000000000000 6162\
    0200000000000000 0500000000000000 0600000000000000\
    0200000000000000 0700000000000000 0800000000000000\
    01 01 0100000000000000 0100000000000000 6e 0900000000000000\
    0200000000000000\
    0300000000000000 683a31 0100000000000000 72 0100000000000000 70 0a00000000000000 01 0700000000000000 0068e5cf8b010000\
    0300000000000000 683a32 0100000000000000 72 0100000000000000 70 0a00000000000000 00 0700000000000000 0068e5cf8b010000";

/// The bytes version 3 wrote, likewise.
const VERSION_3: &str = "03\
    0300000000000000 0200000000000000 0807060504030201\
    1000000000000000 30313233343536373839616263646566\
    0400000000000000 0500000000000000 01 02\
    0200000000000000 6162\
    0200000000000000 0500000000000000 0600000000000000\
    0200000000000000 0700000000000000 0800000000000000\
    01 01 0100000000000000 0100000000000000 6e 0900000000000000\
    0200000000000000\
    0300000000000000 683a31 0100000000000000 72 0100000000000000 70 0a00000000000000 01 0700000000000000 0068e5cf8b010000\
    0300000000000000 683a32 0100000000000000 72 0100000000000000 70 0a00000000000000 00 0700000000000000 0068e5cf8b010000";

fn frozen(hex: &str) -> Vec<u8> {
    let digits: Vec<u32> = hex.chars().filter_map(|c| c.to_digit(16)).collect();
    let mut bytes: Vec<u8> = digits.chunks(2).map(|pair| (pair[0] * 16 + pair[1]) as u8).collect();
    let crc = crate::codec::checksum(&bytes);
    bytes.extend_from_slice(&crc.to_le_bytes());
    bytes
}

#[test]
fn version_1_is_read() {
    assert_eq!(upgrade::head(&frozen(VERSION_1)), Ok(head_1()));
}

#[test]
fn version_2_is_read() {
    assert_eq!(upgrade::head(&frozen(VERSION_2)), Ok(head_2()));
}

#[test]
fn version_3_is_read_and_is_what_is_written() {
    assert_eq!(upgrade::head(&frozen(VERSION_3)), Ok(head_3()));
    assert_eq!(head_3().encode(), frozen(VERSION_3));
}

#[test]
fn every_prefix_and_every_flipped_bit_of_a_record_is_damage() {
    for bytes in [frozen(VERSION_1), frozen(VERSION_2), frozen(VERSION_3)] {
        for end in 0..bytes.len() {
            assert!(matches!(upgrade::head(&bytes[..end]), Err(DecodeError::Damaged(_))), "cut at {end}");
        }
        for at in 0..bytes.len() * 8 {
            let mut bytes = bytes.clone();
            bytes[at / 8] ^= 1 << (at % 8);
            assert!(matches!(upgrade::head(&bytes), Err(DecodeError::Damaged(_))), "bit {at}");
        }
    }
}

#[test]
fn a_count_that_is_too_large_reserves_nothing() {
    for version in [1, 2, 3] {
        let mut record = Encoder::new(version);
        (0..3).for_each(|_| record.u64(0));
        if version >= 2 {
            record.text("");
        }
        if version >= 3 {
            (0..2).for_each(|_| record.u64(0));
        }
        record.u8(1);
        record.u8(2);
        record.u64(u64::MAX);
        let cut = upgrade::head(&record.finish(&[]));
        assert_eq!(cut, Err(DecodeError::Damaged("a record ends too early")));
    }
}

#[test]
fn a_newer_format_is_named_and_not_guessed_at() {
    let newer = Encoder::new(upgrade::CURRENT + 1).finish(&[]);
    assert_eq!(upgrade::head(&newer), Err(DecodeError::Newer(upgrade::CURRENT + 1)));
}

#[test]
fn a_target_is_known_by_what_survives_its_restarts_and_failovers() {
    let cluster =
        |ids: &[&str]| TargetIdentity::Cluster { node_ids: ids.iter().map(|id| (*id).to_owned()).collect() };
    let standalone = |address: &str, run_id: &str| TargetIdentity::Standalone {
        address: address.to_owned(),
        run_id: run_id.to_owned(),
    };
    assert!(cluster(&["a", "b", "c"]).same_target(&cluster(&["x", "y", "c"])));
    assert!(!cluster(&["a", "b", "c"]).same_target(&cluster(&["x", "y", "z"])));
    assert!(!cluster(&[]).same_target(&cluster(&[])));
    assert!(standalone("h:1", "old").same_target(&standalone("h:1", "new")));
    assert!(!standalone("h:1", "same").same_target(&standalone("h:2", "same")));
    assert!(!standalone("h:1", "a").same_target(&cluster(&["a"])));
}

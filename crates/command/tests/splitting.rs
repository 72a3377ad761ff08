//! Splitting by slot loses nothing, adds nothing, and keeps the order within each slot.

#![allow(clippy::unwrap_used)]

mod support;

use bytes::Bytes;
use command::{Treatment, slot};
use proptest::prelude::*;
use support::{NOW_MS, cluster, record};

/// Keys that share slots often: few tags, few names, hash tags that are none.
fn any_key() -> impl Strategy<Value = Bytes> {
    prop_oneof![
        "[a-d]{0,2}".prop_map(Bytes::from),
        "\\{[ab]?\\}[a-c]".prop_map(Bytes::from),
        prop::collection::vec(any::<u8>(), 0..6).prop_map(Bytes::from),
    ]
}

proptest! {
    #[test]
    fn pieces_hold_the_original(
        groups in prop::collection::vec((any_key(), any_key(), any_key()), 1..60),
        width in 0_usize..2,
        db in prop_oneof![Just(0_u32), Just(3)],
    ) {
        let (name, step) = [("DEL", 1), ("MSET", 2)][width];
        let group = |(key, value, _): &(Bytes, Bytes, Bytes)| [key.clone(), value.clone()][..step].to_vec();
        let original: Vec<Vec<Bytes>> = groups.iter().map(group).collect();
        let mut whole = record(db, name);
        whole.args.extend(original.iter().flatten().cloned());
        let mut translator = cluster();
        let Treatment::Send(commands) = translator.record(whole, NOW_MS) else {
            panic!("not sent");
        };

        let mapping = translator.mapping();
        let target = |group: &Vec<Bytes>| {
            let mut group = group.clone();
            group[0] = mapping.target_name(db, &group[0]).unwrap().1;
            group
        };
        let mut expected: Vec<Vec<Bytes>> = original.iter().map(target).collect();
        let mut slots = Vec::new();
        for command in commands {
            prop_assert_eq!(&command.args[0][..], name.as_bytes());
            prop_assert!(!slots.contains(&command.slot), "one command a slot");
            slots.push(command.slot);
            prop_assert_eq!(&command.key, &command.args[1]);
            let here: Vec<Vec<Bytes>> = command.args[1..].chunks(step).map(<[Bytes]>::to_vec).collect();
            let there: Vec<Vec<Bytes>> = expected.iter().filter(|g| slot(&g[0]) == command.slot).cloned().collect();
            prop_assert_eq!(here, there, "the groups of slot {} in order", command.slot);
            expected.retain(|g| slot(&g[0]) != command.slot);
        }
        prop_assert!(expected.is_empty(), "left over: {:?}", expected);
    }
}

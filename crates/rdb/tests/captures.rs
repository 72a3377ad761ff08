//! Every recorded snapshot, from the first byte to the token.
#![allow(clippy::unwrap_used)]

mod support;

use rdb::{Item, Limits};
use support::{decode, snapshots};

#[test]
fn every_snapshot_decodes_to_its_token() {
    for flow in snapshots() {
        let (items, rest) =
            decode(&flow.bytes, Limits::default()).unwrap_or_else(|e| panic!("{}: {e}", flow.name));
        let Some(Item::Eof { token }) = items.last() else { panic!("{}: no token", flow.name) };
        assert_eq!(std::str::from_utf8(token).unwrap(), flow.token, "{}", flow.name);
        println!("{} {} {}", flow.name, items.len(), rest.len());
    }
}

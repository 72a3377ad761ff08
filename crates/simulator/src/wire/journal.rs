//! Journal records as they stand in the stable stream and inside journal blobs.

use super::primitive::{len, raw_string};

const SELECT: u8 = 6;
const EXPIRED: u8 = 9;
const COMMAND: u8 = 10;
const MULTI_COMMAND: u8 = 11;
const EXEC: u8 = 12;
const PING: u8 = 13;
const LSN: u8 = 15;

/// One COMMAND record with its own SELECT (every release since v1.11 writes it that way). `args[0]` is the
/// upper-case command name. The shard count is always 1, as in v1.38 and later; replicas have no use for it.
pub(crate) fn command<A: AsRef<[u8]>>(out: &mut Vec<u8>, db: u16, txid: u64, args: &[A]) {
    entry(out, COMMAND, db, txid, args);
}

/// `DEL key` as an EXPIRED record: how releases up to v1.37 log expiry.
pub(crate) fn expired(out: &mut Vec<u8>, db: u16, key: &[u8]) {
    entry(out, EXPIRED, db, 0, &[b"DEL".as_slice(), key]);
}

/// A command of a transaction, up to v1.20 (`transaction.cc` LogJournalOnShard).
pub(crate) fn multi_command<A: AsRef<[u8]>>(out: &mut Vec<u8>, db: u16, txid: u64, args: &[A]) {
    entry(out, MULTI_COMMAND, db, txid, args);
}

/// The end of a transaction on this shard, up to v1.20; `shards` have one.
pub(crate) fn exec(out: &mut Vec<u8>, db: u16, txid: u64, shards: u64) {
    out.push(SELECT);
    len(out, u64::from(db));
    out.push(EXEC);
    len(out, txid);
    len(out, shards);
}

fn entry<A: AsRef<[u8]>>(out: &mut Vec<u8>, op: u8, db: u16, txid: u64, args: &[A]) {
    out.push(SELECT);
    len(out, u64::from(db));
    out.push(op);
    len(out, txid);
    len(out, 1);
    len(out, args.len() as u64);
    len(out, args.iter().map(|a| a.as_ref().len() as u64).sum());
    for a in args {
        raw_string(out, a.as_ref());
    }
}

/// A PING op: asks the replica to acknowledge at once, and takes an LSN. Up to v1.15 it has a SELECT like any record.
pub(crate) fn ping(out: &mut Vec<u8>, selects: bool) {
    if selects {
        out.extend_from_slice(&[SELECT, 0]);
    }
    out.push(PING);
}

/// An LSN op: says that the record just before it had this LSN, and takes none itself.
pub(crate) fn lsn(out: &mut Vec<u8>, lsn: u64) {
    out.push(LSN);
    len(out, lsn);
}

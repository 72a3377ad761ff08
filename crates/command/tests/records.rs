//! Every row of the source's list of journal records, and what each becomes.

#![allow(clippy::unwrap_used)]

mod support;

use bytes::Bytes;
use command::{Effect, Mapping, MemberTtlAs, MemberTtls, Rule, Translator, Treatment, slot};
use support::{NOW_MS, cluster, dialect, record, standalone, treat, words};

/// Checks `record => treatment` lines, all in database 0.
fn table(translator: &mut Translator, cases: &[(&str, &str)]) {
    for (line, expected) in cases {
        assert_eq!(treat(translator, 0, line), *expected, "{line}");
    }
}

/// Records that are sent as they stand.
const VERBATIM: &[&str] = &[
    "SET k v",
    "SET k v PXAT 1895169606116",
    "SET k v KEEPTTL",
    "SETNX k v",
    "GETSET k v",
    "GETDEL k",
    "APPEND k v",
    "SETRANGE k 2 v",
    "INCR k",
    "INCRBY k 41",
    "DECR k",
    "DECRBY k 7",
    "INCRBYFLOAT k 0.1",
    "MSET a 1 b 2",
    "SETBIT k 70 1",
    "BITFIELD k SET u8 0 200 INCRBY u8 0 10",
    "DEL a b",
    "UNLINK a b",
    "RENAME a b",
    "RENAMENX a b",
    "PEXPIREAT k 1895169606181",
    "EXPIREAT k 1895169606",
    "PERSIST k",
    "LPUSH k a b",
    "LPUSHX k a",
    "RPUSH k a b",
    "RPUSHX k a",
    "LPOP k",
    "RPOP k 2",
    "LINSERT k BEFORE a b",
    "LSET k 0 a",
    "LREM k 0 a",
    "LTRIM k 1 12",
    "SADD k a b",
    "SREM k a b",
    "HSET k f v",
    "HMSET k f v",
    "HSETNX k f v",
    "HINCRBY k f 5",
    "HINCRBYFLOAT k f 0.1",
    "HDEL k f",
    "ZADD k 1 a 2 b",
    "ZADD k GT CH 10 a",
    "ZINCRBY k 0.1 a",
    "ZREM k a",
    "ZREMRANGEBYRANK k 0 0",
    "ZREMRANGEBYSCORE k -inf 1",
    "ZREMRANGEBYLEX k [a [b",
    "ZPOPMIN k",
    "ZPOPMAX k 1",
    "GEOADD k 1.5 2.5 p",
    "PFADD k 0 1",
    "XADD k NOMKSTREAM 1-0 a 1",
    "XADD k MINID 1-0 2-0 a 2",
    "XTRIM k MAXLEN 0",
    "XDEL k 1-0",
    "XACK k g 1-0",
    "XCLAIM k g c 0 1-0 TIME 5 RETRYCOUNT 1 FORCE JUSTID LASTID 1-0",
    "XGROUP CREATE k g 0",
    "XGROUP CREATECONSUMER k g c",
    "XGROUP SETID k g 1-0 ENTRIESREAD 2",
    "XGROUP DESTROY k g",
    "XSETID k 9-0 ENTRIESADDED 4 MAXDELETEDID 1-0",
    "SORT a DESC STORE b",
    "GEORADIUS g 15 37 300 km STORE d",
    "GEORADIUSBYMEMBER g m 300 km STOREDIST d",
    "ZRANGESTORE d s 0 -1",
    "ZUNIONSTORE d 2 a b WEIGHTS 2 3",
    "LMOVE a b LEFT RIGHT",
    "SMOVE a b m",
];

#[test]
fn sent_as_they_are() {
    for line in VERBATIM {
        assert_eq!(treat(&mut standalone(), 0, line), *line);
        assert_eq!(treat(&mut standalone(), 3, line), format!("[3] {line}"), "in database 3");
    }
}

#[test]
fn prefixed_on_a_cluster() {
    let mut translator = cluster();
    for (line, expected) in [
        ("SET k v", "SET db3:k v"),
        ("XGROUP CREATE k g 0", "XGROUP CREATE db3:k g 0"),
        ("ZADD k GT CH 10 a", "ZADD db3:k GT CH 10 a"),
        ("SET \"\" v", "SET db3: v"),
        ("RENAME {t}a {t}b", "RENAME db3:{t}a db3:{t}b"),
        ("SORT {t}a STORE {t}b", "SORT db3:{t}a STORE db3:{t}b"),
        ("ZUNIONSTORE {t}d 2 {t}a {t}b", "ZUNIONSTORE db3:{t}d 2 db3:{t}a db3:{t}b"),
        ("SADDEX k 5 m", "reduced(set member TTL: [3]k): SADD db3:k m"),
        (
            "PREPEND k v",
            "EVAL return redis.call(\\'SET\\',KEYS[1],ARGV[1]..(redis.call(\\'GET\\',KEYS[1]) or \\'\\'),\\'KEEPTTL\\') 1 db3:k v",
        ),
        ("JSON.SET k $ 1", "lacking(JSON: [3]k)"),
        ("FLUSHDB", "FlushDb(3)"),
    ] {
        assert_eq!(treat(&mut translator, 3, line), expected, "{line}");
    }
}

#[test]
fn dragonfly_arguments_are_dropped_and_times_become_absolute() {
    table(
        &mut standalone(),
        &[
            ("SET k v STICK", "SET k v"),
            ("SET k v PXAT 5000000000000 _MCFLAGS 7", "SET k v PXAT 5000000000000"),
            ("SET k v KEEPTTL STICK _MCFLAGS 7", "SET k v KEEPTTL"),
            ("SET k v _MCFLAGS 7 PXAT 5", "SET k v PXAT 5"),
            ("SET k v EX 10 NX GET", "SET k v PXAT 1000000010000 NX"),
            ("SET k v PX 10", "SET k v PXAT 1000000000010"),
            ("SET k STICK", "SET k STICK"),
            ("SET k v WHATEVER", "malformed: k"),
            ("SET k v PXAT", "malformed: k"),
            ("SETEX k 10 v", "SET k v PXAT 1000000010000"),
            ("PSETEX k 10 v", "SET k v PXAT 1000000000010"),
            ("EXPIRE k 10", "PEXPIREAT k 1000000010000"),
            ("PEXPIRE k -10", "PEXPIREAT k 999999999990"),
            ("GETEX k", "ignore(no effect)"),
            ("GETEX k PERSIST", "PERSIST k"),
            ("GETEX k EXAT 7", "PEXPIREAT k 7000"),
            ("STICK a b", "ignore(stick)"),
            ("SHRINK a", "ignore(shrink)"),
            ("PING", "ignore(ping)"),
            ("FT.CREATE i ON HASH", "ignore(search index)"),
            ("DELEX k", "DEL k"),
            ("DELEX k IFEQ v", "conditional: k"),
            ("CL.THROTTLE k 15 30 60", "conditional: k"),
        ],
    );
    let mut newest = Translator::new(Mapping::keep(), dialect((8, 4, 0), false));
    table(&mut newest, &[("DELEX k IFEQ v", "DELEX k IFEQ v"), ("SHRINK a", "ignore(shrink)")]);
}

#[test]
fn member_ttls_on_a_target_without() {
    table(
        &mut standalone(),
        &[
            ("SADDEX k 100 a b", "reduced(set member TTL: k): SADD k a b"),
            ("SADDEX k KEEPTTL 100 a", "reduced(set member TTL: k): SADD k a"),
            ("SADDEX k 100", "malformed: k"),
            ("HSETEX k 100 f v g w", "reduced(hash field TTL: k): HSET k f v g w"),
            ("HSETEX k KEEPTTL 100 f v", "reduced(hash field TTL: k): HSET k f v"),
            ("HSETEX k NX 100 f v g w", "reduced(hash field TTL: k): HSETNX k f v ; HSETNX k g w"),
            ("HSETEX k EX 100 FIELDS 1 f v", "reduced(hash field TTL: k): HSET k f v"),
            ("HSETEX k KEEPTTL FIELDS 1 f v", "HSET k f v"),
            ("HSETEX k PXAT 5 FIELDS 1 f v", "HDEL k f"),
            ("HSETEX k FNX EX 100 FIELDS 1 f v", "conditional: k"),
            ("HSETEX k 100 f", "malformed: k"),
            ("HEXPIRE k 100 FIELDS 1 f", "lacking(hash field TTL: k)"),
            ("HPEXPIREAT k 5 FIELDS 2 f g", "HDEL k f g"),
            ("HPEXPIREAT k 5 NX FIELDS 1 f", "lacking(hash field TTL: k)"),
            ("FIELDEXPIRE k 100 f", "lacking(member TTL: k)"),
            ("HGETEX k PX 100 FIELDS 1 f", "lacking(hash field TTL: k)"),
            ("HGETEX k FIELDS 1 f", "ignore(no effect)"),
            ("HGETEX k PERSIST FIELDS 1 f", "ignore(no effect)"),
            ("HPERSIST k FIELDS 1 f", "ignore(no effect)"),
            ("HGETDEL k FIELDS 2 f g", "HDEL k f g"),
        ],
    );
}

#[test]
fn member_ttls_on_a_target_with() {
    let mut redis_7_4 = Translator::new(Mapping::keep(), dialect((7, 4, 0), false));
    table(
        &mut redis_7_4,
        &[
            ("SADDEX k 100 a", "reduced(set member TTL: k): SADD k a"),
            ("HSETEX k 100 f v g w", "HSET k f v g w ; HPEXPIREAT k 1000000100000 FIELDS 2 f g"),
            ("HSETEX k PX 1 FIELDS 1 f v", "HSET k f v ; HPEXPIREAT k 1000000000001 FIELDS 1 f"),
            ("HSETEX k KEEPTTL 100 f v", "conditional: k"),
            ("HSETEX k NX 100 f v", "conditional: k"),
            ("HEXPIRE k 100 FIELDS 1 f", "HPEXPIREAT k 1000000100000 FIELDS 1 f"),
            ("HEXPIRE k 100 GT FIELDS 1 f", "HPEXPIREAT k 1000000100000 GT FIELDS 1 f"),
            ("HPEXPIRE k 5 FIELDS 1 f", "HPEXPIREAT k 1000000000005 FIELDS 1 f"),
            ("HEXPIREAT k 5 FIELDS 1 f", "HPEXPIREAT k 5000 FIELDS 1 f"),
            ("HGETEX k PXAT 77 FIELDS 1 f", "HPEXPIREAT k 77 FIELDS 1 f"),
            ("HGETEX k PERSIST FIELDS 1 f", "HPERSIST k FIELDS 1 f"),
        ],
    );
    let fieldexpire = treat(&mut redis_7_4, 0, "FIELDEXPIRE k 100 f");
    assert!(fieldexpire.ends_with(" 1 k 1000000100000 f"), "{fieldexpire}");
}

fn scheduled() -> MemberTtls {
    MemberTtls { sets: MemberTtlAs::Scheduled, fields: MemberTtlAs::Scheduled, grace_ms: 60_000 }
}

#[test]
fn member_ttls_that_somebody_else_sees_to() {
    let mut redis_7_0 = standalone();
    redis_7_0.set_member_ttls(scheduled());
    table(
        &mut redis_7_0,
        &[
            ("SADDEX k 100 a b", "expiring(k at 1000000100000): SADD k a b"),
            ("SADDEX k KEEPTTL 100 a", "expiring(k at 1000000100000): SADD k a"),
            ("SADDEX k 100", "malformed: k"),
            ("HSETEX k 100 f v", "expiring(k at 1000000100000): HSET k f v"),
            ("HSETEX k NX 100 f v", "expiring(k at 1000000100000): HSETNX k f v"),
            ("HSETEX k KEEPTTL FIELDS 1 f v", "HSET k f v"),
            ("HEXPIRE k 100 GT FIELDS 1 f", "expiring(k at 1000000100000): "),
            ("HPEXPIREAT k 5 FIELDS 1 f", "HDEL k f"),
            ("FIELDEXPIRE k 100 f", "expiring(k at 1000000100000): "),
            ("HGETEX k PXAT 1000000000777 FIELDS 1 f", "expiring(k at 1000000000777): "),
            ("HGETEX k PERSIST FIELDS 1 f", "ignore(no effect)"),
        ],
    );
    let mut redis_7_4 = Translator::new(Mapping::keep(), dialect((7, 4, 0), false));
    redis_7_4.set_member_ttls(scheduled());
    table(
        &mut redis_7_4,
        &[
            ("SADDEX k 100 a", "expiring(k at 1000000100000): SADD k a"),
            ("HSETEX k 100 f v", "HSET k f v ; HPEXPIREAT k 1000000100000 FIELDS 1 f"),
            ("HEXPIRE k 100 FIELDS 1 f", "HPEXPIREAT k 1000000100000 FIELDS 1 f"),
        ],
    );
    let fieldexpire = treat(&mut redis_7_4, 0, "FIELDEXPIRE k 100 f");
    assert!(fieldexpire.starts_with("expiring(k at 1000000100000): EVAL"), "{fieldexpire}");
}

/// Members of a set (`a` for ever, `b` for 5 s after the base, `c` for 9 s) at `now_s` after the base.
fn restored(translator: &mut Translator, now_s: u64) -> Treatment {
    let raw = Bytes::from_static(b"\x03\x01a\xc0\xff\x01b\xc0\x05\x01c\xc0\x09");
    let args = vec!["RESTORE".into(), "k".into(), "0".into(), rdb::dump::payload(rdb::Kind::SetTtl, &raw)];
    let record = journal::Record { db: 0, txid: 0, kind: journal::RecordKind::Command, args };
    translator.record(record, (rdb::MEMBER_TTL_BASE + now_s) * 1000)
}

#[test]
fn a_payload_tells_when_its_members_expire_and_goes_out_whole() {
    let mut translator = standalone();
    translator.set_member_ttls(scheduled());
    // Past their time: whether they have expired is for the source to tell.
    for (now_s, left, earliest) in
        [(1, "abc", Some(5)), (64, "abc", Some(5)), (65, "ac", Some(9)), (69, "a", None)]
    {
        let treatment = restored(&mut translator, now_s);
        let (commands, at_s) = match treatment {
            Treatment::Expiring { commands, expiry } => {
                (commands, Some(expiry.at_ms / 1000 - rdb::MEMBER_TTL_BASE))
            }
            Treatment::Send(commands) => (commands, None),
            other => panic!("{other:?}"),
        };
        assert_eq!(at_s, earliest, "at {now_s}");
        let [command] = commands.as_slice() else { panic!("{commands:?}") };
        assert_eq!(command.args[0], "RESTORE");
        let (kind, raw) = rdb::dump::parse(&command.args[3]).unwrap();
        assert_eq!(kind, rdb::Kind::Set);
        let members: String = rdb::Pieces::new(kind, raw, &rdb::Limits::default())
            .map(|piece| match piece.unwrap() {
                rdb::Piece::Set(members) => members.iter().map(|m| char::from(m[0])).collect::<String>(),
                other => panic!("{other:?}"),
            })
            .collect();
        assert_eq!(members, left, "at {now_s}");
    }
    // Without the policy what has expired by our clock goes at once, and the rest stays for ever.
    let Treatment::Reduced { commands, .. } = restored(&mut standalone(), 6) else { panic!() };
    assert_eq!(commands.as_slice().len(), 2, "UNLINK and SADD: {commands:?}");
}

#[test]
fn claims_create_their_consumer() {
    let create = "XGROUP CREATECONSUMER k g c ; ";
    // The last one from a client: of entries that are not there nothing is claimed.
    for line in ["XCLAIM k g c 0 1-0", "XAUTOCLAIM k g c 0 0", "XCLAIM k g c 0 1-0 FORCE JUSTID LASTID 2-0"] {
        assert_eq!(treat(&mut standalone(), 0, line), format!("{create}{line}"));
    }
    assert_eq!(
        treat(&mut cluster(), 3, "XCLAIM k g c 0 1-0"),
        "XGROUP CREATECONSUMER db3:k g c ; XCLAIM db3:k g c 0 1-0"
    );
}

#[test]
fn setting_a_groups_id_keeps_its_counter() {
    let script = treat(&mut cluster(), 3, "XGROUP SETID k g $");
    assert!(script.starts_with("EVAL local") && script.ends_with(" 1 db3:k g $"), "{script}");
    let mut redis_6 = Translator::new(Mapping::keep(), dialect((6, 2, 14), false));
    assert_eq!(treat(&mut redis_6, 0, "XGROUP SETID k g $"), "XGROUP SETID k g $");
}

#[test]
fn types_that_the_target_lacks() {
    table(
        &mut standalone(),
        &[
            ("JSON.SET k $ 1", "lacking(JSON: k)"),
            ("JSON.MSET a $ 1 b $ 2", "lacking(JSON: a b)"),
            ("JSON.SET k $ 1 NX", "reduced(JSON: k): "),
            ("JSON.DEL k $", "reduced(JSON: k): "),
            ("BF.ADD k a", "reduced(Bloom filter: k): "),
            ("BF.LOADCHUNK k 1 x", "lacking(Bloom filter: k)"),
            ("CMS.INCRBY k a 1", "reduced(count-min sketch: k): "),
            ("CMS.MERGE d 2 a b", "reduced(count-min sketch: d a b): "),
            ("TOPK.ADD k a", "reduced(Top-K: k): "),
            ("CF.ADD k a", "reduced(cuckoo filter: k): "),
        ],
    );
    let modules = command::Dialect::new(
        command::Flavour::Redis,
        (8, 0, 0),
        false,
        ["JSON.SET", "JSON.MSET", "JSON.NUMINCRBY", "BF.ADD", "BF.LOADCHUNK", "CMS.MERGE", "RENAME"],
    );
    let mut translator = Translator::new(Mapping::keep(), modules.into());
    table(
        &mut translator,
        &[
            ("JSON.SET k $ 1", "DEL k ; JSON.SET k $ 1"),
            ("JSON.SET k . 1", "DEL k ; JSON.SET k $ 1"),
            ("JSON.SET k $ 1 NX", "document: k"),
            ("JSON.SET k $.x 1", "document: k"),
            ("JSON.MSET a $ 1 b $ 2", "DEL a ; JSON.SET a $ 1 ; DEL b ; JSON.SET b $ 2"),
            ("JSON.MSET a $ 1 b $.x 2", "document: a b"),
            ("JSON.NUMINCRBY k $.x 2", "document: k"),
            // their commands are there, and do not help
            ("BF.ADD k a", "reduced(Bloom filter: k): "),
            ("BF.LOADCHUNK k 1 x", "lacking(Bloom filter: k)"),
            ("CMS.MERGE d 2 a b", "reduced(count-min sketch: d a b): "),
            ("RENAME a b", "RENAME a b"),
            ("SET k v", "SET k v"),
            ("APPEND k v", "no APPEND: k"),
        ],
    );
}

#[test]
fn truncated_records_are_not_executed() {
    table(
        &mut standalone(),
        &[
            ("SORT j:sorted", "truncated: j:sorted"),
            ("SORT src DESC", "truncated: src"),
            ("SORT STORE", "truncated: "),
            ("SORT src STORE", "truncated: src"),
            ("GEORADIUS geo", "truncated: geo"),
            ("GEORADIUSBYMEMBER d", "truncated: d"),
            ("CMS.MERGE c2", "truncated: c2"),
            ("CMS.MERGE c3 c1", "truncated: c3 c1"),
            ("ZRANGESTORE d", "truncated: d"),
            ("ZUNIONSTORE d 2 a", "truncated: d 2 a"),
            ("SUNIONSTORE d a b", "truncated: d a b"),
            ("PFMERGE d a", "truncated: d a"),
            ("BITOP AND d a", "truncated: d a"),
        ],
    );
}

#[test]
fn unknown_commands_are_never_sent() {
    table(&mut standalone(), &[("FROBNICATE k v", "unknown FROBNICATE: k"), ("NOARGS", "unknown NOARGS: ")]);
    table(&mut standalone(), &[("EVAL x 1 k", "unknown EVAL: x"), ("set k v", "set k v")]);
}

#[test]
fn malformed_records_are_never_sent() {
    for line in [
        "SET",
        "SET k",
        "GET",
        "RENAME a",
        "MSET a 1 b",
        "MSET",
        "DEL",
        "XGROUP CREATE",
        "MOVE k",
        "MOVE k x",
        "INCR",
    ] {
        let treatment = standalone().record(record(0, line), NOW_MS);
        assert!(matches!(treatment, Treatment::NotInSync { .. }), "{line}: {treatment:?}");
    }
}

#[test]
fn over_the_whole_server() {
    let mut translator = standalone();
    table(
        &mut translator,
        &[
            ("FLUSHALL", "FlushAll"),
            ("FLUSHALL ASYNC", "FlushAll"),
            ("FLUSHDB", "FlushDb(0)"),
            ("DFLYCLUSTER FLUSHSLOTS 10001 16383", "FlushSlots([(10001, 16383)])"),
            ("DFLYCLUSTER FLUSHSLOTS 0 1 5 5", "FlushSlots([(0, 1), (5, 5)])"),
            ("DFLYCLUSTER FLUSHSLOTS 0 16384", "malformed: "),
            ("DFLYCLUSTER FLUSHSLOTS 0", "malformed: "),
            ("DFLYCLUSTER CONFIG x", "malformed: "),
            ("SCRIPT FLAGS sha f", "ignore(script flags)"),
        ],
    );
    let load =
        journal::Record { args: vec!["SCRIPT".into(), "LOAD".into(), "return 7".into()], ..record(0, "X") };
    assert_eq!(support::show(&translator.record(load, NOW_MS)), "broadcast: SCRIPT LOAD return 7");
    let mut drops = Translator::new(
        Mapping::with_rules([(1, Rule::Drop)].into(), false).unwrap(),
        dialect((7, 0, 15), false),
    );
    assert_eq!(treat(&mut drops, 1, "FLUSHDB"), "ignore(dropped database)");
    assert_eq!(treat(&mut drops, 1, "FLUSHALL"), "FlushAll");
    assert_eq!(treat(&mut drops, 1, "SET k v"), "ignore(dropped database)");
}

#[test]
fn moved_keys() {
    assert_eq!(treat(&mut standalone(), 0, "MOVE k 3"), "MOVE k 3");
    assert_eq!(treat(&mut standalone(), 2, "MOVE k 3"), "[2] MOVE k 3");
    assert_eq!(treat(&mut cluster(), 0, "MOVE k 3"), "Move k -> db3:k");
    assert_eq!(treat(&mut cluster(), 3, "MOVE k 0"), "Move db3:k -> k");
    let mapping =
        Mapping::with_rules([(1, Rule::Prefix("p:".into())), (2, Rule::Drop)].into(), false).unwrap();
    let mut mixed = Translator::new(mapping, dialect((7, 0, 15), false));
    assert_eq!(treat(&mut mixed, 0, "MOVE k 1"), "Move k -> p:k");
    assert_eq!(treat(&mut mixed, 0, "MOVE k 2"), "droppeddatabase: k");
    assert_eq!(treat(&mut mixed, 2, "MOVE k 0"), "droppeddatabase: k");
    assert_eq!(treat(&mut mixed, 0, "MOVE k 5"), "MOVE k 5");
    assert_eq!(treat(&mut mixed, 0, "COPY k k DB 5"), "Copy { replace: false } k -> [5]k");
    assert_eq!(treat(&mut mixed, 0, "COPY a b REPLACE"), "COPY a b REPLACE");
}

#[test]
fn across_slots() {
    let mut translator = cluster();
    table(
        &mut translator,
        &[
            ("RENAME a b", "Rename a -> b"),
            ("RENAMENX a b", "RenameNx a -> b"),
            ("RENAME {x}a {x}b", "RENAME {x}a {x}b"),
            ("COPY a b REPLACE", "Copy { replace: true } a -> b"),
            ("LMOVE a b LEFT RIGHT", "crossslot: a b"),
            ("SORT a STORE b", "crossslot: a b"),
            ("SORT {x}a BY w_* STORE {x}b", "crossslot: {x}a {x}b"),
            ("MSETNX {x}a 1 {x}b 2", "conditional: {x}a {x}b"),
        ],
    );
}

#[test]
fn lists_of_keys_are_split_by_slot() {
    let mut translator = cluster();
    // a: 15495, b: 3300, {a}x: 15495
    table(
        &mut translator,
        &[
            ("DEL a b {a}x", "DEL a {a}x ; DEL b"),
            ("UNLINK b", "UNLINK b"),
            ("MSET a 1 b 2 {a}x 3 a 4", "MSET a 1 {a}x 3 a 4 ; MSET b 2"),
            ("MSET a 1 {a}x 3", "MSET a 1 {a}x 3"),
        ],
    );
    let Treatment::Send(commands) = translator.record(record(0, "DEL a b {a}x"), NOW_MS) else { panic!() };
    for command in commands {
        assert_eq!((command.slot, command.db), (slot(&command.key), 0));
        assert_eq!(command.effect, Effect::Overwrite);
        assert!(command::table::keys(&command.args).iter().all(|key| slot(key) == command.slot));
    }
}

#[test]
fn expired_records_are_executed_as_their_command() {
    let mut expired = record(0, "DEL k");
    expired.kind = journal::RecordKind::Expired;
    assert_eq!(support::show(&standalone().record(expired, NOW_MS)), "DEL k");
}

#[test]
fn old_targets_get_no_new_options() {
    let mut redis_6 = Translator::new(Mapping::keep(), dialect((6, 2, 14), false));
    table(
        &mut redis_6,
        &[
            ("XGROUP SETID k g 1-0 ENTRIESREAD 2", "XGROUP SETID k g 1-0"),
            ("XGROUP CREATE k g 0 MKSTREAM ENTRIESREAD 2", "XGROUP CREATE k g 0 MKSTREAM"),
            ("XSETID k 9-0 ENTRIESADDED 4 MAXDELETEDID 1-0", "XSETID k 9-0"),
        ],
    );
}

#[test]
fn effects() {
    for (line, effect) in [
        ("SET k v", Effect::Overwrite),
        ("SET k v PXAT 5", Effect::Overwrite),
        ("SET k v KEEPTTL", Effect::Repeatable),
        ("DEL k", Effect::Overwrite),
        ("HSET k f v", Effect::Repeatable),
        ("ZADD k NX CH 1 a", Effect::Repeatable),
        ("ZADD k CH INCR 1 a", Effect::NotRepeatable),
        ("PREPEND k v", Effect::NotRepeatable),
        ("XGROUP SETID k g 1-0 ENTRIESREAD 1", Effect::Repeatable),
        ("XGROUP CREATE k g 1-0", Effect::NotRepeatable),
        ("RENAME a b", Effect::Moving),
        ("MOVE a 1", Effect::Moving),
        ("LPOP k", Effect::NotRepeatable),
    ] {
        let Treatment::Send(commands) = standalone().record(record(0, line), NOW_MS) else {
            panic!("{line}")
        };
        assert_eq!(commands.as_slice()[0].effect, effect, "{line}");
    }
}

#[test]
fn collisions_stop_in_both_orders() {
    let expected =
        "collision: the keys db1:a of database 0 and a of database 1 would both be named db1:a on the target";
    let mut known_first = cluster();
    assert_eq!(treat(&mut known_first, 1, "SET other v"), "SET db1:other v");
    assert_eq!(treat(&mut known_first, 0, "SET db1:a v"), expected);
    assert_eq!(treat(&mut known_first, 0, "MSET x 1 db1:a v"), expected);
    assert_eq!(treat(&mut known_first, 0, "RENAME x db1:a"), expected);
    assert_eq!(treat(&mut known_first, 0, "PREPEND db1:a v"), expected);
    let mut key_first = cluster();
    assert_eq!(treat(&mut key_first, 0, "SET db1:a v"), "SET db1:a v");
    assert_eq!(treat(&mut key_first, 1, "SET other v"), expected);
    assert_eq!(treat(&mut key_first, 0, "MOVE x 1"), expected);
    // another flow's translator shares what is known
    let mapping = Mapping::prefixed();
    let mut flows = [0, 1].map(|_| Translator::new(mapping.clone(), dialect((7, 0, 15), true)));
    treat(&mut flows[0], 1, "SET other v");
    assert_eq!(treat(&mut flows[1], 0, "SET db1:a v"), expected);
}

#[test]
fn arguments_are_not_copied() {
    let record = record(0, "SET key value");
    let pointers: Vec<_> = record.args.iter().map(|arg| arg.as_ptr()).collect();
    let Treatment::Send(commands) = standalone().record(record, NOW_MS) else { panic!() };
    let sent: Vec<_> = commands.as_slice()[0].args.iter().map(|arg| arg.as_ptr()).collect();
    assert_eq!(sent, pointers);
    assert_eq!(words("a \"\"").len(), 2);
}

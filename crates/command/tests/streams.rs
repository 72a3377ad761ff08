//! Streams of every shape, dumped by a real server, brought to another name, and compared by ordinary commands.

#![allow(clippy::unwrap_used)]

mod support;

use std::sync::Arc;

use bytes::Bytes;
use command::{Dialect, Mapping, MissingKind, Translator};
use rdb::{Begin, KeyMeta, Kind, Limits, Value};
use scenarios::{
    client::Client,
    logical,
    servers::{RedisOptions, RedisServer},
};
use support::{NOW_MS, apply, apply::Target};

/// Commands that make the stream `s`, by the name of the shape.
const SHAPES: &[(&str, &[&str])] = &[
    ("no entry ever", &["XGROUP CREATE s g 0 MKSTREAM", "XGROUP DESTROY s g"]),
    ("no entry ever, but a group", &["XGROUP CREATE s g $ MKSTREAM", "XGROUP CREATECONSUMER s g c"]),
    ("all deleted", &["XADD s 5-5 a b", "XADD s 6-0 a b", "XDEL s 6-0 5-5"]),
    ("trimmed", &["XADD s 1-1 a b", "XADD s 2-1 a b", "XTRIM s MAXLEN 1", "XGROUP CREATE s g 0"]),
    ("repeated and empty fields", &["XADD s 1-1 a 1 a 2 b 3", "XADD s 1-2 a 1"]),
    ("id moved ahead", &["XADD s 1-1 a b", "XSETID s 99-7 ENTRIESADDED 40 MAXDELETEDID 50-1"]),
    ("largest ids", &["XADD s 18446744073709551615-18446744073709551614 a b"]),
    (
        "several groups",
        &[
            "XADD s 1-1 a b",
            "XADD s 2-1 a b",
            "XADD s 3-1 a b",
            "XADD s 4-1 a b",
            "XGROUP CREATE s g1 0",
            "XGROUP CREATE s g2 2-1 ENTRIESREAD 2",
            "XGROUP CREATE s g3 $",
            "XREADGROUP GROUP g1 alice COUNT 2 STREAMS s >",
            "XREADGROUP GROUP g1 bob COUNT 1 STREAMS s >",
            "XREADGROUP GROUP g2 alice STREAMS s >",
            "XREADGROUP GROUP g1 alice STREAMS s 0",
            "XACK s g1 1-1",
            "XCLAIM s g2 carol 0 3-1 TIME 123456789 RETRYCOUNT 17 FORCE",
            "XGROUP CREATECONSUMER s g1 idle",
        ],
    ),
    (
        "deleted, but not what is pending",
        &[
            "XADD s 1-1 a b",
            "XADD s 2-1 a b",
            "XADD s 3-1 a b",
            "XGROUP CREATE s g 0",
            "XREADGROUP GROUP g c COUNT 1 STREAMS s >",
            "XDEL s 3-1 2-1",
        ],
    ),
];

/// Streams whose pending entries no command can rebuild on Redis 7.
const DELETED_PENDING: &[(&str, &[&str])] = &[
    (
        "pending and deleted",
        &[
            "XADD s 1-1 a b",
            "XADD s 2-1 a b",
            "XGROUP CREATE s g 0",
            "XREADGROUP GROUP g c STREAMS s >",
            "XDEL s 1-1",
        ],
    ),
    (
        "pending and trimmed",
        &[
            "XADD s 1-1 a b",
            "XADD s 2-1 a b",
            "XGROUP CREATE s g 0",
            "XREADGROUP GROUP g c STREAMS s >",
            "XTRIM s MAXLEN 1",
        ],
    ),
];

/// Makes the stream `s`, and returns it as a snapshot would bring it, under the name `copy`.
fn made(client: &mut Client, commands: &[&str]) -> Value {
    client.call(&["FLUSHALL"]);
    for line in commands {
        client.call(&line.split(' ').collect::<Vec<_>>());
    }
    let redis::Value::BulkString(payload) = client.call(&["DUMP", "s"]) else { panic!("no payload") };
    let (kind, payload) = rdb::dump::parse(&Bytes::from(payload)).unwrap();
    assert_eq!(kind, Kind::Stream2, "what Redis 7.0 writes");
    let meta = KeyMeta { db: 0, key: "copy".into(), expire_at_ms: None, sticky: false, mc_flags: None };
    Value { meta, kind, payload }
}

fn assert_same(server: &RedisServer, shape: &str) {
    let contents = logical::read_server(&server.endpoint());
    let of = |name: &str| {
        contents.get(&(0, name.as_bytes().to_vec())).unwrap_or_else(|| panic!("{shape}: no {name}"))
    };
    assert_eq!(of("copy"), of("s"), "{shape}");
    let mut client = server.client();
    let groups = |client: &mut Client, name: &str| format!("{:?}", client.call(&["XINFO", "GROUPS", name]));
    assert_eq!(groups(&mut client, "copy"), groups(&mut client, "s"), "{shape}: lag included");
    assert_eq!(pending(&mut client, "copy"), pending(&mut client, "s"), "{shape}: delivery times included");
}

/// The pending entries of all groups: id, consumer, delivery time, delivery count.
fn pending(client: &mut Client, name: &str) -> Vec<redis::Value> {
    let redis::Value::Array(groups) =
        field(client.call(&["XINFO", "STREAM", name, "FULL", "COUNT", "0"]), "groups")
    else {
        panic!("no groups");
    };
    groups.into_iter().map(|group| field(group, "pending")).collect()
}

/// A field of a flat reply of names and values.
fn field(reply: redis::Value, name: &str) -> redis::Value {
    let redis::Value::Array(flat) = reply else { panic!("not flat") };
    let is_name = |value: &redis::Value| *value == redis::Value::BulkString(name.into());
    let at = flat.iter().position(is_name).unwrap_or_else(|| panic!("no {name}"));
    flat[at + 1].clone()
}

/// Brings a value in pieces; returns what was reported missing.
fn in_pieces(
    server: &RedisServer,
    dialect: &Arc<Dialect>,
    value: &Value,
    limits: &Limits,
) -> Vec<MissingKind> {
    let mut translator = Translator::new(Mapping::keep(), dialect.clone());
    let mut target = Target::new(server);
    let begin = Begin { id: 7, meta: value.meta.clone(), kind: value.kind };
    target.take(translator.begin(begin, NOW_MS));
    for piece in value.pieces(limits) {
        target.take(translator.piece(7, piece.unwrap(), NOW_MS).unwrap());
    }
    target.take(translator.end(7).unwrap());
    target.flush();
    assert_eq!(target.applied.refused, []);
    assert_eq!(target.applied.sent.get("RESTORE"), None);
    assert!(translator.end(7).is_err(), "an ended value is forgotten");
    target.applied.reduced.into_keys().collect()
}

#[test]
fn rebuilt_exactly() {
    let server = RedisServer::start(RedisOptions::default());
    let dialect = apply::ask(&server);
    for (shape, commands) in SHAPES {
        let value = made(&mut server.client(), commands);
        for piece in [1, 64 << 10] {
            let missing = in_pieces(&server, &dialect, &value, &Limits { piece, ..Limits::default() });
            assert_eq!(missing, [], "{shape}");
            assert_same(&server, shape);
        }
    }
}

#[test]
fn restored_exactly() {
    let server = RedisServer::start(RedisOptions::default());
    let dialect = apply::ask(&server);
    for (shape, commands) in SHAPES.iter().chain(DELETED_PENDING) {
        let value = made(&mut server.client(), commands);
        let mut target = Target::new(&server);
        target.take(Translator::new(Mapping::keep(), dialect.clone()).value(value, NOW_MS).unwrap());
        target.flush();
        assert_eq!(target.applied.refused, [], "{shape}");
        assert!(target.applied.reduced.is_empty(), "{shape}");
        assert_same(&server, shape);
    }
}

#[test]
fn deleted_pending_entries_are_reported() {
    let server = RedisServer::start(RedisOptions::default());
    let dialect = apply::ask(&server);
    for (shape, commands) in DELETED_PENDING {
        let value = made(&mut server.client(), commands);
        let missing = in_pieces(&server, &dialect, &value, &Limits::default());
        assert_eq!(missing, [MissingKind::DeletedPending], "{shape}");
    }
}

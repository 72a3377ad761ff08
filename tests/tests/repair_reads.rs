//! Keys read from a source behind a fence and placed on a real server: every type, equal to the source.
#![allow(clippy::unwrap_used)]

use std::sync::Arc;

use bytes::Bytes;
use command::{Dialect, Flavour, Mapping, SourceKey, Translator, Treatment};
use repair::{Batch, Cause, Limits, Outcome, Reader, ReaderOptions, Repairs, Rules, Value};
use scenarios::client::Client;
use scenarios::logical::{diff, read_server, report};
use scenarios::servers::{Dragonfly, DragonflyOptions, RedisOptions, RedisServer, Simulated, on_runtime};
use scenarios::source::Source;

fn reader(addr: &str, directory: &tempfile::TempDir) -> Reader {
    let connect = resp::ConnectOptions::new(addr);
    Reader::new(ReaderOptions::new(connect, directory.path().join("repair")), Rules::all()).unwrap()
}

fn key(db: u32, name: impl AsRef<[u8]>) -> SourceKey {
    SourceKey { db, key: Bytes::copy_from_slice(name.as_ref()) }
}

fn replid(client: &mut Client) -> String {
    client.info("replication", "master_replid").unwrap()
}

fn batch(keys: &[SourceKey]) -> Batch {
    Batch { id: 1, keys: keys.to_vec(), big: false, tries: 0 }
}

/// Places values on a Redis through the translation that the flows use.
struct Placer {
    server: RedisServer,
    client: Client,
    translator: Translator,
    db: u32,
}

impl Placer {
    fn new() -> Placer {
        let server = RedisServer::start(RedisOptions::default());
        let mut client = Client::open(&server.endpoint()).unwrap();
        let info = client.text(&["INFO", "server"]);
        let (flavour, version) = Dialect::identify(&info).unwrap();
        assert_eq!(flavour, Flavour::Redis);
        let dialect = Dialect::assumed(flavour, version, false);
        let translator = Translator::new(Mapping::keep(), Arc::new(dialect));
        Placer { server, client, translator, db: 0 }
    }

    fn place(&mut self, key: &SourceKey, value: Value) {
        match value {
            Value::Absent => self.send(key.db, &[Bytes::from_static(b"UNLINK"), key.key.clone()]),
            Value::Items(items) => items.into_iter().for_each(|item| self.item(item)),
            Value::File(spilled) => {
                let mut items = spilled.items();
                while let Some(item) = items.next().unwrap() {
                    self.item(item);
                }
            }
            other => panic!("{key:?}: {other:?}"),
        }
    }

    fn item(&mut self, item: rdb::Item) {
        let treatment = match item {
            rdb::Item::Value(value) => self.translator.value(value, 0).unwrap(),
            rdb::Item::Begin(begin) => self.translator.begin(begin, 0),
            rdb::Item::Piece { id, piece } => self.translator.piece(id, piece, 0).unwrap(),
            rdb::Item::End { id } => self.translator.end(id).unwrap(),
            other => panic!("{other:?}"),
        };
        match treatment {
            Treatment::Send(commands) | Treatment::Reduced { commands, .. } => {
                for command in commands {
                    self.send(command.db, &command.args);
                }
            }
            other => panic!("{other:?}"),
        }
    }

    fn send(&mut self, db: u32, args: &[Bytes]) {
        if self.db != db {
            self.client.call(&["SELECT", &db.to_string()]);
            self.db = db;
        }
        self.client.call(args);
    }
}

fn many(head: &[&str], n: u64, each: impl Fn(u64) -> Vec<String>) -> Vec<String> {
    let mut args: Vec<String> = head.iter().map(|word| (*word).to_owned()).collect();
    (0..n).for_each(|i| args.extend(each(i)));
    args
}

/// Keys of every type that the target has, small and large, with and without expiry.
fn fill(client: &mut Client) {
    let later = "1999999999123";
    let lines = [
        "SET string text",
        "SET number 12345678901",
        "SET expiring text PXAT 1999999999123",
        "RPUSH list a b a",
        "SADD set a b c",
        "SADD intset 1 2 -3",
        "HSET hash f v g w",
        "ZADD zset 1234567.891 a 0.30000000000000004 b inf c -inf d 5e-324 e 1.7976931348623157e308 f 17 g",
        "XADD stream 5-1 f v",
        "XADD stream 5-2 f v g w",
        "XGROUP CREATE stream group 5-1",
        "SADD expiring-set a",
        "RPUSH expiring-list a",
    ];
    for line in lines {
        client.call(&line.split(' ').collect::<Vec<_>>());
    }
    // the simulator does not have it
    let _ = client.try_call(&["PFADD", "hyperloglog", "a", "b", "c"]);
    client.call(&["SET", "empty", ""]);
    client.call(&[b"SET".as_slice(), b"bin\r\nary \0\xff", b"\xff\r\n\0"]);
    client.call(&["PEXPIREAT", "expiring-set", later]);
    client.call(&["PEXPIREAT", "expiring-list", later]);
    client.call(&many(&["HSET", "hash-300"], 300, |i| vec![format!("f{i}"), format!("v{i}")]));
    client.call(&many(&["SADD", "set-300"], 300, |i| vec![format!("m{i}")]));
    client.call(&["SET", "string-3m", &"0123456789".repeat(300_000)]);
    client.call(&many(&["RPUSH", "list-20k"], 20_000, |i| vec![format!("element {i}")]));
    client.call(&many(&["RPUSH", "list-of-large"], 30, |i| vec![i.to_string().repeat(60_000)]));
    client.call(&many(&["HSET", "hash-20k"], 20_000, |i| vec![format!("f{i}"), format!("v{i}")]));
    client.call(&many(&["SADD", "set-20k"], 20_000, |i| vec![format!("m{i}")]));
    client
        .call(&many(&["ZADD", "zset-20k"], 20_000, |i| vec![(i as f64 / 7.0).to_string(), format!("m{i}")]));
    for key in ["string-3m", "zset-20k", "hash-20k"] {
        client.call(&["PEXPIREAT", key, later]);
    }
    client.call(&["SELECT", "3"]);
    client.call(&["SET", "string", "another"]);
    client.call(&["SELECT", "0"]);
}

#[test]
fn every_type_is_read_as_it_is() {
    for source in Source::each("every_type_is_read_as_it_is", 2) {
        let mut client = source.client();
        fill(&mut client);
        let directory = tempfile::tempdir().unwrap();
        let mut reader = reader(&source.addr(), &directory);
        assert_eq!(on_runtime(reader.may_read()).unwrap(), Ok(()));
        let id = replid(&mut client);
        let mut placer = Placer::new();
        let expected = read_server(&source.endpoint());
        // what the target has of these is of another type
        placer.client.call(&["RPUSH", "string", "stale"]);
        placer.client.call(&["SET", "hash-20k", "stale"]);
        placer.client.call(&["SET", "gone", "stale"]);
        let mut repairs = Repairs::new(0, 2, Limits { keys_per_fence: 7, ..Limits::default() }, Rules::all());
        for (db, name) in expected.keys() {
            repairs.begin(key(*db, name), Cause::Difference, 0);
        }
        repairs.begin(key(0, "gone"), Cause::Difference, 0);
        let mut files = 0;
        for fences in 0.. {
            let Some(batch) = repairs.wants_fence(fences) else { break };
            assert!(fences < 100, "does not come to an end");
            match on_runtime(reader.read(&batch, &id)) {
                Outcome::Fence(fence) => {
                    repairs.fence_answer(batch.id, fence.r0[0], fence.r1[0], fence.values);
                }
                Outcome::Void(reason) => panic!("{}: {reason}", source.name()),
            }
            while let Some(placement) = repairs.due(u64::MAX, u64::MAX) {
                files += usize::from(matches!(placement.value, Value::File(_)));
                placer.place(&placement.key, placement.value);
                assert_eq!(repairs.settled(placement.token), Some(placement.key));
            }
        }
        assert_eq!(repairs.repairing_len(), 0, "{:?}", repairs.status().collect::<Vec<_>>());
        assert_eq!(files, 6, "{}: values that went through a file", source.name());
        let found = diff(&expected, &read_server(&placer.server.endpoint()));
        assert!(found.is_empty(), "{}: {}", source.name(), report(&found));
        println!("{}: {} keys read, {files} through a file", source.name(), expected.len());
    }
}

/// Only a real Dragonfly has members with TTLs that are read apart; a Redis 7.0 target cannot hold them.
#[test]
fn members_with_ttls_keep_them() {
    let Some(source) = Dragonfly::start_or_skip("members_with_ttls_keep_them", DragonflyOptions::default())
    else {
        return;
    };
    let mut client = Client::open(&source.endpoint()).unwrap();
    client.call(&["HSETEX", "hash", "5000", "f", "v", "g", "w"]);
    client.call(&["SADDEX", "set", "5000", "a", "b"]);
    client.call(&many(&["HSET", "hash-20k"], 20_000, |i| vec![format!("f{i}"), format!("v{i}")]));
    client.call(&["HSETEX", "hash-20k", "5000", "f1", "v1"]);
    let directory = tempfile::tempdir().unwrap();
    let mut reader = reader(&source.addr(), &directory);
    let id = replid(&mut client);
    for (name, big) in [("hash", false), ("set", false), ("hash-20k", true)] {
        let mut tries = 0;
        let value = loop {
            let batch = Batch { big, ..batch(&[key(0, name)]) };
            let Outcome::Fence(mut fence) = on_runtime(reader.read(&batch, &id)) else { panic!("{name}") };
            if let Some((_, value)) = fence.values.pop() {
                break value;
            }
            tries += 1;
            assert!(tries < 3, "{name} is not read");
        };
        assert!(has_member_ttl(value), "{name}");
    }
}

fn has_member_ttl(value: Value) -> bool {
    let in_item = |item: rdb::Item| match item {
        rdb::Item::Value(value) => matches!(value.kind, rdb::Kind::HashTtl | rdb::Kind::SetTtl),
        rdb::Item::Piece { piece: rdb::Piece::HashTtl(fields), .. } => fields.iter().any(|f| f.2.is_some()),
        _ => false,
    };
    match value {
        Value::Items(items) => items.into_iter().any(in_item),
        Value::File(spilled) => {
            let mut items = spilled.items();
            let mut found = false;
            while let Some(item) = items.next().unwrap() {
                found |= in_item(item);
            }
            found
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn rule_13_another_incarnation_voids_the_fence() {
    for mut source in Source::each("rule_13_another_incarnation_voids_the_fence", 2) {
        let mut client = source.client();
        client.call(&["SET", "a", "1"]);
        let id = replid(&mut client);
        let directory = tempfile::tempdir().unwrap();
        let mut reader = reader(&source.addr(), &directory);
        let batches = [batch(&[key(0, "a")]), Batch { big: true, ..batch(&[key(0, "a")]) }];
        for batch in &batches {
            assert!(matches!(on_runtime(reader.read(batch, &id)), Outcome::Fence(_)));
        }
        source.restart_empty();
        // the connection of before is broken, or leads to the new process
        for batch in batches.iter().chain(&batches) {
            let outcome = on_runtime(reader.read(batch, &id));
            assert!(matches!(outcome, Outcome::Void(_)), "{}: {outcome:?}", source.name());
        }
        let id = replid(&mut source.client());
        let outcome = on_runtime(reader.read(&batches[0], &id));
        let Outcome::Fence(fence) = outcome else { panic!("{outcome:?}") };
        assert!(matches!(fence.values[..], [(_, Value::Absent)]));
        // the switch: without the rule the new process is believed
        let options =
            ReaderOptions::new(resp::ConnectOptions::new(source.addr()), directory.path().join("repair"));
        let mut careless = Reader::new(options, Rules::all().without(13)).unwrap();
        assert!(matches!(on_runtime(careless.read(&batches[0], "another")), Outcome::Fence(_)));
    }
}

#[test]
fn a_forbidden_read_is_told() {
    let source = Simulated::start();
    let directory = tempfile::tempdir().unwrap();
    let commands =
        ["DUMP", "DFLY REPLICAOFFSET", "HSCAN", "SELECT", "EXISTS", "TIME", "PTTL", "MEMORY", "FIELDTTL"];
    for command in commands {
        source.handle().faults().deny(command);
        let mut reader = reader(&source.addr(), &directory);
        let refused = on_runtime(reader.may_read()).unwrap().unwrap_err();
        assert!(refused.contains("NOPERM") && refused.starts_with(&command[..4]), "{command}: {refused}");
        source.handle().faults().allow(command);
    }
    assert_eq!(on_runtime(reader(&source.addr(), &directory).may_read()).unwrap(), Ok(()));
}

#[test]
fn a_source_that_loads_forbids_nothing() {
    let source = Simulated::start();
    let directory = tempfile::tempdir().unwrap();
    source.handle().set_loading(true);
    let told = on_runtime(reader(&source.addr(), &directory).may_read());
    assert!(told.is_err(), "{told:?}: repair would be off for as long as the process is attached");
    source.handle().set_loading(false);
    // In the middle of the questions: a takeover begins.
    source.handle().faults().reply_once("SSCAN", "-LOADING Dragonfly is loading the dataset in memory\r\n");
    let told = on_runtime(reader(&source.addr(), &directory).may_read());
    assert!(told.is_err(), "{told:?}");
    assert_eq!(on_runtime(reader(&source.addr(), &directory).may_read()).unwrap(), Ok(()));
}

#[test]
fn a_forbidden_read_is_told_by_the_real_one() {
    let name = "a_forbidden_read_is_told_by_the_real_one";
    let Some(source) = Dragonfly::start_or_skip(name, DragonflyOptions::default()) else { return };
    let mut client = Client::open(&source.endpoint()).unwrap();
    client.call(&["ACL", "SETUSER", "reader", "ON", ">secret", "+@ALL", "~*"]);
    client.call(&["ACL", "SETUSER", "writer", "ON", ">secret", "+@ALL", "-DUMP", "~*"]);
    let directory = tempfile::tempdir().unwrap();
    for (user, may) in [("reader", true), ("writer", false)] {
        let mut connect = resp::ConnectOptions::new(source.addr());
        connect.username = Some(user.to_owned());
        connect.password = "secret".into();
        let mut reader =
            Reader::new(ReaderOptions::new(connect, directory.path().into()), Rules::all()).unwrap();
        let permission = on_runtime(reader.may_read()).unwrap();
        assert_eq!(permission.is_ok(), may, "{user}: {permission:?}");
    }
}

/// One counter is the only thing that changes, one record each. So the value read must be that of the LSN, for each
/// fence with an untouched window, however fast the counter runs.
#[test]
fn the_value_is_exactly_that_of_the_fence() {
    let name = "the_value_is_exactly_that_of_the_fence";
    let one = || DragonflyOptions { threads: 1, ..DragonflyOptions::default() };
    let Some(source) = Dragonfly::start_or_skip(name, one()) else { return };
    let flags = vec![format!("--replicaof={}", source.addr())];
    let _replica = Dragonfly::start_or_skip(name, DragonflyOptions { flags, ..one() }).unwrap();
    let mut client = Client::open(&source.endpoint()).unwrap();
    let lsn = |client: &mut Client| match client.call(&["DFLY", "REPLICAOFFSET"]) {
        redis::Value::Array(items) => scenarios::client::as_number(&items[0]).unwrap(),
        other => panic!("{other:?}"),
    };
    // the journal runs from the replica's first full sync on
    scenarios::wait::until(std::time::Duration::from_secs(30), "the journal runs", || {
        let before = lsn(&mut client);
        client.call(&["INCR", "counter"]);
        lsn(&mut client) > before
    });
    let count = client.number(&["INCR", "counter"]);
    let ahead = lsn(&mut client) - count;
    let id = replid(&mut client);
    let directory = tempfile::tempdir().unwrap();
    let options = ReaderOptions::new(resp::ConnectOptions::new(source.addr()), directory.path().into());
    let options = ReaderOptions { pause_writes_ms: 100, ..options };
    let mut reader = Reader::new(options, Rules::all()).unwrap();
    let stop = std::sync::atomic::AtomicBool::new(false);
    let untouched = std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut client = Client::open(&source.endpoint()).unwrap();
            while !stop.load(std::sync::atomic::Ordering::Relaxed) {
                (0..5).for_each(|_| client.queue(&["INCR", "counter"]));
                client.flush().unwrap();
            }
        });
        let mut untouched = 0;
        for round in 0..350 {
            // the last ones with writes paused
            let tries = if round < 300 { 0 } else { Reader::PAUSE_AFTER };
            let batch = Batch { tries, ..batch(&[key(0, "counter")]) };
            let Outcome::Fence(fence) = on_runtime(reader.read(&batch, &id)) else { panic!("void") };
            let [(_, Value::Items(items))] = &fence.values[..] else { panic!("{:?}", fence.values) };
            let [rdb::Item::Value(value)] = &items[..] else { panic!("{items:?}") };
            let count: i64 = std::str::from_utf8(&value.as_string().unwrap()).unwrap().parse().unwrap();
            let at = u64::try_from(count + ahead).unwrap();
            assert!(
                (fence.r0[0]..=fence.r1[0]).contains(&at),
                "{at} is not in {:?}..{:?}",
                fence.r0,
                fence.r1
            );
            assert!(tries == 0 || fence.r0 == fence.r1, "a write came although writes are paused");
            untouched += usize::from(tries == 0 && fence.r0 == fence.r1);
        }
        stop.store(true, std::sync::atomic::Ordering::Relaxed);
        untouched
    });
    println!("{untouched} of 300 windows were untouched");
    assert!(untouched > 0, "no window was untouched");
}

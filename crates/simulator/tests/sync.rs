//! Full and partial sync of the live master, applied to a real redis-server and compared with ordinary commands.
#![allow(clippy::unwrap_used)]

mod common;

use common::follow::{Follower, apply, until_all};
use common::target::{RedisServer, assert_same, contents};
use common::{Client, Replica, Resp, until};
use simulator::{Handle, Release, Reply, Simulator};

/// A seeded source of choices; the seed stands in every failing assertion.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, n: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % n
    }
}

const KEYS: u64 = 3000;
/// Large lists that are left alone: of a dozen chunks each, more than the decoder gathers before it begins a value.
const CALM: usize = 8;

fn words(s: &str) -> Vec<String> {
    s.split(' ').map(str::to_owned).collect()
}

/// One random write; keys of different types have different names, so that nothing fails for its type.
fn random_write(d: &mut Dice) -> (u16, Vec<String>) {
    let db = if d.roll(8) == 0 { 3 } else { 0 };
    let i = d.roll(KEYS);
    let n = d.roll(1_000_000);
    let j = d.roll(KEYS);
    let far = 1_900_000_000_000 + n;
    let line = match d.roll(30) {
        0 => format!("SET str:{i} new-{n}"),
        1 => format!("SET str:{i} kept-{n} KEEPTTL"),
        2 => format!("SET str:{i} ttl-{n} EX 100000"),
        3 => format!("INCRBY num:{i} {n}"),
        4 => format!("APPEND app:{i} -{n}"),
        5 => format!("DEL str:{i} hash:{j}"),
        6 => format!("HSET hash:{i} f{} {n}", n % 7),
        7 => format!("HDEL hash:{i} f{}", n % 7),
        8 => format!("RPUSH list:{i} a{n} b{n}"),
        9 => format!("LPOP list:{i}"),
        10 => format!("LMOVE list:{i} list:{j} LEFT RIGHT"),
        11 => format!("SADD set:{i} {n} m{n}"),
        12 => format!("SPOP set:{i}"),
        13 => format!("SMOVE set:{i} set:{j} m{n}"),
        14 => format!("ZADD zset:{i} {} z{}", n as f64 / 8.0, n % 9),
        15 => format!("ZINCRBY zset:{i} 1.5 z{}", n % 9),
        16 => format!("ZPOPMIN zset:{i}"),
        17 => format!("PEXPIREAT hash:{i} {far}"),
        18 => format!("PERSIST hash:{i}"),
        19 => format!("RENAME str:{i} str:{j}"),
        20 => format!("COPY set:{i} set:{j} REPLACE"),
        21 => format!("MSET str:{i} x{n} str:{j} y{n}"),
        22 => format!("SUNIONSTORE set:{i} set:{j} set:{}", n % KEYS),
        23 => format!("SET fresh:{n} v{n}"),
        24 => format!("RPUSH big:list {n}"),
        25 => format!("SADD big:set extra-{n}"),
        26 => format!("HSET big:hash field-{} changed-{n}", n % 4000),
        27 => format!("ZADD big:zset {n} m{}", n % 4000),
        28 => format!("MOVE str:{i} 5"),
        _ => format!("LTRIM list:{i} 0 5"),
    };
    (db, words(&line))
}

fn fill(master: &Handle, d: &mut Dice) {
    let put = |line: String| assert!(!master.execute(0, &words(&line)).is_error(), "{line}");
    for i in 0..KEYS {
        put(format!("SET str:{i} value-{i}-{}", "lorem".repeat((i % 9) as usize)));
        put(format!("SET num:{i} {}", d.roll(1 << 40)));
        match i % 4 {
            0 => put(format!("HSET hash:{i} f0 v f1 {i} f2 x")),
            1 => put(format!("RPUSH list:{i} 1 two 3")),
            2 => put(format!("SADD set:{i} 1 2 3")),
            _ => put(format!("ZADD zset:{i} 1 z1 2.5 z2")),
        }
        if i % 10 == 0 {
            master.execute(3, &words(&format!("SET str:{i} other-db EX 90000")));
        }
    }
    for i in 0..4000u64 {
        put(format!("RPUSH big:list item-{i}-{}", "p".repeat(60)));
        put(format!("SADD big:set member-{i}-{}", "q".repeat(60)));
        put(format!("HSET big:hash field-{i} value-{i}-{}", "r".repeat(60)));
        put(format!("ZADD big:zset {} m{i}-{}", i as f64 * 0.37, "s".repeat(60)));
    }
    put(format!("SET big:string {}", "t".repeat(300_000)));
    // Nobody writes to these, so that nothing forces their chunks out early.
    for n in 0..CALM {
        let items: Vec<String> = (0..12_000).map(|i| format!("{n}-{i}-{}", "u".repeat(60))).collect();
        put(format!("RPUSH calm:{n} {}", items.join(" ")));
    }
    put("PEXPIREAT big:set 1950000000000".to_owned());
}

async fn write_some(client: &mut Client, d: &mut Dice, n: usize) {
    for _ in 0..n {
        let (db, args) = random_write(d);
        client.send(&["SELECT", &db.to_string()]).await;
        client.send(&args).await;
        client.reply().await.unwrap();
        client.reply().await.unwrap();
    }
}

async fn compare(master: &Handle, target: &RedisServer, seed: u64) {
    let (source, copy) = (contents(master.addr()).await, contents(target.addr).await);
    assert_same(&source, &copy, &format!("seed {seed}"));
    assert!(source.len() > KEYS as usize);
}

async fn full_sync_under_writes(release: Release, seed: u64) {
    let shards = 3;
    let master = Simulator::builder()
        .shards(shards)
        .release(release)
        .seed(seed)
        .output_limit(256 << 20)
        .start()
        .await
        .unwrap();
    let mut dice = Dice(seed);
    fill(&master, &mut dice);
    let mut client = Client::open(master.addr()).await;
    let mut replica = Replica::attach(master.addr(), None).await;
    assert_eq!(replica.kinds, vec!["FULL"; shards]);
    (0..shards).for_each(|i| master.faults().stall_flow(i));
    assert_eq!(replica.sync().await, Resp::ok());
    write_some(&mut client, &mut dice, 3000).await;
    (0..shards).for_each(|i| master.faults().resume_flow(i));
    write_some(&mut client, &mut dice, 1000).await;

    let mut followers: Vec<Follower> = (0..shards).map(|_| Follower::full()).collect();
    until_all("the cut", &replica, &mut followers, |_, f| f.cut).await;
    write_some(&mut client, &mut dice, 200).await;
    assert_eq!(replica.start_stable().await, Resp::ok());
    write_some(&mut client, &mut dice, 1000).await;
    let lsns = master.lsns();
    until_all("the end", &replica, &mut followers, |i, f| f.offset.is_some() && f.next == lsns[i]).await;

    let blobs: usize = followers.iter().map(|f| f.blobs).sum();
    let offsets: u64 = followers.iter().map(|f| f.offset.unwrap() - 1).sum();
    let interleaved: usize = followers.iter().map(|f| f.interleaved).sum();
    assert!(blobs > 1000, "{blobs} blobs");
    assert!(followers.iter().any(|f| f.blobs_after_cut > 0));
    let split: usize = followers.iter().map(|f| f.split).sum();
    assert_eq!(split, 5 + CALM, "one of each type, and the calm ones");
    match release {
        Release::V1_40 => {
            assert!(interleaved > 0, "tagged chunks interleave: {interleaved}");
            assert!(offsets > blobs as u64, "some writes were omitted: {offsets} {blobs}");
        }
        _ => {
            assert_eq!(interleaved, 0, "split values are contiguous");
            assert_eq!(offsets, blobs as u64);
        }
    }
    for (i, f) in followers.iter().enumerate() {
        assert_eq!(f.token.as_ref(), Some(&replica.tokens[i]));
    }

    let target = RedisServer::start().await;
    let errors = apply(&mut Client::open(target.addr).await, &mut followers).await;
    assert!(errors.is_empty(), "seed {seed}: {errors:?}");
    compare(&master, &target, seed).await;
}

/// The seed of a run, `SIMULATOR_SEED` in place of the usual one.
fn seed(usual: u64) -> u64 {
    let seed = std::env::var("SIMULATOR_SEED").ok().and_then(|s| s.parse().ok()).unwrap_or(usual);
    println!("seed {seed}");
    seed
}

#[tokio::test]
async fn full_sync_under_writes_1_40() {
    full_sync_under_writes(Release::V1_40, seed(20_261_120)).await;
}

#[tokio::test]
async fn full_sync_under_writes_1_34() {
    full_sync_under_writes(Release::V1_34, seed(20_261_121)).await;
}

#[tokio::test]
async fn partial_sync_resumes_at_the_first_missed_record() {
    let master = Simulator::builder().shards(2).start().await.unwrap();
    let mut replica = Replica::attach(master.addr(), None).await;
    assert_eq!(replica.greeting, 5);
    replica.reach_stable().await;
    (0..50).for_each(|i| drop(master.execute(0, &["SET", &format!("k{i}"), "1"])));
    let lsns = master.lsns();
    drop(replica);
    until("the attachment to go", || master.attachments().is_empty()).await;
    (0..30).for_each(|i| drop(master.execute(0, &["INCR", &format!("k{i}")])));

    let mut replica = Replica::attach(master.addr(), Some(&lsns)).await;
    assert_eq!(replica.kinds, ["PARTIAL", "PARTIAL"]);
    assert_eq!(replica.sync().await, Resp::Error("ERR invalid state".into()));
    assert_eq!(replica.start_stable().await, Resp::ok());
    let mut followers: Vec<Follower> = lsns.iter().map(|&n| Follower::partial(n)).collect();
    let now = master.lsns();
    until_all("the missed records", &replica, &mut followers, |i, f| f.next == now[i]).await;
    assert_eq!(followers.iter().map(|f| f.actions.len()).sum::<usize>(), 30);
    assert!(followers.iter().flat_map(|f| &f.actions).all(|(_, a)| a[0] == "INCR"));
    assert_eq!(master.full_syncs(), 1);

    // Beyond what the master has, and mixed answers.
    let ahead: Vec<u64> = now.iter().map(|n| n + 1000).collect();
    assert_eq!(Replica::attach(master.addr(), Some(&ahead)).await.kinds, ["FULL", "FULL"]);
    let mut mixed = Replica::attach(master.addr(), Some(&[now[0], now[1] + 5])).await;
    assert_eq!(mixed.kinds, ["PARTIAL", "FULL"]);
    assert_eq!(mixed.sync().await, Resp::Error("ERR invalid state".into()));

    // Evicted from the ring, and refused by script.
    master.faults().shrink_backlog(3);
    assert_eq!(Replica::attach(master.addr(), Some(&lsns)).await.kinds, ["FULL", "FULL"]);
    master.faults().refuse_partial(1, 1);
    assert_eq!(Replica::attach(master.addr(), Some(&now)).await.kinds, ["PARTIAL", "FULL"]);
    assert_eq!(Replica::attach(master.addr(), Some(&now)).await.kinds, ["PARTIAL", "PARTIAL"]);
}

#[tokio::test]
async fn partial_sync_of_1_34_comes_as_a_snapshot_of_blobs() {
    let master = Simulator::builder().shards(2).release(Release::V1_34).start().await.unwrap();
    (0..50).for_each(|i| drop(master.execute(0, &["SET", &format!("k{i}"), "1"])));
    let mut replica = Replica::attach(master.addr(), None).await;
    assert_eq!((replica.greeting, replica.version), (4, 4));
    replica.reach_stable().await;
    let lsns = master.lsns();
    drop(replica);
    until("the attachment to go", || master.attachments().is_empty()).await;
    (0..30).for_each(|i| drop(master.execute(0, &["INCR", &format!("k{i}")])));
    let mut replica = Replica::attach(master.addr(), Some(&lsns)).await;
    assert_eq!(replica.kinds, ["PARTIAL", "PARTIAL"]);
    assert_eq!(replica.start_stable().await, Resp::Error("ERR invalid state".into()));
    assert_eq!(replica.sync().await, Resp::ok());
    let mut followers = vec![Follower::full(), Follower::full()];
    until_all("the cut", &replica, &mut followers, |_, f| f.cut).await;
    assert_eq!(replica.start_stable().await, Resp::ok());
    let now = master.lsns();
    until_all("the offsets", &replica, &mut followers, |i, f| f.offset == Some(now[i])).await;
    assert_eq!(followers.iter().map(|f| f.blobs).sum::<usize>(), 30);
    assert_eq!(followers.iter().map(|f| f.actions.len()).sum::<usize>(), 30);
    assert_eq!(master.full_syncs(), 1);
}

#[tokio::test]
async fn a_flush_in_a_full_sync_is_followed_by_what_it_removed() {
    let master = Simulator::builder().shards(2).output_limit(256 << 20).start().await.unwrap();
    fill(&master, &mut Dice(7));
    let mut replica = Replica::attach(master.addr(), None).await;
    (0..2).for_each(|i| master.faults().stall_flow(i));
    assert_eq!(replica.sync().await, Resp::ok());
    assert_eq!(master.execute(0, &["FLUSHALL"]), Reply::OK);
    master.execute(0, &["SET", "after", "1"]);
    (0..2).for_each(|i| master.faults().resume_flow(i));
    let mut followers = vec![Follower::full(), Follower::full()];
    until_all("the cut", &replica, &mut followers, |_, f| f.cut).await;
    assert!(followers.iter().all(|f| f.flushes == 1 && f.entries_after_flush > 100));
    assert_eq!(master.execute(0, &["DBSIZE"]), Reply::Int(1));
}

#[tokio::test]
async fn a_dump_of_every_type_loads_into_redis() {
    let master = Simulator::builder().shards(3).start().await.unwrap();
    fill(&master, &mut Dice(8));
    for line in [
        "SET int 12345",
        "SET neg -129",
        "SADD ints 1 70000 -70000",
        "SADD ints64 1 5000000000",
        "ZADD odd inf a -inf b 1e-300 c 0.1 d 9007199254740993 e",
    ] {
        master.execute(0, &words(line));
    }
    let target = RedisServer::start().await;
    let mut to = Client::open(target.addr).await;
    let mut from = Client::open(master.addr()).await;
    let keys = from.call(&["KEYS", "*"]).await;
    for key in keys.items() {
        let key = key.text();
        let payload = from.call(&["DUMP", &key]).await;
        let Resp::Bulk(payload) = payload else { panic!("{key}: {payload:?}") };
        let at = from.call(&["PEXPIRETIME", &key]).await.text();
        let at = if at == "-1" { "0".to_owned() } else { at };
        let reply = to.call(&[b"RESTORE", key.as_bytes(), at.as_bytes(), &payload, b"ABSTTL"]).await;
        assert_eq!(reply, Resp::ok(), "{key}");
        // And back: the master reads what Redis writes, except for encodings of newer RDB versions.
        assert_eq!(
            from.call(&[b"RESTORE", b"copy".as_slice(), b"0", &payload, b"REPLACE"]).await,
            Resp::ok(),
            "{key}"
        );
        assert_eq!(from.call(&["DUMP", "copy"]).await, Resp::Bulk(payload), "{key}");
    }
    from.call(&["DEL", "copy"]).await;
    let source: Vec<String> =
        contents(master.addr()).await.into_iter().filter(|l| l.starts_with("0 ")).collect();
    assert_same(&source, &contents(target.addr).await, "dumped and restored");
}

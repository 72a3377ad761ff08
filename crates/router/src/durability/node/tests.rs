use super::*;
use crate::durability::info::Replica;

fn replication(replid: &str, offset: u64, replicas: &[u64]) -> Replication {
    Replication {
        role: Role::Master,
        replid: replid.into(),
        former: None,
        offset,
        replicas: replicas.iter().map(|&offset| Replica { online: true, offset }).collect(),
    }
}

fn disk(last_save: u64, saving: bool) -> Persistence {
    Persistence { loading: false, aof: false, aof_rewriting: false, aof_writes: true, last_save, saving }
}

fn aof() -> Persistence {
    Persistence { aof: true, ..disk(0, false) }
}

fn info(run_id: &str, replication: Replication, persistence: Persistence) -> NodeInfo {
    NodeInfo { run_id: run_id.into(), replication, persistence: Some(persistence), keys: 10 }
}

/// A node, and the polls of it.
struct Bench {
    node: Node,
    replid: &'static str,
}

impl Bench {
    fn new(first: NodeInfo) -> Bench {
        Self::with(first, Settings::default())
    }

    fn with(first: NodeInfo, settings: Settings) -> Bench {
        let mut bench = Bench { node: Node::new(settings), replid: "id" };
        bench.observe(first);
        bench
    }

    fn observe(&mut self, info: NodeInfo) {
        let (number, now) = (self.node.begin(), Instant::now());
        assert!(self.node.observe(number, now, info, now));
    }

    /// A poll that finds `offset`, and replicas that have acknowledged so much; its number.
    fn poll(&mut self, offset: u64, replicas: &[u64]) -> u64 {
        let (number, now) = (self.node.begin(), Instant::now());
        let found = replication(self.replid, offset, replicas);
        assert!(self.node.polled(number, now, &found, found.clone(), now));
        number
    }

    fn poll_disk(&mut self, persistence: Persistence) -> u64 {
        let number = self.poll(0, &[]);
        self.node.saved(number, persistence, 10, Instant::now());
        number
    }

    /// A write acknowledged now has this tag.
    fn tag(&self) -> u64 {
        self.node.started
    }

    fn is_settled(&self, tag: u64) -> bool {
        let verdict = self.node.verdict();
        verdict.at_once || tag < verdict.settled
    }

    fn ending(&self) -> &Ending {
        self.node.endings.last().expect("an incarnation ended")
    }

    fn is_lost(&self, tag: u64) -> bool {
        let ending = self.ending();
        tag <= ending.at && tag >= ending.safe
    }
}

async fn pass(seconds: u64) {
    tokio::time::advance(Duration::from_secs(seconds)).await;
}

#[tokio::test(start_paused = true)]
async fn a_write_is_settled_when_every_replica_has_it() {
    let mut bench = Bench::new(info("run", replication("id", 0, &[0, 0]), disk(0, false)));
    let tag = bench.tag();
    bench.poll(100, &[100, 60]);
    assert!(!bench.is_settled(tag), "one replica lacks it");
    bench.poll(150, &[150, 100]);
    assert!(bench.is_settled(tag));
    let later = bench.tag();
    assert!(!bench.is_settled(later), "no poll was sent after this one's reply");
    pass(3600).await;
    bench.poll(200, &[200, 150]);
    assert!(!bench.is_settled(later), "however long it takes");
}

#[tokio::test(start_paused = true)]
async fn without_replicas_at_once_and_with_lost_ones_after_the_window() {
    let mut bench = Bench::new(info("run", replication("id", 0, &[]), disk(0, false)));
    assert!(bench.is_settled(bench.tag()));
    bench.poll(10, &[10]);
    let tag = bench.tag();
    pass(1).await;
    bench.poll(20, &[]);
    assert!(!bench.is_settled(tag), "the replica that left may come back as the master");
    for _ in 0..9 {
        pass(1).await;
        bench.poll(20, &[]);
    }
    assert!(!bench.is_settled(tag));
    pass(1).await;
    bench.poll(20, &[]);
    assert!(bench.is_settled(tag), "the loss window has passed");
    assert!(!bench.is_settled(bench.tag()));
    pass(60).await;
    bench.poll(20, &[]);
    assert!(bench.is_settled(bench.tag()), "it is not missed for ever");
    bench.node.has_replicas = true;
    bench.poll(20, &[]);
    assert!(!bench.is_settled(bench.tag()), "the cluster knows one");
}

#[tokio::test(start_paused = true)]
async fn a_node_that_may_not_be_asked_leaves_the_clock() {
    let mut node = Node::new(Settings::default());
    node.denied = true;
    for _ in 0..10 {
        let (number, now) = (node.begin(), Instant::now());
        node.passed(number, now, now);
        assert_eq!(node.verdict(), Verdict::default());
        pass(1).await;
    }
    let (number, now) = (node.begin(), Instant::now());
    node.passed(number, now, now);
    assert_eq!(node.verdict(), Verdict { settled: 1, at_once: false, forget: 1 });
}

#[tokio::test(start_paused = true)]
async fn a_successor_keeps_what_lies_below_its_first_own_offset() {
    let mut bench = Bench::new(info("run", replication("id", 0, &[0]), disk(0, false)));
    let early = bench.tag();
    bench.poll(100, &[50]);
    let middle = bench.tag();
    bench.poll(200, &[50]);
    let late = bench.tag();
    assert!(!bench.node.continued_by("unknown", 1, "b:2", Instant::now()));
    // It has 199 bytes of the history, so all of the first poll and not all of the second.
    assert!(bench.node.continued_by("id", 200, "b:2", Instant::now()));
    assert_eq!((bench.is_lost(early), bench.is_lost(middle), bench.is_lost(late)), (false, true, true));
    assert_eq!(bench.ending().remains, Remains::Elsewhere);
    assert!(!bench.node.continued_by("id", 200, "b:2", Instant::now()), "told once");
}

#[tokio::test(start_paused = true)]
async fn a_handover_that_was_waited_for_loses_nothing() {
    let mut bench = Bench::new(info("run", replication("id", 0, &[0]), disk(0, false)));
    let tag = bench.tag();
    bench.poll(200, &[50]);
    bench.node.continued_by("id", 201, "b:2", Instant::now());
    assert!(!bench.is_lost(tag));
}

#[tokio::test(start_paused = true)]
async fn in_doubt_everything_within_the_window_is_lost() {
    let mut bench = Bench::new(info("run", replication("id", 0, &[0]), disk(0, false)));
    let old = bench.tag();
    bench.poll(100, &[100]);
    pass(5).await;
    let young = bench.tag();
    bench.poll(200, &[200]);
    pass(5).await;
    bench.poll(200, &[200]);
    assert!(bench.is_settled(old) && bench.is_settled(young));
    bench.node.succeeded(Instant::now());
    assert!(!bench.is_lost(old) && bench.is_lost(young));
}

#[tokio::test(start_paused = true)]
async fn what_a_snapshot_holds_is_what_came_before_it_began() {
    let mut bench = Bench::new(info("run", replication("id", 0, &[]), disk(100, false)));
    let before = bench.tag();
    bench.poll_disk(disk(100, false));
    let during = bench.tag();
    bench.poll_disk(disk(100, true));
    let later = bench.tag();
    bench.poll_disk(disk(200, false));
    let new = replication("new", 0, &[]);
    bench.observe(info("other", new, disk(300, false)));
    assert_eq!((bench.is_lost(before), bench.is_lost(during), bench.is_lost(later)), (false, true, true));
    assert_eq!(bench.ending().remains, Remains::OnDisk);
    assert!(bench.tag() > bench.ending().at, "tags of the next incarnation are its own");
    // What came from the disk is there at the next restart, too.
    let next = bench.tag();
    bench.observe(info("third", replication("newer", 0, &[]), disk(400, false)));
    assert_eq!(bench.ending().safe, next);
}

#[tokio::test(start_paused = true)]
async fn without_persistence_a_restart_loses_everything() {
    let mut bench = Bench::new(info("run", replication("id", 0, &[]), disk(100, false)));
    bench.poll_disk(disk(100, false));
    bench.observe(info("other", replication("new", 0, &[]), disk(300, false)));
    assert_eq!((bench.ending().safe, bench.ending().beyond), (0, false));
    let mut empty = info("third", replication("newer", 0, &[]), disk(400, false));
    empty.keys = 0;
    bench.observe(empty);
    assert!(bench.ending().beyond, "nothing of what the disk held came back");
}

#[tokio::test(start_paused = true)]
async fn an_append_only_file_lacks_its_last_seconds_or_nothing() {
    for (fsync, lost) in [(Fsync::Always, [false; 3]), (Fsync::EverySecond, [false, true, true])] {
        let mut bench = Bench::new(info("run", replication("id", 0, &[]), aof()));
        bench.node.fsync = Some(fsync);
        let old = bench.tag();
        bench.poll_disk(aof());
        pass(1).await;
        let young = bench.tag();
        bench.poll_disk(aof());
        pass(1).await;
        bench.poll_disk(aof());
        let last = bench.tag();
        bench.observe(info("other", replication("new", 0, &[]), aof()));
        assert_eq!([old, young, last].map(|tag| bench.is_lost(tag)), lost, "{fsync:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_append_only_file_counts_from_its_completion_and_while_writes_succeed() {
    let mut bench = Bench::new(info("run", replication("id", 0, &[]), disk(0, false)));
    bench.node.fsync = Some(Fsync::Always);
    bench.poll_disk(Persistence { aof_rewriting: true, ..aof() });
    assert!(!bench.node.has_on_disk(0), "it is being made");
    bench.poll_disk(aof());
    assert!(bench.node.has_on_disk(bench.tag()));
    bench.poll_disk(Persistence { aof_rewriting: true, ..aof() });
    assert!(bench.node.has_on_disk(bench.tag()), "made anew, the old one holds");
    let tag = bench.tag();
    bench.poll_disk(Persistence { aof_writes: false, ..aof() });
    bench.poll_disk(Persistence { aof_writes: false, ..aof() });
    assert!(!bench.node.has_on_disk(tag + 1), "writes to it fail");
    bench.poll_disk(disk(0, false));
    assert!(!bench.node.has_on_disk(0), "switched off, a restart does not read it");
}

#[tokio::test(start_paused = true)]
async fn a_snapshot_that_names_its_offset_says_more_than_the_clock() {
    let mut bench = Bench::new(info("run", replication("id", 0, &[0]), disk(100, false)));
    let old = bench.tag();
    bench.poll(100, &[100]);
    let saved = bench.tag();
    bench.poll(200, &[200]);
    let mut loaded = replication("new", 150, &[]);
    loaded.former = Some(("id".into(), 151));
    bench.observe(info("other", loaded, disk(300, false)));
    assert_eq!((bench.is_lost(old), bench.is_lost(saved)), (false, true));
}

#[tokio::test(start_paused = true)]
async fn a_replica_ends_nothing_until_its_successor_is_known() {
    let mut bench = Bench::new(info("run", replication("id", 0, &[0]), disk(0, false)));
    let tag = bench.tag();
    bench.poll(100, &[100]);
    let mut follows = replication("new", 300, &[]);
    follows.role = Role::Replica;
    bench.observe(info("run", follows, disk(0, false)));
    assert!(bench.node.endings.is_empty() && bench.node.away);
    let found = replication("id", 100, &[100]);
    let (number, now) = (bench.node.begin(), Instant::now());
    assert!(!bench.node.polled(number, now, &found, found.clone(), now), "it has to be observed first");
    // It leads again before anybody saw who led meanwhile.
    pass(11).await;
    bench.observe(info("run", replication("newest", 400, &[]), disk(0, false)));
    assert!(!bench.is_lost(tag) || bench.ending().safe == 0);
    assert!(bench.is_lost(bench.ending().at));
}

#[tokio::test(start_paused = true)]
async fn an_answer_from_before_the_last_restart_changes_nothing() {
    let mut bench = Bench::new(info("run", replication("id", 0, &[]), disk(0, false)));
    let (slow, sent) = (bench.node.begin(), Instant::now());
    bench.observe(info("other", replication("new", 0, &[]), disk(0, false)));
    assert_eq!(bench.node.incarnation(), 1);
    let stale = info("run", replication("id", 0, &[]), disk(0, false));
    assert!(!bench.node.observe(slow, sent, stale, Instant::now()));
    assert_eq!(bench.node.incarnation(), 1);
}

#[tokio::test(start_paused = true)]
async fn without_the_rule_everything_is_settled_at_once() {
    let settings = Settings { rules: rules::Rules::all().without(27), ..Settings::default() };
    let first = info("run", replication("id", 0, &[0]), disk(0, false));
    let mut bench = Bench::with(first, settings);
    bench.poll(100, &[0]);
    assert!(bench.is_settled(bench.tag()));
}

//! Links that break in the middle of what a master sends: real ones, replayed, and the simulated one.
#![allow(clippy::unwrap_used)]

use std::time::Duration;

use scenarios::captures::{self, Capture};
use scenarios::known_differences::{self, KNOWN};
use scenarios::logical::{Name, diff, mapped, prefixed_with, read_server, wait_equal};
use scenarios::program::{Df2redis, number};
use scenarios::servers::{Cluster, ClusterOptions, RedisOptions, RedisServer, Replayed, Simulated};
use scenarios::target::Target;
use scenarios::workload::{Rng, seed};
use scenarios::{program::Settings, wait};
use simulator::{Release, Simulator};

const DEADLINE: Duration = Duration::from_secs(60);

/// Where the raw journal of a flow begins.
fn journal_at(capture: &Capture, flow: usize) -> u64 {
    let token = capture.meta.eof_tokens[flow].as_bytes();
    let at = capture.flows[flow].windows(token.len()).position(|window| window == token);
    (at.expect("a full sync has a token") + token.len()) as u64
}

/// Replays the capture with these cuts, and compares. Where `journal` is set, they are behind the barrier: the journal
/// begins only once it is passed, and each of them is followed by a partial sync.
fn survive(capture: &Capture, target: &Target, cuts: &[(usize, u64)], journal: bool) -> Option<String> {
    println!("{}/{} cut at {cuts:?}", capture.version, capture.scenario);
    let mut builder = Replayed::builder(&capture.version, &capture.scenario);
    for (flow, bytes) in cuts {
        builder = builder.cut(*flow, *bytes, 1);
    }
    if journal {
        builder = (0..capture.flows.len()).fold(builder, |b, flow| b.stall(flow, journal_at(capture, flow)));
    }
    let replay = Replayed::start_with(builder);
    let prefix = |db: u32| format!("from-db-{db}:");
    let settings = match target {
        Target::Standalone(server) => {
            server.client().call(&["FLUSHALL"]);
            Settings::replicate(&replay.addr(), "redis-standalone", &[server.addr()])
        }
        Target::Cluster(cluster) => {
            cluster.nodes().iter().for_each(|node| drop(node.client().call(&["FLUSHALL"])));
            let prefixes: serde_json::Map<_, _> =
                (1..16).map(|db| (db.to_string(), prefix(db).into())).collect();
            Settings::replicate(&replay.addr(), "redis-cluster", &cluster.seeds())
                .set("mapping.databases", prefixes)
        }
    };
    let mut program = Df2redis::replicate(settings);
    let all = cuts.len() as u64 + 1;
    if journal {
        program.wait_ready(DEADLINE);
        replay.handle().resume();
    }
    let done = wait::try_until_some(DEADLINE, &mut || {
        let end = replay.handle().attachments() >= all && replay.is_acknowledged();
        (end || !program.is_running()).then_some(())
    });
    assert!(done.is_some() && program.is_running(), "{cuts:?}: {}", program.output());
    let status = program.status().unwrap();
    assert_eq!(replay.handle().attachments(), all, "{}", program.output());
    let syncs = (number(&status, "full_syncs"), number(&status, "partial_syncs"));
    assert_eq!(syncs, if journal { (1, all - 1) } else { (all, 0) }, "{status}\n{}", program.output());
    let cluster = matches!(target, Target::Cluster(_));
    let map = |name: &Name| if cluster { prefixed_with(&prefix)(name) } else { Some(name.clone()) };
    let known = known_differences::of(KNOWN, &capture.version, &capture.scenario, cluster);
    let mut complaint = None;
    // Keys in doubt are read a while after the last record.
    wait::try_until_some(DEADLINE, &mut || {
        let found = diff(&mapped(&capture.expected(), map), &target.read());
        complaint = known_differences::complaint(&known, &found, map);
        complaint.is_none().then_some(())
    });
    complaint.map(|complaint| format!("{cuts:?}: {complaint}"))
}

fn targets() -> [Target; 2] {
    let standalone = Target::Standalone(RedisServer::start(RedisOptions::default()));
    [standalone, Target::Cluster(Cluster::start(ClusterOptions::default()))]
}

/// A link that is lost before the barrier: everything comes again, over what is there already.
#[test]
fn a_snapshot_that_breaks_off_comes_again_as_a_whole() {
    let seed = seed();
    let mut rng = Rng::new(seed);
    let mut complaints = Vec::new();
    for target in targets() {
        for scenario in ["commands", "types-zstd", "flush"] {
            let capture = captures::load("v1.40.1", scenario);
            // Both in one flow: two flows might be cut at the same time.
            let flow = rng.below(capture.flows.len() as u64) as usize;
            let mut place = || (flow, rng.below(journal_at(&capture, flow) - 40));
            complaints.extend(survive(&capture, &target, &[place(), place()], false));
        }
    }
    assert!(complaints.is_empty(), "seed {seed}: {}", complaints.join("\n"));
}

/// A link that is lost behind the barrier: the journal goes on where it was left, in the middle of a record or not, and
/// nothing is applied twice (INCR, LPUSH, APPEND) or not at all.
#[test]
fn a_journal_that_breaks_off_goes_on() {
    let seed = seed();
    let mut rng = Rng::new(seed);
    let mut complaints = Vec::new();
    for target in targets() {
        for scenario in ["commands", "commands"] {
            let capture = captures::load("v1.40.1", scenario);
            let flow = (0..capture.flows.len())
                .max_by_key(|flow| capture.flows[*flow].len() as u64 - journal_at(&capture, *flow))
                .unwrap();
            let (from, to) = (journal_at(&capture, flow), capture.flows[flow].len() as u64);
            let mut places: Vec<_> = (0..3).map(|_| from + 1 + rng.below(to - from)).collect();
            places.sort_unstable();
            places.dedup();
            let cuts: Vec<_> = places.into_iter().map(|place| (flow, place)).collect();
            complaints.extend(survive(&capture, &target, &cuts, true));
        }
    }
    assert!(complaints.is_empty(), "seed {seed}: {}", complaints.join("\n"));
}

/// Each flow brings its own copy of FLUSHDB and FLUSHALL, and the link is lost at every place between them.
#[test]
fn a_flush_is_executed_once_wherever_the_link_breaks() {
    let capture = captures::load("v1.40.1", "flush");
    let mut complaints = Vec::new();
    // Each kind of target takes every second place.
    for (kind, target) in targets().into_iter().enumerate() {
        for flow in 0..capture.flows.len() {
            let (from, to) = (journal_at(&capture, flow), capture.flows[flow].len() as u64);
            let places: Vec<u64> = (from + 1 + 7 * kind as u64..=to).step_by(14).collect();
            for part in places.chunks(4) {
                let cuts: Vec<_> = part.iter().map(|place| (flow, *place)).collect();
                complaints.extend(survive(&capture, &target, &cuts, true));
            }
        }
    }
    assert!(complaints.is_empty(), "{}", complaints.join("\n"));
}

/// Masters up to v1.34 send the missed records in the form of a snapshot, in which they have no LSN: which of them came
/// before the link broke cannot be told, so none is applied, and their keys are read instead.
#[test]
fn missed_records_that_break_off_are_not_applied_twice() {
    let source = Simulated::start_with(Simulator::builder().release(Release::V1_34));
    let target = RedisServer::start(RedisOptions::default());
    let settings = Settings::replicate(&source.addr(), "redis-standalone", &[target.addr()]);
    let mut program = Df2redis::replicate(settings);
    program.wait_ready(DEADLINE);
    assert_eq!(program.terminate().code(), 0);
    let mut client = source.client();
    for _ in 0..2_000 {
        client.queue(&["INCR", "counter"]);
        client.queue(&["RPUSH", "list", "element"]);
    }
    client.flush().unwrap();
    // Both keys belong to flow 0; compressed, their records are some 1 700 bytes.
    source.handle().faults().cut_flow(0, 900);
    program.again();
    program.wait_ready(DEADLINE);
    let read = |endpoint| move || read_server(&endpoint);
    wait_equal(DEADLINE, read(source.endpoint()), read(target.endpoint()));
    let status = program.status().unwrap();
    assert!(number(&status, "partial_syncs") >= 1, "{status}");
    assert_eq!(number(&status, "full_syncs"), 0, "{status}");
    assert!(number(&status["repair"], "done") >= 2, "{status}");
    assert!(program.output().contains("missed records"), "{}", program.output());
}

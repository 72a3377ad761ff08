use super::crash::{self, Backlog, Flow, Restart, Stored};
use super::lag::Samples;
use super::*;

const SOON: Duration = Duration::from_secs(10);

fn status() -> Arc<Status> {
    Status::new("source:1".into(), "target:2".into())
}

fn stable(flows: usize, full: Option<&str>) -> Arc<Status> {
    let status = status();
    status.enter(Phase::Connecting, "");
    status.enter(Phase::Attaching, "");
    status.attached("id", "1.40.1", flows, full);
    if full.is_some() {
        status.enter(Phase::Snapshot, "");
    }
    status.enter(Phase::Barrier, "");
    status.enter(Phase::Stable, "");
    status
}

fn second(start: Instant, n: u64) -> Instant {
    start + Duration::from_secs(n)
}

#[test]
fn the_lag_is_the_age_of_the_oldest_record_that_is_not_applied() {
    let start = Instant::now();
    let mut samples = Samples::default();
    for n in 0..=20 {
        samples.take(second(start, n), 100 + n * 10, 100);
    }
    // 110 was first seen after one second.
    assert_eq!(samples.lag(second(start, 20), 100), Duration::from_secs(19));
    // Up to 199: the sample of 200 is the first one above.
    assert_eq!(samples.lag(second(start, 20), 199), Duration::from_secs(10));
    assert_eq!(samples.lag(second(start, 20), 300), Duration::ZERO);
    assert_eq!(samples.rate(), 10.0);
    // The source falls quiet, and the target stands still.
    for n in 21..=40 {
        samples.take(second(start, n), 300, 199);
    }
    assert_eq!(samples.lag(second(start, 40), 199), Duration::from_secs(30));
    assert_eq!(samples.rate(), 0.0);
    assert_eq!(samples.age(second(start, 45)), Duration::from_secs(5));
}

#[test]
fn a_lag_of_days_takes_no_more_memory_and_keeps_its_beginning() {
    let start = Instant::now();
    let mut samples = Samples::default();
    for n in 0..200_000 {
        samples.take(second(start, n), n + 1, 0);
    }
    assert_eq!(samples.lag(second(start, 200_000), 0), Duration::from_secs(200_000));
    let size = format!("{samples:?}").matches("Instant").count();
    assert!(size < 2_000, "{size} samples");
}

#[test]
fn what_a_crash_costs_is_told_with_its_numbers() {
    let flows = [
        Flow { behind: 1_000, uncertain: 20, rate: 100.0 },
        Flow { behind: 100, uncertain: 3, rate: 2_000.0 },
    ];
    let report = crash::report(Stored::Position, Backlog::Known(8_192), &flows, 5);
    assert_eq!(report.restart, Restart::Partial);
    assert_eq!(
        (report.records_behind, report.backlog_records, report.keys_to_repair),
        (Some(1_000), Some(8_192), 28)
    );
    // (8192 - 100) / 2000 of the second flow, not (8192 - 1000) / 100 of the first.
    assert_eq!(report.seconds_left, Some(4));
    let quiet = flows.map(|flow| Flow { rate: 0.0, ..flow });
    assert_eq!(crash::report(Stored::Position, Backlog::Known(8_192), &quiet, 0).seconds_left, None);
    let report = crash::report(Stored::Position, Backlog::Known(999), &flows, 0);
    assert_eq!((report.restart, report.seconds_left), (Restart::Full, Some(0)));
    let report = crash::report(Stored::Position, Backlog::Unknown, &flows, 0);
    assert_eq!((report.restart, report.seconds_left), (Restart::Unknown, None));
    let report = crash::report(Stored::Nothing, Backlog::Known(8_192), &flows, 5);
    assert_eq!((report.restart, report.keys_to_repair), (Restart::Full, 0));
    // A guess decides nothing: neither an alarm nor an all-clear comes of it.
    for guess in [10, 1 << 40] {
        let report = crash::report(Stored::Position, Backlog::Assumed(guess), &flows, 0);
        assert_eq!(
            (report.restart, report.seconds_left, report.backlog_records),
            (Restart::Unknown, None, None)
        );
        assert_eq!(report.backlog_assumed, Some(guess));
        assert!(
            report.why.contains("assumed") && report.why.contains("source.backlog_records"),
            "{}",
            report.why
        );
    }
    assert_eq!(crash::report(Stored::Unknown, Backlog::Unknown, &[], 0).restart, Restart::Unknown);
    // A release that resumes nothing takes a full sync even if nothing was written since; one that only keeps nothing does not.
    let still = flows.map(|flow| Flow { behind: 0, ..flow });
    let report = crash::report(Stored::Position, Backlog::NoResume, &still, 0);
    assert_eq!((report.restart, report.backlog_records), (Restart::Full, None));
    assert!(report.why.contains("resumes nothing"), "{}", report.why);
    assert_eq!(crash::report(Stored::Position, Backlog::Known(0), &still, 0).restart, Restart::Partial);
    assert_eq!(crash::report(Stored::Position, Backlog::Known(0), &flows, 0).restart, Restart::Full);
}

#[test]
fn a_restart_is_partial_only_once_a_full_sync_was_completed() {
    let status = status();
    assert_eq!(status.report().crash.restart, Restart::Unknown);
    assert!(!status.owns_checkpoint());
    status.opened(false);
    status.set_backlog(Backlog::Known(1_000));
    assert!(status.owns_checkpoint());
    assert_eq!(status.report().crash.restart, Restart::Full);
    status.enter(Phase::Connecting, "");
    status.enter(Phase::Attaching, "");
    status.attached("id", "", 1, Some("no earlier position"));
    status.enter(Phase::Snapshot, "");
    assert_eq!(status.report().crash.restart, Restart::Full);
    status.enter(Phase::Barrier, "");
    status.enter(Phase::Stable, "");
    let flow = &status.flows()[0];
    flow.checkpointed.store(500, Relaxed);
    flow.reserved.store(600, Relaxed);
    flow.received.store(1_500, Relaxed);
    let crash = status.report().crash;
    assert_eq!(
        (crash.restart, crash.records_behind, crash.keys_to_repair),
        (Restart::Partial, Some(1_000), 100)
    );
    // The source says more than what it has sent so far.
    flow.source.store(1_501, Relaxed);
    assert_eq!(status.report().crash.restart, Restart::Full);
}

#[test]
fn what_does_not_exist_at_the_source_is_not_in_doubt() {
    let status = stable(2, None);
    status.opened(true);
    for flow in status.flows() {
        flow.checkpointed.store(1_000, Relaxed);
        flow.received.store(1_000, Relaxed);
        flow.reserved.store(9_192, Relaxed);
    }
    assert_eq!(status.report().crash.keys_to_repair, 0, "an idle source");
    status.flows()[0].source.store(1_030, Relaxed);
    assert_eq!(status.report().crash.keys_to_repair, 30);
    status.flows()[1].received.store(50_000, Relaxed);
    assert_eq!(status.report().crash.keys_to_repair, 30 + 8_192);
}

#[test]
fn the_report_adds_the_flows_up() {
    let status = stable(2, None);
    let [one, two] = &status.flows()[..] else { panic!("two flows") };
    one.set_spool(100, 20, false);
    two.set_spool(5, 0, true);
    let key = RepairingKey { db: 1, key: "a\n".into(), cause: "uncertain", stage: "fence" };
    let by_cause = BTreeMap::from([("uncertain", 2), ("refused", 1)]);
    one.set_repairing(Repairing { keys: 3, by_cause: by_cause.clone(), first: vec![key.clone(); 80] });
    two.set_repairing(Repairing { keys: 3, by_cause, first: vec![key; 80] });
    status.repaired("uncertain", 7);
    status.repaired("uncertain", 1);
    status.fences.store(9, Relaxed);
    let node = |unsettled, waiting: Option<&str>| NodeStatus {
        address: "n:1".into(),
        waiting: waiting.map(str::to_owned),
        unsettled,
    };
    one.set_nodes(vec![node(2, None)]);
    two.set_nodes(vec![node(3, Some("LOADING"))]);
    let report = status.report();
    assert_eq!(report.spool, SpoolReport { memory_bytes: 105, disk_bytes: 20, stalled: true });
    assert_eq!((report.repair.keys, report.repair.done, report.repair.fences), (6, 8, 9));
    assert_eq!(report.repair.by_cause, BTreeMap::from([("uncertain".into(), 4), ("refused".into(), 2)]));
    assert_eq!((report.repair.first.len(), report.repair.first[0].key.as_str()), (SHOWN_KEYS, "a\\n"));
    let expected = NodeReport { address: "n:1".into(), waiting: Some("LOADING".into()), unsettled: 5 };
    assert_eq!(report.nodes, [expected]);
}

#[test]
fn keys_not_in_sync_are_counted_by_reason() {
    let status = status();
    let entry = |reason: &str| NotInSync {
        db: 0,
        key: b"k".to_vec(),
        reason: reason.into(),
        flow: 0,
        lsn: 1,
        at_ms: 1,
    };
    status.set_not_in_sync(3, vec![entry("OOM"), entry("WRONGTYPE"), entry("OOM")]);
    let expected = BTreeMap::from([("OOM".to_owned(), 2), ("WRONGTYPE".to_owned(), 1)]);
    assert_eq!(status.report().not_in_sync_by_cause, expected);
    status.set_not_in_sync_by_cause(BTreeMap::from([("OOM".to_owned(), 2_000)]));
    assert_eq!(status.report().not_in_sync_by_cause["OOM"], 2_000);
}

#[tokio::test]
async fn a_silent_task_is_stuck_and_one_that_waits_with_ticks_is_not() {
    let status = status();
    let deadline = Duration::from_millis(200);
    let waiting = status.heart("flow 0", deadline);
    let (_never, mut closed) = tokio::sync::oneshot::channel::<()>();
    let task = tokio::spawn(async move {
        loop {
            tokio::select! {
                biased;
                _ = &mut closed => return,
                () = waiting.tick() => {}
            }
        }
    });
    let silent = status.heart("flow 1", deadline);
    let began = Instant::now();
    while status.stuck().is_empty() {
        assert!(began.elapsed() < SOON, "nobody noticed");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert!(began.elapsed() > deadline);
    let stuck: Vec<String> = status.stuck().into_iter().map(|stuck| stuck.task).collect();
    assert_eq!(stuck, ["flow 1"]);
    assert_eq!(status.report().stuck, ["flow 1: nothing for 0 s"]);
    // It comes back.
    silent.beat();
    assert_eq!(status.stuck(), []);
    // What is waited for from outside may take its time.
    silent.during(tokio::time::sleep(3 * deadline)).await;
    assert_eq!(status.stuck(), []);
    // A task that has ended is not stuck.
    task.abort();
    let _ = task.await;
    drop(silent);
    tokio::time::sleep(2 * deadline).await;
    assert_eq!(status.stuck(), []);
}

/// Looks once a second, from `from` on, and says who is stuck then.
fn look(
    stall: &mut Stall,
    from: Instant,
    seconds: u64,
    seen: &Seen<'_>,
    each: impl Fn(Instant),
) -> Vec<String> {
    for n in 0..=seconds {
        each(second(from, n));
        stall.look(second(from, n), seen);
    }
    stall.stuck(second(from, seconds)).into_iter().map(|stuck| stuck.task).collect()
}

#[test]
fn a_standstill_is_told_from_waiting() {
    let status = stable(2, None);
    let flows = status.flows();
    let seen = Seen { phase: Phase::Stable, steps: 0, flows: &flows, executing: false };
    let (start, mut stall) = (Instant::now(), Stall::default());
    let node =
        |unsettled| flows[0].set_nodes(vec![NodeStatus { address: "n:1".into(), waiting: None, unsettled }]);
    // The second flow moves all the time; the first one tells something, or not.
    let tells = |now: Instant| {
        flows[0].told_at(now);
        flows[1].applied.fetch_add(1, Relaxed);
    };
    let silent = |_: Instant| {
        flows[1].applied.fetch_add(1, Relaxed);
    };
    let stuck = ["the way from flow 0 of the source to the target"];
    flows[0].applied.store(10, Relaxed);
    flows[0].received.store(11, Relaxed);
    // Nobody knows what the target was sent.
    assert!(look(&mut stall, start, 100, &seen, tells).is_empty());
    // It was sent something: it is slow, or away.
    node(1);
    assert!(look(&mut stall, second(start, 100), 100, &seen, tells).is_empty());
    // It answered everything, and yet nothing of this flow is applied, whatever the other one does.
    node(0);
    assert!(look(&mut stall, second(start, 200), 55, &seen, tells).is_empty());
    assert_eq!(look(&mut stall, second(start, 255), 10, &seen, tells), stuck);
    // A key that stays under repair, because the target refuses it say, excuses nothing.
    flows[0].set_repairing(Repairing { keys: 1, ..Repairing::default() });
    assert_eq!(look(&mut stall, second(start, 265), 1, &seen, tells), stuck);
    // A global command is being executed.
    let executing = Seen { executing: true, ..seen };
    assert!(look(&mut stall, second(start, 270), 100, &executing, tells).is_empty());
    // It stands at one, and the other flow comes nearer to its own.
    flows[0].at_global.store(true, Relaxed);
    assert!(look(&mut stall, second(start, 400), 100, &seen, tells).is_empty());
    flows[0].at_global.store(false, Relaxed);
    // What it told last is long ago: its task waits for something that does not come.
    node(1);
    assert!(look(&mut stall, second(start, 500), 5, &seen, tells).is_empty());
    assert_eq!(look(&mut stall, second(start, 506), 80, &seen, silent), stuck);
    flows[0].applied.store(11, Relaxed);
    assert!(look(&mut stall, second(start, 600), 100, &seen, silent).is_empty());
}

#[test]
fn an_engine_that_does_not_try_to_start_or_to_attach_is_stuck() {
    for phase in [Phase::Starting, Phase::Connecting] {
        does_not_try(phase);
    }
}

fn does_not_try(phase: Phase) {
    let status = stable(1, None);
    let flows = status.flows();
    let seen = |steps| Seen { phase, steps, flows: &flows, executing: false };
    let (start, mut stall) = (Instant::now(), Stall::default());
    for n in 0..1_000 {
        stall.look(second(start, n), &seen(n / 10));
        assert_eq!(stall.stuck(second(start, n)), []);
    }
    let stuck = look(&mut stall, second(start, 1_000), 410, &seen(100), |_| {});
    assert_eq!(stuck, ["the way to stable sync"]);
    assert!(look(&mut stall, second(start, 1_410), 100, &seen(101), |_| {}).is_empty());
}

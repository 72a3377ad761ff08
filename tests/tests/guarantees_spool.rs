//! "Target slow or away": the source's clients see no stall until the spool's budget is used up. And what becomes of the
//! spool when something else goes wrong meanwhile.
#![allow(clippy::unwrap_used)]

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use scenarios::observe::{Crowd, Load, sum, wait_all_in_sync};
use scenarios::program::{Df2redis, number};
use scenarios::servers::{RedisOptions, RedisServer, Simulated, next_lsns};
use scenarios::source::Source;
use scenarios::target::Target;
use scenarios::wait;
use scenarios::workload::{Mode, Options, Workload, seed};
use simulator::Simulator;

const READY: Duration = Duration::from_secs(90);
const MIB: u64 = 1 << 20;

/// How long the target is stopped in the long test, at least: `SPOOL_SECONDS`, or what a CI run has time for.
fn stopped_for() -> Duration {
    let seconds =
        std::env::var("SPOOL_SECONDS").map_or(18, |text| text.parse().expect("a number of seconds"));
    Duration::from_secs(seconds)
}

/// A source whose backlog holds what a stopped target makes fall behind, so that nothing but the spool is on trial.
fn source(backlog: usize) -> Source {
    Source::Simulated(Simulated::start_with(Simulator::builder().shards(2).backlog(backlog)))
}

fn standalone() -> Target {
    Target::Standalone(RedisServer::start(RedisOptions::default()))
}

fn server(target: &Target) -> &RedisServer {
    match target {
        Target::Standalone(server) => server,
        Target::Cluster(_) => unreachable!("these tests stop one server"),
    }
}

/// The spool's files, with their sizes.
fn segments(checkpoint_dir: &Path) -> Vec<(PathBuf, u64)> {
    let mut found = Vec::new();
    let Ok(flows) = std::fs::read_dir(checkpoint_dir.join("spool")) else { return found };
    for flow in flows.flatten() {
        let Ok(files) = std::fs::read_dir(flow.path()) else { continue };
        // A segment that was read to its end goes while this looks.
        found.extend(files.flatten().filter_map(|file| Some((file.path(), file.metadata().ok()?.len()))));
    }
    found.sort();
    found
}

/// Waits until the program has received all that the source has.
fn wait_received(program: &mut Df2redis, source: &Source) {
    let end: u64 = next_lsns(&mut source.client()).iter().sum();
    program.wait_until(READY, "everything to be received", |s| sum(s, "received_lsn") >= end);
}

/// Writes until there are files of the spool.
fn write_until_on_disk(program: &Df2redis, source: &Source) {
    let mut client = source.client();
    let value = "x".repeat(20_000);
    wait::until(READY, "the spool to use the disk", || {
        for number in 0..100 {
            client.queue(&["RPUSH", &format!("list:{}", number % 10), "element"]);
            client.queue(&["INCR", "counter"]);
            client.queue(&["SET", &format!("big:{number}"), &value]);
        }
        client.flush().unwrap();
        segments(program.checkpoint_dir()).iter().map(|(_, size)| size).sum::<u64>() > 4 * MIB
    });
}

/// Changes a byte in every file of the spool.
fn damage(program: &Df2redis) {
    for (file, size) in segments(program.checkpoint_dir()) {
        let mut bytes = std::fs::read(&file).unwrap();
        assert_eq!(bytes.len() as u64, size.max(bytes.len() as u64));
        let middle = bytes.len() / 2;
        bytes[middle] ^= 0x55;
        // In place: the process has the file open.
        use std::os::unix::fs::FileExt;
        let open = std::fs::File::options().write(true).open(&file).unwrap();
        open.write_all_at(&bytes[middle..=middle], middle as u64).unwrap();
    }
}

/// Resident memory that the program may need besides `spool.memory`, with two flows and under such a load
/// (docs/operations.md).
const REST: u64 = 160 * MIB;

/// 20 000 writes a second, to many keys, against a target that is stopped until its connections break: no writer waits
/// for it, neither then nor while it catches up; memory stays in its budget, the disk is used when memory is full and not
/// before, and is given back.
#[test]
fn a_target_stopped_under_twenty_thousand_writes_a_second() {
    const MEMORY: u64 = 16 * MIB;
    for source in Source::each("a_target_stopped_under_twenty_thousand_writes_a_second", 2) {
        let target = standalone();
        let settings = target.settings(&source).set("spool.memory", "16MiB").set("spool.disk", "4GiB");
        let mut program = Df2redis::replicate(settings);
        program.wait_ready(READY);
        let load = Load { clients: 4, rate: 20_000, value: 100, names: 10_007 };
        let crowd = Crowd::start(&source.endpoint(), load);
        // Beside it, writers that nobody replicates from: what the machine makes everyone wait.
        let bystander = Simulated::start_with(Simulator::builder().shards(1));
        let slow = Load { clients: 1, rate: 2_000, ..load };
        let bystanders = Crowd::start(&bystander.endpoint(), slow);
        // A while with the target awake: what memory takes without any spool, and no file.
        wait::until(READY, "the writers to have begun", || crowd.count() > 40_000);
        assert_eq!(segments(program.checkpoint_dir()), [], "the disk was used although the target keeps up");
        let awake = program.peak_resident_bytes().unwrap();
        server(&target).pause();
        let (began, mut on_disk) = (Instant::now(), 0);
        wait::until(stopped_for() + READY, "the time to pass", || {
            on_disk = on_disk.max(segments(program.checkpoint_dir()).iter().map(|(_, size)| size).sum());
            began.elapsed() >= stopped_for()
        });
        program.wait_for_line("target connection lost", READY);
        program
            .wait_until(READY, "the keys in flight to be listed", |s| number(s, "not_in_sync_count") > 1_000);
        let behind = program.status().unwrap();
        let asleep = program.peak_resident_bytes().unwrap();
        server(&target).resume();
        // Under the same writes. What they add meanwhile is repaired or sent like the rest.
        let woken = Instant::now();
        program.wait_until(READY, "the target to catch up", |s| sum(s, "lag_records") < 20_000);
        let (caught_up, awake_again) = (woken.elapsed(), program.peak_resident_bytes().unwrap());
        let (waits, machine) = (crowd.stop(), bystanders.stop());
        println!(
            "{}: {} MiB on disk, {} keys listed, {} records behind, caught up within {caught_up:?}; \
             resident {} MiB, stopped {} MiB, behind {} MiB",
            source.name(),
            on_disk / MIB,
            number(&behind, "not_in_sync_count"),
            sum(&behind, "lag_records"),
            awake / MIB,
            asleep / MIB,
            awake_again / MIB
        );
        let allowed = Duration::from_secs(1) + machine.longest;
        assert!(
            waits.longest < allowed,
            "a writer waited {:?}, {:?} elsewhere",
            waits.longest,
            machine.longest
        );
        assert!(on_disk > MIB, "the disk was not used: {on_disk} bytes");
        assert!(awake_again < MEMORY + REST, "{} MiB, {} MiB before", awake_again / MIB, awake / MIB);
        target.assert_equal(&source);
        wait::until(READY, "the files to go", || segments(program.checkpoint_dir()).is_empty());
        let status = wait_all_in_sync(&mut program, READY);
        assert_eq!((number(&status, "full_syncs"), number(&status, "partial_syncs")), (1, 0), "{status}");
    }
}

/// Both memory and disk are used up, and the operator chose to let go of the source: its clients are not blocked, and what
/// it has forgotten by then is reconciled.
#[test]
fn a_full_spool_that_drops_the_link_leads_to_a_reconciling_resync() {
    let source = source(200);
    let target = standalone();
    let settings = target
        .settings(&source)
        .set("spool.memory", "1MiB")
        .set("spool.disk", "0")
        .set("spool.when_full", "drop");
    let mut program = Df2redis::replicate(settings);
    program.wait_ready(READY);
    let mut client = source.client();
    for number in 0..100 {
        client.queue(&["RPUSH", &format!("goes:{number}"), "element"]);
    }
    client.flush().unwrap();
    target.assert_equal(&source);
    server(&target).pause();
    let crowd =
        Crowd::start(&source.endpoint(), Load { clients: 2, rate: 4_000, value: 5_000, names: 1_009 });
    program.wait_for_line("the spool is full", READY);
    let full = crowd.count();
    // What goes while nobody listens.
    for number in 0..100 {
        client.queue(&["DEL", &format!("goes:{number}")]);
    }
    client.flush().unwrap();
    wait::until(READY, "the source to forget", || crowd.count() > full + 4_000);
    server(&target).resume();
    program.wait_until(READY, "a second full sync", |s| number(s, "full_syncs") == 2);
    program.wait_ready(READY);
    let waits = crowd.stop();
    assert!(waits.longest < Duration::from_secs(1), "a writer waited {:?}", waits.longest);
    target.assert_equal(&source);
    program.wait_until(READY, "the removal to end", |s| s["reconciling"] == false);
    wait_all_in_sync(&mut program, READY);
}

/// The link is dropped whenever the spool is full, and the source holds everything that is missing: what was received
/// ends with a whole record each time, so that nothing but partial syncs follows.
#[test]
fn a_full_spool_that_drops_the_link_goes_on_with_the_next_record() {
    let source = source(1 << 20);
    let target = standalone();
    let settings = target
        .settings(&source)
        .set("spool.memory", "2MiB")
        .set("spool.disk", "0")
        .set("spool.when_full", "drop");
    let mut program = Df2redis::replicate(settings);
    program.wait_ready(READY);
    for round in 1..=3 {
        server(&target).pause();
        let load = Load { clients: 4, rate: 20_000, value: 700, names: 1_009 };
        let crowd = Crowd::start(&source.endpoint(), load);
        program.wait_until(READY, "the link to be dropped", |s| {
            s["detail"].as_str().is_some_and(|detail| detail.contains("the spool is full"))
        });
        let full = crowd.count();
        wait::until(READY, "the writers to go on", || crowd.count() > full + 1_000);
        let waits = crowd.stop();
        assert!(waits.longest < Duration::from_secs(1), "a writer waited {:?}", waits.longest);
        server(&target).resume();
        program.wait_until(READY, "the next partial sync", |s| number(s, "partial_syncs") >= round);
        program.wait_ready(READY);
        target.assert_equal(&source);
    }
    let status = wait_all_in_sync(&mut program, READY);
    assert_eq!(number(&status, "full_syncs"), 1, "{status}");
    wait_received(&mut program, &source);
    let status = program.status().unwrap();
    let ends: Vec<u64> = next_lsns(&mut source.client());
    let received: Vec<u64> =
        status["flows"].as_array().unwrap().iter().map(|flow| number(flow, "received_lsn")).collect();
    assert_eq!(received, ends, "{status}");
}

/// The spool is used up and the operator chose to hold up the source, which gives up a replica that it has waited for too
/// long (`replication_timeout`). That is noticed when there is room to read on, and what was received is gone on from.
#[test]
fn a_source_that_gives_us_up_while_it_is_held_up_is_resumed_from() {
    let patience = Duration::from_secs(1);
    let builder = Simulator::builder().shards(2).backlog(1 << 20).replication_timeout(patience);
    let source = Source::Simulated(Simulated::start_with(builder));
    let target = standalone();
    let settings = target.settings(&source).set("spool.memory", "1MiB").set("spool.disk", "0");
    let mut program = Df2redis::replicate(settings);
    program.wait_ready(READY);
    server(&target).pause();
    let load = Load { clients: 4, rate: 20_000, value: 1_000, names: 1_009 };
    let crowd = Crowd::start(&source.endpoint(), load);
    program.wait_until(READY, "the source to be held up", |s| s["spool"]["stalled"] == true);
    // More than all buffers on the way hold: the source goes on without us. What it closed is not read, so not seen, yet.
    program.wait_until(READY, "the source to give us up", |s| number(s, "lag_records") > 50_000);
    server(&target).resume();
    let waits = crowd.stop();
    // Its clients wait until it gives us up, and no longer.
    assert!(waits.longest < patience + Duration::from_secs(5), "a writer waited {:?}", waits.longest);
    target.assert_equal(&source);
    let status = wait_all_in_sync(&mut program, READY);
    assert_eq!(number(&status, "full_syncs"), 1, "{status}");
    assert!(number(&status, "partial_syncs") >= 1, "{status}");
}

/// What is missing fits into the spool no more, and nothing is taken out before the link is in stable sync: it is not
/// dropped until then.
#[test]
fn a_spool_smaller_than_what_is_missing_gets_there_although_it_drops() {
    let source = source(1 << 20);
    let target = standalone();
    let settings = target
        .settings(&source)
        .set("spool.memory", "2MiB")
        .set("spool.disk", "0")
        .set("spool.when_full", "drop");
    let mut program = Df2redis::replicate(settings);
    program.wait_ready(READY);
    program.kill();
    let mut client = source.client();
    let value = "x".repeat(10_000);
    for number in 0..2_000 {
        client.queue(&["SET", &format!("key:{number}"), &value]);
    }
    client.flush().unwrap();
    program.again();
    program.wait_ready(READY);
    target.assert_equal(&source);
    // Once it goes, what still comes may fill it again.
    let status = program.status().unwrap();
    assert_eq!(number(&status, "full_syncs"), 0, "{status}");
}

/// A full sync that was due is over once there is stable sync again: what is lost later comes again from the source.
#[test]
fn a_full_sync_that_is_through_is_not_asked_for_again() {
    let source = source(1 << 20);
    let Source::Simulated(simulated) = &source else { unreachable!() };
    let target = standalone();
    let mut program = Df2redis::replicate(target.settings(&source).set("spool.memory", "1MiB"));
    program.wait_ready(READY);
    simulated.handle().faults().spoil_flow(0);
    let mut client = source.client();
    for number in 0..20 {
        client.queue(&["SET", &format!("key:{number}"), "value"]);
    }
    client.flush().unwrap();
    program.wait_until(READY, "the full sync", |s| number(s, "full_syncs") == 2);
    program.wait_ready(READY);
    server(&target).pause();
    write_until_on_disk(&program, &source);
    damage(&program);
    server(&target).resume();
    program.wait_for_line("what lay in the spool is lost", READY);
    program.wait_until(READY, "the next attachment", |s| {
        number(s, "full_syncs") + number(s, "partial_syncs") == 3
    });
    target.assert_equal(&source);
    let status = wait_all_in_sync(&mut program, READY);
    assert_eq!((number(&status, "full_syncs"), number(&status, "partial_syncs")), (2, 1), "{status}");
}

/// What a killed process left in its spool is removed at the next start, and comes again from the source.
#[test]
fn leftovers_of_a_killed_process_are_removed_and_never_read() {
    let source = source(1 << 20);
    let target = standalone();
    let settings = target.settings(&source).set("spool.memory", "1MiB");
    let mut program = Df2redis::replicate(settings);
    program.wait_ready(READY);
    server(&target).pause();
    write_until_on_disk(&program, &source);
    program.kill();
    let left = segments(program.checkpoint_dir());
    assert!(!left.is_empty());
    // One that is damaged, and one that no process wrote: neither is looked into.
    std::fs::write(&left[0].0, b"damaged").unwrap();
    std::fs::write(left[0].0.with_file_name("spool-00000000000fffff.segment"), b"from nowhere").unwrap();
    server(&target).resume();
    program.again();
    program.wait_ready(READY);
    wait::until(READY, "the leftovers to go", || segments(program.checkpoint_dir()).is_empty());
    target.assert_equal(&source);
    let status = wait_all_in_sync(&mut program, READY);
    assert_eq!((number(&status, "partial_syncs"), number(&status, "full_syncs")), (1, 0), "{status}");
}

/// Bytes of the spool that the disk has changed: what cannot be read comes again from the source, once.
#[test]
fn a_segment_that_is_damaged_while_it_waits_loses_nothing() {
    let source = source(1 << 20);
    let target = standalone();
    let settings = target.settings(&source).set("spool.memory", "1MiB");
    let mut program = Df2redis::replicate(settings);
    program.wait_ready(READY);
    server(&target).pause();
    write_until_on_disk(&program, &source);
    damage(&program);
    server(&target).resume();
    let line = program.wait_for_line("corrupted", READY);
    println!("{line}");
    target.assert_equal(&source);
    let status = wait_all_in_sync(&mut program, READY);
    assert_eq!(number(&status, "full_syncs"), 1, "{status}");
    assert_eq!(number(&status, "partial_syncs"), 1, "{status}");
    wait::until(READY, "the files to go", || segments(program.checkpoint_dir()).is_empty());
}

/// The link breaks while the target is stopped: the same process goes on from what it has received (rule 20), which the
/// source still has, and not from what is applied, which it has not.
#[test]
fn a_link_cut_while_the_target_is_stopped_resumes_from_what_was_received() {
    let seed = seed();
    let source = source(1_000);
    let Source::Simulated(simulated) = &source else { unreachable!() };
    let target = standalone();
    let mut program = Df2redis::replicate(target.settings(&source));
    program.wait_ready(READY);
    let write = |rate| {
        let options =
            Options { rate: Some(rate), keys: 200, ..Options::new(Mode::Full, seed + u64::from(rate)) };
        Workload::start(&source.endpoint(), options)
    };
    let writer = write(2_000);
    writer.wait_for(1_000);
    writer.stop().assert_no_surprise();
    server(&target).pause();
    for cut in 1..=4 {
        // Far more than the source keeps; then slowly enough that it keeps what comes while the link is away.
        let writer = write(8_000);
        writer.wait_for(6_000);
        writer.stop().assert_no_surprise();
        wait_received(&mut program, &source);
        let writer = write(100);
        writer.wait_for(20);
        simulated.handle().drop_attachments();
        program.wait_until(READY, "the next partial sync", |s| number(s, "partial_syncs") == cut);
        program.wait_until(READY, "stable sync", |s| s["ready"] == true);
        writer.stop().assert_no_surprise();
    }
    let status = program.status().unwrap();
    assert!(sum(&status, "lag_records") > 4_000, "the source may have kept what is not applied: {status}");
    assert_eq!(number(&status, "full_syncs"), 1, "{status}");
    server(&target).resume();
    target.assert_equal(&source);
    let status = wait_all_in_sync(&mut program, READY);
    assert_eq!((number(&status, "full_syncs"), number(&status, "partial_syncs")), (1, 4), "{status}");
}

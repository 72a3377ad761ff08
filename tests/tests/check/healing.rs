//! Beside a running replication, and what `--repair` and `migrate --verify` make of differences.

use std::collections::BTreeSet;
use std::time::Duration;

use scenarios::client::Endpoint;
use scenarios::injuries::injure;
use scenarios::program::{Df2redis, run};
use scenarios::source::Source;
use scenarios::target::Target;
use scenarios::workload::{Mode, Options, Workload, fill, seed};

use crate::checked::{Checked, text};

const READY: Duration = Duration::from_secs(120);
const KEYS: u64 = 12_000;
const DBS: [u32; 2] = [0, 1];
const QUICK: [&str; 4] = ["--rounds", "2", "--interval", "1"];

fn servers(target: &Target) -> Vec<Endpoint> {
    match target {
        Target::Standalone(server) => vec![server.endpoint()],
        Target::Cluster(cluster) => cluster.master_endpoints(),
    }
}

fn name(target: &Target) -> impl Fn(u32, &str) -> (u32, String) {
    let cluster = matches!(target, Target::Cluster(_));
    move |db, key| match db {
        db if !cluster => (db, key.to_owned()),
        0 => (0, key.to_owned()),
        db => (0, format!("db{db}:{key}")),
    }
}

#[test]
fn a_running_replication_is_equal_and_what_differs_heals() {
    let seed = seed();
    for source in Source::each("a_running_replication_is_equal_and_what_differs_heals", 2) {
        for target in Target::both() {
            source.client().call(&["FLUSHALL"]);
            fill(&source.endpoint(), KEYS, &DBS, seed);
            let mut program = Df2redis::replicate(target.settings(&source));
            program.wait_ready(READY);
            let options = Options { rate: Some(2_000), dbs: DBS.to_vec(), ..Options::new(Mode::Full, seed) };
            let writer = Workload::start(&source.endpoint(), options);
            writer.wait_for(500);
            let checked = Checked::with(program.config_file(), &["--mode", "full"]);
            checked.assert_found(&BTreeSet::new());
            println!("under writes: {}", checked.output.stdout);
            writer.stop().assert_no_surprise();
            // What the writer has made of the keys is not what injuries expect.
            source.client().call(&["FLUSHALL"]);
            fill(&source.endpoint(), KEYS, &DBS, seed);
            target.assert_equal(&source);
            let injuries = injure(&servers(&target), KEYS, &DBS, 64, name(&target), seed);
            let checked = Checked::with(program.config_file(), &[&["--mode", "full"], &QUICK[..]].concat());
            checked.assert_found(&injuries);
            let arguments = [&["--mode", "full", "--repair"], &QUICK[..]].concat();
            let healed = Checked::with(program.config_file(), &arguments);
            healed.assert_found(&BTreeSet::new());
            assert_eq!(healed.number("ok"), KEYS, "{:?}", healed.output);
            target.assert_equal(&source);
            let done = &program.status().unwrap()["repair"]["done_by_cause"]["source and target differ"];
            assert_eq!(done.as_u64(), Some(64), "the daemon did it");
        }
    }
}

#[test]
fn a_migration_is_verified_and_repaired_without_a_daemon() {
    let seed = seed();
    for source in Source::each("a_migration_is_verified_and_repaired_without_a_daemon", 2) {
        source.client().call(&["FLUSHALL"]);
        fill(&source.endpoint(), KEYS, &DBS, seed);
        let target = Target::both().last().unwrap();
        let settings = target.settings(&source).set("target.on_existing_data", "merge");
        let mut migrated = Df2redis::spawn("migrate", settings, &["--verify"]);
        let output = migrated.wait_exit(READY);
        assert_eq!(output.code(), 0, "{output:?}");
        assert!(output.stdout.starts_with(&format!("OK:{KEYS} missing:0 extra:0 ")), "{output:?}");
        let injuries = injure(&servers(&target), KEYS, &DBS, 64, name(&target), seed);
        let arguments = [&["--mode", "full"], &QUICK[..]].concat();
        Checked::with(migrated.config_file(), &arguments).assert_found(&injuries);
        let arguments = [&arguments[..], &["--repair"]].concat();
        Checked::with(migrated.config_file(), &arguments).assert_found(&BTreeSet::new());
        target.assert_equal(&source);
        // A key that no migration takes away: the verification has to notice.
        injure(&servers(&target), KEYS, &DBS, 2, name(&target), seed);
        std::fs::remove_dir_all(migrated.checkpoint_dir()).unwrap();
        let output = run(&["migrate", "--config", text(migrated.config_file()), "--verify"], READY);
        assert_eq!(output.code(), 2, "{output:?}");
        assert!(output.stdout.contains("missing:0 extra:1 "), "{output:?}");
    }
}

#[test]
fn nothing_is_repaired_below_records_that_are_still_to_come() {
    let source = Source::each("nothing_is_repaired_below_records_that_are_still_to_come", 2).next().unwrap();
    let target = Target::both().next().unwrap();
    source.client().call(&["SET", "counter", "1"]);
    let mut program = Df2redis::replicate(target.settings(&source));
    program.wait_ready(READY);
    target.assert_equal(&source);
    assert_eq!(program.terminate().code(), 0);
    source.client().call(&["INCR", "counter"]);
    let arguments = [&["--repair"], &QUICK[..]].concat();
    let checked = Checked::with(program.config_file(), &arguments);
    assert_eq!(checked.output.code(), 1, "{:?}", checked.output);
    assert!(
        checked.output.stderr.contains("start the daemon, and repair through it"),
        "{:?}",
        checked.output
    );
    // What was found is told all the same.
    assert!(checked.output.stdout.ends_with("value:1 ttl:0\n"), "{:?}", checked.output);
    assert_eq!(checked.number("value"), 1);
    program.again();
    program.wait_ready(READY);
    target.assert_equal(&source);
}

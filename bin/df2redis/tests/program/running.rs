//! The program between a simulated source and a real redis-server: what it prints, and how it ends.

use replica::Report;
use scenarios::{program, wait};

use crate::scene::{PATIENCE, scene};
use crate::support::Run;

#[test]
fn a_dry_run_tells_the_plan_and_writes_nothing() {
    let scene = scene();
    let Run { code, stdout, stderr } = scene.run("replicate", &["--dry-run"]);
    assert_eq!((code, stderr.as_str()), (0, ""));
    let checkpoint = scene.dir.path().join("checkpoint");
    for line in [
        format!("source       {}, Dragonfly release 1.40.1, 2 flows", scene.source.addr()),
        format!("             replication id {}", scene.source.replication_id()),
        "             databases 0, 3".to_owned(),
        "             database 3 -> database 3".to_owned(),
        format!("checkpoint   none in {}", checkpoint.display()),
        "sync         full: no earlier position".to_owned(),
        "data         the target is empty".to_owned(),
        "dry run      nothing was written".to_owned(),
    ] {
        assert!(stdout.lines().any(|l| l == line), "{line:?} is missing in\n{stdout}");
    }
    let target = format!("target       {}, Redis ", scene.target.addr());
    assert!(
        stdout.lines().any(|l| l.starts_with(&target) && l.ends_with(", standalone, 0 keys")),
        "{stdout}"
    );
    assert!(!checkpoint.exists());
    assert_eq!((scene.keys("0"), scene.source.full_syncs(), scene.source.crashes()), (0, 0, 0));
    wait::until(PATIENCE, "the end of the attachment", || scene.source.attachments().is_empty());
}

#[test]
fn a_dry_run_says_where_a_run_could_not_write() {
    let scene = scene();
    let file = scene.dir.path().join("file");
    std::fs::write(&file, "").unwrap();
    let listed = || std::fs::read_dir(scene.dir.path()).unwrap().count();
    let text = std::fs::read_to_string(&scene.config).unwrap();
    let below = file.join("below");
    for (setting, text) in [
        (
            "checkpoint.dir",
            text.replace(&format!("{:?}", scene.dir.path().join("checkpoint")), &format!("{below:?}")),
        ),
        ("logging.file", format!("{text}logging: {{file: {below:?}}}\n")),
        ("status_file", format!("{text}status_file: {below:?}\n")),
    ] {
        std::fs::write(&scene.config, text).unwrap();
        let before = listed();
        let Run { code, stdout, stderr } = scene.run("replicate", &["--dry-run"]);
        assert_eq!((code, stdout.as_str()), (64, ""), "{stderr}");
        assert!(stderr.contains(&format!("{setting}: {}", file.display())), "{stderr}");
        assert_eq!(listed(), before);
    }
}

#[test]
fn a_dry_run_ends_as_the_run_would() {
    let scene = scene();
    scene.target.client().call(&["SET", "foreign", "1"]);
    let Run { code, stdout, stderr } = scene.run("replicate", &["--dry-run"]);
    let addr = scene.target.addr();
    let line = format!(
        "df2redis: target {addr} holds 1 keys that this checkpoint knows nothing of; empty it, or set target.on_existing_data to merge or flush\n"
    );
    assert_eq!((code, stderr.as_str()), (1, line.as_str()));
    assert!(stdout.contains("data         1 keys on the target: the run would stop"), "{stdout}");
    let Run { code, stderr, .. } = scene.run("replicate", &[]);
    assert_eq!((code, stderr.lines().last()), (1, Some(line.trim_end())));
}

#[test]
fn it_migrates_and_a_later_run_would_resume() {
    let scene = scene();
    let Run { code, stdout, stderr } = scene.run("migrate", &[]);
    assert_eq!((code, stdout.as_str()), (0, ""), "{stderr}");
    assert!(stderr.contains("migrated keys=101 "), "{stderr}");
    assert_eq!((scene.keys("0"), scene.keys("3")), (100, 1));
    scene.source.execute(0, &["SET", "later", "1"]);
    let Run { code, stdout, .. } = scene.run("replicate", &["--dry-run"]);
    assert_eq!(code, 0);
    assert!(stdout.contains("sync         partial, 1 records behind; "), "{stdout}");
    assert!(stdout.contains("data         101 keys on the target: they stay"), "{stdout}");
}

#[test]
fn a_running_daemon_tells_its_status() {
    let scene = scene();
    let mut process = scene.start("replicate");
    scene.wait_ready();
    let Run { code, stdout, stderr } = scene.run("status", &[]);
    assert_eq!((code, stderr.as_str()), (0, ""));
    let first = stdout.lines().next().unwrap();
    assert!(
        first.starts_with("df2redis     running for ") && first.ends_with(", in sync with the journal"),
        "{first}"
    );
    for line in [
        format!("source       {}, Dragonfly 1.40.1", scene.source.addr()),
        format!("             replication id {}", scene.source.replication_id()),
        format!("target       {}", scene.target.addr()),
        "syncs        1 full, 0 partial; last full sync because: no earlier position".to_owned(),
        "not in sync  0 keys".to_owned(),
        format!("dashboard    http://{}/", scene.dashboard),
    ] {
        assert!(stdout.lines().any(|l| l == line), "{line:?} is missing in\n{stdout}");
    }
    let report: Report = serde_json::from_str(&scene.run("status", &["--json"]).stdout).unwrap();
    assert_eq!((report.running, report.ready, report.keys, report.flows.len()), (true, true, 101, 2));
    process.signal("TERM");
    assert_eq!(process.wait(), 0, "{}", scene.log());
    assert!(scene.run("status", &[]).stdout.starts_with("df2redis     not running\n"));
}

#[test]
fn a_second_signal_ends_it_at_once() {
    let scene = scene();
    let mut process = scene.start("replicate");
    scene.wait_ready();
    // A write that the target does not acknowledge holds the stop up.
    scene.target.pause();
    scene.source.execute(0, &["SET", "key:1", "new"]);
    wait::until(PATIENCE, "the record at the replica", || {
        let (_, body) = program::get(&scene.dashboard, "/api/status").unwrap();
        serde_json::from_str::<Report>(&body).unwrap().records > 0
    });
    process.signal("INT");
    scene.wait_log("stopping signal=\"SIGINT\"");
    process.signal("TERM");
    let code = process.wait();
    scene.target.resume();
    assert_eq!(code, 1, "{}", scene.log());
    let last = scene.log().lines().last().unwrap().to_owned();
    assert_eq!(
        last,
        "df2redis: ended at once: SIGTERM came again; the next start goes on from the last checkpoint"
    );
}

#[test]
fn a_snapshot_shows_its_progress_and_a_stopped_migration_is_not_done() {
    let scene = scene();
    scene.source.faults().stall_flow(0);
    let mut process = scene.start("migrate");
    scene.wait_log(" snapshot keys=");
    let log = scene.log();
    let line = log.lines().find(|line| line.contains(" snapshot keys=")).unwrap();
    for field in ["bytes=", "keys_per_s=", "mb_per_s=", "flows=\"0: ", ", 1: "] {
        assert!(line.contains(field), "{field} is missing in {line}");
    }
    process.signal("TERM");
    assert_eq!(process.wait(), 1);
    let last = scene.log().lines().last().unwrap().to_owned();
    assert_eq!(last, "df2redis: stopped before the snapshot was complete; start it again");
    let status = scene.run("status", &[]).stdout;
    assert!(status.contains("a full sync was not completed; the next start takes it again"), "{status}");
}

//! The program as a service: what it tells its manager, how `status` finds it, and what a SIGHUP does.

use std::net::TcpListener;
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::time::Duration;

use replica::Report;
use replica::phase::Phase;
use replica::status::Restart;
use scenarios::wait;

use crate::scene::{PATIENCE, Scene, scene};
use crate::support::Run;

/// A service manager that listens.
struct Manager {
    socket: UnixDatagram,
    said: Vec<String>,
}

impl Manager {
    fn new(path: &Path) -> Manager {
        let socket = UnixDatagram::bind(path).unwrap();
        socket.set_nonblocking(true).unwrap();
        Manager { socket, said: Vec::new() }
    }

    fn listen(&mut self) {
        let mut buffer = [0; 4096];
        while let Ok(n) = self.socket.recv(&mut buffer) {
            let text = String::from_utf8_lossy(&buffer[..n]).into_owned();
            self.said.extend(text.lines().map(str::to_owned));
        }
    }

    /// Waits for an assignment, and returns it.
    fn wait_for(&mut self, what: &str, is: impl Fn(&str) -> bool) -> String {
        let found = wait::try_until_some(PATIENCE, &mut || {
            self.listen();
            self.said.iter().find(|said| is(said)).cloned()
        });
        found.unwrap_or_else(|| panic!("no {what} in {:?}", self.said))
    }

    fn count(&mut self, what: &str) -> usize {
        self.listen();
        self.said.iter().filter(|said| *said == what).count()
    }
}

#[test]
fn the_service_manager_is_told_ready_status_watchdog_and_stopping() {
    let scene = scene();
    let path = scene.dir.path().join("notify");
    let mut manager = Manager::new(&path);
    // Greeted, and then nothing: it waits for the source, which is no hang.
    scene.source.faults().stall_flow(0);
    let env = [("NOTIFY_SOCKET", path.to_str().unwrap()), ("WATCHDOG_USEC", "1000000")];
    let mut process = scene.start_with("replicate", &[], &env);
    manager.wait_for("READY=1", |said| said == "READY=1");
    manager.wait_for("the snapshot", |said| said.starts_with("STATUS=snapshot: "));
    // Four signs of life within the second that is granted, for as long as nothing moves.
    let before = manager.count("WATCHDOG=1");
    wait::until(PATIENCE, "signs of life while the source is silent", || {
        manager.count("WATCHDOG=1") >= before + 8
    });
    scene.source.faults().resume_flow(0);
    scene.wait_ready();
    manager.said.clear();
    manager.wait_for("the lag", |said| said.starts_with("STATUS=stable: lag 0 records, 0.0 s"));
    // The line is renewed.
    manager.said.clear();
    manager.wait_for("a new line", |said| said.starts_with("STATUS=stable: "));
    // A stopped process gives no signs.
    process.signal("STOP");
    manager.listen();
    manager.said.clear();
    std::thread::sleep(Duration::from_millis(1_500));
    assert_eq!(manager.count("WATCHDOG=1"), 0, "a stopped process says nothing");
    process.signal("CONT");
    manager.wait_for("a sign of life", |said| said == "WATCHDOG=1");
    assert_eq!(manager.count("READY=1"), 0, "once is enough");
    process.signal("TERM");
    manager.wait_for("STOPPING=1", |said| said == "STOPPING=1");
    assert_eq!(process.wait(), 0, "{}", scene.log());
    assert_eq!((manager.count("STOPPING=1"), manager.count("EXTEND_TIMEOUT_USEC=15000000")), (1, 1));
}

#[test]
fn it_is_not_ready_before_it_is_attached() {
    let scene = scene();
    let path = scene.dir.path().join("notify");
    let mut manager = Manager::new(&path);
    scene.target.pause();
    let env = [("NOTIFY_SOCKET", path.to_str().unwrap())];
    let _process = scene.start_with("replicate", &[], &env);
    manager.wait_for("where it stands", |said| said.starts_with("STATUS=starting"));
    manager.said.clear();
    manager.wait_for("another line", |said| said.starts_with("STATUS=starting"));
    // As long as it is at work it asks for more time, in microseconds.
    manager.wait_for("a longer start", |said| said == "EXTEND_TIMEOUT_USEC=15000000");
    assert_eq!((manager.count("READY=1"), manager.count("WATCHDOG=1")), (0, 0));
    scene.target.resume();
    manager.wait_for("READY=1", |said| said == "READY=1");
    manager.said.clear();
    manager.wait_for("a line", |said| said.starts_with("STATUS="));
    manager.said.clear();
    manager.wait_for("another line", |said| said.starts_with("STATUS="));
    assert_eq!(manager.count("EXTEND_TIMEOUT_USEC=15000000"), 0, "the start is over");
}

fn reloaded(scene: &Scene, times: usize) {
    wait::until(PATIENCE, "the reload", || scene.log().matches("configuration reloaded").count() == times);
}

#[test]
fn a_hangup_reloads_the_log_level_and_never_ends_it() {
    let scene = scene();
    let mut process = scene.start("replicate");
    scene.wait_ready();
    process.signal("HUP");
    reloaded(&scene, 1);
    assert!(scene.log().contains("configuration reloaded applied=\"nothing\""), "{}", scene.log());
    scene.reconfigure("logging: {level: warn}\nspool: {memory: 1GiB}\n");
    process.signal("HUP");
    scene.wait_log("changed settings that need a restart settings=\"spool.memory\"");
    // The line about it is below the level that it applied: only the warning was seen, and no line after it.
    let length = scene.log().len();
    process.signal("HUP");
    wait::until(PATIENCE, "another warning", || scene.log()[length..].contains("that need a restart"));
    assert!(!scene.log()[length..].contains(" INFO "), "{}", scene.log());
    // A mistake changes nothing.
    scene.reconfigure("logging: {level: infos}\n");
    process.signal("HUP");
    scene.wait_log("configuration not reloaded; the one in force stays");
    assert!(scene.log().contains("unknown level"), "{}", scene.log());
    scene.reconfigure("logging: {level: info}\n");
    process.signal("HUP");
    scene.wait_log("configuration reloaded applied=\"logging.level\"");
    process.signal("TERM");
    assert_eq!(process.wait(), 0);
}

#[test]
fn the_log_goes_to_a_file_that_may_be_moved_away() {
    let scene = scene();
    let path = |name: &str| scene.dir.path().join(name);
    let log = |name: &str| std::fs::read_to_string(path(name)).unwrap_or_default();
    let config = |level: &str| {
        let file = path("x.log");
        format!("logging: {{file: {file:?}, console: false, level: {level}}}\ntask_name: orders\n")
    };
    scene.reconfigure(&config("info"));
    let mut process = scene.start("replicate");
    scene.wait_ready();
    wait::until(PATIENCE, "lines in the file", || log("x.log").contains("phase=\"stable\""));
    assert!(log("x.log").lines().all(|line| line.ends_with(" task=orders")), "{}", log("x.log"));
    assert_eq!(scene.log(), "", "nothing on stderr");
    std::fs::rename(path("x.log"), path("x.log.1")).unwrap();
    process.signal("HUP");
    wait::until(PATIENCE, "a new file", || log("x.log").contains("configuration reloaded"));
    assert!(!log("x.log.1").contains("configuration reloaded"));
    // A directory in the way: the old file goes on, and says so.
    std::fs::remove_file(path("x.log")).unwrap();
    std::fs::create_dir(path("x.log")).unwrap();
    process.signal("HUP");
    process.signal("TERM");
    assert_eq!(process.wait(), 0);
    // What ends a start is in the file as well.
    std::fs::remove_dir(path("x.log")).unwrap();
    let mut client = scene.target.client();
    client.call(&["SET", "foreign", "1"]);
    scene.run("checkpoint reset", &[]);
    let mut process = scene.start("replicate");
    assert_eq!(process.wait(), 1);
    assert!(log("x.log").contains("on_existing_data"), "{}", log("x.log"));
    assert!(scene.log().contains("on_existing_data"), "{}", scene.log());
}

#[test]
fn a_task_has_a_name_everywhere_and_a_status_file() {
    let scene = scene();
    let file = scene.dir.path().join("status.json");
    scene.reconfigure(&format!("statusFile: {file:?}\ntaskName: other\n"));
    let mut process = scene.start_with("replicate", &["--task-name", "orders"], &[]);
    scene.wait_ready();
    let report = || serde_json::from_slice::<Report>(&std::fs::read(&file).ok()?).ok();
    let found = wait::until_some(PATIENCE, "stable sync in the file", || report().filter(|r| r.ready));
    assert_eq!((found.task_name.as_str(), found.running), ("orders", true));
    let (_, metrics) = scenarios::program::get(&scene.dashboard, "/metrics").unwrap();
    assert!(metrics.contains("df2redis_ready{task=\"orders\"} 1\n"), "{metrics}");
    assert!(metrics.contains("task=\"orders\",flow=\"0\""), "{metrics}");
    let clients = scene.target.client().text(&["CLIENT", "LIST"]);
    assert!(clients.contains(":orders "), "{clients}");
    assert!(scene.log().contains(" task=orders\n"));
    assert!(scene.run("status", &[]).stdout.contains("\ntask         orders\n"));
    // Killed, and started under another name: what was left behind is still found by it.
    process.signal("STOP");
    process.signal("KILL");
    wait::until(PATIENCE, "the end", || process.ended());
    let mut process = scene.start("replicate");
    scene.wait_ready();
    process.signal("TERM");
    assert_eq!(process.wait(), 0);
    let found = report().unwrap();
    assert_eq!((found.phase, found.ready, found.task_name.as_str()), (Phase::Stopped, false, "other"));
    let wrong = scene.run("replicate", &["--task-name", "a b"]);
    assert_eq!(wrong.code, 64);
    assert!(wrong.stderr.starts_with("command line: --task-name: not a name: \"a b\""), "{}", wrong.stderr);
}

#[test]
fn commands_a_second_are_limited_until_a_hangup_says_otherwise() {
    let scene = scene();
    scene.reconfigure("limits: {qps: 40}\n");
    let began = std::time::Instant::now();
    let mut process = scene.start("replicate");
    scene.wait_ready();
    // 101 keys; the first two at once.
    assert!(began.elapsed() > Duration::from_millis(2_300), "{:?}", began.elapsed());
    for _ in 0..2_000 {
        scene.source.execute(0, &["INCR", "counter"]);
    }
    let waiting =
        || scenarios::program::get(&scene.dashboard, "/api/status").unwrap().1.contains("limits.qps");
    wait::until(PATIENCE, "the reason of the lag", waiting);
    scene.reconfigure("limits: {qps: 0}\n");
    process.signal("HUP");
    scene.wait_log("configuration reloaded applied=\"limits.qps\"");
    let counter = || scene.target.client().text(&["GET", "counter"]);
    wait::until(PATIENCE, "everything", || counter() == "2000");
    process.signal("TERM");
    assert_eq!(process.wait(), 0);
}

#[test]
fn status_finds_a_daemon_that_listens_elsewhere() {
    let scene = scene();
    let mut process = scene.start_with("replicate", &["--dashboard-addr", "127.0.0.1:0"], &[]);
    let file = scene.dir.path().join("checkpoint/status-addr");
    wait::until(PATIENCE, "the address beside the checkpoint", || file.exists());
    let report = || serde_json::from_str::<Report>(&scene.run("status", &["--json"]).stdout).unwrap();
    wait::until(PATIENCE, "stable sync", || report().ready);
    let addr = std::fs::read_to_string(&file).unwrap().trim().to_owned();
    let page = scene.run("status", &[]).stdout;
    assert!(page.contains(&format!("dashboard    http://{addr}/\n")), "{page}");
    // A second one is refused and leaves the address alone.
    let Run { code, stderr, .. } = scene.run("replicate", &["--dashboard-addr", "127.0.0.1:0"]);
    assert!(code == 1 && stderr.contains("is in use"), "{code} {stderr}");
    assert_eq!(std::fs::read_to_string(&file).unwrap().trim(), addr);
    assert!(report().running);
    process.signal("TERM");
    assert_eq!(process.wait(), 0);
    assert!(!file.exists());
}

#[test]
fn the_dashboard_shows_the_daemon_and_then_the_checkpoint() {
    let scene = scene();
    let mut daemon = scene.start("replicate");
    scene.wait_ready();
    // The daemon has the configured address.
    let Run { code, stderr, .. } = scene.run("dashboard", &[]);
    assert_eq!(code, 1);
    assert!(
        stderr.contains(&format!("serves this page at http://{}/; give --addr", scene.dashboard)),
        "{stderr}"
    );
    let addr = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    let mut process = scene.start_with("dashboard", &["--addr", &addr], &[]);
    let get = |path| scenarios::program::get(&addr, path).ok();
    let report = || serde_json::from_str::<Report>(&get("/api/status")?.1).ok();
    wait::until(PATIENCE, "the daemon's status", || report().is_some_and(|report| report.ready));
    assert_eq!(get("/readyz").unwrap().0, 200);
    assert!(get("/metrics").unwrap().1.contains("df2redis_ready 1"));
    assert!(get("/").unwrap().1.contains("stable"));
    daemon.signal("TERM");
    assert_eq!(daemon.wait(), 0);
    // What is stored is still there to be seen.
    let found = report().unwrap();
    assert_eq!((found.running, found.phase, found.flows.len()), (false, Phase::Stopped, 2));
    assert_eq!((get("/readyz").unwrap().0, get("/healthz").unwrap().0), (503, 200));
    process.signal("TERM");
    assert_eq!(process.wait(), 0);
    // At the daemon's own address it does not ask itself.
    let mut process = scene.start("dashboard");
    let readyz = || scenarios::program::get(&scene.dashboard, "/readyz");
    wait::until(PATIENCE, "the page", || readyz().is_ok_and(|(code, _)| code == 503));
    process.signal("INT");
    assert_eq!(process.wait(), 0);
}

#[test]
fn an_address_that_a_killed_daemon_left_behind_does_no_harm() {
    let scene = scene();
    let mut process = scene.start("replicate");
    scene.wait_ready();
    let file = scene.dir.path().join("checkpoint/status-addr");
    wait::until(PATIENCE, "the address beside the checkpoint", || file.exists());
    process.signal("KILL");
    wait::until(PATIENCE, "the end", || process.ended());
    assert!(file.exists());
    let Run { code, stdout, stderr } = scene.run("status", &[]);
    assert_eq!((code, stderr.as_str()), (0, ""));
    assert!(stdout.starts_with("df2redis     not running\n"), "{stdout}");
    // Somebody else has the port by now, and says nothing that is believed.
    let other = TcpListener::bind("127.0.0.1:0").unwrap();
    std::fs::write(&file, format!("{}\n", other.local_addr().unwrap())).unwrap();
    let Run { code, stdout, stderr } = scene.run("status", &[]);
    assert_eq!((code, stderr.as_str()), (0, ""));
    assert!(stdout.starts_with("df2redis     not running\n"), "{stdout}");
    // The next daemon writes its own.
    let process = scene.start("replicate");
    scene.wait_ready();
    wait::until(PATIENCE, "the new address", || {
        std::fs::read_to_string(&file).is_ok_and(|text| text.trim() == scene.dashboard)
    });
    drop(process);
}

#[test]
fn what_a_crash_would_cost_is_told_beside_a_running_daemon() {
    let scene = scene();
    let _process = scene.start("replicate");
    scene.wait_ready();
    for _ in 0..5 {
        scene.source.execute(0, &["INCR", "counter"]);
    }
    let report = || serde_json::from_str::<Report>(&scene.run("status", &["--json"]).stdout).unwrap();
    wait::until(PATIENCE, "an applied record", || report().records > 0 && report().lag_records == Some(0));
    let found = report();
    assert_eq!(found.phase, Phase::Stable);
    assert_ne!(found.crash.restart, Restart::Full, "{:?}", found.crash);
    assert!(found.lag_seconds.is_some_and(|lag| lag < 20.0), "{:?}", found.lag_seconds);
    assert!(found.stuck.is_empty());
    let page = scene.run("status", &[]).stdout;
    assert!(page.contains("\na crash now  a partial resume"), "{page}");
    // The checkpoint is read by asking its owner.
    let Run { code, stdout, stderr } = scene.run("checkpoint show", &[]);
    assert_eq!((code, stderr.as_str()), (0, ""));
    let first = format!(
        "checkpoint      {}, in use by the daemon at {}",
        scene.dir.path().join("checkpoint").display(),
        scene.dashboard
    );
    assert_eq!(stdout.lines().next().unwrap(), first);
    assert!(stdout.contains("\nphase           stable sync\n"), "{stdout}");
    assert!(stdout.contains("\nflow 1          applied LSN "), "{stdout}");
    // So is a dry run, which then ends as the run would.
    let Run { code, stdout, stderr } = scene.run("replicate", &["--dry-run"]);
    assert!(stdout.starts_with("df2redis     running for "), "{stdout}");
    assert!(code == 1 && stderr.contains("is in use by the daemon at"), "{code} {stderr}");
    let Run { code, .. } = scene.run("checkpoint reset", &[]);
    assert_eq!(code, 1);
}

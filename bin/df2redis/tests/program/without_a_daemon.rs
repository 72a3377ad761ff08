//! `status` and `checkpoint` while no daemon runs, or one that cannot be asked.

use std::io::{Read, Write};
use std::net::TcpListener;

use crate::support::{Run, checkpoint_at, config, run};
use replica::Report;
use replica::status::Restart;

/// An address that nobody listens on.
fn nobody() -> String {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string()
}

#[test]
fn without_a_checkpoint_there_is_little_to_say() {
    let (dir, file) = config(&nobody());
    let checkpoint = dir.path().join("checkpoint");
    let Run { code, stdout, stderr } = run(&["status", "--config", &file]);
    let page = format!(
        "df2redis     not running\ncheckpoint   no checkpoint in {}: nothing was replicated yet\nsource       127.0.0.1:2\ntarget       127.0.0.1:1\nnot in sync  0 keys\n",
        checkpoint.display()
    );
    assert_eq!((code, stdout, stderr.as_str()), (0, page, ""));
    for command in ["show", "reset"] {
        let Run { code, stdout, stderr } = run(&["checkpoint", command, "--config", &file]);
        let line = format!("no checkpoint in {}\n", checkpoint.display());
        assert_eq!((code, stdout, stderr.as_str()), (0, line, ""));
    }
    assert!(!checkpoint.exists());
}

#[test]
fn status_falls_back_to_the_checkpoint() {
    let (dir, file) = config(&nobody());
    drop(checkpoint_at(dir.path()));
    let Run { code, stdout, stderr } = run(&["status", "--config", &file]);
    assert_eq!((code, stderr.as_str()), (0, ""));
    for line in [
        "df2redis     not running",
        "checkpoint   the next start goes on from the LSNs below",
        "             replication id 0123456789abcdef0123456789abcdef01234567",
        "not in sync  1 keys",
        "   1          1 234          1 234",
        "  db2:a\\nb (WRONGTYPE)",
    ] {
        assert!(stdout.lines().any(|l| l == line), "{line:?} is missing in\n{stdout}");
    }
    let Run { code, stdout, stderr } = run(&["status", "--config", &file, "--json"]);
    assert_eq!((code, stderr.as_str()), (0, ""));
    let report: Report = serde_json::from_str(&stdout).unwrap();
    assert!(!report.running && !report.ready);
    assert_eq!((report.flows[0].applied_lsn, report.flows[1].applied_lsn), (41, 1234));
    assert_eq!((report.flows[0].reserved_lsn, report.flows[1].reserved_lsn), (41, 1234));
    // Nobody has asked the source: that is not 0.
    let unknown = &serde_json::from_str::<serde_json::Value>(&stdout).unwrap();
    assert!(unknown["lag_records"].is_null() && unknown["flows"][0]["source_lsn"].is_null(), "{stdout}");
    assert!(unknown["crash"]["records_behind"].is_null(), "{stdout}");
    assert_eq!((report.crash.restart, report.crash.keys_to_repair), (Restart::Unknown, 1));
    assert!(!report.crash.why.is_empty());
    assert_eq!(report.not_in_sync_by_cause.get("WRONGTYPE"), Some(&1));
    assert_eq!((report.not_in_sync_count, report.not_in_sync[0].key.as_str()), (1, "a\\nb"));
}

#[test]
fn a_daemon_that_cannot_be_asked_is_said_so() {
    let addr = nobody();
    let (dir, file) = config(&addr);
    let checkpoint = dir.path().join("checkpoint");
    let _owner = checkpoint_at(dir.path());
    let Run { code, stdout, stderr } = run(&["status", "--config", &file]);
    let line = format!(
        "df2redis: checkpoint {} is in use by a daemon, but no daemon answers at {addr}; give `status` the configuration that it runs with\n",
        checkpoint.display()
    );
    assert_eq!((code, stdout.as_str(), stderr), (1, "", line));
    for command in ["show", "reset"] {
        let Run { code, stdout, stderr } = run(&["checkpoint", command, "--config", &file]);
        let line = format!(
            "df2redis: checkpoint {} is in use by a daemon; stop it first, or ask it with `df2redis status`\n",
            checkpoint.display()
        );
        assert_eq!((code, stdout.as_str(), stderr), (1, "", line));
    }
}

#[test]
fn somebody_else_at_the_dashboard_address_is_not_believed() {
    let other = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = other.local_addr().unwrap().to_string();
    let (dir, file) = config(&addr);
    drop(checkpoint_at(dir.path()));
    let server = std::thread::spawn(move || {
        let (mut client, _) = other.accept().unwrap();
        let mut request = Vec::new();
        while !request.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            client.read_exact(&mut byte).unwrap();
            request.push(byte[0]);
        }
        assert!(request.starts_with(b"GET /api/status HTTP/1."));
        client.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello").unwrap();
    });
    let Run { code, stdout, stderr } = run(&["status", "--config", &file]);
    server.join().unwrap();
    let line = format!(
        "df2redis: what listens on {addr} is no df2redis (HTTP 200); set dashboard.addr to the address of this configuration's daemon\n"
    );
    assert_eq!((code, stderr), (0, line));
    assert!(stdout.starts_with("df2redis     not running\n"), "{stdout}");
}

#[test]
fn the_checkpoint_is_shown_and_removed() {
    let (dir, file) = config("");
    let store = checkpoint_at(dir.path());
    let name = checkpoint::Durable::name(&store);
    drop(store);
    let checkpoint = dir.path().join("checkpoint");
    let Run { code, stdout, stderr } = run(&["checkpoint", "show", "--config", &file]);
    assert_eq!((code, stderr.as_str()), (0, ""));
    for line in [
        &format!("checkpoint      {}, write 3", checkpoint.display()),
        "phase           stable sync",
        "replication id  0123456789abcdef0123456789abcdef01234567",
        "target          127.0.0.1:1, run id 77",
        &format!("name            {name}"),
        "node            127.0.0.1:1, run id 77, offset 5 678, on disk",
        "flow 1          applied LSN 1 234, reserved LSN 1 234",
        "  db2:a\\nb (WRONGTYPE)",
    ] {
        assert!(stdout.lines().any(|l| l == line), "{line:?} is missing in\n{stdout}");
    }
    let Run { code, stdout, stderr } = run(&["checkpoint", "reset", "--config", &file]);
    assert_eq!((code, stderr.as_str()), (0, ""));
    let removed = format!(
        "checkpoint {} removed; the next start takes a full sync, and target.on_existing_data decides what becomes of the target's keys\n",
        checkpoint.display()
    );
    assert_eq!(stdout, removed);
    let Run { code, stdout, .. } = run(&["checkpoint", "show", "--config", &file]);
    assert_eq!((code, stdout), (0, format!("no checkpoint in {}\n", checkpoint.display())));
}

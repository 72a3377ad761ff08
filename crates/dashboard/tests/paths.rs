//! Every path over a real socket.
#![allow(clippy::unwrap_used)]

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use dashboard::{Dashboard, Error};
use replica::phase::Phase;
use replica::status::{Backlog, NodeStatus, Repairing, Restart};
use replica::{Report, Status};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

struct Served {
    status: Arc<Status>,
    addr: SocketAddr,
}

async fn serve() -> Served {
    let status = Status::new("source.example:6379".into(), "target.example:7000".into());
    let dashboard = Dashboard::listen("127.0.0.1:0").await.unwrap();
    let addr = dashboard.addr();
    tokio::spawn(dashboard.serve(status.clone()));
    Served { status, addr }
}

/// HTTP status, head and body.
async fn get(addr: SocketAddr, path: &str) -> (u16, String, String) {
    let mut stream = TcpStream::connect(addr).await.unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nHost: {addr}\r\nConnection: close\r\n\r\n");
    answer(&mut stream, &request).await
}

/// POST of a body to `/api/repair`.
async fn post(addr: SocketAddr, kind: &str, body: &str) -> (u16, String, String) {
    let mut stream = TcpStream::connect(addr).await.unwrap();
    let head = format!("Content-Type: {kind}\r\nContent-Length: {}\r\nConnection: close", body.len());
    answer(&mut stream, &format!("POST /api/repair HTTP/1.1\r\nHost: {addr}\r\n{head}\r\n\r\n{body}")).await
}

async fn answer(stream: &mut TcpStream, request: &str) -> (u16, String, String) {
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut reply = String::new();
    stream.read_to_string(&mut reply).await.unwrap();
    let (head, body) = reply.split_once("\r\n\r\n").unwrap();
    let code = head.split(' ').nth(1).unwrap().parse().unwrap();
    (code, head.to_owned(), body.to_owned())
}

fn enter_stable(status: &Status) {
    for phase in [Phase::Connecting, Phase::Attaching] {
        status.enter(phase, "");
    }
    status.attached("0123456789012345678901234567890123456789", "1.40.1", 2, Some("no earlier position"));
    for phase in [Phase::Snapshot, Phase::Barrier, Phase::Stable] {
        status.enter(phase, "");
    }
}

#[tokio::test]
async fn alive_at_once_but_ready_only_in_stable_sync() {
    let served = serve().await;
    assert_eq!(get(served.addr, "/healthz").await.0, 200);
    let (code, _, body) = get(served.addr, "/readyz").await;
    assert_eq!((code, body.as_str()), (503, "starting\n"));
    enter_stable(&served.status);
    let (code, _, body) = get(served.addr, "/readyz").await;
    assert_eq!((code, body.as_str()), (200, "stable\n"));
    served.status.enter(Phase::Connecting, "link lost");
    assert_eq!(get(served.addr, "/readyz").await.0, 503);
    assert_eq!(get(served.addr, "/healthz").await.0, 200);
}

#[tokio::test]
async fn only_sensible_requests_for_repair_get_as_far_as_the_stream() {
    let served = serve().await;
    let json = "application/json";
    let (code, _, body) = post(served.addr, json, r#"{"keys":[{"db":0,"key_hex":"666f6f"}]}"#).await;
    assert_eq!(code, 503, "{body}");
    assert!(body.contains("try again when the daemon is in stable sync"), "{body}");
    for (kind, body, expected) in [
        (json, r#"{"keys":[{"db":0,"key_hex":"6"}]}"#, 400),
        (json, r#"{"keys":[{"db":0,"key_hex":"6g"}]}"#, 400),
        (json, r#"{"keys":[{"db":-1,"key_hex":""}]}"#, 422),
        (json, r#"{"names":[]}"#, 422),
        (json, "no json", 400),
        ("text/plain", r#"{"keys":[]}"#, 415),
    ] {
        assert_eq!(post(served.addr, kind, body).await.0, expected, "{body}");
    }
    let many = format!(r#"{{"keys":[{}]}}"#, vec![r#"{"db":0,"key_hex":""}"#; 1001].join(","));
    assert_eq!(post(served.addr, json, &many).await.0, 400);
    assert_eq!(get(served.addr, "/api/repair").await.0, 405);
}

#[tokio::test]
async fn the_report_as_json_reads_back() {
    let served = serve().await;
    enter_stable(&served.status);
    served.status.flows()[1].applied.store(41, Relaxed);
    served.status.flows()[1].source.store(48, Relaxed);
    let (code, head, body) = get(served.addr, "/api/status").await;
    assert_eq!(code, 200);
    assert!(head.to_ascii_lowercase().contains("content-type: application/json"), "{head}");
    let report: Report = serde_json::from_str(&body).unwrap();
    assert!(report.running && report.ready);
    assert_eq!(report.phase, Phase::Stable);
    assert_eq!((report.flows.len(), report.flows[1].applied_lsn, report.lag_records), (2, 41, Some(7)));
    assert_eq!(report.last_full_sync_reason, "no earlier position");
    assert_eq!((report.crash.restart, report.crash.records_behind), (Restart::Unknown, Some(48)));
}

#[tokio::test]
async fn the_report_of_an_older_daemon_reads() {
    let served = serve().await;
    enter_stable(&served.status);
    let (_, _, body) = get(served.addr, "/api/status").await;
    let mut report: serde_json::Value = serde_json::from_str(&body).unwrap();
    let fields = report.as_object_mut().unwrap();
    for new in ["stuck", "lag_seconds", "spool", "crash", "repair", "nodes", "not_in_sync_by_cause"] {
        assert!(fields.remove(new).is_some(), "{new}");
    }
    let flow = fields["flows"][0].as_object_mut().unwrap();
    for new in ["stalled", "acknowledged_lsn", "reserved_lsn", "lag_seconds", "source_records_per_s"] {
        assert!(flow.remove(new).is_some(), "{new}");
    }
    let report: Report = serde_json::from_value(report).unwrap();
    assert_eq!(report.flows.len(), 2);
}

#[tokio::test]
async fn a_stuck_task_is_no_health() {
    let served = serve().await;
    let heart = served.status.heart("flow 0", Duration::from_secs(60));
    assert_eq!(get(served.addr, "/healthz").await.0, 200);
    drop(heart);
    let heart = served.status.heart("flow 1", Duration::from_millis(10));
    tokio::time::sleep(Duration::from_millis(50)).await;
    let (code, _, body) = get(served.addr, "/healthz").await;
    assert_eq!((code, body.as_str()), (503, "stuck: flow 1: nothing for 0 s\n"));
    let (_, _, page) = get(served.addr, "/").await;
    assert!(page.contains("flow 1: nothing for 0 s"), "{page}");
    drop(heart);
    assert_eq!(get(served.addr, "/healthz").await.0, 200);
}

#[tokio::test]
async fn metrics_carry_every_flow_and_the_phase() {
    let served = serve().await;
    enter_stable(&served.status);
    served.status.flows()[0].records.store(12, Relaxed);
    served.status.flows()[1].applied.store(41, Relaxed);
    served.status.flows()[1].source.store(48, Relaxed);
    let [zero, one] = &served.status.flows()[..] else { panic!("two flows") };
    one.acknowledged.store(40, Relaxed);
    one.reserved.store(50, Relaxed);
    zero.set_spool(3, 4, true);
    let by_cause = [("uncertain", 2)].into();
    one.set_repairing(Repairing { keys: 2, by_cause, first: Vec::new() });
    let waiting = Some("LOADING".to_owned());
    zero.set_nodes(vec![NodeStatus { address: "n:1".into(), waiting, unsettled: 3 }]);
    served.status.repaired("refused", 6);
    served.status.fences.store(5, Relaxed);
    served.status.fences_again.store(1, Relaxed);
    served.status.set_backlog(Backlog::Known(8_192));
    let (code, head, body) = get(served.addr, "/metrics").await;
    assert_eq!(code, 200);
    assert!(head.contains(dashboard::metrics::CONTENT_TYPE), "{head}");
    let lines: Vec<&str> = body.lines().collect();
    for expected in [
        "df2redis_phase{phase=\"stable\"} 1",
        "df2redis_phase{phase=\"snapshot\"} 0",
        "df2redis_ready 1",
        "df2redis_syncs_total{kind=\"full\"} 1",
        "df2redis_syncs_total{kind=\"partial\"} 0",
        "df2redis_flow_records_total{flow=\"0\"} 12",
        "df2redis_flow_applied_lsn{flow=\"1\"} 41",
        "df2redis_flow_lag_records{flow=\"1\"} 7",
        "df2redis_flow_failures_total{flow=\"1\"} 0",
        "df2redis_not_in_sync 0",
        "df2redis_stuck_tasks 0",
        "df2redis_flow_acknowledged_lsn{flow=\"1\"} 40",
        "df2redis_flow_reserved_lsn{flow=\"1\"} 50",
        "df2redis_flow_spooled_bytes{flow=\"0\"} 7",
        "df2redis_flow_spooled_disk_bytes{flow=\"0\"} 4",
        "df2redis_flow_stalled{flow=\"0\"} 1",
        "df2redis_flow_lag_seconds{flow=\"0\"} 0.0",
        "df2redis_flow_source_records_per_second{flow=\"0\"} 0.0",
        "df2redis_flow_repairing_keys{flow=\"1\"} 2",
        "df2redis_spool_memory_bytes 3",
        "df2redis_spool_disk_bytes 4",
        "df2redis_spool_stalled 1",
        "df2redis_repairing 2",
        "df2redis_repairing_by_cause{cause=\"uncertain\"} 2",
        "df2redis_repair_off 0",
        "df2redis_repaired_keys_total{cause=\"refused\"} 6",
        "df2redis_repair_fences_total 5",
        "df2redis_repair_fences_again_total 1",
        "df2redis_node_unsettled{node=\"n:1\"} 3",
        "df2redis_node_waiting{node=\"n:1\"} 1",
        "df2redis_crash_restart{sync=\"partial\"} 1",
        "df2redis_crash_restart{sync=\"full\"} 0",
        "df2redis_crash_records_behind 48",
        "df2redis_crash_keys_to_repair 50",
        "df2redis_source_backlog_records 8192",
        "# EOF",
    ] {
        assert!(lines.contains(&expected), "{expected} is missing in\n{body}");
    }
}

#[tokio::test]
async fn the_page_escapes_what_users_named() {
    let served = serve().await;
    enter_stable(&served.status);
    let entry = checkpoint_entry(b"<script>alert('x')</script>&\"");
    served.status.set_not_in_sync(1, vec![entry]);
    let (code, head, body) = get(served.addr, "/").await;
    assert_eq!(code, 200);
    assert!(head.to_ascii_lowercase().contains("content-type: text/html"), "{head}");
    assert!(body.contains("&lt;script&gt;"), "{body}");
    assert!(!body.contains("<script>"), "{body}");
    assert!(body.contains("source.example:6379"), "{body}");
}

fn checkpoint_entry(key: &[u8]) -> checkpoint::NotInSync {
    checkpoint::NotInSync { db: 0, key: key.to_vec(), reason: "WRONGTYPE".into(), flow: 0, lsn: 1, at_ms: 1 }
}

#[tokio::test]
async fn other_paths_and_methods_are_refused() {
    let served = serve().await;
    assert_eq!(get(served.addr, "/api").await.0, 404);
    let mut stream = TcpStream::connect(served.addr).await.unwrap();
    stream.write_all(b"POST /api/status HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").await.unwrap();
    let mut reply = String::new();
    stream.read_to_string(&mut reply).await.unwrap();
    assert!(reply.starts_with("HTTP/1.1 405 "), "{reply}");
}

#[tokio::test]
async fn a_taken_port_is_one_clear_line() {
    let first = Dashboard::listen("127.0.0.1:0").await.unwrap();
    let addr = first.addr().to_string();
    let Err(error @ Error::Listen { .. }) = Dashboard::listen(&addr).await else {
        panic!("listening twice on {addr}");
    };
    assert_eq!(
        error.to_string(),
        format!(
            "dashboard.addr {addr}: cannot listen: the port is taken by another process; choose another address, or \"\" for no dashboard"
        )
    );
}

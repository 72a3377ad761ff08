//! Every path over a real socket.
#![allow(clippy::unwrap_used)]

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use dashboard::{Dashboard, Error};
use replica::phase::Phase;
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
    assert_eq!((report.flows.len(), report.flows[1].applied_lsn, report.lag_records), (2, 41, 7));
    assert_eq!(report.last_full_sync_reason, "no earlier position");
}

#[tokio::test]
async fn metrics_carry_every_flow_and_the_phase() {
    let served = serve().await;
    enter_stable(&served.status);
    served.status.flows()[0].records.store(12, Relaxed);
    served.status.flows()[1].applied.store(41, Relaxed);
    served.status.flows()[1].source.store(48, Relaxed);
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

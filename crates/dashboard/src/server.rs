//! The socket and its paths.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use axum::extract::{DefaultBodyLimit, State};
use axum::http::StatusCode;
use axum::http::header::{CONTENT_TYPE, HeaderName};
use axum::response::{Html, IntoResponse, Json, Response};
use axum::routing::{get, post};
use replica::status::Stuck;
use replica::{Report, Status};
use tokio::net::TcpListener;

use crate::{metrics, page, repair};

/// Why there is no dashboard. The text is one line: what, where, what to do.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The address cannot be listened on.
    #[error(
        "dashboard.addr {addr}: cannot listen: {}; choose another address, or \"\" for no dashboard",
        reason(source)
    )]
    Listen {
        /// The configured `host:port`.
        addr: String,
        /// What the system said.
        source: io::Error,
    },
    /// The socket failed later.
    #[error("dashboard: {0}")]
    Serve(io::Error),
}

fn reason(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::AddrInUse => "the port is taken by another process".to_owned(),
        io::ErrorKind::AddrNotAvailable => "this machine does not have that address".to_owned(),
        io::ErrorKind::PermissionDenied => "permission denied".to_owned(),
        _ => error.to_string(),
    }
}

/// Where reports of another process come from.
type Source = Arc<dyn Fn() -> Result<Report, String> + Send + Sync>;

/// A listening socket that nobody is served on yet.
#[derive(Debug)]
pub struct Dashboard {
    listener: TcpListener,
    addr: SocketAddr,
}

impl Dashboard {
    /// Listens on `addr` (`host:port`; port 0 takes a free one), so that a taken port shows before anything else starts.
    ///
    /// # Errors
    /// [`Error::Listen`].
    pub async fn listen(addr: &str) -> Result<Dashboard, Error> {
        let failed = |source| Error::Listen { addr: addr.to_owned(), source };
        let listener = TcpListener::bind(addr).await.map_err(failed)?;
        let addr = listener.local_addr().map_err(failed)?;
        Ok(Dashboard { listener, addr })
    }

    /// Where it listens.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Answers until it is dropped.
    ///
    /// # Errors
    /// [`Error::Serve`].
    pub async fn serve(self, status: Arc<Status>) -> Result<(), Error> {
        let router = Router::new()
            .route("/", get(async |State(status): State<Arc<Status>>| Html(page::html(&status.report()))))
            .route("/healthz", get(async |State(status): State<Arc<Status>>| health(&status.stuck())))
            .route("/readyz", get(async |State(status): State<Arc<Status>>| ready(&status.report())))
            .route("/metrics", get(async |State(status): State<Arc<Status>>| scrape(&status.report())))
            .route("/api/status", get(async |State(status): State<Arc<Status>>| Json(status.report())))
            .route("/api/repair", post(repair::repair).layer(DefaultBodyLimit::max(repair::LARGEST_BODY)))
            .with_state(status);
        let service = router.into_make_service_with_connect_info::<SocketAddr>();
        axum::serve(self.listener, service).await.map_err(Error::Serve)
    }

    /// Answers with what `report` says at each request, until it is dropped: for a process that replicates nothing itself.
    /// Where there is no report the answer is 503 and the reason; `/healthz` says that this process lives, and nothing can
    /// be repaired through it.
    ///
    /// # Errors
    /// [`Error::Serve`].
    pub async fn serve_reports(
        self,
        report: impl Fn() -> Result<Report, String> + Send + Sync + 'static,
    ) -> Result<(), Error> {
        type Asked = State<Source>;
        let report: Source = Arc::new(report);
        let router = Router::new()
            .route("/", get(async |State(report): Asked| shown(report, |r| Html(page::html(r))).await))
            .route("/healthz", get(async || health(&[])))
            .route("/readyz", get(async |State(report): Asked| shown(report, ready).await))
            .route("/metrics", get(async |State(report): Asked| shown(report, scrape).await))
            .route("/api/status", get(async |State(report): Asked| shown(report, |r| Json(r.clone())).await))
            .with_state(report);
        axum::serve(self.listener, router).await.map_err(Error::Serve)
    }
}

/// Asks for a report, which may block, and shows it.
async fn shown<R: IntoResponse>(report: Source, show: fn(&Report) -> R) -> Response {
    let asked = tokio::task::spawn_blocking(move || report()).await;
    match asked.unwrap_or_else(|panicked| std::panic::resume_unwind(panicked.into_panic())) {
        Ok(report) => show(&report).into_response(),
        Err(why) => (StatusCode::SERVICE_UNAVAILABLE, format!("{why}\n")).into_response(),
    }
}

/// Alive as long as no task is stuck: a restart mends nothing else.
fn health(stuck: &[Stuck]) -> (StatusCode, String) {
    if stuck.is_empty() {
        return (StatusCode::OK, "alive\n".to_owned());
    }
    let lines = stuck.iter().map(|stuck| format!("stuck: {stuck}\n")).collect();
    (StatusCode::SERVICE_UNAVAILABLE, lines)
}

fn ready(report: &Report) -> (StatusCode, String) {
    let code = if report.ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (code, format!("{}\n", report.phase))
}

fn scrape(report: &Report) -> ([(HeaderName, &'static str); 1], String) {
    ([(CONTENT_TYPE, metrics::CONTENT_TYPE)], metrics::text(report))
}

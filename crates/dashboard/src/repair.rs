//! `POST /api/repair`: keys that a comparison found different are repaired by the running replication.
//!
//! The body is `{"keys":[{"db":0,"key_hex":"666f6f"}]}`, at most [`MOST_KEYS`] keys and [`LARGEST_BODY`] bytes, as
//! `application/json` (which keeps pages of a browser from sending it). The answer comes when the keys have left repair,
//! or after [`PATIENCE`]: 200 `{"repaired":n}`, 202 `{"under_repair":n}`; 400 for what is no such body, 403 from other
//! machines, 503 with the reason where nothing can be repaired at the moment.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::rejection::JsonRejection;
use axum::extract::{ConnectInfo, State};
use axum::http::StatusCode;
use axum::response::Json;
use replica::Status;
use replica::desk::Request;
use serde::Deserialize;
use tokio::sync::oneshot;

/// Most bytes of a body.
pub const LARGEST_BODY: usize = 4 << 20;
/// Most keys of a request.
pub const MOST_KEYS: usize = 1000;
/// How long the keys are waited for.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// The body.
#[derive(Debug, Deserialize)]
pub(crate) struct Asked {
    keys: Vec<Key>,
}

#[derive(Debug, Deserialize)]
struct Key {
    db: u32,
    key_hex: String,
}

type Answer = (StatusCode, String);

fn refused(code: StatusCode, why: impl std::fmt::Display) -> Answer {
    (code, format!("{why}\n"))
}

pub(crate) async fn repair(
    State(status): State<Arc<Status>>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    body: Result<Json<Asked>, JsonRejection>,
) -> Answer {
    if !peer.ip().to_canonical().is_loopback() {
        return refused(StatusCode::FORBIDDEN, "only from this machine");
    }
    let asked = match body {
        Ok(Json(asked)) => asked,
        Err(rejection) => return refused(rejection.status(), rejection.body_text()),
    };
    if asked.keys.len() > MOST_KEYS {
        return refused(StatusCode::BAD_REQUEST, format!("more than {MOST_KEYS} keys"));
    }
    let mut keys = Vec::with_capacity(asked.keys.len());
    for Key { db, key_hex } in asked.keys {
        match bytes(&key_hex) {
            Some(key) => keys.push(replica::desk::key(db, key)),
            None => return refused(StatusCode::BAD_REQUEST, "key_hex is not hexadecimal"),
        }
    }
    let count = keys.len();
    let Some(desk) = status.desk() else {
        return refused(StatusCode::SERVICE_UNAVAILABLE, replica::desk::Refused::NotStable);
    };
    let (done, answer) = oneshot::channel();
    if desk.send(Request { keys, done }).await.is_err() {
        return refused(StatusCode::SERVICE_UNAVAILABLE, replica::desk::Refused::NotStable);
    }
    match tokio::time::timeout(PATIENCE, answer).await {
        Ok(Ok(Ok(()))) => (StatusCode::OK, format!("{{\"repaired\":{count}}}\n")),
        Ok(Ok(Err(why))) => refused(StatusCode::SERVICE_UNAVAILABLE, why),
        // The session ends: what was begun is on its durable list.
        Ok(Err(_)) | Err(_) => (StatusCode::ACCEPTED, format!("{{\"under_repair\":{count}}}\n")),
    }
}

fn bytes(hex: &str) -> Option<Vec<u8>> {
    let digits = hex.as_bytes();
    if !digits.len().is_multiple_of(2) {
        return None;
    }
    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|n| u8::try_from(n).ok());
    digits.chunks_exact(2).map(|two| Some(digit(two[0])? << 4 | digit(two[1])?)).collect()
}

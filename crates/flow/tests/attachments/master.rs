//! A master whose answers are set by the test.

use std::sync::atomic::{AtomicUsize, Ordering};

use flow::{AttachError, Attachment, Resume, SourceOptions, attach};
use resp::ConnectOptions;

use crate::peer::{Action, Peer, line};

pub(crate) const REPLID: &str = "0387c57b671efcf5ae8bfa5a7c0719b017ad991e";

/// The token of a flow: 40 hex digits that name it.
pub(crate) fn token(flow: usize) -> String {
    format!("{flow:040x}")
}

/// What a master answers to `DFLY FLOW`, to be sent with its token.
pub(crate) fn granted(kind: &str, flow: usize) -> Action {
    line(&format!("*2\r\n+{kind}\r\n+{}", token(flow)))
}

/// One DFLY FLOW command.
pub(crate) struct Asked {
    /// The attachment it belongs to: 1 for the first greeting.
    pub(crate) attachment: usize,
    pub(crate) flow: usize,
    pub(crate) lsn: Option<u64>,
}

/// A master of `flows` shards and the given release (none: its users may not run INFO). `special` goes first.
pub(crate) async fn master(
    flows: usize,
    release: Option<&str>,
    on_flow: impl Fn(Asked) -> Action + Send + Sync + 'static,
    special: impl Fn(&str) -> Option<Action> + Send + Sync + 'static,
) -> Peer {
    let info = release.map(|r| format!("dragonfly_version:df-v{r}"));
    let greetings = AtomicUsize::new(0);
    Peer::start(move |_, command| {
        if let Some(action) = special(command) {
            return action;
        }
        let words: Vec<&str> = command.split(' ').collect();
        match words[..] {
            ["INFO", ..] | ["HELLO", ..] => match &info {
                Some(info) => line(&format!("${}\r\n{info}", info.len())),
                None => line("-NOPERM no permissions"),
            },
            ["REPLCONF", "capa", "dragonfly"] => {
                let n = greetings.fetch_add(1, Ordering::SeqCst) + 1;
                line(&format!("*5\r\n+{REPLID}\r\n+SYNC{n}\r\n:{flows}\r\n:5\r\n+{REPLID}"))
            }
            ["REPLCONF", "ACK", _] => Action::Send(Vec::new()),
            ["DFLY", "FLOW", REPLID, sync_id, flow, ..] => on_flow(Asked {
                attachment: sync_id.strip_prefix("SYNC").unwrap().parse().unwrap(),
                flow: flow.parse().unwrap(),
                lsn: words.get(5).map(|lsn| lsn.parse().unwrap()),
            }),
            _ => line("+OK"),
        }
    })
    .await
}

/// A master of release 1.40.1 that grants what is asked for.
pub(crate) async fn granting(flows: usize) -> Peer {
    master(flows, Some("1.40.1"), grant, |_| None).await
}

pub(crate) fn grant(asked: Asked) -> Action {
    granted(if asked.lsn.is_some() { "PARTIAL" } else { "FULL" }, asked.flow)
}

pub(crate) fn options(peer: &Peer) -> SourceOptions {
    SourceOptions::new(ConnectOptions::new(&peer.addr), 6380, "test")
}

pub(crate) fn resume(lsns: &[u64]) -> Resume {
    Resume { replid: REPLID.to_owned(), lsns: lsns.to_vec() }
}

pub(crate) async fn attached(peer: &Peer, resume: Option<&Resume>) -> Result<Attachment, AttachError> {
    attach(&options(peer), resume).await
}

/// All DFLY FLOW commands of an attachment, sorted.
pub(crate) fn asked(peer: &Peer, attachment: usize) -> Vec<String> {
    let start = format!("DFLY FLOW {REPLID} SYNC{attachment} ");
    let of_this = |c: &String| c.strip_prefix(&start).map(str::to_owned);
    let mut flows: Vec<String> = peer.commands().iter().filter_map(of_this).collect();
    flows.sort();
    flows
}

pub(crate) fn greetings(peer: &Peer) -> usize {
    peer.commands().iter().filter(|c| *c == "REPLCONF capa dragonfly").count()
}

/// Waits until the clients have closed every connection.
pub(crate) async fn all_closed(peer: &mut Peer) {
    use crate::peer::{Event, What};
    peer.wait_for(|events| {
        let of = |e: &Event| (e.connection, e.what == What::Closed);
        let closed: Vec<usize> = events.iter().map(of).filter(|(_, c)| *c).map(|(n, _)| n).collect();
        events.iter().all(|e| closed.contains(&e.connection))
    })
    .await;
}

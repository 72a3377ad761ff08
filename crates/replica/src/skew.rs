//! How far the clocks of the source and of the target's nodes are apart.
//!
//! Every expiry goes to the target as a point in time, and each side judges it by its own clock. A target whose clock is
//! ahead lets keys go too early; that is repaired where the source still changes them, but not before.

use std::sync::Arc;
use std::time::Duration;

use resp::Reply;
use router::Target;
use router::side::Side;
use serde::{Deserialize, Serialize};
use tokio::time::Instant;
use tracing::{info, warn};

use crate::clock::Clock;
use crate::source::SourceSide;

/// A difference of this much is worth a warning (ms).
const NOTABLE: u64 = 1_000;
/// How often each server is asked; the quickest answer counts.
const TIMES: usize = 3;
/// How long one of them may take.
const PATIENCE: Duration = Duration::from_secs(2);

/// The clocks as they were compared last.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default)]
pub struct ClocksReport {
    /// When, unix ms; nothing: not yet.
    pub compared_at_ms: Option<u64>,
    /// By how much the source's clock is ahead of this program's, in ms; nothing where it does not tell.
    pub source_ahead_ms: Option<i64>,
    /// The target's nodes.
    pub nodes: Vec<NodeClock>,
}

/// The clock of one node of the target.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default)]
pub struct NodeClock {
    /// `host:port`.
    pub address: String,
    /// By how much its clock is ahead of the source's, in ms; nothing where one of them does not tell.
    pub ahead_ms: Option<i64>,
    /// How wrong that may be, in ms: half of what the answers took.
    pub uncertain_ms: u64,
}

impl NodeClock {
    fn is_notable(&self) -> bool {
        self.ahead_ms.is_some_and(|ahead| ahead.unsigned_abs() > NOTABLE + self.uncertain_ms)
    }
}

/// A clock against ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Offset {
    ahead_ms: i64,
    uncertain_ms: u64,
}

/// Asks the source and every node of the target for the time, and warns of those that differ.
pub async fn compare(source: &mut SourceSide, target: &Arc<Target>, clock: Clock) -> ClocksReport {
    let mut of_source = None;
    for _ in 0..TIMES {
        let asked = ask(clock, async { source.time().await.ok() }).await;
        of_source = better(of_source, asked);
    }
    let mut side = Side::new(target.clone());
    let mut nodes = Vec::new();
    for node in target.masters() {
        let mut offset = None;
        for _ in 0..TIMES {
            let asked = ask(clock, async { side.call_node(node, 0, &["TIME"]).await.ok() }).await;
            offset = better(offset, asked);
            if offset.is_none() {
                break;
            }
        }
        nodes.push(against(target.address(node), offset, of_source));
    }
    let report = ClocksReport {
        compared_at_ms: Some(clock.now_ms()),
        source_ahead_ms: of_source.map(|offset| offset.ahead_ms),
        nodes,
    };
    tell(&report);
    report
}

fn tell(report: &ClocksReport) {
    let known = report.nodes.iter().filter_map(|node| node.ahead_ms);
    let largest = known.max_by_key(|ahead| ahead.unsigned_abs());
    info!(source_ahead_ms = report.source_ahead_ms, largest_skew_ms = largest, "clocks compared");
    for node in report.nodes.iter().filter(|node| node.is_notable()) {
        let (node, ahead_ms) = (&node.address, node.ahead_ms);
        warn!(
            node,
            ahead_ms,
            "clock of a target node differs from the source's: its keys expire that much too early or too late"
        );
    }
}

fn against(address: String, node: Option<Offset>, source: Option<Offset>) -> NodeClock {
    let both = node.zip(source);
    NodeClock {
        address,
        ahead_ms: both.map(|(node, source)| node.ahead_ms.saturating_sub(source.ahead_ms)),
        uncertain_ms: both.map_or(0, |(node, source)| node.uncertain_ms + source.uncertain_ms),
    }
}

async fn ask(clock: Clock, question: impl Future<Output = Option<Reply>>) -> Option<Offset> {
    let (began, at) = (Instant::now(), clock.now_ms());
    let reply = tokio::time::timeout(PATIENCE, question).await.ok()??;
    let took = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
    offset(&reply, at, took)
}

/// What `TIME` says against our own clock: `at` when it was asked, `took` ms later it was answered.
fn offset(reply: &Reply, at: u64, took: u64) -> Option<Offset> {
    let [seconds, micros] = reply.as_array()? else { return None };
    // Redis answers in text, Dragonfly in numbers (v1.40.1).
    let number = |reply: &Reply| reply.as_integer().or_else(|| reply.as_str()?.parse().ok());
    let theirs = number(seconds)?.checked_mul(1_000)?.checked_add(number(micros)? / 1_000)?;
    let ours = i64::try_from(at.saturating_add(took / 2)).ok()?;
    Some(Offset { ahead_ms: theirs.saturating_sub(ours), uncertain_ms: took.div_ceil(2) })
}

fn better(a: Option<Offset>, b: Option<Offset>) -> Option<Offset> {
    a.into_iter().chain(b).min_by_key(|offset| offset.uncertain_ms)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn time(seconds: &'static str, micros: &'static str) -> Reply {
        Reply::Array([seconds, micros].map(|text| Reply::Bulk(text.as_bytes().into())).to_vec())
    }

    #[test]
    fn half_of_the_round_trip_is_taken_off() {
        let found = offset(&time("1700000005", "250999"), 1_700_000_000_000, 500).unwrap();
        assert_eq!(found, Offset { ahead_ms: 5_000, uncertain_ms: 250 });
        let numbers = Reply::Array(vec![Reply::Integer(1_700_000_005), Reply::Integer(250_999)]);
        assert_eq!(offset(&numbers, 1_700_000_000_000, 500), Some(found));
        assert_eq!(offset(&Reply::Error("NOPERM".into()), 0, 0), None);
        assert_eq!(offset(&time("x", "0"), 0, 0), None);
    }

    #[test]
    fn a_node_is_compared_with_the_source() {
        let of = |ahead_ms, uncertain_ms| Some(Offset { ahead_ms, uncertain_ms });
        let node = against("a:1".into(), of(-900, 5), of(200, 20));
        assert_eq!((node.ahead_ms, node.uncertain_ms), (Some(-1_100), 25));
        assert!(node.is_notable());
        assert!(!against("a:1".into(), of(-900, 60), of(200, 60)).is_notable(), "as good as the measurement");
        let unknown = against("a:1".into(), None, of(1, 1));
        assert!(unknown.ahead_ms.is_none() && !unknown.is_notable());
        assert_eq!(better(of(1, 9), of(2, 3)), of(2, 3));
    }
}

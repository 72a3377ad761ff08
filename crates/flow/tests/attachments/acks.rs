//! When ACKs leave, and when not.

use std::time::Duration;

use flow::{AckState, Acker, Attachment, Cadence, FlowReader};

use crate::master::{attached, granting};
use crate::peer::{Event, Peer, What};

struct Bench {
    peer: Peer,
    applied: watch::Sender<u64>,
    ping: watch::Sender<u64>,
    acker: Acker,
    _attachment: Attachment,
    _reader: FlowReader,
}

/// An acker whose clock never strikes, unless `interval` says otherwise.
async fn acker(applied: u64, interval: Duration) -> Bench {
    let peer = granting(1).await;
    let mut attachment = attached(&peer, None).await.unwrap();
    let (reader, writer) = attachment.take_flows().pop().unwrap().split();
    let (applied, applied_rx) = watch::channel(applied);
    let (ping, ping_rx) = watch::channel(0);
    let cadence = Cadence { interval, ..Cadence::default() };
    let acker = Acker::spawn(writer, AckState { applied: applied_rx, ping: ping_rx }, cadence);
    Bench { peer, applied, ping, acker, _attachment: attachment, _reader: reader }
}

const NEVER: Duration = Duration::from_secs(3600);

fn acks(events: &[Event]) -> Vec<u64> {
    let ack = |e: &Event| match &e.what {
        What::Command(c) => c.strip_prefix("REPLCONF ACK ").map(|n| n.parse().unwrap()),
        What::Closed => None,
    };
    events.iter().filter_map(ack).collect()
}

impl Bench {
    /// Waits for as many ACKs, and lets the acker do what else it would do.
    async fn expect(&mut self, expected: &[u64]) {
        self.peer.wait_for(|events| acks(events).len() >= expected.len()).await;
        settle().await;
        assert_eq!(acks(&self.peer.wait_for(|_| true).await), expected);
    }
}

/// On the one thread of a test, everything that can run without time passing has run after this.
async fn settle() {
    for _ in 0..50 {
        tokio::task::yield_now().await;
    }
}

#[test]
fn the_cadence_of_a_native_replica() {
    let cadence = Cadence::default();
    assert_eq!((cadence.interval, cadence.records), (Duration::from_secs(1), 1024));
}

#[tokio::test]
async fn the_first_ack_leaves_at_once() {
    let mut bench = acker(17, NEVER).await;
    bench.expect(&[17]).await;
}

#[tokio::test]
async fn an_ack_leaves_when_more_than_1024_records_were_applied() {
    let mut bench = acker(1, NEVER).await;
    bench.expect(&[1]).await;
    for applied in [2, 500, 1025] {
        bench.applied.send_replace(applied);
        settle().await;
    }
    bench.expect(&[1]).await;
    bench.applied.send_replace(1026);
    bench.expect(&[1, 1026]).await;
    bench.applied.send_replace(2050);
    settle().await;
    bench.applied.send_replace(2051);
    bench.expect(&[1, 1026, 2051]).await;
}

#[tokio::test]
async fn an_ack_leaves_with_every_interval_also_without_progress() {
    let mut bench = acker(3, Duration::from_millis(10)).await;
    let events = bench.peer.wait_for(|events| acks(events).len() >= 4).await;
    assert!(acks(&events).iter().all(|&n| n == 3));
    bench.applied.send_replace(9);
    bench.peer.wait_for(|events| acks(events).last() == Some(&9)).await;
}

#[tokio::test]
async fn a_ping_is_acknowledged_at_once_and_again_when_it_is_applied() {
    let mut bench = acker(10, NEVER).await;
    bench.expect(&[10]).await;
    // The master waits for 15: records up to 13 are not applied yet, the PING is 14.
    bench.ping.send_replace(15);
    bench.expect(&[10, 10]).await;
    bench.applied.send_replace(14);
    settle().await;
    bench.applied.send_replace(15);
    bench.expect(&[10, 10, 15]).await;
    bench.applied.send_replace(16);
    bench.expect(&[10, 10, 15]).await;
    // A PING that is applied when it is noticed needs one ACK only.
    bench.ping.send_replace(16);
    bench.expect(&[10, 10, 15, 16]).await;
    bench.applied.send_replace(17);
    settle().await;
    bench.ping.send_replace(18);
    bench.expect(&[10, 10, 15, 16, 17]).await;
}

#[tokio::test]
async fn a_stopped_acker_is_silent_and_keeps_the_flow_open() {
    let mut bench = acker(5, NEVER).await;
    bench.expect(&[5]).await;
    assert!(bench.acker.is_running());
    let (mut writer, last) = bench.acker.stop().await;
    assert!(last.is_some());
    bench.applied.send_replace(5000);
    bench.ping.send_replace(5001);
    settle().await;
    // The flow is still open: the next thing on it is this one.
    writer.ack(6).await.unwrap();
    let events = bench.peer.wait_for(|events| acks(events).len() >= 2).await;
    assert_eq!(acks(&events), [5, 6]);
}

#[tokio::test]
async fn an_acker_ends_with_its_source_of_lsns() {
    let mut bench = acker(5, NEVER).await;
    bench.expect(&[5]).await;
    drop(bench.applied);
    settle().await;
    assert!(!bench.acker.is_running());
    bench.acker.stop().await;
}

#[tokio::test]
async fn a_dropped_acker_closes_its_side_of_the_flow() {
    let mut bench = acker(5, NEVER).await;
    bench.expect(&[5]).await;
    drop(bench.acker);
    bench.peer.wait_for(|events| events.iter().any(|e| e.what == What::Closed && e.connection == 1)).await;
}

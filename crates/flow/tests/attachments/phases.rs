//! SYNC and STARTSTABLE beside the flows, and the way out.

use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use flow::{AckState, Acker, Attachment, Cadence, FlowReader};
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::master::{Asked, all_closed, attached, granted, granting, master, options};
use crate::peer::{Action, Event, Peer, What};

#[tokio::test]
async fn flows_are_read_while_start_stable_waits() {
    // More than the sockets hold: the master can only answer once the flow has been read.
    const STREAM: usize = 24 << 20;
    let written = Arc::new(Notify::new());
    let then = written.clone();
    let on_flow = move |asked: Asked| {
        let Action::Send(mut bytes) = granted("FULL", asked.flow) else { unreachable!() };
        bytes.resize(bytes.len() + STREAM, b'.');
        Action::SendThen(bytes, then.clone())
    };
    let special = move |command: &str| {
        let stable = command.starts_with("DFLY STARTSTABLE");
        stable.then(|| Action::SendAfter(written.clone(), b"+OK\r\n".to_vec()))
    };
    let peer = master(1, Some("1.40.1"), on_flow, special).await;
    let mut attachment = attached(&peer, None).await.unwrap();
    let (mut reader, _writer) = attachment.take_flows().pop().unwrap().split();
    attachment.sync().await.unwrap();
    let read = async {
        let mut total = 0;
        let mut buf = BytesMut::new();
        while total < STREAM {
            let n = reader.read_chunk(&mut buf).await.unwrap();
            assert_ne!(n, 0);
            assert_eq!(buf.split().freeze().len(), n, "pieces are handed on without a copy");
            total += n;
        }
        total
    };
    let (stable, total) = tokio::join!(attachment.start_stable(), read);
    stable.unwrap();
    assert_eq!(total, STREAM);
}

#[tokio::test]
async fn a_phase_that_is_not_answered_ends() {
    let silent = |command: &str| command.starts_with("DFLY SYNC").then(|| Action::Send(Vec::new()));
    let peer = master(1, Some("1.40.1"), |asked| granted("FULL", asked.flow), silent).await;
    let mut options = options(&peer);
    options.timeouts.sync = Duration::from_millis(50);
    let mut attachment = flow::attach(&options, None).await.unwrap();
    let error = attachment.sync().await.unwrap_err();
    assert_eq!(error.class(), resp::Class::Retry, "{error:?}");
    attachment.check(Duration::from_secs(7)).await.unwrap_err();
}

#[tokio::test]
async fn the_control_connection_tells_whether_the_master_is_there() {
    let peer = granting(1).await;
    let mut attachment = attached(&peer, None).await.unwrap();
    attachment.check(Duration::from_secs(7)).await.unwrap();
    assert_eq!(peer.commands().last().map(String::as_str), Some("PING"));

    let leaving = std::sync::atomic::AtomicUsize::new(0);
    let special = move |command: &str| {
        let later = command == "PING" && leaving.fetch_add(1, std::sync::atomic::Ordering::SeqCst) > 0;
        later.then_some(Action::Close)
    };
    let peer = master(1, Some("1.40.1"), |asked| granted("FULL", asked.flow), special).await;
    let mut attachment = attached(&peer, None).await.unwrap();
    assert_eq!(attachment.check(Duration::from_secs(7)).await.unwrap_err().class(), resp::Class::Retry);
}

#[tokio::test]
async fn the_end_of_a_flow_is_seen() {
    let closing = |command: &str| command.starts_with("REPLCONF ACK").then_some(Action::Close);
    let peer = master(1, Some("1.40.1"), |asked| granted("FULL", asked.flow), closing).await;
    let mut attachment = attached(&peer, None).await.unwrap();
    let (mut reader, mut writer) = attachment.take_flows().pop().unwrap().split();
    // A master whose user has lost the permission closes the flow instead of an answer.
    writer.ack(1).await.unwrap();
    assert_eq!(reader.read_chunk(&mut BytesMut::new()).await.unwrap(), 0);
}

/// An attachment to `peer` whose three flows acknowledge LSN 7 with every `interval`.
async fn acknowledging(
    peer: &Peer,
    teardown: Duration,
    interval: Duration,
) -> (Attachment, Vec<FlowReader>, Vec<Acker>, watch::Sender<u64>) {
    let mut options = options(peer);
    options.timeouts.teardown = teardown;
    let mut attachment = flow::attach(&options, None).await.unwrap();
    let (mut readers, mut ackers) = (Vec::new(), Vec::new());
    let (sender, applied) = watch::channel(7);
    for flow in attachment.take_flows() {
        let (reader, writer) = flow.split();
        readers.push(reader);
        // An acker that has no PINGs to expect goes on without.
        let state = AckState { applied: applied.clone(), ping: watch::channel(0).1 };
        ackers.push(Acker::spawn(writer, state, Cadence { interval, ..Cadence::default() }));
    }
    (attachment, readers, ackers, sender)
}

fn is_ack(event: &&Event) -> bool {
    matches!(&event.what, What::Command(c) if c == "REPLCONF ACK 7")
}

fn is_close(event: &&Event) -> bool {
    event.what == What::Closed
}

#[tokio::test]
async fn teardown_stops_acks_then_closes_control_then_flows() {
    let mut peer = granting(3).await;
    let (attachment, readers, ackers, _applied) =
        acknowledging(&peer, Duration::from_millis(100), Duration::from_millis(2)).await;
    peer.wait_for(|events| events.iter().filter(is_ack).count() > 12).await;
    attachment.close(ackers).await;
    drop(readers);
    all_closed(&mut peer).await;
    let events = peer.wait_for(|_| true).await;
    let tail: Vec<&Event> = events.iter().skip_while(|e| !is_close(e)).collect();
    assert_eq!((tail.len(), tail[0].connection), (4, 0), "control first, no ack behind it: {tail:?}");
}

#[tokio::test]
async fn teardown_leaves_the_last_ack_time_to_arrive() {
    let mut peer = granting(3).await;
    let teardown = Duration::from_millis(200);
    let before = Instant::now();
    let (attachment, _readers, ackers, _applied) =
        acknowledging(&peer, teardown, Duration::from_secs(3600)).await;
    peer.wait_for(|events| events.iter().filter(is_ack).count() == 3).await;
    attachment.close(ackers).await;
    let events = peer.wait_for(|events| events.iter().any(|e| is_close(&e))).await;
    assert!(events.iter().find(is_close).unwrap().at - before >= teardown);
}

#[tokio::test]
async fn without_acks_there_is_nothing_to_wait_for() {
    let mut peer = granting(2).await;
    let mut options = options(&peer);
    options.timeouts.teardown = Duration::from_secs(3600);
    flow::attach(&options, None).await.unwrap().close(Vec::new()).await;
    all_closed(&mut peer).await;
}

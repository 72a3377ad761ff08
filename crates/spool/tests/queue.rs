//! The queue in memory.
#![allow(clippy::unwrap_used)]

mod support;

use bytes::Bytes;
use spool::{Options, PushError, WhenFull, channel, open};
use support::try_push;
use tokio::task::JoinHandle;

#[tokio::test]
async fn keeps_the_order_and_ends_after_the_last_chunk() {
    let (tx, mut rx) = channel(10);
    tx.push(Bytes::from_static(b"one")).await.unwrap();
    tx.push(Bytes::from_static(b"two")).await.unwrap();
    drop(tx);
    assert_eq!(rx.next().await.unwrap().unwrap(), "one");
    assert_eq!(rx.bytes(), 3);
    assert_eq!(rx.next().await.unwrap().unwrap(), "two");
    assert_eq!(rx.next().await.unwrap(), None);
}

#[tokio::test]
async fn a_full_queue_makes_the_sender_wait_until_the_receiver_takes_something() {
    let (tx, mut rx) = channel(4);
    tx.push(Bytes::from_static(b"1234")).await.unwrap();
    let mut second = tokio::spawn(async move { tx.push(Bytes::from_static(b"5")).await });
    assert!(still_waits(&mut second).await);
    assert!(rx.gauge().levels().stalled);
    assert_eq!(rx.next().await.unwrap().unwrap(), "1234");
    second.await.unwrap().unwrap();
    assert!(!rx.gauge().levels().stalled);
    assert_eq!(rx.next().await.unwrap().unwrap(), "5");
}

#[tokio::test]
async fn an_empty_queue_takes_a_chunk_larger_than_the_limit() {
    let (tx, mut rx) = channel(2);
    tx.push(Bytes::from_static(b"larger")).await.unwrap();
    assert_eq!(rx.next().await.unwrap().unwrap(), "larger");
}

#[tokio::test]
async fn a_dropped_receiver_ends_a_waiting_sender() {
    let (tx, rx) = channel(1);
    tx.push(Bytes::from_static(b"x")).await.unwrap();
    let mut second = tokio::spawn(async move { tx.push(Bytes::from_static(b"y")).await });
    assert!(still_waits(&mut second).await);
    drop(rx);
    assert_eq!(second.await.unwrap(), Err(PushError::Closed));
}

#[tokio::test]
async fn raising_the_limit_lets_a_waiting_sender_go_on() {
    let (tx, mut rx) = channel(1);
    tx.push(Bytes::from_static(b"x")).await.unwrap();
    let mut second = tokio::spawn(async move { tx.push(Bytes::from_static(b"y")).await });
    assert!(still_waits(&mut second).await);
    rx.gauge().set_limit(8);
    second.await.unwrap().unwrap();
    assert_eq!(rx.try_next().unwrap().unwrap(), "x");
    assert_eq!(rx.try_next().unwrap().unwrap(), "y");
    assert_eq!(rx.try_next().unwrap(), None);
}

#[tokio::test]
async fn a_push_that_is_given_up_leaves_nothing_behind() {
    let (tx, mut rx) = channel(1);
    tx.push(Bytes::from_static(b"x")).await.unwrap();
    assert_eq!(try_push(&tx, Bytes::from_static(b"never")).await, None);
    assert!(!rx.gauge().levels().stalled);
    assert_eq!(rx.try_next().unwrap().unwrap(), "x");
    tx.push(Bytes::from_static(b"z")).await.unwrap();
    assert_eq!(rx.try_next().unwrap().unwrap(), "z");
}

#[tokio::test]
async fn a_full_queue_that_may_drop_the_link_says_so_at_once() {
    let (tx, mut rx) = open(Options { memory: 4, disk: None, when_full: WhenFull::Drop });
    tx.push(Bytes::from_static(b"1234")).await.unwrap();
    assert_eq!(try_push(&tx, Bytes::from_static(b"5")).await, Some(Err(PushError::Full)));
    assert_eq!(rx.try_next().unwrap().unwrap(), "1234");
    tx.push(Bytes::from_static(b"6")).await.unwrap();
    rx.gauge().set_when_full(WhenFull::Stall);
    assert_eq!(try_push(&tx, Bytes::from_static(b"7890")).await, None);
}

/// Lets every ready task run, then tells whether `task` still waits.
async fn still_waits<T>(task: &mut JoinHandle<T>) -> bool {
    for _ in 0..10 {
        tokio::task::yield_now().await;
    }
    !task.is_finished()
}

use std::sync::Mutex;
use std::time::Duration;

use tokio::time::timeout;

use super::*;

#[tokio::test]
async fn a_change_is_seen_once() {
    let (sender, mut receiver) = channel(1);
    sender.send_replace(2);
    sender.send_modify(|value| *value += 1);
    receiver.changed().await.unwrap();
    assert_eq!(*receiver.borrow_and_update(), 3);
    assert!(!sender.send_if_modified(|_| false));
    assert!(timeout(Duration::from_millis(5), receiver.changed()).await.is_err());
}

#[tokio::test]
async fn what_is_so_already_is_not_waited_for() {
    let (sender, mut receiver) = channel(7);
    assert_eq!(*receiver.wait_for(|value| *value == 7).await.unwrap(), 7);
    drop(sender.clone());
    assert!(timeout(Duration::from_millis(5), receiver.changed()).await.is_err(), "one sender is left");
    sender.send_replace(8);
    drop(sender);
    assert_eq!(receiver.changed().await, Ok(()), "the last change counts");
    assert_eq!(receiver.changed().await, Err(Closed));
    assert_eq!(receiver.wait_for(|value| *value == 7).await.map(|value| *value), Err(Closed));
    assert_eq!(*receiver.wait_for(|value| *value == 8).await.unwrap(), 8);
}

#[tokio::test]
async fn who_waits_first_is_woken_first() {
    let sender = Sender::new(false);
    let order = Arc::new(Mutex::new(Vec::new()));
    let tasks: Vec<_> = (0..20)
        .map(|number| {
            let (mut receiver, order) = (sender.subscribe(), order.clone());
            tokio::spawn(async move {
                receiver.wait_for(|go| *go).await.unwrap();
                order.lock().unwrap().push(number);
            })
        })
        .collect();
    tokio::task::yield_now().await;
    sender.send_replace(true);
    for task in tasks {
        task.await.unwrap();
    }
    assert_eq!(*order.lock().unwrap(), (0..20).collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_change_is_missed() {
    let (sender, mut receiver) = channel(0);
    let writer = tokio::spawn(async move {
        for value in 1..=20_000 {
            sender.send_replace(value);
        }
    });
    let mut last = 0;
    while receiver.changed().await.is_ok() {
        let now = *receiver.borrow_and_update();
        assert!(now > last);
        last = now;
    }
    assert_eq!(last, 20_000);
    writer.await.unwrap();
}

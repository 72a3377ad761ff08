//! Opening the flows of a fresh attachment.

use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use flow::{Answer, AttachError, FullReason};
use resp::Class;
use tokio::sync::{Barrier, Notify};

use crate::master::{all_closed, asked, attached, granted, granting, greetings, master, options, token};
use crate::peer::{Action, What, line};

#[tokio::test]
async fn every_flow_is_opened_and_knows_its_token() {
    let peer = granting(5).await;
    let mut attachment = attached(&peer, None).await.unwrap();
    assert_eq!(attachment.answer, Answer::Full(FullReason::NotAsked));
    assert!(attachment.needs_sync());
    assert_eq!(attachment.greeting.flows, 5);
    let flows = attachment.take_flows();
    assert!(attachment.flows.is_empty());
    for (id, flow) in flows.iter().enumerate() {
        assert_eq!((flow.id, &flow.eof_token.0[..]), (id, token(id).as_bytes()));
    }
    assert_eq!(asked(&peer, 1), ["0", "1", "2", "3", "4"], "no LSN is sent");
}

#[tokio::test]
async fn flows_are_opened_at_the_same_time() {
    // No flow is answered before all have asked.
    let all = Arc::new(Barrier::new(8));
    let on_flow = move |asked: crate::master::Asked| {
        let (told, all) = (Arc::new(Notify::new()), all.clone());
        let tell = told.clone();
        tokio::spawn(async move {
            all.wait().await;
            tell.notify_one();
        });
        let Action::Send(bytes) = granted("FULL", asked.flow) else { unreachable!() };
        Action::SendAfter(told, bytes)
    };
    let peer = master(8, Some("1.40.1"), on_flow, |_| None).await;
    assert_eq!(attached(&peer, None).await.unwrap().flows.len(), 8);
}

#[tokio::test]
async fn bytes_behind_the_reply_belong_to_the_flow() {
    let on_flow = |asked: crate::master::Asked| {
        let Action::Send(mut bytes) = granted("FULL", asked.flow) else { unreachable!() };
        bytes.extend_from_slice(b"REDIS0009");
        Action::Send(bytes)
    };
    let peer = master(1, Some("1.40.1"), on_flow, |_| None).await;
    let mut attachment = attached(&peer, None).await.unwrap();
    let (mut reader, _writer) = attachment.take_flows().pop().unwrap().split();
    let mut buf = BytesMut::from(&b"behind what the caller has: "[..]);
    let before = buf.len();
    while buf.len() < before + 9 {
        let read = tokio::time::timeout(Duration::from_secs(20), reader.read_chunk(&mut buf));
        assert_ne!(read.await.expect("the bytes were sent").unwrap(), 0);
    }
    assert_eq!(&buf[..], b"behind what the caller has: REDIS0009");
}

#[tokio::test]
async fn every_connection_logs_in() {
    let mut peer = granting(3).await;
    let mut options = options(&peer);
    options.connect.username = Some("sync".to_owned());
    options.connect.password = "geheim".into();
    let _attachment = flow::attach(&options, None).await.unwrap();
    let events = peer.wait_for(|_| true).await;
    for connection in 0..4 {
        let first = events.iter().find(|e| e.connection == connection).unwrap();
        assert_eq!(first.what, What::Command("AUTH sync geheim".to_owned()));
    }
}

#[tokio::test]
async fn one_refused_flow_ends_all() {
    let on_flow = |asked: crate::master::Asked| match asked.flow {
        2 => line("-LOADING Dragonfly is loading the dataset in memory"),
        flow => granted("FULL", flow),
    };
    let mut peer = master(4, Some("1.40.1"), on_flow, |_| None).await;
    let error = attached(&peer, None).await.unwrap_err();
    assert!(matches!(error, AttachError::Flow { flow: 2, .. }), "{error:?}");
    assert!(error.is_loading() && error.class() == Class::Retry && !error.needs_full_sync());
    assert!(error.to_string().starts_with("flow 2: "), "{error}");
    assert_eq!(greetings(&peer), 1, "trying again is left to the caller");
    all_closed(&mut peer).await;
}

#[tokio::test]
async fn a_source_that_changes_meanwhile_is_greeted_again() {
    for error in ["-ERR bad master id", "-ERR syncid not found"] {
        let on_flow = move |asked: crate::master::Asked| match asked.attachment {
            1 => line(error),
            _ => granted("FULL", asked.flow),
        };
        let peer = master(2, Some("1.40.1"), on_flow, |_| None).await;
        let attachment = attached(&peer, None).await.unwrap();
        assert_eq!(attachment.greeting.sync_id, "SYNC2");
    }
    let mut peer = master(2, Some("1.40.1"), |_| line("-ERR bad master id"), |_| None).await;
    let error = attached(&peer, None).await.unwrap_err();
    assert_eq!(error.class(), Class::Retry, "{error:?}");
    assert_eq!(greetings(&peer), 3, "not without end");
    all_closed(&mut peer).await;
}

#[tokio::test]
async fn partial_where_nothing_was_asked_for_is_not_believed() {
    let mut peer = master(2, Some("1.40.1"), |asked| granted("PARTIAL", asked.flow), |_| None).await;
    let error = attached(&peer, None).await.unwrap_err();
    assert!(matches!(error, AttachError::UnaskedPartial { .. }), "{error:?}");
    assert_eq!(error.class(), Class::Bug);
    all_closed(&mut peer).await;
}

#[tokio::test]
async fn errors_of_the_greeting_are_handed_on() {
    let plain = |command: &str| (command == "REPLCONF capa dragonfly").then(|| line("+OK"));
    let peer = master(2, None, |asked| granted("FULL", asked.flow), plain).await;
    let error = attached(&peer, None).await.unwrap_err();
    assert!(matches!(error, AttachError::Control(handshake::Error::NotDragonfly { .. })), "{error:?}");
    assert_eq!(error.class(), Class::Mismatch);
}

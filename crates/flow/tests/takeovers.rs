//! Another master after a takeover: when its records are the former one's, and when they only have the same numbers
//! (rule 22). Against the simulator; `real_takeovers.rs` repeats it with Dragonfly itself.
#![allow(clippy::unwrap_used)]

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use flow::{Acker, Answer, Attachment, FullReason, Parting, Resume, SourceOptions, attach, attach_after};
use journal::Entry;
use resp::ConnectOptions;
use simulator::{Handle, Release, Simulator};

async fn start(release: Release, seed: u64) -> Handle {
    Simulator::builder().shards(2).release(release).seed(seed).start().await.unwrap()
}

fn options(master: &Handle) -> SourceOptions {
    SourceOptions::new(ConnectOptions::new(master.addr().to_string()), 6380, "test")
}

fn write(master: &Handle, n: usize, tag: &str) {
    for i in 0..n {
        assert!(!master.execute(0, &["INCR", &format!("{tag}{i}")]).is_error());
    }
}

/// Attaches at the master's present LSNs.
async fn follow(master: &Handle) -> (Attachment, Resume) {
    // Journaling starts with the first attachment.
    drop(attach(&options(master), None).await.unwrap());
    write(master, 20, "first");
    let resume = Resume { replid: master.replication_id(), lsns: master.lsns() };
    let mut attachment = attach(&options(master), Some(&resume)).await.unwrap();
    assert_eq!(attachment.answer, Answer::Partial);
    if attachment.needs_sync() {
        attachment.sync().await.unwrap();
    }
    attachment.start_stable().await.unwrap();
    (attachment, resume)
}

/// What a process knows that was attached until the end.
fn at_the_end(old: &Handle) -> (Resume, Parting) {
    let lsns = old.lsns();
    (Resume { replid: old.replication_id(), lsns: lsns.clone() }, Parting { taken_over: true, pings: lsns })
}

async fn entries(attachment: &mut Attachment, flow: usize, n: usize) -> Vec<Entry> {
    let (mut reader, _writer) = attachment.take_flows().swap_remove(flow).split();
    let mut decoder = journal::Decoder::new(journal::Limits::default());
    let mut out = Vec::new();
    while out.len() < n {
        match decoder.next().unwrap() {
            Some(Entry::Lsn(_)) => {}
            Some(entry) => out.push(entry),
            None => {
                let mut buf = BytesMut::new();
                let read = tokio::time::timeout(Duration::from_secs(10), reader.read_chunk(&mut buf));
                assert_ne!(read.await.unwrap().unwrap(), 0);
                decoder.feed(Bytes::from(buf));
            }
        }
    }
    out
}

fn in_doubt(attachment: &Attachment) -> &'static str {
    assert!(!attachment.took_over);
    match attachment.answer {
        Answer::Full(FullReason::InDoubt { doubt, .. }) => doubt,
        ref other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_replica_that_took_over_goes_on_with_the_old_masters_records() {
    for release in [Release::V1_40, Release::V1_34] {
        let (old, new) = (start(release, 1).await, start(release, 2).await);
        new.become_replica();
        let error = attach(&options(&new), None).await.unwrap_err();
        assert!(error.is_replica(), "{error}");

        let (mut attachment, _) = follow(&old).await;
        assert!(!attachment.is_taken_over().await.unwrap());
        let standby = old.begin_takeover();
        assert!(attachment.is_taken_over().await.unwrap(), "{release:?}");
        let (resume, parting) = at_the_end(&old);
        new.promote(standby);
        old.shut_down();
        write(&new, 3, "after");

        let mut attachment = attach_after(&options(&new), Some(&resume), Some(&parting)).await.unwrap();
        assert_eq!(attachment.answer, Answer::Partial, "{release:?}");
        assert!(attachment.took_over);
        assert_eq!(attachment.greeting.replid, new.replication_id());
        assert_eq!(new.full_syncs(), 0);
        if release == Release::V1_40 {
            attachment.start_stable().await.unwrap();
            let of_flow_0 = (new.lsns()[0] - resume.lsns[0]) as usize;
            let got = entries(&mut attachment, 0, of_flow_0).await;
            assert!(got.iter().all(|e| matches!(e, Entry::Record(r) if r.args[1].starts_with(b"after"))));
        }
    }
}

/// What releases before 1.34 have in its place can lose records, or they have nothing.
#[tokio::test]
async fn an_older_replica_that_took_over_is_not_asked_to_go_on() {
    for release in [Release::V1_11, Release::V1_20, Release::V1_28_32, Release::V1_31] {
        let (old, new) = (start(release, 1).await, start(release, 2).await);
        let (_attachment, _) = follow(&old).await;
        new.promote(old.begin_takeover());
        let (resume, parting) = at_the_end(&old);
        old.shut_down();
        write(&new, 3, "after");
        let attachment = attach_after(&options(&new), Some(&resume), Some(&parting)).await.unwrap();
        assert!(in_doubt(&attachment).contains("does not keep LSNs"), "{release:?}");
    }
}

#[tokio::test]
async fn a_replica_promoted_while_behind_is_not_asked_to_go_on() {
    let (old, new) = (start(Release::V1_40, 1).await, start(Release::V1_40, 2).await);
    let (_attachment, _) = follow(&old).await;
    let behind = old.standby();
    // What was received, and lost with the old master.
    write(&old, 20, "lost");
    let (resume, _) = at_the_end(&old);
    old.shut_down();
    new.promote(behind.clone());
    write(&new, 60, "own");
    assert!(new.lsns().iter().zip(&resume.lsns).all(|(theirs, ours)| theirs > ours));
    // It would say PARTIAL: that is why it must not be asked.
    let unguarded = Resume { replid: new.replication_id(), ..resume.clone() };
    assert_eq!(attach(&options(&new), Some(&unguarded)).await.unwrap().answer, Answer::Partial);

    // No word of a takeover: not even looked at.
    let attachment = attach_after(&options(&new), Some(&resume), Some(&Parting::default())).await.unwrap();
    assert!(in_doubt(&attachment).contains("did not say"));
    let attachment = attach_after(&options(&new), Some(&resume), None).await.unwrap();
    assert!(matches!(attachment.answer, Answer::Full(FullReason::OtherReplid { .. })));
    // Even if all was as in a takeover, its own record in the place of the PING gives it away.
    let parting = Parting { taken_over: true, pings: resume.lsns.clone() };
    let attachment = attach_after(&options(&new), Some(&resume), Some(&parting)).await.unwrap();
    assert!(in_doubt(&attachment).contains("record of its own"), "{}", in_doubt(&attachment));
}

#[tokio::test]
async fn a_position_short_of_the_end_is_in_doubt() {
    let (old, new) = (start(Release::V1_40, 1).await, start(Release::V1_40, 2).await);
    let (_attachment, _) = follow(&old).await;
    new.promote(old.begin_takeover());
    let (mut resume, parting) = at_the_end(&old);
    old.shut_down();
    resume.lsns[1] -= 1;
    let attachment = attach_after(&options(&new), Some(&resume), Some(&parting)).await.unwrap();
    assert!(in_doubt(&attachment).contains("end of the former source"));
    // A PING on one flow only, as seen when the link broke in between.
    let half = Parting { taken_over: true, pings: vec![parting.pings[0], 0] };
    resume.lsns[1] += 1;
    let attachment = attach_after(&options(&new), Some(&resume), Some(&half)).await.unwrap();
    assert!(in_doubt(&attachment).contains("end of the former source"));
}

#[tokio::test]
async fn a_stranger_or_another_number_of_flows_is_in_doubt() {
    let (old, stranger) = (start(Release::V1_40, 1).await, start(Release::V1_40, 2).await);
    let (_attachment, _) = follow(&old).await;
    let standby = old.begin_takeover();
    let (resume, parting) = at_the_end(&old);
    let attachment = attach_after(&options(&stranger), Some(&resume), Some(&parting)).await.unwrap();
    assert!(in_doubt(&attachment).contains("does not hold"));

    let wider = Simulator::builder().shards(3).seed(3).start().await.unwrap();
    wider.promote(standby);
    let attachment = attach_after(&options(&wider), Some(&resume), Some(&parting)).await.unwrap();
    assert!(in_doubt(&attachment).contains("number of flows"));
}

#[tokio::test]
async fn the_old_master_waits_for_the_last_acknowledgement() {
    let (old, new) = (start(Release::V1_40, 1).await, start(Release::V1_40, 2).await);
    let (mut attachment, _) = follow(&old).await;
    let lsns: Vec<_> = old.lsns();
    let mut ackers = Vec::new();
    let mut readers = Vec::new();
    let mut senders = Vec::new();
    for (socket, lsn) in attachment.take_flows().into_iter().zip(lsns) {
        let (reader, writer) = socket.split();
        let (applied, from_applied) = watch::channel(lsn);
        let (ping, from_ping) = watch::channel(0);
        let state = flow::AckState { applied: from_applied, ping: from_ping };
        ackers.push(Acker::spawn(writer, state, flow::Cadence::default()));
        readers.push(reader);
        senders.push((applied, ping, lsn));
    }
    let waiting = tokio::spawn(async move {
        new.take_over(&old, Duration::from_secs(20)).await;
        (old, new)
    });
    for (reader, (applied, ping, lsn)) in readers.iter_mut().zip(&senders) {
        let mut buf = BytesMut::new();
        reader.read_chunk(&mut buf).await.unwrap();
        ping.send_replace(lsn + 1);
        // Asked before the PING is acknowledged, the old master is still there to tell.
        assert!(attachment.is_taken_over().await.unwrap());
        applied.send_replace(lsn + 1);
    }
    let began = std::time::Instant::now();
    let (old, new) = waiting.await.unwrap();
    assert!(began.elapsed() < Duration::from_secs(10), "the ACKs were waited for in vain");
    let (resume, parting) = at_the_end(&old);
    let attachment = attach_after(&options(&new), Some(&resume), Some(&parting)).await.unwrap();
    assert!(attachment.took_over);
}

//! Asking for what was missed, and every way of not getting it.

use flow::{Answer, AttachError, FullReason, Release, Resume};

use crate::master::{
    Asked, REPLID, all_closed, asked, attached, grant, granted, granting, greetings, master, options, resume,
};
use crate::peer::{Action, line};

fn reason(answer: Answer) -> FullReason {
    match answer {
        Answer::Full(reason) => reason,
        Answer::Partial => panic!("a snapshot was expected"),
    }
}

#[tokio::test]
async fn every_flow_asks_for_its_own_next_lsn() {
    let peer = granting(3).await;
    let mut attachment = attached(&peer, Some(&resume(&[457, 1, 18_446_744_073_709_551_615]))).await.unwrap();
    assert_eq!(attachment.answer, Answer::Partial);
    assert!(!attachment.needs_sync(), "a 1.40 master breaks at SYNC after PARTIAL");
    assert_eq!(asked(&peer, 1), ["0 457", "1 1", "2 18446744073709551615"]);
    attachment.start_stable().await.unwrap();
}

#[tokio::test]
async fn sync_comes_after_partial_by_release() {
    for (release, needs_sync) in [
        (Some("1.40.1"), false),
        (Some("1.35.0"), false),
        (Some("1.34.0"), true),
        (Some("1.31.0"), true),
        (Some("1.28.32"), true),
        (Some("1.14.0"), true),
        (None, false),
    ] {
        let peer = master(2, release, grant, |_| None).await;
        let mut attachment = attached(&peer, Some(&resume(&[5, 6]))).await.unwrap();
        assert_eq!(attachment.answer, Answer::Partial);
        assert_eq!(attachment.needs_sync(), needs_sync, "{release:?}");
        if needs_sync {
            attachment.sync().await.unwrap();
        }
        attachment.start_stable().await.unwrap();
    }
    // What an earlier snapshot told about the release counts where the master may not be asked.
    let peer = master(2, None, grant, |_| None).await;
    let mut options = options(&peer);
    options.known_release = Some(Release::new(1, 34, 0));
    assert!(flow::attach(&options, Some(&resume(&[5, 6]))).await.unwrap().needs_sync());
}

#[tokio::test]
async fn another_replication_id_or_number_of_flows_means_a_snapshot() {
    let peer = granting(2).await;
    let other = Resume { replid: "f".repeat(40), lsns: vec![5, 6] };
    let attachment = attached(&peer, Some(&other)).await.unwrap();
    assert_eq!(asked(&peer, 1), ["0", "1"], "an LSN of another master is never sent");
    let reason_text = reason(attachment.answer).to_string();
    assert!(reason_text.contains(REPLID) && reason_text.contains(&other.replid), "{reason_text}");

    let attachment = attached(&peer, Some(&resume(&[5, 6, 7]))).await.unwrap();
    assert_eq!(asked(&peer, 2), ["0", "1"]);
    assert_eq!(reason(attachment.answer), FullReason::OtherFlowCount { ours: 3, theirs: 2 });
}

#[tokio::test]
async fn releases_that_cannot_resume_are_not_asked() {
    for release in ["1.21.0", "1.27.4", "1.28.2", "1.30.0"] {
        let peer = master(2, Some(release), grant, |_| None).await;
        let attachment = attached(&peer, Some(&resume(&[5, 6]))).await.unwrap();
        assert_eq!(reason(attachment.answer), FullReason::Unsupported, "{release}");
        assert_eq!(asked(&peer, 1), ["0", "1"]);
    }
}

#[tokio::test]
async fn records_that_are_gone_mean_a_snapshot_on_the_same_attachment() {
    let peer = master(2, Some("1.40.1"), |asked| granted("FULL", asked.flow), |_| None).await;
    let attachment = attached(&peer, Some(&resume(&[5, 6]))).await.unwrap();
    assert!(attachment.needs_sync());
    assert_eq!(reason(attachment.answer), FullReason::Gone);
    assert_eq!(asked(&peer, 1), ["0 5", "1 6"]);
    assert_eq!(greetings(&peer), 1);
}

#[tokio::test]
async fn mixed_answers_start_over_without_lsns() {
    let on_flow = |asked: Asked| match (asked.lsn, asked.flow) {
        (Some(_), 0 | 1) => granted("PARTIAL", asked.flow),
        (_, flow) => granted("FULL", flow),
    };
    let mut peer = master(3, Some("1.40.1"), on_flow, |_| None).await;
    let attachment = attached(&peer, Some(&resume(&[5, 6, 7]))).await.unwrap();
    assert_eq!(attachment.greeting.sync_id, "SYNC2");
    assert_eq!(reason(attachment.answer.clone()), FullReason::Mixed { partial: 2, flows: 3 });
    assert_eq!(asked(&peer, 1), ["0 5", "1 6", "2 7"]);
    assert_eq!(asked(&peer, 2), ["0", "1", "2"]);
    // Nothing of the first attempt stays, its control connection goes first.
    let closed = |e: &&crate::peer::Event| e.what == crate::peer::What::Closed;
    let events = peer.wait_for(|events| events.iter().filter(closed).count() == 4).await;
    let mut gone: Vec<usize> = events.iter().filter(closed).map(|e| e.connection).collect();
    assert_eq!(gone[0], 0);
    gone.sort();
    assert_eq!(gone, [0, 1, 2, 3]);
}

#[tokio::test]
async fn an_unknown_release_that_takes_no_lsn_gets_none() {
    let on_flow = |asked: Asked| match asked.lsn {
        Some(_) => line("-ERR syntax error"),
        None => granted("FULL", asked.flow),
    };
    let mut peer = master(2, None, on_flow, |_| None).await;
    let attachment = attached(&peer, Some(&resume(&[5, 6]))).await.unwrap();
    assert_eq!(reason(attachment.answer.clone()), FullReason::Unsupported);
    assert_eq!(asked(&peer, 2), ["0", "1"]);
    drop(attachment);
    all_closed(&mut peer).await;
}

#[tokio::test]
async fn a_master_that_resumes_in_another_way_costs_a_full_sync() {
    let wants_sync =
        |command: &str| command.starts_with("DFLY STARTSTABLE").then(|| line("-ERR invalid state"));
    let peer = master(2, None, grant, wants_sync).await;
    let mut attachment = attached(&peer, Some(&resume(&[5, 6]))).await.unwrap();
    let error = attachment.start_stable().await.unwrap_err();
    assert!(matches!(error, AttachError::ResumeStyle { .. }), "{error:?}");
    assert!(error.needs_full_sync());

    // In a full sync the same line is no reason to give up the position.
    let mut attachment = attached(&peer, None).await.unwrap();
    let error = attachment.start_stable().await.unwrap_err();
    assert!(matches!(error, AttachError::Control(handshake::Error::InvalidState { .. })), "{error:?}");
    assert!(!error.needs_full_sync());
}

#[tokio::test]
async fn a_restart_during_a_resume_drops_the_lsns() {
    // The second greeting comes from another process.
    let restarted = "e".repeat(40);
    let theirs = restarted.clone();
    let first = std::sync::atomic::AtomicBool::new(true);
    let special = move |command: &str| {
        if command == "REPLCONF capa dragonfly" && !first.swap(false, std::sync::atomic::Ordering::SeqCst) {
            return Some(line(&format!("*5\r\n+{theirs}\r\n+SYNC1\r\n:2\r\n:5\r\n+{theirs}")));
        }
        let flow = command.strip_prefix(&format!("DFLY FLOW {theirs} SYNC1 "))?;
        Some(granted("FULL", flow.parse().expect("a flow without an LSN")))
    };
    let on_flow = |_: Asked| -> Action { line("-ERR bad master id") };
    let peer = master(2, Some("1.40.1"), on_flow, special).await;
    let attachment = attached(&peer, Some(&resume(&[5, 6]))).await.unwrap();
    let expected = FullReason::OtherReplid { ours: REPLID.to_owned(), theirs: restarted };
    assert_eq!(reason(attachment.answer), expected);
}

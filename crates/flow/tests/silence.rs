//! Masters that fall silent: nothing waits longer than 15 s for one, whatever it had been asked. Under a paused clock,
//! over streams that no operating system watches.
#![allow(clippy::unwrap_used)]

use std::future::Future;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use flow::{AttachError, SourceOptions, attach};
use resp::{ConnectOptions, Dial, Network, Stream};
use simulator::{Acceptor, Clock, Handle, Simulator};
use tokio::time::Instant;

const LIMIT: Duration = Duration::from_secs(15);

#[derive(Debug)]
struct Wire(Acceptor);

impl Dial for Wire {
    fn dial(&self, _: &str) -> std::pin::Pin<Box<dyn Future<Output = io::Result<Box<dyn Stream>>> + Send>> {
        let (ours, theirs) = tokio::io::duplex(64 << 10);
        self.0.serve(theirs, "replica:1");
        Box::pin(async { Ok(Box::new(ours) as Box<dyn Stream>) })
    }
}

async fn master() -> (Handle, SourceOptions) {
    let builder = Simulator::builder().shards(2).seed(5).clock(Clock::starting_at(1_700_000_000_000));
    let master = builder.without_listener().start().await.unwrap();
    let mut connect = ConnectOptions::new("source:6379");
    connect.network = Network::custom(Arc::new(Wire(master.acceptor())));
    let options = SourceOptions::new(connect, 6380, "test");
    (master, options)
}

fn run<T>(test: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
    runtime.unwrap().block_on(test)
}

/// How long `work` took to fail, and how.
async fn fails<T: std::fmt::Debug>(
    work: impl Future<Output = Result<T, AttachError>>,
) -> (Duration, AttachError) {
    let began = Instant::now();
    let error = work.await.unwrap_err();
    (began.elapsed(), error)
}

#[test]
fn a_stopped_process_is_given_up_at_any_step_of_the_handshake() {
    let steps = [
        "PING",
        "INFO",
        "REPLCONF LISTENING-PORT",
        "REPLCONF CAPA EOF",
        "REPLCONF CAPA DRAGONFLY",
        "DFLY FLOW",
    ];
    for step in steps {
        run(async {
            let (master, options) = master().await;
            master.faults().swallow_once(step);
            let (took, error) = fails(attach(&options, None)).await;
            assert!(took <= LIMIT, "{step}: {took:?}");
            assert_eq!(error.class(), resp::Class::Retry, "{step}: {error}");
            // Nothing of it is left behind, and the next attempt is served.
            attach(&options, None).await.unwrap();
            let gone = async {
                while !master.attachments().is_empty() {
                    tokio::time::sleep(Duration::from_millis(1)).await;
                }
            };
            tokio::time::timeout(LIMIT, gone).await.unwrap();
        });
    }
}

#[test]
fn a_master_that_is_stopped_before_sync_or_startstable_is_given_up() {
    run(async {
        let (master, options) = master().await;
        let mut attachment = attach(&options, None).await.unwrap();
        master.faults().freeze();
        let (took, error) = fails(attachment.sync()).await;
        assert!(took <= LIMIT, "{took:?}");
        assert!(error.to_string().contains("liveness"), "{error}");
        drop(attachment);
        master.faults().thaw();

        let mut attachment = attach(&options, None).await.unwrap();
        attachment.sync().await.unwrap();
        master.blackhole();
        master.faults().freeze();
        let (took, _) = fails(attachment.start_stable()).await;
        assert!(took <= LIMIT, "{took:?}");
    });
}

#[test]
fn a_master_that_is_busy_but_answers_others_is_waited_for() {
    run(async {
        let (master, options) = master().await;
        let mut attachment = attach(&options, None).await.unwrap();
        attachment.sync().await.unwrap();
        // The snapshot cannot end: STARTSTABLE waits for it, and everybody else waits for STARTSTABLE.
        master.faults().swallow_once("DFLY STARTSTABLE");
        let (took, error) = fails(attachment.start_stable()).await;
        assert_eq!(took, options.timeouts.start_stable, "{error}");
    });
}

#[test]
fn links_that_lead_nowhere_are_told_by_a_check() {
    run(async {
        let (master, options) = master().await;
        let mut attachment = attach(&options, None).await.unwrap();
        attachment.check(LIMIT).await.unwrap();
        master.blackhole();
        let (took, _) = fails(attachment.check(LIMIT)).await;
        assert!(took <= LIMIT, "{took:?}");
        // New connections work at once.
        attach(&options, None).await.unwrap();
    });
}

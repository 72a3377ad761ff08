//! An eye on the source in stable sync: how far it is, and whether it is still there.
//!
//! A link that leads nowhere is silent, and so is an idle source. What tells them apart is asked on a connection of its own:
//! a source that does not answer is gone, and a flow that brings nothing although the source has written is dead, even
//! where the source itself answers (a firewall that forgot the old connections). Where the source writes nothing, that
//! is asked on the control connection, which is as old as the flows ([`ask_control`]); and the kernel probes each of them.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use resp::ConnectOptions;
use tokio::time::{Instant, MissedTickBehavior};

use crate::source::SourceSide;
use crate::status::FlowStatus;

/// How often the source is asked for its LSNs.
const LOOK: Duration = Duration::from_secs(2);
/// How often is noted whether a flow has brought anything.
const SAMPLE: Duration = Duration::from_millis(500);
/// How long the source may leave a question unanswered and send nothing.
const SILENCE: Duration = Duration::from_secs(12);
/// How long a flow may bring nothing while the source has more for it.
const FLOW_SILENCE: Duration = Duration::from_secs(10);

/// How often the control connection is asked for a sign of life.
pub(crate) const CONTROL_LOOK: Duration = Duration::from_secs(2);
/// How long nothing may come on it, and nothing on the flows.
const CONTROL_SILENCE: Duration = Duration::from_secs(10);

/// Asks over the control connection whether the way to the source still leads there. `Some`: it does not, and why.
/// `brought` is how many bytes the flows have brought: a source that is too busy to answer may still send.
pub(crate) async fn ask_control(
    attachment: &mut flow::Attachment,
    brought: impl Fn() -> u64,
) -> Option<String> {
    let answer = attachment.check(Duration::MAX);
    tokio::pin!(answer);
    let (mut heard, mut bytes) = (Instant::now(), brought());
    loop {
        tokio::select! {
            biased;
            answer = &mut answer => return answer.err().map(|error| error.to_string()),
            () = tokio::time::sleep(SAMPLE) => {}
        }
        let now = brought();
        if std::mem::replace(&mut bytes, now) != now {
            heard = Instant::now();
        }
        if heard.elapsed() >= CONTROL_SILENCE {
            return Some(
                "the source does not answer on the control connection, and no flow brings anything".into(),
            );
        }
    }
}

/// What is looked at of a flow.
#[derive(Debug)]
pub(crate) struct WatchedFlow {
    /// Its counters; the source's LSN is written into them.
    pub(crate) status: Arc<FlowStatus>,
    /// A flow whose spool takes nothing is silent for that reason.
    pub(crate) gauge: spool::Gauge,
    /// The LSN that the source was last told.
    pub(crate) acknowledged: watch::Receiver<u64>,
}

/// When a flow was last known to be alive.
#[derive(Debug)]
struct Life {
    bytes: u64,
    /// It brought something, or there was nothing to bring.
    at: Instant,
    /// The source had more for it when it was asked last.
    lacks: bool,
}

/// Watches one attachment.
#[derive(Debug)]
pub(crate) struct SourceWatch {
    options: ConnectOptions,
    flows: Vec<(WatchedFlow, Life)>,
    heard: Instant,
}

impl SourceWatch {
    /// Begins now.
    pub(crate) fn new(connect: &ConnectOptions, flows: Vec<WatchedFlow>) -> Self {
        let mut options = connect.clone();
        (options.connect_timeout, options.reply_timeout) = (LOOK * 2, LOOK * 2);
        let now = Instant::now();
        let life = |flow: WatchedFlow| {
            let life = Life { bytes: flow.status.bytes.load(Relaxed), at: now, lacks: false };
            (flow, life)
        };
        SourceWatch { options, flows: flows.into_iter().map(life).collect(), heard: now }
    }

    /// Runs until the source, or a link to it, is gone, and says which.
    pub(crate) async fn until_lost(mut self) -> String {
        let mut side = SourceSide::new(self.options.clone());
        let mut sample = tokio::time::interval(SAMPLE);
        sample.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let mut why = "nothing comes".to_owned();
            let next_look = Instant::now() + LOOK;
            {
                let asked = side.offsets();
                tokio::pin!(asked);
                loop {
                    tokio::select! {
                        biased;
                        answer = &mut asked => {
                            match answer {
                                Ok(offsets) => {
                                    self.heard = Instant::now();
                                    if let Some(lost) = self.silent_flow(&offsets) {
                                        return lost;
                                    }
                                }
                                // It answers, so it lives.
                                Err(error) if error.is_an_answer() => self.heard = Instant::now(),
                                Err(error) => why = error.to_string(),
                            }
                            break;
                        }
                        _ = sample.tick() => self.sample(),
                    }
                    if self.heard.elapsed() >= SILENCE {
                        return format!("the source does not answer: {why}");
                    }
                }
            }
            while Instant::now() < next_look {
                sample.tick().await;
                self.sample();
            }
            if self.heard.elapsed() >= SILENCE {
                return format!("the source does not answer: {why}");
            }
        }
    }

    /// Notes how far the source is, and whether a flow has not brought what it should for too long.
    fn silent_flow(&mut self, offsets: &[u64]) -> Option<String> {
        self.sample();
        let now = Instant::now();
        for (id, (flow, life)) in self.flows.iter_mut().enumerate() {
            let Some(next) = offsets.get(id) else { continue };
            flow.status.source.store(*next, Relaxed);
            let lacks = *next > flow.status.received.load(Relaxed) && !flow.gauge.levels().stalled;
            if !lacks {
                life.at = now;
            } else if life.lacks && now - life.at >= FLOW_SILENCE {
                return Some(format!("flow {id} brings nothing although the source has written"));
            }
            life.lacks = lacks;
        }
        None
    }

    /// Notes what the flows have brought, and how far the source was told that we are.
    fn sample(&mut self) {
        let now = Instant::now();
        for (flow, life) in &mut self.flows {
            flow.status.acknowledged.store(*flow.acknowledged.borrow(), Relaxed);
            let bytes = flow.status.bytes.load(Relaxed);
            if std::mem::replace(&mut life.bytes, bytes) != bytes {
                life.at = now;
                // A source that takes no other client may still send.
                self.heard = now;
            }
        }
    }
}

//! A greeted master with all its flows open.

use std::time::Duration;

use handshake::{Control, Greeting, Release, ResumeStyle};
use tokio::task::JoinSet;
use tokio::time::Instant;
use tracing::debug;

use crate::acker::Acker;
use crate::alive::while_alive;
use crate::attach::Answer;
use crate::error::AttachError;
use crate::socket::{AckWriter, FlowSocket};

/// The source and how to attach to it.
#[derive(Clone, Debug)]
pub struct SourceOptions {
    /// Used for the control connection and for every flow.
    pub connect: resp::ConnectOptions,
    /// Shown in the master's INFO; nothing listens on it.
    pub listening_port: u16,
    /// Shown to cluster tools of the master.
    pub client_id: String,
    /// The release as the AUX field `df-ver` of an earlier snapshot told it, for users who may not run INFO.
    pub known_release: Option<Release>,
    /// How long single steps may take.
    pub timeouts: Timeouts,
    /// The repair rules in force.
    pub rules: rules::Rules,
}

impl SourceOptions {
    /// A source with the usual timeouts.
    pub fn new(connect: resp::ConnectOptions, listening_port: u16, client_id: impl Into<String>) -> Self {
        let client_id = client_id.into();
        SourceOptions {
            connect,
            listening_port,
            client_id,
            known_release: None,
            timeouts: Timeouts::default(),
            rules: rules::Rules::all(),
        }
    }
}

/// Time limits beside those of [`resp::ConnectOptions`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timeouts {
    /// For the whole greeting, and for opening all flows.
    pub opening: Duration,
    /// For the reply to SYNC: the master waits for all running transactions first.
    pub sync: Duration,
    /// For the reply to STARTSTABLE: the master writes out what every flow still has in its buffers first.
    pub start_stable: Duration,
    /// For the reply to a liveness check. While SYNC or STARTSTABLE are pending, which may take long, the master is asked
    /// on a further connection as often, so that a link that leads nowhere shows within twice this time.
    pub liveness: Duration,
    /// Pause between the last ACK and the close of the connections.
    pub teardown: Duration,
    /// How long the master may take to notice that the control connection is closed before the flows are.
    pub close: Duration,
}

impl Default for Timeouts {
    /// The master gives up a flow that is blocked for 30 s, so its replies are due well within 60 s.
    fn default() -> Self {
        Timeouts {
            opening: Duration::from_secs(10),
            sync: Duration::from_secs(60),
            start_stable: Duration::from_secs(60),
            liveness: Duration::from_secs(7),
            teardown: Duration::from_secs(1),
            close: Duration::from_millis(500),
        }
    }
}

/// One attachment. It ends when the control connection or any flow closes, and cannot be mended: attach again.
#[derive(Debug)]
pub struct Attachment {
    /// What the master said about itself.
    pub greeting: Greeting,
    /// Snapshot or journal.
    pub answer: Answer,
    /// Whether this master goes on where another one ended, whose LSNs were asked for: the position is from now on of
    /// this master's replication id, at the same LSNs. Only with [`Answer::Partial`].
    pub took_over: bool,
    // In front of the flows, so that it is dropped first.
    pub(crate) control: Control,
    /// All flows in the order of their numbers, until [`Attachment::take_flows`].
    pub flows: Vec<FlowSocket>,
    pub(crate) timeouts: Timeouts,
    pub(crate) connect: resp::ConnectOptions,
}

impl Attachment {
    /// The flows, to be read from now on and at all times.
    pub fn take_flows(&mut self) -> Vec<FlowSocket> {
        std::mem::take(&mut self.flows)
    }

    /// Whether [`Attachment::sync`] comes before [`Attachment::start_stable`]: in a full sync, and in a partial one
    /// with masters that send it in the form of a snapshot. Where not, the flows carry raw journal entries from their
    /// first byte on.
    pub fn needs_sync(&self) -> bool {
        self.answer != Answer::Partial || self.greeting.resume_style() == ResumeStyle::Rdb
    }

    /// Starts the snapshot streams (`DFLY SYNC`). Read the flows while this waits.
    pub async fn sync(&mut self) -> Result<(), AttachError> {
        let (connect, timeouts) = (&self.connect, &self.timeouts);
        let result = while_alive(connect, timeouts.liveness, self.control.sync(timeouts.sync)).await;
        self.explain(result)
    }

    /// Starts the journal (`DFLY STARTSTABLE`). Read the flows while this waits. If a snapshot stream is under way,
    /// send it only when FULLSYNC_END was read on every flow.
    ///
    /// # Errors
    /// [`AttachError::ResumeStyle`] if a partial sync was granted but is not started: attach again without LSNs.
    pub async fn start_stable(&mut self) -> Result<(), AttachError> {
        let (connect, timeouts) = (&self.connect, &self.timeouts);
        let stable = self.control.start_stable(timeouts.start_stable);
        let result = while_alive(connect, timeouts.liveness, stable).await;
        self.explain(result)
    }

    fn explain(&self, result: Result<(), handshake::Error>) -> Result<(), AttachError> {
        result.map_err(|error| match error {
            handshake::Error::InvalidState { addr, .. } if self.answer == Answer::Partial => {
                AttachError::ResumeStyle { addr }
            }
            other => other.into(),
        })
    }

    /// Asks over the control connection, which is as old as the flows, whether the way to the master still leads there.
    /// That the attachment still stands is told by the flows: the master closes all of them when it ends, and keeps the
    /// control connection.
    ///
    /// # Errors
    /// No answer within `limit`, or a connection that ended. Nothing can be asked over it any more then.
    pub async fn check(&mut self, limit: Duration) -> Result<(), AttachError> {
        Ok(self.control.ping(limit).await?)
    }

    /// Asks whether a replica is taking over from this master at this moment: a part of
    /// [`Parting`](crate::Parting). To be asked when a flow has brought a PING and before that is acknowledged, because
    /// the master waits for the ACK and then ends.
    pub async fn is_taken_over(&mut self) -> Result<bool, AttachError> {
        Ok(self.control.is_taken_over(self.timeouts.liveness).await?)
    }

    /// Ends the attachment in the order that is safe for the master: ACKs stop, a pause lets those under way arrive,
    /// then the control connection closes, then the flows. An ACK that meets a half-closed attachment can make the
    /// master write to freed memory (`dflycmd.cc` StopReplication).
    ///
    /// Keep the [`FlowReader`](crate::FlowReader)s until this returns, at best reading on. Takes at most
    /// [`Timeouts::teardown`] and [`Timeouts::close`] together, plus what an ACK under way needs.
    pub async fn close(self, ackers: Vec<Acker>) {
        let Attachment { control, flows, timeouts, .. } = self;
        let mut stopping: JoinSet<(AckWriter, Option<Instant>)> = JoinSet::new();
        for acker in ackers {
            stopping.spawn(acker.stop());
        }
        let stopped = stopping.join_all().await;
        if let Some(last) = stopped.iter().filter_map(|(_, last)| *last).max() {
            tokio::time::sleep(timeouts.teardown.saturating_sub(last.elapsed())).await;
        }
        control.close(timeouts.close).await;
        drop(stopped);
        drop(flows);
        debug!("attachment closed");
    }
}

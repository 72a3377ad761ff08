//! A master that sends a capture, for tests that are not asynchronous.

use simulator::{Replay, ReplayBuilder, ReplayHandle};

use super::on_runtime;
use crate::captures;

/// A running replay; it stops on drop.
#[derive(Debug)]
pub struct Replayed {
    handle: ReplayHandle,
}

impl Replayed {
    /// Replays a capture as fast as it is taken.
    pub fn start(version: &str, scenario: &str) -> Self {
        Self::start_with(Self::builder(version, scenario))
    }

    /// The builder for a capture, to set pacing, cuts and stalls.
    pub fn builder(version: &str, scenario: &str) -> ReplayBuilder {
        let name = format!("{version}/{scenario}");
        let file = |file: &str| captures::file(version, scenario, file);
        let meta = file("meta.json").unwrap_or_else(|| panic!("no capture {name}"));
        let flows = (0..).map_while(|id| file(&format!("flow-{id}.bin")).map(Into::into)).collect();
        let unusable = |e| -> ! { panic!("{name}: {e}") };
        let mut capture = simulator::Capture::from_parts(&meta, flows).unwrap_or_else(|e| unusable(e));
        if let Some(before) = file("before.jsonl") {
            capture = capture.with_before(&before).unwrap_or_else(|e| unusable(e));
        }
        if let Some(after) = file("after.jsonl") {
            capture = capture.with_after(&after).unwrap_or_else(|e| unusable(e));
        }
        Replay::builder(capture)
    }

    /// Replays as a builder says.
    pub fn start_with(builder: ReplayBuilder) -> Self {
        let handle = on_runtime(builder.start()).unwrap_or_else(|e| panic!("the replay does not start: {e}"));
        Self { handle }
    }

    /// The simulator's own handle: what was sent and acknowledged.
    pub fn handle(&self) -> &ReplayHandle {
        &self.handle
    }

    /// `127.0.0.1:port`.
    pub fn addr(&self) -> String {
        self.handle.addr().to_string()
    }

    /// Whether every flow was acknowledged up to the end of the recording.
    pub fn is_acknowledged(&self) -> bool {
        let ends = self.handle.next_lsns();
        ends.iter().enumerate().all(|(flow, end)| self.handle.acked(flow) == *end)
    }
}

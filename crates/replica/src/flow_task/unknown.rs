//! Records of commands that nobody here knows: never guessed, never sent (rule 12).
//!
//! The source is asked where the command's keys are, once for each command, and they are repaired. The flow stands still
//! until the answer is there: a record behind could build something from one of these keys.

use bytes::Bytes;
use command::KeyPositions;
use repair::Cause;
use tokio::sync::oneshot;
use tracing::warn;

use super::{End, FlowTask, stopped};
use crate::apply::{Doubt, Place};
use crate::fences::{Ask, Question};

/// Commands that are remembered. A source has a few hundred.
const COMMANDS: usize = 1_000;

impl FlowTask {
    /// Puts the keys of a record under repair. One whose keys cannot be found out is listed by the name of its command.
    pub(crate) async fn unknown(&mut self, record: &journal::Record, place: Place) -> Result<(), End> {
        let name = record.args[0].clone();
        let positions = self.positions(&name).await?;
        let keys = positions.map(|positions| positions.keys(record.db, &record.args)).unwrap_or_default();
        if self.shared.status.unknown_command(&name, keys.is_empty()) {
            let command = name.escape_ascii().to_string();
            match keys.is_empty() {
                true => warn!(command, "unknown command; its keys cannot be found out, and are not in sync"),
                false => warn!(command, "unknown command; its keys are read from the source instead"),
            }
        }
        let reason = format!("unknown command {}", name.escape_ascii());
        let origin = (place == Place::Record).then(|| self.open_handed_over());
        if keys.is_empty() {
            self.doubts.push(Doubt { keys, reason: reason.into(), origin });
        } else {
            self.repairs.moved(self.next, &keys, Cause::Doubtful);
            self.repair_keys(keys, Cause::Doubtful, &reason, origin);
        }
        Ok(())
    }

    /// Where the keys of a command are; `None`: the source does not tell.
    async fn positions(&mut self, name: &Bytes) -> Result<Option<KeyPositions>, End> {
        if let Some(known) = self.asked.get(name) {
            return Ok(*known);
        }
        if !self.shared.repair {
            return Ok(None);
        }
        let (answer, mut answered) = oneshot::channel();
        // Without someone who asks, the session has ended.
        let _ = self.channels.fences.send(Ask::Keys(Question { command: name.clone(), answer }));
        self.router.flush();
        let found = loop {
            tokio::select! {
                biased;
                () = stopped(&mut self.channels.stop) => return Err(End::STOPPED),
                found = &mut answered => break found.map_err(|_| End::STOPPED)?,
                () = self.router.next_event() => {}
            }
            self.record_doubts().await?;
            self.publish();
        };
        if self.asked.len() >= COMMANDS {
            self.asked.clear();
        }
        self.asked.insert(name.clone(), found);
        Ok(found)
    }
}

//! What must hold whenever something is handed on (repair rules, section I), also in release builds.
//!
//! A violation is a defect of this program. Whatever finds it panics: the session ends and stores nothing more, and so does
//! the program; the next one begins with what was right when it was written.

use command::{SourceKey, TargetCommand};
use router::Origin;
use tokio::sync::mpsc::UnboundedSender;

use super::{End, FlowTask, Notice};
use crate::apply::Place;
use crate::error::Error;

/// Applied, dispatched, received: each as far as the next at most.
pub(crate) fn in_order(flow: usize, applied: u64, dispatched: u64, received: u64) {
    assert!(applied <= dispatched, "flow {flow}: applied {applied} is above dispatched {dispatched}");
    assert!(dispatched <= received, "flow {flow}: dispatched {dispatched} is above received {received}");
}

/// Nothing is sent that is not durably reserved (repair rules 5 and 6).
pub(crate) fn is_reserved(flow: usize, lsn: u64, reserved: u64) {
    assert!(lsn < reserved, "flow {flow}: record {lsn} would be sent, and only {reserved} is reserved");
}

/// No two flows stand on different sides of one global command (repair rules 23 and 26). `standing`: where a flow has
/// come to its copy of one that is not through; `done`: the copies of the last one that is.
pub(crate) fn on_one_side(applied: &[u64], standing: &[Option<u64>], done: &[u64]) {
    for (flow, applied) in applied.iter().enumerate() {
        if let Some(copy) = standing.get(flow).copied().flatten() {
            assert!(
                *applied <= copy,
                "flow {flow}: applied {applied} is beyond the global command at {copy}"
            );
        }
        if let Some(copy) = done.get(flow) {
            assert!(
                applied > copy,
                "flow {flow}: applied {applied} is in front of the global command at {copy}"
            );
        }
    }
}

impl FlowTask {
    /// Looks at a record's commands where they are handed to the router.
    pub(crate) fn check_handed_out(&self, commands: &[TargetCommand], place: Place, origin: Origin) {
        let rules = self.shared.rules;
        if let Origin::Record(lsn) = origin
            && rules.on(5)
            && rules.on(6)
        {
            is_reserved(self.flow, lsn, self.stored.reserved);
        }
        if rules.on(14) && rules.on(15) && rules.on(16) {
            let repaired = self.went_under_repair(commands, place);
            assert!(
                repaired.is_none(),
                "flow {}: a command would be sent for a key under repair: {repaired:?}",
                self.flow
            );
        }
    }

    /// The keys of a record's commands, if one of them is under repair by now: while room was waited for, say.
    pub(crate) fn went_under_repair(
        &self,
        commands: &[TargetCommand],
        place: Place,
    ) -> Option<Vec<SourceKey>> {
        if self.repairs.is_empty() || !place.is_executed() {
            return None;
        }
        let names = commands.iter().flat_map(|command| {
            command::table::keys(&command.args).into_iter().map(move |name| (command.db, name))
        });
        let keys: Vec<SourceKey> =
            names.filter_map(|(db, name)| self.shared.mapping.source_name(db, &name)).collect();
        keys.iter().any(|key| self.repairs.contains(key)).then_some(keys)
    }
}

/// Tells the session when a flow's task ends without saying why: it has panicked.
#[derive(Debug)]
pub(super) struct Farewell {
    pub(super) flow: usize,
    pub(super) notices: UnboundedSender<Notice>,
    pub(super) said: bool,
}

impl Farewell {
    pub(super) fn say(mut self, end: End) {
        self.said = true;
        // Without a listener nobody waits for this flow either.
        let _ = self.notices.send(Notice::Ended { flow: self.flow, end });
    }
}

impl Drop for Farewell {
    fn drop(&mut self) {
        if !self.said {
            let _ = self.notices.send(Notice::Ended { flow: self.flow, end: End::Fatal(Error::Ended) });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_holds_is_let_through() {
        in_order(0, 5, 5, 5);
        in_order(0, 4, 5, 6);
        is_reserved(0, 4, 5);
        on_one_side(&[3, 9], &[Some(3), None], &[]);
        on_one_side(&[4, 9], &[None, None], &[3, 8]);
    }

    #[test]
    #[should_panic(expected = "flow 1: applied 6 is above dispatched 5")]
    fn applied_beyond_dispatched() {
        in_order(1, 6, 5, 9);
    }

    #[test]
    #[should_panic(expected = "flow 1: dispatched 6 is above received 5")]
    fn dispatched_beyond_received() {
        in_order(1, 4, 6, 5);
    }

    #[test]
    #[should_panic(expected = "record 5 would be sent, and only 5 is reserved")]
    fn sent_beyond_reserved() {
        is_reserved(0, 5, 5);
    }

    #[test]
    #[should_panic(expected = "flow 0: applied 4 is beyond the global command at 3")]
    fn beyond_a_global_command_that_is_not_through() {
        on_one_side(&[4, 9], &[Some(3), None], &[]);
    }

    #[test]
    #[should_panic(expected = "flow 1: applied 8 is in front of the global command at 8")]
    fn in_front_of_a_global_command_that_is_through() {
        on_one_side(&[4, 8], &[None, None], &[3, 8]);
    }

    #[tokio::test]
    async fn a_flow_that_panics_ends_its_session() {
        let (notices, mut heard) = tokio::sync::mpsc::unbounded_channel();
        let farewell = Farewell { flow: 3, notices, said: false };
        let task = tokio::spawn(async move {
            let _farewell = farewell;
            in_order(3, 2, 1, 1);
        });
        assert!(task.await.unwrap_err().is_panic());
        let told = heard.recv().await;
        assert!(matches!(told, Some(Notice::Ended { flow: 3, end: End::Fatal(Error::Ended) })), "{told:?}");
    }
}

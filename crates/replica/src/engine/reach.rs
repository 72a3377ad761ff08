//! The checkpoint, the target and the source are reached, and what happened to them meanwhile is found out.

use std::sync::Arc;
use std::time::Duration;

use resp::Class;
use router::durability::{Comparison, Mark, NodeWatch, Standing};
use router::side::Side;
use router::{Retired, Target};
use tokio::time::Instant;
use tracing::{info, warn};

use super::attempts::Waiting;
use super::{PATIENCE, Replica, Run, connections, told_to_stop};
use crate::error::Error;
use crate::ledger::Ledger;
use crate::phase::Phase;
use crate::source::SourceSide;
use crate::startup;

/// How long a node that lets nobody see or end its clients may take to execute what they have sent (repair rule 8).
const BLIND: Duration = Duration::from_secs(2);

/// How long the target's nodes may take to show themselves before they are asked again.
const STANDING: Duration = Duration::from_secs(2);

impl Replica {
    /// Whether the target lost writes that counted as applied while nobody watched it: why it needs a full sync.
    pub(super) async fn lost_meanwhile(
        &self,
        target: &Target,
        nodes: &Arc<NodeWatch>,
        ledger: &Ledger,
    ) -> (Option<Standing>, Option<String>) {
        if !self.settings.rules.on(30) {
            return (None, None);
        }
        let Some(state) = ledger.state() else { return (None, None) };
        let stored: Vec<Mark> = state.nodes.iter().map(startup::mark).collect();
        let (mut waiting, mut looking_up) = (Waiting::default(), Waiting::default());
        let (standing, compared) = loop {
            // In this order: what becomes of a node behind the comparison is told by its standing.
            self.status.attempting();
            let found = tokio::select! {
                biased;
                () = told_to_stop(&self.stop) => return (None, None),
                found = async {
                    let standing = nodes.stand(&target.masters(), STANDING).await;
                    (standing, nodes.compare(&stored).await)
                } => found,
            };
            // A node that comes back later may come back without what counts as applied, and nothing would tell then.
            match &found {
                (_, Comparison::Silent { node, reason }) => {
                    self.status.enter(Phase::Connecting, format!("target {node}: {reason}"));
                    if waiting.tells(reason) {
                        warn!(
                            node,
                            reason,
                            "waiting for the target to tell whether it was restarted since the last run"
                        );
                    }
                }
                (standing, _) if !standing.is_complete() => {}
                _ => break found,
            }
            if self.sleep(Duration::from_millis(500)).await {
                return (None, None);
            }
            // Another node may have taken over.
            if let Err(error) = target.refresh().await
                && looking_up.tells(&error.to_string())
            {
                warn!(%error, "slots of the target not looked up");
            }
        };
        let lost = match &compared {
            // Dealt with above.
            Comparison::Silent { .. } => None,
            Comparison::Same => None,
            Comparison::Unknown { reason } => {
                warn!(reason, "whether the target lost writes since the last run cannot be told");
                None
            }
            Comparison::Restarted { node, .. } | Comparison::TookOver { node, .. } => {
                let lost = compared.may_have_lost().map(|why| format!("target {node}: {why}"));
                info!(node, lost, "the target was restarted or failed over since the last run");
                lost
            }
        };
        (Some(standing), lost)
    }

    /// What an earlier run had in its spool comes again from the source.
    pub(super) fn clean_spool(&self) -> Result<(), Error> {
        let dir = self.settings.checkpoint_dir.join("spool");
        let removed = spool::clean(&dir).map_err(|source| Error::Spool { dir, source })?;
        if removed > 0 {
            info!(removed, "spool segments of an earlier run removed");
        }
        Ok(())
    }

    /// A dead predecessor of this program may have left bytes in the nodes' socket buffers (repair rule 8).
    pub(super) async fn retire_session(&self, run: &mut Run) -> Result<(), Error> {
        if run.dirty && self.retire(&run.target, &run.ledger).await? {
            run.dirty = false;
        }
        Ok(())
    }

    pub(super) async fn retire(&self, target: &Arc<Target>, ledger: &Ledger) -> Result<bool, Error> {
        if !self.settings.rules.on(8) {
            return Ok(true);
        }
        let name = connections(ledger);
        let mut waiting = Waiting::default();
        loop {
            self.status.attempting();
            let retired = tokio::select! {
                biased;
                () = told_to_stop(&self.stop) => return Ok(false),
                retired = target.retire(&name) => retired,
            };
            match retired {
                Ok(retired) => {
                    startup::tell_retired(&retired);
                    // The nodes answer, so they also read what is left in the sockets: it is executed meanwhile.
                    let blind = matches!(retired, Retired::Unknown { .. });
                    return Ok(!(blind && self.sleep(BLIND).await));
                }
                Err(error) if error.class() != Class::Retry => return Err(error.into()),
                Err(error) if waiting.tells(&error.to_string()) => {
                    warn!(%error, "connections of an earlier run not looked for yet");
                }
                Err(_) => {}
            }
            if self.sleep(Duration::from_millis(500)).await {
                return Ok(false);
            }
        }
    }

    /// Whether the target has lost everything: nothing is on it, and there was something to be on it.
    pub(super) async fn target_is_empty(&self, target: &Arc<Target>) -> Result<bool, Error> {
        let mut side = Side::new(target.clone());
        let counted = tokio::select! {
            biased;
            () = told_to_stop(&self.stop) => return Ok(false),
            counted = router::sweep::count(&mut side) => counted,
        };
        match counted {
            Ok(0) => {}
            // A target that is away now is waited for by the flows.
            Ok(_) | Err(_) => return Ok(false),
        }
        for source in &self.settings.sources {
            let mut side = SourceSide::new(source.connect.clone());
            let databases = tokio::select! {
                biased;
                () = told_to_stop(&self.stop) => return Ok(false),
                databases = side.databases() => databases,
            };
            // Who does not tell whether it holds anything is resumed from.
            if databases.is_ok_and(|databases| !databases.is_empty()) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// The target, waited for up to a minute. `None`: told to stop meanwhile.
    pub(super) async fn target(&self) -> Result<Option<Arc<Target>>, Error> {
        let began = Instant::now();
        let mut pause = Duration::from_millis(200);
        loop {
            self.status.attempting();
            let connected = tokio::select! {
                biased;
                () = told_to_stop(&self.stop) => return Ok(None),
                connected = Target::connect(&self.settings.target) => connected,
            };
            let error = match connected {
                Ok(target) => return Ok(Some(target)),
                Err(error) if error.class() != Class::Retry => return Err(error.into()),
                Err(error) => error,
            };
            if began.elapsed() + pause > PATIENCE {
                return Err(Error::TargetAway { seconds: PATIENCE.as_secs(), last: error.to_string() });
            }
            warn!(%error, "target not usable yet");
            self.status.set_detail(error.to_string());
            if self.sleep(pause).await {
                return Ok(None);
            }
            pause = (pause * 2).min(Duration::from_secs(5));
        }
    }
}

//! `checkpoint show` and `checkpoint reset`.

use std::fmt::{self, Write};
use std::path::Path;

use checkpoint::{Inspection, Kept, TargetIdentity};
use config::{Address, Config};
use replica::Report;
use replica::phase::Phase;
use replica::status::Restart;

use crate::failure::Failure;
use crate::output::{number, say, seconds, seconds_since};
use crate::status::{Answer, ask};

/// Keys that are not in sync, at most shown.
const SHOWN: usize = 100;

/// Prints what the checkpoint says.
pub(crate) fn show(config: &Config) -> Result<(), Failure> {
    let dir = &config.checkpoint.dir;
    let inspected = checkpoint::inspect(dir, SHOWN);
    if let Err(checkpoint::Error::InUse { .. }) = inspected
        && let Answer::Report { report, addr } = ask(config)
    {
        let mut text = String::new();
        // Writing into a String does not fail.
        let _ = write_of_the_daemon(&mut text, dir, &report, &addr);
        say(&text);
        return Ok(());
    }
    let Some(inspection) = inspected.map_err(in_use_by_a_daemon)? else {
        say(&format!("no checkpoint in {}\n", dir.display()));
        return Ok(());
    };
    let mut text = String::new();
    // Writing into a String does not fail.
    let _ = write(&mut text, dir, &inspection);
    say(&text);
    Ok(())
}

/// Removes the checkpoint.
pub(crate) fn reset(config: &Config) -> Result<(), Failure> {
    let dir = &config.checkpoint.dir;
    if checkpoint::reset(dir).map_err(in_use_by_a_daemon)? {
        say(&format!(
            "checkpoint {} removed; the next start takes a full sync, and target.on_existing_data decides what becomes \
             of the target's keys\n",
            dir.display()
        ));
    } else {
        say(&format!("no checkpoint in {}\n", dir.display()));
    }
    Ok(())
}

fn in_use_by_a_daemon(error: checkpoint::Error) -> Failure {
    match error {
        checkpoint::Error::InUse { dir } => Failure::failed(format!(
            "checkpoint {} is in use by a daemon; stop it first, or ask it with `df2redis status`",
            dir.display()
        )),
        error => error.into(),
    }
}

fn write(text: &mut String, dir: &Path, inspection: &Inspection) -> fmt::Result {
    writeln!(text, "checkpoint      {}, write {}", dir.display(), number(inspection.generation))?;
    if !inspection.name.is_empty() {
        writeln!(text, "name            {}", inspection.name)?;
    }
    let Some(state) = &inspection.state else {
        return writeln!(text, "phase           empty: nothing was replicated yet");
    };
    let phase = match state.phase {
        checkpoint::Phase::None => "nothing was written to the target yet",
        checkpoint::Phase::FullSync => "full sync, not completed",
        checkpoint::Phase::Stable => "stable sync",
    };
    writeln!(text, "phase           {phase}")?;
    writeln!(text, "written         {} ago", seconds(seconds_since(state.updated_at_ms)))?;
    writeln!(text, "replication id  {}", state.replication_id)?;
    match &state.target {
        TargetIdentity::Standalone { address, run_id } => {
            writeln!(text, "target          {address}, run id {run_id}")?;
        }
        TargetIdentity::Cluster { node_ids } => {
            writeln!(
                text,
                "target          a cluster of {} masters: {}",
                node_ids.len(),
                node_ids.join(", ")
            )?;
        }
    }
    for node in &state.nodes {
        let keeps = match node.kept {
            Kept::Part => "a restart may lose writes",
            Kept::All => "on disk",
            Kept::Always => "always on disk",
        };
        let (address, run_id, offset) = (&node.address, &node.run_id, number(node.offset));
        writeln!(text, "node            {address}, run id {run_id}, offset {offset}, {keeps}")?;
    }
    for (flow, (applied, reserved)) in state.applied.iter().zip(&state.reserved).enumerate() {
        let (applied, reserved) = (number(*applied), number(*reserved));
        writeln!(text, "flow {flow:<10} applied LSN {applied}, reserved LSN {reserved}")?;
    }
    if state.reconcile {
        writeln!(text, "due             removal of the keys that the source lacks")?;
    }
    if inspection.scheduled > 0 {
        writeln!(text, "members         of {} keys expire through us", number(inspection.scheduled))?;
    }
    writeln!(text, "not in sync     {} keys", number(inspection.not_in_sync_count))?;
    for entry in &inspection.not_in_sync {
        writeln!(text, "  db{}:{} ({})", entry.db, entry.key.escape_ascii(), entry.reason)?;
    }
    Ok(())
}

/// What the owner of a checkpoint says about it.
fn write_of_the_daemon(text: &mut String, dir: &Path, report: &Report, addr: &Address) -> fmt::Result {
    writeln!(text, "checkpoint      {}, in use by the daemon at {addr}", dir.display())?;
    let nothing_stored = report.crash.restart == Restart::Full && report.phase != Phase::Stable;
    if nothing_stored {
        writeln!(text, "phase           full sync, not completed")?;
    } else {
        writeln!(text, "phase           stable sync")?;
    }
    writeln!(text, "replication id  {}", report.replication_id)?;
    writeln!(text, "target          {}", report.target)?;
    for flow in report.flows.iter().filter(|_| !nothing_stored) {
        let (applied, reserved) = (number(flow.checkpointed_lsn), number(flow.reserved_lsn));
        writeln!(text, "flow {:<10} applied LSN {applied}, reserved LSN {reserved}", flow.flow)?;
    }
    if report.reconciling {
        writeln!(text, "due             removal of the keys that the source lacks")?;
    }
    if let Some(keys) = report.members.scheduled.filter(|keys| *keys > 0) {
        writeln!(text, "members         of {} keys expire through us", number(keys))?;
    }
    writeln!(text, "not in sync     {} keys", number(report.not_in_sync_count))?;
    for entry in &report.not_in_sync {
        writeln!(text, "  db{}:{} ({})", entry.db, entry.key, entry.reason)?;
    }
    Ok(())
}

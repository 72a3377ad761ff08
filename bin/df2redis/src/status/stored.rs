//! What the checkpoint says while no daemon runs, in the form of a daemon's report.

use std::collections::BTreeMap;

use checkpoint::Inspection;
use config::Config;
use replica::Report;
use replica::phase::Phase;
use replica::status::{CrashReport, FlowReport, MembersReport, NotInSyncReport, SHOWN_NOT_IN_SYNC};

use crate::configuration;
use crate::failure::Failure;

/// Keys of the list that are counted by cause.
const COUNTED: usize = 100_000;

/// Reads the checkpoint. `why` says why no daemon was asked.
pub(crate) fn report(config: &Config, why: &str) -> Result<Report, Failure> {
    let dir = &config.checkpoint.dir;
    let stored = match checkpoint::inspect(dir, COUNTED) {
        Ok(stored) => stored,
        Err(checkpoint::Error::InUse { .. }) => {
            return Err(Failure::failed(format!(
                "checkpoint {} is in use by a daemon, but {why}; give `status` the configuration that it runs with",
                dir.display()
            )));
        }
        Err(error) => return Err(error.into()),
    };
    let detail = match &stored {
        None => format!("no checkpoint in {}: nothing was replicated yet", dir.display()),
        Some(Inspection { state: None, .. }) => {
            format!("the checkpoint in {} is empty: nothing was replicated yet", dir.display())
        }
        Some(Inspection { state: Some(state), .. }) => describe(state).to_owned(),
    };
    let (count, listed) =
        stored.as_ref().map_or((0, [].as_slice()), |i| (i.not_in_sync_count, &i.not_in_sync));
    let state = stored.as_ref().and_then(|i| i.state.as_ref());
    let applied = state.map_or([].as_slice(), |state| &state.applied);
    let reserved = state.map_or([].as_slice(), |state| &state.reserved);
    let mut by_cause = BTreeMap::new();
    for entry in listed {
        *by_cause.entry(entry.reason.clone()).or_insert(0) += 1;
    }
    Ok(Report {
        clocks: Default::default(),
        members: MembersReport {
            scheduled: stored.as_ref().map(|i| i.scheduled).filter(|keys| *keys > 0),
            next_due_ms: stored.as_ref().and_then(|i| i.next_due_ms),
        },
        dialect: Default::default(),
        search_indexes: Default::default(),
        running: false,
        phase: Phase::Stopped,
        phase_since_ms: state.map_or(0, |state| state.updated_at_ms),
        detail,
        ready: false,
        stuck: Vec::new(),
        uptime_s: 0,
        source: configuration::source(config),
        source_release: String::new(),
        target: configuration::target(config),
        replication_id: state.map_or_else(String::new, |state| state.replication_id.clone()),
        full_syncs: 0,
        partial_syncs: 0,
        last_full_sync_reason: String::new(),
        reconciling: state.is_some_and(|state| state.reconcile),
        removed_keys: 0,
        keys: 0,
        records: 0,
        bytes: 0,
        lag_records: None,
        lag_seconds: None,
        spool: Default::default(),
        crash: CrashReport::at_rest(state, count, config.source.backlog_records),
        repair: Default::default(),
        nodes: Vec::new(),
        flows: applied.iter().zip(reserved).enumerate().map(at_rest).collect(),
        not_on_target: Vec::new(),
        unknown_commands: Default::default(),
        ignored_records: Default::default(),
        filtered: Default::default(),
        existing_keys: 0,
        task_name: config.task_name.clone().unwrap_or_default(),
        not_in_sync_count: count,
        not_in_sync_by_cause: by_cause,
        not_in_sync: listed.iter().take(SHOWN_NOT_IN_SYNC).map(NotInSyncReport::of).collect(),
    })
}

/// What the next start does with a checkpoint.
pub(crate) fn describe(state: &checkpoint::State) -> &'static str {
    match state.phase {
        checkpoint::Phase::None => "nothing was written to the target yet; the next start takes a full sync",
        checkpoint::Phase::FullSync => "a full sync was not completed; the next start takes it again",
        checkpoint::Phase::Stable => "the next start goes on from the LSNs below",
    }
}

fn at_rest((flow, (applied, reserved)): (usize, (&u64, &u64))) -> FlowReport {
    FlowReport {
        flow,
        received_lsn: *applied,
        applied_lsn: *applied,
        checkpointed_lsn: *applied,
        reserved_lsn: *reserved,
        ..FlowReport::default()
    }
}

//! What a crash right now would cost.

use checkpoint::{Phase, State};
use serde::{Deserialize, Serialize};

/// How the process would go on if it were killed at this moment.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Restart {
    /// It would ask for the stored LSNs, and the source holds them.
    Partial,
    /// It would take a full sync.
    Full,
    /// It would ask for the stored LSNs; whether the source holds them is not known.
    #[default]
    Unknown,
}

/// Records of a flow that the source keeps for replicas that come back.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Backlog {
    /// Nothing is known.
    #[default]
    Unknown,
    /// Its release resumes nothing, whatever it keeps.
    NoResume,
    /// The default of its release; it does not tell (v1.40.1 answers no `CONFIG GET shard_repl_backlog_len`), and may have been started with another number.
    Assumed(u64),
    /// It told, its release keeps none, or the configuration says so.
    Known(u64),
}

impl Backlog {
    /// The number to go by, assumed or not.
    pub fn records(self) -> Option<u64> {
        match self {
            Backlog::Unknown | Backlog::NoResume => None,
            Backlog::Assumed(records) | Backlog::Known(records) => Some(records),
        }
    }
}

/// What a crash right now would cost.
#[derive(Debug, Clone, Default, PartialEq, Deserialize, Serialize)]
#[serde(default)]
pub struct CrashReport {
    /// How a new process would go on.
    pub restart: Restart,
    /// Why, in words.
    pub why: String,
    /// Records behind the checkpoint that the source would have to send again; of the flow with the most of them. Nothing
    /// where nobody asks the source.
    pub records_behind: Option<u64>,
    /// Records per flow that the source keeps for replicas that come back, if it tells or the configuration does.
    pub backlog_records: Option<u64>,
    /// Records per flow that a source of this release keeps by default, where nobody tells.
    pub backlog_assumed: Option<u64>,
    /// Seconds until the source will have dropped a record that a new process would ask for, if nothing more is stored
    /// from now on and the source goes on writing as in the last 10 s. Nothing where it is not known, or does not write.
    pub seconds_left: Option<u64>,
    /// Keys that would have to be repaired, at most: one per record that is perhaps applied, and those under repair now.
    pub keys_to_repair: u64,
}

/// What is known of one flow.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Flow {
    /// Records between the checkpoint and the source.
    pub(crate) behind: u64,
    /// Records that are perhaps applied: from the stored `applied` to the stored `reserved` LSN.
    pub(crate) uncertain: u64,
    /// Records per second at the source.
    pub(crate) rate: f64,
}

/// Whether a stored position can be resumed from at all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stored {
    Unknown,
    Nothing,
    Position,
}

pub(crate) fn report(stored: Stored, backlog: Backlog, flows: &[Flow], under_repair: u64) -> CrashReport {
    let records_behind = flows.iter().map(|flow| flow.behind).max().unwrap_or(0);
    let (known, assumed) = match backlog {
        Backlog::Unknown | Backlog::NoResume => (None, None),
        Backlog::Assumed(records) => (None, Some(records)),
        Backlog::Known(records) => (Some(records), None),
    };
    let base = CrashReport {
        records_behind: Some(records_behind),
        backlog_records: known,
        backlog_assumed: assumed,
        ..CrashReport::default()
    };
    match (stored, backlog) {
        (Stored::Unknown, _) => CrashReport { why: "the checkpoint was not read yet".into(), ..base },
        (Stored::Nothing, _) => CrashReport {
            restart: Restart::Full,
            why: "no full sync was completed, so no position is stored".into(),
            ..base
        },
        (Stored::Position, Backlog::NoResume) => CrashReport {
            restart: Restart::Full,
            why: "this release of the source resumes nothing: a full sync follows every break".into(),
            ..base
        },
        (Stored::Position, _) => {
            let keys_to_repair = under_repair + flows.iter().map(|flow| flow.uncertain).sum::<u64>();
            let (restart, why) = match known {
                None => (
                    Restart::Unknown,
                    match assumed {
                        Some(assumed) => format!(
                            "the source does not tell how many records of a flow it keeps, {records_behind} would be asked for; \
                             {assumed} are assumed, its release's default (source.backlog_records sets it)"
                        ),
                        None => "the source does not tell how many records it keeps".to_owned(),
                    },
                ),
                Some(backlog) if records_behind <= backlog => (
                    Restart::Partial,
                    format!(
                        "the source keeps {backlog} records of a flow, {records_behind} would be asked for"
                    ),
                ),
                Some(backlog) => (
                    Restart::Full,
                    format!(
                        "the source keeps {backlog} records of a flow only, {records_behind} would be asked for"
                    ),
                ),
            };
            let left = flows.iter().filter_map(|flow| seconds_left(flow, known?));
            let seconds_left = left.min_by(f64::total_cmp).map(|seconds| seconds as u64);
            CrashReport { restart, why, seconds_left, keys_to_repair, ..base }
        }
    }
}

impl CrashReport {
    /// What the next start costs while no daemon runs. What is stored says all but what the source has kept and written since.
    pub fn at_rest(state: Option<&State>, listed: u64, backlog: Option<u64>) -> CrashReport {
        let base = CrashReport { backlog_records: backlog, ..CrashReport::default() };
        let Some(state) = state.filter(|state| state.phase == Phase::Stable) else {
            let why = "no position is stored that a full sync has reached".to_owned();
            return CrashReport { restart: Restart::Full, why, ..base };
        };
        let perhaps_applied: u64 = state
            .applied
            .iter()
            .zip(&state.reserved)
            .map(|(applied, end)| end.saturating_sub(*applied))
            .sum();
        CrashReport {
            why:
                "whether the source still holds the records from the stored LSNs on is known when it is asked"
                    .to_owned(),
            keys_to_repair: listed + perhaps_applied,
            ..base
        }
    }
}

/// Nothing for a source that does not write: its backlog lasts.
fn seconds_left(flow: &Flow, backlog: u64) -> Option<f64> {
    (flow.rate > 0.0).then(|| backlog.saturating_sub(flow.behind) as f64 / flow.rate)
}

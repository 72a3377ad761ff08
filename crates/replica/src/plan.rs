//! What a run would do, found out without writing anything (`replicate --dry-run`).

use std::path::Path;
use std::sync::Arc;

use checkpoint::{Phase as Stored, State};
use command::Mapping;
use config::{Conflict, ExistingData};
use flow::FullReason;
use handshake::{Greeting, Release, ResumeStyle};
use router::Target;
use router::side::Side;

use crate::engine::choice::{self, Choice};
use crate::error::Error;
use crate::settings::Settings;
use crate::skew::{self, ClocksReport};
use crate::source::{SourceSide, Unanswered};
use crate::startup;
use crate::status::DialectReport;

/// What a run would find, and do.
#[derive(Debug)]
pub struct Plan {
    /// The source that would be attached to.
    pub source: FoundSource,
    /// The target.
    pub target: FoundTarget,
    /// Where the source's databases would go.
    pub mapping: Mapping,
    /// What is stored.
    pub checkpoint: Option<State>,
    /// Keys of the not-in-sync list.
    pub not_in_sync: u64,
    /// Which sync is to be expected.
    pub sync: Sync,
    /// What becomes of the keys that are on the target.
    pub existing: Existing,
    /// How far the clocks are apart.
    pub clocks: ClocksReport,
}

impl Plan {
    /// The error that a run would end with although everything could be reached.
    pub fn refusal(&self) -> Option<Error> {
        let Existing::Refused { keys } = self.existing else { return None };
        Some(Error::ForeignData { addr: self.target.seeds.clone(), keys })
    }
}

/// A source as it answers.
#[derive(Debug)]
pub struct FoundSource {
    /// `host:port`.
    pub addr: String,
    /// Its release, if it tells.
    pub release: Option<Release>,
    /// Its replication id.
    pub replication_id: String,
    /// Its number of flows.
    pub flows: usize,
    /// The databases that hold keys; an error where it does not tell.
    pub databases: Result<Vec<u32>, String>,
}

/// A target as it answers.
#[derive(Debug)]
pub struct FoundTarget {
    /// The configured addresses.
    pub seeds: String,
    /// What it understands.
    pub dialect: DialectReport,
    /// `host:port` of every master.
    pub masters: Vec<String>,
    /// Keys in all of them.
    pub keys: u64,
}

/// Which sync is to be expected.
#[derive(Debug)]
pub enum Sync {
    /// The journal from where it was left, if the source still holds the records.
    Partial {
        /// How many records the source has by now that the target has not; unknown where it does not tell.
        behind: Option<u64>,
    },
    /// A snapshot, for this reason.
    Full(String),
}

/// What becomes of the keys that are on the target.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Existing {
    /// There is none.
    Empty,
    /// A partial sync touches only what the source changed.
    Kept {
        /// Keys on the target.
        keys: u64,
    },
    /// They are ours: written over; those that the source lacks are removed afterwards, unless the configuration keeps them.
    Ours {
        /// Keys on the target.
        keys: u64,
        /// Whether those that the source lacks are removed.
        reconcile: bool,
    },
    /// They are not ours: the run would stop.
    Refused {
        /// Keys on the target.
        keys: u64,
    },
    /// They are not ours: written over, otherwise left.
    Merged {
        /// Keys on the target.
        keys: u64,
    },
    /// They are not ours, and stay; a key of the source with the name of one is left out, or ends the run.
    Protected {
        /// Keys on the target.
        keys: u64,
        /// Whether it ends the run.
        stop: bool,
    },
    /// They are not ours: the mapped databases are emptied first.
    Flushed {
        /// Keys on the target.
        keys: u64,
    },
}

/// Connects to both sides and looks at the checkpoint. Nothing is written anywhere.
///
/// # Errors
/// What a run would end with, but at once: a server that is away is not waited for.
pub async fn probe(settings: &Settings) -> Result<Plan, Error> {
    let stored = inspect(&settings.checkpoint_dir).await?;
    let (state, not_in_sync) = stored.map_or((None, 0), |i| (i.state, i.not_in_sync_count));
    let target = Target::connect(&settings.target).await?;
    startup::check_identity(settings, state.as_ref(), &target)?;
    let mapping = settings.mapping(target.is_cluster())?;
    let known = state.as_ref().map(|state| state.replication_id.as_str()).filter(|id| !id.is_empty());
    let Greeted { addr, greeting, mut side } = greet(settings, known).await?;
    let databases = databases(&mut side, &target, &mapping).await?;
    let clocks = skew::compare(&mut side, &target, settings.clock).await;
    let sync = expected(state.as_ref(), &greeting, &mut side).await;
    let source = FoundSource {
        addr,
        release: greeting.release,
        replication_id: greeting.replid,
        flows: greeting.flows,
        databases,
    };
    let target = found(settings, &target).await?;
    let existing = existing(settings, state.as_ref(), &sync, target.keys);
    Ok(Plan { source, target, mapping, checkpoint: state, not_in_sync, sync, existing, clocks })
}

async fn inspect(dir: &Path) -> Result<Option<checkpoint::Inspection>, Error> {
    let dir = dir.to_owned();
    let inspected = tokio::task::spawn_blocking(move || checkpoint::inspect(&dir, 0)).await;
    Ok(inspected.unwrap_or_else(|panicked| std::panic::resume_unwind(panicked.into_panic()))?)
}

struct Greeted {
    addr: String,
    greeting: Greeting,
    side: SourceSide,
}

/// Greets the source that would be attached to, and lets it go again.
async fn greet(settings: &Settings, known: Option<&str>) -> Result<Greeted, Error> {
    let mut index = 0;
    if settings.sources.len() > 1 {
        let (masters, last) = choice::look(settings).await;
        let ids: Vec<&str> = masters.iter().map(|master| master.replid.as_str()).collect();
        index = match choice::choose(&ids, known) {
            Choice::Nobody => return Err(last.expect("the configuration names at least one source").into()),
            Choice::This(index) | Choice::Stranger(index) => masters[index].source,
            Choice::Strangers => {
                let known = known.unwrap_or("none").to_owned();
                return Err(Error::SeveralMasters { masters: choice::named(&masters), known });
            }
        };
    }
    let source = &settings.sources[index];
    let greeting = flow::look(source).await?;
    let addr = source.connect.addr.clone();
    Ok(Greeted { addr, greeting, side: SourceSide::new(source.connect.clone()) })
}

async fn databases(
    side: &mut SourceSide,
    target: &Target,
    mapping: &Mapping,
) -> Result<Result<Vec<u32>, String>, Error> {
    let databases = match side.databases().await {
        Ok(databases) => databases,
        Err(error @ Unanswered::Refused(..)) => return Ok(Err(error.to_string())),
        Err(error) => return Ok(Err(error.to_string())),
    };
    for &db in &databases {
        mapping.note_database(db).map_err(Error::Collision)?;
        if let Some(place) = mapping.placement(db) {
            target.check_database(place.db).await?;
        }
    }
    Ok(Ok(databases))
}

async fn expected(state: Option<&State>, greeting: &Greeting, side: &mut SourceSide) -> Sync {
    let full = |reason: FullReason| Sync::Full(reason.to_string());
    let Some(state) = state.filter(|state| state.phase != Stored::None) else {
        return full(FullReason::NotAsked);
    };
    if state.phase == Stored::FullSync || state.applied.is_empty() {
        return Sync::Full("the last full sync was not completed".into());
    }
    if state.replication_id != greeting.replid {
        let (ours, theirs) = (state.replication_id.clone(), greeting.replid.clone());
        return full(FullReason::OtherReplid { ours, theirs });
    }
    if state.applied.len() != greeting.flows {
        return full(FullReason::OtherFlowCount { ours: state.applied.len(), theirs: greeting.flows });
    }
    if greeting.resume_style() == ResumeStyle::None {
        return full(FullReason::Unsupported);
    }
    let offsets = side.offsets().await.ok();
    let behind = offsets.map(|offsets| {
        offsets.iter().zip(&state.applied).map(|(source, applied)| source.saturating_sub(*applied)).sum()
    });
    Sync::Partial { behind }
}

async fn found(settings: &Settings, target: &Arc<Target>) -> Result<FoundTarget, Error> {
    let mut side = Side::new(target.clone());
    Ok(FoundTarget {
        seeds: settings.target.seeds.iter().map(|seed| seed.addr.clone()).collect::<Vec<_>>().join(","),
        dialect: DialectReport::of(target.dialect()),
        masters: target.masters().into_iter().map(|node| target.address(node)).collect(),
        keys: router::sweep::count(&mut side).await?,
    })
}

fn existing(settings: &Settings, state: Option<&State>, sync: &Sync, keys: u64) -> Existing {
    let choice = settings.on_existing_data;
    let known = state.is_some_and(|state| state.phase != Stored::None);
    match (sync, choice) {
        _ if keys == 0 => Existing::Empty,
        (Sync::Partial { .. }, _) => Existing::Kept { keys },
        (Sync::Full(_), _) if known => Existing::Ours { keys, reconcile: choice != ExistingData::Merge },
        (Sync::Full(_), ExistingData::Refuse) => Existing::Refused { keys },
        (Sync::Full(_), ExistingData::Merge | ExistingData::Reconcile)
            if settings.conflict != Conflict::Overwrite =>
        {
            Existing::Protected { keys, stop: settings.conflict == Conflict::Panic }
        }
        (Sync::Full(_), ExistingData::Reconcile) => Existing::Ours { keys, reconcile: true },
        (Sync::Full(_), ExistingData::Merge) => Existing::Merged { keys },
        (Sync::Full(_), ExistingData::Flush) => Existing::Flushed { keys },
    }
}

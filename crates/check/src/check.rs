//! A check from its beginning to its result.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex};

use command::Mapping;
use resp::{ConnectOptions, Reply};
use router::Target;
use tracing::{debug, info};

use crate::compare::{Abilities, Shared};
use crate::fence::Fence;
use crate::findings::Findings;
use crate::limiter::Limiter;
use crate::progress::Progress;
use crate::source::{self, Source};
use crate::summary::Summary;
use crate::target::Nodes;
use crate::workers::{Context, Job, Workers, lock};
use crate::{Error, Options, scan};

/// Keys of one batch in the rounds after the first.
const BATCH: usize = 1000;
/// Further rounds for keys that change whenever they are looked at.
const PATIENCE: u32 = 4;
/// A name that hardly exists; it is only read.
const NOBODY: &[u8] = b"df2redis:may-read";

/// What a check is made from.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The sources; the first one that is a master is read.
    pub sources: Vec<ConnectOptions>,
    /// The target.
    pub target: Arc<Target>,
    /// Names on the target.
    pub mapping: Mapping,
    /// What is compared, and how.
    pub options: Options,
    /// What is waited for between two rounds.
    pub fence: Arc<dyn Fence>,
    /// Where the check writes how far it is.
    pub progress: Arc<Progress>,
}

/// A check that can begin: both sides answer.
#[derive(Debug)]
pub struct Check {
    settings: Settings,
    source: Source,
    shared: Arc<Shared>,
    /// Databases of the source that are replicated, and of the target.
    databases: (Vec<u32>, Vec<u32>),
    keys: u64,
}

/// What a check found.
#[derive(Debug, Default)]
pub struct Outcome {
    /// In numbers.
    pub summary: Summary,
    /// The keys that differ.
    pub differences: Findings,
    /// The keys of which nothing can be said.
    pub in_motion: Findings,
}

impl Check {
    /// Finds the master among the sources, and asks both sides what they understand.
    ///
    /// # Errors
    /// A server that cannot be reached or refuses.
    pub async fn prepare(settings: Settings) -> Result<Check, Error> {
        let mut source = source::master(&settings.sources).await?;
        let mut nodes = Nodes::new(settings.target.clone());
        let keyspace = source.keyspace().await?;
        for (db, _) in &keyspace {
            // Two keys of one name: the target holds one of them, which the comparison shows.
            if let Err(collision) = settings.mapping.note_database(*db) {
                debug!(%collision, "one name for two keys");
            }
        }
        let mapped = |db: &u32| settings.mapping.placement(*db).is_some();
        let from: Vec<u32> = keyspace.iter().map(|(db, _)| *db).filter(mapped).collect();
        let on_target = nodes.keyspace().await?;
        let to: BTreeSet<u32> = on_target.iter().map(|(db, _)| *db).collect();
        let ours = keyspace.iter().filter(|(db, _)| mapped(db)).map(|(_, count)| count).sum::<u64>();
        let keys = ours + on_target.iter().map(|(_, count)| count).sum::<u64>();
        let source_side = abilities_of_source(&mut source).await?;
        let target_side = abilities_of_target(&mut nodes).await?;
        let has_ttls = settings.target.dialect().has_hash_field_ttl();
        let field_ttls = has_ttls && {
            let reply = source.call(0, &[b"FIELDTTL", NOBODY, b"field"]).await?;
            reply.as_integer().is_some()
        };
        let shared = Arc::new(Shared {
            filter: settings.mapping.filter().clone(),
            limiter: Limiter::new(settings.options.qps),
            options: settings.options.clone(),
            source: source_side,
            target: target_side,
            field_ttls,
        });
        info!(source = source.addr(), keys = ours, mode = %settings.options.mode, "comparing");
        Ok(Check { settings, source, shared, databases: (from, to.into_iter().collect()), keys })
    }

    /// Address of the source that is read.
    #[must_use]
    pub fn source(&self) -> &str {
        self.source.addr()
    }

    /// Compares everything.
    ///
    /// # Errors
    /// A server that cannot be reached any more or refuses, and a fence that does not come about.
    pub async fn run(&self) -> Result<Outcome, Error> {
        let context = self.context();
        context.progress.begin(1, self.keys);
        let workers = Workers::start(&context);
        let options = &self.settings.options;
        let mut source = self.source.another();
        let scanned = tokio::try_join!(
            scan::source(&mut source, &self.databases.0, &context, &workers.jobs),
            scan::target(&self.settings.target, &self.databases.1, options, &workers.jobs),
        );
        workers.finish().await?;
        scanned?;
        self.conclude(context, Summary::new(options.mode)).await
    }

    /// Looks at the keys that differed once more, after something was done about them.
    ///
    /// # Errors
    /// As [`Check::run`].
    pub async fn again(&self, outcome: Outcome) -> Result<Outcome, Error> {
        let Outcome { mut summary, mut differences, mut in_motion } = outcome;
        let context = self.context();
        for listed in differences.read().map_err(Context::lost)? {
            lock(&context.suspects).push(listed.map_err(Context::lost)?).map_err(Context::lost)?;
        }
        summary.forget_differences();
        let mut outcome = self.conclude(context, summary).await?;
        for listed in in_motion.read().map_err(Context::lost)? {
            outcome.in_motion.push(listed.map_err(Context::lost)?).map_err(Context::lost)?;
        }
        outcome.summary.in_motion = outcome.in_motion.len();
        Ok(outcome)
    }

    fn context(&self) -> Arc<Context> {
        Arc::new(Context {
            source: self.source.options().clone(),
            target: self.settings.target.clone(),
            mapping: self.settings.mapping.clone(),
            shared: self.shared.clone(),
            progress: self.settings.progress.clone(),
            suspects: Mutex::default(),
            differences: Mutex::default(),
            ok: AtomicU64::new(0),
            foreign: AtomicU64::new(0),
            not_comparable: Mutex::default(),
            skipped: Mutex::default(),
        })
    }

    /// The rounds after the first.
    async fn conclude(&self, context: Arc<Context>, mut summary: Summary) -> Result<Outcome, Error> {
        let rounds = self.settings.options.rounds.max(1);
        let mut source = self.source.another();
        let mut in_motion = Findings::new();
        let mut round = 1;
        loop {
            let mut suspects = std::mem::take(&mut *lock(&context.suspects));
            if suspects.is_empty() {
                break;
            }
            // A single round still looks twice, so that it shows what moves.
            let last = round + 1 >= rounds;
            if round >= rounds.max(2) + PATIENCE {
                in_motion = suspects;
                break;
            }
            if rounds > 1 {
                self.settings.fence.pass(source.lsns().await?).await?;
            }
            tokio::time::sleep(self.settings.options.pause).await;
            round += 1;
            info!(round, keys = suspects.len(), "looking again at what seems to differ");
            context.progress.begin(round, suspects.len());
            let workers = Workers::start(&context);
            let mut batch = Vec::new();
            for suspect in suspects.read().map_err(Context::lost)? {
                batch.push(suspect.map_err(Context::lost)?);
                if batch.len() == BATCH {
                    let job = Job::Again { suspects: std::mem::take(&mut batch), last };
                    if workers.jobs.send(job).await.is_err() {
                        break;
                    }
                }
            }
            // Workers that have ended say why.
            let _ = workers.jobs.send(Job::Again { suspects: batch, last }).await;
            workers.finish().await?;
        }
        let mut differences = std::mem::take(&mut *lock(&context.differences));
        for difference in differences.read().map_err(Context::lost)? {
            summary.add(difference.map_err(Context::lost)?.what);
        }
        summary.rounds = round;
        summary.ok += context.ok.load(Relaxed);
        summary.foreign += context.foreign.load(Relaxed);
        summary.in_motion = in_motion.len();
        for (counts, into) in
            [(&context.not_comparable, &mut summary.not_comparable), (&context.skipped, &mut summary.skipped)]
        {
            for (kind, count) in std::mem::take(&mut *lock(counts)) {
                *into.entry(kind).or_default() += count;
            }
        }
        Ok(Outcome { summary, differences, in_motion })
    }
}

async fn abilities_of_source(source: &mut Source) -> Result<Abilities, Error> {
    let refused = |reply: &Reply| reply.as_error().is_some();
    Ok(Abilities {
        pexpiretime: !refused(&source.call(0, &[b"PEXPIRETIME", NOBODY]).await?),
        memory_usage: !refused(&source.call(0, &[b"MEMORY", b"USAGE", NOBODY]).await?),
    })
}

async fn abilities_of_target(nodes: &mut Nodes) -> Result<Abilities, Error> {
    let place = nodes.place(NOBODY);
    let mut questions = crate::questions::Questions::default();
    questions.push(place, &[b"PEXPIRETIME", NOBODY]);
    questions.push(place, &[b"MEMORY", b"USAGE", NOBODY]);
    let answers = nodes.ask(0, questions).await?;
    let has = |at| answers.at(at).as_error().is_none();
    Ok(Abilities { pexpiretime: has(0), memory_usage: has(1) })
}

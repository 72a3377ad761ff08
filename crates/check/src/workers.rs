//! Pages of keys, worked off by several at the same time.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use command::Mapping;
use resp::{ConnectOptions, Reply};
use router::Target;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use crate::Error;
use crate::compare::{Comparer, Shared};
use crate::findings::{Difference, Findings};
use crate::print::Print;
use crate::progress::Progress;
use crate::questions::Questions;
use crate::source::{HERE, Source};
use crate::target::Nodes;
use crate::verdict::{Named, Verdict, What};

/// Keys asked for by one EXISTS.
const TOGETHER: usize = 50;
/// Pauses between the looks that a difference has to outlast in the last round (ms); uneven, so that nothing that changes
/// in a steady rhythm shows the same side each time.
const LOOKS: [u64; 4] = [13, 31, 67, 149];

/// Something to be worked off.
#[derive(Debug)]
pub(crate) enum Job {
    /// Keys of the source.
    Keys(Vec<Named>),
    /// Names found on the target, in this database.
    Names(u32, Vec<Bytes>),
    /// Keys that seemed to differ in the round before. `last`: those that still do, differ.
    Again { suspects: Vec<Difference>, last: bool },
}

/// What the workers work with, and where they leave what they find.
#[derive(Debug)]
pub(crate) struct Context {
    pub(crate) source: ConnectOptions,
    pub(crate) target: Arc<Target>,
    pub(crate) mapping: Mapping,
    pub(crate) shared: Arc<Shared>,
    pub(crate) progress: Arc<Progress>,
    /// For the next round.
    pub(crate) suspects: Mutex<Findings>,
    /// For good.
    pub(crate) differences: Mutex<Findings>,
    pub(crate) ok: AtomicU64,
    pub(crate) foreign: AtomicU64,
    pub(crate) not_comparable: Mutex<BTreeMap<String, u64>>,
    pub(crate) skipped: Mutex<BTreeMap<String, u64>>,
}

/// The workers of one round.
#[derive(Debug)]
pub(crate) struct Workers {
    pub(crate) jobs: mpsc::Sender<Job>,
    tasks: JoinSet<Result<(), Error>>,
}

impl Workers {
    pub(crate) fn start(context: &Arc<Context>) -> Workers {
        let count = context.shared.options.parallel.max(1);
        let (jobs, queue) = mpsc::channel(count);
        let queue = Arc::new(tokio::sync::Mutex::new(queue));
        let failed = Arc::new(AtomicBool::new(false));
        let mut tasks = JoinSet::new();
        for _ in 0..count {
            let worker = Worker {
                comparer: Comparer {
                    source: Source::new(context.source.clone()),
                    target: Nodes::new(context.target.clone()),
                    shared: context.shared.clone(),
                },
                context: context.clone(),
            };
            let (queue, failed) = (queue.clone(), failed.clone());
            tasks.spawn(async move {
                let result = worker.run(queue, &failed).await;
                failed.fetch_or(result.is_err(), Relaxed);
                result
            });
        }
        Workers { jobs, tasks }
    }

    /// No more jobs: waits for those under way.
    pub(crate) async fn finish(mut self) -> Result<(), Error> {
        drop(self.jobs);
        let mut result = Ok(());
        while let Some(ended) = self.tasks.join_next().await {
            result = result.and(ended.unwrap_or(Err(Error::Ended)));
        }
        result
    }
}

struct Worker {
    comparer: Comparer,
    context: Arc<Context>,
}

impl Worker {
    async fn run(
        mut self,
        queue: Arc<tokio::sync::Mutex<mpsc::Receiver<Job>>>,
        failed: &AtomicBool,
    ) -> Result<(), Error> {
        while !failed.load(Relaxed) {
            let job = queue.lock().await.recv().await;
            match job {
                Some(Job::Keys(keys)) => self.keys(keys).await?,
                Some(Job::Names(db, names)) => self.names(db, names).await?,
                Some(Job::Again { suspects, last }) => self.again(suspects, last).await?,
                None => break,
            }
        }
        Ok(())
    }

    async fn keys(&mut self, keys: Vec<Named>) -> Result<(), Error> {
        let verdicts = self.comparer.compare(&keys).await?;
        let mut equal = 0;
        self.context.progress.add(keys.len());
        for (named, verdict) in keys.into_iter().zip(verdicts) {
            match verdict {
                Verdict::Equal => equal += 1,
                Verdict::Gone => {}
                Verdict::NotComparable(kind) => count(&self.context.not_comparable, kind, 1),
                Verdict::Skipped(why) => count(&self.context.skipped, why, 1),
                Verdict::Different(found) => self.context.suspect(Difference {
                    named,
                    what: found.what,
                    detail: found.detail,
                    from_target: false,
                    print: found.print,
                })?,
            }
        }
        self.context.ok.fetch_add(equal, Relaxed);
        Ok(())
    }

    /// Which names stand for keys that the source lacks.
    async fn names(&mut self, target_db: u32, names: Vec<Bytes>) -> Result<(), Error> {
        self.context.progress.add(names.len());
        let mut foreign = 0;
        let mut by_db: BTreeMap<u32, Vec<Named>> = BTreeMap::new();
        for name in names {
            // A name that may be a key of two databases: nobody can be asked which it is.
            if self.context.mapping.is_ambiguous(target_db, &name) {
                continue;
            }
            match self.context.mapping.source_name(target_db, &name) {
                None => foreign += 1,
                Some(key) if !self.comparer.shared.options.filter.fits(&key.key) => {}
                Some(key) => {
                    by_db.entry(key.db).or_default().push(Named {
                        db: key.db,
                        key: key.key,
                        target_db,
                        name,
                    });
                }
            }
        }
        self.context.foreign.fetch_add(foreign, Relaxed);
        for (db, keys) in by_db {
            for absent in self.absent(db, keys).await? {
                self.context.suspect(Difference {
                    print: Print::absent(self.comparer.shared.source.pexpiretime),
                    named: absent,
                    what: What::Extra,
                    detail: String::new(),
                    from_target: true,
                })?;
            }
        }
        Ok(())
    }

    /// Those that the source lacks. Many are asked for at once; only where one is missing each by itself.
    async fn absent(&mut self, db: u32, keys: Vec<Named>) -> Result<Vec<Named>, Error> {
        let mut questions = Questions::default();
        for keys in keys.chunks(TOGETHER) {
            let mut args: Vec<&[u8]> = vec![b"EXISTS"];
            args.extend(keys.iter().map(|named| named.key.as_ref()));
            questions.push(HERE, &args);
        }
        self.comparer.shared.limiter.take(questions.len()).await;
        let answers = match self.comparer.source.ask(db, questions).await {
            // The source has no such database.
            Err(Error::SourceRefused { command, .. }) if command == "SELECT" => return Ok(keys),
            other => other?,
        };
        let mut suspects = Vec::new();
        for (i, keys) in keys.chunks(TOGETHER).enumerate() {
            if answers.at(i).as_integer() != i64::try_from(keys.len()).ok() {
                suspects.extend_from_slice(keys);
            }
        }
        let mut questions = Questions::default();
        suspects.iter().for_each(|named| {
            questions.push(HERE, &[b"EXISTS", &named.key]);
        });
        self.comparer.shared.limiter.take(questions.len()).await;
        let answers = self.comparer.source.ask(db, questions).await?;
        if let Some(Reply::Error(line)) = answers.0.iter().find(|reply| reply.as_error().is_some()) {
            return Err(self.comparer.source.refused(b"EXISTS", resp::printable(line)));
        }
        let mut at = 0;
        suspects.retain(|_| {
            at += 1;
            answers.at(at - 1).as_integer() == Some(0)
        });
        Ok(suspects)
    }

    async fn again(&mut self, mut suspects: Vec<Difference>, last: bool) -> Result<(), Error> {
        self.context.progress.add(suspects.len());
        let mut steady = self.look_again(&mut suspects).await?;
        if last {
            // What has not changed at the source since the round before, and is still not on the target, is looked at
            // some more times, in case it changes to and fro.
            for pause in LOOKS {
                if steady.is_empty() {
                    break;
                }
                tokio::time::sleep(Duration::from_millis(pause)).await;
                let still = self.look_again(&mut steady).await?;
                suspects.append(&mut steady);
                steady = still;
            }
            let mut differences = lock(&self.context.differences);
            for difference in steady.drain(..) {
                differences.push(difference).map_err(Context::lost)?;
            }
        }
        for suspect in suspects.into_iter().chain(steady) {
            self.context.suspect(suspect)?;
        }
        Ok(())
    }

    /// Looks at them once more. Those that are the same at the source and still differ are returned; those that have changed
    /// at the source stay in `suspects`; the others have settled.
    async fn look_again(&mut self, suspects: &mut Vec<Difference>) -> Result<Vec<Difference>, Error> {
        let keys: Vec<Named> = suspects.iter().map(|suspect| suspect.named.clone()).collect();
        let verdicts = self.comparer.compare(&keys).await?;
        let (mut steady, mut changed) = (Vec::new(), Vec::new());
        for (mut suspect, verdict) in suspects.drain(..).zip(verdicts) {
            match verdict {
                Verdict::Equal if !suspect.from_target => {
                    self.context.ok.fetch_add(1, Relaxed);
                }
                Verdict::Equal | Verdict::Gone => {}
                Verdict::NotComparable(kind) => count(&self.context.not_comparable, kind, 1),
                Verdict::Skipped(why) => count(&self.context.skipped, why, 1),
                Verdict::Different(found) => {
                    let same = suspect.print == found.print;
                    (suspect.what, suspect.detail, suspect.print) = (found.what, found.detail, found.print);
                    if same { steady.push(suspect) } else { changed.push(suspect) }
                }
            }
        }
        *suspects = changed;
        Ok(steady)
    }
}

/// So many more of a kind.
fn count(counts: &Mutex<BTreeMap<String, u64>>, kind: String, more: u64) {
    *lock(counts).entry(kind).or_default() += more;
}

impl Context {
    /// Names of the source that are not replicated.
    pub(crate) fn left_out(&self, names: usize) {
        if names > 0 {
            count(&self.skipped, "name: filter".to_owned(), names as u64);
            self.progress.add(names);
        }
    }

    /// Notes a key for the next round.
    fn suspect(&self, suspect: Difference) -> Result<(), Error> {
        let mut suspects = lock(&self.suspects);
        suspects.push(suspect).map_err(Context::lost)?;
        self.progress.suspects(suspects.len());
        Ok(())
    }

    pub(crate) fn lost(source: std::io::Error) -> Error {
        Error::File { what: "the list of keys that seem to differ".into(), source }
    }
}

pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Each change under these locks is complete in itself.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

//! The checkpoint as the engine uses it: changes of all parts, written together.
//!
//! Whoever wants something stored adds it to what is pending and waits; the first one that finds no write under way
//! writes for all of them. One transaction and one fsync carry the positions of every flow and every change of the list of
//! keys under repair (repair rules 1 and 3).

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard};

use checkpoint::{Commit, Durable, Error, NotInSync, Phase, Planned, Scheduled, State, Store};
use command::SourceKey;
use tokio::sync::oneshot;

use crate::clock::Clock;

/// Stands for the flow of a listed key that may belong to any (repair rule 19).
pub const UNCLEAR: u32 = u32::MAX;

/// Keys that one write adds or removes: the store needs a few KiB of memory for each until it is through.
const TOGETHER: usize = 1_000;

/// The open checkpoint; clones are the same one.
#[derive(Debug, Clone)]
pub struct Ledger {
    shared: Arc<Shared>,
}

struct Shared {
    store: Arc<dyn Durable>,
    clock: Clock,
    pending: Mutex<Pending>,
    /// What is durable.
    state: Mutex<Option<State>>,
    list: Mutex<Listed>,
    /// When the first key of the schedule is due.
    next_due: Mutex<Option<u64>>,
    /// Keys whose entries are being written.
    changing: Mutex<BTreeSet<SourceKey>>,
    /// One write at a time.
    writing: tokio::sync::Mutex<()>,
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Ledger").field("store", &self.store).finish_non_exhaustive()
    }
}

type Edit = Box<dyn FnOnce(&mut Option<State>) + Send>;

#[derive(Default)]
struct Pending {
    edits: Vec<Edit>,
    /// The last word about each key: listed, or not listed any more.
    list: BTreeMap<SourceKey, Option<NotInSync>>,
    /// Not listed any more, where nobody but [`UNCLEAR`] has listed them.
    let_go: Vec<SourceKey>,
    clear_list: bool,
    /// In order.
    schedule: Vec<Planned>,
    clean_stop: bool,
    waiting: Vec<oneshot::Sender<Result<(), Arc<Error>>>>,
}

/// The durable list, which may be long: a reason is in memory once for the keys that share it.
#[derive(Default)]
struct Listed {
    keys: BTreeMap<SourceKey, Why>,
    last: Arc<str>,
}

/// Why a key is listed: the rest of its [`NotInSync`].
struct Why {
    reason: Arc<str>,
    flow: u32,
    lsn: u64,
    at_ms: u64,
}

impl Listed {
    fn insert(&mut self, entry: NotInSync) {
        let NotInSync { db, key, reason, flow, lsn, at_ms } = entry;
        if *self.last != *reason {
            self.last = reason.into();
        }
        let why = Why { reason: self.last.clone(), flow, lsn, at_ms };
        self.keys.insert(SourceKey { db, key: key.into() }, why);
    }

    fn first(&self, limit: usize) -> Vec<NotInSync> {
        let entry = |(key, why): (&SourceKey, &Why)| {
            let Why { reason, flow, lsn, at_ms } = why;
            let (reason, key, db) = (reason.to_string(), key.key.to_vec(), key.db);
            NotInSync { db, key, reason, flow: *flow, lsn: *lsn, at_ms: *at_ms }
        };
        self.keys.iter().take(limit).map(entry).collect()
    }
}

/// Something to be stored.
#[derive(Default)]
pub struct Entry {
    edit: Option<Edit>,
    add: Vec<NotInSync>,
    remove: Vec<SourceKey>,
    let_go: Vec<SourceKey>,
    clear_list: bool,
    schedule: Vec<Planned>,
    clean_stop: bool,
}

impl Entry {
    /// A change of the state.
    pub fn edit(change: impl FnOnce(&mut State) + Send + 'static) -> Entry {
        let edit: Edit = Box::new(move |state| {
            if let Some(state) = state {
                change(state);
            }
        });
        Entry { edit: Some(edit), ..Entry::default() }
    }

    /// What is stored must not be resumed from any more: a full sync is due, also for a process that knows no more than
    /// what is stored.
    pub fn full_sync_due() -> Entry {
        Entry::edit(|state| {
            if state.phase == Phase::Stable {
                (state.phase, state.reconcile) = (Phase::FullSync, true);
            }
        })
    }

    /// A new state in place of whatever is there.
    pub fn replace(new: State) -> Entry {
        Entry { edit: Some(Box::new(move |state| *state = Some(new))), ..Entry::default() }
    }

    /// Lists keys: they are under repair, or not in sync for good.
    #[must_use]
    pub fn list(mut self, keys: Vec<NotInSync>) -> Entry {
        self.add.extend(keys);
        self
    }

    /// Takes keys off the list.
    #[must_use]
    pub fn unlist(mut self, keys: Vec<SourceKey>) -> Entry {
        self.remove.extend(keys);
        self
    }

    /// Takes keys off the list that are on it as [`UNCLEAR`]. One that a flow has listed meanwhile stays.
    #[must_use]
    pub fn unlist_unclear(mut self, keys: Vec<SourceKey>) -> Entry {
        self.let_go.extend(keys);
        self
    }

    /// Changes the schedule, in this order.
    #[must_use]
    pub fn plan(mut self, changes: Vec<Planned>) -> Entry {
        self.schedule.extend(changes);
        self
    }

    /// Empties the list first.
    #[must_use]
    pub fn clear_list(mut self) -> Entry {
        self.clear_list = true;
        self
    }

    /// Nothing is on its way to the target any more, and nothing will be sent.
    #[must_use]
    pub fn clean_stop(mut self) -> Entry {
        self.clean_stop = true;
        self
    }
}

impl Ledger {
    /// Opens the directory.
    ///
    /// # Errors
    /// As [`Store::open`].
    pub async fn open(dir: &Path, clock: Clock) -> Result<Ledger, Error> {
        let dir = dir.to_owned();
        let store = blocking(move || Store::open(&dir)).await?;
        Ledger::with(Arc::new(store), clock)
    }

    /// A ledger on a store that is open already.
    ///
    /// # Errors
    /// The store's, where its list cannot be read.
    pub fn with(store: Arc<dyn Durable>, clock: Clock) -> Result<Ledger, Error> {
        let state = store.state();
        let mut list = Listed::default();
        store.listed(usize::MAX)?.into_iter().for_each(|entry| list.insert(entry));
        let shared = Shared {
            clock,
            pending: Mutex::default(),
            state: Mutex::new(state),
            list: Mutex::new(list),
            next_due: Mutex::new(store.next_due()),
            store,
            changing: Mutex::default(),
            writing: tokio::sync::Mutex::new(()),
        };
        Ok(Ledger { shared: Arc::new(shared) })
    }

    /// What is stored.
    pub fn state(&self) -> Option<State> {
        lock(&self.shared.state).clone()
    }

    /// The name under which this checkpoint's connections are known on the target.
    pub fn name(&self) -> String {
        self.shared.store.name()
    }

    /// The first listed keys, and how many there are.
    pub fn listed(&self, limit: usize) -> (u64, Vec<NotInSync>) {
        let list = lock(&self.shared.list);
        (list.keys.len() as u64, list.first(limit))
    }

    /// How many keys have members that expire through us.
    pub fn scheduled(&self) -> u64 {
        self.shared.store.scheduled_count()
    }

    /// When the first of them is due (ms by the source's clock).
    pub fn next_due(&self) -> Option<u64> {
        *lock(&self.shared.next_due)
    }

    /// The first `limit` keys that are due at `at_ms`.
    ///
    /// # Errors
    /// The store's.
    pub async fn due(&self, at_ms: u64, limit: usize) -> Result<Vec<Scheduled>, Error> {
        self.shared.with_store(move |store| store.due(at_ms, limit)).await
    }

    /// Takes all keys off the schedule, or those of one database of the source.
    ///
    /// # Errors
    /// The store's.
    pub async fn forget_schedule(&self, db: Option<u32>) -> Result<(), Error> {
        if self.scheduled() == 0 {
            return Ok(());
        }
        let _alone = self.shared.writing.lock().await;
        self.shared.with_store(move |store| store.forget_schedule(db)).await?;
        self.shared.look_at_schedule().await;
        Ok(())
    }

    /// The flow under which a key is durably listed, if nothing that is pending or being written changes that.
    pub fn lists(&self, key: &SourceKey) -> Option<u32> {
        if lock(&self.shared.pending).list.contains_key(key) || lock(&self.shared.changing).contains(key) {
            return None;
        }
        lock(&self.shared.list).keys.get(key).map(|why| why.flow)
    }

    /// Writes an entry durably, together with what others want written.
    ///
    /// # Errors
    /// As [`Durable::commit`]; after one the ledger takes no more.
    pub async fn write(&self, entry: Entry) -> Result<(), Arc<Error>> {
        let (sender, receiver) = oneshot::channel();
        self.add(entry, Some(sender));
        self.write_pending();
        receiver.await.unwrap_or_else(|_| panic!("the task that writes the checkpoint answers everyone"))
    }

    /// Adds an entry to the next write without waiting for it.
    pub fn note(&self, entry: Entry) {
        self.add(entry, None);
    }

    fn add(&self, entry: Entry, waiting: Option<oneshot::Sender<Result<(), Arc<Error>>>>) {
        let mut pending = lock(&self.shared.pending);
        pending.edits.extend(entry.edit);
        pending.clean_stop |= entry.clean_stop;
        if entry.clear_list {
            pending.list.clear();
            pending.let_go.clear();
            pending.clear_list = true;
        }
        pending.let_go.extend(entry.let_go);
        for key in entry.remove {
            pending.list.insert(key, None);
        }
        pending.schedule.extend(entry.schedule);
        for listed in entry.add {
            pending.list.insert(name(&listed), Some(listed));
        }
        pending.waiting.extend(waiting);
    }

    /// A task of its own: whoever waits may be interrupted, the write may not.
    fn write_pending(&self) {
        let shared = self.shared.clone();
        tokio::spawn(async move {
            let _alone = shared.writing.lock().await;
            let pending = {
                let mut pending = lock(&shared.pending);
                let listed = lock(&shared.list);
                for key in std::mem::take(&mut pending.let_go) {
                    if listed.keys.get(&key).is_some_and(|why| why.flow == UNCLEAR) {
                        pending.list.entry(key).or_insert(None);
                    }
                }
                drop(listed);
                *lock(&shared.changing) = pending.list.keys().cloned().collect();
                std::mem::take(&mut *pending)
            };
            let Pending { edits, list, clear_list, schedule, clean_stop, waiting, .. } = pending;
            if waiting.is_empty() && edits.is_empty() && list.is_empty() && schedule.is_empty() {
                return;
            }
            let result = shared.commit(edits, list, schedule, clear_list, clean_stop).await;
            lock(&shared.changing).clear();
            let result = result.map_err(Arc::new);
            for waiting in waiting {
                // Whoever does not wait any more does not need the answer.
                let _ = waiting.send(result.clone());
            }
        });
    }
}

impl Shared {
    /// Asks the store something that may take a while.
    async fn with_store<T: Send + 'static>(&self, ask: impl FnOnce(&dyn Durable) -> T + Send + 'static) -> T {
        match self.store.delay() {
            None => {
                let store = self.store.clone();
                blocking(move || ask(&*store)).await
            }
            Some(_) => ask(&*self.store),
        }
    }

    async fn look_at_schedule(&self) {
        let next = self.with_store(|store| store.next_due()).await;
        *lock(&self.next_due) = next;
    }

    async fn write(&self, commit: Commit) -> Result<(), Error> {
        match self.store.delay() {
            None => {
                let store = self.store.clone();
                blocking(move || store.commit(&commit)).await
            }
            Some(delay) => {
                tokio::time::sleep(delay).await;
                self.store.commit(&commit)?;
                tokio::time::sleep(delay).await;
                Ok(())
            }
        }
    }

    async fn commit(
        &self,
        edits: Vec<Edit>,
        list: BTreeMap<SourceKey, Option<NotInSync>>,
        mut schedule: Vec<Planned>,
        clear_list: bool,
        clean_stop: bool,
    ) -> Result<(), Error> {
        let before = lock(&self.state).clone();
        let mut state = before.clone();
        edits.into_iter().for_each(|edit| edit(&mut state));
        if state == before && list.is_empty() && schedule.is_empty() && !clear_list {
            return Ok(());
        }
        let planned = !schedule.is_empty();
        if let Some(state) = &mut state {
            state.updated_at_ms = self.clock.now_ms();
        }
        let mut changes: Vec<(&SourceKey, &Option<NotInSync>)> = list.iter().collect();
        if !schedule.is_empty() && changes.len().max(schedule.len()) > TOGETHER && !clear_list {
            // A key that leaves the schedule is listed before, and one that leaves the list is on the schedule before.
            changes.sort_by_key(|(_, entry)| entry.is_none());
            let listed = changes.partition_point(|(_, entry)| entry.is_some());
            for step in changes[..listed].chunks(TOGETHER) {
                self.write(changed(step)).await?;
            }
            changes.drain(..listed);
            for step in schedule.chunks(TOGETHER) {
                self.write(Commit { schedule: step.to_vec(), ..Commit::default() }).await?;
            }
            schedule.clear();
        }
        // A list that grows or shrinks by very many keys does so in steps, in front of the state: a key may be listed too
        // early, and one whose value is settled may leave early. Emptying it belongs to the state it comes with.
        let last = match clear_list {
            true => changes.as_slice(),
            false => {
                let steps = changes.len().saturating_sub(1) / TOGETHER * TOGETHER;
                for step in changes[..steps].chunks(TOGETHER) {
                    self.write(changed(step)).await?;
                }
                &changes[steps..]
            }
        };
        self.write(Commit { state: state.clone(), clear_list, schedule, clean_stop, ..changed(last) })
            .await?;
        if planned {
            self.look_at_schedule().await;
        }
        *lock(&self.state) = state;
        let mut durable = lock(&self.list);
        if clear_list {
            durable.keys.clear();
        }
        for (key, entry) in list {
            match entry {
                Some(entry) => durable.insert(entry),
                None => {
                    durable.keys.remove(&key);
                }
            }
        }
        Ok(())
    }
}

/// Milliseconds since the Unix epoch, by the machine's clock.
pub fn now_ms() -> u64 {
    Clock::System.now_ms()
}

fn changed(list: &[(&SourceKey, &Option<NotInSync>)]) -> Commit {
    let removed = list.iter().filter(|(_, entry)| entry.is_none());
    Commit {
        add: list.iter().filter_map(|(_, entry)| (*entry).clone()).collect(),
        remove: removed.map(|(key, _)| (key.db, key.key.to_vec())).collect(),
        ..Commit::default()
    }
}

fn name(entry: &NotInSync) -> SourceKey {
    SourceKey { db: entry.db, key: entry.key.clone().into() }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Only whole values are put in or taken out under these locks.
    mutex.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
}

pub(crate) async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        Err(panicked) => std::panic::resume_unwind(panicked.into_panic()),
    }
}

#[cfg(test)]
mod tests;

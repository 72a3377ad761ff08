//! The checkpoint as the engine uses it: one change at a time, off the asynchronous threads.

use std::path::Path;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use checkpoint::{Error, NotInSync, State, Store};
use tokio::sync::Mutex;

/// The open checkpoint.
#[derive(Debug, Clone)]
pub struct Ledger {
    store: Arc<Store>,
    /// What is stored; held while a change is being written, so that changes do not mix.
    state: Arc<Mutex<Option<State>>>,
}

impl Ledger {
    /// Opens the directory.
    ///
    /// # Errors
    /// As [`Store::open`].
    pub async fn open(dir: &Path) -> Result<Ledger, Error> {
        let dir = dir.to_owned();
        let store = blocking(move || Store::open(&dir)).await?;
        let state = store.state();
        Ok(Ledger { store: Arc::new(store), state: Arc::new(Mutex::new(state)) })
    }

    /// What is stored.
    pub async fn state(&self) -> Option<State> {
        self.state.lock().await.clone()
    }

    /// Replaces everything, durably.
    ///
    /// # Errors
    /// As [`Store::write`].
    pub async fn replace(&self, mut state: State) -> Result<(), Error> {
        let mut current = self.state.lock().await;
        state.updated_at_ms = now_ms();
        self.store(&mut current, state).await
    }

    /// Changes what is stored, durably; nothing happens while nothing is stored.
    ///
    /// # Errors
    /// As [`Store::write`].
    pub async fn change(&self, change: impl FnOnce(&mut State)) -> Result<(), Error> {
        let mut current = self.state.lock().await;
        let Some(mut state) = current.clone() else { return Ok(()) };
        change(&mut state);
        if current.as_ref() == Some(&state) {
            return Ok(());
        }
        state.updated_at_ms = now_ms();
        self.store(&mut current, state).await
    }

    async fn store(&self, current: &mut Option<State>, state: State) -> Result<(), Error> {
        let (store, written) = (self.store.clone(), state.clone());
        blocking(move || store.write(&written)).await?;
        *current = Some(state);
        Ok(())
    }

    /// Forgets all keys that are not in sync, together with a new state: what follows writes every key anew.
    ///
    /// # Errors
    /// As [`Store::write_full_sync_done`].
    pub async fn full_sync_begins(&self, mut state: State) -> Result<(), Error> {
        let mut current = self.state.lock().await;
        state.updated_at_ms = now_ms();
        let (store, written) = (self.store.clone(), state.clone());
        blocking(move || store.write_full_sync_done(&written)).await?;
        *current = Some(state);
        Ok(())
    }

    /// Adds keys that are not in sync, durably.
    ///
    /// # Errors
    /// As [`Store::add_not_in_sync`].
    pub async fn add_not_in_sync(&self, keys: Vec<NotInSync>) -> Result<(), Error> {
        let store = self.store.clone();
        blocking(move || store.add_not_in_sync(&keys)).await
    }

    /// The first keys that are not in sync, and how many there are.
    ///
    /// # Errors
    /// As [`Store::not_in_sync`].
    pub async fn not_in_sync(&self, limit: usize) -> Result<(u64, Vec<NotInSync>), Error> {
        let store = self.store.clone();
        blocking(move || Ok((store.not_in_sync_count(), store.not_in_sync(limit)?))).await
    }

    /// How many keys are not in sync.
    pub fn not_in_sync_count(&self) -> u64 {
        self.store.not_in_sync_count()
    }
}

/// Milliseconds since the Unix epoch.
pub fn now_ms() -> u64 {
    // A clock before 1970 is as good as none.
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |d| u64::try_from(d.as_millis()).unwrap_or(u64::MAX))
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        Err(panicked) => std::panic::resume_unwind(panicked.into_panic()),
    }
}

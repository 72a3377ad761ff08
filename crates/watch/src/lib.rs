//! A value that several tasks wait for changes of.
//!
//! It has the names and the meaning of `tokio::sync::watch`, which wakes those that wait in an order that it draws anew in
//! every run. Here they are woken in the order in which they began to wait, so that a schedule of the engine does the same
//! each time it is repeated.
#![cfg_attr(test, allow(clippy::unwrap_used))]

use std::fmt;
use std::ops::Deref;
use std::sync::atomic::{AtomicUsize, Ordering::AcqRel};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard};

use tokio::sync::Notify;

#[derive(Debug)]
struct Shared<T> {
    slot: RwLock<Slot<T>>,
    changed: Notify,
    senders: AtomicUsize,
}

#[derive(Debug)]
struct Slot<T> {
    value: T,
    /// Goes up by one with each change.
    version: u64,
    /// No sender is left.
    closed: bool,
}

impl<T> Shared<T> {
    fn read(&self) -> RwLockReadGuard<'_, Slot<T>> {
        self.slot.read().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Changes the value. The last clone that is dropped ends the waiting.
pub struct Sender<T> {
    shared: Arc<Shared<T>>,
}

/// Sees the value, and waits for changes of it.
pub struct Receiver<T> {
    shared: Arc<Shared<T>>,
    seen: u64,
}

/// The value, which does not change as long as this is kept: not for long.
#[derive(Debug)]
pub struct Ref<'a, T>(RwLockReadGuard<'a, Slot<T>>);

/// No sender is left: the value does not change any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Closed;

impl fmt::Display for Closed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("nobody changes the value any more")
    }
}

impl std::error::Error for Closed {}

impl<T> Deref for Ref<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0.value
    }
}

/// A value, and a first receiver that has seen it.
pub fn channel<T>(value: T) -> (Sender<T>, Receiver<T>) {
    let sender = Sender::new(value);
    let receiver = sender.subscribe();
    (sender, receiver)
}

impl<T> Sender<T> {
    /// A value that nobody waits for yet.
    pub fn new(value: T) -> Self {
        let slot = RwLock::new(Slot { value, version: 0, closed: false });
        Sender { shared: Arc::new(Shared { slot, changed: Notify::new(), senders: AtomicUsize::new(1) }) }
    }

    /// A receiver that has seen the value as it is.
    pub fn subscribe(&self) -> Receiver<T> {
        Receiver { seen: self.shared.read().version, shared: self.shared.clone() }
    }

    /// The value.
    pub fn borrow(&self) -> Ref<'_, T> {
        Ref(self.shared.read())
    }

    /// Replaces the value, and returns the one before.
    pub fn send_replace(&self, value: T) -> T {
        let mut value = value;
        self.send_modify(|slot| std::mem::swap(slot, &mut value));
        value
    }

    /// Changes the value.
    pub fn send_modify(&self, change: impl FnOnce(&mut T)) {
        self.send_if_modified(|value| {
            change(value);
            true
        });
    }

    /// Changes the value, and tells only if `change` says that it did. Returns what it says.
    pub fn send_if_modified(&self, change: impl FnOnce(&mut T) -> bool) -> bool {
        let mut slot = self.shared.slot.write().unwrap_or_else(PoisonError::into_inner);
        let changed = change(&mut slot.value);
        if changed {
            slot.version += 1;
            drop(slot);
            self.shared.changed.notify_waiters();
        }
        changed
    }
}

impl<T> Receiver<T> {
    /// The value.
    pub fn borrow(&self) -> Ref<'_, T> {
        Ref(self.shared.read())
    }

    /// The value, which has been seen now.
    pub fn borrow_and_update(&mut self) -> Ref<'_, T> {
        let slot = self.shared.read();
        self.seen = slot.version;
        Ref(slot)
    }

    /// Whether the value has changed since it was last seen.
    pub fn has_changed(&self) -> bool {
        self.shared.read().version != self.seen
    }

    /// Counts the value as seen.
    pub fn mark_unchanged(&mut self) {
        self.seen = self.shared.read().version;
    }

    /// Waits until the value has changed since it was last seen, and counts it as seen. Cancel-safe.
    ///
    /// # Errors
    /// [`Closed`], when it was seen as it is and no sender is left.
    pub async fn changed(&mut self) -> Result<(), Closed> {
        let seen = self.seen;
        let found = self.until(|slot| slot.version != seen).await;
        self.seen = found?;
        Ok(())
    }

    /// Waits until the value fulfils a condition; the value as it is counts. Cancel-safe.
    ///
    /// # Errors
    /// [`Closed`], when it does not and no sender is left.
    pub async fn wait_for(&mut self, mut condition: impl FnMut(&T) -> bool) -> Result<Ref<'_, T>, Closed> {
        loop {
            self.seen = self.until(|slot| condition(&slot.value)).await?;
            let slot = self.shared.read();
            // It may have changed once more.
            if condition(&slot.value) {
                return Ok(Ref(slot));
            }
        }
    }

    /// Waits for a slot like that, and returns its version.
    async fn until(&self, mut wanted: impl FnMut(&Slot<T>) -> bool) -> Result<u64, Closed> {
        loop {
            let notified = self.shared.changed.notified();
            tokio::pin!(notified);
            // What changes from here on is not missed.
            notified.as_mut().enable();
            {
                let slot = self.shared.read();
                if wanted(&slot) {
                    return Ok(slot.version);
                }
                if slot.closed {
                    return Err(Closed);
                }
            }
            notified.await;
        }
    }
}

impl<T: Default> Default for Sender<T> {
    fn default() -> Self {
        Sender::new(T::default())
    }
}

impl<T> Clone for Sender<T> {
    fn clone(&self) -> Self {
        self.shared.senders.fetch_add(1, AcqRel);
        Sender { shared: self.shared.clone() }
    }
}

impl<T> Drop for Sender<T> {
    fn drop(&mut self) {
        if self.shared.senders.fetch_sub(1, AcqRel) == 1 {
            self.shared.slot.write().unwrap_or_else(PoisonError::into_inner).closed = true;
            self.shared.changed.notify_waiters();
        }
    }
}

impl<T> Clone for Receiver<T> {
    fn clone(&self) -> Self {
        Receiver { shared: self.shared.clone(), seen: self.seen }
    }
}

impl<T: fmt::Debug> fmt::Debug for Sender<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Sender({:?})", self.shared.read().value)
    }
}

impl<T: fmt::Debug> fmt::Debug for Receiver<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Receiver({:?})", self.shared.read().value)
    }
}

#[cfg(test)]
mod tests;

//! The queue itself: one producer, one consumer.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard};

use bytes::Bytes;
use tokio::sync::Notify;

/// The other end is gone: nothing that is pushed can arrive any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Closed;

#[derive(Debug)]
struct State {
    chunks: VecDeque<Bytes>,
    bytes: usize,
    limit: usize,
    ended: bool,
    abandoned: bool,
}

#[derive(Debug)]
struct Shared {
    state: Mutex<State>,
    readable: Notify,
    writable: Notify,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        // A panic while the lock is held cannot leave the queue half-changed: every critical section
        // below only moves whole chunks.
        self.state.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }
}

/// The socket's end.
#[derive(Debug)]
pub struct Sender {
    shared: Arc<Shared>,
}

/// The decoder's end.
#[derive(Debug)]
pub struct Receiver {
    shared: Arc<Shared>,
}

/// A queue that holds at most `limit` bytes, and always at least one chunk, whatever its size.
pub fn channel(limit: usize) -> (Sender, Receiver) {
    let state = State { chunks: VecDeque::new(), bytes: 0, limit, ended: false, abandoned: false };
    let shared =
        Arc::new(Shared { state: Mutex::new(state), readable: Notify::new(), writable: Notify::new() });
    (Sender { shared: shared.clone() }, Receiver { shared })
}

impl Sender {
    /// Appends a chunk, after waiting until there is room for it. An empty queue takes any chunk.
    ///
    /// # Errors
    /// [`Closed`] when the receiver was dropped.
    pub async fn push(&self, chunk: Bytes) -> Result<(), Closed> {
        if chunk.is_empty() {
            return Ok(());
        }
        loop {
            {
                let mut state = self.shared.lock();
                if state.abandoned {
                    return Err(Closed);
                }
                if state.chunks.is_empty() || state.bytes + chunk.len() <= state.limit {
                    state.bytes += chunk.len();
                    state.chunks.push_back(chunk);
                    drop(state);
                    self.shared.readable.notify_one();
                    return Ok(());
                }
            }
            self.shared.writable.notified().await;
        }
    }
}

impl Drop for Sender {
    fn drop(&mut self) {
        self.shared.lock().ended = true;
        self.shared.readable.notify_one();
    }
}

impl Receiver {
    /// The next chunk in order; `None` when the sender is gone and everything was taken.
    ///
    /// Cancel-safe: a chunk is either returned or still in the queue.
    pub async fn pop(&mut self) -> Option<Bytes> {
        loop {
            {
                let mut state = self.shared.lock();
                if let Some(chunk) = state.chunks.pop_front() {
                    state.bytes -= chunk.len();
                    drop(state);
                    self.shared.writable.notify_one();
                    return Some(chunk);
                }
                if state.ended {
                    return None;
                }
            }
            self.shared.readable.notified().await;
        }
    }

    /// The next chunk if one is there already.
    pub fn try_pop(&mut self) -> Option<Bytes> {
        let mut state = self.shared.lock();
        let chunk = state.chunks.pop_front()?;
        state.bytes -= chunk.len();
        drop(state);
        self.shared.writable.notify_one();
        Some(chunk)
    }

    /// Bytes that wait in the queue.
    pub fn bytes(&self) -> usize {
        self.shared.lock().bytes
    }

    /// A handle that tells how full the queue is, and how full it may become.
    pub fn gauge(&self) -> Gauge {
        Gauge { shared: self.shared.clone() }
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        let mut state = self.shared.lock();
        state.abandoned = true;
        state.chunks.clear();
        state.bytes = 0;
        drop(state);
        self.shared.writable.notify_one();
    }
}

/// Looks at a queue from elsewhere, without keeping it open.
#[derive(Debug, Clone)]
pub struct Gauge {
    shared: Arc<Shared>,
}

impl Gauge {
    /// Bytes that wait in the queue.
    pub fn bytes(&self) -> usize {
        self.shared.lock().bytes
    }

    /// Changes the limit (bytes); a waiting [`Sender::push`] looks again.
    pub fn set_limit(&self, limit: usize) {
        self.shared.lock().limit = limit;
        self.shared.writable.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn keeps_the_order_and_ends_after_the_last_chunk() {
        let (tx, mut rx) = channel(10);
        tx.push(Bytes::from_static(b"one")).await.unwrap();
        tx.push(Bytes::from_static(b"two")).await.unwrap();
        drop(tx);
        assert_eq!(rx.pop().await.unwrap(), "one");
        assert_eq!(rx.bytes(), 3);
        assert_eq!(rx.pop().await.unwrap(), "two");
        assert_eq!(rx.pop().await, None);
    }

    #[tokio::test]
    async fn a_full_queue_makes_the_sender_wait_until_the_receiver_takes_something() {
        let (tx, mut rx) = channel(4);
        tx.push(Bytes::from_static(b"1234")).await.unwrap();
        let mut second = tokio_test_task(async move { tx.push(Bytes::from_static(b"5")).await });
        assert!(futures_pending(&mut second).await);
        assert_eq!(rx.pop().await.unwrap(), "1234");
        second.await.unwrap().unwrap();
        assert_eq!(rx.pop().await.unwrap(), "5");
    }

    #[tokio::test]
    async fn an_empty_queue_takes_a_chunk_larger_than_the_limit() {
        let (tx, mut rx) = channel(2);
        tx.push(Bytes::from_static(b"larger")).await.unwrap();
        assert_eq!(rx.pop().await.unwrap(), "larger");
    }

    #[tokio::test]
    async fn a_dropped_receiver_ends_a_waiting_sender() {
        let (tx, rx) = channel(1);
        tx.push(Bytes::from_static(b"x")).await.unwrap();
        let second = tokio_test_task(async move { tx.push(Bytes::from_static(b"y")).await });
        drop(rx);
        assert_eq!(second.await.unwrap(), Err(Closed));
    }

    #[tokio::test]
    async fn raising_the_limit_lets_a_waiting_sender_go_on() {
        let (tx, mut rx) = channel(1);
        tx.push(Bytes::from_static(b"x")).await.unwrap();
        let second = tokio_test_task(async move { tx.push(Bytes::from_static(b"y")).await });
        tokio::task::yield_now().await;
        rx.gauge().set_limit(8);
        second.await.unwrap().unwrap();
        assert_eq!((rx.try_pop().unwrap(), rx.try_pop().unwrap()), ("x".into(), "y".into()));
        assert_eq!(rx.try_pop(), None);
    }

    fn tokio_test_task<F>(future: F) -> tokio::task::JoinHandle<F::Output>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        tokio::spawn(future)
    }

    /// Lets every ready task run, then tells whether `task` still waits.
    async fn futures_pending<T>(task: &mut tokio::task::JoinHandle<T>) -> bool {
        for _ in 0..10 {
            tokio::task::yield_now().await;
        }
        !task.is_finished()
    }
}

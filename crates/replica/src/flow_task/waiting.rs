//! What a flow waits for: input, room, replies, orders, and that the reservation reaches further.

use bytes::Bytes;
use command::SourceKey;
use tokio::time::Duration;

use super::{End, FlowTask, Order, Stored};

/// How often keys under repair are looked at while nothing else happens.
const REPAIR_LOOK: Duration = Duration::from_millis(25);
/// How often the status hears of a flow that waits.
const TELL: Duration = Duration::from_secs(1);
/// A target that answers nothing for so long is what a flow waits for, and not the checkpoint.
const SLOW: Duration = Duration::from_millis(20);
/// Pause between two connections to a node that an earlier one broke to.
const RECONNECT: Duration = Duration::from_millis(100);

impl FlowTask {
    /// Nothing of a record is sent before it is durable that it may have been (repair rule 5).
    pub(super) async fn reserve(&mut self, lsn: u64) -> Result<(), End> {
        if lsn.saturating_add(self.shared.pace.window / 2) < self.stored.reserved {
            return Ok(());
        }
        loop {
            self.stored_now();
            if lsn.saturating_add(self.shared.pace.window / 2) >= self.stored.reserved
                && self.asked_to_extend != self.stored.reserved
            {
                self.asked_to_extend = self.stored.reserved;
                self.tell_position();
                self.shared.checkpoint_due.notify_one();
            }
            if lsn < self.stored.reserved || !self.shared.rules.on(5) {
                return Ok(());
            }
            self.checkpoint_or_event(None).await?;
        }
    }

    /// What is stored stays near what is handed out, so that the source still holds what a new process would ask it for:
    /// where the checkpoint lags, nothing more is handed out until it has caught up. What a target that is slow has not
    /// answered no checkpoint can store, and is not waited for.
    pub(super) async fn stay_near(&mut self) -> Result<(), End> {
        let bound = self.shared.pace.behind;
        loop {
            let early = bound - bound / 4;
            if self.next.saturating_sub(self.stored.applied) < early
                || self.next.saturating_sub(self.stored_now().applied) < early
            {
                return Ok(());
            }
            let Stored { applied: stored, .. } = self.stored;
            let applied = self.router.applied();
            // Once for what was applied then: it is stored with the next write, whatever is being written now.
            if applied > stored && self.pressed_at <= stored {
                self.pressed_at = applied;
                self.publish();
                self.tell_position();
                self.shared.checkpoint_now.notify_one();
            }
            let lags = applied.saturating_sub(stored) > bound / 4;
            if self.next - stored < bound || !lags && self.slow_at == Some(applied) {
                return Ok(());
            }
            if self.checkpoint_or_event((!lags).then_some(SLOW)).await? {
                self.slow_at = Some(self.router.applied());
            }
        }
    }

    /// Waits until something was stored, or answered. Returns whether neither came for that long.
    async fn checkpoint_or_event(&mut self, patience: Option<Duration>) -> Result<bool, End> {
        let mut in_vain = false;
        self.router.flush();
        tokio::select! {
            biased;
            () = stopped(&mut self.channels.stop) => return Err(End::STOPPED),
            changed = self.channels.stored.changed() => {
                // A session that is gone has told this flow to stop.
                changed.map_err(|_| End::STOPPED)?;
            }
            () = self.router.next_event() => {}
            () = tokio::time::sleep(patience.unwrap_or(TELL)) => in_vain = patience.is_some(),
        }
        self.record_doubts().await?;
        self.publish();
        Ok(in_vain)
    }

    /// What the checkpoint has of this flow.
    pub(super) fn stored_now(&mut self) -> Stored {
        self.stored = self.channels.stored.borrow_and_update().get(self.flow).copied().unwrap_or_default();
        self.stored
    }

    /// Waits for the next order.
    pub(super) async fn order(&mut self) -> Result<Order, End> {
        loop {
            tokio::select! {
                biased;
                () = stopped(&mut self.channels.stop) => return Err(End::STOPPED),
                order = self.channels.orders.recv() => return order.ok_or(End::STOPPED),
                () = tokio::time::sleep(TELL) => self.publish(),
            }
        }
    }

    /// The next bytes of the flow; meanwhile replies are dealt with and orders obeyed.
    pub(super) async fn next_chunk(&mut self) -> Result<Bytes, End> {
        self.router.poll();
        self.router.flush();
        self.record_doubts().await?;
        self.step_repairs().await?;
        self.publish();
        while let Ok(order) = self.channels.orders.try_recv() {
            self.obey(order).await?;
        }
        if let Some(chunk) = self.channels.input.try_next().map_err(lost)? {
            // Other flows run on the same threads.
            tokio::task::yield_now().await;
            if *self.channels.stop.borrow() {
                return Err(End::STOPPED);
            }
            return Ok(chunk);
        }
        self.tell_position();
        loop {
            let look = self.has_repairs_to_look_at();
            tokio::select! {
                biased;
                () = stopped(&mut self.channels.stop) => return Err(End::STOPPED),
                () = self.router.next_event() => {
                    self.record_doubts().await?;
                    self.publish();
                }
                Some(order) = self.channels.orders.recv() => {
                    self.obey(order).await?;
                    self.record_doubts().await?;
                    self.router.flush();
                }
                chunk = self.channels.input.next() => match chunk.map_err(lost)? {
                    Some(chunk) => return Ok(chunk),
                    None => {
                        self.settle_all_unless_stopped().await?;
                        self.publish();
                        return Err(End::Input);
                    }
                },
                () = tokio::time::sleep(if look { REPAIR_LOOK } else { TELL }) => self.publish(),
            }
            self.step_repairs().await?;
            self.router.flush();
        }
    }

    /// Waits until `limits.qps` allows the next record or value. Meanwhile replies are dealt with and orders obeyed.
    pub(super) async fn turn(&mut self) -> Result<(), End> {
        while let Some(pause) = self.shared.throttle.pause() {
            self.throttled = true;
            self.router.flush();
            tokio::select! {
                biased;
                () = stopped(&mut self.channels.stop) => return Err(End::STOPPED),
                () = self.router.next_event() => {
                    self.record_doubts().await?;
                    self.publish();
                }
                Some(order) = self.channels.orders.recv() => {
                    self.obey(order).await?;
                    self.record_doubts().await?;
                }
                () = tokio::time::sleep(pause) => self.publish(),
            }
            self.step_repairs().await?;
        }
        self.throttled = false;
        Ok(())
    }

    /// Waits for room for another record's commands.
    pub(crate) async fn room(&mut self) -> Result<(), End> {
        while !self.router.has_room() {
            self.router.flush();
            tokio::select! {
                biased;
                () = stopped(&mut self.channels.stop) => return Err(End::STOPPED),
                () = self.router.next_event() => {}
                // A target that hangs sends no events, and the spool grows meanwhile.
                () = tokio::time::sleep(TELL) => {}
            }
            self.record_doubts().await?;
            self.publish();
        }
        Ok(())
    }

    /// Waits until everything handed out is settled.
    pub(crate) async fn settle_all_unless_stopped(&mut self) -> Result<(), End> {
        let mut stop = self.channels.stop.clone();
        self.settle(stopped(&mut stop)).await
    }

    /// Rule 35: what can be resumed from is only stored when every entry and blob is settled, or its key listed.
    pub(super) async fn settle_snapshot(&mut self) -> Result<(), End> {
        match self.shared.rules.on(35) {
            true => self.settle_all_unless_stopped().await,
            false => Ok(()),
        }
    }

    /// Waits until everything handed out is settled, or [`End::Stopped`] when `interruption` comes first.
    pub(super) async fn settle(&mut self, interruption: impl Future<Output = ()>) -> Result<(), End> {
        tokio::pin!(interruption);
        self.decide();
        self.router.flush();
        loop {
            // Not to be interrupted: what it has taken out of the router it has to hand back.
            self.record_doubts().await?;
            self.take_settled_repairs();
            if self.router.is_quiet() {
                return Ok(());
            }
            tokio::select! {
                biased;
                () = &mut interruption => return Err(End::STOPPED),
                () = self.router.next_event() => self.publish(),
                () = tokio::time::sleep(TELL) => self.publish(),
            }
        }
    }

    /// Waits until no connection that broke can execute anything any more (repair rules 8 and 23).
    pub(super) async fn end_predecessors(&mut self) -> Result<(), End> {
        while self.router.has_predecessors() {
            self.router.reconnect();
            let again = tokio::time::Instant::now() + RECONNECT;
            while self.router.has_predecessors() && tokio::time::Instant::now() < again {
                tokio::select! {
                    biased;
                    () = stopped(&mut self.channels.stop) => return Err(End::STOPPED),
                    () = self.router.next_event() => {}
                    () = tokio::time::sleep_until(again) => {}
                }
                self.record_doubts().await?;
            }
        }
        Ok(())
    }

    pub(super) async fn obey(&mut self, order: Order) -> Result<(), End> {
        match order {
            Order::Fence(answer) => self.fence_answered(answer),
            Order::Repair { keys, cause, reason, done } => {
                self.repair_keys(keys.clone(), cause, reason, None);
                self.leaving.push((keys.into_iter().collect(), done));
                self.tell_left(&[]);
            }
            Order::Unclear { keys, step, done } => {
                let answers = self.step(&keys, step).await?;
                // Whoever does not wait any more has ended.
                let _ = done.send(answers);
            }
            Order::Carry { key, value, done } => self.carry(key, value, done).await?,
            Order::Passed { at, done } => {
                self.passing.push((at, done));
                self.answer_passed();
            }
            Order::BarrierEnds { global, done } => {
                self.router.executed_everywhere();
                let ended = self.end_repairs(&global);
                // A session that has ended does not write it down either.
                let _ = done.send(ended);
            }
            Order::Reconciled => self.known = None,
            // Only sent to a flow that waits for it.
            Order::Go | Order::GlobalDone => {}
        }
        Ok(())
    }

    pub(super) fn answer_passed(&mut self) {
        let next = self.next;
        for (_, done) in self.passing.extract_if(.., |(at, _)| *at <= next) {
            // Whoever does not wait any more has ended.
            let _ = done.send(());
        }
    }

    /// These keys are in a known state again.
    pub(super) fn tell_left(&mut self, left: &[SourceKey]) {
        for (keys, _) in &mut self.leaving {
            left.iter().for_each(|key| {
                keys.remove(key);
            });
        }
        for (_, done) in self.leaving.extract_if(.., |(keys, _)| keys.is_empty()) {
            // Whoever does not wait any more has ended.
            let _ = done.send(());
        }
    }
}

/// What was in the spool comes again from the source, from the last record that was dispatched on.
fn lost(error: spool::Error) -> End {
    End::SpoolLost(error.to_string())
}

/// Waits until the flow shall stop; a session that is gone means the same.
pub(crate) async fn stopped(stop: &mut watch::Receiver<bool>) {
    let _ = stop.wait_for(|stop| *stop).await;
}

//! Everything outside of the engine: connections, target, source, what is due when.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::Poll;
use std::time::Duration;

use checkpoint::Commit;
use simulator::Acceptor;
use tokio::sync::Notify;

use crate::clock::Clock;
use crate::faults::{Due, Profile};
use crate::network::{Conn, ConnId, End, Latency, Place};
use crate::node::Target;
use crate::random::Random;
use crate::source;
use crate::trace::{Telling, Trace};

/// How long the kernel tries to reach a machine that is gone.
const SILENCE_MS: u64 = 15_000;

/// The world of one schedule; clones are the same one.
#[derive(Clone)]
pub(crate) struct World {
    state: Arc<Mutex<State>>,
    pub(crate) clock: Clock,
    /// Told when something becomes due earlier than was known.
    sooner: Arc<Notify>,
    /// Told when the engine's process dies.
    pub(crate) died: Arc<Notify>,
}

/// What changes.
pub(crate) struct State {
    pub(crate) random: Random,
    pub(crate) trace: Trace,
    pub(crate) conns: BTreeMap<ConnId, Conn>,
    pub(crate) target: Target,
    pub(crate) profile: Profile,
    /// The life of the engine that has effects; 0 while it is dead.
    pub(crate) living: u64,
    /// What the process dies of.
    pub(crate) triggers: Triggers,
    /// Where connections to the sources go, by the number of their address.
    pub(crate) sources: Vec<Acceptor>,
    pub(crate) started_ms: u64,
    /// Between two runtimes.
    ending: bool,
    queue: BTreeMap<(u64, u64), Event>,
    next_event: u64,
    next_conn: ConnId,
}

/// Steps of the engine at which its process dies, counted down.
#[derive(Debug, Default)]
pub(crate) struct Triggers {
    /// Bytes written to the target.
    pub(crate) after_bytes: Option<u64>,
    /// Commits of the checkpoint: how many more, and whether the last of them is kept.
    pub(crate) at_commit: Option<(u64, bool)>,
    /// The next commit that takes keys off the list and leaves the reservation as it is.
    pub(crate) at_unlisting: bool,
}

/// What becomes of a write to the checkpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kept {
    Yes,
    /// The process dies behind it.
    AndLast,
    /// The process dies in front of it.
    Never,
}

impl Kept {
    pub(crate) fn is_kept(self) -> bool {
        self != Kept::Never
    }

    pub(crate) fn is_last(self) -> bool {
        self != Kept::Yes
    }
}

/// Something that happens by itself.
#[derive(Debug, Clone)]
pub(crate) enum Event {
    /// Bytes, or the end, arrive at the server's end.
    Up(ConnId),
    /// Bytes, or the end, arrive at the engine's end.
    Down(ConnId),
    /// The engine's end notices that nobody is there any more.
    Break(ConnId),
    /// Keys of the target expire, replicas catch up, files are written.
    Tick,
    /// What the schedule wants done.
    Due(Due),
}

impl World {
    pub(crate) fn new(clock: Clock, mut random: Random, profile: Profile, telling: Telling) -> Self {
        let target = Target::new(&profile, clock.now_ms(), random.fork());
        let state = State {
            random,
            trace: Trace::new(telling),
            conns: BTreeMap::new(),
            target,
            profile,
            living: 0,
            triggers: Triggers::default(),
            sources: Vec::new(),
            started_ms: clock.now_ms(),
            ending: false,
            queue: BTreeMap::new(),
            next_event: 0,
            next_conn: 0,
        };
        World {
            state: Arc::new(Mutex::new(state)),
            clock,
            sooner: Arc::new(Notify::new()),
            died: Arc::new(Notify::new()),
        }
    }

    pub(crate) fn with<R>(&self, f: impl FnOnce(&mut State) -> R) -> R {
        f(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner))
    }

    pub(crate) fn now_ms(&self) -> u64 {
        self.clock.now_ms()
    }

    pub(crate) fn lives(&self, life: u64) -> bool {
        self.with(|state| state.living == life)
    }

    /// Lets time do its work, until the future is dropped. Returns what the schedule wants done.
    pub(crate) async fn next_due(&self) -> Due {
        loop {
            let now = self.now_ms();
            let wait = match self.with(|state| state.run(now)) {
                Ok(due) => return due,
                Err(next) => next.saturating_sub(now),
            };
            tokio::select! {
                biased;
                () = self.sooner.notified() => {}
                () = tokio::time::sleep(Duration::from_millis(wait)) => {}
            }
        }
    }

    /// Puts an event on the list.
    pub(crate) fn schedule(&self, at: u64, event: Event) {
        self.with(|state| state.schedule(at, event));
        self.sooner.notify_one();
    }

    /// Says that the list was added to.
    pub(crate) fn nudge(&self) {
        self.sooner.notify_one();
    }

    pub(crate) fn connect_latency(&self) -> u64 {
        self.with(|state| {
            let latency = state.latency();
            latency.draw(&mut state.random)
        })
    }

    /// How long a write of the checkpoint takes.
    pub(crate) fn commit_latency(&self) -> u64 {
        self.with(|state| state.random.within(0..=state.profile.commit_ms))
    }

    /// A connection to whoever listens at `addr`.
    pub(crate) fn connect(&self, life: u64, addr: &str) -> io::Result<ConnId> {
        let now = self.now_ms();
        let (id, acceptor) = self.with(|state| {
            let source = source::ADDRS.iter().position(|source| *source == addr);
            let acceptor = source.and_then(|at| state.sources.get(at)).filter(|a| a.is_open()).cloned();
            let place = match state.target.listening(addr) {
                Some(server) => Place::Server(server),
                None if acceptor.is_some() => Place::Source,
                None => {
                    state.note(now, "refused", addr.as_bytes(), || format!("connection to {addr}"));
                    return Err(io::Error::from(io::ErrorKind::ConnectionRefused));
                }
            };
            state.next_conn += 1;
            let id = state.next_conn;
            state.conns.insert(id, Conn::new(place, life));
            if let Place::Server(server) = place {
                state.target.accept(server, id);
            }
            state.note(now, "connect", &id.to_le_bytes(), || format!("#{id} to {addr}"));
            Ok((id, acceptor))
        })?;
        if let Some(acceptor) = acceptor {
            acceptor.serve(End { world: self.clone(), id, client: false }, format!("10.0.0.1:{id}"));
        }
        Ok(id)
    }

    /// Bytes go into a connection.
    pub(crate) fn write(&self, id: ConnId, client: bool, buf: &[u8]) -> Poll<io::Result<usize>> {
        let now = self.now_ms();
        let mut died = false;
        let result = self.with(|state| {
            let latency = state.latency();
            let State { conns, random, living, triggers, .. } = &mut *state;
            let Some(conn) = conns.get_mut(&id) else {
                return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
            };
            if !client {
                if conn.client_gone {
                    return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
                }
                let times = conn.down.put(now, buf, latency, random);
                times.into_iter().for_each(|at| state.schedule(at, Event::Down(id)));
                return Poll::Ready(Ok(buf.len()));
            }
            if conn.life != *living {
                return Poll::Pending;
            }
            if conn.place == Place::Source {
                conn.part = conn.part.after(buf);
            }
            let mut taken = buf;
            if let (Some(left), Place::Server(_)) = (&mut triggers.after_bytes, conn.place) {
                let count = taken.len().min(usize::try_from(*left).unwrap_or(usize::MAX));
                taken = &taken[..count];
                *left -= count as u64;
                died = *left == 0;
            }
            // What is written to a server that is gone is lost; the reader learns it soon enough.
            if !conn.server_gone {
                let times = conn.up.put(now, taken, latency, random);
                times.into_iter().for_each(|at| state.schedule(at, Event::Up(id)));
            }
            if died {
                state.die(now);
                return Poll::Pending;
            }
            Poll::Ready(Ok(buf.len()))
        });
        self.sooner.notify_one();
        if died {
            self.died.notify_one();
        }
        result
    }

    /// An end sends nothing more.
    pub(crate) fn shut(&self, id: ConnId, client: bool) {
        let now = self.now_ms();
        self.with(|state| {
            let latency = state.latency();
            let State { conns, random, living, .. } = &mut *state;
            let Some(conn) = conns.get_mut(&id) else { return };
            if client && conn.life != *living {
                return;
            }
            let event = if client { Event::Up(id) } else { Event::Down(id) };
            let pipe = if client { &mut conn.up } else { &mut conn.down };
            let at = pipe.close(now, latency, random);
            state.schedule(at, event);
        });
        self.sooner.notify_one();
    }

    /// The runtime ends, and with it all tasks, in no order: what they do now is seen by nobody.
    pub(crate) fn end_runtime(&self) {
        self.with(|state| state.ending = true);
    }

    /// Another runtime begins.
    pub(crate) fn begin_runtime(&self) {
        self.with(|state| state.ending = false);
    }

    /// An end is gone.
    pub(crate) fn dropped(&self, id: ConnId, client: bool) {
        if self.with(|state| state.ending) {
            return self.with(|state| state.abandoned(id, client));
        }
        self.shut(id, client);
        let now = self.now_ms();
        self.with(|state| {
            let Some(conn) = state.conns.get_mut(&id) else { return };
            if client {
                conn.client_gone = true;
            } else {
                conn.server_gone = true;
            }
            state.note(now, "drop", &id.to_le_bytes(), || format!("#{id} client: {client}"));
            state.forget(id);
        });
    }

    /// The process `life` writes its checkpoint, in which `before` is reserved; `None` if it is dead.
    pub(crate) fn commits(&self, life: u64, commit: &Commit, before: &[u64]) -> Option<Kept> {
        let now = self.now_ms();
        self.with(|state| {
            if state.living != life {
                return None;
            }
            let same = commit.state.as_ref().is_none_or(|s| s.reserved == before);
            let unlisting = state.triggers.at_unlisting && same && !commit.remove.is_empty();
            let kept = match &mut state.triggers.at_commit {
                _ if unlisting => Kept::AndLast,
                None => Kept::Yes,
                Some((0 | 1, true)) => Kept::AndLast,
                Some((0 | 1, false)) => Kept::Never,
                Some((left, _)) => {
                    *left -= 1;
                    Kept::Yes
                }
            };
            let words = || {
                let state = commit.state.as_ref().map(|s| (s.phase, s.reconcile, &s.applied, &s.reserved));
                let names = |key: &[u8]| key.escape_ascii().to_string();
                let add: Vec<_> = commit.add.iter().map(|entry| names(&entry.key)).collect();
                let remove: Vec<_> = commit.remove.iter().map(|(_, key)| names(key)).collect();
                let clear = if commit.clear_list { "list emptied" } else { "" };
                format!("{state:?} +{add:?} -{remove:?} {clear} {kept:?}")
            };
            let applied = commit.state.iter().flat_map(|s| s.applied.iter().chain(&s.reserved));
            let bytes: Vec<u8> = applied.flat_map(|lsn| lsn.to_le_bytes()).collect();
            state.note(now, "commit", &bytes, words);
            Some(kept)
        })
    }

    /// The engine's process dies, now.
    pub(crate) fn die(&self) {
        let now = self.now_ms();
        if self.with(|state| state.die(now)) {
            self.sooner.notify_one();
            self.died.notify_one();
        }
    }
}

impl State {
    pub(crate) fn schedule(&mut self, at: u64, event: Event) {
        self.next_event += 1;
        self.queue.insert((at, self.next_event), event);
    }

    pub(crate) fn latency(&self) -> Latency {
        self.profile.latency
    }

    pub(crate) fn note(&mut self, now: u64, kind: &str, bytes: &[u8], words: impl FnOnce() -> String) {
        self.trace.note(now.saturating_sub(self.started_ms), kind, bytes, words);
    }

    /// Does what is due, up to the first thing that the schedule has to do itself; else tells when to come again.
    fn run(&mut self, now: u64) -> Result<Due, u64> {
        while let Some(entry) = self.queue.first_entry() {
            let at = entry.key().0;
            if at > now {
                return Err(at);
            }
            match entry.remove() {
                Event::Up(id) => self.arrived_up(now, id),
                Event::Down(id) => {
                    if let Some(conn) = self.conns.get_mut(&id) {
                        conn.down.arrive(now);
                    }
                }
                Event::Break(id) => {
                    if let Some(conn) = self.conns.get_mut(&id) {
                        conn.down.break_off();
                    }
                }
                Event::Tick => {
                    crate::node::tick(self, now);
                    self.schedule(now + crate::node::TICK_MS, Event::Tick);
                }
                Event::Due(due) => return Ok(due),
            }
        }
        Err(now + 3_600_000)
    }

    fn arrived_up(&mut self, now: u64, id: ConnId) {
        let Some(conn) = self.conns.get_mut(&id) else { return };
        conn.up.arrive(now);
        if let Place::Server(server) = conn.place {
            let until = conn.stalled_until.max(self.target.stopped_until(server));
            if until > now {
                self.schedule(until, Event::Up(id));
            } else {
                crate::node::serve(self, now, id);
            }
        }
    }

    /// The process is gone: nothing of it has effects any more. Its kernel closes the connections, or the machine is gone
    /// and nobody does; what was written is on its way in any case. Returns whether it lived.
    fn die(&mut self, now: u64) -> bool {
        let life = std::mem::take(&mut self.living);
        if life == 0 {
            // It is dead already.
            return false;
        }
        self.triggers = Triggers::default();
        self.note(now, "crash", &[], || format!("of life {life}"));
        let latency = self.latency();
        let machine = self.random.chance(self.profile.machine_crash);
        let ids: Vec<ConnId> = self.conns.iter().filter(|(_, c)| c.life == life).map(|(id, _)| *id).collect();
        for id in ids {
            let stall = match self.random.chance(self.profile.late_buffers) {
                true => self.random.within(1..=self.profile.late_ms),
                false => 0,
            };
            let Some(conn) = self.conns.get_mut(&id) else { continue };
            conn.client_gone = true;
            conn.stalled_until = now + stall;
            if machine {
                // What its kernel had not sent goes with it.
                let keep = self.random.below(conn.up.flying_bytes() + 1);
                conn.up.lose(keep);
            }
            if !machine || conn.place == Place::Source {
                let at = conn.up.close(now, latency, &mut self.random);
                self.schedule(at, Event::Up(id));
            }
        }
        true
    }

    /// A server's machine is gone: nothing comes from it, and the engine's kernel gives up after a while.
    pub(crate) fn server_vanishes(&mut self, now: u64, id: ConnId) {
        let Some(conn) = self.conns.get_mut(&id) else { return };
        conn.server_gone = true;
        conn.up.lose(0);
        conn.up.arrived.clear();
        self.schedule(now + SILENCE_MS, Event::Break(id));
        self.forget(id);
    }

    /// An end is gone with its runtime.
    fn abandoned(&mut self, id: ConnId, client: bool) {
        let Some(conn) = self.conns.get_mut(&id) else { return };
        match client {
            true => conn.client_gone = true,
            false => conn.server_gone = true,
        }
        self.forget(id);
    }

    /// Removes a connection that nobody has an end of.
    pub(crate) fn forget(&mut self, id: ConnId) {
        if self.conns.get(&id).is_some_and(|conn| conn.client_gone && conn.server_gone) {
            self.conns.remove(&id);
        }
    }

    /// A server closes a connection: nothing more of it is executed.
    pub(crate) fn server_closes(&mut self, now: u64, id: ConnId) {
        let latency = self.latency();
        let Some(conn) = self.conns.get_mut(&id) else { return };
        conn.server_gone = true;
        conn.up.lose(0);
        conn.up.arrived.clear();
        let at = conn.down.close(now, latency, &mut self.random);
        self.schedule(at, Event::Down(id));
        if let Place::Server(server) = self.conns[&id].place {
            self.target.leave(server, id);
        }
        self.forget(id);
    }
}

//! One schedule, from its seed to the comparison.

use std::cell::RefCell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use bytes::Bytes;
use checkpoint::{Durable, Memory, Phase};
use rules::Rules;

use crate::clock::Clock;
use crate::faults::{self, Due, Needs, Profile, Write};
use crate::life::{self, Life};
use crate::node::data::{Data, Entry, Value};
use crate::random::Random;
use crate::source::{self, Source};
use crate::trace::Telling;
use crate::world::{Event, World};

/// How long they have to stay equal.
const STEADY_MS: u64 = 2_500;
/// Between two comparisons.
const COMPARE_MS: u64 = 250;
/// Between two looks whether a master that is taken over from can go.
const LEAVE_MS: u64 = 3;
/// Between two looks for expired keys at the source.
const EXPIRE_MS: u64 = 50;

/// What to run.
#[derive(Debug, Clone)]
pub(crate) struct Plan {
    pub(crate) seed: u64,
    pub(crate) profile: Profile,
    pub(crate) rules: Rules,
    /// How long the two sides may take to become equal when nothing goes wrong any more (milliseconds).
    pub(crate) patience_ms: u64,
    /// What is done with the steps in words.
    pub(crate) telling: Telling,
}

/// What came of it.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) hash: (u64, u64),
    pub(crate) lines: Vec<String>,
    pub(crate) lives: u64,
    pub(crate) virtual_ms: u64,
    /// Records by which the stored `applied` of a flow was behind what was applied, at most.
    pub(crate) behind: u64,
    /// What went wrong.
    pub(crate) failure: Option<String>,
}

thread_local! {
    static PANICS: RefCell<Vec<String>> = const { RefCell::new(Vec::new()) };
}

/// Panics of the engine's tasks end up in the schedule that runs on the thread.
pub(crate) fn catch_panics() {
    use std::sync::Once;
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let previous = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            let running = PANICS.with_borrow_mut(|panics| {
                panics.push(info.to_string());
                RUNNING.get()
            });
            if !running {
                previous(info);
            }
        }));
    });
}

thread_local! {
    static RUNNING: std::cell::Cell<bool> = const { std::cell::Cell::new(false) };
}

struct Run {
    world: World,
    random: Random,
    source: Source,
    profile: Profile,
    rules: Rules,
    patience_ms: u64,
    memory: Memory,
    life: Option<Life>,
    lives: u64,
    ends: Vec<String>,
    quiet_since: Option<u64>,
    equal_since: Option<u64>,
    difference: String,
    behind: u64,
    done: bool,
    restart_source: Option<bool>,
    /// A new replica of the source is due.
    join_source: bool,
}

/// Why a runtime ends.
enum End {
    Crashed,
    Done,
    Failed(String),
}

/// Runs a schedule on this thread.
pub(crate) fn run(plan: &Plan) -> Outcome {
    catch_panics();
    RUNNING.set(true);
    PANICS.with_borrow_mut(Vec::clear);
    let clock = Clock::new();
    let mut random = Random::new(plan.seed);
    let world = World::new(clock.clone(), random.fork(), plan.profile.clone(), plan.telling);
    let mut run = None;
    let failure = loop {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
            .unwrap_or_else(|error| panic!("no runtime: {error}"));
        let living = async {
            clock.resume();
            world.begin_runtime();
            if run.is_none() {
                run = Some(Run::begin(&world, &mut random, plan).await);
            }
            let Some(run) = &mut run else { return End::Done };
            let end = run.go().await;
            if matches!(end, End::Crashed) {
                run.source.drop_connections();
                // The source's tasks end by themselves; those of the engine have no effects any more.
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
            clock.suspend();
            world.end_runtime();
            end
        };
        // What panicked is told below.
        let end = catch_unwind(AssertUnwindSafe(|| runtime.block_on(living)));
        let end = end.unwrap_or_else(|_| End::Failed("a panic".into()));
        if let Some(run) = &mut run {
            run.life = None;
        }
        drop(runtime);
        if let Some(panic) = PANICS.with_borrow_mut(Vec::pop) {
            break Some(format!("panic: {panic}"));
        }
        match end {
            End::Crashed => {}
            End::Done => break None,
            End::Failed(what) => break Some(what),
        }
    };
    RUNNING.set(false);
    let (hash, virtual_ms) = (world.with(|state| state.trace.hash()), clock.elapsed_ms());
    let (lives, behind) = run.map_or((0, 0), |run| (run.lives, run.behind));
    let lines = world.with(|state| std::mem::take(&mut state.trace.lines));
    Outcome { hash, lines, lives, virtual_ms, behind, failure }
}

impl Run {
    async fn begin(world: &World, random: &mut Random, plan: &Plan) -> Run {
        let source = Source::start(world, random.next(), &plan.profile).await;
        let now = world.now_ms();
        world.with(|state| {
            if plan.profile.stale {
                let entry = Entry { value: Value::Text(Bytes::from_static(b"77")), expire_at: None };
                for key in &plan.profile.keys {
                    let shard = state.target.owner(command::slot(key.as_bytes()));
                    state.target.shards[shard].data.insert(Bytes::from_static(key.as_bytes()), entry.clone());
                }
            }
            state.schedule(now, Event::Tick);
            let profile = state.profile.clone();
            profile.plan(state, now);
            state.schedule(now, Event::Due(Due::Start(1)));
        });
        Run {
            world: world.clone(),
            random: random.fork(),
            source,
            profile: plan.profile.clone(),
            rules: plan.rules,
            patience_ms: plan.patience_ms,
            memory: Memory::new("00000000deadbeef"),
            life: None,
            lives: 0,
            ends: Vec::new(),
            quiet_since: None,
            equal_since: None,
            difference: String::new(),
            behind: 0,
            done: false,
            restart_source: None,
            join_source: false,
        }
    }

    /// Goes on until the engine's process dies, or all is over.
    async fn go(&mut self) -> End {
        loop {
            let world = self.world.clone();
            let ended = async {
                match &mut self.life {
                    Some(life) => (&mut life.task).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                biased;
                () = world.died.notified() => {
                    self.start_later();
                    return End::Crashed;
                }
                ended = ended => {
                    // A process that has ended is as good as one that has died: all its connections are closed.
                    let how = match ended {
                        Ok(Ok(finished)) => format!("{finished:?}"),
                        Ok(Err(error)) => format!("error: {error}"),
                        Err(error) => format!("{error}"),
                    };
                    let now = self.world.now_ms();
                    self.world.with(|state| state.note(now, "ended", &[], || how.clone()));
                    self.ends.push(how);
                    if self.ends.len() > 40 {
                        return End::Failed(format!("ends again and again: {:?}", self.ends.last()));
                    }
                    self.world.die();
                }
                due = world.next_due() => {
                    self.act(due);
                    if let Some(keep_data) = self.restart_source.take() {
                        self.source.restart(keep_data).await;
                    }
                    if std::mem::take(&mut self.join_source) {
                        self.source.join().await;
                    }
                    if self.done {
                        return End::Done;
                    }
                    if let Some(since) = self.quiet_since
                        && self.world.now_ms() > since + self.patience_ms
                    {
                        let patience = self.patience_ms;
                        let (last, status) = (self.ends.last(), self.life.as_ref().map(|life| life.status.report()));
                        return End::Failed(format!(
                            "not equal after {patience} ms: {}; last end {last:?}; {status:?}",
                            self.difference
                        ));
                    }
                }
            }
        }
    }

    fn start_later(&mut self) {
        let (now, quiet) = (self.world.now_ms(), self.quiet_since.is_some());
        let pause = if quiet { 10 } else { *self.random.pick(&[3, 10, 100, 700]) };
        let next = self.lives + 1;
        self.world.schedule(now + pause, Event::Due(Due::Start(next)));
    }

    fn act(&mut self, due: Due) {
        let now = self.world.now_ms();
        match due {
            Due::Start(life) => {
                self.lives = life;
                self.world.with(|state| state.note(now, "start", &[], || format!("life {life}")));
                self.life = Some(life::start(&self.world, life, self.rules, &self.memory));
            }
            Due::Write => {
                self.look_behind();
                let mut write = self.random.weighted(&self.profile.writes);
                let key = *self.random.pick(&self.profile.keys);
                for left in (0..self.profile.burst).rev() {
                    self.write(now, key, write);
                    if left > 0 {
                        write = self.random.weighted(&self.profile.writes);
                    }
                }
            }
            Due::Expire => {
                for key in &self.profile.keys {
                    self.source.master().execute(0, &["EXISTS", key]);
                }
                self.world.schedule(now + EXPIRE_MS, Event::Due(Due::Expire));
            }
            Due::Fault(fault) if self.quiet_since.is_none() => {
                let needs = self.world.with(|state| faults::strike(state, now, fault));
                self.world.nudge();
                self.outside(now, needs);
            }
            Due::Fault(_) => {}
            Due::Leave if !self.source.has_left(now) => {
                self.world.schedule(now + LEAVE_MS, Event::Due(Due::Leave));
            }
            Due::Leave => self.join_later(now),
            Due::Promote => {
                self.source.promote();
                self.join_later(now);
            }
            Due::Join => self.join_source = true,
            Due::Quiet => {
                self.world.with(|state| {
                    state.note(now, "quiet", &[], String::new);
                    faults::heal(state);
                });
                self.quiet_since = Some(now);
                self.world.schedule(now + COMPARE_MS, Event::Due(Due::Compare));
            }
            Due::Compare => {
                self.compare(now);
                self.world.schedule(now + COMPARE_MS, Event::Due(Due::Compare));
            }
        }
    }

    fn join_later(&mut self, now: u64) {
        self.world.with(|state| state.note(now, "left", &[], || "the former source is gone".to_owned()));
        let pause = *self.random.pick(&[1, 50, 800]);
        self.world.schedule(now + pause, Event::Due(Due::Join));
    }

    fn write(&mut self, now: u64, key: &'static str, write: Write) {
        let words =
            source::write(self.source.master(), now, key, &self.profile.keys, write, &mut self.random);
        self.world.with(|state| {
            state.note(now, "write", &words.concat(), || {
                words.iter().map(|word| word.escape_ascii().to_string()).collect::<Vec<_>>().join(" ")
            });
        });
    }

    fn outside(&mut self, now: u64, needs: Needs) {
        match needs {
            Needs::Nothing => {}
            Needs::Crash => self.world.die(),
            Needs::Stop => {
                if let Some(life) = &self.life {
                    life.stop.send_replace(true);
                }
            }
            Needs::RestartSource { empty } => {
                self.restart_source = Some(!empty);
            }
            Needs::ShrinkBacklog(records) => self.source.master().faults().shrink_backlog(records),
            Needs::TakeOver => {
                if self.source.take_over(now) {
                    self.world.schedule(now + LEAVE_MS, Event::Due(Due::Leave));
                }
            }
            Needs::Lose(behind) => {
                if self.source.fall_behind() {
                    self.world.schedule(now + behind, Event::Due(Due::Promote));
                }
            }
            Needs::CutSource => self.source.drop_connections(),
        }
    }

    /// How far what is stored is behind what is applied.
    fn look_behind(&mut self) {
        let Some(life) = self.life.as_ref().filter(|_| self.profile.backlog_told) else { return };
        let Some(state) = self.memory.state().filter(|state| state.phase == Phase::Stable) else { return };
        let applied = life.status.flows().into_iter().map(|flow| flow.applied.load(Relaxed));
        let behind = applied.zip(&state.applied).map(|(applied, stored)| applied.saturating_sub(*stored));
        self.behind = self.behind.max(behind.max().unwrap_or(0));
    }

    fn compare(&mut self, now: u64) {
        let source = source::all(self.source.master(), &self.profile.keys);
        let target = self.world.with(|state| state.target.all(now));
        let listed = self.memory.listed_count();
        if source == target && listed == 0 {
            let since = *self.equal_since.get_or_insert(now);
            self.done = now >= since + STEADY_MS.max(self.profile.late_ms + 500);
            return;
        }
        self.equal_since = None;
        self.difference = format!("{listed} keys listed; {}", difference(&source, &target));
    }
}

fn difference(source: &Data, target: &Data) -> String {
    let keys: std::collections::BTreeSet<&Bytes> = source.keys().chain(target.keys()).collect();
    let differing = keys.into_iter().filter(|key| source.get(*key) != target.get(*key));
    let words = differing.map(|key| {
        format!("{}: source {:?}, target {:?}", key.escape_ascii(), source.get(key), target.get(key))
    });
    words.collect::<Vec<_>>().join("; ")
}

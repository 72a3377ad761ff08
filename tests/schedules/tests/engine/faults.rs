//! What may happen in a schedule, and how often.

use simulator::Release;

use crate::network::{Conn, ConnId, Latency, Part, Place};
use crate::node;
use crate::random::Random;
use crate::world::{Event, State};

/// How the target keeps its data over a restart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Keeping {
    Nothing,
    /// A file of writes, on the disk within two seconds.
    AppendOnly,
    /// A file of everything, that often (milliseconds).
    Snapshots(u64),
}

/// A write at the source.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Write {
    Append,
    Incr,
    Push,
    Pop,
    Set,
    SetKeepingTtl,
    Mset,
    Rename,
    Lmove,
    Del,
    ExpireSoon,
    ExpireLate,
    Persist,
    FlushAll,
}

/// Something that goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// The engine's process dies: now, after so many bytes to the target, or at a commit.
    Crash,
    CrashAfterBytes,
    CrashAtCommit,
    /// It is told to stop.
    Stop,
    /// One connection to the target breaks, seen from the engine first, or from the node.
    CutTarget,
    CutTargetAtNode,
    /// One of those connections that write.
    CutLane,
    /// One connection to the source, or all of them.
    CutSource,
    CutSourceAll,
    /// What is on its way comes late.
    Delay,
    /// The same for what the source answers to questions, and for the records of one flow.
    DelayAnswers,
    DelayFlow,
    /// A node executes nothing for a while.
    SlowNode,
    /// A node refuses some writes for a while: for good, or for the moment.
    Refuse,
    RefuseForNow,
    /// A node refuses the next write, and only that.
    RefuseNext,
    /// A node's process ends and comes back with what is on its disk.
    RestartNode,
    Failover,
    /// A replica falls behind.
    LagReplica,
    MoveSlot,
    /// The same key by key, with ASK and TRYAGAIN meanwhile.
    MigrateSlot,
    /// The source starts again, with its data or without.
    RestartSource,
    RestartSourceEmpty,
    /// It keeps only a few records.
    ShrinkBacklog,
    /// A replica takes over from it, with everything or with what it had a moment before.
    TakeOverSource,
    LoseSource,
    /// The engine's process dies when its checkpoint takes keys off the list and leaves the reservation as it is.
    CrashAtUnlisting,
}

/// What the schedule does itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Due {
    Write,
    Fault(Fault),
    /// The engine's process is started.
    Start(u64),
    /// The source looks for keys that have expired.
    Expire,
    /// Whether the master that was taken over from can go; the replica that is behind takes over; a new one comes.
    Leave,
    Promote,
    Join,
    /// Nothing more goes wrong.
    Quiet,
    /// Source and target are compared.
    Compare,
}

/// What a schedule is drawn from.
#[derive(Debug, Clone)]
pub(crate) struct Profile {
    /// Shards of the target cluster; 0 is one server.
    pub(crate) shards: usize,
    pub(crate) replicas: bool,
    pub(crate) keeping: Keeping,
    /// How wrong the target's clocks may be.
    pub(crate) skew_ms: u64,
    pub(crate) replica_lag_ms: u64,
    pub(crate) latency: Latency,
    /// Of the processes that die, how many out of a hundred take their machine along.
    pub(crate) machine_crash: u64,
    /// Of the connections of a process that is gone, how many out of a hundred are read late, and how late.
    pub(crate) late_buffers: u64,
    pub(crate) late_ms: u64,
    /// How long a write of the checkpoint takes at most.
    pub(crate) commit_ms: u64,
    /// How long faults happen.
    pub(crate) active_ms: u64,
    /// Between two writes at the source.
    pub(crate) pause_ms: u64,
    /// How many come together, all to the same key.
    pub(crate) burst: usize,
    pub(crate) keys: Vec<&'static str>,
    pub(crate) writes: Vec<(Write, u64)>,
    pub(crate) faults: Vec<(Fault, u64)>,
    /// How many faults.
    pub(crate) count: usize,
    /// Records that the source keeps per flow.
    pub(crate) backlog: usize,
    /// Whether the engine is told how many those are.
    pub(crate) backlog_told: bool,
    /// How far the engine's reservation goes ahead (records), if not as far as it likes.
    pub(crate) window: Option<u64>,
    /// Keys of an earlier time on the target.
    pub(crate) stale: bool,
    /// What the source is.
    pub(crate) release: Release,
    /// It has a replica.
    pub(crate) standby: bool,
}

/// Two tags, so that pairs of keys share a slot and others do not.
pub(crate) const KEYS: [&str; 6] = ["{a}1", "{b}1", "{a}2", "{b}2", "x", "y"];

/// Every write.
pub(crate) const WRITES: &[(Write, u64)] = &[
    (Write::Append, 20),
    (Write::Incr, 10),
    (Write::Push, 20),
    (Write::Pop, 10),
    (Write::Set, 6),
    (Write::SetKeepingTtl, 2),
    (Write::Mset, 4),
    (Write::Rename, 6),
    (Write::Lmove, 5),
    (Write::Del, 4),
    (Write::ExpireSoon, 4),
    (Write::ExpireLate, 4),
    (Write::Persist, 3),
    (Write::FlushAll, 1),
];

/// Every fault.
pub(crate) const FAULTS: &[(Fault, u64)] = &[
    (Fault::Crash, 12),
    (Fault::CrashAfterBytes, 8),
    (Fault::CrashAtCommit, 8),
    (Fault::Stop, 4),
    (Fault::CutTarget, 12),
    (Fault::CutTargetAtNode, 8),
    (Fault::CutSource, 10),
    (Fault::CutSourceAll, 6),
    (Fault::Delay, 12),
    (Fault::SlowNode, 8),
    (Fault::Refuse, 8),
    (Fault::RefuseForNow, 6),
    (Fault::RestartNode, 8),
    (Fault::Failover, 10),
    (Fault::LagReplica, 6),
    (Fault::MoveSlot, 6),
    (Fault::RestartSource, 2),
    (Fault::RestartSourceEmpty, 1),
    (Fault::ShrinkBacklog, 1),
];

/// Those of half of the schedules: the other half stay what they were before these were added.
pub(crate) const MORE_FAULTS: &[(Fault, u64)] = &[
    (Fault::DelayAnswers, 8),
    (Fault::DelayFlow, 8),
    (Fault::MigrateSlot, 14),
    (Fault::TakeOverSource, 8),
    (Fault::LoseSource, 3),
    (Fault::CrashAtUnlisting, 4),
];

impl Profile {
    /// A little of everything.
    pub(crate) fn any(random: &mut Random) -> Self {
        let mut profile = Profile::some(random);
        if random.chance(50) {
            profile.faults.extend(MORE_FAULTS);
            profile.standby = true;
            if !random.chance(80) {
                profile.release = Release::V1_34;
            }
        }
        profile.backlog_told = random.chance(50);
        profile
    }

    fn some(random: &mut Random) -> Self {
        let keys = 2 + random.below(KEYS.len() - 1);
        Profile {
            shards: random.below(4),
            replicas: random.chance(60),
            keeping: *random.pick(&[
                Keeping::Nothing,
                Keeping::AppendOnly,
                Keeping::Snapshots(1000),
                Keeping::Snapshots(3000),
            ]),
            skew_ms: *random.pick(&[0, 5, 50, 300]),
            replica_lag_ms: *random.pick(&[0, 20, 500]),
            latency: Latency {
                min_ms: 0,
                max_ms: *random.pick(&[0, 3, 20, 60]),
                split: *random.pick(&[0, 10, 40]),
            },
            machine_crash: 20,
            late_buffers: 30,
            late_ms: 1500,
            commit_ms: *random.pick(&[0, 2, 30]),
            active_ms: random.within(800..=4000),
            pause_ms: *random.pick(&[5, 15, 40, 100]),
            burst: 1,
            keys: KEYS[..keys].to_vec(),
            writes: WRITES.to_vec(),
            faults: FAULTS.to_vec(),
            count: 1 + random.below(5),
            backlog: if random.chance(85) { 8192 } else { 20 },
            backlog_told: false,
            window: None,
            stale: random.chance(10),
            release: Release::V1_40,
            standby: false,
        }
    }

    /// What happens when, from `now` on.
    pub(crate) fn plan(&self, state: &mut State, now: u64) {
        let end = now + self.active_ms;
        let random = &mut state.random.fork();
        let mut at = now;
        while at < end {
            state.schedule(at, Event::Due(Due::Write));
            at += random.within(0..=2 * self.pause_ms);
        }
        for _ in 0..self.count {
            let at = now + random.within(0..=self.active_ms);
            let fault = random.weighted(&self.faults);
            state.schedule(at, Event::Due(Due::Fault(fault)));
        }
        state.schedule(end, Event::Due(Due::Quiet));
        state.schedule(now, Event::Due(Due::Expire));
    }
}

/// What a fault needs from outside.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Needs {
    Nothing,
    Crash,
    Stop,
    RestartSource {
        empty: bool,
    },
    ShrinkBacklog(usize),
    CutSource,
    TakeOver,
    /// Milliseconds that the replica is behind.
    Lose(u64),
}

/// Does what can be done in here, and says what has to be done outside.
pub(crate) fn strike(state: &mut State, now: u64, fault: Fault) -> Needs {
    let mut random = state.random.fork();
    let random = &mut random;
    state.note(now, "fault", &[], || format!("{fault:?}"));
    let shard = random.below(state.target.shards.len());
    let away = *random.pick(&[1, 50, 400, 1500]);
    match fault {
        Fault::Crash => return Needs::Crash,
        Fault::CrashAfterBytes => state.triggers.after_bytes = Some(random.within(1..=400)),
        Fault::CrashAtCommit => state.triggers.at_commit = Some((random.within(1..=4), random.chance(50))),
        Fault::Stop => return Needs::Stop,
        Fault::CutTarget | Fault::CutTargetAtNode => {
            if let Some(id) = some(state, random, |place| place != Place::Source) {
                cut(state, now, id, fault == Fault::CutTargetAtNode, random);
            }
        }
        Fault::CutLane => {
            let writes = |conn: &Conn| {
                conn.wrote && conn.life == state.living && !conn.client_gone && !conn.server_gone
            };
            let ids: Vec<ConnId> = state.conns.iter().filter(|(_, c)| writes(c)).map(|(id, _)| *id).collect();
            if !ids.is_empty() {
                cut(state, now, *random.pick(&ids), false, random);
            }
        }
        Fault::CutSource => {
            if let Some(id) = some(state, random, |place| place == Place::Source) {
                cut(state, now, id, random.chance(50), random);
            }
        }
        Fault::CutSourceAll => return Needs::CutSource,
        Fault::Delay => {
            if let Some(id) = some(state, random, |_| true) {
                let by = random.within(10..=800);
                let up = random.chance(50);
                delay(state, now, id, up, by);
            }
        }
        Fault::DelayAnswers => {
            let by = random.within(10..=2000);
            let side = |conn: &Conn| conn.place == Place::Source && conn.part == Part::Side;
            let ids: Vec<ConnId> = state.conns.iter().filter(|(_, c)| side(c)).map(|(id, _)| *id).collect();
            ids.into_iter().for_each(|id| delay(state, now, id, false, by));
        }
        Fault::DelayFlow => {
            let by = random.within(10..=2000);
            let flows = |conn: &Conn| conn.part == Part::Flow && conn.life == state.living;
            let ids: Vec<ConnId> = state.conns.iter().filter(|(_, c)| flows(c)).map(|(id, _)| *id).collect();
            if !ids.is_empty() {
                delay(state, now, *random.pick(&ids), false, by);
            }
        }
        Fault::SlowNode => {
            let server = state.target.shards[shard].master;
            state.target.servers[server].stopped_until = now + random.within(20..=1500);
        }
        Fault::Refuse => {
            let line = random.pick(&[
                "WRONGTYPE Operation against a key holding the wrong kind of value",
                "ERR refused by the schedule",
                "OOM command not allowed when used memory > 'maxmemory'.",
            ]);
            let until = now + random.within(5..=300);
            state.target.shards[shard].refusing = Some((until, *random.pick(&[20, 50, 100]), line));
        }
        Fault::RefuseNext => state.target.shards[shard].refuse_next = true,
        Fault::RefuseForNow => {
            let line = random.pick(&[
                "LOADING Redis is loading the dataset in memory",
                "CLUSTERDOWN The cluster is down",
                "TRYAGAIN Multiple keys request during rehashing of slot",
                "MISCONF Redis is configured to save RDB snapshots",
            ]);
            state.target.shards[shard].refusing = Some((now + random.within(5..=500), 100, line));
        }
        Fault::RestartNode => node::restart(state, now, shard, away),
        Fault::Failover => node::failover(state, now, shard, away),
        Fault::LagReplica => {
            let ms = *random.pick(&[0, 300, 3000]);
            state.target.shards[shard].lag(ms);
        }
        Fault::MoveSlot => {
            let key = *random.pick(&state.profile.keys);
            node::move_slot(state, now, command::slot(key.as_bytes()), shard);
        }
        Fault::MigrateSlot => {
            let key = *random.pick(&state.profile.keys);
            let until = now + random.within(50..=1000);
            node::migrate_slot(state, now, command::slot(key.as_bytes()), shard, until);
        }
        Fault::CrashAtUnlisting => state.triggers.at_unlisting = true,
        Fault::TakeOverSource => return Needs::TakeOver,
        Fault::LoseSource => return Needs::Lose(random.within(0..=60)),
        Fault::RestartSource => return Needs::RestartSource { empty: false },
        Fault::RestartSourceEmpty => return Needs::RestartSource { empty: true },
        Fault::ShrinkBacklog => return Needs::ShrinkBacklog(random.below(20)),
    }
    Needs::Nothing
}

/// Nothing goes wrong any more.
pub(crate) fn heal(state: &mut State) {
    state.triggers = Default::default();
    for shard in &mut state.target.shards {
        shard.refusing = None;
        shard.refuse_next = false;
        shard.lag(0);
    }
    for server in &mut state.target.servers {
        server.stopped_until = 0;
        if server.down_until > 0 {
            server.down_until = 1;
        }
    }
}

fn some(state: &State, random: &mut Random, wanted: impl Fn(Place) -> bool) -> Option<ConnId> {
    let living = state.conns.iter().filter(|(_, conn)| {
        conn.life == state.living && !conn.client_gone && !conn.server_gone && wanted(conn.place)
    });
    let ids: Vec<ConnId> = living.map(|(id, _)| *id).collect();
    if ids.is_empty() { None } else { Some(*random.pick(&ids)) }
}

/// What is on its way comes later by so much, and what follows comes behind it.
fn delay(state: &mut State, now: u64, id: ConnId, up: bool, by: u64) {
    let Some(conn) = state.conns.get_mut(&id) else { return };
    let pipe = if up { &mut conn.up } else { &mut conn.down };
    for at in pipe.delay(now, by) {
        state.schedule(at, if up { Event::Up(id) } else { Event::Down(id) });
    }
}

/// The replication brings nothing for so long, while questions are answered.
pub(crate) fn delay_replication(state: &mut State, now: u64, by: u64) {
    state.note(now, "late", &[], || format!("records and ends, by {by} ms"));
    let replicates = |conn: &Conn| conn.place == Place::Source && conn.part != Part::Side;
    let ids: Vec<ConnId> = state.conns.iter().filter(|(_, c)| replicates(c)).map(|(id, _)| *id).collect();
    ids.into_iter().for_each(|id| delay(state, now, id, false, by));
}

/// Breaks a connection. Whatever side notices first, some of what is on its way to the other arrives, sooner or later.
fn cut(state: &mut State, now: u64, id: ConnId, at_server: bool, random: &mut Random) {
    state.note(now, "cut", &id.to_le_bytes(), || format!("#{id} at the server's end: {at_server}"));
    let profile = &state.profile;
    let late = if random.chance(profile.late_buffers) { random.within(1..=profile.late_ms) } else { 0 };
    let latency = state.latency();
    let Some(conn) = state.conns.get_mut(&id) else { return };
    let (up, down) = (conn.up.flying_bytes(), conn.down.flying_bytes());
    conn.down.lose(random.below(down + 1));
    if at_server && matches!(conn.place, Place::Server(_)) {
        state.server_closes(now, id);
        return;
    }
    if matches!(conn.place, Place::Server(_)) {
        // What has arrived is executed, and so is a part of what has not.
        conn.up.lose(random.below(up + 1));
        conn.stalled_until = now + late;
        let at = conn.up.close(now, latency, random);
        state.schedule(at.max(now + late), Event::Up(id));
        state.schedule(now, Event::Break(id));
        return;
    }
    conn.up.lose(random.below(up + 1));
    conn.up.break_off();
    let at = conn.down.close(now, latency, random);
    state.schedule(at, Event::Down(id));
    state.schedule(at + 1, Event::Break(id));
}

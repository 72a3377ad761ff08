//! One source, one target and one daemon, and rounds of kills.

use std::time::Duration;

use scenarios::program::{Df2redis, Settings, number};
use scenarios::servers::{Link, next_lsns};
use scenarios::source::Source;
use scenarios::target::Target;
use scenarios::wait;
use scenarios::workload::{Mode, Options, Rng, Workload};
use serde_json::Value;

use crate::faults::{self, Variant};

pub(crate) const READY: Duration = Duration::from_secs(60);

/// How long the last records of a round may take: all of them may be in the spool.
const APPLIED: Duration = Duration::from_secs(180);

/// Shards of the source.
pub(crate) const SHARDS: usize = 2;

/// Clients that write at the same time, to the same keys.
const WRITERS: u64 = 4;

/// How soon the service manager starts it again (`RestartSec` of the unit).
const RESTART: Duration = Duration::from_secs(1);

/// How often it is killed in a round. Three rounds make a run in CI, a soak has more.
const KILLS: u32 = 10;

/// Memory that no run may need; what waits in the spool is far less.
const MEMORY: u64 = 400 << 20;

/// The checkpoint is at most this many records behind when the daemon is killed at the full rate. With 5 000 more in the
/// second until it is started again that leaves a quarter of the default backlog, 8 192, for the start itself.
const NEAR: u64 = 1_200;

/// How the kills of a round are timed.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Timing {
    /// At any moment, while it starts as well, and started again after up to a second.
    Any,
    /// As often as the master's default backlog allows: down for a full second each time, at 5 000 writes a second and
    /// shard, whenever the status says that the source still holds what a new process would ask for.
    DefaultBacklog,
}

impl Timing {
    /// Writes a second, all clients.
    pub(crate) fn rate(self) -> u32 {
        match self {
            Timing::Any => 2_000,
            Timing::DefaultBacklog => 5_000 * SHARDS as u32,
        }
    }
}

/// What happened, over all rounds.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    pub(crate) kills: u32,
    pub(crate) cuts: u32,
    pub(crate) flushes: u32,
    pub(crate) broken_links: u32,
    pub(crate) failovers: u32,
    pub(crate) partial_syncs: u32,
    pub(crate) full_syncs: u64,
    pub(crate) repaired: u64,
    pub(crate) peak: u64,
    pub(crate) records: u64,
}

/// Whether the target has everything below these LSNs.
pub(crate) fn applied(status: &Value, ends: &[u64]) -> bool {
    let flows = status["flows"].as_array().unwrap();
    flows.iter().zip(ends).all(|(flow, end)| number(flow, "applied_lsn") >= *end)
}

/// Everything that takes part.
pub(crate) struct Scene {
    pub(crate) source: Source,
    pub(crate) target: Target,
    pub(crate) program: Df2redis,
    pub(crate) rng: Rng,
    pub(crate) tally: Tally,
    link: Link,
    variant: Variant,
}

impl Scene {
    /// `start` gives the daemon its settings.
    pub(crate) fn new(
        source: Source,
        variant: Variant,
        seed: u64,
        start: impl FnOnce(Settings) -> Df2redis,
    ) -> Scene {
        let target = variant.target();
        let link = Link::to(&source.addr());
        // The interval of the default configuration: nothing is made easier for the checkpoint.
        let level = std::env::var("KILL_LOOP_LOG").unwrap_or_else(|_| "info".into());
        let settings = target.settings(&source).unset("checkpoint.interval").set("logging.level", level);
        let settings = match variant.links() {
            true => settings.set("source.addr", link.addr()),
            false => settings,
        };
        let program = start(settings);
        Scene { source, target, program, rng: Rng::new(seed), tally: Tally::default(), link, variant }
    }

    /// Writers with their own seeds, which together keep a rate.
    pub(crate) fn writers(&mut self, rate: u32) -> Vec<Workload> {
        let (few, many) = match self.variant {
            // Few keys that are in doubt all the time, and many that are in doubt once: there no later repair hides what an
            // earlier one has missed.
            Variant::Plain => (100, 3_000),
            _ => (100, 10_000),
        };
        let writer = |number| {
            let options = Options::new(Mode::Counting, self.rng.bits());
            let keys = if number == 0 { few } else { many };
            let rate = Some(rate / WRITERS as u32);
            Workload::start(&self.source.endpoint(), Options { keys, dbs: vec![0, 1], rate, ..options })
        };
        (0..WRITERS).map(writer).collect()
    }

    /// Kills it over and over, and compares in the end.
    pub(crate) fn round(&mut self, timing: Timing) {
        let writers = self.writers(timing.rate());
        let until = self.tally.kills + KILLS;
        while self.tally.kills < until {
            // Half-way through the time that it lives, some nodes lose their connections.
            let before = Duration::from_millis(self.rng.below(400));
            let live = Duration::from_millis(self.rng.below(800));
            let down = match timing {
                Timing::Any => Duration::from_millis(self.rng.below(1_000)),
                Timing::DefaultBacklog => RESTART,
            };
            match timing {
                // It is still about to start.
                Timing::Any if self.rng.chance(25) => wait::pace(live),
                _ => {
                    self.resumed();
                    // Where the source's backlog decides. Else it is killed in the middle of whatever it does.
                    let near = matches!(timing, Timing::DefaultBacklog);
                    if near {
                        self.settled();
                    }
                    wait::pace(before);
                    self.disturb();
                    if self.rng.chance(60) {
                        self.cut();
                    }
                    wait::pace(live.saturating_sub(before));
                    if near {
                        self.settled();
                    }
                    self.note();
                }
            }
            self.program.kill();
            self.tally.kills += 1;
            if self.rng.chance(30) {
                self.disturb();
            }
            wait::pace(down);
            self.program.again();
        }
        self.resumed();
        self.cut();
        for writer in writers {
            let report = writer.stop();
            report.assert_no_surprise();
            self.tally.records += report.commands;
        }
        let ends = next_lsns(&mut self.source.client());
        // Says what it waits for if it does not come.
        self.program.wait_until(APPLIED, "everything to be applied", |status| applied(status, &ends));
        self.target.assert_equal(&self.source);
        self.program.wait_until(READY, "the last repair to end", |status| {
            number(status, "not_in_sync_count") == 0 && number(&status["repair"], "keys") == 0
        });
        self.note();
    }

    /// Kills the connections to a node of the target.
    pub(crate) fn cut(&mut self) {
        faults::cut(&self.target, &mut self.rng);
        self.tally.cuts += 1;
    }

    /// Some of what the variant has.
    fn disturb(&mut self) {
        if self.variant.flushes() && self.rng.chance(50) {
            faults::flush(&self.source, &mut self.rng);
            self.tally.flushes += 1;
        }
        if self.variant.links() && self.rng.chance(60) {
            faults::break_links(&self.link, &mut self.rng);
            self.tally.broken_links += 1;
        }
        if self.variant.failovers() && self.rng.chance(50) {
            faults::fail_over(&self.target, &mut self.rng);
            self.tally.failovers += 1;
        }
    }

    /// It runs again, and has resumed where the one before ended.
    fn resumed(&mut self) {
        self.program.wait_ready(READY);
        let status = self.program.status().unwrap();
        let full = number(&status, "full_syncs");
        // Two changes of a node's role before one was seen may end in a full sync.
        if full > 0 && self.tally.kills > 0 && !self.variant.failovers() {
            panic!("kill {}: a full sync: {status}\n{}", self.tally.kills, self.program.output());
        }
        self.tally.full_syncs += full;
        self.tally.partial_syncs += u32::from(number(&status, "partial_syncs") > 0);
    }

    /// What a new process would ask for is near enough that the source still holds it after a restart.
    fn settled(&mut self) {
        self.program.wait_until(READY, "the checkpoint to come near the source", |status| {
            number(&status["crash"], "records_behind") < NEAR
        });
    }

    fn note(&mut self) {
        let status = self.program.status().unwrap();
        self.tally.repaired += number(&status["repair"], "done");
        self.tally.peak = self.tally.peak.max(self.program.peak_resident_bytes().unwrap_or(0));
        assert!(self.tally.peak < MEMORY, "{} bytes resident: {status}", self.tally.peak);
    }
}

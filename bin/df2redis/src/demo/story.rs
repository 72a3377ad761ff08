//! What happens, in order.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use simulator::{Handle, Simulator};
use tempfile::TempDir;
use tokio::time::sleep;

use super::client::{self, Writer};
use super::cluster::{self, Cluster};
use super::compare::compare;
use super::data;
use super::ports::Ports;
use super::replicator::Replicator;
use super::{Told, indented};
use crate::output::{number, say};

const SHARDS: usize = 4;
/// Records that the source keeps per shard: many more than are written while the replicator is away.
const BACKLOG: usize = 100_000;
/// How long a step of the replicator may take.
const PATIENCE: Duration = Duration::from_secs(30);
/// How long writes go on before and after the kill.
const UNDER_WRITES: Duration = Duration::from_secs(2);
/// How long the replicator is away.
const AWAY: Duration = Duration::from_secs(1);

/// What has to be gone in the end.
#[derive(Debug)]
pub(crate) struct Stage {
    // Dropped in this order: processes first, then the directory that they write into.
    replicator: Option<Replicator>,
    cluster: Cluster,
    source: Option<Handle>,
    dir: TempDir,
}

impl Stage {
    /// Nothing runs yet.
    pub(crate) fn new() -> Result<Stage> {
        let dir =
            tempfile::Builder::new().prefix("df2redis-demo-").tempdir().context("no temporary directory")?;
        Ok(Stage { replicator: None, cluster: Cluster::default(), source: None, dir })
    }

    /// The last lines of the replicator's log.
    pub(crate) fn log(&self) -> Option<String> {
        self.replicator.as_ref().map(Replicator::log).filter(|log| !log.is_empty())
    }

    /// Ends every process and removes the directory.
    pub(crate) async fn clean_up(mut self) {
        if let Some(replicator) = &mut self.replicator {
            replicator.kill().await;
        }
        self.cluster.kill().await;
        if let Some(source) = self.source.take() {
            source.stop().await;
        }
        if let Err(error) = self.dir.close() {
            say(&format!("a temporary directory is left: {error}\n"));
        }
    }
}

/// Tells it. The writer ends with it, whatever happens.
pub(crate) async fn tell(told: &Told, stage: &mut Stage) -> Result<()> {
    // Known before anything is started.
    cluster::version().await?;
    let mut ports = Ports::new();
    let (source, addr) = start_source(told).await?;
    let source = stage.source.insert(source);
    stage.cluster.start(stage.dir.path(), &mut ports).await?;
    let masters = stage.cluster.addrs();
    told.line(format!("target: a Redis Cluster {}, masters {}", stage.cluster.version(), masters.join(", ")));

    let replicator = Replicator::new(stage.dir.path(), &addr, &masters, ports.free()?)?;
    let replicator = stage.replicator.insert(replicator);
    let writer = Writer::start(&addr).await?;
    told.line("a client writes to the source from now on, without a pause");
    full_sync(told, replicator, &writer).await?;
    sleep(UNDER_WRITES).await;
    told.line(replicator.command("status"));
    say(&indented(&replicator.status_page().await?));

    kill_and_restart(told, replicator, source, &writer).await?;
    sleep(UNDER_WRITES).await;
    let written = writer.stop().await?;
    told.line(format!("stopped the client after {} writes", number(written)));
    catch_up(told, replicator, source).await?;
    replicator.terminate().await?;
    told.line("SIGTERM: the replicator stored its position and ended with exit code 0");
    judge(told, &addr, &masters).await
}

async fn start_source(told: &Told) -> Result<(Handle, String)> {
    let source = Simulator::builder().shards(SHARDS).backlog(BACKLOG).start().await?;
    let addr = source.addr().to_string();
    told.line(format!("source: a simulated Dragonfly 1.40 at {addr}, {SHARDS} shards"));
    client::load(&addr).await?;
    told.line(format!("loaded {} keys: {}", number(client::count(&addr).await?), data::MADE));
    Ok((source, addr))
}

async fn full_sync(told: &Told, replicator: &mut Replicator, writer: &Writer) -> Result<()> {
    let before = writer.written();
    told.line(replicator.command("replicate"));
    replicator.start()?;
    let report = replicator.wait("stable sync", PATIENCE, |report| report.ready).await?;
    told.line(format!(
        "full sync done: {} keys over {} flows, while {} writes arrived; now the journal is followed",
        number(report.keys),
        report.flows.len(),
        number(writer.written() - before)
    ));
    Ok(())
}

async fn kill_and_restart(
    told: &Told,
    replicator: &mut Replicator,
    source: &Handle,
    writer: &Writer,
) -> Result<()> {
    replicator.kill().await;
    let before = writer.written();
    told.line("killed the replicator (SIGKILL) in the middle of the writes");
    sleep(AWAY).await;
    told.line(format!("{} writes later: started again", number(writer.written() - before)));
    replicator.start()?;
    let report = replicator.wait("stable sync after the restart", PATIENCE, |report| report.ready).await?;
    ensure!(
        (report.full_syncs, report.partial_syncs, source.full_syncs()) == (0, 1, 1),
        "the restart should have been a partial sync: {}",
        report.last_full_sync_reason
    );
    told.line("PARTIAL sync: it went on from the stored LSNs, without a second snapshot");
    Ok(())
}

async fn catch_up(told: &Told, replicator: &mut Replicator, source: &Handle) -> Result<()> {
    let lsns = source.lsns();
    let report = replicator
        .wait("the last write on the target", PATIENCE, |report| {
            // What was in doubt after the kill is applied once it is on the list, and equal once it has left it.
            let applied = report.flows.iter().map(|flow| flow.applied_lsn).eq(lsns.iter().copied());
            applied && report.not_in_sync_count == 0 && report.repair.keys == 0
        })
        .await?;
    told.line(format!(
        "caught up: {} records since the restart, {} keys not in sync",
        number(report.records),
        number(report.not_in_sync_count)
    ));
    Ok(())
}

async fn judge(told: &Told, source: &str, masters: &[String]) -> Result<()> {
    let found = compare(source, masters).await?;
    let kinds: Vec<String> =
        found.kinds.iter().map(|(kind, count)| format!("{} {kind}", number(*count))).collect();
    told.line(format!(
        "compared both sides by SCAN, TYPE and reading every value: {} keys ({}), {} of them with an expiry",
        number(found.kinds.values().sum()),
        kinds.join(", "),
        number(found.expiring as u64)
    ));
    say(&indented(&found.described.join("\n")));
    ensure!(found.differences == 0, "{} keys differ", number(found.differences as u64));
    told.line("EQUAL: types, values, order and expiry times are the same on both sides");
    Ok(())
}

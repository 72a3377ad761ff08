//! Repair without a daemon: what the source has is written to the target. Only where the source is at rest, and where no
//! stored position would have the same records applied on top of it later.

use std::collections::VecDeque;
use std::sync::Arc;

use ::check::Difference;
use bytes::Bytes;
use checkpoint::Phase;
use command::{Commands, Mapping, SourceKey, TargetCommand, Translator, Treatment};
use config::{Config, Conflict};
use repair::{Batch, Fence, Outcome, Reader, ReaderOptions, Rules, Value};
use replica::Settings;
use replica::source::SourceSide;
use resp::{ConnectOptions, Connection, Reply};
use router::Target;
use router::side::Side;
use tempfile::TempDir;
use tracing::warn;

use crate::failure::Failure;

/// Reads from the source, writes to the target.
pub(super) struct Alone {
    reader: Reader,
    /// What the source was when it was first looked at: it must not change.
    replid: String,
    lsns: Vec<u64>,
    translator: Translator,
    side: Side,
    mapping: Mapping,
    /// Where large values wait.
    _dir: TempDir,
}

impl Alone {
    /// Makes sure that the source is at rest and that nothing else writes.
    pub(super) async fn new(
        config: &Config,
        settings: &Settings,
        source: &str,
        target: Arc<Target>,
        mapping: Mapping,
    ) -> Result<Alone, Failure> {
        if config.conflict != Conflict::Overwrite {
            return Err(Failure::failed(
                "with conflict.policy skip or panic only the running daemon knows which keys were there before; start it",
            ));
        }
        let connect =
            settings.sources.iter().map(|source| &source.connect).find(|connect| connect.addr == source);
        let connect = connect.ok_or_else(|| Failure::failed("the source has gone"))?.clone();
        let replid = replication_id(&connect).await?;
        let lsns = SourceSide::new(connect.clone()).offsets().await.map_err(|error| {
            Failure::failed(format!(
                "source {source}: DFLY REPLICAOFFSET: {error}; a repair reads a Dragonfly"
            ))
        })?;
        position(config, &replid, &lsns)?;
        let dir =
            TempDir::new().map_err(|error| Failure::failed(format!("no temporary directory: {error}")))?;
        let reader = Reader::new(ReaderOptions::new(connect, dir.path().join("values")), Rules::all())
            .map_err(|error| Failure::failed(error.to_string()))?;
        let dialect = Arc::new(target.dialect().clone());
        Ok(Alone {
            reader,
            replid,
            lsns,
            translator: Translator::new(mapping.clone(), dialect),
            side: Side::new(target),
            mapping,
            _dir: dir,
        })
    }

    /// Brings these keys to what the source has.
    pub(super) async fn repair(&mut self, batch: Vec<Difference>) -> Result<(), Failure> {
        let key = |found: Difference| (SourceKey { db: found.named.db, key: found.named.key }, false);
        let mut queue: VecDeque<(SourceKey, bool)> = batch.into_iter().map(key).collect();
        while let Some((_, big)) = queue.front() {
            let big = *big;
            let keys: Vec<SourceKey> = match big {
                true => queue.pop_front().map(|(key, _)| key).into_iter().collect(),
                false => queue.iter().take_while(|(_, big)| !big).map(|(key, _)| key.clone()).collect(),
            };
            let Fence { r0, r1, values } =
                match self.reader.read(&Batch { id: 0, keys, big, tries: 0 }, &self.replid).await {
                    Outcome::Fence(fence) => fence,
                    Outcome::Void(why) => return Err(Failure::failed(format!("source: {why}"))),
                };
            if r0 != self.lsns || r1 != self.lsns {
                return Err(Failure::failed(
                    "the source is being written: only the running daemon can repair then; start it, and check again",
                ));
            }
            if values.is_empty() && !big {
                return Err(Failure::failed(
                    "the source does not show these keys twice the same; check again",
                ));
            }
            for (key, value) in values {
                queue.retain(|(other, _)| *other != key);
                match value {
                    Value::TooBig => queue.push_back((key, true)),
                    value => self.place(&key, value).await?,
                }
            }
        }
        Ok(())
    }

    async fn place(&mut self, key: &SourceKey, value: Value) -> Result<(), Failure> {
        match value {
            Value::Absent => self.remove(key).await,
            Value::Items(items) => {
                for item in items {
                    self.item(key, item).await?;
                }
                Ok(())
            }
            Value::File(spilled) => {
                let mut items = spilled.items();
                let lost = |error: std::io::Error| Failure::failed(format!("a large value on disk: {error}"));
                while let Some(item) = items.next().map_err(lost)? {
                    self.item(key, item).await?;
                }
                Ok(())
            }
            Value::Unreadable(why) => {
                warn!(db = key.db, key = %key.key.escape_ascii(), why, "not repaired: the source does not show it");
                Ok(())
            }
            Value::TooBig => Ok(()),
        }
    }

    async fn item(&mut self, key: &SourceKey, item: rdb::Item) -> Result<(), Failure> {
        let now_ms = replica::ledger::now_ms();
        let treatment = match item {
            rdb::Item::Value(value) => self.translator.value(value, now_ms),
            rdb::Item::Begin(begin) => Ok(self.translator.begin(begin, now_ms)),
            rdb::Item::Piece { id, piece } => self.translator.piece(id, piece, now_ms),
            rdb::Item::End { id } => self.translator.end(id),
            _ => return Ok(()),
        };
        let treatment =
            treatment.map_err(|error| Failure::failed(format!("a value of the source: {error}")))?;
        match treatment {
            Treatment::Send(commands) | Treatment::Reduced { commands, .. } => self.send(commands).await,
            // What the target cannot hold is not left there in an older form either.
            Treatment::Lacking(_) => self.remove(key).await,
            Treatment::Collision(collision) => Err(Failure::failed(collision.to_string())),
            _ => Ok(()),
        }
    }

    async fn send(&mut self, commands: Commands) -> Result<(), Failure> {
        for TargetCommand { db, slot, args, .. } in commands {
            self.call(slot, db, &args).await?;
        }
        Ok(())
    }

    async fn remove(&mut self, key: &SourceKey) -> Result<(), Failure> {
        let Some((db, name)) = self.mapping.target_name(key.db, &key.key) else { return Ok(()) };
        let slot = if self.side.target().is_cluster() { command::slot(&name) } else { 0 };
        self.call(slot, db, &[Bytes::from_static(b"DEL"), name]).await
    }

    async fn call(&mut self, slot: u16, db: u32, args: &[Bytes]) -> Result<(), Failure> {
        match self.side.call_slot(slot, db, args).await.map_err(replica::Error::from)? {
            Reply::Error(line) => {
                let command = args[0].escape_ascii();
                Err(Failure::failed(format!("target: {command}: {}", resp::printable(&line))))
            }
            _ => Ok(()),
        }
    }
}

/// What a stored position means for a repair beside it.
fn position(config: &Config, replid: &str, lsns: &[u64]) -> Result<(), Failure> {
    let state = match checkpoint::inspect(&config.checkpoint.dir, 0) {
        Ok(found) => found.and_then(|found| found.state),
        Err(error @ checkpoint::Error::InUse { .. }) => {
            return Err(Failure::failed(format!(
                "{error}; the daemon that uses it has to repair: give it a dashboard.addr"
            )));
        }
        Err(error) => return Err(error.into()),
    };
    match state {
        Some(state)
            if state.phase == Phase::Stable && state.replication_id == replid && state.applied != lsns =>
        {
            Err(Failure::failed(format!(
                "checkpoint {}: the source has records that are not applied yet and would be applied on top of what is \
                 repaired; start the daemon, and repair through it",
                config.checkpoint.dir.display()
            )))
        }
        _ => Ok(()),
    }
}

async fn replication_id(connect: &ConnectOptions) -> Result<String, Failure> {
    let ask = async {
        let mut connection = Connection::open(connect).await?;
        connection.call(&["INFO", "replication"]).await
    };
    let reply = ask.await.map_err(|error| Failure::failed(format!("source: {error}")))?;
    let text = reply.as_str().unwrap_or_default();
    let field = text.lines().find_map(|line| line.strip_prefix("master_replid:"));
    Ok(field.unwrap_or_default().trim().to_owned())
}

//! An ordinary client of the source: it loads the first data, then writes without a pause.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use anyhow::{Result, bail};
use bytes::Bytes;
use resp::{ConnectOptions, Connection, Reply};
use tokio::task::JoinHandle;

use super::data::{self, Command, Random};

/// Commands in one pipeline.
const BATCH: usize = 20;
/// Between two pipelines: some thousand writes per second, which leaves the machine's cores something for the rest.
const BREATH: Duration = Duration::from_millis(4);

/// A connection that knows its database.
#[derive(Debug)]
struct Client {
    connection: Connection,
    db: u32,
}

impl Client {
    async fn open(addr: &str) -> Result<Client> {
        Ok(Client { connection: Connection::open(&ConnectOptions::new(addr)).await?, db: 0 })
    }

    /// Executes commands in order; an error reply is an error.
    async fn execute(&mut self, commands: &[(u32, Command)]) -> Result<()> {
        let mut pipeline = Vec::with_capacity(commands.len());
        for (db, command) in commands {
            if *db != self.db {
                pipeline.push(vec![Bytes::from_static(b"SELECT"), Bytes::from(db.to_string())]);
                self.db = *db;
            }
            pipeline.push(command.clone());
        }
        for reply in self.connection.pipeline(&pipeline).await? {
            if let Reply::Error(line) = reply {
                bail!("the source refused a write: {}", resp::printable(&line));
            }
        }
        Ok(())
    }
}

/// Loads the first data; how many commands that took.
pub(crate) async fn load(addr: &str) -> Result<usize> {
    let mut client = Client::open(addr).await?;
    let commands = data::first();
    for batch in commands.chunks(500) {
        client.execute(batch).await?;
    }
    Ok(commands.len())
}

/// Keys in databases 0 and 1 of the source.
pub(crate) async fn count(addr: &str) -> Result<u64> {
    let mut connection = Connection::open(&ConnectOptions::new(addr)).await?;
    let mut keys = 0;
    for db in ["0", "1"] {
        connection.call(&["SELECT", db]).await?;
        let count = connection.call(&["DBSIZE"]).await?;
        keys += count.as_integer().and_then(|count| u64::try_from(count).ok()).unwrap_or(0);
    }
    Ok(keys)
}

/// A client that writes until it is told to stop.
#[derive(Debug)]
pub(crate) struct Writer {
    stop: Arc<AtomicBool>,
    written: Arc<AtomicU64>,
    task: JoinHandle<Result<()>>,
}

impl Writer {
    /// Starts to write.
    pub(crate) async fn start(addr: &str) -> Result<Writer> {
        let mut client = Client::open(addr).await?;
        let (stop, written) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let (stopped, counted) = (stop.clone(), written.clone());
        let task = tokio::spawn(async move {
            let mut random = Random::new(2);
            while !stopped.load(Relaxed) {
                let batch: Vec<_> = (0..BATCH).map(|_| data::next(&mut random)).collect();
                client.execute(&batch).await?;
                counted.fetch_add(BATCH as u64, Relaxed);
                tokio::time::sleep(BREATH).await;
            }
            Ok(())
        });
        Ok(Writer { stop, written, task })
    }

    /// Writes so far.
    pub(crate) fn written(&self) -> u64 {
        self.written.load(Relaxed)
    }

    /// Stops it; how many writes there were.
    pub(crate) async fn stop(mut self) -> Result<u64> {
        self.stop.store(true, Relaxed);
        (&mut self.task).await??;
        Ok(self.written.load(Relaxed))
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

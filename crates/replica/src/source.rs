//! Questions to the source beside the replication: which databases it has, which keys exist, how far its journal is.

use bytes::Bytes;
use command::SourceKey;
use resp::{ConnectOptions, Connection, Reply};

/// A connection of an ordinary client. It is opened when it is needed and opened again after an error: an error line
/// that echoes a key with a line break in it leaves a connection unusable.
#[derive(Debug)]
pub struct SourceSide {
    options: ConnectOptions,
    connection: Option<(Connection, u32)>,
}

/// Why a question has no answer.
#[derive(Debug, thiserror::Error)]
pub enum Unanswered {
    /// The connection failed.
    #[error(transparent)]
    Connection(#[from] resp::Error),
    /// The source refused a command; its own words.
    #[error("{0}: {1}")]
    Refused(&'static str, String),
    /// The reply has another shape than expected.
    #[error("unexpected reply")]
    Unexpected,
}

impl Unanswered {
    /// Whether the source has said something, if only that it lets nobody in: it is there.
    pub fn is_an_answer(&self) -> bool {
        use resp::Error;
        match self {
            Unanswered::Refused(..) | Unanswered::Unexpected => true,
            Unanswered::Connection(error) => matches!(
                error,
                Error::AuthRejected { .. }
                    | Error::AuthRequired { .. }
                    | Error::NoPermission { .. }
                    | Error::TooManyClients { .. }
                    | Error::Loading { .. }
            ),
        }
    }
}

impl SourceSide {
    /// No connection is made yet.
    pub fn new(options: ConnectOptions) -> Self {
        SourceSide { options, connection: None }
    }

    async fn connection(&mut self, db: u32) -> Result<&mut Connection, Unanswered> {
        if !self.connection.as_ref().is_some_and(|(connection, _)| connection.is_usable()) {
            self.connection = Some((Connection::open(&self.options).await?, 0));
        }
        let (connection, selected) = self.connection.as_mut().expect("made above");
        if *selected != db {
            let number = db.to_string();
            answer("SELECT", &self.options.addr, connection.call(&["SELECT", &number]).await?)?;
            *selected = db;
        }
        Ok(connection)
    }

    async fn ask(&mut self, args: &[&'static str]) -> Result<Reply, Unanswered> {
        let reply = self.connection(0).await?.call(args).await?;
        answer(args[0], &self.options.addr, reply)
    }

    /// The databases that hold keys (`INFO keyspace`).
    pub async fn databases(&mut self) -> Result<Vec<u32>, Unanswered> {
        Ok(self.keyspace().await?.into_iter().map(|(db, _)| db).collect())
    }

    /// The databases that hold keys, and how many (`INFO keyspace`).
    pub async fn keyspace(&mut self) -> Result<Vec<(u32, u64)>, Unanswered> {
        let reply = self.ask(&["INFO", "KEYSPACE"]).await?;
        let text = reply.as_str().ok_or(Unanswered::Unexpected)?;
        let line = |line: &str| {
            let (db, rest) = line.strip_prefix("db")?.split_once(":keys=")?;
            Some((db.parse().ok()?, rest.split(',').next()?.parse().ok()?))
        };
        Ok(text.lines().filter_map(line).collect())
    }

    /// The next LSN of every flow (`DFLY REPLICAOFFSET`).
    pub async fn offsets(&mut self) -> Result<Vec<u64>, Unanswered> {
        let reply = self.ask(&["DFLY", "REPLICAOFFSET"]).await?;
        let items = reply.as_array().ok_or(Unanswered::Unexpected)?;
        items
            .iter()
            .map(|item| item.as_integer().and_then(|n| u64::try_from(n).ok()).ok_or(Unanswered::Unexpected))
            .collect()
    }

    /// What time it is there (`TIME`): seconds and microseconds.
    pub async fn time(&mut self) -> Result<Reply, Unanswered> {
        self.ask(&["TIME"]).await
    }

    /// How many records of each flow the source keeps for replicas that come back. `None`: it does not tell, or keeps them
    /// by time (`CONFIG GET shard_repl_backlog_len`, up to v1.40.1).
    pub async fn backlog(&mut self) -> Option<u64> {
        let connection = self.connection(0).await.ok()?;
        let reply = connection.call(&["CONFIG", "GET", "shard_repl_backlog_len"]).await.ok()?;
        reply.as_array()?.get(1)?.as_str()?.parse().ok()
    }

    /// A page of the names of a database that fit a pattern, and where the next one begins; `0`: nowhere.
    pub async fn scan(
        &mut self,
        db: u32,
        cursor: &Bytes,
        pattern: &Bytes,
    ) -> Result<(Bytes, Vec<Bytes>), Unanswered> {
        let args: [&[u8]; 6] = [b"SCAN", cursor, b"MATCH", pattern, b"COUNT", b"10000"];
        let reply = self.connection(db).await?.call(&args).await?;
        let reply = answer("SCAN", &self.options.addr, reply)?;
        match reply.as_array() {
            Some([cursor, names]) => {
                let cursor = cursor.as_bytes().cloned().ok_or(Unanswered::Unexpected)?;
                let names = names.as_array().ok_or(Unanswered::Unexpected)?;
                Ok((cursor, names.iter().filter_map(|name| name.as_bytes().cloned()).collect()))
            }
            _ => Err(Unanswered::Unexpected),
        }
    }

    /// Which of these keys do not exist, in the order given.
    pub async fn missing(&mut self, keys: &[SourceKey]) -> Result<Vec<SourceKey>, Unanswered> {
        self.select(keys, "EXISTS", |reply| match reply {
            Reply::Integer(count) => Some(*count == 0),
            _ => None,
        })
        .await
    }

    /// Which of these keys do not exist or have a type that `carried` refuses, in the order given.
    pub async fn missing_or_other(
        &mut self,
        keys: &[SourceKey],
        carried: impl Fn(&str) -> bool,
    ) -> Result<Vec<SourceKey>, Unanswered> {
        self.select(keys, "TYPE", |reply| reply.as_str().map(|word| !carried(word))).await
    }

    /// Those keys for which `wanted` says so of the reply to `command key`.
    async fn select(
        &mut self,
        keys: &[SourceKey],
        command: &'static str,
        wanted: impl Fn(&Reply) -> Option<bool>,
    ) -> Result<Vec<SourceKey>, Unanswered> {
        let mut missing = Vec::new();
        let mut rest = keys;
        while let Some(first) = rest.first() {
            let db = first.db;
            let length = rest.iter().take_while(|key| key.db == db).count();
            let (batch, after) = rest.split_at(length);
            rest = after;
            let name = Bytes::from_static(command.as_bytes());
            let commands: Vec<Vec<Bytes>> =
                batch.iter().map(|key| vec![name.clone(), key.key.clone()]).collect();
            let replies = self.connection(db).await?.pipeline(&commands).await?;
            for (key, reply) in batch.iter().zip(replies) {
                if wanted(&answer(command, &self.options.addr, reply)?).ok_or(Unanswered::Unexpected)? {
                    missing.push(key.clone());
                }
            }
        }
        Ok(missing)
    }
}

fn answer(command: &'static str, addr: &str, reply: Reply) -> Result<Reply, Unanswered> {
    let Reply::Error(line) = reply else { return Ok(reply) };
    match resp::Error::from_error_line(addr, &line) {
        // It loads, or is being taken over: what it would say is not known.
        Some(error) if error.class() == resp::Class::Retry => Err(error.into()),
        _ => Err(Unanswered::Refused(command, resp::printable(&line))),
    }
}

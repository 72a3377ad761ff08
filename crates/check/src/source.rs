//! The source as an ordinary client sees it.

use std::time::Duration;

use resp::{Class, ConnectOptions, Connection, Reply};
use router::NodeId;

use crate::Error;
use crate::questions::{Answers, Place, Questions};

/// Where everything at the source goes.
pub(crate) const HERE: Place = Place { node: NodeId::NONE, slot: 0 };

/// How often a question is asked again when the connection breaks or the server is loading.
const TRIES: u32 = 8;
/// The first pause between two tries; each further one is twice as long.
const PAUSE: Duration = Duration::from_millis(100);

/// One connection to the source, opened again when it breaks.
#[derive(Debug)]
pub(crate) struct Source {
    options: ConnectOptions,
    connection: Option<(Connection, u32)>,
}

impl Source {
    pub(crate) fn new(options: ConnectOptions) -> Source {
        Source { options, connection: None }
    }

    pub(crate) fn options(&self) -> &ConnectOptions {
        &self.options
    }

    pub(crate) fn addr(&self) -> &str {
        &self.options.addr
    }

    /// Another connection to the same server.
    pub(crate) fn another(&self) -> Source {
        Source::new(self.options.clone())
    }

    /// Asks in database `db`; one reply each, error lines included. Everything here only reads, so it may be asked twice.
    pub(crate) async fn ask(&mut self, db: u32, questions: Questions) -> Result<Answers, Error> {
        let (count, lanes) = questions.into_lanes();
        let Some(lane) = lanes.first() else { return Ok(Answers(Vec::new())) };
        for attempt in 0.. {
            let mut replies = Vec::with_capacity(count);
            let error = match self.try_once(db, &lane.out, count, &mut replies).await {
                Ok(()) => match refusal(&self.options.addr, &replies) {
                    None => return Ok(Answers(replies)),
                    Some(error) => error.into(),
                },
                Err(error) => error,
            };
            if error.class() != Class::Retry || attempt + 1 == TRIES {
                return Err(error);
            }
            tokio::time::sleep(PAUSE * (1 << attempt.min(5))).await;
        }
        unreachable!("the loop returns at its last try")
    }

    async fn try_once(
        &mut self,
        db: u32,
        out: &[u8],
        count: usize,
        replies: &mut Vec<Reply>,
    ) -> Result<(), Error> {
        let mut open = match self.connection.take().filter(|(connection, _)| connection.is_usable()) {
            Some(open) => open,
            None => (Connection::open(&self.options).await?, 0),
        };
        if open.1 != db {
            if let Reply::Error(line) = open.0.call(&["SELECT", &db.to_string()]).await? {
                return Err(match resp::Error::from_error_line(&self.options.addr, &line) {
                    Some(error) => error.into(),
                    None => self.refused(b"SELECT", resp::printable(&line)),
                });
            }
            open.1 = db;
        }
        open.0.pipeline_encoded(out, count, |reply| replies.push(reply)).await?;
        self.connection = Some(open);
        Ok(())
    }

    /// One question.
    pub(crate) async fn call(&mut self, db: u32, args: &[&[u8]]) -> Result<Reply, Error> {
        let mut questions = Questions::default();
        let at = questions.push(HERE, args);
        Ok(self.ask(db, questions).await?.take(at))
    }

    /// One question whose error reply is an error.
    pub(crate) async fn must(&mut self, db: u32, args: &[&[u8]]) -> Result<Reply, Error> {
        match self.call(db, args).await? {
            Reply::Error(line) => Err(self.refused(args[0], resp::printable(&line))),
            reply => Ok(reply),
        }
    }

    pub(crate) fn refused(&self, command: &[u8], message: impl Into<String>) -> Error {
        let command = String::from_utf8_lossy(command).into_owned();
        Error::SourceRefused { addr: self.options.addr.clone(), command, message: message.into() }
    }

    /// A field of an INFO section.
    pub(crate) async fn info(&mut self, section: &str, field: &str) -> Result<Option<String>, Error> {
        let reply = self.must(0, &[b"INFO", section.as_bytes()]).await?;
        let text = reply.as_str().unwrap_or_default();
        Ok(text
            .lines()
            .find_map(|line| line.strip_prefix(field)?.strip_prefix(':'))
            .map(|value| value.trim().to_owned()))
    }

    /// The databases that hold keys, and how many.
    pub(crate) async fn keyspace(&mut self) -> Result<Vec<(u32, u64)>, Error> {
        let reply = self.must(0, &[b"INFO", b"KEYSPACE"]).await?;
        Ok(keyspace(reply.as_str().unwrap_or_default()))
    }

    /// The next LSN of every flow; `None` where the server knows no such thing.
    pub(crate) async fn lsns(&mut self) -> Result<Option<Vec<u64>>, Error> {
        let reply = self.call(0, &[b"DFLY", b"REPLICAOFFSET"]).await?;
        let number = |reply: &Reply| reply.as_integer().and_then(|n| u64::try_from(n).ok());
        Ok(reply.as_array().and_then(|items| items.iter().map(number).collect()))
    }
}

/// The lines of `INFO keyspace`.
pub(crate) fn keyspace(text: &str) -> Vec<(u32, u64)> {
    let line = |line: &str| {
        let (db, rest) = line.strip_prefix("db")?.split_once(":keys=")?;
        Some((db.parse().ok()?, rest.split(',').next()?.parse().ok()?))
    };
    text.lines().filter_map(line).collect()
}

/// What concerns the connection as a whole and may pass: a server that loads its data.
fn refusal(addr: &str, replies: &[Reply]) -> Option<resp::Error> {
    let line = replies.first()?.as_error()?;
    resp::Error::from_error_line(addr, line)
        .filter(|error| matches!(error, resp::Error::Loading { .. } | resp::Error::AuthRequired { .. }))
}

/// The first of several sources that is a master. Where none can be reached, the error of the last.
pub(crate) async fn master(sources: &[ConnectOptions]) -> Result<Source, Error> {
    let mut last = None;
    for options in sources {
        let mut source = Source::new(options.clone());
        match source.info("replication", "role").await {
            Ok(Some(role)) if role == "master" => return Ok(source),
            Ok(_) => {}
            Err(error) => last = Some(error),
        }
    }
    let addrs = sources.iter().map(|options| options.addr.as_str()).collect::<Vec<_>>().join(", ");
    Err(last.unwrap_or(Error::NoMaster { addrs }))
}

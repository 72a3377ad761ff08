//! The socket of one lane: writes what the lane hands over, counts the replies.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use resp::{Connection, Reply, ReplyDecoder};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender};
use tokio::sync::oneshot;
use tracing::warn;

use crate::durability::NodeWatch;
use crate::error::Error;
use crate::retire::{Ended, end_client};
use crate::target::{NodeId, Target};
use crate::topology::info_field;

/// How long a predecessor is waited for that can be neither killed nor seen.
const BLIND: Duration = Duration::from_secs(2);

/// Replies of one read, in order.
#[derive(Debug)]
pub(crate) enum Run {
    /// This many commands in a row were executed, and answered alike.
    Done(u32, Answer),
    /// One error reply, without its leading `-`.
    Refused(Bytes),
}

/// As much of a reply as anybody wants to know.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Answer {
    /// None of the others.
    Plain,
    /// The integer 0.
    Zero,
    /// The integer -1.
    MinusOne,
    /// No value, or an array without elements.
    Nothing,
}

impl Answer {
    fn of(reply: &Reply) -> Answer {
        match reply {
            Reply::Integer(0) => Answer::Zero,
            Reply::Integer(-1) => Answer::MinusOne,
            Reply::Nil => Answer::Nothing,
            Reply::Array(items) if items.is_empty() => Answer::Nothing,
            _ => Answer::Plain,
        }
    }
}

/// The connection that a lane had before.
#[derive(Debug, Clone)]
pub(crate) struct Predecessor {
    /// Its number at the node, if that was told.
    pub(crate) client_id: Option<i64>,
    /// The process that it was connected to, if that was told.
    pub(crate) run_id: Option<String>,
}

/// A connection's place.
#[derive(Debug)]
pub(crate) struct Wiring {
    pub(crate) target: Arc<Target>,
    pub(crate) node: NodeId,
    pub(crate) generation: u64,
    /// What it is called at the node.
    pub(crate) name: Option<String>,
    /// Whose bytes may wait in the node's socket buffer.
    pub(crate) predecessor: Option<Predecessor>,
    /// Looks at the node before anything is written to it.
    pub(crate) watch: Option<Arc<NodeWatch>>,
    /// How long to wait before it is opened: the node could not be reached the last time.
    pub(crate) pause: Duration,
    /// Until then nothing is written, whatever is handed over.
    pub(crate) go: oneshot::Receiver<()>,
}

/// A connection that can be written to.
struct Connected {
    connection: Connection,
    client_id: Option<i64>,
    run_id: Option<String>,
    incarnation: u64,
}

/// What happens on a lane's connection.
#[derive(Debug)]
pub(crate) enum Event {
    /// The connection that the lane had before can execute nothing any more, whatever becomes of the new one.
    Retired {
        node: NodeId,
        generation: u64,
    },
    /// `incarnation` is what the watch found; the lane waits for its `go`.
    Up {
        node: NodeId,
        generation: u64,
        client_id: Option<i64>,
        run_id: Option<String>,
        incarnation: u64,
    },
    Replies {
        node: NodeId,
        generation: u64,
        runs: Vec<Run>,
    },
    Down {
        node: NodeId,
        generation: u64,
        was_up: bool,
        reason: String,
    },
}

/// Runs one connection until it breaks; dropping the lane's end of `input` ends it too.
pub(crate) async fn run(wiring: Wiring, input: UnboundedReceiver<Bytes>, events: UnboundedSender<Event>) {
    let (node, generation) = (wiring.node, wiring.generation);
    tokio::time::sleep(wiring.pause).await;
    let (was_up, reason) = match connect(&wiring, &events).await {
        Ok(Connected { connection, client_id, run_id, incarnation }) => {
            // The router may be gone already; then nobody needs the events.
            let _ = events.send(Event::Up { node, generation, client_id, run_id, incarnation });
            match wiring.go.await {
                Ok(()) => (true, exchange(connection, node, generation, input, &events).await),
                Err(_) => (true, "closed by the router".into()),
            }
        }
        Err(error) => (false, error.to_string()),
    };
    let _ = events.send(Event::Down { node, generation, was_up, reason });
}

/// Opens the connection, and makes sure that its predecessor can no longer execute anything (rule 8): bytes that a
/// broken connection left in the node's socket buffer would otherwise run behind those that are sent from now on.
async fn connect(wiring: &Wiring, events: &UnboundedSender<Event>) -> Result<Connected, Error> {
    let mut connection = wiring.target.open_as(wiring.node, wiring.name.as_deref()).await?;
    let client_id = match permitted(&mut connection, &["CLIENT", "ID"]).await? {
        Some(Reply::Integer(id)) => Some(id),
        _ => None,
    };
    let info = permitted(&mut connection, &["INFO", "server"]).await?;
    let run_id = info.as_ref().and_then(Reply::as_str).and_then(|info| info_field(info, "run_id"));
    let run_id = run_id.map(str::to_owned);
    if let Some(predecessor) = &wiring.predecessor {
        end(&mut connection, predecessor, run_id.as_deref()).await?;
        // The router may be gone already; then nobody needs the events.
        let _ = events.send(Event::Retired { node: wiring.node, generation: wiring.generation });
    }
    // Rule 28: whether it has lost something is known before anything is written to it.
    let incarnation = match &wiring.watch {
        Some(watch) => watch.look(wiring.node, &mut connection).await?,
        None => 0,
    };
    Ok(Connected { connection, client_id, run_id, incarnation })
}

/// A call that a user may not be allowed; `None` then. A node that lets nobody in is not connected.
async fn permitted(connection: &mut Connection, args: &[&str]) -> Result<Option<Reply>, Error> {
    match connection.call(args).await? {
        Reply::Error(line) => match resp::Error::from_error_line(connection.addr(), &line) {
            None | Some(resp::Error::NoPermission { .. }) => Ok(None),
            Some(error) => Err(error.into()),
        },
        reply => Ok(Some(reply)),
    }
}

/// Ends the predecessor at its node. Numbers of clients begin anew with every process, and what was in the buffers of
/// one that is gone is gone with it.
async fn end(
    connection: &mut Connection,
    predecessor: &Predecessor,
    run_id: Option<&str>,
) -> Result<(), Error> {
    if let (Some(before), Some(now)) = (predecessor.run_id.as_deref(), run_id)
        && before != now
    {
        return Ok(());
    }
    let ended = match predecessor.client_id {
        Some(id) => end_client(connection, id).await?,
        None => Ended::Unknown,
    };
    if ended == Ended::Unknown {
        // The node answers, so it also reads the old connection: what it finds there it executes meanwhile.
        let addr = connection.addr();
        warn!(
            addr,
            "the user may neither kill nor list clients: waiting for what the old connection left behind"
        );
        tokio::time::sleep(BLIND).await;
    }
    Ok(())
}

async fn exchange(
    connection: Connection,
    node: NodeId,
    generation: u64,
    input: UnboundedReceiver<Bytes>,
    events: &UnboundedSender<Event>,
) -> String {
    let (reader, writer, unread) = connection.into_parts();
    tokio::select! {
        biased;
        reason = read(reader, &unread, node, generation, events) => reason,
        reason = write(writer, input) => reason,
    }
}

async fn write(mut writer: resp::Writer, mut input: UnboundedReceiver<Bytes>) -> String {
    while let Some(chunk) = input.recv().await {
        let mut result = writer.write_all(&chunk).await;
        if result.is_ok() && input.is_empty() {
            result = writer.flush().await;
        }
        if let Err(error) = result {
            return error.to_string();
        }
    }
    "closed by the router".into()
}

async fn read(
    mut reader: resp::Reader,
    unread: &[u8],
    node: NodeId,
    generation: u64,
    events: &UnboundedSender<Event>,
) -> String {
    let mut decoder = ReplyDecoder::new(resp::Limits::default());
    decoder.feed(unread);
    loop {
        let mut runs = Vec::new();
        let (mut done, mut alike) = (0, Answer::Plain);
        loop {
            match decoder.next() {
                Ok(Some(Reply::Error(message))) => {
                    if done > 0 {
                        runs.push(Run::Done(std::mem::take(&mut done), alike));
                    }
                    runs.push(Run::Refused(message));
                }
                Ok(Some(reply)) => {
                    let answer = Answer::of(&reply);
                    if answer != alike && done > 0 {
                        runs.push(Run::Done(std::mem::take(&mut done), alike));
                    }
                    alike = answer;
                    done += 1;
                }
                Ok(None) => break,
                Err(error) => return error.to_string(),
            }
        }
        if done > 0 {
            runs.push(Run::Done(done, alike));
        }
        if !runs.is_empty() && events.send(Event::Replies { node, generation, runs }).is_err() {
            return "closed by the router".into();
        }
        match reader.read_buf(decoder.buffer_mut()).await {
            Ok(0) => return "closed by the target".into(),
            Ok(_) => {}
            Err(error) => return error.to_string(),
        }
    }
}

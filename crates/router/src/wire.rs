//! The socket of one lane: writes what the lane hands over, counts the replies.

use std::sync::Arc;

use bytes::Bytes;
use resp::{Connection, Reply, ReplyDecoder};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender};

use crate::error::Error;
use crate::target::{NodeId, Target};

/// Replies of one read, in order.
#[derive(Debug)]
pub(crate) enum Run {
    /// This many commands in a row were executed.
    Done(u32),
    /// One error reply, without its leading `-`.
    Refused(Bytes),
}

/// What happens on a lane's connection.
#[derive(Debug)]
pub(crate) enum Event {
    Up { node: NodeId, generation: u64, client_id: Option<i64> },
    Replies { node: NodeId, generation: u64, runs: Vec<Run> },
    Down { node: NodeId, generation: u64, was_up: bool, reason: String },
}

/// Runs one connection until it breaks; dropping the lane's end of `input` ends it too.
pub(crate) async fn run(
    target: Arc<Target>,
    node: NodeId,
    generation: u64,
    predecessor: Option<i64>,
    input: UnboundedReceiver<Bytes>,
    events: UnboundedSender<Event>,
) {
    let (was_up, reason) = match connect(&target, node, predecessor).await {
        Ok((connection, client_id)) => {
            // The router may be gone already; then nobody needs the events.
            let _ = events.send(Event::Up { node, generation, client_id });
            (true, exchange(connection, node, generation, input, &events).await)
        }
        Err(error) => (false, error.to_string()),
    };
    let _ = events.send(Event::Down { node, generation, was_up, reason });
}

/// Opens the connection, and makes sure that its predecessor can no longer execute anything (repair rule 8): bytes that
/// a broken connection left in the node's socket buffer would otherwise run behind those sent again.
async fn connect(
    target: &Target,
    node: NodeId,
    predecessor: Option<i64>,
) -> Result<(Connection, Option<i64>), Error> {
    let mut connection = target.open(node).await?;
    if let Some(id) = predecessor {
        // An error reply means that the connection is gone already, or that the user may not kill.
        connection.call(&["CLIENT", "KILL", "ID", &id.to_string()]).await?;
    }
    let client_id = match connection.call(&["CLIENT", "ID"]).await? {
        Reply::Integer(id) => Some(id),
        Reply::Error(line) => match resp::Error::from_error_line(connection.addr(), &line) {
            // A user who may not ask for the id works all the same; a node that lets nobody in is not connected.
            None | Some(resp::Error::NoPermission { .. }) => None,
            Some(error) => return Err(error.into()),
        },
        _ => None,
    };
    Ok((connection, client_id))
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
        let mut done = 0;
        loop {
            match decoder.next() {
                Ok(Some(Reply::Error(message))) => {
                    if done > 0 {
                        runs.push(Run::Done(std::mem::take(&mut done)));
                    }
                    runs.push(Run::Refused(message));
                }
                Ok(Some(_)) => done += 1,
                Ok(None) => break,
                Err(error) => return error.to_string(),
            }
        }
        if done > 0 {
            runs.push(Run::Done(done));
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

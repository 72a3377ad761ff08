//! The target's masters, asked at the same time, redirects followed.

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;

use command::slot;
use resp::{Connection, Reply};
use router::side::Side;
use router::{NodeId, Target};

use crate::Error;
use crate::questions::{Answers, Lane, Place, Questions};

/// Connections to all nodes, opened when they are needed.
#[derive(Debug)]
pub(crate) struct Nodes {
    target: Arc<Target>,
    cluster: bool,
    open: BTreeMap<NodeId, (Connection, u32)>,
    /// For what was redirected or got no answer, one by one.
    side: Side,
}

impl Nodes {
    pub(crate) fn new(target: Arc<Target>) -> Nodes {
        let cluster = target.is_cluster();
        Nodes { side: Side::new(target.clone()), target, cluster, open: BTreeMap::new() }
    }

    pub(crate) fn target(&self) -> &Arc<Target> {
        &self.target
    }

    /// Where a name lives, as far as is known.
    pub(crate) fn place(&self, name: &[u8]) -> Place {
        let slot = if self.cluster { slot(name) } else { 0 };
        Place { node: self.target.owner(slot), slot }
    }

    /// Asks; one reply each, error lines included. A command that its node did not take for itself, or did not answer, is
    /// asked again where it belongs: everything here only reads.
    pub(crate) async fn ask(&mut self, db: u32, questions: Questions) -> Result<Answers, Error> {
        let (count, lanes) = questions.into_lanes();
        let mut asked = Vec::with_capacity(lanes.len());
        for lane in lanes {
            let connection = self.open.remove(&lane.node);
            asked.push(ask_lane(self.target.clone(), connection, db, lane));
        }
        let mut replies = vec![Reply::Nil; count];
        for Asked { lane, connection, answers } in all(asked).await {
            if let Some(connection) = connection {
                self.open.insert(lane.node, connection);
            }
            let mut answers = answers.into_iter();
            for at in 0..lane.len() {
                let reply = match answers.next() {
                    Some(reply) if !elsewhere(&reply) => reply,
                    _ => self.side.call_slot(lane.slots[at], db, &lane.args(at)).await?,
                };
                replies[lane.number(at)] = reply;
            }
        }
        Ok(Answers(replies))
    }

    /// Asks one node for a page of its names.
    pub(crate) async fn call_node(&mut self, node: NodeId, db: u32, args: &[&[u8]]) -> Result<Reply, Error> {
        Ok(self.side.call_node(node, db, args).await?)
    }

    /// Keys of each database, over all masters.
    pub(crate) async fn keyspace(&mut self) -> Result<Vec<(u32, u64)>, Error> {
        let mut keys: BTreeMap<u32, u64> = BTreeMap::new();
        for node in self.target.masters() {
            let reply = self.call_node(node, 0, &[b"INFO", b"KEYSPACE"]).await?;
            if let Some(line) = reply.as_error() {
                let message = resp::printable(line);
                return Err(Error::TargetRefused { command: "INFO".into(), message });
            }
            for (db, count) in crate::source::keyspace(reply.as_str().unwrap_or_default()) {
                *keys.entry(db).or_default() += count;
            }
        }
        Ok(keys.into_iter().collect())
    }
}

/// Whether a reply says that the command has to be asked elsewhere, or later.
fn elsewhere(reply: &Reply) -> bool {
    let Reply::Error(line) = reply else { return false };
    const CODES: [&[u8]; 6] = [b"MOVED", b"ASK", b"TRYAGAIN", b"CLUSTERDOWN", b"LOADING", b"MASTERDOWN"];
    let code = line.split(|byte| *byte == b' ').next().unwrap_or_default();
    CODES.contains(&code)
}

/// One node's commands and what it answered: from the first on, perhaps not all.
struct Asked {
    lane: Lane,
    connection: Option<(Connection, u32)>,
    answers: Vec<Reply>,
}

async fn ask_lane(target: Arc<Target>, connection: Option<(Connection, u32)>, db: u32, lane: Lane) -> Asked {
    let mut answers = Vec::with_capacity(lane.len());
    let done = async {
        let mut open = match connection.filter(|(connection, _)| connection.is_usable()) {
            Some(open) => open,
            None if lane.node == NodeId::NONE => return None,
            None => (target.open(lane.node).await.ok()?, 0),
        };
        if open.1 != db {
            let selected = open.0.call(&["SELECT", &db.to_string()]).await.ok()?;
            selected.as_error().is_none().then_some(())?;
            open.1 = db;
        }
        open.0.pipeline_encoded(&lane.out, lane.len(), |reply| answers.push(reply)).await.ok()?;
        Some(open)
    };
    let connection = done.await;
    Asked { lane, connection, answers }
}

/// Waits for all of them at the same time.
async fn all<F: Future>(futures: Vec<F>) -> Vec<F::Output> {
    let mut futures: Vec<Result<Pin<Box<F>>, F::Output>> =
        futures.into_iter().map(|future| Ok(Box::pin(future))).collect();
    std::future::poll_fn(|context| {
        let mut ready = true;
        for slot in &mut futures {
            if let Ok(future) = slot {
                match future.as_mut().poll(context) {
                    Poll::Ready(output) => *slot = Err(output),
                    Poll::Pending => ready = false,
                }
            }
        }
        if ready { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
    futures.into_iter().filter_map(Result::err).collect()
}

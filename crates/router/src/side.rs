//! Commands outside the stream: scans, removals, transfers. One at a time or in small pipelines, redirects followed.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use resp::{Connection, Reply};

use crate::error::Error;
use crate::outcome::{Outcome, classify};
use crate::target::{NodeId, Target};

/// How often a command that is redirected or refused for the moment is tried again before its error is the caller's.
const TRIES: u32 = 60;

/// Connections for commands outside the stream; opened when they are first needed.
#[derive(Debug)]
pub struct Side {
    target: Arc<Target>,
    /// With the database that is selected.
    connections: BTreeMap<NodeId, (Connection, u32)>,
}

impl Side {
    /// No connection is made yet.
    pub fn new(target: Arc<Target>) -> Self {
        Side { target, connections: BTreeMap::new() }
    }

    /// The servers behind it.
    pub fn target(&self) -> &Arc<Target> {
        &self.target
    }

    async fn connection(&mut self, node: NodeId, db: u32) -> Result<&mut Connection, Error> {
        let usable = self.connections.get(&node).is_some_and(|(connection, _)| connection.is_usable());
        if !usable {
            let connection = self.target.open(node).await?;
            self.connections.insert(node, (connection, 0));
        }
        let (connection, selected) = self.connections.get_mut(&node).expect("made above");
        if *selected != db {
            let number = db.to_string();
            crate::target::ask(connection, &["SELECT", &number]).await?;
            *selected = db;
        }
        Ok(connection)
    }

    /// Calls `node` itself; error replies are replies.
    pub async fn call_node<A: AsRef<[u8]>>(
        &mut self,
        node: NodeId,
        db: u32,
        args: &[A],
    ) -> Result<Reply, Error> {
        Ok(self.connection(node, db).await?.call(args).await?)
    }

    /// Sends a pipeline to `node` itself; error replies are replies.
    pub async fn pipeline_node(
        &mut self,
        node: NodeId,
        db: u32,
        commands: &[Vec<Bytes>],
    ) -> Result<Vec<Reply>, Error> {
        Ok(self.connection(node, db).await?.pipeline(commands).await?)
    }

    /// Calls the owner of `slot`, follows redirects, and waits out transient refusals and lost connections.
    ///
    /// Only for commands that give the same result when they are executed twice. A final error reply is a reply.
    ///
    /// # Errors
    /// The last error after about a minute of trying.
    pub async fn call_slot<A: AsRef<[u8]>>(
        &mut self,
        slot: u16,
        db: u32,
        args: &[A],
    ) -> Result<Reply, Error> {
        let mut node = self.target.owner(slot);
        let mut asking = false;
        for attempt in 0.. {
            let last = attempt + 1 == TRIES;
            let pause = Duration::from_millis(50u64 << attempt.min(4));
            let reply = match self.try_once(node, db, asking, args).await {
                Ok(reply) => reply,
                Err(error) if last || error.class() != resp::Class::Retry => return Err(error),
                Err(_) => {
                    tokio::time::sleep(pause).await;
                    // What cannot be read now is read at the next try.
                    let _ = self.target.refresh().await;
                    (node, asking) = (self.target.owner(slot), false);
                    continue;
                }
            };
            let Reply::Error(line) = &reply else { return Ok(reply) };
            asking = false;
            match classify(line) {
                Outcome::Moved { addr, .. } if !last => {
                    node = self.target.node_at(&addr, node);
                    self.target.learn(slot, node);
                }
                Outcome::Ask { addr } if !last => {
                    node = self.target.node_at(&addr, node);
                    asking = true;
                }
                Outcome::Later(_) if !last => {
                    tokio::time::sleep(pause).await;
                    let _ = self.target.refresh().await;
                    node = self.target.owner(slot);
                }
                _ => return Ok(reply),
            }
        }
        unreachable!("the loop returns at its last try")
    }

    async fn try_once<A: AsRef<[u8]>>(
        &mut self,
        node: NodeId,
        db: u32,
        asking: bool,
        args: &[A],
    ) -> Result<Reply, Error> {
        if node == NodeId::NONE {
            self.target.refresh().await?;
        }
        let connection = self.connection(node, db).await?;
        if asking {
            connection.call(&["ASKING"]).await?;
        }
        Ok(connection.call(args).await?)
    }
}

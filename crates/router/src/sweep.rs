//! Removing names by scanning: a mapped database's FLUSHDB, slots that the source dropped, keys the source lacks.
//!
//! A name is only ever removed because a caller said so: nothing foreign is touched.

use bytes::Bytes;
use command::slot;
use resp::Reply;

use crate::error::Error;
use crate::side::Side;
use crate::target::NodeId;

/// Names asked for per SCAN: 1000 keep one reply well below a millisecond of the server's time.
const PAGE: &str = "1000";

/// A walk over the names of one database on every master.
///
/// SCAN returns every name that was there throughout. Slots that move during the walk can hide names from it:
/// [`Walk::disturbed`] tells.
#[derive(Debug)]
pub struct Walk {
    db: u32,
    pattern: Option<Bytes>,
    nodes: Vec<NodeId>,
    started_with: Vec<NodeId>,
    cursor: Bytes,
}

impl Walk {
    /// A walk over database `db`, narrowed by a `MATCH` pattern if there is one.
    pub fn new(side: &Side, db: u32, pattern: Option<Bytes>) -> Self {
        let nodes = side.target().masters();
        Walk { db, pattern, nodes, started_with: side.target().owners(), cursor: Bytes::from_static(b"0") }
    }

    /// The next page of names; `None` at the end. A page may be empty.
    ///
    /// # Errors
    /// The connection's, or the server refuses SCAN.
    pub async fn page(&mut self, side: &mut Side) -> Result<Option<Vec<Bytes>>, Error> {
        let Some(node) = self.nodes.last().copied() else { return Ok(None) };
        let mut args: Vec<&[u8]> = vec![b"SCAN", &self.cursor, b"COUNT", PAGE.as_bytes()];
        if let Some(pattern) = &self.pattern {
            args.extend([&b"MATCH"[..], pattern]);
        }
        let reply = side.call_node(node, self.db, &args).await?;
        let addr = || side.target().address(node);
        let (cursor, names) = match &reply {
            Reply::Array(parts) => match parts.as_slice() {
                [cursor, Reply::Array(names)] => (cursor.as_bytes(), names),
                _ => return Err(Error::Unexpected { addr: addr(), command: "SCAN".into() }),
            },
            Reply::Error(line) => {
                let message = resp::printable(line);
                return Err(Error::Refused { addr: addr(), command: "SCAN".into(), message });
            }
            _ => return Err(Error::Unexpected { addr: addr(), command: "SCAN".into() }),
        };
        self.cursor =
            cursor.cloned().ok_or_else(|| Error::Unexpected { addr: addr(), command: "SCAN".into() })?;
        if self.cursor == "0" {
            self.nodes.pop();
        }
        Ok(Some(names.iter().filter_map(|name| name.as_bytes().cloned()).collect()))
    }

    /// Whether a slot changed its owner since the walk began.
    pub fn disturbed(&self, side: &Side) -> bool {
        side.target().owners() != self.started_with
    }
}

/// Removes names from database `db`. Returns how many were there.
///
/// # Errors
/// The connection's, or UNLINK is refused for good.
pub async fn unlink(side: &mut Side, db: u32, names: &[Bytes]) -> Result<u64, Error> {
    let cluster = side.target().is_cluster();
    let mut removed = 0;
    // Per node in one pipeline; what was redirected or refused is done again one by one.
    let mut by_node: Vec<(NodeId, Vec<&Bytes>)> = Vec::new();
    for name in names {
        let node = side.target().owner(if cluster { slot(name) } else { 0 });
        match by_node.iter_mut().find(|(n, _)| *n == node) {
            Some((_, list)) => list.push(name),
            None => by_node.push((node, vec![name])),
        }
    }
    for (node, list) in by_node {
        let commands: Vec<Vec<Bytes>> =
            list.iter().map(|name| vec![Bytes::from_static(b"UNLINK"), (*name).clone()]).collect();
        let replies = match node {
            NodeId::NONE => Vec::new(),
            _ => side.pipeline_node(node, db, &commands).await.unwrap_or_default(),
        };
        for (index, command) in commands.iter().enumerate() {
            let reply = match replies.get(index) {
                Some(reply @ Reply::Integer(_)) => reply.clone(),
                _ => side.call_slot(if cluster { slot(&command[1]) } else { 0 }, db, command).await?,
            };
            match reply {
                Reply::Integer(count) => removed += count.unsigned_abs(),
                other => {
                    let message = match other {
                        Reply::Error(line) => resp::printable(&line),
                        _ => "unexpected reply".into(),
                    };
                    let addr = side.target().address(node);
                    return Err(Error::Refused { addr, command: "UNLINK".into(), message });
                }
            }
        }
    }
    Ok(removed)
}

/// What `TYPE` says of each name of database `db`, in their order; `none` where it is gone meanwhile.
///
/// # Errors
/// The connection's, or TYPE is refused.
pub async fn types(side: &mut Side, db: u32, names: &[Bytes]) -> Result<Vec<String>, Error> {
    let cluster = side.target().is_cluster();
    let slot_of = |name: &Bytes| if cluster { slot(name) } else { 0 };
    let command = |name: &Bytes| vec![Bytes::from_static(b"TYPE"), name.clone()];
    let mut types = vec![None; names.len()];
    let mut by_node: Vec<(NodeId, Vec<usize>)> = Vec::new();
    for (index, name) in names.iter().enumerate() {
        let node = side.target().owner(slot_of(name));
        match by_node.iter_mut().find(|(n, _)| *n == node) {
            Some((_, list)) => list.push(index),
            None => by_node.push((node, vec![index])),
        }
    }
    for (node, list) in by_node {
        let commands: Vec<Vec<Bytes>> = list.iter().map(|index| command(&names[*index])).collect();
        let replies = match node {
            NodeId::NONE => Vec::new(),
            _ => side.pipeline_node(node, db, &commands).await.unwrap_or_default(),
        };
        for (position, index) in list.into_iter().enumerate() {
            // What was redirected is asked for again, one by one.
            let reply = match replies.get(position) {
                Some(reply) if reply.as_error().is_none() => reply.clone(),
                _ => side.call_slot(slot_of(&names[index]), db, &commands[position]).await?,
            };
            let addr = || side.target().address(node);
            if let Reply::Error(line) = &reply {
                let message = resp::printable(line);
                return Err(Error::Refused { addr: addr(), command: "TYPE".into(), message });
            }
            let word = reply.as_str().map(str::to_owned);
            types[index] =
                Some(word.ok_or_else(|| Error::Unexpected { addr: addr(), command: "TYPE".into() })?);
        }
    }
    Ok(types.into_iter().map(Option::unwrap_or_default).collect())
}

/// Removes every name of database `db` that `belongs` accepts, on every master. With `of_type` only those of whose `TYPE` it
/// says so. Returns how many were there.
///
/// In a cluster a key may move from a node that was not looked at yet to one that was, and the slot map tells nothing of it
/// while its slot migrates. So it is looked until nothing is found, and twice at least: in the second walk such a key stays
/// where it is.
///
/// # Errors
/// As [`Walk::page`] and [`unlink`]; what was removed until then stays removed.
pub async fn remove_matching(
    side: &mut Side,
    db: u32,
    pattern: Option<Bytes>,
    mut belongs: impl FnMut(&Bytes) -> bool,
    of_type: Option<&(dyn Fn(&str) -> bool + Sync)>,
) -> Result<u64, Error> {
    let mut removed = 0;
    let mut first = true;
    loop {
        let before = removed;
        let mut walk = Walk::new(side, db, pattern.clone());
        while let Some(mut names) = walk.page(side).await? {
            names.retain(|name| belongs(name));
            if let Some(of_type) = of_type
                && !names.is_empty()
            {
                let mut types = types(side, db, &names).await?.into_iter();
                names.retain(|_| types.next().is_some_and(|kind| of_type(&kind)));
            }
            if !names.is_empty() {
                removed += unlink(side, db, &names).await?;
            }
        }
        let again = side.target().is_cluster() && (std::mem::take(&mut first) || removed > before);
        if !again && !walk.disturbed(side) {
            return Ok(removed);
        }
    }
}

/// How many keys there are, on every master and in every database.
///
/// # Errors
/// The connection's, or the server refuses to tell.
pub async fn count(side: &mut Side) -> Result<u64, Error> {
    let mut keys = 0;
    for node in side.target().masters() {
        keys += keyspace(side, node).await?.into_iter().map(|(_, count)| count).sum::<u64>();
    }
    Ok(keys)
}

/// The databases of a standalone target that hold keys.
///
/// # Errors
/// As [`count`].
pub async fn used_databases(side: &mut Side) -> Result<Vec<u32>, Error> {
    let mut databases = Vec::new();
    for node in side.target().masters() {
        databases.extend(keyspace(side, node).await?.into_iter().map(|(db, _)| db));
    }
    databases.sort_unstable();
    databases.dedup();
    Ok(databases)
}

/// `INFO keyspace` of one node: databases and their number of keys.
async fn keyspace(side: &mut Side, node: NodeId) -> Result<Vec<(u32, u64)>, Error> {
    let addr = side.target().address(node);
    match side.call_node(node, 0, &["INFO", "KEYSPACE"]).await? {
        Reply::Error(line) => {
            Err(Error::Refused { addr, command: "INFO".into(), message: resp::printable(&line) })
        }
        reply => {
            let text = reply.as_str().ok_or(Error::Unexpected { addr, command: "INFO".into() })?;
            let line = |line: &str| {
                let (db, rest) = line.strip_prefix("db")?.split_once(":keys=")?;
                Some((db.parse().ok()?, rest.split(',').next()?.parse().ok()?))
            };
            Ok(text.lines().filter_map(line).collect())
        }
    }
}

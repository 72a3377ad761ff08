//! One ordered stream of commands to one node: what was written, in order, until its reply is read.
//!
//! The bookkeeping is here; the socket belongs to the task in [`crate::wire`].

use std::collections::VecDeque;

use bytes::{Bytes, BytesMut};
use command::{Effect, Expect};
use tokio::sync::mpsc::UnboundedSender;
use tokio::sync::oneshot;
use tokio::task::AbortHandle;

use crate::tracker::Origin;

/// Bytes collected before a chunk goes to the socket while more input is at hand. From about 1.5 KB on the target's
/// cost per command no longer falls (docs/performance.md).
const CHUNK: usize = 32 * 1024;

/// What a command on its way counts for besides its bytes: what is remembered of it here, and what its keys will take
/// while they are under repair if the connection breaks.
pub(crate) const COST: usize = 256;

/// What the router remembers of a command on its way.
#[derive(Debug, Clone)]
pub(crate) struct Meta {
    /// Order of the commands of one flow.
    pub(crate) seq: u64,
    /// Where the command ends in its chunk (bytes).
    end: u32,
    /// The slot of its keys; 0 on a standalone target.
    pub(crate) slot: u16,
    /// The target's database.
    pub(crate) db: u32,
    pub(crate) effect: Effect,
    pub(crate) origin: Origin,
    /// Which reply contradicts the source (rule 31).
    pub(crate) expect: Expect,
    /// Of a command: a question for the key's expiry goes in front of it (rule 32). Of the lane's own: it is that question.
    pub(crate) probe: bool,
    /// It has more keys than the first.
    pub(crate) many: bool,
    /// Target name of its first key.
    pub(crate) key: Bytes,
}

impl Meta {
    pub(crate) fn new(seq: u64, slot: u16, db: u32, effect: Effect, origin: Origin, key: Bytes) -> Self {
        Meta {
            seq,
            end: 0,
            slot,
            db,
            effect,
            origin,
            expect: Expect::Anything,
            probe: false,
            many: false,
            key,
        }
    }
}

/// A command taken out of its chunk, to be sent again or to be reported.
#[derive(Debug)]
pub(crate) struct Parked {
    pub(crate) meta: Meta,
    /// The encoded command.
    pub(crate) bytes: Bytes,
    /// The slot's owner answered ASK: this command, unlike others of its slot, belongs to the importing node.
    pub(crate) asked: bool,
}

impl Parked {
    /// A command that was not sent yet.
    pub(crate) fn new<A: AsRef<[u8]>>(meta: Meta, args: &[A]) -> Parked {
        let mut bytes = BytesMut::new();
        resp::write_command(&mut bytes, args);
        Parked { meta, bytes: bytes.freeze(), asked: false }
    }

    /// Name and arguments.
    pub(crate) fn args(&self) -> Vec<Bytes> {
        // It was encoded here, so nothing is too large for it.
        let limits = resp::Limits { bulk: usize::MAX, elements: usize::MAX, depth: 1 };
        let mut decoder = resp::RequestDecoder::new(limits);
        decoder.feed(&self.bytes);
        decoder.next().ok().flatten().unwrap_or_default()
    }

    /// Every key that it touches, with its database.
    pub(crate) fn places(&self) -> Vec<(u32, Bytes)> {
        places(&self.meta, &self.args())
    }
}

/// Every key that a command touches, with its database: `MOVE` reaches a second one.
pub(crate) fn places(meta: &Meta, args: &[Bytes]) -> Vec<(u32, Bytes)> {
    let mut places: Vec<_> = command::table::keys(args).into_iter().map(|key| (meta.db, key)).collect();
    if places.is_empty() {
        places.push((meta.db, meta.key.clone()));
    }
    if let [name, key, to] = args
        && name.eq_ignore_ascii_case(b"MOVE")
        && let Some(to) = std::str::from_utf8(to).ok().and_then(|db| db.parse().ok())
    {
        places.push((to, key.clone()));
    }
    places
}

#[derive(Debug)]
struct Chunk {
    bytes: Bytes,
    metas: Vec<Meta>,
    next: usize,
}

impl Chunk {
    fn start_of(&self, index: usize) -> usize {
        if index == 0 { 0 } else { self.metas[index - 1].end as usize }
    }

    fn park(&self, index: usize) -> Parked {
        let bytes = self.bytes.slice(self.start_of(index)..self.metas[index].end as usize);
        Parked { meta: self.metas[index].clone(), bytes, asked: false }
    }
}

/// One lane of a flow.
#[derive(Debug)]
pub(crate) struct Lane {
    /// Tells this connection's events from those of its predecessor.
    pub(crate) generation: u64,
    /// Known once the connection is up.
    pub(crate) client_id: Option<i64>,
    /// The process behind the node; known once the connection is up.
    pub(crate) run_id: Option<String>,
    /// The connection is up.
    pub(crate) connected: bool,
    /// What the watch found behind the node; known once the connection is up.
    pub(crate) incarnation: u64,
    /// Lets the connection be written to, once it is up.
    go: Option<oneshot::Sender<()>>,
    /// The next command changes the expiry of a key that was found to have none (rule 32).
    pub(crate) ambiguous: bool,
    input: UnboundedSender<Bytes>,
    task: AbortHandle,
    db: u32,
    building: BytesMut,
    metas: Vec<Meta>,
    sent: VecDeque<Chunk>,
    /// Bytes written or being collected whose replies are missing, and [`COST`] for each command.
    pub(crate) open_bytes: usize,
}

impl Drop for Lane {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Lane {
    pub(crate) fn new(
        generation: u64,
        input: UnboundedSender<Bytes>,
        go: oneshot::Sender<()>,
        task: AbortHandle,
    ) -> Self {
        Lane {
            generation,
            client_id: None,
            run_id: None,
            connected: false,
            incarnation: 0,
            go: Some(go),
            ambiguous: false,
            input,
            task,
            db: 0,
            building: BytesMut::new(),
            metas: Vec::new(),
            sent: VecDeque::new(),
            open_bytes: 0,
        }
    }

    /// Whether its node has answered on this connection.
    pub(crate) fn is_up(&self) -> bool {
        self.connected
    }

    /// Whether anything may have been written to it.
    pub(crate) fn has_gone(&self) -> bool {
        self.connected && self.go.is_none()
    }

    /// The connection may be written to.
    pub(crate) fn go(&mut self) {
        if let Some(go) = self.go.take() {
            // Where nobody waits for it the connection's end is already on its way as an event.
            let _ = go.send(());
        }
    }

    /// Appends a command, behind a SELECT where the database changes.
    pub(crate) fn push<A: AsRef<[u8]>>(&mut self, meta: Meta, args: &[A]) {
        self.select(meta.db);
        if meta.probe {
            self.push_probe(&meta);
        }
        self.append(meta, |out| resp::write_command(out, args));
    }

    /// Appends a command that is encoded already.
    pub(crate) fn push_encoded(&mut self, parked: Parked) {
        self.select(parked.meta.db);
        if parked.meta.probe {
            self.push_probe(&parked.meta);
        }
        self.append(parked.meta, |out| out.extend_from_slice(&parked.bytes));
    }

    /// Appends a command for the node that imports its slot.
    pub(crate) fn push_asking(&mut self, parked: Parked) {
        if parked.meta.probe {
            self.push_own(&["ASKING"]);
            self.push_probe(&parked.meta);
        }
        self.push_own(&["ASKING"]);
        self.append(parked.meta, |out| out.extend_from_slice(&parked.bytes));
    }

    /// Appends a command that only prepares the next one.
    fn push_own<A: AsRef<[u8]>>(&mut self, args: &[A]) {
        let meta = Meta::new(0, 0, self.db, Effect::Repeatable, Origin::Lane, Bytes::new());
        self.append(meta, |out| resp::write_command(out, args));
    }

    /// Asks for the expiry of the key whose expiry the next command changes (rule 32).
    fn push_probe(&mut self, of: &Meta) {
        let mut meta = Meta::new(0, 0, self.db, Effect::Repeatable, Origin::Lane, Bytes::new());
        meta.probe = true;
        self.append(meta, |out| resp::write_command(out, &[b"PTTL", &of.key[..]]));
    }

    fn select(&mut self, db: u32) {
        if self.db != db {
            self.db = db;
            let number = db.to_string();
            self.push_own(&["SELECT", &number]);
        }
    }

    fn append(&mut self, mut meta: Meta, write: impl FnOnce(&mut BytesMut)) {
        if self.building.capacity() == 0 {
            self.building.reserve(CHUNK + 4096);
        }
        let before = self.building.len();
        write(&mut self.building);
        self.open_bytes += self.building.len() - before + COST;
        // A chunk ends at 32 KiB plus one command, and a command is limited to the protocol's 512 MiB bulk strings;
        // a chunk that long would have been refused by the decoders before.
        meta.end = u32::try_from(self.building.len()).unwrap_or(u32::MAX);
        self.metas.push(meta);
        if self.building.len() >= CHUNK {
            self.flush();
        }
    }

    /// Hands what was collected to the socket.
    pub(crate) fn flush(&mut self) {
        if self.metas.is_empty() {
            return;
        }
        let bytes = self.building.split().freeze();
        let metas = std::mem::take(&mut self.metas);
        self.metas.reserve(metas.len());
        self.sent.push_back(Chunk { bytes: bytes.clone(), metas, next: 0 });
        // A closed channel means that the connection's end is already on its way as an event.
        let _ = self.input.send(bytes);
    }

    /// Takes the oldest unanswered command: a reply for it was read.
    ///
    /// `None` when the target answered more often than it was asked.
    pub(crate) fn answered(&mut self) -> Option<Answered<'_>> {
        let chunk = self.sent.front()?;
        let index = chunk.next;
        let size = chunk.metas[index].end as usize - chunk.start_of(index);
        self.open_bytes -= size + COST;
        Some(Answered { lane: self, index })
    }

    /// The slots of all unanswered commands, one entry a command.
    pub(crate) fn open_slots(&self) -> impl Iterator<Item = u16> {
        let waiting = self.sent.iter().flat_map(|chunk| &chunk.metas[chunk.next..]);
        waiting.chain(&self.metas).filter(|meta| meta.origin != Origin::Lane).map(|meta| meta.slot)
    }

    /// Ends the lane: what was handed to the socket and not answered, and what was only collected.
    pub(crate) fn dismantle(mut self) -> (Vec<Parked>, Vec<Parked>) {
        let mut unanswered = Vec::new();
        let sent = std::mem::take(&mut self.sent);
        for chunk in &sent {
            for index in chunk.next..chunk.metas.len() {
                unanswered.push(chunk.park(index));
            }
        }
        let metas = std::mem::take(&mut self.metas);
        let chunk = Chunk { bytes: self.building.split().freeze(), metas, next: 0 };
        let unsent = (0..chunk.metas.len()).map(|index| chunk.park(index)).collect();
        (unanswered, unsent)
    }
}

/// What is needed of a command that was executed.
#[derive(Debug)]
pub(crate) enum Plain {
    /// It has one key.
    One { origin: Origin, seq: u64, effect: Effect, db: u32, key: Bytes },
    /// Its keys have to be looked up.
    Many(Parked),
}

/// A command whose reply was read and that is about to leave the lane.
pub(crate) struct Answered<'a> {
    lane: &'a mut Lane,
    index: usize,
}

impl Answered<'_> {
    /// What is remembered of it.
    pub(crate) fn meta(&self) -> &Meta {
        &self.lane.sent[0].metas[self.index]
    }

    /// Only what is needed of a command that was executed.
    pub(crate) fn done<R>(self, f: impl FnOnce(&Meta) -> R) -> R {
        let chunk = &mut self.lane.sent[0];
        let result = f(&chunk.metas[self.index]);
        Self::leave(self.lane);
        result
    }

    /// Only what is needed of a command that was executed.
    pub(crate) fn take_plain(self) -> Plain {
        if self.meta().many {
            return Plain::Many(self.park());
        }
        self.done(|meta| Plain::One {
            origin: meta.origin,
            seq: meta.seq,
            effect: meta.effect,
            db: meta.db,
            key: meta.key.clone(),
        })
    }

    /// The whole command.
    pub(crate) fn park(self) -> Parked {
        let parked = self.lane.sent[0].park(self.index);
        Self::leave(self.lane);
        parked
    }

    fn leave(lane: &mut Lane) {
        let chunk = &mut lane.sent[0];
        chunk.next += 1;
        if chunk.next == chunk.metas.len() {
            lane.sent.pop_front();
        }
    }
}

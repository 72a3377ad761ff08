//! Connections in memory: two one-way pipes each, whose bytes arrive late, in pieces, in order, or not at all.
//!
//! An end that is gone takes nothing back: what was written before stays on its way, and a node executes what lies in its
//! receive buffer whenever it comes to it. Repair rule 8 is about exactly that.

use std::collections::VecDeque;
use std::fmt;
use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::{Buf, Bytes, BytesMut};
use resp::{Dial, Dialing};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::random::Random;
use crate::world::World;

/// Number of a connection; never given twice in a schedule.
pub(crate) type ConnId = u64;

/// Who listens at an address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    /// A target server.
    Server(usize),
    /// The source.
    Source,
}

/// What a connection to the source is used for, as far as its requests have told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Part {
    /// Questions: how far the source is, what a key holds.
    Side,
    /// The control connection of a replication.
    Control,
    /// The records of one shard.
    Flow,
}

impl Part {
    /// What a request makes of it.
    pub(crate) fn after(self, request: &[u8]) -> Part {
        let asks = |word: &[u8]| request.windows(word.len()).any(|part| part.eq_ignore_ascii_case(word));
        match self {
            Part::Side if asks(b"\r\nFLOW\r\n") => Part::Flow,
            Part::Side if asks(b"\r\nREPLCONF\r\n") => Part::Control,
            part => part,
        }
    }
}

/// One direction of a connection.
#[derive(Debug, Default)]
pub(crate) struct Pipe {
    flying: VecDeque<(u64, Bytes)>,
    /// What the receiver's kernel holds.
    pub(crate) arrived: BytesMut,
    /// When the last thing put in arrives; nothing later may arrive earlier.
    last: u64,
    /// When the reader sees the end of the stream.
    end: Option<u64>,
    /// Nothing more arrives, and the reader sees an error.
    reset: bool,
    reader: Option<Waker>,
    /// Bytes put in so far.
    pub(crate) total: u64,
}

impl Pipe {
    /// Puts bytes in; returns when pieces of them arrive.
    pub(crate) fn put(&mut self, now: u64, bytes: &[u8], latency: Latency, random: &mut Random) -> Vec<u64> {
        let mut times = Vec::new();
        let mut rest = bytes;
        self.total += bytes.len() as u64;
        while !rest.is_empty() {
            // Mostly whole writes, now and then pieces of any size.
            let cut = if random.chance(latency.split) { 1 + random.below(rest.len()) } else { rest.len() };
            let (piece, after) = rest.split_at(cut);
            rest = after;
            let at = (now + latency.draw(random)).max(self.last);
            self.last = at;
            self.flying.push_back((at, Bytes::copy_from_slice(piece)));
            times.push(at);
        }
        times
    }

    /// Ends the stream behind everything that was put in; returns when.
    pub(crate) fn close(&mut self, now: u64, latency: Latency, random: &mut Random) -> u64 {
        let at = (now + latency.draw(random)).max(self.last);
        *self.end.get_or_insert(at)
    }

    /// Loses what has not arrived, except for the first `keep` bytes of it.
    pub(crate) fn lose(&mut self, mut keep: usize) {
        self.flying.retain_mut(|(_, bytes)| {
            bytes.truncate(keep);
            keep -= bytes.len();
            !bytes.is_empty()
        });
    }

    pub(crate) fn flying_bytes(&self) -> usize {
        self.flying.iter().map(|(_, bytes)| bytes.len()).sum()
    }

    /// Everything that has not arrived comes later, by as much.
    pub(crate) fn delay(&mut self, now: u64, by: u64) -> Vec<u64> {
        self.last = self.last.max(now) + by;
        for (at, _) in &mut self.flying {
            *at += by;
        }
        if let Some(end) = &mut self.end {
            *end += by;
        }
        self.flying.iter().map(|(at, _)| *at).chain(self.end).collect()
    }

    /// Breaks it for the reader, at once.
    pub(crate) fn break_off(&mut self) {
        self.reset = true;
        self.wake();
    }

    /// Moves what has arrived by `now`.
    pub(crate) fn arrive(&mut self, now: u64) {
        while let Some((at, _)) = self.flying.front()
            && *at <= now
            && let Some((_, bytes)) = self.flying.pop_front()
        {
            self.arrived.extend_from_slice(&bytes);
        }
        self.wake();
    }

    /// Whether the reader has, or will have, nothing more to read.
    pub(crate) fn ended(&self, now: u64) -> bool {
        self.flying.is_empty() && self.end.is_some_and(|at| at <= now)
    }

    fn wake(&mut self) {
        if let Some(reader) = self.reader.take() {
            reader.wake();
        }
    }

    fn poll_read(&mut self, now: u64, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if self.reset {
            return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()));
        }
        if !self.arrived.is_empty() {
            let count = self.arrived.len().min(buf.remaining());
            buf.put_slice(&self.arrived[..count]);
            self.arrived.advance(count);
            return Poll::Ready(Ok(()));
        }
        if self.ended(now) {
            return Poll::Ready(Ok(()));
        }
        self.reader = Some(cx.waker().clone());
        Poll::Pending
    }
}

/// How long bytes are on their way.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Latency {
    pub(crate) min_ms: u64,
    pub(crate) max_ms: u64,
    /// How many writes out of a hundred are taken apart.
    pub(crate) split: u64,
}

impl Latency {
    pub(crate) fn draw(self, random: &mut Random) -> u64 {
        random.within(self.min_ms..=self.max_ms)
    }
}

/// One connection, from its dialling until both ends are gone.
#[derive(Debug)]
pub(crate) struct Conn {
    pub(crate) place: Place,
    /// What it is used for.
    pub(crate) part: Part,
    /// Which life of the engine dialled it.
    pub(crate) life: u64,
    pub(crate) up: Pipe,
    pub(crate) down: Pipe,
    /// The engine's end is dropped, or its process is gone.
    pub(crate) client_gone: bool,
    /// The server's end is gone: writes lead nowhere.
    pub(crate) server_gone: bool,
    /// The server does not read before this time.
    pub(crate) stalled_until: u64,
    /// A node was sent a write over it.
    pub(crate) wrote: bool,
}

impl Conn {
    pub(crate) fn new(place: Place, life: u64) -> Self {
        Conn {
            place,
            part: Part::Side,
            life,
            up: Pipe::default(),
            down: Pipe::default(),
            client_gone: false,
            server_gone: false,
            stalled_until: 0,
            wrote: false,
        }
    }
}

/// The network of one life of the engine.
#[derive(Clone)]
pub(crate) struct Dialer {
    pub(crate) world: World,
    pub(crate) life: u64,
}

impl fmt::Debug for Dialer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Dialer({})", self.life)
    }
}

impl Dial for Dialer {
    fn dial(&self, addr: &str) -> Dialing {
        let (dialer, addr) = (self.clone(), addr.to_owned());
        Box::pin(async move {
            let Dialer { world, life } = dialer;
            if !world.lives(life) {
                // Its process is gone; the task only does not know it yet.
                return poll_fn(|_| Poll::Pending).await;
            }
            let wait = world.connect_latency();
            tokio::time::sleep(Duration::from_millis(wait)).await;
            let id = world.connect(life, &addr)?;
            Ok(Box::new(End { world, id, client: true }) as _)
        })
    }
}

/// One end of a connection.
pub(crate) struct End {
    pub(crate) world: World,
    pub(crate) id: ConnId,
    pub(crate) client: bool,
}

impl fmt::Debug for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "End({}, client: {})", self.id, self.client)
    }
}

impl AsyncRead for End {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let now = self.world.now_ms();
        self.world.with(|state| {
            let living = state.living;
            let Some(conn) = state.conns.get_mut(&self.id) else {
                return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()));
            };
            match self.client {
                true if conn.life != living => Poll::Pending,
                true => conn.down.poll_read(now, cx, buf),
                false => conn.up.poll_read(now, cx, buf),
            }
        })
    }
}

impl AsyncWrite for End {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.world.write(self.id, self.client, buf)
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.world.shut(self.id, self.client);
        Poll::Ready(Ok(()))
    }
}

impl Drop for End {
    fn drop(&mut self) {
        self.world.dropped(self.id, self.client);
    }
}

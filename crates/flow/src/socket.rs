//! One flow's connection.

use std::io;

use bytes::{BufMut, BytesMut};
use handshake::{EofToken, FlowKind};
use resp::{Reader, Writer, write_command};
use tokio::io::AsyncWriteExt;

/// A connection that the master has turned into a flow.
#[derive(Debug)]
pub struct FlowSocket {
    /// Number of the flow, which is the number of the master's shard.
    pub id: usize,
    /// Ends the RDB part of the stream, if it has one.
    pub eof_token: EofToken,
    pub(crate) kind: FlowKind,
    pub(crate) reader: FlowReader,
    pub(crate) writer: AckWriter,
}

impl FlowSocket {
    pub(crate) fn new(id: usize, kind: FlowKind, eof_token: EofToken, connection: resp::Connection) -> Self {
        let (reader, writer, unread) = connection.into_parts();
        FlowSocket {
            id,
            eof_token,
            kind,
            reader: FlowReader { id, inner: reader, unread },
            writer: AckWriter { id, inner: writer },
        }
    }

    /// The two directions. The flow, and with it the whole attachment, ends when either is dropped.
    pub fn split(self) -> (FlowReader, AckWriter) {
        (self.reader, self.writer)
    }
}

/// The bytes of one flow, behind the reply to DFLY FLOW. Independent of the [`Attachment`](crate::Attachment), so
/// that flows are read while SYNC or STARTSTABLE are pending.
#[derive(Debug)]
pub struct FlowReader {
    id: usize,
    inner: Reader,
    unread: BytesMut,
}

impl FlowReader {
    /// Number of the flow.
    pub fn id(&self) -> usize {
        self.id
    }

    /// Waits for bytes and appends what has arrived, up to the spare capacity of `buf` (made 64 KiB where it is below
    /// 4 KiB). 0 is the end of the stream, which ends the attachment. Dropping the future loses nothing.
    ///
    /// An idle flow is silent without end; a peer that is gone shows as an error after about 15 s.
    pub async fn read_chunk(&mut self, buf: &mut BytesMut) -> io::Result<usize> {
        if !self.unread.is_empty() {
            let n = self.unread.len();
            if buf.is_empty() {
                *buf = std::mem::take(&mut self.unread);
            } else {
                buf.put_slice(&self.unread);
                self.unread = BytesMut::new();
            }
            return Ok(n);
        }
        self.inner.read_chunk(buf).await
    }
}

/// The sending side of one flow: carries ACKs and nothing else.
#[derive(Debug)]
pub struct AckWriter {
    id: usize,
    inner: Writer,
}

impl AckWriter {
    /// Number of the flow.
    pub fn id(&self) -> usize {
        self.id
    }

    /// Sends `REPLCONF ACK <next>`: the LSN of the next record, everything below it being applied on the target.
    /// It is never answered. [`Acker`](crate::Acker) does this when it is due.
    pub async fn ack(&mut self, next: u64) -> io::Result<()> {
        let mut out = BytesMut::new();
        write_command(&mut out, &["REPLCONF", "ACK", &next.to_string()]);
        self.inner.write_all(&out).await?;
        self.inner.flush().await
    }
}

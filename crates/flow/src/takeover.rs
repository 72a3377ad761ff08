//! Whether another master goes on where the former one ended (rule 22).

use std::io;

use bytes::BytesMut;
use handshake::{Control, FlowKind, ResumeStyle};
use journal::Entry;
use rdb::Item;
use tracing::{debug, info};

use crate::alive::while_alive;
use crate::attach::{Resume, Start, open_flows};
use crate::attachment::SourceOptions;
use crate::error::AttachError;
use crate::socket::{FlowReader, FlowSocket};

/// How a master ended, as seen by the process that was attached to it.
///
/// A takeover locks the master, writes a PING as the last record of every shard, waits for all replicas to acknowledge
/// it, and ends the process (v1.40.1 `dflycmd.cc` TakeOver; observed). PINGs are written for WAIT too, which is why both
/// parts are asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Parting {
    /// [`Attachment::is_taken_over`](crate::Attachment::is_taken_over), asked after the first of the PINGs, said yes.
    pub taken_over: bool,
    /// Per flow the LSN behind the newest PING received, 0 where there was none.
    pub pings: Vec<u64>,
}

impl Parting {
    fn doubt(&self, resume: &Resume) -> Option<&'static str> {
        if !self.taken_over {
            return Some("the former source did not say that it was taken over");
        }
        if self.pings != resume.lsns || resume.lsns.contains(&0) {
            return Some("the end of the former source was not received on every flow");
        }
        None
    }
}

/// Why the greeted master must not be asked to go on, or nothing.
pub(crate) async fn doubt(
    options: &SourceOptions,
    mut control: Control,
    resume: &Resume,
    parting: &Parting,
) -> Result<Option<&'static str>, AttachError> {
    let greeting = control.greeting().clone();
    let early = match greeting.release {
        _ if greeting.flows != resume.lsns.len() => Some("it has another number of flows"),
        Some(release) if !release.continues_after_takeover() => Some("its release does not keep LSNs"),
        None if !greeting.custom_build => Some("its release is not known"),
        _ => parting.doubt(resume),
    };
    if early.is_some() {
        return Ok(early);
    }
    // One record back on every flow.
    let lsns = resume.lsns.iter().map(|next| next - 1).collect();
    let before = Resume { replid: resume.replid.clone(), lsns };
    let flows = match open_flows(options, &greeting, Start::After(&before)).await {
        Ok(flows) => flows,
        Err(error) if matches!(error.cause(), Some(handshake::Error::Refused { .. })) => {
            return Ok(Some("it does not know the former source"));
        }
        Err(error) => return Err(error),
    };
    let partial = flows.iter().all(|f| f.kind == FlowKind::Partial);
    let doubt = if partial {
        let (connect, liveness) = (&options.connect, options.timeouts.liveness);
        let framed = greeting.resume_style() == ResumeStyle::Rdb;
        if framed {
            while_alive(connect, liveness, control.sync(options.timeouts.sync)).await?;
        } else {
            while_alive(connect, liveness, control.start_stable(options.timeouts.start_stable)).await?;
        }
        let looked =
            tokio::time::timeout(options.timeouts.liveness, all_begin_with_ping(flows, framed)).await;
        debug!(?looked, "records in front of the position");
        match looked {
            Ok(Ok(true)) => None,
            Ok(Ok(false)) => Some("it has a record of its own where the former source's last one was"),
            Ok(Err(_)) | Err(_) => Some("it did not send the former source's last record"),
        }
    } else {
        Some("it does not hold the former source's last record")
    };
    control.close(options.timeouts.close).await;
    info!(addr = options.connect.addr, doubt, "source has changed");
    Ok(doubt)
}

/// Whether the first record of every flow is a PING. The flows stay open until all were looked at: the first one closed
/// ends them all.
async fn all_begin_with_ping(flows: Vec<FlowSocket>, framed: bool) -> io::Result<bool> {
    let mut halves: Vec<_> = flows.into_iter().map(FlowSocket::split).collect();
    let mut all = true;
    for (reader, _) in &mut halves {
        all &= if framed { framed_ping(reader).await? } else { raw_ping(reader).await? };
    }
    Ok(all)
}

fn invalid(error: impl std::error::Error + Send + Sync + 'static) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, error)
}

async fn more(reader: &mut FlowReader) -> io::Result<bytes::Bytes> {
    let mut buf = BytesMut::new();
    match reader.read_chunk(&mut buf).await? {
        0 => Err(io::ErrorKind::UnexpectedEof.into()),
        _ => Ok(buf.freeze()),
    }
}

async fn raw_ping(reader: &mut FlowReader) -> io::Result<bool> {
    let mut decoder = journal::Decoder::new(journal::Limits::default());
    loop {
        match decoder.next().map_err(invalid)? {
            Some(Entry::Lsn(_)) => {}
            Some(entry) => return Ok(entry == Entry::Ping),
            None => decoder.feed(more(reader).await?),
        }
    }
}

/// The form of releases before 1.35: records as blobs in a stream that looks like a snapshot.
async fn framed_ping(reader: &mut FlowReader) -> io::Result<bool> {
    let mut decoder = rdb::Decoder::new(rdb::Limits::default());
    loop {
        match decoder.next().map_err(invalid)? {
            Some(Item::Header { .. } | Item::Aux { .. } | Item::SelectDb(_)) => {}
            Some(Item::JournalBlob(blob)) => {
                return Ok(journal::decode_blob(blob).map_err(invalid)? == Entry::Ping);
            }
            Some(_) => return Ok(false),
            None => decoder.feed(more(reader).await?),
        }
    }
}

//! The head record: everything that is written together, in one value of the store.

use crate::codec::{DecodeError, Decoder, Encoder};
use crate::upgrade::CURRENT;
use crate::{Phase, State, TargetIdentity};

/// The head record. One value, so one write of the store changes all of it or nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Head {
    /// Counts durable writes; the guard file repeats it.
    pub(crate) generation: u64,
    /// Entries of the not-in-sync list.
    pub(crate) listed: u64,
    /// Sum of the entries' digests: the store may lose older pages while it still has this record.
    pub(crate) list_digest: u64,
    /// What the engine wrote last.
    pub(crate) state: Option<State>,
}

impl Head {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut out = Encoder::new(CURRENT);
        out.u64(self.generation);
        out.u64(self.listed);
        out.u64(self.list_digest);
        match &self.state {
            None => out.u8(0),
            Some(state) => {
                out.u8(1);
                encode_state(&mut out, state);
            }
        }
        out.finish(&[])
    }
}

fn encode_state(out: &mut Encoder, state: &State) {
    out.u8(match state.phase {
        Phase::None => 0,
        Phase::FullSync => 1,
        Phase::Stable => 2,
    });
    out.text(&state.replication_id);
    out.u64s(&state.applied);
    out.u64s(&state.reserved);
    out.u8(u8::from(state.reconcile));
    match &state.target {
        TargetIdentity::Standalone { address, run_id } => {
            out.u8(0);
            out.text(address);
            out.text(run_id);
        }
        TargetIdentity::Cluster { node_ids } => {
            out.u8(1);
            out.texts(node_ids);
        }
    }
    out.u64(state.updated_at_ms);
}

/// The body of version 1.
pub(crate) fn decode_body(mut body: Decoder<'_>) -> Result<Head, DecodeError> {
    let mut head =
        Head { generation: body.u64()?, listed: body.u64()?, list_digest: body.u64()?, state: None };
    if flag(body.u8()?)? {
        head.state = Some(decode_state(&mut body)?);
    }
    body.end()?;
    Ok(head)
}

fn decode_state(body: &mut Decoder<'_>) -> Result<State, DecodeError> {
    Ok(State {
        phase: match body.u8()? {
            0 => Phase::None,
            1 => Phase::FullSync,
            2 => Phase::Stable,
            _ => return Err(DecodeError::Damaged("a phase is unknown")),
        },
        replication_id: body.text()?,
        applied: body.u64s()?,
        reserved: body.u64s()?,
        reconcile: flag(body.u8()?)?,
        target: match body.u8()? {
            0 => TargetIdentity::Standalone { address: body.text()?, run_id: body.text()? },
            1 => TargetIdentity::Cluster { node_ids: body.texts()? },
            _ => return Err(DecodeError::Damaged("a kind of target is unknown")),
        },
        updated_at_ms: body.u64()?,
    })
}

fn flag(byte: u8) -> Result<bool, DecodeError> {
    match byte {
        0 => Ok(false),
        1 => Ok(true),
        _ => Err(DecodeError::Damaged("a flag is neither 0 nor 1")),
    }
}

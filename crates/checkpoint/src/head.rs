//! The head record: everything that is written together, in one value of the store.

use crate::codec::{DecodeError, Decoder, Encoder};
use crate::schedule::Sum;
use crate::upgrade::CURRENT;
use crate::{Kept, NodeMark, Phase, State, TargetIdentity};

/// The head record. One value, so one write of the store changes all of it or nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Head {
    /// Counts durable writes; the guard file repeats it.
    pub(crate) generation: u64,
    /// Entries of the not-in-sync list.
    pub(crate) listed: u64,
    /// Sum of the entries' digests: the store may lose older pages while it still has this record.
    pub(crate) list_digest: u64,
    /// Name of the checkpoint, 16 hex digits; empty before the first start of a version that gives one.
    pub(crate) name: String,
    /// Keys of the schedule, and the sum of their digests.
    pub(crate) scheduled: Sum,
    /// What the engine wrote last.
    pub(crate) state: Option<State>,
}

impl Head {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut out = Encoder::new(CURRENT);
        out.u64(self.generation);
        out.u64(self.listed);
        out.u64(self.list_digest);
        out.text(&self.name);
        out.u64(self.scheduled.keys);
        out.u64(self.scheduled.digest);
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
    out.u64(state.nodes.len() as u64);
    for node in &state.nodes {
        out.text(&node.address);
        out.text(&node.run_id);
        out.text(&node.replication_id);
        out.u64(node.offset);
        out.u8(match node.kept {
            Kept::Part => 0,
            Kept::All => 1,
            Kept::Always => 2,
        });
        out.u64(node.keys);
        out.u64(node.taken_ms);
    }
}

/// The body of version 2 or of the format written today.
pub(crate) fn decode_body(version: u8, mut body: Decoder<'_>) -> Result<Head, DecodeError> {
    let mut head = Head {
        generation: body.u64()?,
        listed: body.u64()?,
        list_digest: body.u64()?,
        name: body.text()?,
        scheduled: Sum::default(),
        state: None,
    };
    if !well_named(&head.name) {
        return Err(DecodeError::Damaged("a name is not 16 hex digits"));
    }
    if version >= 3 {
        head.scheduled = Sum { keys: body.u64()?, digest: body.u64()? };
    }
    if flag(body.u8()?)? {
        let mut state = decode_state(&mut body)?;
        state.nodes = (0..body.u64()?).map(|_| decode_node(&mut body)).collect::<Result<_, _>>()?;
        head.state = Some(state);
    }
    body.end()?;
    Ok(head)
}

fn well_named(name: &str) -> bool {
    name.is_empty() || (name.len() == 16 && name.bytes().all(|b| b.is_ascii_hexdigit()))
}

fn decode_node(body: &mut Decoder<'_>) -> Result<NodeMark, DecodeError> {
    Ok(NodeMark {
        address: body.text()?,
        run_id: body.text()?,
        replication_id: body.text()?,
        offset: body.u64()?,
        kept: match body.u8()? {
            0 => Kept::Part,
            1 => Kept::All,
            2 => Kept::Always,
            _ => return Err(DecodeError::Damaged("a kind of persistence is unknown")),
        },
        keys: body.u64()?,
        taken_ms: body.u64()?,
    })
}

/// What every version so far keeps of a state, in the order of version 1; later fields follow it.
pub(crate) fn decode_state(body: &mut Decoder<'_>) -> Result<State, DecodeError> {
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
        nodes: Vec::new(),
    })
}

pub(crate) fn flag(byte: u8) -> Result<bool, DecodeError> {
    match byte {
        0 => Ok(false),
        1 => Ok(true),
        _ => Err(DecodeError::Damaged("a flag is neither 0 nor 1")),
    }
}

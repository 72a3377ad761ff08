//! Commands of one round trip, by node, and what was answered.

use std::ops::Range;

use bytes::BytesMut;
use resp::{Reply, RequestDecoder, write_command};
use router::NodeId;

/// Commands that go out together, encoded.
#[derive(Debug, Default)]
pub(crate) struct Questions {
    lanes: Vec<Lane>,
    count: usize,
}

/// The commands for one node.
#[derive(Debug)]
pub(crate) struct Lane {
    pub(crate) node: NodeId,
    pub(crate) slots: Vec<u16>,
    pub(crate) out: BytesMut,
    /// Where each command begins.
    starts: Vec<usize>,
    /// Its number over all nodes.
    numbers: Vec<usize>,
}

impl Questions {
    /// Adds a command; the number of its reply.
    pub(crate) fn push(&mut self, place: Place, args: &[&[u8]]) -> usize {
        let lane = match self.lanes.iter().position(|lane| lane.node == place.node) {
            Some(at) => &mut self.lanes[at],
            None => {
                self.lanes.push(Lane::new(place.node));
                self.lanes.last_mut().expect("just pushed")
            }
        };
        lane.starts.push(lane.out.len());
        lane.numbers.push(self.count);
        lane.slots.push(place.slot);
        write_command(&mut lane.out, args);
        self.count += 1;
        self.count - 1
    }

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.count
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.count == 0
    }

    pub(crate) fn into_lanes(self) -> (usize, Vec<Lane>) {
        (self.count, self.lanes)
    }
}

/// Where a command goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) node: NodeId,
    pub(crate) slot: u16,
}

impl Lane {
    fn new(node: NodeId) -> Lane {
        Lane { node, slots: Vec::new(), out: BytesMut::new(), starts: Vec::new(), numbers: Vec::new() }
    }

    pub(crate) fn len(&self) -> usize {
        self.starts.len()
    }

    /// The number of its command `at`, over all nodes.
    pub(crate) fn number(&self, at: usize) -> usize {
        self.numbers[at]
    }

    fn range(&self, at: usize) -> Range<usize> {
        self.starts[at]..self.starts.get(at + 1).copied().unwrap_or(self.out.len())
    }

    /// The arguments of its command `at`.
    pub(crate) fn args(&self, at: usize) -> Vec<bytes::Bytes> {
        let mut decoder = RequestDecoder::default();
        decoder.feed(&self.out[self.range(at)]);
        decoder.next().ok().flatten().expect("what was encoded here decodes")
    }
}

/// The replies, by number.
#[derive(Debug)]
pub(crate) struct Answers(pub(crate) Vec<Reply>);

impl Answers {
    pub(crate) fn at(&self, number: usize) -> &Reply {
        &self.0[number]
    }

    pub(crate) fn take(&mut self, number: usize) -> Reply {
        std::mem::replace(&mut self.0[number], Reply::Nil)
    }
}

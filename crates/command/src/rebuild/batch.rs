//! Element commands of bounded size.

use bytes::Bytes;

use super::{Rebuild, effect};
use crate::{rewrite::decimal, target::TargetCommand};

/// Most elements of one command: nothing is gained beyond about 100, and one command should not keep the server busy.
const MAX_ELEMENTS: usize = 512;
/// Size that one command is aimed at, in bytes of its elements. One larger element makes one larger command.
const MAX_BYTES: usize = 64 << 10;

/// Gathers elements of one key into commands.
#[derive(Debug)]
pub(super) struct Batch {
    db: u32,
    slot: u16,
    name: Bytes,
    done: Vec<TargetCommand>,
    verb: &'static str,
    open: Vec<Bytes>,
    elements: usize,
    bytes: usize,
}

impl Batch {
    pub(super) fn new(of: &Rebuild) -> Self {
        Self {
            db: of.db,
            slot: of.slot,
            name: of.name.clone(),
            done: Vec::new(),
            verb: "",
            open: Vec::new(),
            elements: 0,
            bytes: 0,
        }
    }

    /// Adds one element to the open command of this name, or to a new one.
    pub(super) fn add<const N: usize>(&mut self, verb: &'static str, element: [Bytes; N]) {
        let size: usize = element.iter().map(Bytes::len).sum();
        let full = self.elements >= MAX_ELEMENTS || self.bytes + size > MAX_BYTES;
        if self.elements > 0 && (full || self.verb != verb) {
            self.close();
        }
        if self.elements == 0 {
            self.verb = verb;
            self.open = vec![Bytes::from_static(verb.as_bytes()), self.name.clone()];
        }
        self.open.extend(element);
        self.elements += 1;
        self.bytes += size;
    }

    /// A command by itself: `verb key rest...`.
    pub(super) fn whole(&mut self, verb: &'static str, rest: impl IntoIterator<Item = Bytes>) {
        let args = [Bytes::from_static(verb.as_bytes()), self.name.clone()].into_iter().chain(rest).collect();
        self.push(verb, args);
    }

    /// A command with a subcommand in front of the key.
    pub(super) fn subcommand(
        &mut self,
        verb: &'static str,
        sub: &'static str,
        rest: impl IntoIterator<Item = Bytes>,
    ) {
        let head =
            [Bytes::from_static(verb.as_bytes()), Bytes::from_static(sub.as_bytes()), self.name.clone()];
        self.push(verb, head.into_iter().chain(rest).collect());
    }

    /// `HPEXPIREAT` for fields with their expiry in unix seconds, one command for each expiry.
    pub(super) fn field_ttls(&mut self, mut fields: Vec<(u64, Bytes)>) {
        fields.sort_by_key(|(at_s, _)| *at_s);
        for same in fields.chunk_by(|a, b| a.0 == b.0) {
            for part in same.chunks(MAX_ELEMENTS) {
                let head = [
                    decimal(part[0].0.saturating_mul(1000)),
                    Bytes::from_static(b"FIELDS"),
                    decimal(part.len()),
                ];
                self.whole("HPEXPIREAT", head.into_iter().chain(part.iter().map(|(_, field)| field.clone())));
            }
        }
    }

    /// All commands, in order.
    pub(super) fn finish(mut self) -> Vec<TargetCommand> {
        self.close();
        self.done
    }

    fn push(&mut self, verb: &'static str, args: Vec<Bytes>) {
        self.close();
        let (db, slot, key) = (self.db, self.slot, self.name.clone());
        self.done.push(TargetCommand { db, slot, args, key, effect: effect(verb) });
    }

    fn close(&mut self) {
        if self.elements > 0 {
            self.elements = 0;
            self.bytes = 0;
            let args = std::mem::take(&mut self.open);
            let (db, slot, key) = (self.db, self.slot, self.name.clone());
            self.done.push(TargetCommand { db, slot, args, key, effect: effect(self.verb) });
        }
    }
}

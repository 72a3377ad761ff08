//! What was read of a key.

use std::fs::File;
use std::io;

use crate::spill::Unspill;

/// What a fence found of a key.
#[derive(Debug)]
pub enum Value {
    /// The key does not exist: to be deleted.
    Absent,
    /// The value as items of a snapshot: one [`rdb::Item::Value`], or a begin, pieces and an end. They replace the key.
    Items(Vec<rdb::Item>),
    /// The same, in a file.
    File(SpilledValue),
    /// Too large to be read together with others: ask for it in a batch of its own.
    TooBig,
    /// Cannot be read, and why; tried again from time to time.
    Unreadable(String),
}

impl Value {
    /// Bytes in memory, roughly.
    #[must_use]
    pub fn bytes(&self) -> usize {
        match self {
            Value::Items(items) => items.iter().map(item_bytes).sum(),
            Value::Absent | Value::File(_) | Value::TooBig => 64,
            Value::Unreadable(reason) => reason.len(),
        }
    }
}

/// What an element costs besides its bytes.
const ELEMENT: usize = 32;

fn item_bytes(item: &rdb::Item) -> usize {
    match item {
        rdb::Item::Value(value) => 128 + value.meta.key.len() + value.payload.len(),
        rdb::Item::Piece { piece: rdb::Piece::List(elements), .. } => {
            elements.iter().map(|e| e.len() + ELEMENT).sum()
        }
        rdb::Item::Piece { piece: rdb::Piece::String(bytes), .. } => bytes.len() + ELEMENT,
        _ => 128,
    }
}

/// A value in an unnamed file, which vanishes with this.
#[derive(Debug)]
pub struct SpilledValue {
    pub(crate) file: File,
    pub(crate) bytes: u64,
}

impl SpilledValue {
    /// Size of the file.
    #[must_use]
    pub fn file_bytes(&self) -> u64 {
        self.bytes
    }

    /// The items from the beginning.
    #[must_use]
    pub fn items(self) -> SpilledItems {
        SpilledItems { unspill: Unspill::new(self.file) }
    }
}

/// The items of a value in a file, one after the other; a page in memory at a time.
#[derive(Debug)]
pub struct SpilledItems {
    unspill: Unspill,
}

impl SpilledItems {
    /// The next item; `None` behind the last. The file is a local one and was just written: reading does not wait for
    /// anybody.
    ///
    /// # Errors
    /// The file cannot be read, or does not hold what was written.
    #[allow(clippy::should_implement_trait)]
    pub fn next(&mut self) -> io::Result<Option<rdb::Item>> {
        self.unspill.next()
    }
}

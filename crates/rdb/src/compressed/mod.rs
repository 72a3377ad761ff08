//! Compressed blobs (opcodes `C9` and `CA`), decompressed block by block as the items inside are read.
//!
//! Lengths and layouts: `rdb_save.cc` `CompressBlob`, `detail/decompress.cc` (v1.40.1).

mod lz4;
mod zstd;

use bytes::Bytes;

use crate::window::Window;
use crate::{Error, Limits};

/// What became of a blob.
#[derive(Debug)]
pub(crate) enum Pump {
    /// The next plain bytes; never empty.
    Block(Bytes),
    /// More compressed bytes are needed.
    Starved,
    /// The blob is over.
    End,
}

/// A blob that is being decompressed.
#[derive(Debug)]
pub(crate) enum Blob {
    Lz4(lz4::Frame),
    Zstd(zstd::Frame),
}

impl Blob {
    /// An LZ4 blob of `size` compressed bytes.
    pub(crate) fn lz4(size: u64) -> Self {
        Self::Lz4(lz4::Frame::new(size))
    }

    /// A ZSTD blob of `size` compressed bytes.
    pub(crate) fn zstd(size: u64, limits: &Limits) -> Result<Self, Error> {
        Ok(Self::Zstd(zstd::Frame::new(size, limits.zstd_window_log)?))
    }

    /// Decompresses one block of what `raw` holds.
    pub(crate) fn pump(&mut self, raw: &mut Window) -> Result<Pump, Error> {
        match self {
            Self::Lz4(frame) => frame.pump(raw),
            Self::Zstd(frame) => frame.pump(raw),
        }
    }
}

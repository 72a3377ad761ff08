//! Bounds on what a stream may make us hold.

/// Bounds of a [`crate::Decoder`]; every length off the wire is compared with one of them before it is believed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Largest value, in raw bytes as on the wire, that is handed out whole as [`crate::Value`]. Default 256 KiB.
    pub whole_value: usize,
    /// Size a [`crate::Piece`] is aimed at, in bytes of its elements. One larger element makes one larger piece.
    /// Default 64 KiB.
    pub piece: usize,
    /// Largest single string (key, element, listpack node, script), raw or after LZF. Default 512 MiB, the bound
    /// that Redis puts on a string by default (`proto-max-bulk-len`).
    pub max_string: usize,
    /// Values of tagged chunks that may be open at the same time on one flow. Default 4096.
    pub max_open_values: usize,
    /// Largest consumer-group part of one stream, in raw bytes: it has to be whole, because delivery times precede
    /// the consumers they belong to. Default 512 MiB.
    pub max_stream_tail: usize,
    /// Largest window of a ZSTD frame as a power of two. Default 27 (128 MiB), the decoder's own default.
    pub zstd_window_log: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            whole_value: 256 << 10,
            piece: 64 << 10,
            max_string: 512 << 20,
            max_open_values: 4096,
            max_stream_tail: 512 << 20,
            zstd_window_log: 27,
        }
    }
}

//! Bounds on what a flow's repairs may hold.

/// Bounds of one flow's [`crate::Repairs`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Most bytes of records that wait for the value of their key. Over it, the key that holds most is read again.
    /// Default 16 MiB.
    pub held_bytes: usize,
    /// No further fence while values of this many bytes wait for their place. One fence adds at most what the
    /// reader's own limits allow. Default 16 MiB.
    pub value_bytes: usize,
    /// Most keys of one fence. Default 512.
    pub keys_per_fence: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Limits { held_bytes: 16 << 20, value_bytes: 16 << 20, keys_per_fence: 512 }
    }
}

//! Bounds on what a journal may make us hold.

/// Bounds of a [`crate::Decoder`]; every length off the wire is compared with one of them before it is believed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Most arguments of one record, its name included. Default 16 Mi.
    pub max_args: usize,
    /// Largest argument in bytes. Default 512 MiB.
    pub max_arg: usize,
    /// Largest record, in bytes of all arguments. Default 1 GiB.
    pub max_total: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { max_args: 16 << 20, max_arg: 512 << 20, max_total: 1 << 30 }
    }
}

//! The commands.

use crate::target::Effect;

/// One row of the table.
#[derive(Debug)]
pub struct Spec {
    /// Name in upper case.
    pub name: &'static str,
    /// What a second execution leads to.
    pub effect: Effect,
    /// First Redis release (major, minor) that has it; `None` for commands of modules and of Dragonfly alone.
    pub since: Option<(u32, u32)>,
}

impl Spec {
    /// Position in [`all`].
    #[must_use]
    pub fn index(&self) -> usize {
        0
    }
}

/// All rows.
#[must_use]
pub fn all() -> &'static [Spec] {
    &[]
}

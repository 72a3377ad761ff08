//! `demo`.

use crate::failure::Failure;

/// Runs the demonstration.
pub(crate) fn run() -> Result<(), Failure> {
    Err(Failure::usage("`demo` is not available in this version"))
}

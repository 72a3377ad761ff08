//! A child process that never outlives its owner.

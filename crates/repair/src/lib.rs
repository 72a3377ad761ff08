//! Repair of single keys.

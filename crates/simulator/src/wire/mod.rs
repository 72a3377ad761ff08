//! The bytes a Dragonfly master writes.

pub(crate) mod dump;
pub(crate) mod journal;
pub(crate) mod listpack;
pub(crate) mod primitive;
pub(crate) mod rdb;
pub(crate) mod values;
mod ziplist;

#[cfg(test)]
mod tests;

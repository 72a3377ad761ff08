//! What the scenarios share: real servers, captures, an independent compare.

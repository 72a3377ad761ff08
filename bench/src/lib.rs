//! Benchmarks of the whole program.

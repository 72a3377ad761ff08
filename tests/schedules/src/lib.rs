//! Random schedules for the real engine; all of it is in `tests/engine`.
//!
//! Clock, network, source, target and checkpoint are in memory, so one seed is one run, down to the order of bytes:
//!
//! ```text
//! cargo test -p schedules                                 what CI runs
//! SCHEDULES=100000 cargo test -p schedules schedules      more of them
//! SCHEDULE_FAULTS=20 cargo test -p schedules schedules    with so many faults in each, instead of one to five
//! SCHEDULE_SEED=4711 cargo test -p schedules schedules -- --nocapture    one of them, told step by step
//! ```

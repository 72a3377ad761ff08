//! Whatever the sizes and whoever is faster: the bytes come out in order, within the bounds.
#![allow(clippy::unwrap_used)]

mod support;

use bytes::Bytes;
use proptest::prelude::*;
use spool::{PushError, WhenFull, open};
use support::{bytes, drain, files, options, try_push, until};

#[derive(Debug, Clone)]
enum Step {
    /// Push a chunk of this length.
    Push(usize),
    /// Take so many chunks, if they are in memory.
    Take(usize),
    /// Take one chunk, after waiting for the disk.
    Wait,
    /// Let the disk catch up.
    Yield,
    /// Change the bound of the memory, in percent.
    Limit(usize),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        8 => (1..400usize).prop_map(Step::Push),
        2 => (1..12usize).prop_map(Step::Take),
        2 => Just(Step::Wait),
        1 => Just(Step::Yield),
        1 => (40..100usize).prop_map(Step::Limit),
    ]
}

#[derive(Debug, Default)]
struct Model {
    pushed: u64,
    taken: u64,
}

impl Model {
    fn take(&mut self, chunk: &Bytes) {
        assert_eq!(*chunk, bytes(self.taken, chunk.len()), "at {}", self.taken);
        self.taken += chunk.len() as u64;
        assert!(self.taken <= self.pushed, "more than was pushed");
    }
}

async fn run(memory: usize, limit: u64, when_full: WhenFull, steps: Vec<Step>) {
    let parent = tempfile::tempdir().unwrap();
    let dir = parent.path().join("flow-0");
    let (sender, mut receiver) = open(options(memory, &dir, limit, when_full));
    let gauge = receiver.gauge();
    let mut model = Model::default();
    for step in steps {
        match step {
            Step::Push(len) => match try_push(&sender, bytes(model.pushed, len)).await {
                Some(Ok(())) => model.pushed += len as u64,
                Some(Err(error)) => assert_eq!((error, when_full), (PushError::Full, WhenFull::Drop)),
                None => {}
            },
            Step::Take(count) => {
                for _ in 0..count {
                    let Some(chunk) = receiver.try_next().unwrap() else { break };
                    model.take(&chunk);
                }
            }
            Step::Wait if model.taken < model.pushed => {
                model.take(&receiver.next().await.unwrap().unwrap());
            }
            Step::Wait => assert_eq!(receiver.try_next().unwrap(), None),
            Step::Yield => std::thread::yield_now(),
            Step::Limit(percent) => gauge.set_limit(memory * percent / 100),
        }
        assert_eq!(receiver.bytes() as u64, model.pushed - model.taken);
    }
    drop(sender);
    let (rest, error) = drain(&mut receiver).await;
    assert!(error.is_none(), "{error:?}");
    assert_eq!(rest, bytes(model.taken, (model.pushed - model.taken) as usize));
    until("no files", || files(&dir).is_empty() && gauge.levels().disk == 0);
    let levels = gauge.levels();
    assert!(levels.memory_peak <= memory as u64, "{levels:?}");
    assert!(levels.disk_peak <= limit, "{levels:?}");
    assert_eq!(levels.waiting, 0);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn bytes_come_out_in_order_and_within_the_bounds(
        memory in 4_000..20_000usize,
        limit in prop_oneof![Just(0u64), 500..5_000u64, 20_000..200_000u64],
        drops in any::<bool>(),
        steps in prop::collection::vec(step(), 1..400),
    ) {
        let when_full = if drops { WhenFull::Drop } else { WhenFull::Stall };
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(run(memory, limit, when_full, steps));
    }
}

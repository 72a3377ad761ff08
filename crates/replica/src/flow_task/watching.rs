//! Keys under removal: which of them a record touched, and the removal itself.

use command::SourceKey;

use super::FlowTask;
use super::known_keys::{is_global, keys_touched};

impl FlowTask {
    pub(super) fn note_touched(&mut self, record: &journal::Record) {
        if !record.args.first().is_some_and(|name| is_global(name)) {
            for key in keys_touched(record.db, &record.args) {
                self.touch(key);
            }
        }
    }

    pub(super) fn touch(&mut self, key: SourceKey) {
        if self.watched.contains(&key) {
            self.touched.insert(key);
        }
    }

    pub(super) fn answer_touched(&mut self) {
        let next = self.next;
        let touched = &self.touched;
        for (_, reply) in self.asked.extract_if(.., |(at, _)| *at <= next) {
            // A removal that does not wait for the answer has ended.
            let _ = reply.send(touched.clone());
        }
    }

    pub(super) fn answer_removals(&mut self) {
        if !self.removing.is_empty() && self.router.tracker().is_snapshot_settled() {
            for (count, done) in self.removing.drain(..) {
                let _ = done.send(count);
            }
        }
    }

    pub(super) fn remove(&mut self, keys: Vec<SourceKey>) -> u64 {
        let mut count = 0;
        for key in keys {
            if self.touched.contains(&key) {
                continue;
            }
            self.send_removal(&key);
            count += 1;
        }
        count
    }
}

//! Keys under removal: which of them a record touched, and the removal itself.

use command::SourceKey;

use super::FlowTask;

impl FlowTask {
    pub(super) fn note_touched(&mut self, record: &journal::Record) {
        if !matches!(record.args.first().map(|a| &a[..]), Some(b"FLUSHALL" | b"FLUSHDB" | b"DFLYCLUSTER")) {
            for key in command::table::keys(&record.args) {
                let key = SourceKey { db: record.db, key };
                self.touch(key);
            }
            if let [name, key, db] = record.args.as_slice()
                && name == "MOVE"
                && let Some(db) = std::str::from_utf8(db).ok().and_then(|db| db.parse().ok())
            {
                self.touch(SourceKey { db, key: key.clone() });
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

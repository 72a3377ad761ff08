//! What ends repairs from outside, and what holds them up.

use command::SourceKey;

use super::Repairs;

impl Repairs {
    /// A global command was executed: every key in its scope is known to be absent, whatever became of its fence
    /// (rule 24). The keys, to be taken off the durable list with the barrier's checkpoint (rule 26).
    pub fn barrier(&mut self, scope: &dyn Fn(&SourceKey) -> bool) -> Vec<SourceKey> {
        if !self.rules.on(24) {
            return Vec::new();
        }
        let ended: Vec<SourceKey> = self.listed.iter().filter(|key| scope(key)).cloned().collect();
        for key in &ended {
            self.take_out(key);
            // a value on its way was executed before the global command: its answer means nothing any more
            self.sent.remove(key);
            self.listed.remove(key);
        }
        self.tokens.retain(|_, key| ended.binary_search(key).is_err());
        self.counters.ended += ended.len() as u64;
        self.check();
        ended
    }

    /// A full sync starts over: nothing is under repair any more (rule 34).
    pub fn full_sync(&mut self) {
        let everything = self.listed.len() as u64;
        let counters = self.counters;
        *self = Repairs { next_id: self.next_id, now_ms: self.now_ms, ..self.anew() };
        self.counters =
            super::Counters { ended: counters.ended + everything, held_bytes: 0, value_bytes: 0, ..counters };
    }

    fn anew(&self) -> Repairs {
        Repairs::new(self.flow, self.flows, self.limits.clone(), self.rules)
    }

    /// While frozen no value is due: a global command is on its way to the nodes (rule 25).
    pub fn freeze(&mut self, frozen: bool) {
        self.frozen = frozen;
    }

    /// While suspended no fence is asked for: the LSNs of the snapshot's records are not known yet (rule 35).
    pub fn suspended(&mut self, suspended: bool) {
        self.suspended = suspended;
    }

    /// Whether no fence may have been read yet.
    #[must_use]
    pub fn is_suspended(&self) -> bool {
        self.suspended
    }

    /// Every key ever put under repair left by a settled value, a global command or a full sync, or is still listed
    /// (the page's last invariant). Panics otherwise.
    pub(super) fn check(&self) {
        assert!(
            !self.rules.on(4)
                || self.keys.keys().chain(self.sent.keys()).all(|key| self.listed.contains(key)),
            "a key under repair is not listed"
        );
        assert_eq!(
            self.counters.held_bytes == 0,
            self.keys.values().all(|repair| repair.held.is_empty()),
            "held records are counted"
        );
    }
}

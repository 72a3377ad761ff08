//! Where the replication stands.
//!
//! ```text
//!              +------------------------------ link lost, source restarted, flush in the snapshot --------+
//!              v                                                                                           |
//! STARTING -> CONNECTING -> ATTACHING --all FULL-----> SNAPSHOT --every flow cut--> BARRIER ------------> STABLE
//!                              |                          ^                            ^                   |
//!                              |--PARTIAL, masters <= 1.34+                            |                   |
//!                              +--PARTIAL------------------------------ (STARTSTABLE) -+                   |
//!                                                                                                          |
//!  any phase -> STOPPED                                                              migrate -> STOPPED <--+
//! ```

use std::fmt;

/// Where the replication stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Deserialize, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// Reads the checkpoint, looks at the target.
    Starting,
    /// Not attached: the source is being reached, or waited for.
    Connecting,
    /// The master is greeted, the flows are opened.
    Attaching,
    /// The snapshot is applied.
    Snapshot,
    /// Every flow read its FULLSYNC_END, or resumes: STARTSTABLE is asked for, nothing of the stable stream is applied.
    Barrier,
    /// The journal is followed.
    Stable,
    /// Nothing is read any more.
    Stopped,
}

impl Phase {
    /// All phases, in the order of a first full sync.
    pub const ALL: [Phase; 7] = [
        Phase::Starting,
        Phase::Connecting,
        Phase::Attaching,
        Phase::Snapshot,
        Phase::Barrier,
        Phase::Stable,
        Phase::Stopped,
    ];

    /// Whether this phase may follow after `before`.
    pub fn may_follow(self, before: Phase) -> bool {
        match self {
            Phase::Starting => false,
            Phase::Connecting => before != Phase::Stopped,
            Phase::Attaching => before == Phase::Connecting,
            Phase::Snapshot => before == Phase::Attaching,
            Phase::Barrier => matches!(before, Phase::Attaching | Phase::Snapshot),
            Phase::Stable => before == Phase::Barrier,
            Phase::Stopped => before != Phase::Stopped,
        }
    }

    /// As it is written in logs and on the status page.
    pub fn name(self) -> &'static str {
        match self {
            Phase::Starting => "starting",
            Phase::Connecting => "connecting",
            Phase::Attaching => "attaching",
            Phase::Snapshot => "snapshot",
            Phase::Barrier => "barrier",
            Phase::Stable => "stable",
            Phase::Stopped => "stopped",
        }
    }
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_transition_is_listed() {
        let mut table = String::new();
        for before in Phase::ALL {
            let after: Vec<_> =
                Phase::ALL.into_iter().filter(|p| p.may_follow(before)).map(Phase::name).collect();
            table.push_str(&format!("{before} -> {}\n", after.join(", ")));
        }
        println!("{table}");
        assert_eq!(
            table,
            "starting -> connecting, stopped\n\
             connecting -> connecting, attaching, stopped\n\
             attaching -> connecting, snapshot, barrier, stopped\n\
             snapshot -> connecting, barrier, stopped\n\
             barrier -> connecting, stable, stopped\n\
             stable -> connecting, stopped\n\
             stopped -> \n"
        );
    }
}

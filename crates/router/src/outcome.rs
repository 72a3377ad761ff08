//! What a target's reply to one command means for that command.

use std::time::Duration;

/// The classes of replies that the router tells apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// Executed.
    Done,
    /// Not executed: the slot lives at `addr` from now on.
    Moved {
        /// The slot.
        slot: u16,
        /// `host:port`; the host is empty when the node does not know its own name.
        addr: String,
    },
    /// Not executed: this key of a migrating slot has to be asked for at `addr`.
    Ask {
        /// `host:port`.
        addr: String,
    },
    /// Not executed, and worth another try in the same order after a while.
    Later(Transient),
    /// Refused for good: the message.
    Failed(String),
}

/// Why a command has to be tried again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Transient {
    /// `-OOM`: maxmemory is reached.
    OutOfMemory,
    /// `-LOADING`: the node reads its data set.
    Loading,
    /// `-CLUSTERDOWN`: slots are not served.
    ClusterDown,
    /// `-READONLY`: the node became a replica.
    ReadOnly,
    /// `-MASTERDOWN`: a replica without its master.
    MasterDown,
    /// `-TRYAGAIN`: the keys of one command are on both sides of a slot migration.
    TryAgain,
    /// `-MISCONF`, `-NOREPLICAS`, `-BUSY`: the node takes no writes until something is repaired.
    NotWritable,
    /// The connection is away.
    Disconnected,
}

impl Transient {
    /// The word an operator knows it by.
    pub fn name(self) -> &'static str {
        match self {
            Transient::OutOfMemory => "OOM",
            Transient::Loading => "LOADING",
            Transient::ClusterDown => "CLUSTERDOWN",
            Transient::ReadOnly => "READONLY",
            Transient::MasterDown => "MASTERDOWN",
            Transient::TryAgain => "TRYAGAIN",
            Transient::NotWritable => "MISCONF",
            Transient::Disconnected => "disconnected",
        }
    }

    /// Whether the slot map may have changed.
    pub fn asks_for_refresh(self) -> bool {
        matches!(
            self,
            Transient::ClusterDown | Transient::ReadOnly | Transient::MasterDown | Transient::Disconnected
        )
    }

    /// How long to wait before try number `attempt` (counted from 0).
    pub fn delay(self, attempt: u32) -> Duration {
        let first = match self {
            Transient::TryAgain => 10,
            Transient::Disconnected => 20,
            _ => 50,
        };
        Duration::from_millis((first << attempt.min(6)).min(1000))
    }
}

/// Reads the text of an error reply, without its leading `-`.
pub fn classify(message: &[u8]) -> Outcome {
    let text = String::from_utf8_lossy(message);
    let mut words = text.split(' ');
    match words.next().unwrap_or_default() {
        "MOVED" => match (words.next().and_then(|s| s.parse().ok()), words.next()) {
            (Some(slot), Some(addr)) => Outcome::Moved { slot, addr: addr.to_owned() },
            _ => Outcome::Failed(text.into_owned()),
        },
        "ASK" => match (words.next(), words.next()) {
            (Some(_), Some(addr)) => Outcome::Ask { addr: addr.to_owned() },
            _ => Outcome::Failed(text.into_owned()),
        },
        "OOM" => Outcome::Later(Transient::OutOfMemory),
        "LOADING" => Outcome::Later(Transient::Loading),
        "CLUSTERDOWN" => Outcome::Later(Transient::ClusterDown),
        "READONLY" => Outcome::Later(Transient::ReadOnly),
        "MASTERDOWN" => Outcome::Later(Transient::MasterDown),
        "TRYAGAIN" => Outcome::Later(Transient::TryAgain),
        // These concern the node, not the command: taken for final, they would list every key that is written.
        "MISCONF" | "NOREPLICAS" | "BUSY" => Outcome::Later(Transient::NotWritable),
        _ => Outcome::Failed(text.into_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replies_fall_into_their_classes() {
        let moved = Outcome::Moved { slot: 3999, addr: "127.0.0.1:6381".into() };
        assert_eq!(classify(b"MOVED 3999 127.0.0.1:6381"), moved);
        assert_eq!(classify(b"ASK 3999 127.0.0.1:6381"), Outcome::Ask { addr: "127.0.0.1:6381".into() });
        for (message, class) in [
            ("OOM command not allowed when used memory > 'maxmemory'.", Transient::OutOfMemory),
            ("LOADING Redis is loading the dataset in memory", Transient::Loading),
            ("CLUSTERDOWN The cluster is down", Transient::ClusterDown),
            ("READONLY You can't write against a read only replica.", Transient::ReadOnly),
            ("MASTERDOWN Link with MASTER is down", Transient::MasterDown),
            ("TRYAGAIN Multiple keys request during rehashing of slot", Transient::TryAgain),
            ("MISCONF Redis is configured to save RDB snapshots", Transient::NotWritable),
            ("NOREPLICAS Not enough good replicas to write.", Transient::NotWritable),
        ] {
            assert_eq!(classify(message.as_bytes()), Outcome::Later(class));
        }
        for message in ["WRONGTYPE Operation against a key", "ERR unknown command", "MOVED x", "ASK", ""] {
            assert_eq!(classify(message.as_bytes()), Outcome::Failed(message.into()));
        }
    }

    #[test]
    fn delays_grow_and_stay_below_a_second() {
        assert!(Transient::OutOfMemory.delay(0) < Transient::OutOfMemory.delay(3));
        assert_eq!(Transient::Loading.delay(40), Duration::from_secs(1));
    }
}

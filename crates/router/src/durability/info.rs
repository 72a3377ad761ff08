//! What INFO says about replication and persistence.
//!
//! Field names and meanings as in Redis 7.0.15 (`genRedisInfoString`); Valkey has the same.

use crate::topology::info_field;

/// What a node is at the moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    /// It takes writes.
    Master,
    /// It follows another node.
    Replica,
}

/// One replica as its master sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Replica {
    /// It is past its full sync.
    pub(crate) online: bool,
    /// The offset that it acknowledged last.
    pub(crate) offset: u64,
}

/// `INFO replication`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Replication {
    pub(crate) role: Role,
    /// The history that the node's offsets count in; another one after every restart and every promotion.
    pub(crate) replid: String,
    /// The history before, and the first offset that is *not* shared with it: where a promoted replica, or a master that
    /// read an RDB with its position (Redis 7, `loadDataFromDisk`), left it.
    pub(crate) former: Option<(String, u64)>,
    pub(crate) offset: u64,
    pub(crate) replicas: Vec<Replica>,
}

impl Replication {
    pub(crate) fn parse(info: &str) -> Option<Replication> {
        let role = match info_field(info, "role")? {
            "master" => Role::Master,
            _ => Role::Replica,
        };
        let offset = info_field(info, "master_repl_offset")?.parse().ok()?;
        let second = info_field(info, "second_repl_offset").and_then(|n| n.parse::<i64>().ok());
        let former = match (info_field(info, "master_replid2"), second) {
            (Some(id), Some(first)) if first >= 0 => Some((id.to_owned(), first as u64)),
            _ => None,
        };
        let replicas = info.lines().filter_map(replica).collect();
        Some(Replication {
            role,
            replid: info_field(info, "master_replid").unwrap_or_default().to_owned(),
            former,
            offset,
            replicas,
        })
    }

    pub(crate) fn online(&self) -> usize {
        self.replicas.iter().filter(|replica| replica.online).count()
    }

    /// What every online replica has; `None` where there is none.
    pub(crate) fn lowest(&self) -> Option<u64> {
        self.replicas.iter().filter(|replica| replica.online).map(|replica| replica.offset).min()
    }
}

/// `slave0:ip=127.0.0.1,port=6380,state=online,offset=28,lag=0`
fn replica(line: &str) -> Option<Replica> {
    let (number, fields) = line.strip_prefix("slave")?.split_once(':')?;
    number.parse::<u32>().ok()?;
    let field = |name: &str| fields.split(',').find_map(|f| f.strip_prefix(name)?.strip_prefix('='));
    Some(Replica { online: field("state")? == "online", offset: field("offset")?.parse().ok()? })
}

/// When the append-only file reaches the disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fsync {
    /// Before the reply.
    Always,
    /// Every second.
    EverySecond,
    /// When the kernel sees fit, or not known.
    Kernel,
}

impl Fsync {
    pub(crate) fn named(policy: &str) -> Fsync {
        match policy {
            "always" => Fsync::Always,
            "everysec" => Fsync::EverySecond,
            _ => Fsync::Kernel,
        }
    }
}

/// How a node keeps its data over a restart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Persistence {
    /// It is reading its data set.
    pub loading: bool,
    /// An append-only file is on.
    pub aof: bool,
    /// The append-only file is being written anew; the first time, it is not complete before the end of that.
    pub aof_rewriting: bool,
    /// The last write to the append-only file succeeded.
    pub aof_writes: bool,
    /// The last snapshot that was written successfully, or the server's start (Unix seconds).
    pub last_save: u64,
    /// A snapshot is being written.
    pub saving: bool,
}

impl Persistence {
    pub(crate) fn parse(info: &str) -> Option<Persistence> {
        let flag = |name| info_field(info, name) == Some("1");
        Some(Persistence {
            loading: flag("loading"),
            aof: flag("aof_enabled"),
            aof_rewriting: flag("aof_rewrite_in_progress") || flag("aof_rewrite_scheduled"),
            aof_writes: info_field(info, "aof_last_write_status") == Some("ok"),
            last_save: info_field(info, "rdb_last_save_time")?.parse().ok()?,
            saving: flag("rdb_bgsave_in_progress"),
        })
    }
}

/// Keys in all databases, from `INFO keyspace`.
pub(crate) fn keys(info: &str) -> u64 {
    let count = |line: &str| -> Option<u64> {
        let (db, fields) = line.strip_prefix("db")?.split_once(':')?;
        db.parse::<u32>().ok()?;
        fields.split(',').find_map(|f| f.strip_prefix("keys="))?.parse().ok()
    };
    info.lines().filter_map(count).sum()
}

/// All that is read when a connection to a node is new.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct NodeInfo {
    pub(crate) run_id: String,
    pub(crate) replication: Replication,
    pub(crate) persistence: Option<Persistence>,
    pub(crate) keys: u64,
}

impl NodeInfo {
    /// Reads the sections server, replication, persistence and keyspace, in one text.
    pub(crate) fn parse(info: &str) -> Option<NodeInfo> {
        Some(NodeInfo {
            run_id: info_field(info, "run_id")?.to_owned(),
            replication: Replication::parse(info)?,
            persistence: Persistence::parse(info),
            keys: keys(info),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MASTER: &str = "# Replication\r\nrole:master\r\nconnected_slaves:3\r\n\
        slave0:ip=127.0.0.1,port=6380,state=online,offset=280,lag=0\r\n\
        slave1:ip=127.0.0.1,port=6381,state=wait_bgsave,offset=0,lag=0\r\n\
        slave2:ip=127.0.0.1,port=6382,state=online,offset=270,lag=1\r\n\
        master_failover_state:no-failover\r\nmaster_replid:aaaa\r\nmaster_replid2:bbbb\r\n\
        master_repl_offset:300\r\nsecond_repl_offset:120\r\n";

    #[test]
    fn only_replicas_past_their_full_sync_count() {
        let replication = Replication::parse(MASTER).unwrap();
        assert_eq!((replication.online(), replication.lowest()), (2, Some(270)));
        assert_eq!((replication.role, replication.offset), (Role::Master, 300));
        assert_eq!(replication.former, Some(("bbbb".into(), 120)));
    }

    #[test]
    fn a_first_history_has_none_before() {
        let text = MASTER.replace("second_repl_offset:120", "second_repl_offset:-1");
        assert_eq!(Replication::parse(&text).unwrap().former, None);
    }

    #[test]
    fn an_append_only_file_in_the_making_is_told_from_a_complete_one() {
        let text = "loading:0\r\nrdb_last_save_time:5\r\nrdb_bgsave_in_progress:0\r\naof_enabled:1\r\n\
            aof_rewrite_in_progress:1\r\naof_rewrite_scheduled:0\r\naof_last_write_status:ok\r\n";
        let persistence = Persistence::parse(text).unwrap();
        assert!(persistence.aof && persistence.aof_writes && persistence.aof_rewriting);
        let text = text.replace("aof_rewrite_in_progress:1", "aof_rewrite_in_progress:0");
        assert!(!Persistence::parse(&text).unwrap().aof_rewriting);
        let text = text.replace("status:ok", "status:err");
        assert!(!Persistence::parse(&text).unwrap().aof_writes);
    }

    #[test]
    fn keys_of_all_databases_are_counted() {
        let text = "# Keyspace\r\ndb0:keys=12,expires=0,avg_ttl=0\r\ndb3:keys=5,expires=1,avg_ttl=0\r\n";
        assert_eq!((keys(text), keys("db_x:keys=5")), (17, 0));
    }
}

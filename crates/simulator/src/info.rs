//! INFO, ROLE and CONFIG GET.

use std::fmt::Write;

use bytes::Bytes;

use crate::attach::{Attachment, State};
use crate::commands::is;
use crate::engine::shard::DBS;
use crate::engine::{Engine, Renamed, glob};
use crate::reply::Reply;
use crate::{Clock, Cluster};

/// `TIME`: seconds, and microseconds of the current one. Integers, not the strings of Redis (v1.11 to v1.40.1
/// `generic_family.cc` Time).
pub(crate) fn time(clock: &Clock) -> Reply {
    let ms = clock.now_ms();
    let part = |n: u64| Reply::Int(n as i64);
    Reply::Array(vec![part(ms / 1000), part(ms % 1000 * 1000)])
}

/// `INFO [section]`: server, clients, memory, stats, replication, keyspace.
pub(crate) fn info(engine: &Engine, sections: &[Bytes]) -> String {
    let wanted = |name: &str| {
        sections.is_empty()
            || sections.iter().any(|s| is(s, name) || is(s, "all") || is(s, "default") || is(s, "everything"))
    };
    let mut out = String::new();
    if wanted("server") {
        let _ = write!(
            out,
            "# Server\r\nredis_version:7.4.0\r\ndragonfly_version:{}\r\nredis_mode:standalone\r\narch_bits:64\r\n\
             tcp_port:{}\r\nthread_count:{}\r\nuptime_in_seconds:{}\r\nuptime_in_days:0\r\n\r\n",
            engine.settings.release.version(),
            engine.port,
            engine.shards.len(),
            engine.started.elapsed().as_secs(),
        );
    }
    if wanted("memory") {
        out.push_str("# Memory\r\nused_memory:4000000\r\nmaxmemory:0\r\nmaxmemory_policy:noeviction\r\n\r\n");
    }
    if wanted("persistence") {
        let _ = write!(out, "# Persistence\r\nloading:{}\r\n\r\n", u8::from(engine.is_loading()));
    }
    if wanted("replication") {
        replication(engine, &mut out);
    }
    if wanted("cluster") {
        let enabled = u8::from(engine.settings.cluster.is_some());
        let _ = write!(out, "# Cluster\r\ncluster_enabled:{enabled}\r\n\r\n");
    }
    if wanted("keyspace") {
        keyspace(engine, &mut out);
    }
    out
}

/// How far the slowest flow's ACK is behind; only meaningful in stable sync.
fn lag(engine: &Engine, id: u32) -> u64 {
    let behind = |s: &crate::engine::shard::Shard| {
        s.flows.iter().find(|f| f.attachment == id).map(|f| s.journal.next_lsn().saturating_sub(f.acked))
    };
    engine.shards.iter().filter_map(behind).max().unwrap_or(0)
}

/// `stable_sync` is shown as `online` (v1.22 and later, `info_replication_valkey_compatible`).
fn shown_state(engine: &Engine, a: &Attachment) -> &'static str {
    if a.state == State::StableSync && engine.profile().online { "online" } else { a.state.name() }
}

fn replication(engine: &Engine, out: &mut String) {
    if engine.replica {
        let _ = write!(
            out,
            "# Replication\r\nrole:{}\r\nmaster_host:127.0.0.1\r\nmaster_port:0\r\nmaster_link_status:up\r\n\
             master_last_io_seconds_ago:0\r\nmaster_sync_in_progress:0\r\nmaster_replid:{}\r\nslave_priority:100\r\n\
             slave_read_only:1\r\n\r\n",
            if engine.profile().online { "slave" } else { "replica" },
            engine.replid
        );
        return;
    }
    let _ = write!(out, "# Replication\r\nrole:master\r\nconnected_slaves:{}\r\n", engine.attachments.len());
    for (i, (&id, a)) in engine.attachments.iter().enumerate() {
        let lag = if a.state == State::StableSync { lag(engine, id) } else { 0 };
        let _ = write!(
            out,
            "slave{i}:ip={},port={},state={},lag={lag}\r\n",
            a.ip(),
            a.port,
            shown_state(engine, a)
        );
    }
    let _ = write!(out, "master_replid:{}\r\n\r\n", engine.replid);
}

fn keyspace(engine: &Engine, out: &mut String) {
    out.push_str("# Keyspace\r\n");
    for db in 0..usize::from(DBS) {
        let parts = engine.shards.iter().filter_map(|s| s.dbs[db].as_ref());
        let (keys, expires) = parts.fold((0, 0), |(k, e), d| (k + d.keys, e + d.expires));
        if keys > 0 {
            let _ = write!(out, "db{db}:keys={keys},expires={expires},avg_ttl=-1\r\n");
        }
    }
}

/// `ROLE`.
pub(crate) fn role(engine: &Engine) -> Reply {
    if engine.replica {
        return Reply::list(["slave", "127.0.0.1", "0", "online"].map(|w| Bytes::from_static(w.as_bytes())));
    }
    let replica = |a: &Attachment| {
        Reply::Array(vec![
            Reply::bulk(a.ip()),
            Reply::bulk(a.port.to_string()),
            Reply::bulk(shown_state(engine, a)),
        ])
    };
    Reply::Array(vec![
        Reply::bulk("master"),
        Reply::Array(engine.attachments.values().map(replica).collect()),
    ])
}

/// `CLUSTER SLOTS` (v1.40.1 `cluster_family.cc` ClusterSlots).
pub(crate) fn cluster(engine: &Engine, args: &[Bytes]) -> Reply {
    let Some(cluster) = &engine.settings.cluster else {
        return Reply::Error("ERR Cluster is disabled. Use --cluster_mode=yes to enable.".to_owned());
    };
    if !args.first().is_some_and(|w| is(w, "SLOTS")) {
        return Reply::Error("ERR syntax error".to_owned());
    }
    let node = |port: u16| {
        Reply::Array(vec![Reply::bulk("127.0.0.1"), Reply::Int(port.into()), Reply::bulk("0".repeat(40))])
    };
    let range = |(from, to, port): (u16, u16, u16)| {
        Reply::Array(vec![Reply::Int(from.into()), Reply::Int(to.into()), node(port)])
    };
    match cluster {
        Cluster::Emulated => Reply::Array(vec![range((0, 16_383, engine.port))]),
        Cluster::Unconfigured => Reply::Error("ERR Cluster is not yet configured".to_owned()),
        Cluster::UpTo(last) => {
            Reply::Array(vec![range((0, *last, engine.port)), range((*last + 1, 16_383, 1))])
        }
    }
}

/// `CONFIG GET pattern`; SET is accepted without effect.
pub(crate) fn config(engine: &Engine, args: &[Bytes]) -> Reply {
    match args {
        [w, patterns @ ..] if is(w, "GET") => {
            let s = &engine.settings;
            let known = [
                ("compression_mode", "3".to_owned()),
                ("dbnum", DBS.to_string()),
                ("maxclients", "64000".to_owned()),
                ("maxmemory", "0".to_owned()),
                ("port", engine.port.to_string()),
                ("replication_stream_output_limit", s.output_limit.to_string()),
                ("replication_timeout", s.replication_timeout.as_millis().to_string()),
                ("requirepass", String::new()),
                ("serialization_max_chunk_size", "65536".to_owned()),
                ("timeout", "0".to_owned()),
            ];
            let backlog =
                s.tells_backlog.then(|| ("shard_repl_backlog_len", s.backlog_records().to_string()));
            let hit = |name: &str| patterns.iter().any(|p| glob(&p.to_ascii_lowercase(), name.as_bytes()));
            Reply::Map(
                known
                    .into_iter()
                    .chain(backlog)
                    .filter(|(name, _)| hit(name))
                    .map(|(name, value)| (Reply::bulk(name), Reply::bulk(value)))
                    .collect(),
            )
        }
        [w, ..] if is(w, "SET") || is(w, "RESETSTAT") => Reply::OK,
        _ => Reply::Error("ERR syntax error".to_owned()),
    }
}

/// What COMMAND INFO says of one command with a single key.
pub(crate) fn command(renamed: &Renamed) -> Reply {
    let key = Reply::Int(renamed.spec.key as i64);
    let flags = Reply::Array(vec![Reply::Simple(if renamed.spec.write { "write" } else { "readonly" })]);
    let arity = Reply::Int(i64::from(renamed.spec.arity));
    let name = Reply::bulk(renamed.name.clone());
    Reply::Array(vec![name, arity, flags, key.clone(), key, Reply::Int(1), Reply::Array(Vec::new())])
}

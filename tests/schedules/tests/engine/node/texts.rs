//! What a server says about itself, with the fields and shapes of Redis 7.0.

use std::fmt::Write;

use bytes::Bytes;
use resp::Reply;

use super::{SLOTS, Target, data};
use crate::faults::Keeping;

pub(super) fn info(target: &Target, server: usize, now: u64) -> String {
    let this = &target.servers[server];
    let shard = &target.shards[this.shard];
    let mut out = format!(
        "# Server\r\nredis_version:7.0.15\r\nredis_mode:{}\r\nrun_id:{}\r\ntcp_port:7000\r\nserver_time_usec:{}\r\n\
         uptime_in_seconds:{}\r\n\r\n",
        if target.cluster { "cluster" } else { "standalone" },
        this.run_id,
        shard.clock(now) * 1000,
        (now - this.started) / 1000,
    );
    let append_only = u8::from(target.keeping == Keeping::AppendOnly);
    let _ = write!(
        out,
        "# Persistence\r\nloading:0\r\nasync_loading:0\r\nrdb_changes_since_last_save:1\r\nrdb_bgsave_in_progress:{}\r\n\
         rdb_last_save_time:{}\r\nrdb_last_bgsave_status:ok\r\nrdb_last_bgsave_time_sec:0\r\nrdb_current_bgsave_time_sec:-1\r\naof_enabled:{append_only}\r\naof_rewrite_in_progress:0\r\n\
         aof_rewrite_scheduled:0\r\naof_last_bgrewrite_status:ok\r\naof_last_write_status:ok\r\naof_pending_bio_fsync:0\r\n\
         aof_delayed_fsync:0\r\n\r\n# Replication\r\n",
        u8::from(shard.saving.is_some()),
        shard.last_save,
    );
    let (former, second) = match &shard.former {
        Some((id, first)) => (id.clone(), *first as i64),
        None => ("0".repeat(40), -1),
    };
    if target.is_master(server) {
        let _ = write!(out, "role:master\r\nconnected_slaves:{}\r\n", u8::from(shard.online));
        if shard.online {
            let _ = write!(
                out,
                "slave0:ip=target-{},port=7001,state=online,offset={},lag=0\r\n",
                this.shard, shard.acknowledged
            );
        }
    } else {
        let master = &target.servers[shard.master].addr;
        let (host, port) = master.split_once(':').unwrap_or((master, "7000"));
        let _ = write!(
            out,
            "role:slave\r\nmaster_host:{host}\r\nmaster_port:{port}\r\nmaster_link_status:up\r\nconnected_slaves:0\r\n"
        );
    }
    let offset = if target.is_master(server) { shard.offset } else { shard.replicated.offset };
    let _ = write!(
        out,
        "master_failover_state:no-failover\r\nmaster_replid:{}\r\nmaster_replid2:{former}\r\nmaster_repl_offset:{offset}\r\n\
         second_repl_offset:{second}\r\nrepl_backlog_active:1\r\n\r\n# Memory\r\nmaxmemory:0\r\n\r\n# Cluster\r\n\
         cluster_enabled:{}\r\n\r\n# Keyspace\r\n",
        shard.replid,
        u8::from(target.cluster),
    );
    if !shard.data.is_empty() {
        let _ = write!(out, "db0:keys={},expires=0,avg_ttl=0\r\n", shard.data.len());
    }
    out
}

pub(super) fn clients(target: &Target, server: usize) -> String {
    let mut out = String::new();
    for (id, session) in &target.servers[server].clients {
        let _ = writeln!(
            out,
            "id={id} addr=10.0.0.1:{id} laddr=10.0.0.2:7000 fd=8 name={} db=0 cmd=ping",
            session.name
        );
    }
    out
}

pub(super) fn config(target: &Target, wanted: &[Bytes]) -> Reply {
    let known = [
        ("appendfsync", "everysec".to_owned()),
        ("appendonly", if target.keeping == Keeping::AppendOnly { "yes" } else { "no" }.to_owned()),
        ("maxmemory", "0".to_owned()),
        ("min-replicas-to-write", "0".to_owned()),
        ("repl-diskless-load", "disabled".to_owned()),
        ("save", if matches!(target.keeping, Keeping::Snapshots(_)) { "3600 1" } else { "" }.to_owned()),
    ];
    let asked = |name: &str| wanted.iter().any(|w| w.eq_ignore_ascii_case(name.as_bytes()));
    let bulk = |text: &str| Reply::Bulk(Bytes::copy_from_slice(text.as_bytes()));
    let pairs = known.iter().filter(|(name, _)| asked(name));
    Reply::Array(pairs.flat_map(|(name, value)| [bulk(name), bulk(value)]).collect())
}

/// Of a command that is known only its name counts.
pub(super) fn commands(names: &[Bytes]) -> Reply {
    let known = |name: &Bytes| {
        let name = String::from_utf8_lossy(name).to_ascii_uppercase();
        data::WRITES.contains(&name.as_str()) || data::READS.contains(&name.as_str())
    };
    let entry =
        |name: &Bytes| if known(name) { Reply::Array(vec![Reply::Bulk(name.clone())]) } else { Reply::Nil };
    Reply::Array(names.iter().map(entry).collect())
}

pub(super) fn slots(target: &Target) -> Reply {
    let mut ranges: Vec<(u16, u16, usize)> = Vec::new();
    for slot in 0..SLOTS {
        let owner = target.owner(slot);
        match ranges.last_mut() {
            Some((_, last, shard)) if *shard == owner => *last = slot,
            _ => ranges.push((slot, slot, owner)),
        }
    }
    let bulk = |text: &str| Reply::Bulk(Bytes::copy_from_slice(text.as_bytes()));
    let node = |server: usize| {
        let server = &target.servers[server];
        let (host, port) = server.addr.split_once(':').unwrap_or((&server.addr, "0"));
        let port = Reply::Integer(port.parse().unwrap_or(0));
        Reply::Array(vec![bulk(host), port, bulk(&server.id), Reply::Array(Vec::new())])
    };
    let entry = |(first, last, shard): (u16, u16, usize)| {
        let shard = &target.shards[shard];
        let mut entry = vec![Reply::Integer(first.into()), Reply::Integer(last.into()), node(shard.master)];
        entry.extend(shard.replica.filter(|_| shard.online).map(node));
        Reply::Array(entry)
    };
    Reply::Array(ranges.into_iter().map(entry).collect())
}

pub(super) fn nodes(target: &Target, asked: usize) -> String {
    let mut out = String::new();
    for (index, server) in target.servers.iter().enumerate() {
        let (role, master) = match target.is_master(index) {
            true => ("master", "-"),
            false => ("slave", target.servers[target.shards[server.shard].master].id.as_str()),
        };
        let myself = if index == asked { "myself," } else { "" };
        let _ = writeln!(out, "{} {}@17000 {myself}{role} {master} 0 0 1 connected", server.id, server.addr);
    }
    out
}

//! What changed between two configurations.

use secrecy::{ExposeSecret, SecretString};

use crate::{
    Checkpoint, Config, Dashboard, Filter, Limits, Logging, Mapping, Repair, Source, Spool, Target, Types,
};

impl Config {
    /// The settings that differ, by their paths, in the order of the sections. A password differs by its value, wherever it
    /// comes from.
    pub fn differences(&self, other: &Config) -> Vec<&'static str> {
        // Taken apart so that a new setting cannot be forgotten here.
        let Config {
            source,
            target,
            mapping,
            filter,
            checkpoint,
            spool,
            repair,
            types,
            conflict,
            limits,
            task_name,
            status_file,
            dashboard,
            logging,
            warnings: _,
        } = self;
        let mut changed = Changed(Vec::new());
        source_changes(&mut changed, source, &other.source);
        target_changes(&mut changed, target, &other.target);
        let Mapping { databases } = mapping;
        changed.note("mapping.databases", *databases != other.mapping.databases);
        filter_changes(&mut changed, filter, &other.filter);
        let Checkpoint { dir, interval } = checkpoint;
        changed.note("checkpoint.dir", *dir != other.checkpoint.dir);
        changed.note("checkpoint.interval", *interval != other.checkpoint.interval);
        let Spool { memory, disk, when_full } = spool;
        changed.note("spool.memory", *memory != other.spool.memory);
        changed.note("spool.disk", *disk != other.spool.disk);
        changed.note("spool.when_full", *when_full != other.spool.when_full);
        let Repair { pause_writes } = repair;
        changed.note("repair.pause_writes", *pause_writes != other.repair.pause_writes);
        let Types { json, hash_field_ttl, set_member_ttl, bloom, cuckoo, cms, topk } = types;
        changed.note("types.json", *json != other.types.json);
        changed.note("types.hash_field_ttl", *hash_field_ttl != other.types.hash_field_ttl);
        changed.note("types.set_member_ttl", *set_member_ttl != other.types.set_member_ttl);
        changed.note("types.bloom", *bloom != other.types.bloom);
        changed.note("types.cuckoo", *cuckoo != other.types.cuckoo);
        changed.note("types.cms", *cms != other.types.cms);
        changed.note("types.topk", *topk != other.types.topk);
        let Dashboard { addr } = dashboard;
        changed.note("dashboard.addr", *addr != other.dashboard.addr);
        let Logging { level, format, file, console } = logging;
        changed.note("logging.level", *level != other.logging.level);
        changed.note("logging.format", *format != other.logging.format);
        changed.note("logging.file", *file != other.logging.file);
        changed.note("logging.console", *console != other.logging.console);
        changed.note("conflict.policy", *conflict != other.conflict);
        let Limits { qps } = limits;
        changed.note("limits.qps", *qps != other.limits.qps);
        changed.note("task_name", *task_name != other.task_name);
        changed.note("status_file", *status_file != other.status_file);
        changed.0
    }
}

struct Changed(Vec<&'static str>);

impl Changed {
    fn note(&mut self, path: &'static str, changed: bool) {
        if changed {
            self.0.push(path);
        }
    }
}

fn source_changes(changed: &mut Changed, source: &Source, other: &Source) {
    let Source { addrs, username, password, tls, listening_port, backlog_records } = source;
    changed.note("source.addr", *addrs != other.addrs);
    changed.note("source.username", *username != other.username);
    changed.note("source.password", exposed(password) != exposed(&other.password));
    changed.note("source.tls", *tls != other.tls);
    changed.note("source.listening_port", *listening_port != other.listening_port);
    changed.note("source.backlog_records", *backlog_records != other.backlog_records);
}

fn target_changes(changed: &mut Changed, target: &Target, other: &Target) {
    let Target { kind, addrs, username, password, tls, on_existing_data, loss_window } = target;
    changed.note("target.type", *kind != other.kind);
    changed.note("target.addr", *addrs != other.addrs);
    changed.note("target.username", *username != other.username);
    changed.note("target.password", exposed(password) != exposed(&other.password));
    changed.note("target.tls", *tls != other.tls);
    changed.note("target.on_existing_data", *on_existing_data != other.on_existing_data);
    changed.note("target.loss_window", *loss_window != other.loss_window);
}

fn filter_changes(changed: &mut Changed, filter: &Filter, other: &Filter) {
    let Filter {
        allow_keys,
        deny_keys,
        allow_key_prefixes,
        deny_key_prefixes,
        allow_databases,
        deny_databases,
        allow_types,
        deny_types,
        allow_commands,
        deny_commands,
    } = filter;
    changed.note("filter.allow_keys", *allow_keys != other.allow_keys);
    changed.note("filter.deny_keys", *deny_keys != other.deny_keys);
    changed.note("filter.allow_key_prefixes", *allow_key_prefixes != other.allow_key_prefixes);
    changed.note("filter.deny_key_prefixes", *deny_key_prefixes != other.deny_key_prefixes);
    changed.note("filter.allow_databases", *allow_databases != other.allow_databases);
    changed.note("filter.deny_databases", *deny_databases != other.deny_databases);
    changed.note("filter.allow_types", *allow_types != other.allow_types);
    changed.note("filter.deny_types", *deny_types != other.deny_types);
    changed.note("filter.allow_commands", *allow_commands != other.allow_commands);
    changed.note("filter.deny_commands", *deny_commands != other.deny_commands);
}

fn exposed(password: &Option<SecretString>) -> Option<&str> {
    password.as_ref().map(|password| password.expose_secret())
}

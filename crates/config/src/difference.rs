//! What changed between two configurations.

use secrecy::{ExposeSecret, SecretString};

use crate::{Checkpoint, Config, Dashboard, Logging, Mapping, Repair, Source, Spool, Target};

impl Config {
    /// The settings that differ, by their paths, in the order of the sections. A password differs by its value, wherever it
    /// comes from.
    pub fn differences(&self, other: &Config) -> Vec<&'static str> {
        // Taken apart so that a new setting cannot be forgotten here.
        let Config { source, target, mapping, checkpoint, spool, repair, dashboard, logging, warnings: _ } =
            self;
        let mut changed = Changed(Vec::new());
        source_changes(&mut changed, source, &other.source);
        target_changes(&mut changed, target, &other.target);
        let Mapping { databases } = mapping;
        changed.note("mapping.databases", *databases != other.mapping.databases);
        let Checkpoint { dir, interval } = checkpoint;
        changed.note("checkpoint.dir", *dir != other.checkpoint.dir);
        changed.note("checkpoint.interval", *interval != other.checkpoint.interval);
        let Spool { memory, disk, when_full } = spool;
        changed.note("spool.memory", *memory != other.spool.memory);
        changed.note("spool.disk", *disk != other.spool.disk);
        changed.note("spool.when_full", *when_full != other.spool.when_full);
        let Repair { pause_writes } = repair;
        changed.note("repair.pause_writes", *pause_writes != other.repair.pause_writes);
        let Dashboard { addr } = dashboard;
        changed.note("dashboard.addr", *addr != other.dashboard.addr);
        let Logging { level, format } = logging;
        changed.note("logging.level", *level != other.logging.level);
        changed.note("logging.format", *format != other.logging.format);
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
    let Source { addrs, username, password, tls, listening_port } = source;
    changed.note("source.addr", *addrs != other.addrs);
    changed.note("source.username", *username != other.username);
    changed.note("source.password", exposed(password) != exposed(&other.password));
    changed.note("source.tls", *tls != other.tls);
    changed.note("source.listening_port", *listening_port != other.listening_port);
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

fn exposed(password: &Option<SecretString>) -> Option<&str> {
    password.as_ref().map(|password| password.expose_secret())
}

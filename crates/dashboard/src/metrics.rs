//! A report as Prometheus text.
//!
//! The report is the one place where counters live; a registry is filled from it for every scrape.

use std::sync::atomic::AtomicU64;

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;
use replica::Report;
use replica::phase::Phase;
use replica::status::{CrashReport, FlowReport, Restart};

/// The format that [`text`] writes.
pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

type Labels = Vec<(&'static str, String)>;
type Counters = Family<Labels, Counter<u64>>;
type Gauges = Family<Labels, Gauge<u64, AtomicU64>>;
type Fractions = Family<Labels, Gauge<f64, AtomicU64>>;

/// Name, help, and where the value stands.
type PerFlow = (&'static str, &'static str, fn(&FlowReport) -> u64);

/// What grows until the program ends.
const FLOW_COUNTERS: [PerFlow; 8] = [
    ("bytes", "Bytes read from the flow's socket", |f| f.bytes),
    ("keys", "Snapshot keys applied or passed over", |f| f.keys),
    ("records", "Journal records decoded", |f| f.records),
    ("executed", "Commands that the target executed", |f| f.executed),
    ("redirects", "MOVED and ASK replies of the target", |f| f.redirects),
    ("retries", "Refusals of the target that were tried again", |f| f.retries),
    ("disconnects", "Connections to the target that broke", |f| f.disconnects),
    ("failures", "Commands that failed for good", |f| f.failures),
];

/// Where something stands.
const FLOW_GAUGES: [PerFlow; 11] = [
    ("received_lsn", "Next LSN that the decoder expects", |f| f.received_lsn),
    ("applied_lsn", "Everything below is acknowledged by the target", |f| f.applied_lsn),
    ("acknowledged_lsn", "LSN that the source was last told", |f| f.acknowledged_lsn.unwrap_or(0)),
    ("checkpointed_lsn", "Applied LSN of the newest durable checkpoint", |f| f.checkpointed_lsn),
    ("reserved_lsn", "Nothing at or above was ever sent to the target", |f| f.reserved_lsn),
    ("source_lsn", "Next LSN of the source when it was last asked", |f| f.source_lsn.unwrap_or(0)),
    ("lag_records", "Records that the source has and the target has not", |f| f.lag_records.unwrap_or(0)),
    ("spooled_bytes", "Bytes that wait for the target, in memory and on disk", |f| f.spooled_bytes),
    ("spooled_disk_bytes", "Bytes that wait for the target on disk", |f| f.spooled_disk_bytes),
    ("stalled", "1 while the spool takes no more from the source", |f| u64::from(f.stalled)),
    ("repairing_keys", "Keys under repair", |f| f.repairing_keys),
];

/// Name, help, and where the value stands, of what has fractions.
type PerFlowFraction = (&'static str, &'static str, fn(&FlowReport) -> Option<f64>);

/// Where something stands that is no whole number.
const FLOW_FRACTIONS: [PerFlowFraction; 2] = [
    ("lag_seconds", "Age of the oldest record that the target has not, in stable sync", |f| f.lag_seconds),
    ("source_records_per_second", "Records that the source writes", |f| Some(f.source_records_per_s)),
];

/// The whole report.
pub fn text(report: &Report) -> String {
    let labels = Some(&report.task_name).filter(|name| !name.is_empty());
    let labels = labels.map(|name| ("task".into(), name.clone().into()));
    let mut registry = Registry::with_prefix_and_labels("df2redis", labels.into_iter());
    phases(&mut registry, report);
    totals(&mut registry, report);
    flows(&mut registry, report);
    by_name(&mut registry, report);
    repairs(&mut registry, report);
    nodes(&mut registry, report);
    crash(&mut registry, &report.crash);
    let mut text = String::new();
    prometheus_client::encoding::text::encode(&mut text, &registry)
        .expect("writing into a String does not fail, and every name here is a metric's name");
    text
}

fn phases(registry: &mut Registry, report: &Report) {
    let family = Gauges::default();
    for phase in Phase::ALL {
        let labels = vec![("phase", phase.name().to_owned())];
        family.get_or_create(&labels).set(u64::from(phase == report.phase));
    }
    registry.register("phase", "1 for the phase the replication is in", family);
    gauge(registry, "ready", "1 while the journal is followed", u64::from(report.ready));
    let reconciling = u64::from(report.reconciling);
    gauge(registry, "reconciling", "1 while keys that the source lacks are being removed", reconciling);
    let since = report.phase_since_ms / 1000;
    gauge(registry, "phase_since_seconds", "When the phase began, Unix time", since);
    gauge(registry, "stuck_tasks", "Tasks that did not report in time", report.stuck.len() as u64);
    gauge(registry, "uptime_seconds", "How long the program has been running", report.uptime_s);
}

fn totals(registry: &mut Registry, report: &Report) {
    let family = Counters::default();
    for (kind, count) in [("full", report.full_syncs), ("partial", report.partial_syncs)] {
        family.get_or_create(&vec![("kind", kind.to_owned())]).inc_by(count);
    }
    registry.register("syncs", "Attachments to the source, by kind", family);
    let removed = Counters::default();
    removed.get_or_create(&Vec::new()).inc_by(report.removed_keys);
    registry.register("removed_keys", "Keys removed because the source lacks them", removed);
    gauge(registry, "existing_keys", "Keys that the target had before, and that stay", report.existing_keys);
    gauge(registry, "not_in_sync", "Keys that are not in sync", report.not_in_sync_count);
    let (keys, next_ms) = (report.members.scheduled.unwrap_or(0), report.members.next_due_ms.unwrap_or(0));
    gauge(registry, "scheduled_keys", "Keys of which members expire through us", keys);
    gauge(registry, "scheduled_next_seconds", "When the first is due, unix time; 0: none", next_ms / 1000);
    gauge(registry, "spool_memory_bytes", "Bytes held back in memory", report.spool.memory_bytes);
    gauge(registry, "spool_disk_bytes", "Bytes held back on disk", report.spool.disk_bytes);
    gauge(
        registry,
        "spool_stalled",
        "1 while a flow takes no more from the source",
        u64::from(report.spool.stalled),
    );
}

fn flows(registry: &mut Registry, report: &Report) {
    for (name, help, value) in FLOW_COUNTERS {
        let family = Counters::default();
        for flow in &report.flows {
            family.get_or_create(&vec![("flow", flow.flow.to_string())]).inc_by(value(flow));
        }
        registry.register(format!("flow_{name}"), help, family);
    }
    for (name, help, value) in FLOW_GAUGES {
        let family = Gauges::default();
        for flow in &report.flows {
            family.get_or_create(&vec![("flow", flow.flow.to_string())]).set(value(flow));
        }
        registry.register(format!("flow_{name}"), help, family);
    }
    for (name, help, value) in FLOW_FRACTIONS {
        let family = Fractions::default();
        for flow in &report.flows {
            if let Some(value) = value(flow) {
                family.get_or_create(&vec![("flow", flow.flow.to_string())]).set(value);
            }
        }
        registry.register(format!("flow_{name}"), help, family);
    }
}

fn repairs(registry: &mut Registry, report: &Report) {
    let repair = &report.repair;
    let under_repair = Gauges::default();
    for (cause, keys) in &repair.by_cause {
        under_repair.get_or_create(&vec![("cause", cause.clone())]).set(*keys);
    }
    registry.register("repairing_by_cause", "Keys under repair, by cause", under_repair);
    gauge(registry, "repairing", "Keys under repair", repair.keys);
    gauge(
        registry,
        "repair_off",
        "1 where doubtful keys cannot be repaired",
        u64::from(repair.off_because.is_some()),
    );
    let done = Counters::default();
    for (cause, keys) in &repair.done_by_cause {
        done.get_or_create(&vec![("cause", cause.clone())]).inc_by(*keys);
    }
    registry.register("repaired_keys", "Repairs done, by cause", done);
    for (name, help, value) in [
        ("repair_fences", "Fences read at the source", repair.fences),
        ("repair_fences_again", "Fences that had to be read again", repair.fences_again),
    ] {
        let counter = Counter::<u64>::default();
        counter.inc_by(value);
        registry.register(name, help, counter);
    }
}

fn nodes(registry: &mut Registry, report: &Report) {
    let (unsettled, waiting) = (Gauges::default(), Gauges::default());
    for node in &report.nodes {
        let labels = vec![("node", node.address.clone())];
        unsettled.get_or_create(&labels).set(node.unsettled);
        waiting.get_or_create(&labels).set(u64::from(node.waiting.is_some()));
    }
    registry.register("node_unsettled", "Commands sent to a node that are not settled", unsettled);
    registry.register("node_waiting", "1 while nothing is sent to a node", waiting);
}

fn crash(registry: &mut Registry, crash: &CrashReport) {
    let family = Gauges::default();
    for (name, restart) in
        [("partial", Restart::Partial), ("full", Restart::Full), ("unknown", Restart::Unknown)]
    {
        family.get_or_create(&vec![("sync", name.to_owned())]).set(u64::from(crash.restart == restart));
    }
    registry.register("crash_restart", "1 for the sync that a crash right now would cost", family);
    let behind = crash.records_behind.unwrap_or(0);
    gauge(registry, "crash_records_behind", "Records that the source would have to send again", behind);
    gauge(
        registry,
        "crash_keys_to_repair",
        "Keys that would have to be repaired, at most",
        crash.keys_to_repair,
    );
    // What is not known is not there: 0 would mean something else.
    for (name, help, value) in [
        ("source_backlog_records", "Records that the source keeps per flow", crash.backlog_records),
        ("crash_seconds_left", "Until a restart would need a full sync, at this rate", crash.seconds_left),
    ] {
        if let Some(value) = value {
            gauge(registry, name, help, value);
        }
    }
}

fn by_name(registry: &mut Registry, report: &Report) {
    let lacking = Counters::default();
    for entry in &report.not_on_target {
        lacking.get_or_create(&vec![("kind", entry.kind.clone())]).inc_by(entry.count);
    }
    registry.register("not_on_target", "Values and records that the target cannot hold, by kind", lacking);
    let ignored = Counters::default();
    for (reason, count) in &report.ignored_records {
        ignored.get_or_create(&vec![("reason", reason.clone())]).inc_by(*count);
    }
    let filtered = Counters::default();
    for (what, counts) in [("value", &report.filtered.values), ("record", &report.filtered.records)] {
        for (by, count) in counts {
            filtered.get_or_create(&vec![("what", what.to_owned()), ("by", by.clone())]).inc_by(*count);
        }
    }
    registry.register("filtered", "Values and records left out, or a part of them, by reason", filtered);
    registry.register("ignored_records", "Records without effect on the target, by reason", ignored);
}

fn gauge(registry: &mut Registry, name: &str, help: &str, value: u64) {
    let gauge = Gauge::<u64, AtomicU64>::default();
    gauge.set(value);
    registry.register(name, help, gauge);
}

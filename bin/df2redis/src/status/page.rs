//! A report for people.

use std::fmt::{self, Write};

use replica::Report;
use replica::status::Restart;

use crate::output::{bytes, number, seconds, seconds_since};

/// Keys of a list that are shown; all of them are in the JSON.
const SHOWN: usize = 10;

/// The page. `dashboard` is where more can be seen.
pub(crate) fn page(report: &Report, dashboard: &str) -> String {
    let mut page = String::new();
    // Writing into a String does not fail.
    let _ = write(&mut page, report, dashboard);
    page
}

fn write(page: &mut String, report: &Report, dashboard: &str) -> fmt::Result {
    if report.running {
        running(page, report, dashboard)?;
    } else {
        stopped(page, report)?;
    }
    flows(page, report)?;
    repairs(page, report)?;
    for entry in &report.not_on_target {
        writeln!(page, "not on the target: {} of {}", number(entry.count), entry.kind)?;
        keys(page, entry.count, entry.keys.iter().map(String::as_str))?;
    }
    if report.not_in_sync_count > 0 {
        writeln!(page, "not in sync: {} keys", number(report.not_in_sync_count))?;
        let listed: Vec<String> =
            report.not_in_sync.iter().map(|k| format!("db{}:{} ({})", k.db, k.key, k.reason)).collect();
        keys(page, report.not_in_sync_count, listed.iter().map(String::as_str))?;
    }
    Ok(())
}

/// Keys of which members expire through us.
fn members(page: &mut String, report: &Report) -> fmt::Result {
    let Some(keys) = report.members.scheduled else { return Ok(()) };
    write!(page, "members      of {} keys expire through us", number(keys))?;
    match report.members.next_due_ms.map(|at_ms| at_ms.saturating_sub(replica::ledger::now_ms()) / 1000) {
        None => writeln!(page),
        Some(0) => writeln!(page, "; the first is due"),
        Some(left) => writeln!(page, "; the first is due in {}", seconds(left)),
    }
}

fn running(page: &mut String, report: &Report, dashboard: &str) -> fmt::Result {
    let since = seconds(seconds_since(report.phase_since_ms));
    let ready = if report.ready { "in sync with the journal" } else { "not ready" };
    writeln!(page, "df2redis     running for {}, {ready}", seconds(report.uptime_s))?;
    if !report.task_name.is_empty() {
        writeln!(page, "task         {}", report.task_name)?;
    }
    writeln!(page, "phase        {} for {since}", report.phase)?;
    if !report.detail.is_empty() {
        writeln!(page, "             {}", report.detail)?;
    }
    for stuck in &report.stuck {
        writeln!(page, "STUCK        {stuck}")?;
    }
    sides(page, report)?;
    write!(page, "syncs        {} full, {} partial", report.full_syncs, report.partial_syncs)?;
    match report.last_full_sync_reason.as_str() {
        "" => writeln!(page)?,
        reason => writeln!(page, "; last full sync because: {reason}")?,
    }
    let volume = bytes(report.bytes);
    writeln!(
        page,
        "received     {} keys, {} records, {volume}",
        number(report.keys),
        number(report.records)
    )?;
    match (report.lag_records, report.lag_seconds) {
        (None, _) => {}
        (Some(records), Some(lag)) => writeln!(page, "lag          {} records, {lag:.1} s", number(records))?,
        (Some(records), None) => writeln!(page, "lag          {} records", number(records))?,
    }
    let spool = &report.spool;
    if spool.memory_bytes + spool.disk_bytes > 0 || spool.stalled {
        let stalled = if spool.stalled { "; FULL: the source is held up" } else { "" };
        let (memory, disk) = (bytes(spool.memory_bytes), bytes(spool.disk_bytes));
        writeln!(page, "spool        {memory} in memory, {disk} on disk{stalled}")?;
    }
    crash(page, report)?;
    let repair = &report.repair;
    match &repair.off_because {
        Some(why) => writeln!(page, "repair       off: {why}")?,
        None => writeln!(page, "repair       {} keys, {} done", number(repair.keys), number(repair.done))?,
    }
    members(page, report)?;
    writeln!(page, "not in sync  {} keys", number(report.not_in_sync_count))?;
    for (cause, count) in &report.not_in_sync_by_cause {
        writeln!(page, "             {}: {cause}", number(*count))?;
    }
    for node in report.nodes.iter().filter(|node| node.waiting.is_some() || node.unsettled > 0) {
        write!(page, "node         {}, {} writes unsettled", node.address, number(node.unsettled))?;
        match &node.waiting {
            Some(why) => writeln!(page, ", waiting: {why}")?,
            None => writeln!(page)?,
        }
    }
    if report.reconciling || report.removed_keys > 0 {
        let more = if report.reconciling { ", still looking" } else { "" };
        let removed = number(report.removed_keys);
        writeln!(page, "removed      {removed} keys that the source lacks{more}")?;
    }
    for (reason, count) in &report.ignored_records {
        writeln!(page, "passed over  {} records: {reason}", number(*count))?;
    }
    for (what, counts) in [("values", &report.filtered.values), ("records", &report.filtered.records)] {
        for (by, count) in counts {
            writeln!(page, "left out     {} {what}, by {by}", number(*count))?;
        }
    }
    if report.existing_keys > 0 {
        writeln!(page, "kept         {} keys that the target had before", number(report.existing_keys))?;
    }
    if !dashboard.is_empty() {
        writeln!(page, "dashboard    http://{dashboard}/")?;
    }
    Ok(())
}

/// What a crash right now would cost.
fn crash(page: &mut String, report: &Report) -> fmt::Result {
    let crash = &report.crash;
    match crash.restart {
        Restart::Partial => write!(page, "a crash now  a partial resume")?,
        Restart::Full => write!(page, "a crash now  a FULL SYNC")?,
        Restart::Unknown => write!(page, "a crash now  a partial resume if the source allows it")?,
    }
    writeln!(page, ": {}", crash.why)?;
    if let Some(left) = crash.seconds_left {
        writeln!(page, "             at this rate the source holds them for another {}", seconds(left))?;
    }
    match (crash.restart, crash.keys_to_repair) {
        (Restart::Full, _) => Ok(()),
        (_, keys) => writeln!(page, "             and the repair of at most {} keys", number(keys)),
    }
}

fn repairs(page: &mut String, report: &Report) -> fmt::Result {
    let repair = &report.repair;
    if repair.keys == 0 {
        return Ok(());
    }
    writeln!(page, "under repair: {} keys", number(repair.keys))?;
    for (cause, keys) in &repair.by_cause {
        writeln!(page, "  {} because: {cause}", number(*keys))?;
    }
    let listed: Vec<String> =
        repair.first.iter().map(|k| format!("db{}:{} ({}; {})", k.db, k.key, k.cause, k.stage)).collect();
    keys(page, repair.keys, listed.iter().map(String::as_str))
}

fn stopped(page: &mut String, report: &Report) -> fmt::Result {
    writeln!(page, "df2redis     not running")?;
    writeln!(page, "checkpoint   {}", report.detail)?;
    if report.phase_since_ms > 0 {
        writeln!(page, "             written {} ago", seconds(seconds_since(report.phase_since_ms)))?;
    }
    sides(page, report)?;
    members(page, report)?;
    writeln!(page, "not in sync  {} keys", number(report.not_in_sync_count))?;
    if report.reconciling {
        writeln!(page, "due          removal of the keys that the source lacks")?;
    }
    Ok(())
}

fn sides(page: &mut String, report: &Report) -> fmt::Result {
    write!(page, "source       {}", report.source)?;
    if !report.source_release.is_empty() {
        write!(page, ", Dragonfly {}", report.source_release)?;
    }
    writeln!(page)?;
    if !report.replication_id.is_empty() {
        writeln!(page, "             replication id {}", report.replication_id)?;
    }
    writeln!(page, "target       {}", report.target)
}

fn flows(page: &mut String, report: &Report) -> fmt::Result {
    if report.flows.is_empty() {
        return Ok(());
    }
    if !report.running {
        writeln!(page, "flow {:>14} {:>14}", "applied LSN", "reserved")?;
        for f in &report.flows {
            writeln!(page, "{:>4} {:>14} {:>14}", f.flow, number(f.applied_lsn), number(f.reserved_lsn))?;
        }
        return Ok(());
    }
    const COLUMNS: [&str; 8] =
        ["source LSN", "received", "applied", "acknowledged", "checkpointed", "reserved", "lag", "source/s"];
    write!(page, "flow")?;
    COLUMNS.iter().try_for_each(|column| write!(page, " {column:>14}"))?;
    writeln!(page)?;
    for f in &report.flows {
        write!(page, "{:>4}", f.flow)?;
        let values = [
            f.source_lsn.unwrap_or(0),
            f.received_lsn,
            f.applied_lsn,
            f.acknowledged_lsn.unwrap_or(0),
            f.checkpointed_lsn,
            f.reserved_lsn,
            f.lag_records.unwrap_or(0),
            f.source_records_per_s as u64,
        ];
        values.iter().try_for_each(|value| write!(page, " {:>14}", number(*value)))?;
        writeln!(page)?;
    }
    Ok(())
}

fn keys<'k>(page: &mut String, count: u64, listed: impl Iterator<Item = &'k str>) -> fmt::Result {
    let shown: Vec<&str> = listed.take(SHOWN).collect();
    for key in &shown {
        writeln!(page, "  {key}")?;
    }
    match count.saturating_sub(shown.len() as u64) {
        0 => Ok(()),
        more => writeln!(page, "  and {} more", number(more)),
    }
}

//! A report for people.

use std::fmt::{self, Write};

use replica::Report;

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

fn running(page: &mut String, report: &Report, dashboard: &str) -> fmt::Result {
    let since = seconds(seconds_since(report.phase_since_ms));
    let ready = if report.ready { "in sync with the journal" } else { "not ready" };
    writeln!(page, "df2redis     running for {}, {ready}", seconds(report.uptime_s))?;
    writeln!(page, "phase        {} for {since}", report.phase)?;
    if !report.detail.is_empty() {
        writeln!(page, "             {}", report.detail)?;
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
    writeln!(page, "lag          {} records", number(report.lag_records))?;
    writeln!(page, "not in sync  {} keys", number(report.not_in_sync_count))?;
    if report.reconciling || report.removed_keys > 0 {
        let more = if report.reconciling { ", still looking" } else { "" };
        let removed = number(report.removed_keys);
        writeln!(page, "removed      {removed} keys that the source lacks{more}")?;
    }
    for (reason, count) in &report.ignored_records {
        writeln!(page, "passed over  {} records: {reason}", number(*count))?;
    }
    if !dashboard.is_empty() {
        writeln!(page, "dashboard    http://{dashboard}/")?;
    }
    Ok(())
}

fn stopped(page: &mut String, report: &Report) -> fmt::Result {
    writeln!(page, "df2redis     not running")?;
    writeln!(page, "checkpoint   {}", report.detail)?;
    if report.phase_since_ms > 0 {
        writeln!(page, "             written {} ago", seconds(seconds_since(report.phase_since_ms)))?;
    }
    sides(page, report)?;
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
        writeln!(page, "flow {:>14}", "applied LSN")?;
        for f in &report.flows {
            writeln!(page, "{:>4} {:>14}", f.flow, number(f.applied_lsn))?;
        }
        return Ok(());
    }
    const COLUMNS: [&str; 7] =
        ["keys", "records", "received LSN", "applied LSN", "checkpointed", "source LSN", "lag"];
    write!(page, "flow")?;
    COLUMNS.iter().try_for_each(|column| write!(page, " {column:>14}"))?;
    writeln!(page)?;
    for f in &report.flows {
        write!(page, "{:>4}", f.flow)?;
        let values = [
            f.keys,
            f.records,
            f.received_lsn,
            f.applied_lsn,
            f.checkpointed_lsn,
            f.source_lsn,
            f.lag_records,
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

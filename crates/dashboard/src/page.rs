//! A report as one HTML page without any other file.

use std::fmt::{self, Display, Write};

use replica::Report;
use replica::status::{CrashReport, RepairReport, Restart};

const HEAD: &str = "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\">\
<meta http-equiv=\"refresh\" content=\"5\"><title>df2redis</title><style>\
body{font:15px system-ui,sans-serif;margin:2rem;max-width:70rem}\
table{border-collapse:collapse;margin:1rem 0}td,th{padding:.2rem .8rem;border-bottom:1px solid #8884;text-align:left}\
td.n,th.n{text-align:right;font-variant-numeric:tabular-nums}\
</style></head><body><h1>df2redis</h1>\n";

/// The page.
pub fn html(report: &Report) -> String {
    let mut page = String::from(HEAD);
    // Writing into a String does not fail.
    let _ = write(&mut page, report);
    page
}

fn write(page: &mut String, report: &Report) -> fmt::Result {
    overview(page, report)?;
    flows(page, report)?;
    lacking(page, report)?;
    not_in_sync(page, report)?;
    page.push_str("<p><a href=\"/api/status\">JSON</a> <a href=\"/metrics\">metrics</a></p></body></html>\n");
    Ok(())
}

fn overview(page: &mut String, report: &Report) -> fmt::Result {
    page.push_str("<table>");
    row(page, "phase", report.phase)?;
    if !report.detail.is_empty() {
        row(page, "detail", &report.detail)?;
    }
    row(page, "source", format!("{} (release {})", report.source, known(&report.source_release)))?;
    row(page, "target", &report.target)?;
    row(page, "replication id", known(&report.replication_id))?;
    for stuck in &report.stuck {
        row(page, "stuck", stuck)?;
    }
    let records = report.lag_records.unwrap_or(0);
    match report.lag_seconds {
        Some(seconds) => row(page, "lag", format!("{records} records, {seconds:.1} s"))?,
        None => row(page, "lag", format!("{records} records"))?,
    }
    let spool = &report.spool;
    let held = format!("{} bytes in memory, {} on disk", spool.memory_bytes, spool.disk_bytes);
    row(page, "spool", if spool.stalled { format!("{held}; full, the source is held up") } else { held })?;
    row(page, "a crash now", crash(&report.crash))?;
    row(page, "repair", repair(&report.repair))?;
    row(page, "syncs", format!("{} full, {} partial", report.full_syncs, report.partial_syncs))?;
    if !report.last_full_sync_reason.is_empty() {
        row(page, "last full sync because", &report.last_full_sync_reason)?;
    }
    row(page, "snapshot keys", report.keys)?;
    row(page, "journal records", report.records)?;
    row(page, "bytes received", report.bytes)?;
    if let Some(keys) = report.members.scheduled {
        row(page, "keys of which members expire through us", keys)?;
    }
    row(page, "keys not in sync", report.not_in_sync_count)?;
    if report.removed_keys > 0 || report.reconciling {
        let more = if report.reconciling { ", more are looked for" } else { "" };
        row(page, "keys removed", format!("{}{more}", report.removed_keys))?;
    }
    row(page, "uptime", format!("{} s", report.uptime_s))?;
    page.push_str("</table>\n");
    Ok(())
}

fn crash(crash: &CrashReport) -> String {
    let mut text = match crash.restart {
        Restart::Partial => format!("a partial resume: {}", crash.why),
        Restart::Full => return format!("a full sync: {}", crash.why),
        Restart::Unknown => format!("a partial resume if the source allows it: {}", crash.why),
    };
    // Writing into a String does not fail.
    let _ = write!(text, "; at most {} keys to repair", crash.keys_to_repair);
    if let Some(left) = crash.seconds_left {
        let _ = write!(text, "; at this rate for another {left} s");
    }
    text
}

fn repair(repair: &RepairReport) -> String {
    match &repair.off_because {
        Some(why) => format!("off: {why}"),
        None => format!("{} keys, {} done", repair.keys, repair.done),
    }
}

fn known(text: &str) -> &str {
    if text.is_empty() { "not known yet" } else { text }
}

fn flows(page: &mut String, report: &Report) -> fmt::Result {
    if report.flows.is_empty() {
        return Ok(());
    }
    const COLUMNS: [&str; 15] = [
        "flow",
        "keys",
        "records",
        "bytes",
        "received",
        "applied",
        "acknowledged",
        "checkpointed",
        "reserved",
        "source",
        "lag",
        "repairing",
        "redirects",
        "retries",
        "failures",
    ];
    page.push_str("<h2>Flows</h2><table><tr>");
    for column in COLUMNS {
        write!(page, "<th class=\"n\">{column}</th>")?;
    }
    page.push_str("</tr>\n");
    for f in &report.flows {
        page.push_str("<tr>");
        let values = [
            f.flow as u64,
            f.keys,
            f.records,
            f.bytes,
            f.received_lsn,
            f.applied_lsn,
            f.acknowledged_lsn.unwrap_or(0),
            f.checkpointed_lsn,
            f.reserved_lsn,
            f.source_lsn.unwrap_or(0),
            f.lag_records.unwrap_or(0),
            f.repairing_keys,
            f.redirects,
            f.retries,
            f.failures,
        ];
        for value in values {
            write!(page, "<td class=\"n\">{value}</td>")?;
        }
        page.push_str("</tr>\n");
    }
    page.push_str("</table>\n");
    Ok(())
}

fn lacking(page: &mut String, report: &Report) -> fmt::Result {
    if report.not_on_target.is_empty() {
        return Ok(());
    }
    page.push_str(
        "<h2>Not on the target</h2><table><tr><th>kind</th><th class=\"n\">count</th><th>keys</th></tr>\n",
    );
    for entry in &report.not_on_target {
        let keys = entry.keys.join(", ");
        writeln!(
            page,
            "<tr><td>{}</td><td class=\"n\">{}</td><td>{}</td></tr>",
            Escaped(&entry.kind),
            entry.count,
            Escaped(&keys)
        )?;
    }
    page.push_str("</table>\n");
    Ok(())
}

fn not_in_sync(page: &mut String, report: &Report) -> fmt::Result {
    if report.not_in_sync.is_empty() {
        return Ok(());
    }
    page.push_str("<h2>Not in sync</h2><table><tr><th class=\"n\">db</th><th>key</th><th>reason</th></tr>\n");
    for entry in &report.not_in_sync {
        writeln!(
            page,
            "<tr><td class=\"n\">{}</td><td>{}</td><td>{}</td></tr>",
            entry.db,
            Escaped(&entry.key),
            Escaped(&entry.reason)
        )?;
    }
    page.push_str("</table>\n");
    Ok(())
}

fn row(page: &mut String, name: &str, value: impl Display) -> fmt::Result {
    writeln!(page, "<tr><th>{name}</th><td>{}</td></tr>", Escaped(&value.to_string()))
}

/// Text that no browser takes for markup: names of keys come from the users of the source.
struct Escaped<'t>(&'t str);

impl Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for c in self.0.chars() {
            match c {
                '<' => f.write_str("&lt;")?,
                '>' => f.write_str("&gt;")?,
                '&' => f.write_str("&amp;")?,
                '"' => f.write_str("&quot;")?,
                '\'' => f.write_str("&#39;")?,
                _ => f.write_char(c)?,
            }
        }
        Ok(())
    }
}

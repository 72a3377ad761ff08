//! `replicate --dry-run`: what a run would do, for people.

mod places;

use std::fmt::{self, Write};

use checkpoint::Phase;
use command::Mapping;
use config::Config;
use replica::Settings;
use replica::plan::{Existing, Plan, Sync, probe};
use replica::skew::ClocksReport;
use replica::status::DialectReport;

use crate::failure::Failure;
use crate::output::{number, say};
use crate::run;
use crate::status::{Answer, ask, page};

/// Validates, looks whether files can be written, connects to both sides, and prints the plan. A plan that a run would refuse ends as the run would.
pub(crate) fn show(config: &Config) -> Result<(), Failure> {
    let settings = Settings::new(config)?;
    places::check(config)?;
    let probed = run::runtime()?.block_on(probe(&settings));
    if let Err(replica::Error::Checkpoint(error)) = &probed
        && let checkpoint::Error::InUse { dir } = &**error
    {
        return Err(beside_a_daemon(config, &dir.display().to_string()));
    }
    let plan = probed?;
    let mut text = String::new();
    for warning in &config.warnings {
        // Writing into a String does not fail.
        let _ = writeln!(text, "warning      {warning}");
    }
    let _ = write(&mut text, &plan, &config.checkpoint.dir.display().to_string());
    say(&text);
    plan.refusal().map_or(Ok(()), |error| Err(error.into()))
}

/// A daemon has the checkpoint: what would be done by a run is up to it. What it says is told, and the dry run ends as
/// the run would.
fn beside_a_daemon(config: &Config, dir: &str) -> Failure {
    match ask(config) {
        Answer::Report { report, addr } => {
            say(&page(&report, &addr.to_string()));
            Failure::failed(format!(
                "checkpoint {dir} is in use by the daemon at {addr}, whose status is shown above; a second one would be \
                 refused, and a dry run can read the checkpoint only after it is stopped"
            ))
        }
        Answer::Nothing { why } | Answer::Other { why } => Failure::failed(format!(
            "checkpoint {dir} is in use by another process, and {why}; stop it before a dry run, or give `status` the \
             configuration that it runs with"
        )),
    }
}

fn write(text: &mut String, plan: &Plan, dir: &str) -> fmt::Result {
    let source = &plan.source;
    let release = source.release.map_or("release unknown".to_owned(), |r| format!("release {r}"));
    writeln!(text, "source       {}, Dragonfly {release}, {} flows", source.addr, source.flows)?;
    writeln!(text, "             replication id {}", source.replication_id)?;
    match &source.databases {
        Ok(databases) if databases.is_empty() => writeln!(text, "             no keys")?,
        Ok(databases) => writeln!(text, "             databases {}", list(databases))?,
        Err(reason) => writeln!(text, "             databases not known: {reason}")?,
    }
    let target = &plan.target;
    let dialect = &target.dialect;
    let kind = if dialect.cluster { "a cluster" } else { "standalone" };
    writeln!(
        text,
        "target       {}, {}, {kind}, {} keys",
        target.seeds,
        dialect.product,
        number(target.keys)
    )?;
    if dialect.cluster {
        writeln!(text, "             {} masters: {}", target.masters.len(), target.masters.join(", "))?;
    }
    understands(text, dialect)?;
    clocks(text, &plan.clocks)?;
    mapping(text, &plan.mapping, source.databases.as_deref().unwrap_or_default())?;
    checkpoint(text, plan, dir)?;
    expected(text, plan)?;
    writeln!(text, "dry run      nothing was written")
}

fn understands(text: &mut String, dialect: &DialectReport) -> fmt::Result {
    let restore = dialect
        .restore_rdb_version
        .map_or_else(|| "what its version takes".to_owned(), |v| format!("up to RDB version {v}"));
    let ttl = if dialect.hash_field_ttl { "yes" } else { "no" };
    let modules = if dialect.modules.is_empty() { "none".to_owned() } else { dialect.modules.join(", ") };
    writeln!(
        text,
        "             RESTORE takes {restore}; RESP{}; expiry of hash fields: {ttl}; modules: {modules}",
        dialect.resp
    )?;
    for forbidden in &dialect.forbidden {
        writeln!(text, "             {} is forbidden: {}", forbidden.command, forbidden.weaker)?;
    }
    Ok(())
}

fn clocks(text: &mut String, clocks: &ClocksReport) -> fmt::Result {
    for node in &clocks.nodes {
        match node.ahead_ms {
            Some(ahead) => writeln!(
                text,
                "             clock of {} is {ahead} ms ahead of the source's (give or take {} ms)",
                node.address, node.uncertain_ms
            )?,
            None => writeln!(text, "             clock of {} not compared with the source's", node.address)?,
        }
    }
    Ok(())
}

fn list(databases: &[u32]) -> String {
    databases.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

fn mapping(text: &mut String, mapping: &Mapping, found: &[u32]) -> fmt::Result {
    let mut databases: Vec<u32> = found.to_vec();
    databases.extend(mapping.databases());
    databases.push(0);
    databases.sort_unstable();
    databases.dedup();
    for (i, db) in databases.iter().enumerate() {
        let label = if i == 0 { "mapping" } else { "" };
        match mapping.placement(*db) {
            None => writeln!(text, "{label:<12} database {db} is not replicated")?,
            Some(place) if place.prefix.is_empty() => {
                writeln!(text, "{label:<12} database {db} -> database {}", place.db)?;
            }
            Some(place) => {
                let prefix = place.prefix.escape_ascii();
                writeln!(
                    text,
                    "{label:<12} database {db} -> database {}, names begin with {prefix}",
                    place.db
                )?;
            }
        }
    }
    Ok(())
}

fn checkpoint(text: &mut String, plan: &Plan, dir: &str) -> fmt::Result {
    let state = plan.checkpoint.as_ref().filter(|state| state.phase != Phase::None);
    match state {
        None => writeln!(text, "checkpoint   none in {dir}")?,
        Some(state) if state.phase == Phase::FullSync => {
            writeln!(text, "checkpoint   {dir}: a full sync from {} was begun", state.replication_id)?;
        }
        Some(state) => {
            let applied: Vec<String> = state.applied.iter().map(ToString::to_string).collect();
            writeln!(text, "checkpoint   {dir}: replication id {}", state.replication_id)?;
            writeln!(text, "             applied LSNs {}", applied.join(", "))?;
        }
    }
    if plan.not_in_sync > 0 {
        writeln!(text, "             {} keys are not in sync", number(plan.not_in_sync))?;
    }
    Ok(())
}

fn expected(text: &mut String, plan: &Plan) -> fmt::Result {
    match &plan.sync {
        Sync::Partial { behind: Some(records) } => writeln!(
            text,
            "sync         partial, {} records behind; full if the source no longer holds them",
            number(*records)
        )?,
        Sync::Partial { behind: None } => {
            writeln!(text, "sync         partial; full if the source no longer holds the records")?;
        }
        Sync::Full(reason) => writeln!(text, "sync         full: {reason}")?,
    }
    let (keys, then) = match plan.existing {
        Existing::Empty => return writeln!(text, "data         the target is empty"),
        Existing::Kept { keys } => (keys, "they stay; only what the source changed is written"),
        Existing::Ours { keys, reconcile: true } => {
            (keys, "they are written over, and those that the source lacks are removed afterwards")
        }
        Existing::Ours { keys, reconcile: false } => {
            (keys, "they are written over, and those that the source lacks stay (on_existing_data: merge)")
        }
        Existing::Refused { keys } => (keys, "the run would stop (on_existing_data: refuse)"),
        Existing::Merged { keys } => {
            (keys, "they are written over and otherwise left (on_existing_data: merge)")
        }
        Existing::Protected { keys, stop: false } => (keys, "they stay as they are (conflict.policy: skip)"),
        Existing::Protected { keys, stop: true } => (
            keys,
            "they stay; the run would stop at a key of the source with the same name (conflict.policy: panic)",
        ),
        Existing::Flushed { keys } => (keys, "they are removed first (on_existing_data: flush)"),
    };
    writeln!(text, "data         {} keys on the target: {then}", number(keys))
}

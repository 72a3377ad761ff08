//! docs/commands.md, made from the table and from what the translator does.

use std::fmt::Write;
use std::sync::Arc;

use bytes::Bytes;
use journal::{Record, RecordKind};

use super::{Keys, all, find};
use crate::{
    Dialect, Doubts, Flavour, Mapping, MissingKind, Translator, Treatment,
    table::recorded::{FAMILIES, Recorded},
};

/// What stands above the tables.
const HEAD: &str = "\
# Commands

What becomes of every record in the journal of a Dragonfly master. Made from the code (`crates/command/src/table`) by
`UPDATE_DOCS=1 cargo test -p command --test table`; a test compares. Change the code, not this file.

* **Command**: of the source, and the first release that has or records it. Every command is here that Dragonfly 1.40.1 marks as one that writes.
* **Keys**: where they stand in the record; *never* where the command has other records only.
* **Records**: examples of what arrives. `a`, `b` and `c` are keys. Records of one transaction are joined by `;`.
* **Standalone**: Redis 8 with its modules. *As it is*: sent with the target's names of the keys. *Repaired*: not sent; the keys that are written
  are read from the source and set exactly at this place in the stream ([repair.md](repair.md)). *Read again*: sent, and repaired about a second later.
  *Reported*: the target cannot hold it; the keys are in the status.
* **Cluster**: where it differs; first with keys in one slot, then across slots.
* **Older**: Redis 7.4, 7.2, 7.0 and 6.2 without modules, where one of them differs from the release above it. Valkey 7.2 and 8 are like Redis 7.2; Valkey 9 is too,
  but for TTLs of hash fields, which it has like Redis 7.4.

A command that is not in the table is never guessed. Its keys are found by what the source's `COMMAND INFO` says, and repaired; where that says
nothing, the record is listed by the name of its command as not in sync. Either is told once.
";

/// The whole file.
#[must_use]
pub fn commands_md() -> String {
    let mut text = HEAD.to_owned();
    for family in FAMILIES {
        let _ = write!(text, "\n## {}\n\n", family.name);
        text.push_str(
            "| Command | Keys | Records | Standalone | Cluster | Older |\n|---|---|---|---|---|---|\n",
        );
        for command in family.commands {
            text.push_str(&row(command));
        }
    }
    text
}

fn row(command: &Recorded) -> String {
    let own = command.records.iter().any(|record| first_word(record) == command.command);
    let keys = match find(command.command.as_bytes()) {
        Some(spec) if own => positions(spec.keys),
        _ => "never".to_owned(),
    };
    let name = match command.since {
        "" => format!("`{}`", command.command),
        since => format!("`{}` {since}", command.command),
    };
    let cells: Vec<[String; 4]> = command.records.iter().map(|record| cells(record)).collect();
    let column = |i: usize| {
        let lines: Vec<&str> = cells.iter().map(|cells| cells[i].as_str()).collect();
        match lines.iter().all(|line| *line == lines[0]) && i > 0 {
            true => lines[0].to_owned(),
            false => lines
                .iter()
                .map(|line| if line.is_empty() { "–" } else { line })
                .collect::<Vec<_>>()
                .join("<br>"),
        }
    };
    format!("| {name} | {keys} | {} | {} | {} | {} |\n", column(0), column(1), column(2), column(3))
}

fn first_word(record: &str) -> &str {
    record.split(' ').next().unwrap_or_default()
}

/// Record, standalone, cluster where it differs, older releases where they differ.
fn cells(record: &str) -> [String; 4] {
    let shown = record.trim_end_matches(" ; PING");
    let standalone = treatment(record, &newest(false));
    let mut cluster = treatment(&in_one_slot(record), &newest(true)).replace("{x}", "");
    let across = treatment(record, &newest(true));
    if cluster != across {
        cluster = format!("{cluster}; across slots {}", lower(&across));
    } else if cluster == standalone {
        cluster = String::new();
    }
    let mut older = Vec::new();
    let mut last = standalone.clone();
    for version in [(7, 4, 0), (7, 2, 0), (7, 0, 0), (6, 2, 0)] {
        let text = treatment(record, &Dialect::assumed(Flavour::Redis, version, false));
        if text != last {
            older.push(format!("{}.{}: {}", version.0, version.1, lower(&text)));
            last = text;
        }
    }
    [format!("`{shown}`"), standalone, cluster, older.join("<br>")]
}

fn lower(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map_or_else(String::new, |first| first.to_lowercase().chain(chars).collect())
}

/// The same keys with a tag in common.
fn in_one_slot(record: &str) -> String {
    let tagged = |word: &str| match word {
        "a" | "b" | "c" => format!("{{x}}{word}"),
        other => other.to_owned(),
    };
    // the member `m c` of streams is no key: it stands behind a group
    let words: Vec<&str> = record.split(' ').collect();
    let is_consumer = |i: usize| i > 0 && words[i - 1] == "g";
    let tagged = words
        .iter()
        .enumerate()
        .map(|(i, word)| if is_consumer(i) { (*word).to_owned() } else { tagged(word) });
    tagged.collect::<Vec<_>>().join(" ")
}

/// Redis 8 with everything that a server other than Dragonfly has.
fn newest(cluster: bool) -> Dialect {
    let has =
        all().iter().filter(|spec| spec.since.is_some() || !matches!(spec.missing, MissingKind::Command(_)));
    Dialect::new(Flavour::Redis, (8, 0, 0), cluster, has.map(|spec| spec.name))
}

fn positions(keys: Keys) -> String {
    match keys {
        Keys::None => "none".to_owned(),
        Keys::At(index) => index.to_string(),
        Keys::Every { first, step: 1 } => format!("from {first} on"),
        Keys::Every { first, step } => format!("from {first} on, one of {step}"),
        Keys::Two => "1, 2".to_owned(),
        Keys::Counted { count, destination } => {
            format!("{}as many as {count} says", if destination { "1, " } else { "" })
        }
        Keys::Store { .. } => "1, behind `STORE`".to_owned(),
    }
}

fn args(record: &str) -> Vec<Bytes> {
    let word = |word: &str| match word {
        "<dump>" => rdb::dump::payload(rdb::Kind::String, b"\x05hello"),
        other => Bytes::copy_from_slice(other.as_bytes()),
    };
    record.split(' ').map(word).collect()
}

/// What the engine does with a record, or with several of one transaction.
fn treatment(line: &str, dialect: &Dialect) -> String {
    let mut doubts = Doubts::new();
    let mut translator = Translator::new(
        if dialect.cluster { Mapping::prefixed() } else { Mapping::keep() },
        Arc::new(dialect.clone()),
    );
    let records: Vec<&str> = line.split(" ; ").collect();
    let txid = u64::from(records.len() > 1);
    let mut all = Vec::new();
    let mut later = None;
    for record in &records {
        let args = args(record);
        let record = Record { db: 0, txid, kind: RecordKind::Command, args: args.clone() };
        let mut repaired = None;
        for doubt in doubts.record(&record) {
            match doubt.why.is_likely() {
                true => repaired = Some(format!("Repaired: {}", doubt.why)),
                false => later = Some(doubt.why),
            }
        }
        if record.args[0] == "PING" && records.len() > 1 {
            continue;
        }
        all.push(repaired.unwrap_or_else(|| describe(&args, translator.record(record, 1_800_000_000_000))));
    }
    all.dedup();
    let mut text = all.join("; ");
    if let Some(why) = later {
        let _ = write!(text, "; read again: {why}");
    }
    text
}

fn describe(args: &[Bytes], treatment: Treatment) -> String {
    match treatment {
        // The guide is about the default, in which nothing is scheduled.
        Treatment::Send(commands) | Treatment::Expiring { commands, .. } => sent(args, commands.as_slice()),
        Treatment::Reduced { commands, missing } if commands.is_empty() => format!("Reported: no {missing}"),
        Treatment::Reduced { commands, missing } => {
            format!("{}; reported: no {missing}", sent(args, commands.as_slice()))
        }
        Treatment::Global(_) => "Executed once for all flows, behind a barrier, on every node".to_owned(),
        Treatment::Broadcast(_) => "To every node".to_owned(),
        Treatment::CrossKey(_) => "Repaired: from one slot or database to another".to_owned(),
        Treatment::Ignore(reason) => format!("Nothing to do: {}", reason.words()),
        Treatment::Lacking(missing) if missing.kind.is_type() => {
            format!("Removed and reported: no {missing}")
        }
        Treatment::Lacking(missing) => format!("Reported: no {missing}"),
        Treatment::NotInSync { reason, .. } => format!("Repaired: {reason}"),
        Treatment::Collision(_) => "Stops".to_owned(),
    }
}

fn sent(args: &[Bytes], commands: &[crate::TargetCommand]) -> String {
    if let [command] = commands
        && command.args == args
    {
        return "As it is".to_owned();
    }
    let slots: std::collections::BTreeSet<u16> = commands.iter().map(|command| command.slot).collect();
    if slots.len() > 1 && commands.iter().all(|command| command.args[0] == args[0]) {
        return "Split by slot".to_owned();
    }
    let text = |command: &crate::TargetCommand| {
        let words = command.args.iter().map(|word| match std::str::from_utf8(word) {
            Ok(word) if word.contains("redis.call") => "script".to_owned(),
            Ok(word) if word.len() < 40 && !word.contains('\0') => word.to_owned(),
            _ => "<dump>".to_owned(),
        });
        format!("`{}`", words.collect::<Vec<_>>().join(" "))
    };
    commands.iter().map(text).collect::<Vec<_>>().join(", ")
}

impl std::fmt::Display for crate::treatment::Missing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.kind.fmt(f)
    }
}

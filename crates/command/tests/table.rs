//! The table against the source's own list of commands, and against docs/commands.md.
#![allow(clippy::unwrap_used)]

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use command::table::{self, FAMILIES, Handling, Keys, Recorded};
use redis::Value;
use scenarios::servers::{Dragonfly, DragonflyOptions};

/// `COMMAND` of the release up to which the table is complete.
const COMMANDS: &str = include_str!("dragonfly-v1.40.1-commands.txt");

/// First key, last key, distance.
type Positions = (i64, i64, i64);

fn recorded() -> BTreeMap<&'static str, &'static Recorded> {
    FAMILIES.iter().flat_map(|family| family.commands).map(|command| (command.command, command)).collect()
}

/// The commands that write, with the positions of their keys.
fn writes() -> BTreeMap<&'static str, Positions> {
    let lines = COMMANDS.lines().filter(|line| !line.starts_with('#'));
    let parsed = lines.filter_map(|line| {
        // subcommands are named with a blank
        let words: Vec<&str> = line.rsplitn(6, ' ').collect();
        let [step, last, first, flags, _, name] = words[..] else { panic!("{line}") };
        let number = |text: &str| text.parse().unwrap();
        flags
            .split(',')
            .any(|flag| flag == "write")
            .then(|| (name, (number(first), number(last), number(step))))
    });
    parsed.collect()
}

#[test]
fn every_command_that_writes_has_a_row() {
    let recorded = recorded();
    let writes = writes();
    assert!(writes.len() > 130, "{}", writes.len());
    let missing: Vec<_> = writes.keys().filter(|name| !recorded.contains_key(**name)).collect();
    assert!(missing.is_empty(), "{missing:?}");
}

#[test]
fn every_row_of_the_table_is_reached_by_a_command_and_every_record_by_a_row() {
    let mut reached = BTreeSet::new();
    for command in recorded().values() {
        assert!(!command.records.is_empty(), "{}", command.command);
        for record in command.records.iter().flat_map(|records| records.split(" ; ")) {
            let name = record.split(' ').next().unwrap();
            let spec = table::find(name.as_bytes()).unwrap_or_else(|| panic!("{record} has no row"));
            reached.insert(spec.name);
        }
    }
    let all = table::all().iter().filter(|spec| !matches!(spec.handling, Handling::OnlySent));
    let unreached: Vec<_> = all.map(|spec| spec.name).filter(|name| !reached.contains(name)).collect();
    assert!(unreached.is_empty(), "{unreached:?}");
}

/// What the source says about the keys of commands that are recorded as they are.
#[test]
fn keys_stand_where_the_source_says() {
    let writes = writes();
    let mut compared = 0;
    for spec in table::all() {
        let Some((first, last, step)) = writes.get(spec.name).copied() else { continue };
        compared += 1;
        let expected = match spec.keys {
            Keys::At(index) => (index as i64, index as i64, 1),
            Keys::Every { first, step } => (first as i64, -1, step as i64),
            Keys::Two => (1, 2, 1),
            // The source names only the first of those that are counted, or the one that is not behind STORE.
            Keys::Counted { count, .. } => (count as i64 + 1, count as i64 + 1, 1),
            Keys::Store { .. } => (1, 1, 1),
            Keys::None => (0, 0, 1),
        };
        if spec.name == "SHRINK" {
            continue; // one key; a list of one
        }
        assert_eq!((first, last, step), expected, "{}", spec.name);
    }
    assert!(compared > 90, "{compared}");
}

#[test]
fn the_guide_is_what_the_code_says() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/commands.md");
    let made = table::commands_md();
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::write(&file, &made).unwrap();
    }
    let found = std::fs::read_to_string(&file).unwrap_or_default();
    let differ = found.lines().zip(made.lines()).find(|(found, made)| found != made);
    assert!(
        found == made,
        "docs/commands.md is stale: UPDATE_DOCS=1 cargo test -p command --test table; first: {differ:#?}"
    );
}

#[test]
fn a_live_dragonfly_has_no_other_write_commands() {
    let name = "a_live_dragonfly_has_no_other_write_commands";
    let Some(dragonfly) = Dragonfly::start_or_skip(name, DragonflyOptions::default()) else { return };
    let Value::Array(commands) = dragonfly.client().call(&["COMMAND"]) else { panic!("COMMAND: no array") };
    let recorded = recorded();
    let mut writes = 0;
    for command in commands {
        let Value::Array(parts) = command else { panic!("{command:?}") };
        let name = scenarios::client::as_text(&parts[0]).unwrap().to_ascii_uppercase();
        let (Value::Array(flags) | Value::Set(flags)) = &parts[2] else { panic!("{name}: {:?}", parts[2]) };
        let flags: Vec<String> = flags.iter().filter_map(scenarios::client::as_text).collect();
        if flags.iter().any(|flag| flag == "write") {
            writes += 1;
            assert!(recorded.contains_key(name.as_str()), "{name} is not in the table");
        }
    }
    assert!(writes > 130, "{writes}");
}

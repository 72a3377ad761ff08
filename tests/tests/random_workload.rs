//! Every write command with every option, drawn from seeds: the target equals the source.
//!
//! `WORKLOAD_SEEDS=n` runs n seeds for each kind of source and target, from `WORKLOAD_FIRST=f` (0) on; unset, each kind of
//! target has its own 25.
//! `WORKLOAD_SEED=s` only this one. `WORKLOAD_SOURCE=Dragonfly` leaves the simulator out.
#![allow(clippy::unwrap_used)]

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use scenarios::client::readable;
use scenarios::logical::{Contents, Difference, Value, diff, report};
use scenarios::program::{Df2redis, number};
use scenarios::raw::{Answer, Raw};
use scenarios::source::Source;
use scenarios::target::Target;
use scenarios::wait;
use scenarios::workload::every::{Command, DATABASES, Everything, NOT_DRAWN, Step, commands};

const READY: Duration = Duration::from_secs(90);
const EQUAL: Duration = Duration::from_secs(60);

/// Steps of one seed.
const STEPS: usize = 300;

/// Seeds that are compared together.
const TOGETHER: usize = 13;

/// Keys of which a failure tells the commands.
const HISTORIES: usize = 12;

/// Steps in one pipeline.
const DEPTH: usize = 25;

fn seeds(usual: std::ops::Range<u64>) -> Vec<u64> {
    let number = |name: &str| std::env::var(name).ok().map(|text| text.parse().expect("a number"));
    match number("WORKLOAD_SEED") {
        Some(seed) => vec![seed],
        None => match number("WORKLOAD_SEEDS") {
            Some(count) => {
                let first = number("WORKLOAD_FIRST").unwrap_or(0);
                (first..first + count).collect()
            }
            None => usual.collect(),
        },
    }
}

/// What became of the commands, by name: executed, refused with this line.
type Outcomes = BTreeMap<String, (u64, BTreeMap<String, u64>)>;

fn note(outcomes: &mut Outcomes, command: &Command, answer: &Answer) {
    let name = String::from_utf8_lossy(&command[0]).into_owned();
    let (executed, refused) = outcomes.entry(name).or_default();
    match answer {
        Answer::Refused(line) => *refused.entry(line.chars().take(60).collect()).or_default() += 1,
        _ => *executed += 1,
    }
}

/// Sends the steps of one seed.
fn write(client: &mut Raw, seed: u64, outcomes: &mut Outcomes) {
    let mut everything = Everything::new(seed);
    let steps: Vec<Step> = (0..STEPS).map(|_| everything.step()).collect();
    for steps in steps.chunks(DEPTH) {
        for step in steps {
            client.queue(&["SELECT", &step.db.to_string()]);
            step.commands.iter().for_each(|command| client.queue(command));
        }
        let mut answers = client.flush().into_iter();
        for step in steps {
            answers.next().unwrap();
            let answers: Vec<Answer> = answers.by_ref().take(step.commands.len()).collect();
            match (step.commands.len(), answers.last()) {
                (3.., Some(Answer::Each(inner))) => {
                    let inside = &step.commands[1..step.commands.len() - 1];
                    inside.iter().zip(inner).for_each(|(command, answer)| note(outcomes, command, answer));
                }
                _ => step.commands.iter().zip(&answers).for_each(|(c, a)| note(outcomes, c, a)),
            }
        }
    }
}

/// What the target can hold: Redis without modules has no documents and sketches.
fn holdable(mut contents: Contents) -> Contents {
    contents.retain(|_, logical| !matches!(logical.value, Value::Json(_) | Value::Opaque(_)));
    contents
}

/// The commands of a seed that name the key, in order.
fn history(found: &Difference) -> String {
    let text = String::from_utf8_lossy(&found.key).into_owned();
    let digits = text.split_once('w').map_or("", |(_, rest)| rest).split(':').next().unwrap_or_default();
    let Ok(seed) = digits.parse() else { return String::new() };
    let key = found.key.strip_prefix(format!("db{}:", found.db).as_bytes()).unwrap_or(&found.key);
    let key = (1..DATABASES).find_map(|db| key.strip_prefix(format!("db{db}:").as_bytes())).unwrap_or(key);
    let mut everything = Everything::new(seed);
    let mut lines = format!("\nseed {seed}, commands that name {}:", readable(key));
    for number in 0..STEPS {
        let step = everything.step();
        for command in step.commands.iter().filter(|command| command.iter().any(|word| word == key)) {
            let words: Vec<String> =
                command.iter().map(|word| readable(&word[..word.len().min(60)])).collect();
            lines.push_str(&format!("\n  {number} db {}: {}", step.db, words.join(" ")));
        }
    }
    lines
}

fn check(source: &Source, target: &Target, program: &mut Df2redis, seeds: &[u64]) {
    let mut found = Vec::new();
    let mut keys = 0;
    let equal = wait::try_until_some(EQUAL, &mut || {
        let expected = holdable(target.expected(&source.endpoint()));
        keys = expected.len();
        found = diff(&expected, &target.read());
        found.is_empty().then_some(())
    });
    if equal.is_none() {
        let histories: Vec<String> = found.iter().take(HISTORIES).map(history).collect();
        panic!(
            "{}, seeds {seeds:?}: {}{}\nstatus: {}\n{}",
            source.name(),
            report(&found),
            histories.concat(),
            program.status().unwrap(),
            program.output()
        );
    }
    program.wait_until(EQUAL, "every key to be in sync", |status| number(status, "not_in_sync_count") == 0);
    println!("{}: seeds {seeds:?}: {keys} keys equal", source.name());
}

fn every_write_command_arrives(test: &str, usual: std::ops::Range<u64>, target: fn() -> Target) {
    let only = std::env::var("WORKLOAD_SOURCE").ok();
    for source in Source::each(test, 2) {
        if only.as_ref().is_some_and(|only| only != source.name()) {
            continue;
        }
        let begin = Instant::now();
        let target = target();
        let seeds = seeds(usual.clone());
        println!("{}: seeds {seeds:?}", source.name());
        let mut outcomes = Outcomes::new();
        let mut client = source.client();
        let mut writer = Raw::open(&source.endpoint());
        client.call(&["FLUSHALL"]);
        let mut program: Option<Df2redis> = None;
        for together in seeds.chunks(TOGETHER) {
            for seed in together {
                write(&mut writer, *seed, &mut outcomes);
                // The first seed comes in the snapshot, the second while it is taken.
                if program.is_none() {
                    program = Some(Df2redis::replicate(target.settings(&source)));
                }
            }
            let program = program.as_mut().unwrap();
            program.wait_ready(READY);
            check(&source, &target, program, together);
            client.call(&["SELECT", "1"]);
            client.call(&["FLUSHDB"]);
            check(&source, &target, program, together);
            client.call(&["FLUSHALL"]);
        }
        println!("{}: {} seeds took {:?}", source.name(), seeds.len(), begin.elapsed());
        if seeds.len() >= 20 {
            assert_all_were_tried(&source, &outcomes);
        }
    }
}

fn assert_all_were_tried(source: &Source, outcomes: &Outcomes) {
    let never = |name: &&&str| outcomes.get(**name).is_none_or(|(executed, _)| *executed == 0);
    for name in commands().iter().filter(never) {
        let refusals = outcomes.get(*name).map(|(_, refused)| refused);
        println!("{}: {name} was never executed: {refusals:?}", source.name());
        let known = matches!(source, Source::Simulated(_));
        assert!(known, "{name} was never executed: {refusals:?}");
    }
}

#[test]
fn every_write_command_arrives_in_a_standalone_server() {
    every_write_command_arrives("every_write_command_arrives_in_a_standalone_server", 0..25, || {
        Target::both().next().unwrap()
    });
}

#[test]
fn every_write_command_arrives_in_a_cluster() {
    every_write_command_arrives("every_write_command_arrives_in_a_cluster", 25..50, || {
        Target::both().nth(1).unwrap()
    });
}

/// Against the list that v1.40.1 itself gives.
#[test]
fn every_write_command_is_drawn() {
    let recorded = include_str!("../../crates/command/tests/dragonfly-v1.40.1-commands.txt");
    let drawn = commands();
    let left_out: BTreeSet<&str> = NOT_DRAWN.iter().map(|(name, _)| *name).collect();
    let writes = recorded.lines().filter_map(|line| {
        let mut words = line.split(' ');
        let (name, flags) = (words.next()?, words.nth(1)?);
        flags.split(',').any(|flag| flag == "write").then_some(name)
    });
    let missing: Vec<&str> =
        writes.filter(|name| !drawn.contains(name) && !left_out.contains(name)).collect();
    assert!(missing.is_empty(), "not drawn: {missing:?}");
}

//! Records of commands that nobody knows: never guessed, their keys repaired, told once.
#![allow(clippy::unwrap_used)]

use std::time::Duration;

use scenarios::program::{Df2redis, number};
use scenarios::servers::Simulated;
use scenarios::source::Source;
use scenarios::target::Target;

const SOON: Duration = Duration::from_secs(60);

fn attached(source: &Source, target: &Target) -> Df2redis {
    let mut program = Df2redis::replicate(target.settings(source));
    program.wait_ready(SOON);
    program
}

#[test]
fn the_source_tells_the_keys_and_they_are_repaired() {
    for target in Target::both() {
        let simulated = Simulated::start();
        simulated.handle().rename_command("INCR", "COUNTUP", true);
        simulated.handle().rename_command("XGROUP", "STREAMGROUP", true);
        let source = Source::Simulated(simulated);
        let mut client = source.client();
        client.call(&["SET", "before", "7"]);
        let mut program = attached(&source, &target);
        for round in 0..10 {
            client.call(&["COUNTUP", "before"]);
            client.call(&["COUNTUP", &format!("new:{round}")]);
            // What follows in the same flow builds on it.
            client.call(&["APPEND", "before", "0"]);
        }
        client.call(&["STREAMGROUP", "CREATE", "stream", "group", "$", "MKSTREAM"]);
        client.call(&["RENAME", "before", "after"]);
        target.assert_equal(&source);
        let status =
            program.wait_until(SOON, "every key to be in sync", |s| number(s, "not_in_sync_count") == 0);
        let unknown = &status["unknown_commands"];
        assert_eq!(unknown["COUNTUP"]["records"], 20, "{status}");
        assert_eq!(unknown["COUNTUP"]["keys_unknown"], 0, "{status}");
        assert_eq!(unknown["STREAMGROUP"]["records"], 1, "{status}");
        let output = program.output();
        assert_eq!(output.matches("unknown command; ").count(), 2, "told once each: {output}");
    }
}

#[test]
fn a_command_whose_keys_the_source_does_not_tell_is_listed_by_name() {
    let simulated = Simulated::start();
    simulated.handle().rename_command("INCR", "COUNTUP", false);
    let source = Source::Simulated(simulated);
    let target = Target::both().next().unwrap();
    let mut client = source.client();
    let mut program = attached(&source, &target);
    client.call(&["SET", "other", "1"]);
    client.call(&["COUNTUP", "n"]);
    client.call(&["COUNTUP", "n"]);
    client.call(&["SET", "other", "2"]);
    let status = program.wait_until(SOON, "the records to be counted", |status| {
        status["unknown_commands"]["COUNTUP"]["keys_unknown"] == 2 && number(status, "not_in_sync_count") > 0
    });
    let reason = status["not_in_sync"][0]["reason"].as_str().unwrap();
    assert!(reason.contains("COUNTUP"), "{status}");
    assert_eq!(program.output().matches("unknown command; ").count(), 1, "{}", program.output());
    let expected = target.expected(&source.endpoint());
    scenarios::wait::until(SOON, "the other key", || {
        let found = target.read();
        let other = (0, b"other".to_vec());
        found.get(&other) == expected.get(&other) && found.len() == 1
    });
    // It is still known after a restart.
    program.terminate();
    program.again();
    program.wait_ready(SOON);
    let status = program.status().unwrap();
    assert!(status["not_in_sync"][0]["reason"].as_str().unwrap().contains("COUNTUP"), "{status}");
}

//! Every write command with every option, into the releases that `TARGET_BINS` names, and those with the JSON modules of
//! `TARGET_MODULES`: `check` finds nothing there.
#![allow(clippy::unwrap_used)]

use std::time::Duration;

use scenarios::observe::wait_all_in_sync;
use scenarios::program::{Df2redis, Settings, run};
use scenarios::raw::Raw;
use scenarios::servers::OtherServer;
use scenarios::source::Source;
use scenarios::workload::every::Everything;

const READY: Duration = Duration::from_secs(90);
/// Seeds of random writes, and steps of each; the first half of the seeds is there before the snapshot.
const SEEDS: std::ops::Range<u64> = 0..8;
const STEPS: usize = 300;
/// Steps in one pipeline.
const DEPTH: usize = 25;

fn write(client: &mut Raw, seeds: std::ops::Range<u64>) {
    for seed in seeds {
        let mut everything = Everything::new(seed);
        let steps: Vec<_> = (0..STEPS).map(|_| everything.step()).collect();
        for steps in steps.chunks(DEPTH) {
            for step in steps {
                client.queue(&["SELECT", &step.db.to_string()]);
                step.commands.iter().for_each(|command| client.queue(command));
            }
            client.flush();
        }
    }
}

#[test]
fn every_write_command_arrives_on_every_release() {
    let test = "every_write_command_arrives_on_every_release";
    let middle = SEEDS.end / 2;
    // The server of the path has tests of its own.
    let plain = OtherServer::each(test).skip(1);
    for server in plain.chain(OtherServer::each_with_module(test, "JSON.SET")) {
        for source in Source::each(test, 2) {
            source.client().call(&["FLUSHALL"]);
            server.client().call(&["FLUSHALL"]);
            let mut writer = Raw::open(&source.endpoint());
            write(&mut writer, SEEDS.start..middle);
            let settings = Settings::replicate(&source.addr(), "redis-standalone", &[server.addr()]);
            let mut program = Df2redis::replicate(settings.set("checkpoint.interval", 1));
            program.wait_ready(READY);
            write(&mut writer, middle..SEEDS.end);
            wait_all_in_sync(&mut program, READY);
            let config = program.config_file().to_str().unwrap();
            let checked = run(&["check", "--config", config, "--mode", "full"], READY);
            assert_eq!(checked.code(), 0, "{} to {}: {checked:?}", source.name(), server.name);
            println!("{} to {}: {}", source.name(), server.name, checked.stdout);
            let output = program.terminate();
            assert_eq!(output.code(), 0, "{output:?}");
        }
    }
}

//! One run of `df2redis check`.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use scenarios::injuries::Injury;
use scenarios::program::{Df2redis, Output, Settings, run};
use scenarios::wait;
use serde_json::Value;
use tempfile::TempDir;

const DEADLINE: Duration = Duration::from_secs(600);

/// How it ended, and its JSON.
#[derive(Debug)]
pub(crate) struct Checked {
    pub(crate) output: Output,
    pub(crate) result: Value,
}

impl Checked {
    pub(crate) fn run(settings: &Settings, arguments: &[&str]) -> Checked {
        let dir = TempDir::new().unwrap();
        let config = dir.path().join("check.yaml");
        std::fs::write(&config, settings.to_yaml()).unwrap();
        Checked::with(&config, arguments)
    }

    /// With a configuration file that is there already.
    pub(crate) fn with(config: &Path, arguments: &[&str]) -> Checked {
        let dir = TempDir::new().unwrap();
        let json = dir.path().join("result.json");
        let mut args = vec!["check", "--config", text(config), "--json", text(&json)];
        args.extend(arguments);
        let output = run(&args, DEADLINE);
        let result = std::fs::read_to_string(&json).unwrap_or_default();
        let result = serde_json::from_str(&result).unwrap_or(Value::Null);
        Checked { output, result }
    }

    /// The same, and the most memory that it took, in bytes.
    pub(crate) fn measured(settings: &Settings, arguments: &[&str]) -> (Checked, u64) {
        let dir = TempDir::new().unwrap();
        let json = dir.path().join("result.json");
        let arguments = [&["--json", text(&json)], arguments].concat();
        let mut program = Df2redis::spawn("check", settings.clone(), &arguments);
        let mut most = 0;
        let output = loop {
            let now = program.peak_resident_bytes();
            most = most.max(now.unwrap_or_default());
            match now {
                Some(_) => wait::pace(Duration::from_millis(5)),
                None => break program.wait_exit(DEADLINE),
            }
        };
        let result = std::fs::read_to_string(&json).unwrap_or_default();
        (Checked { output, result: serde_json::from_str(&result).unwrap_or(Value::Null) }, most)
    }

    pub(crate) fn found(&self) -> BTreeSet<Injury> {
        let list = self.result["differences"].as_array().unwrap_or_else(|| panic!("{:?}", self.output));
        let kinds = ["missing", "extra", "type", "value", "ttl"];
        list.iter()
            .map(|found| Injury {
                db: found["db"].as_u64().unwrap() as u32,
                key: found["key"].as_str().unwrap().to_owned(),
                kind: kinds.into_iter().find(|kind| found["kind"] == *kind).unwrap(),
            })
            .collect()
    }

    /// Just these, and the exit code and the summary line that go with them.
    pub(crate) fn assert_found(&self, injuries: &BTreeSet<Injury>) {
        let found = self.found();
        let missed: Vec<_> = injuries.difference(&found).collect();
        let invented: Vec<_> = found.difference(injuries).collect();
        assert!(
            missed.is_empty() && invented.is_empty(),
            "missed {missed:?}, invented {invented:?}\n{:?}",
            self.output
        );
        assert_eq!(self.output.code(), if injuries.is_empty() { 0 } else { 2 }, "{:?}", self.output);
        let count = |kind| injuries.iter().filter(|injury| injury.kind == kind).count();
        let line = format!(
            "OK:{} missing:{} extra:{} type:{} value:{} ttl:{}",
            self.number("ok"),
            count("missing"),
            count("extra"),
            count("type"),
            count("value"),
            count("ttl")
        );
        assert_eq!(self.output.stdout.lines().last(), Some(line.as_str()), "{:?}", self.output);
    }

    pub(crate) fn number(&self, field: &str) -> u64 {
        self.result["summary"][field].as_u64().unwrap_or_else(|| panic!("{field}: {:?}", self.output))
    }
}

pub(crate) fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

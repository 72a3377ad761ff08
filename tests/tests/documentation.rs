//! What the guides name exists: settings, fields of the status page, metrics.
#![allow(clippy::unwrap_used)]

use std::path::{Path, PathBuf};
use std::time::Duration;

use scenarios::program::{Df2redis, Settings, run};
use scenarios::servers::{RedisOptions, RedisServer, Replayed};
use tempfile::TempDir;

const SOON: Duration = Duration::from_secs(30);

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

fn read(file: &str) -> String {
    std::fs::read_to_string(root().join(file)).unwrap()
}

/// The words in backticks that look like names of fields.
fn names(text: &str) -> Vec<String> {
    let quoted = text.split('`').skip(1).step_by(2);
    let fields = quoted.map(|word| word.rsplit('.').next().unwrap().to_owned());
    fields.filter(|word| word.chars().all(|c| c.is_ascii_lowercase() || c == '_')).collect()
}

#[test]
fn every_field_and_metric_named_by_the_guide_exists() {
    // A source with values that the target lacks: nothing stays without a member.
    let source = Replayed::start("v1.40.1", "types");
    let target = RedisServer::start(RedisOptions::default());
    let mut program = Df2redis::replicate(Settings::replicate(&source.addr(), "auto", &[target.addr()]));
    program.wait_ready(SOON);
    let status = program.status().unwrap().to_string();
    let guide = read("docs/operations.md");
    let (_, rest) = guide.split_once("What to look at in `/api/status`:").unwrap();
    let (table, rest) = rest.split_once("While the snapshot").unwrap();
    let fields = names(table);
    assert!(fields.len() > 15, "{fields:?}");
    for field in fields {
        let is_phase = replica_phases().contains(&field.as_str());
        assert!(is_phase || status.contains(&format!("\"{field}\":")), "{field} is not in {status}");
    }
    let (code, metrics) = program.http("/metrics").unwrap();
    assert_eq!(code, 200);
    let (alarms, _) = rest.split_once("\n## ").unwrap();
    let mut named = 0;
    for quoted in alarms.split('`').skip(1).step_by(2).filter(|word| word.starts_with("df2redis_")) {
        let there = metrics.lines().any(|line| line.starts_with(quoted));
        assert!(there, "{quoted} is not in\n{metrics}");
        named += 1;
    }
    assert!(named >= 5);
}

fn replica_phases() -> [&'static str; 7] {
    ["starting", "connecting", "attaching", "snapshot", "barrier", "stable", "stopped"]
}

/// Each block of YAML, completed by what a configuration must have, loads without a warning.
#[test]
fn every_configuration_in_the_guides_loads() {
    let mut blocks = 0;
    for file in ["README.md", "docs/configuration.md"] {
        for block in read(file).split("```yaml\n").skip(1) {
            let mut text = block.split("```").next().unwrap().to_owned();
            if !text.contains("source:") {
                text.push_str("source:\n  addr: a:1\ntarget:\n  addr: b:2\n");
            }
            let dir = TempDir::new().unwrap();
            let config = dir.path().join("guide.yaml");
            std::fs::write(&config, &text).unwrap();
            let output = run(&["checkpoint", "show", "--config", config.to_str().unwrap()], SOON);
            assert_eq!(output.code(), 0, "{file}: {}", output.stderr);
            assert_eq!(output.stderr, "", "{file}");
            blocks += 1;
        }
    }
    assert_eq!(blocks, 2);
}

/// Every setting in the tables is known to the program.
#[test]
fn every_setting_of_the_guide_is_known() {
    let guide = read("docs/configuration.md");
    let (available, _) = guide.split_once("## Earlier spellings").unwrap();
    let rows = available.lines().filter(|line| line.starts_with("| `"));
    let cells = rows.map(|row| row.split('|').nth(1).unwrap());
    let settings: Vec<&str> =
        cells.flat_map(|cell| cell.split('`').skip(1).step_by(2)).filter(|word| word.contains('.')).collect();
    assert!(settings.len() >= 15, "{settings:?}");
    for setting in &settings {
        // A list fits no setting but the addresses: a known key complains about its value, never about being unknown.
        let settings = Settings::new().set("source.addr", "a:1").set("target.addr", "b:2");
        let settings = settings.set(setting, serde_json::json!([["x"]]));
        let dir = TempDir::new().unwrap();
        let config = dir.path().join("guide.yaml");
        std::fs::write(&config, settings.to_yaml()).unwrap();
        let output = run(&["checkpoint", "show", "--config", config.to_str().unwrap()], SOON);
        assert_eq!(output.code(), 64, "{setting}: {}", output.stderr);
        assert!(!output.stderr.contains("unknown key"), "{setting}: {}", output.stderr);
        assert!(output.stderr.contains(setting), "{setting}: {}", output.stderr);
    }
}

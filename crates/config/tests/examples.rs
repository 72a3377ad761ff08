//! The configurations people copy from load as they are.
#![allow(clippy::unwrap_used)]

use std::fs;
use std::path::Path;
use std::time::Duration;

use config::{Config, Databases, TargetType};

fn load(name: &str) -> Config {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples").join(name);
    Config::load(&file, &|_| None).unwrap_or_else(|problems| panic!("{problems}"))
}

#[test]
fn every_example_loads() {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples");
    let mut names: Vec<_> =
        fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.retain(|name| name.ends_with(".yaml"));
    assert!(names.len() >= 4, "{names:?}");
    for name in names {
        let config = load(&name);
        assert_eq!(config.warnings.is_empty(), name != "earlier-tool.yaml", "{name}: {:?}", config.warnings);
    }
}

#[test]
fn the_cluster_example_says_what_the_defaults_are() {
    let written = load("replicate-cluster.yaml");
    assert_eq!(written.target.kind, TargetType::Cluster);
    assert_eq!(written.target.addrs.len(), 3);
    assert_eq!(written.mapping.databases, Some(Databases::Prefix));
    let silent = load("replicate-standalone.yaml");
    assert_eq!(silent.checkpoint, written.checkpoint);
    assert_eq!(silent.spool, written.spool);
    assert_eq!(silent.dashboard, written.dashboard);
    assert_eq!(silent.logging, written.logging);
    assert_eq!(silent.target.on_existing_data, written.target.on_existing_data);
}

#[test]
fn the_earlier_spelling_means_the_same() {
    let config = load("earlier-tool.yaml");
    assert_eq!(config.target.addrs[1].to_string(), "127.0.0.1:7001");
    assert_eq!(config.checkpoint.dir, Path::new("./state/checkpoint"));
    assert_eq!(config.checkpoint.interval, Duration::from_secs(10));
    assert_eq!(config.source.listening_port, Some(16379));
    assert_eq!(config.task_name.as_deref(), Some("orders"));
    assert_eq!(config.status_file.as_deref(), Some(Path::new("./state/status.json")));
    let warned: Vec<&str> = config.warnings.iter().map(|warning| warning.path.as_str()).collect();
    assert_eq!(warned, ["replica.flow_timeout", "checkpoint.enabled", "advanced.batchSize"]);
}

//! The table in docs/guarantees.md names tests that exist.
#![allow(clippy::unwrap_used)]

use std::path::Path;

#[test]
fn every_test_that_the_table_names_exists() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let table = std::fs::read_to_string(root.join("docs/guarantees.md")).unwrap();
    let named: Vec<(&str, &str)> =
        table.split('`').skip(1).step_by(2).filter_map(|word| word.rsplit_once("::")).collect();
    assert!(named.len() > 40, "{named:?}");
    for (file, test) in named {
        let dir = if file.contains('/') { root.to_owned() } else { root.join("tests/tests") };
        let path = [format!("{file}.rs"), format!("{file}/main.rs")].map(|name| dir.join(name));
        let path = path.iter().find(|path| path.exists()).unwrap_or(&path[0]);
        let source = std::fs::read_to_string(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        assert!(source.contains(&format!("fn {test}()")), "{file} has no test {test}");
    }
}

/// And the other way round: every test of these files stands in the table.
#[test]
fn every_test_of_a_guarantee_stands_in_the_table() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let table = std::fs::read_to_string(root.join("../docs/guarantees.md")).unwrap();
    for file in std::fs::read_dir(root.join("tests")).unwrap() {
        let path = file.unwrap().path();
        let name = path.file_stem().unwrap().to_string_lossy().into_owned();
        if !name.starts_with("guarantees_") || name == "guarantees_table" {
            continue;
        }
        let source = std::fs::read_to_string(&path).unwrap();
        for part in source.split("#[test]\n").skip(1) {
            let test = part.split("fn ").nth(1).and_then(|rest| rest.split('(').next()).unwrap();
            assert!(table.contains(&format!("`{name}::{test}`")), "{name}::{test} is not in the table");
        }
    }
}

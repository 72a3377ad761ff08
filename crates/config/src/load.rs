//! The ways in: a file, a text.

use std::fs;
use std::io;
use std::path::Path;

use crate::document::{Content, Document};
use crate::read::{self, Side};
use crate::reader::Reader;
use crate::{Config, Conflict, ExistingData, Mapping, Problem, Problems, Source, Target, TargetType};

impl Config {
    /// Reads and validates `file`. `env` looks up an environment variable (`DF2REDIS_SOURCE_PASSWORD`,
    /// `DF2REDIS_TARGET_PASSWORD`; a password found there comes before the file's).
    ///
    /// # Errors
    /// All problems of the file at once.
    pub fn load(file: &Path, env: &dyn Fn(&str) -> Option<String>) -> Result<Config, Problems> {
        let name = file.display().to_string();
        match fs::read_to_string(file) {
            Ok(text) => Config::parse(&name, &text, env),
            Err(error) => {
                let (message, hint) = match error.kind() {
                    io::ErrorKind::NotFound => {
                        ("no such file".to_owned(), "check the path given to --config")
                    }
                    io::ErrorKind::IsADirectory => ("is a directory".to_owned(), "name the YAML file in it"),
                    io::ErrorKind::PermissionDenied => {
                        ("cannot be read: permission denied".to_owned(), "make it readable for this user")
                    }
                    io::ErrorKind::InvalidData => {
                        ("not valid YAML: not UTF-8".to_owned(), "save it as UTF-8")
                    }
                    _ => (format!("cannot be read: {error}"), "check the path given to --config"),
                };
                Err(whole_file(&name, None, message, hint))
            }
        }
    }

    /// Validates `text`; `file` is the name used in messages.
    ///
    /// # Errors
    /// All problems of the text at once.
    pub fn parse(file: &str, text: &str, env: &dyn Fn(&str) -> Option<String>) -> Result<Config, Problems> {
        // Found here because a document without content is null to YAML, and null is no sentence for an operator.
        if text.lines().all(|line| line.trim().is_empty() || line.trim_start().starts_with('#')) {
            let hint = "source.addr and target.addr are required";
            return Err(whole_file(file, None, "the file is empty".into(), hint));
        }
        let document = Document::parse(text)
            .map_err(|problem| Problems { file: file.to_owned(), problems: vec![problem] })?;
        match document.root.content {
            Content::Map(_) => {}
            Content::Null => {
                let hint = "source.addr and target.addr are required";
                return Err(whole_file(file, None, "the file is empty".into(), hint));
            }
            Content::Scalar(_) | Content::List(_) => {
                let message = "not a configuration: expected `section:` at the top";
                return Err(whole_file(file, Some(1), message.into(), "start from one of the examples"));
            }
        }
        let mut reader = Reader::new(&document);
        let mut config = sections(&mut reader, env);
        let (problems, warnings) = reader.finish();
        if problems.is_empty() {
            config.warnings = warnings;
            Ok(config)
        } else {
            Err(Problems { file: file.to_owned(), problems })
        }
    }
}

fn sections(reader: &mut Reader<'_>, env: &dyn Fn(&str) -> Option<String>) -> Config {
    let source = source(reader, env);
    let conflict = read::conflict(reader);
    let target = target(reader, env, conflict);
    if let Some(both) = target.addrs.iter().find(|addr| source.addrs.contains(addr))
        && let Some(found) = reader.get("target.addr")
    {
        let message = format!("{both} is also the source");
        reader.problem(&found.place, message, Some("source and target must be different servers"));
    }
    let task_name = read::task_name(reader);
    Config {
        mapping: Mapping { databases: read::databases(reader, target.kind) },
        filter: read::filter(reader),
        source,
        target,
        checkpoint: read::checkpoint(reader),
        spool: read::spool(reader),
        repair: read::repair(reader),
        types: read::types(reader),
        dashboard: read::dashboard(reader),
        logging: read::logging(reader, task_name.as_deref()),
        conflict,
        limits: read::limits(reader),
        status_file: read::status_file(reader),
        task_name,
        warnings: Vec::new(),
    }
}

fn source(reader: &mut Reader<'_>, env: &dyn Fn(&str) -> Option<String>) -> Source {
    reader.word("source.type", "source type", &[("dragonfly", ())]);
    let port =
        reader.parsed("source.listening_port", "write a port, 1 to 65535", |text| match text.parse() {
            Ok(0) | Err(_) => Err("not a port".into()),
            Ok(port) => Ok(port),
        });
    let backlog =
        reader.parsed("source.backlog_records", "write a number of records", |text| match text.parse() {
            Ok(0) | Err(_) => Err("not a number of records".into()),
            Ok(records) => Ok(records),
        });
    let common = read::endpoint(reader, Side::Source, env);
    Source {
        addrs: common.addrs,
        username: common.username,
        password: common.password,
        tls: common.tls,
        listening_port: port,
        backlog_records: backlog,
    }
}

fn target(reader: &mut Reader<'_>, env: &dyn Fn(&str) -> Option<String>, conflict: Conflict) -> Target {
    let kinds = [
        ("redis-cluster", TargetType::Cluster),
        ("redis-standalone", TargetType::Standalone),
        ("auto", TargetType::Auto),
    ];
    let kind = reader.word("target.type", "target type", &kinds).unwrap_or(TargetType::Auto);
    let existing = [
        ("refuse", ExistingData::Refuse),
        ("merge", ExistingData::Merge),
        ("reconcile", ExistingData::Reconcile),
        ("flush", ExistingData::Flush),
    ];
    let on_existing_data = reader.word("target.on_existing_data", "choice", &existing);
    if conflict != Conflict::Overwrite
        && let Some(found) = reader.get("conflict.policy")
    {
        match on_existing_data {
            Some(ExistingData::Flush) => {
                let message = "target.on_existing_data: flush removes what could be in conflict";
                reader.problem(&found.place, message.into(), Some("keep one of the two"));
            }
            Some(ExistingData::Refuse) => {
                reader.warn(&found.place, "has no effect: target.on_existing_data is refuse");
            }
            _ => {}
        }
    }
    // Who says what to do about single keys means to start on data.
    let silent = match conflict {
        Conflict::Overwrite => ExistingData::Refuse,
        Conflict::Skip | Conflict::Panic => ExistingData::Reconcile,
    };
    let loss_window = read::loss_window(reader);
    let common = read::endpoint(reader, Side::Target, env);
    if kind == TargetType::Standalone
        && common.addrs.len() > 1
        && let Some(found) = reader.get("target.addr")
    {
        let message = "redis-standalone is one server, several are given";
        reader.problem(&found.place, message.into(), Some("keep one, or use redis-cluster"));
    }
    Target {
        kind,
        addrs: common.addrs,
        username: common.username,
        password: common.password,
        tls: common.tls,
        on_existing_data: on_existing_data.unwrap_or(silent),
        loss_window,
    }
}

fn whole_file(file: &str, line: Option<usize>, message: String, hint: &str) -> Problems {
    let problem = Problem { path: String::new(), line, message, hint: Some(hint.to_owned()) };
    Problems { file: file.to_owned(), problems: vec![problem] }
}

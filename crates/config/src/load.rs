//! The ways in.

use std::path::Path;

use crate::{Config, Problem, Problems};

impl Config {
    /// Reads and validates `file`. `env` looks up an environment variable (`DF2REDIS_SOURCE_PASSWORD`,
    /// `DF2REDIS_TARGET_PASSWORD`).
    ///
    /// # Errors
    /// All problems of the file at once.
    pub fn load(file: &Path, env: &dyn Fn(&str) -> Option<String>) -> Result<Config, Problems> {
        Config::parse(&file.display().to_string(), "", env)
    }

    /// Validates `text`; `file` is the name used in messages.
    ///
    /// # Errors
    /// All problems of the text at once.
    pub fn parse(file: &str, _text: &str, _env: &dyn Fn(&str) -> Option<String>) -> Result<Config, Problems> {
        Err(Problems {
            file: file.to_owned(),
            problems: vec![Problem { path: String::new(), line: None, message: "empty".into(), hint: None }],
        })
    }

    /// The configuration that two URLs stand for (`--source URL --target URL`): `redis://`, `rediss://` (TLS) and, for
    /// the target, `redis+cluster://`, each `[user[:password]@]host[:port]`. Everything else has its default.
    ///
    /// # Errors
    /// All problems of both URLs at once.
    pub fn from_urls(
        source: &str,
        _target: &str,
        env: &dyn Fn(&str) -> Option<String>,
    ) -> Result<Config, Problems> {
        Config::parse(source, "", env)
    }
}

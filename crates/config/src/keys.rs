//! Every key that may stand in a configuration, earlier spellings included.

/// What a key is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Meaning {
    /// A setting, by its current name.
    Setting,
    /// An earlier spelling of a setting.
    Alias(&'static str),
    /// Loads, has no effect any more; the text says why.
    Retired(&'static str),
}

use Meaning::{Alias, Retired, Setting};

const CHECKPOINT_ALWAYS: &str = "has no effect any more: a checkpoint is always kept";

/// The whole contract. What a setting may contain is decided where it is read.
pub(crate) const KEYS: &[(&str, Meaning)] = &[
    ("source.type", Setting),
    ("source.addr", Setting),
    ("source.username", Setting),
    ("source.password", Setting),
    ("source.password_file", Setting),
    ("source.tls", Setting),
    ("source.listening_port", Setting),
    ("source.backlog_records", Setting),
    ("target.type", Setting),
    ("target.addr", Setting),
    ("target.username", Setting),
    ("target.password", Setting),
    ("target.password_file", Setting),
    ("target.tls", Setting),
    ("target.on_existing_data", Setting),
    ("target.loss_window", Setting),
    ("mapping.databases", Setting),
    ("filter.allow_keys", Setting),
    ("filter.deny_keys", Setting),
    ("filter.allow_key_prefixes", Setting),
    ("filter.deny_key_prefixes", Setting),
    ("filter.allow_databases", Setting),
    ("filter.deny_databases", Setting),
    ("filter.allow_types", Setting),
    ("filter.deny_types", Setting),
    ("filter.allow_commands", Setting),
    ("filter.deny_commands", Setting),
    ("checkpoint.dir", Setting),
    ("checkpoint.interval", Setting),
    ("spool.memory", Setting),
    ("spool.disk", Setting),
    ("spool.when_full", Setting),
    ("repair.pause_writes", Setting),
    ("types.json", Setting),
    ("types.hash_field_ttl", Setting),
    ("types.set_member_ttl", Setting),
    ("types.bloom", Setting),
    ("types.cuckoo", Setting),
    ("types.cms", Setting),
    ("types.topk", Setting),
    ("conflict.policy", Setting),
    ("limits.qps", Setting),
    ("dashboard.addr", Setting),
    ("logging.level", Setting),
    ("logging.format", Setting),
    ("logging.file", Setting),
    ("logging.console", Setting),
    ("task_name", Setting),
    ("status_file", Setting),
    // The earlier tools' directory for everything: the checkpoint's parent, unless checkpoint.dir says otherwise.
    ("stateDir", Setting),
    // Earlier spellings.
    ("target.seed", Alias("target.addr")),
    ("target.seeds", Alias("target.addr")),
    ("target.cluster.seeds", Alias("target.addr")),
    ("checkpoint.intervalSeconds", Alias("checkpoint.interval")),
    ("checkpoint.path", Alias("checkpoint.dir")),
    ("replica.listening_port", Alias("source.listening_port")),
    ("log.dir", Alias("logging.file")),
    ("log.level", Alias("logging.level")),
    ("log.consoleEnabled", Alias("logging.console")),
    ("taskName", Alias("task_name")),
    ("statusFile", Alias("status_file")),
    ("advanced.qps", Alias("limits.qps")),
    // Other tools' words.
    ("filter.block_keys", Alias("filter.deny_keys")),
    ("filter.allow_key_prefix", Alias("filter.allow_key_prefixes")),
    ("filter.block_key_prefix", Alias("filter.deny_key_prefixes")),
    ("filter.allow_db", Alias("filter.allow_databases")),
    ("filter.block_db", Alias("filter.deny_databases")),
    ("filter.allow_command", Alias("filter.allow_commands")),
    ("filter.block_command", Alias("filter.deny_commands")),
    // Without a meaning today.
    ("checkpoint.enabled", Retired(CHECKPOINT_ALWAYS)),
    (
        "replica.flow_timeout",
        Retired("has no effect any more: a flow that is silent too long is noticed by itself"),
    ),
    ("advanced.batchSize", Retired("has no effect any more: batches are sized by bytes")),
    (
        "migrate",
        Retired("has no effect any more: `df2redis migrate` reads the snapshot from the source itself"),
    ),
];

/// What the key at this path is; `None`: unknown, or a section.
pub(crate) fn meaning(path: &str) -> Option<(&'static str, Meaning)> {
    KEYS.iter().find(|(key, _)| *key == path).copied()
}

/// Whether known keys stand below this path.
pub(crate) fn is_section(path: &str) -> bool {
    KEYS.iter().any(|(key, _)| key.strip_prefix(path).is_some_and(|rest| rest.starts_with('.')))
}

/// The known key an unknown one was probably meant to be: in its own section if it stands in one, else anywhere.
pub(crate) fn nearest(path: &str) -> &'static str {
    let section = path.rsplit_once('.').map(|(section, _)| section).filter(|section| is_section(section));
    let candidates = KEYS.iter().filter(|(key, meaning)| match section {
        // An earlier spelling is no advice, unless its section has nothing else.
        Some(section) => key.rsplit_once('.').is_some_and(|(s, _)| s == section),
        None => *meaning == Setting,
    });
    let name = path.rsplit('.').next().unwrap_or(path);
    candidates
        .min_by_key(|(key, meaning)| {
            let by_path = distance(path, key);
            let by_name = distance(name, key.rsplit('.').next().unwrap_or(key));
            // A section that was misspelt is nearest to the section's name.
            let by_section = key.split('.').next().map_or(usize::MAX, |s| distance(path, s));
            (by_path.min(by_name).min(by_section), *meaning != Setting, by_path)
        })
        .map_or("source.addr", |(key, _)| *key)
}

/// The nearest of `known`.
pub(crate) fn nearest_of<'k>(word: &str, known: &[&'k str]) -> &'k str {
    known.iter().min_by_key(|k| distance(word, k)).copied().unwrap_or("")
}

/// Edits (insert, delete, replace a character) that turn `a` into `b`; case and the style of joining words are free.
fn distance(a: &str, b: &str) -> usize {
    let plain = |s: &str| -> Vec<char> {
        s.chars().take(64).filter(|c| *c != '_' && *c != '-').flat_map(char::to_lowercase).collect()
    };
    let (a, b) = (plain(a), plain(b));
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.iter().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, y) in b.iter().enumerate() {
            let replaced = diagonal + usize::from(x != y);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}

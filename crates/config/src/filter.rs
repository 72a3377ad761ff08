//! What is replicated at all.

/// The `filter` section. Of each pair: where the first list is empty, everything is allowed; what the second one names is
/// left out in any case.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Filter {
    /// Patterns of names, as `KEYS` takes them.
    pub allow_keys: Vec<String>,
    /// Patterns of names that are left out.
    pub deny_keys: Vec<String>,
    /// Beginnings of names; beside `allow_keys`, one of both has to fit.
    pub allow_key_prefixes: Vec<String>,
    /// Beginnings of names that are left out.
    pub deny_key_prefixes: Vec<String>,
    /// Databases of the source.
    pub allow_databases: Vec<u32>,
    /// Databases of the source that are left out.
    pub deny_databases: Vec<u32>,
    /// Types, of [`Filter::TYPES`].
    pub allow_types: Vec<String>,
    /// Types that are left out.
    pub deny_types: Vec<String>,
    /// Commands of the journal, in upper case.
    pub allow_commands: Vec<String>,
    /// Commands of the journal that are left out.
    pub deny_commands: Vec<String>,
}

impl Filter {
    /// The words for types.
    pub const TYPES: [&str; 11] =
        ["string", "list", "set", "zset", "hash", "stream", "json", "bloom", "cms", "topk", "cuckoo"];
}

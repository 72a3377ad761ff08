//! The configuration as the engine needs it.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{BuildHasher, RandomState};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use command::{
    Filter, FilterRules, JsonAs, Mapping, MemberTtlAs, MemberTtls, MissingKind, Pattern, Rule, ValueType,
};
use config::mapping::Choice;
use config::{Config, Conflict, Databases, ExistingData, Foreign, JsonType, MemberTtl, TargetType, Types};
use flow::SourceOptions;
use resp::{ConnectOptions, Password, Tls, TlsOptions};
use router::{Expected, TargetOptions};
use rules::Rules;

use crate::clock::Clock;
use crate::error::Error;
use crate::throttle::Throttle;

/// How long the source's host may acknowledge nothing. A dead link is to be noticed within 15 s, and nothing is on an idle
/// one: the kernel's probes tell, and an ACK that is sent every second.
const SOURCE_SILENCE: Duration = Duration::from_secs(10);

/// Announced to the source where the configuration names no port.
const LISTENING_PORT: u16 = 6380;

/// The passwords of both sides.
#[derive(Debug, Clone)]
pub struct Passwords {
    /// Of every source.
    pub source: Password,
    /// Of every node of the target.
    pub target: Password,
}

/// What the engine is told.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The sources; of the masters among them the stored one is used.
    pub sources: Vec<SourceOptions>,
    /// How the target is reached.
    pub target: TargetOptions,
    /// What a first full sync does with data it finds.
    pub on_existing_data: ExistingData,
    /// What happens to single keys that are there already.
    pub conflict: Conflict,
    /// How many commands a second go to the target; shared with whoever may change it.
    pub throttle: Arc<Throttle>,
    /// What both sides are logged in to with; shared with whoever may change it.
    pub passwords: Passwords,
    /// What this replication is called.
    pub task_name: Option<String>,
    /// Directory of the checkpoint.
    pub checkpoint_dir: PathBuf,
    /// Longest time between two durable checkpoints.
    pub checkpoint_interval: Duration,
    /// Bytes held in memory while the target is slow, over all flows.
    pub spool_memory: usize,
    /// Bytes held on disk when that is used up, over all flows; 0: none.
    pub spool_disk: u64,
    /// What happens when both are used up.
    pub spool_when_full: spool::WhenFull,
    /// How long the source's clients may be paused for a key that never stands still; zero: never.
    pub pause_writes: Duration,
    /// Writes acknowledged longer ago are taken for safe from a failover, where replica offsets cannot be known.
    pub loss_window: Duration,
    /// What becomes of JSON documents.
    pub json: JsonAs,
    /// Of which members the expiry is carried out by us.
    pub member_ttls: MemberTtls,
    /// What the run ends for, where the target cannot hold it.
    pub fatal: BTreeSet<MissingKind>,
    /// What time it is.
    pub clock: Clock,
    /// The repair rules in force.
    pub rules: Rules,
    /// Of the random part of pauses.
    pub seed: u64,
    /// A checkpoint in place of the one in `checkpoint_dir`.
    pub store: Option<Arc<dyn checkpoint::Durable>>,
    /// How far the reservation goes ahead of what is dispatched (records), in place of what the source's backlog suggests.
    pub window: Option<u64>,
    /// Records of each flow that the source keeps, where it does not tell.
    pub backlog_records: Option<u64>,
    mapping: config::Mapping,
    filter: Filter,
}

impl Settings {
    /// Reads certificates and puts everything in place. Connects to nothing.
    ///
    /// # Errors
    /// [`Error::Tls`] for certificates that cannot be used; [`Error::Filter`] for a filter over commands that do not exist.
    pub fn new(config: &Config) -> Result<Settings, Error> {
        let source_tls = tls(config.source.tls.as_ref())?;
        let target_tls = tls(config.target.tls.as_ref())?;
        let passwords = Passwords {
            source: config.source.password.clone().into(),
            target: config.target.password.clone().into(),
        };
        let sources = config
            .source
            .addrs
            .iter()
            .map(|addr| {
                let mut connect = ConnectOptions::new(addr.to_string());
                connect.username = config.source.username.clone();
                connect.password = passwords.source.clone();
                connect.tls = source_tls.clone();
                connect.silence = SOURCE_SILENCE;
                SourceOptions::new(
                    connect,
                    config.source.listening_port.unwrap_or(LISTENING_PORT),
                    "df2redis",
                )
            })
            .collect();
        let seeds = config
            .target
            .addrs
            .iter()
            .map(|addr| {
                let mut connect = ConnectOptions::new(addr.to_string());
                connect.username = config.target.username.clone();
                connect.password = passwords.target.clone();
                connect.tls = target_tls.clone();
                connect
            })
            .collect();
        let expected = match config.target.kind {
            TargetType::Cluster => Expected::Cluster,
            TargetType::Standalone => Expected::Standalone,
            TargetType::Auto => Expected::Either,
        };
        Ok(Settings {
            sources,
            target: TargetOptions { expected, seeds },
            on_existing_data: config.target.on_existing_data,
            conflict: config.conflict,
            throttle: Arc::new(Throttle::new(config.limits.qps)),
            passwords,
            task_name: config.task_name.clone(),
            checkpoint_dir: config.checkpoint.dir.clone(),
            checkpoint_interval: config.checkpoint.interval,
            spool_memory: usize::try_from(config.spool.memory).unwrap_or(usize::MAX),
            spool_disk: config.spool.disk,
            spool_when_full: match config.spool.when_full {
                config::WhenFull::Stall => spool::WhenFull::Stall,
                config::WhenFull::Drop => spool::WhenFull::Drop,
            },
            pause_writes: config.repair.pause_writes.unwrap_or_default(),
            loss_window: config.target.loss_window,
            json: match config.types.json {
                JsonType::Module | JsonType::Fail => JsonAs::Module,
                JsonType::Text => JsonAs::Text,
                JsonType::Skip => JsonAs::Nothing,
            },
            member_ttls: member_ttls(&config.types),
            fatal: fatal(&config.types),
            clock: Clock::System,
            rules: Rules::all(),
            seed: RandomState::new().hash_one(std::process::id()),
            store: None,
            window: None,
            backlog_records: config.source.backlog_records,
            mapping: config.mapping.clone(),
            filter: filter(&config.filter)?,
        })
    }

    /// The mapping of databases with the filter, now that the kind of target is known.
    ///
    /// # Errors
    /// [`Error::Mapping`] where a cluster is asked to keep databases, or two databases would share their names.
    pub fn mapping(&self, cluster: bool) -> Result<Mapping, Error> {
        let databases = if cluster {
            self.mapping.for_cluster().ok_or_else(|| {
                Error::Mapping("a Redis Cluster has only database 0: `keep` needs a standalone target".into())
            })?
        } else {
            self.mapping.for_standalone()
        };
        let mapping = match databases {
            Databases::Keep => Mapping::keep(),
            Databases::Prefix => Mapping::prefixed(),
            Databases::Map { named, keep_others } => {
                let rules: BTreeMap<u32, Rule> = named
                    .into_iter()
                    .map(|(db, choice)| {
                        let rule = match choice {
                            Choice::Keep => Rule::Keep,
                            Choice::Prefix(prefix) => Rule::Prefix(Bytes::from(prefix)),
                            Choice::Drop => Rule::Drop,
                        };
                        (db, rule)
                    })
                    .collect();
                Mapping::with_rules(rules, !keep_others).map_err(|e| Error::Mapping(e.to_string()))?
            }
        };
        Ok(mapping.with_filter(self.filter.clone()))
    }
}

fn filter(config: &config::Filter) -> Result<Filter, Error> {
    let patterns = |globs: &[String], prefixes: &[String]| -> Vec<Pattern> {
        let globs = globs.iter().map(|text| Pattern::new(text.as_bytes()));
        globs.chain(prefixes.iter().map(|text| Pattern::prefix(text.as_bytes()))).collect()
    };
    // The configuration takes no other words.
    let types = |words: &[String]| words.iter().filter_map(|word| ValueType::from_word(word)).collect();
    let commands = |names: &[String]| names.iter().map(|name| Bytes::from(name.clone())).collect();
    let filter = Filter::new(FilterRules {
        allow_keys: patterns(&config.allow_keys, &config.allow_key_prefixes),
        deny_keys: patterns(&config.deny_keys, &config.deny_key_prefixes),
        allow_databases: config.allow_databases.iter().copied().collect(),
        deny_databases: config.deny_databases.iter().copied().collect(),
        allow_types: types(&config.allow_types),
        deny_types: types(&config.deny_types),
        allow_commands: commands(&config.allow_commands),
        deny_commands: commands(&config.deny_commands),
    });
    match filter.unknown_commands().first() {
        Some(name) => Err(Error::Filter(name.escape_ascii().to_string())),
        None => Ok(filter),
    }
}

/// How long members are written after they have expired by our clock: the source's may be behind.
const MEMBER_GRACE_MS: u64 = 60_000;

fn member_ttls(types: &Types) -> MemberTtls {
    let of = |policy| match policy {
        MemberTtl::Expire => MemberTtlAs::Scheduled,
        MemberTtl::Drop | MemberTtl::Fail => MemberTtlAs::Nothing,
    };
    let (sets, fields) = (of(types.set_member_ttl), of(types.hash_field_ttl));
    MemberTtls { sets, fields, grace_ms: MEMBER_GRACE_MS }
}

/// What the run ends for.
fn fatal(types: &Types) -> BTreeSet<MissingKind> {
    let (fails, foreign) = (MemberTtl::Fail, Foreign::Fail);
    let all = [
        (MissingKind::Json, types.json == JsonType::Fail),
        (MissingKind::HashFieldTtl, types.hash_field_ttl == fails),
        (MissingKind::SetMemberTtl, types.set_member_ttl == fails),
        // the record does not tell which of the two it is
        (MissingKind::MemberTtl, types.hash_field_ttl == fails || types.set_member_ttl == fails),
        (MissingKind::Bloom, types.bloom == foreign),
        (MissingKind::Cuckoo, types.cuckoo == foreign),
        (MissingKind::CountMin, types.cms == foreign),
        (MissingKind::TopK, types.topk == foreign),
    ];
    all.into_iter().filter(|(_, fatal)| *fatal).map(|(kind, _)| kind).collect()
}

fn tls(tls: Option<&config::Tls>) -> Result<Option<Tls>, Error> {
    let Some(tls) = tls else { return Ok(None) };
    let options = TlsOptions {
        ca_file: tls.ca_file.clone(),
        cert_file: tls.cert_file.clone(),
        key_file: tls.key_file.clone(),
        server_name: tls.server_name.clone(),
    };
    Tls::load(&options).map(Some).map_err(Error::Tls)
}

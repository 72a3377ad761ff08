//! The sections that are a few scalars.

use std::path::PathBuf;
use std::time::Duration;

use crate::reader::Reader;
use crate::values;
use crate::{
    Checkpoint, Conflict, Dashboard, Foreign, JsonType, Limits, MemberTtl, Repair, Spool, Target, Types,
    WhenFull,
};

const LONGEST_INTERVAL: Duration = Duration::from_secs(3600);
const SMALLEST_SPOOL: u64 = 1 << 20;
const SMALLEST_DISK: u64 = 16 << 20;
/// In milliseconds. Nobody writes at the source meanwhile.
const LONGEST_PAUSE: u64 = 1000;
/// No server takes more.
const HIGHEST_QPS: u64 = 10_000_000;
/// Keys are remembered for as long.
const LONGEST_LOSS: Duration = Duration::from_secs(600);

pub(crate) fn checkpoint(reader: &mut Reader<'_>) -> Checkpoint {
    let mut checkpoint = Checkpoint::default();
    let state_dir = reader.scalar("stateDir");
    match (reader.scalar("checkpoint.dir"), state_dir) {
        (Some(dir), state_dir) => {
            if dir.text.trim().is_empty() {
                reader.problem(&dir.place, "the directory has no name".into(), Some("write ./checkpoint"));
            }
            checkpoint.dir = PathBuf::from(&dir.text);
            if checkpoint.dir.is_file() {
                // The earlier tools kept their checkpoint in one JSON file at `checkpoint.path`.
                let message = "is a file; the checkpoint is a directory";
                reader.problem(
                    &dir.place,
                    message.into(),
                    Some("name a directory that is empty or does not exist"),
                );
            }
            if let Some(state_dir) = state_dir {
                reader.warn(&state_dir.place, "has no effect: checkpoint.dir says where the checkpoint is");
            }
        }
        (None, Some(state_dir)) => checkpoint.dir = PathBuf::from(&state_dir.text).join("checkpoint"),
        (None, None) => {}
    }
    let interval =
        reader.parsed("checkpoint.interval", "write seconds or 500ms, 5s, 1m; at most 1h", |text| {
            match values::duration(text)? {
                Duration::ZERO => Err("must be longer than 0".into()),
                interval if interval > LONGEST_INTERVAL => Err("longer than 1h".into()),
                interval => Ok(interval),
            }
        });
    checkpoint.interval = interval.unwrap_or(checkpoint.interval);
    checkpoint
}

pub(crate) fn spool(reader: &mut Reader<'_>) -> Spool {
    let memory =
        reader.parsed("spool.memory", "write bytes or 256MiB, 1GiB", |text| match values::size(text)? {
            small if small < SMALLEST_SPOOL => Err("less than 1MiB".into()),
            size => Ok(size),
        });
    let disk =
        reader.parsed("spool.disk", "write bytes or 8GiB, or 0 for none", |text| match values::size(text)? {
            small if small > 0 && small < SMALLEST_DISK => Err("less than 16MiB".into()),
            size => Ok(size),
        });
    let choices = [("stall", WhenFull::Stall), ("drop", WhenFull::Drop)];
    let default = Spool::default();
    Spool {
        memory: memory.unwrap_or(default.memory),
        disk: disk.unwrap_or(default.disk),
        when_full: reader.word("spool.when_full", "choice", &choices).unwrap_or(default.when_full),
    }
}

pub(crate) fn repair(reader: &mut Reader<'_>) -> Repair {
    let pause =
        reader.parsed("repair.pause_writes", "write milliseconds, at most 1000; 0 for never", |text| {
            match text.parse::<u64>() {
                Ok(millis) if millis <= LONGEST_PAUSE => Ok(millis),
                Ok(_) => Err("longer than 1000 ms".into()),
                Err(_) => Err("not a number of milliseconds".into()),
            }
        });
    Repair { pause_writes: pause.filter(|millis| *millis > 0).map(Duration::from_millis) }
}

/// Why values of these types cannot be carried over into those of a module.
const NO_CONVERSION: [(&str, &str); 4] = [
    ("types.bloom", "a filter does not hold its elements, and a module would look for them under other bits"),
    ("types.cuckoo", "a filter holds fingerprints of its elements, and a module would compute others"),
    ("types.cms", "a module would look for its counters at other places"),
    (
        "types.topk",
        "the counters below the list cannot be told apart, and the list alone would count differently from then on",
    ),
];

pub(crate) fn types(reader: &mut Reader<'_>) -> Types {
    let json = [
        ("module", JsonType::Module),
        ("text", JsonType::Text),
        ("skip", JsonType::Skip),
        ("fail", JsonType::Fail),
    ];
    let ttl = [("drop", MemberTtl::Drop), ("expire", MemberTtl::Expire), ("fail", MemberTtl::Fail)];
    Types {
        json: reader.word("types.json", "choice", &json).unwrap_or_default(),
        hash_field_ttl: reader.word("types.hash_field_ttl", "choice", &ttl).unwrap_or_default(),
        set_member_ttl: reader.word("types.set_member_ttl", "choice", &ttl).unwrap_or_default(),
        bloom: foreign(reader, "types.bloom"),
        cuckoo: foreign(reader, "types.cuckoo"),
        cms: foreign(reader, "types.cms"),
        topk: foreign(reader, "types.topk"),
    }
}

fn foreign(reader: &mut Reader<'_>, setting: &str) -> Foreign {
    if let Some(scalar) = reader.scalar(setting)
        && scalar.text.eq_ignore_ascii_case("convert")
    {
        let why = NO_CONVERSION.iter().find(|(name, _)| *name == setting).map_or("", |(_, why)| *why);
        reader.problem(&scalar.place, format!("cannot be converted: {why}"), Some("write skip or fail"));
        return Foreign::Skip;
    }
    reader.word(setting, "choice", &[("skip", Foreign::Skip), ("fail", Foreign::Fail)]).unwrap_or_default()
}

pub(crate) fn loss_window(reader: &mut Reader<'_>) -> Duration {
    let hint = "write seconds or 500ms, 10s, 1m; at most 10m";
    let window = reader.parsed("target.loss_window", hint, |text| match values::duration(text)? {
        Duration::ZERO => Err("must be longer than 0".into()),
        window if window > LONGEST_LOSS => Err("longer than 10m".into()),
        window => Ok(window),
    });
    window.unwrap_or(Target::LOSS_WINDOW)
}

pub(crate) fn dashboard(reader: &mut Reader<'_>) -> Dashboard {
    let hint = "write host:port, or \"\" for none";
    reader.parsed("dashboard.addr", hint, str::parse::<Dashboard>).unwrap_or_default()
}

pub(crate) fn conflict(reader: &mut Reader<'_>) -> Conflict {
    let policies = [("overwrite", Conflict::Overwrite), ("skip", Conflict::Skip), ("panic", Conflict::Panic)];
    reader.word("conflict.policy", "policy", &policies).unwrap_or_default()
}

pub(crate) fn limits(reader: &mut Reader<'_>) -> Limits {
    let hint = "write commands per second, at most 10000000; 0 for no limit";
    let qps = reader.parsed("limits.qps", hint, |text| match text.parse::<u64>() {
        Ok(qps) if qps <= HIGHEST_QPS => Ok(qps),
        Ok(_) => Err("more than 10000000".into()),
        Err(_) => Err("not a number of commands".into()),
    });
    Limits { qps: qps.unwrap_or(0) }
}

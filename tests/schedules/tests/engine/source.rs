//! The source: the simulator, written to by nobody but the schedule.

use bytes::Bytes;
use simulator::{Handle, Reply};

use crate::faults::Write;
use crate::node::data::{Data, Entry, Value};
use crate::random::Random;

fn word(text: impl Into<Bytes>) -> Bytes {
    text.into()
}

/// One write to `key`, of a kind that fits what it holds at the moment. Says what it was.
pub(crate) fn write(
    source: &Handle,
    now: u64,
    key: &'static str,
    keys: &[&'static str],
    write: Write,
    random: &mut Random,
) -> Vec<Bytes> {
    let others: Vec<&'static str> = keys.iter().copied().filter(|other| *other != key).collect();
    let is_list = matches!(source.execute(0, &["TYPE", key]), Reply::Simple("list"))
        || matches!(source.execute(0, &["TYPE", key]), Reply::Status(kind) if kind == "list");
    let exists = matches!(source.execute(0, &["EXISTS", key]), Reply::Int(1));
    let digit = Bytes::from((1 + random.below(9)).to_string());
    let side = |left: bool| word(if left { "LEFT" } else { "RIGHT" });
    let args: Vec<Bytes> = match write {
        Write::Push | Write::Append | Write::Incr if is_list || (!exists && write == Write::Push) => {
            let verb = if random.chance(70) { "RPUSH" } else { "LPUSH" };
            vec![word(verb), word(key), Bytes::from(format!("e{}", random.below(1000)))]
        }
        Write::Append | Write::Push => vec![word("APPEND"), word(key), digit],
        Write::Incr => vec![word("INCR"), word(key)],
        Write::Pop if is_list => vec![word(if random.chance(50) { "LPOP" } else { "RPOP" }), word(key)],
        Write::Pop | Write::Set => vec![word("SET"), word(key), digit],
        Write::SetKeepingTtl => vec![word("SET"), word(key), digit, word("KEEPTTL")],
        Write::Mset => {
            let mut args = vec![word("MSET"), word(key), digit.clone()];
            args.extend(others.first().into_iter().flat_map(|other| [word(*other), digit.clone()]));
            args
        }
        Write::Rename | Write::Lmove if others.is_empty() => vec![word("INCR"), word(key)],
        Write::Lmove if is_list => {
            let to = *random.pick(&others);
            let (from_left, to_left) = (random.chance(50), random.chance(50));
            vec![word("LMOVE"), word(key), word(to), side(from_left), side(to_left)]
        }
        Write::Rename | Write::Lmove => vec![word("RENAME"), word(key), word(*random.pick(&others))],
        Write::Del => vec![word("DEL"), word(key)],
        Write::ExpireSoon => {
            let at = now + random.within(5..=600);
            vec![word("PEXPIREAT"), word(key), Bytes::from(at.to_string())]
        }
        Write::ExpireLate => {
            let at = now + 3_600_000 + random.within(0..=1000);
            vec![word("PEXPIREAT"), word(key), Bytes::from(at.to_string())]
        }
        Write::Persist => vec![word("PERSIST"), word(key)],
        Write::FlushAll => vec![word("FLUSHALL")],
    };
    source.execute(0, &args);
    args
}

/// Everything that the source holds under these names. Keys that have expired are removed by it.
pub(crate) fn all(source: &Handle, keys: &[&'static str]) -> Data {
    let mut all = Data::new();
    for key in keys {
        let value = match source.execute(0, &["GET", key]) {
            Reply::Bulk(text) => Value::Text(text),
            Reply::Nil => continue,
            _ => match source.execute(0, &["LRANGE", key, "0", "-1"]) {
                Reply::Array(items) => Value::List(items.into_iter().map(element).collect()),
                other => panic!("{key} is neither a string nor a list: {other:?}"),
            },
        };
        let expire_at = match source.execute(0, &["PEXPIRETIME", key]) {
            Reply::Int(at) => u64::try_from(at).ok(),
            other => panic!("PEXPIRETIME {key}: {other:?}"),
        };
        all.insert(Bytes::from_static(key.as_bytes()), Entry { value, expire_at });
    }
    all
}

fn element(reply: Reply) -> Bytes {
    match reply {
        Reply::Bulk(bytes) => bytes,
        other => panic!("an element of a list: {other:?}"),
    }
}

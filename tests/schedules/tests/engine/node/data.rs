//! The keys of a target node and the commands on them: strings and lists, with expiry.

use std::collections::{BTreeMap, VecDeque};

use bytes::{Bytes, BytesMut};
use resp::Reply;

/// What a key holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Value {
    Text(Bytes),
    List(VecDeque<Bytes>),
}

/// A key's value and when it expires (Unix milliseconds).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) value: Value,
    pub(crate) expire_at: Option<u64>,
}

/// All keys of one node.
pub(crate) type Data = BTreeMap<Bytes, Entry>;

/// What a command did.
pub(crate) struct Done {
    pub(crate) reply: Reply,
    /// Whether anything changed: replicas get only such commands.
    pub(crate) wrote: bool,
}

type Executed = Result<Done, &'static str>;

const WRONGTYPE: &str = "WRONGTYPE Operation against a key holding the wrong kind of value";
const NOT_INTEGER: &str = "ERR value is not an integer or out of range";
const SYNTAX: &str = "ERR syntax error";
const NO_KEY: &str = "ERR no such key";
const ARITY: &str = "ERR wrong number of arguments";

/// The commands that [`execute`] knows and that change data.
pub(crate) const WRITES: &[&str] = &[
    "SET",
    "MSET",
    "APPEND",
    "INCR",
    "INCRBY",
    "DECR",
    "DECRBY",
    "RPUSH",
    "LPUSH",
    "RPUSHX",
    "LPUSHX",
    "LPOP",
    "RPOP",
    "LMOVE",
    "RPOPLPUSH",
    "DEL",
    "UNLINK",
    "RENAME",
    "RENAMENX",
    "COPY",
    "PEXPIREAT",
    "EXPIREAT",
    "PERSIST",
    "RESTORE",
    "FLUSHALL",
    "FLUSHDB",
];

/// The commands that read.
pub(crate) const READS: &[&str] = &[
    "GET",
    "STRLEN",
    "LLEN",
    "LRANGE",
    "EXISTS",
    "TYPE",
    "PTTL",
    "TTL",
    "PEXPIRETIME",
    "DUMP",
    "SCAN",
    "KEYS",
];

fn ok() -> Reply {
    Reply::Simple(Bytes::from_static(b"OK"))
}

fn read(reply: Reply) -> Executed {
    Ok(Done { reply, wrote: false })
}

fn wrote(reply: Reply) -> Executed {
    Ok(Done { reply, wrote: true })
}

fn number<T: std::str::FromStr>(bytes: &[u8]) -> Result<T, &'static str> {
    std::str::from_utf8(bytes).ok().and_then(|text| text.parse().ok()).ok_or(NOT_INTEGER)
}

/// Removes what has expired; whether there was any.
pub(crate) fn expire(data: &mut Data, now: u64) -> bool {
    let before = data.len();
    data.retain(|_, entry| entry.expire_at.is_none_or(|at| at > now));
    data.len() != before
}

/// Executes one command. Expired keys were removed before.
pub(crate) fn execute(data: &mut Data, now: u64, name: &str, args: &[Bytes]) -> Executed {
    let arg = |at: usize| args.get(at).ok_or(ARITY);
    match name {
        "SET" => set(data, now, args),
        "MSET" => {
            for pair in args[1..].chunks(2) {
                let [key, value] = pair else { return Err(ARITY) };
                data.insert(key.clone(), Entry { value: Value::Text(value.clone()), expire_at: None });
            }
            wrote(ok())
        }
        "GET" => read(match data.get(arg(1)?) {
            None => Reply::Nil,
            Some(Entry { value: Value::Text(text), .. }) => Reply::Bulk(text.clone()),
            Some(_) => return Err(WRONGTYPE),
        }),
        "STRLEN" => read(match data.get(arg(1)?) {
            None => Reply::Integer(0),
            Some(Entry { value: Value::Text(text), .. }) => Reply::Integer(text.len() as i64),
            Some(_) => return Err(WRONGTYPE),
        }),
        "APPEND" => {
            let text = text_mut(data, arg(1)?, b"")?;
            *text = [&text[..], arg(2)?].concat().into();
            wrote(Reply::Integer(text.len() as i64))
        }
        "INCR" => add(data, arg(1)?, 1),
        "DECR" => add(data, arg(1)?, -1),
        "INCRBY" => add(data, arg(1)?, number(arg(2)?)?),
        "DECRBY" => add(data, arg(1)?, -number::<i64>(arg(2)?)?),
        "RPUSH" | "LPUSH" | "RPUSHX" | "LPUSHX" => {
            if name.ends_with('X') && !data.contains_key(arg(1)?) {
                return read(Reply::Integer(0));
            }
            let list = list_or_new(data, arg(1)?)?;
            for element in &args[2..] {
                match name.starts_with('R') {
                    true => list.push_back(element.clone()),
                    false => list.push_front(element.clone()),
                }
            }
            wrote(Reply::Integer(list.len() as i64))
        }
        "LPOP" | "RPOP" => {
            let Some(list) = list_mut(data, arg(1)?)? else { return read(Reply::Nil) };
            let count: usize = args.get(2).map_or(Ok(1), |count| number(count))?;
            let mut popped = Vec::new();
            while popped.len() < count
                && let Some(element) = pop(list, name == "LPOP")
            {
                popped.push(Reply::Bulk(element));
            }
            drop_if_empty(data, &args[1]);
            wrote(if args.len() > 2 { Reply::Array(popped) } else { popped.remove(0) })
        }
        "LMOVE" | "RPOPLPUSH" => {
            let left = |at: usize| args.get(at).is_some_and(|side| side.eq_ignore_ascii_case(b"LEFT"));
            if let Some(Entry { value: Value::Text(_), .. }) = data.get(arg(2)?) {
                return Err(WRONGTYPE);
            }
            let Some(list) = list_mut(data, arg(1)?)? else { return read(Reply::Nil) };
            let element = pop(list, left(3)).ok_or(NO_KEY)?;
            drop_if_empty(data, &args[1]);
            let to = list_or_new(data, &args[2])?;
            match name == "RPOPLPUSH" || left(4) {
                true => to.push_front(element.clone()),
                false => to.push_back(element.clone()),
            }
            wrote(Reply::Bulk(element))
        }
        "LLEN" => read(Reply::Integer(list_mut(data, arg(1)?)?.map_or(0, |list| list.len() as i64))),
        "LRANGE" => {
            let list = list_mut(data, arg(1)?)?.map(|list| list.iter().cloned().map(Reply::Bulk).collect());
            read(Reply::Array(list.unwrap_or_default()))
        }
        "DEL" | "UNLINK" => {
            let count = args[1..].iter().filter(|key| data.remove(*key).is_some()).count();
            Ok(Done { reply: Reply::Integer(count as i64), wrote: count > 0 })
        }
        "EXISTS" => {
            let count = args[1..].iter().filter(|key| data.contains_key(*key)).count();
            read(Reply::Integer(count as i64))
        }
        "TYPE" => {
            let kind = match data.get(arg(1)?).map(|entry| &entry.value) {
                None => "none",
                Some(Value::Text(_)) => "string",
                Some(Value::List(_)) => "list",
            };
            read(Reply::Simple(Bytes::from_static(kind.as_bytes())))
        }
        "RENAME" | "RENAMENX" => {
            if !data.contains_key(arg(1)?) {
                return Err(NO_KEY);
            }
            if name == "RENAMENX" && data.contains_key(arg(2)?) {
                return read(Reply::Integer(0));
            }
            let entry = data.remove(arg(1)?).ok_or(NO_KEY)?;
            data.insert(arg(2)?.clone(), entry);
            wrote(if name == "RENAME" { ok() } else { Reply::Integer(1) })
        }
        "COPY" => {
            let replace = args.iter().any(|word| word.eq_ignore_ascii_case(b"REPLACE"));
            match data.get(arg(1)?).cloned() {
                Some(entry) if replace || !data.contains_key(arg(2)?) => {
                    data.insert(args[2].clone(), entry);
                    wrote(Reply::Integer(1))
                }
                _ => read(Reply::Integer(0)),
            }
        }
        "PEXPIREAT" | "EXPIREAT" => {
            let at: i64 = number(arg(2)?)?;
            let at = if name == "EXPIREAT" { at.saturating_mul(1000) } else { at };
            let Some(entry) = data.get_mut(arg(1)?) else { return read(Reply::Integer(0)) };
            let only_existing = args.get(3).is_some_and(|word| word.eq_ignore_ascii_case(b"XX"));
            if only_existing && entry.expire_at.is_none() {
                return read(Reply::Integer(0));
            }
            match u64::try_from(at) {
                Ok(at) if at > now => entry.expire_at = Some(at),
                _ => drop(data.remove(&args[1])),
            }
            wrote(Reply::Integer(1))
        }
        "PERSIST" => match data.get_mut(arg(1)?) {
            Some(entry) if entry.expire_at.is_some() => {
                entry.expire_at = None;
                wrote(Reply::Integer(1))
            }
            _ => read(Reply::Integer(0)),
        },
        "PTTL" | "TTL" | "PEXPIRETIME" => {
            let reply = match data.get(arg(1)?).map(|entry| entry.expire_at) {
                None => -2,
                Some(None) => -1,
                Some(Some(at)) if name == "PEXPIRETIME" => at as i64,
                Some(Some(at)) if name == "TTL" => (at - now).div_ceil(1000) as i64,
                Some(Some(at)) => (at - now) as i64,
            };
            read(Reply::Integer(reply))
        }
        "DUMP" => read(data.get(arg(1)?).map_or(Reply::Nil, |entry| Reply::Bulk(dump(&entry.value)))),
        "RESTORE" => restore(data, now, args),
        "FLUSHALL" | "FLUSHDB" => {
            let had = !data.is_empty();
            data.clear();
            Ok(Done { reply: ok(), wrote: had })
        }
        // One page is enough for a handful of keys; patterns are only prefixes here.
        "SCAN" => {
            let prefix = args.windows(2).find(|pair| pair[0].eq_ignore_ascii_case(b"MATCH"));
            let prefix = prefix.map_or(&b""[..], |pair| pair[1].strip_suffix(b"*").unwrap_or(&pair[1]));
            let names = data.keys().filter(|key| key.starts_with(prefix)).cloned().map(Reply::Bulk);
            read(Reply::Array(vec![Reply::Bulk(Bytes::from_static(b"0")), Reply::Array(names.collect())]))
        }
        "KEYS" => read(Reply::Array(data.keys().cloned().map(Reply::Bulk).collect())),
        _ => Err("ERR unknown command"),
    }
}

fn set(data: &mut Data, now: u64, args: &[Bytes]) -> Executed {
    let [_, key, value, options @ ..] = args else { return Err(ARITY) };
    let mut expire_at = None;
    let mut at = 0;
    while at < options.len() {
        let option = options[at].to_ascii_uppercase();
        match &option[..] {
            b"KEEPTTL" => expire_at = data.get(key).and_then(|entry| entry.expire_at),
            b"NX" if data.contains_key(key) => return read(Reply::Nil),
            b"XX" if !data.contains_key(key) => return read(Reply::Nil),
            b"NX" | b"XX" => {}
            b"PXAT" | b"PX" | b"EXAT" | b"EX" => {
                at += 1;
                let n: u64 = number(options.get(at).ok_or(SYNTAX)?)?;
                let n = if option.starts_with(b"EX") { n * 1000 } else { n };
                expire_at = Some(if option.ends_with(b"AT") { n } else { now + n });
            }
            _ => return Err(SYNTAX),
        }
        at += 1;
    }
    match expire_at {
        Some(at) if at <= now => drop(data.remove(key)),
        _ => drop(data.insert(key.clone(), Entry { value: Value::Text(value.clone()), expire_at })),
    }
    wrote(ok())
}

fn add(data: &mut Data, key: &Bytes, by: i64) -> Executed {
    let text = text_mut(data, key, b"0")?;
    let sum = number::<i64>(text)?.checked_add(by).ok_or(NOT_INTEGER)?;
    *text = Bytes::from(sum.to_string());
    wrote(Reply::Integer(sum))
}

/// The key's text, made of `new` where the key is missing.
fn text_mut<'a>(data: &'a mut Data, key: &Bytes, new: &'static [u8]) -> Result<&'a mut Bytes, &'static str> {
    let fresh = || Entry { value: Value::Text(Bytes::from_static(new)), expire_at: None };
    match &mut data.entry(key.clone()).or_insert_with(fresh).value {
        Value::Text(text) => Ok(text),
        Value::List(_) => Err(WRONGTYPE),
    }
}

fn list_mut<'a>(data: &'a mut Data, key: &Bytes) -> Result<Option<&'a mut VecDeque<Bytes>>, &'static str> {
    match data.get_mut(key).map(|entry| &mut entry.value) {
        None => Ok(None),
        Some(Value::List(list)) => Ok(Some(list)),
        Some(Value::Text(_)) => Err(WRONGTYPE),
    }
}

fn list_or_new<'a>(data: &'a mut Data, key: &Bytes) -> Result<&'a mut VecDeque<Bytes>, &'static str> {
    let fresh = || Entry { value: Value::List(VecDeque::new()), expire_at: None };
    match &mut data.entry(key.clone()).or_insert_with(fresh).value {
        Value::List(list) => Ok(list),
        Value::Text(_) => Err(WRONGTYPE),
    }
}

fn pop(list: &mut VecDeque<Bytes>, left: bool) -> Option<Bytes> {
    if left { list.pop_front() } else { list.pop_back() }
}

fn drop_if_empty(data: &mut Data, key: &Bytes) {
    if matches!(data.get(key), Some(Entry { value: Value::List(list), .. }) if list.is_empty()) {
        data.remove(key);
    }
}

/// Begins the payloads that these nodes make; no type has this code.
const OWN_PAYLOAD: u8 = 0xff;

fn dump(value: &Value) -> Bytes {
    let mut out = BytesMut::from(&[OWN_PAYLOAD][..]);
    let reply = match value {
        Value::Text(text) => Reply::Bulk(text.clone()),
        Value::List(list) => Reply::Array(list.iter().cloned().map(Reply::Bulk).collect()),
    };
    resp::write_reply(&mut out, &reply);
    out.freeze()
}

fn restore(data: &mut Data, now: u64, args: &[Bytes]) -> Executed {
    let [_, key, ttl, payload, options @ ..] = args else { return Err(ARITY) };
    let option = |name: &[u8]| options.iter().any(|word| word.eq_ignore_ascii_case(name));
    if data.contains_key(key) && !option(b"REPLACE") {
        return Err("BUSYKEY Target key name already exists.");
    }
    let value = parse(payload).ok_or("ERR DUMP payload version or checksum are wrong")?;
    let expire_at = match number::<u64>(ttl)? {
        0 => None,
        ttl if option(b"ABSTTL") => Some(ttl),
        ttl => Some(now + ttl),
    };
    match expire_at {
        Some(at) if at <= now => drop(data.remove(key)),
        _ => drop(data.insert(key.clone(), Entry { value, expire_at })),
    }
    wrote(ok())
}

fn parse(payload: &Bytes) -> Option<Value> {
    if payload.first() == Some(&OWN_PAYLOAD) {
        let mut decoder = resp::ReplyDecoder::new(resp::Limits::default());
        decoder.feed(&payload[1..]);
        return match decoder.next().ok()?? {
            Reply::Bulk(text) => Some(Value::Text(text)),
            Reply::Array(items) => {
                Some(Value::List(items.iter().filter_map(|i| i.as_bytes().cloned()).collect()))
            }
            _ => None,
        };
    }
    let (kind, raw) = rdb::dump::parse(payload).ok()?;
    let mut value = None;
    for piece in rdb::Pieces::new(kind, raw, &rdb::Limits::default()) {
        match (piece.ok()?, &mut value) {
            (rdb::Piece::String(text), None) => value = Some(Value::Text(text)),
            (rdb::Piece::String(more), Some(Value::Text(text))) => {
                *text = [&text[..], &more[..]].concat().into()
            }
            (rdb::Piece::List(items), None) => value = Some(Value::List(items.into())),
            (rdb::Piece::List(items), Some(Value::List(list))) => list.extend(items),
            _ => return None,
        }
    }
    value
}

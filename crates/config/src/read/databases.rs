//! `mapping.databases`.

use std::collections::BTreeMap;

use crate::TargetType;
use crate::document::Content;
use crate::mapping::{Choice, Databases};
use crate::reader::{Place, Reader, printable};

const HINT: &str = "write prefix, keep, or a map such as {1: \"app1:\", 2: drop}";

/// Reads `mapping.databases` for this kind of target.
pub(crate) fn databases(reader: &mut Reader<'_>, kind: TargetType) -> Option<Databases> {
    let found = reader.get("mapping.databases")?;
    let entries = match &found.node.content {
        Content::Scalar(text) => {
            return match text.to_ascii_lowercase().as_str() {
                "prefix" => Some(Databases::Prefix),
                "keep" => {
                    if kind == TargetType::Cluster {
                        refuse_keep(reader, &found.place);
                    }
                    Some(Databases::Keep)
                }
                _ => {
                    reader.problem(
                        &found.place,
                        format!("unknown mapping \"{}\"", printable(text)),
                        Some(HINT),
                    );
                    None
                }
            };
        }
        Content::Map(entries) => entries,
        Content::List(_) | Content::Null => {
            reader.problem(&found.place, "expected a word or a map".into(), Some(HINT));
            return None;
        }
    };
    let mut named = BTreeMap::new();
    let mut prefixes: Vec<(Place, u32, Vec<u8>)> = Vec::new();
    for (key, node) in entries {
        let place = found.place.below(key, node);
        // Digits only: `+1` and `01` would be second spellings of 1.
        let Some(db) = key.parse::<u32>().ok().filter(|db| db.to_string() == *key) else {
            reader.problem(&place, "not a database number".into(), Some(HINT));
            continue;
        };
        let choice = match &node.content {
            Content::Scalar(text) if text == "drop" => Choice::Drop,
            Content::Scalar(text) if text == "keep" => Choice::Keep,
            Content::Scalar(text) if !text.is_empty() => Choice::Prefix(text.clone().into_bytes()),
            Content::Scalar(_) | Content::Null => {
                reader.problem(&place, "an empty prefix would mix its keys with others".into(), Some(HINT));
                continue;
            }
            Content::List(_) | Content::Map(_) => {
                reader.problem(&place, "expected a prefix, keep or drop".into(), Some(HINT));
                continue;
            }
        };
        match &choice {
            Choice::Keep if db > 0 && kind == TargetType::Cluster => refuse_keep(reader, &place),
            Choice::Prefix(prefix) => prefixes.push((place.clone(), db, prefix.clone())),
            Choice::Keep | Choice::Drop => {}
        }
        if named.insert(db, choice).is_some() {
            reader.problem(&place, "this database is mapped twice".into(), Some("remove one"));
        }
    }
    for (i, (place, db, prefix)) in prefixes.iter().enumerate() {
        for (_, other_db, other) in &prefixes[..i] {
            if prefix == other {
                let message = format!("the same prefix as database {other_db}");
                reader.problem(place, message, Some("give each database its own prefix"));
            } else if prefix.starts_with(other) || other.starts_with(prefix) {
                let message = format!(
                    "\"{}\" and database {other_db}'s \"{}\": one begins with the other, so their keys could not be told apart",
                    text(prefix),
                    text(other)
                );
                reader.problem(place, message, Some("choose prefixes that do not begin with one another"));
            }
        }
        // Only a standalone server leaves the databases that are not named without a prefix.
        if kind != TargetType::Standalone
            && let Some(clash) =
                clashes_with_default(prefix, |n| n != *db && n > 0 && !named.contains_key(&n))
        {
            let message = format!("clashes with {clash}, which database(s) without an entry get");
            reader.problem(place, message, Some("choose a prefix that does not begin like dbN:"));
        }
    }
    Some(Databases::Map { named, keep_others: kind == TargetType::Standalone })
}

fn refuse_keep(reader: &mut Reader<'_>, place: &Place) {
    let message = "a cluster has no databases to keep apart";
    reader.problem(place, message.into(), Some("use prefix, or a map of prefixes"));
}

/// The default prefix (`dbN:` of a database that `is_default`) that begins with `prefix`, or that `prefix` begins with.
fn clashes_with_default(prefix: &[u8], is_default: impl Fn(u32) -> bool) -> Option<String> {
    let text = std::str::from_utf8(prefix).ok()?;
    let Some(rest) = text.strip_prefix("db") else {
        return "db".starts_with(text).then(|| "dbN:".to_owned());
    };
    let end = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
    let (digits, after) = rest.split_at(end);
    if digits.starts_with('0') {
        return None;
    }
    if after.is_empty() {
        // `db`, `db1`: some longer number without an entry always begins like this.
        return Some(format!("db{digits}...:"));
    }
    let number: u32 = digits.parse().ok()?;
    (after.starts_with(':') && is_default(number)).then(|| format!("db{number}:"))
}

fn text(prefix: &[u8]) -> String {
    printable(&String::from_utf8_lossy(prefix))
}

//! The `filter` section.

use crate::Filter;
use crate::document::Content;
use crate::keys;
use crate::reader::{Place, Reader, printable};

/// Most entries of one list: every name is compared with each of them.
const MOST: usize = 1_000;

pub(crate) fn filter(reader: &mut Reader<'_>) -> Filter {
    let filter = Filter {
        allow_keys: list(reader, "filter.allow_keys", pattern),
        deny_keys: list(reader, "filter.deny_keys", pattern),
        allow_key_prefixes: list(reader, "filter.allow_key_prefixes", prefix),
        deny_key_prefixes: list(reader, "filter.deny_key_prefixes", prefix),
        allow_databases: list(reader, "filter.allow_databases", database),
        deny_databases: list(reader, "filter.deny_databases", database),
        allow_types: list(reader, "filter.allow_types", kind),
        deny_types: list(reader, "filter.deny_types", kind),
        allow_commands: list(reader, "filter.allow_commands", command),
        deny_commands: list(reader, "filter.deny_commands", command),
    };
    nothing_left(reader, "filter.deny_databases", &filter.allow_databases, &filter.deny_databases);
    nothing_left(reader, "filter.deny_types", &filter.allow_types, &filter.deny_types);
    nothing_left(reader, "filter.deny_commands", &filter.allow_commands, &filter.deny_commands);
    filter
}

/// A list, or a single entry.
fn list<T>(reader: &mut Reader<'_>, key: &str, parse: fn(&str) -> Result<T, (String, String)>) -> Vec<T> {
    let Some(found) = reader.get(key) else { return Vec::new() };
    let entries: Vec<(Place, Option<String>)> = match &found.node.content {
        Content::Scalar(text) => vec![(found.place.clone(), Some(text.clone()))],
        Content::List(nodes) => nodes
            .iter()
            .enumerate()
            .map(|(i, node)| {
                let text = match &node.content {
                    Content::Scalar(text) => Some(text.clone()),
                    _ => None,
                };
                (found.place.below(&i.to_string(), node), text)
            })
            .collect(),
        Content::Map(_) | Content::Null => {
            reader.problem(
                &found.place,
                "expected a list".into(),
                Some("write [a, b], or one below the other"),
            );
            return Vec::new();
        }
    };
    if entries.len() > MOST {
        let message = format!("{} entries, more than {MOST}", entries.len());
        reader.problem(&found.place, message, Some("use patterns that cover several"));
        return Vec::new();
    }
    let mut values = Vec::new();
    for (place, text) in entries {
        match text {
            Some(text) => match parse(&text) {
                Ok(value) => values.push(value),
                Err((message, hint)) => reader.problem(&place, message, Some(&hint)),
            },
            None => reader.problem(&place, "expected a single value".into(), None),
        }
    }
    values
}

fn nothing_left<T: PartialEq>(reader: &mut Reader<'_>, key: &str, allow: &[T], deny: &[T]) {
    if !allow.is_empty()
        && allow.iter().all(|entry| deny.contains(entry))
        && let Some(found) = reader.get(key)
    {
        let message = "denies all that is allowed, so nothing would be replicated";
        reader.problem(&found.place, message.into(), Some("remove one of the two lists"));
    }
}

fn pattern(text: &str) -> Result<String, (String, String)> {
    let hint = || {
        "write a name, with * ? [a-z] as in KEYS, and \\ before one of these that is meant as it is"
            .to_owned()
    };
    if text.is_empty() {
        return Err(("an empty pattern fits no key but the one without a name".into(), hint()));
    }
    let (mut open, mut escaped) = (false, false);
    for c in text.chars() {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '[' => open = true,
            ']' => open = false,
            _ => {}
        }
    }
    match open {
        true => Err((format!("the [ in \"{}\" is not closed", printable(text)), hint())),
        false => Ok(text.to_owned()),
    }
}

fn prefix(text: &str) -> Result<String, (String, String)> {
    match text.is_empty() {
        true => Err(("every name begins with nothing".into(), "write the beginning of a name".into())),
        false => Ok(text.to_owned()),
    }
}

fn database(text: &str) -> Result<u32, (String, String)> {
    // Digits only: `+1` and `01` would be second spellings of 1.
    let number = text.trim().parse::<u32>().ok().filter(|db| db.to_string() == text.trim());
    number
        .ok_or_else(|| (format!("not a database number: \"{}\"", printable(text)), "write 0, 1, ...".into()))
}

fn kind(text: &str) -> Result<String, (String, String)> {
    let word = text.trim().to_ascii_lowercase();
    if Filter::TYPES.contains(&word.as_str()) {
        return Ok(word);
    }
    let nearest = keys::nearest_of(&word, &Filter::TYPES);
    let hint = format!("the nearest is {nearest}; one of {}", Filter::TYPES.join(", "));
    Err((format!("unknown type \"{}\"", printable(text)), hint))
}

fn command(text: &str) -> Result<String, (String, String)> {
    let name = text.trim().to_ascii_uppercase();
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    match !name.is_empty() && name.chars().all(plain) {
        true => Ok(name),
        false => Err((
            format!("not the name of a command: \"{}\"", printable(text)),
            "write it as the journal has it, for example FLUSHALL".into(),
        )),
    }
}

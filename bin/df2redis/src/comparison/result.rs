//! The result as text and as JSON.

use std::fmt::Write as _;
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::Path;

use ::check::{Difference, Findings, Outcome};
use serde_json::{Value, json};

use crate::failure::Failure;
use crate::output::number;

/// Differences that are shown as text; all of them are in the JSON.
const SHOWN: usize = 20;

/// Where the JSON goes.
pub(crate) struct Json {
    to: Option<Box<dyn Write>>,
    name: String,
}

impl Json {
    /// To a file, to stdout for `-`, nowhere without a name. A file is made at once: that it cannot be is better known now
    /// than when everything is compared.
    pub(crate) fn open(name: Option<&Path>) -> Result<Json, Failure> {
        let Some(path) = name else { return Ok(Json::none()) };
        let name = path.display().to_string();
        if name == "-" {
            return Ok(Json { to: Some(Box::new(io::stdout())), name });
        }
        let file = File::create(path).map_err(|error| {
            Failure::usage(format!("--json {name}: {error}; name a file that can be written"))
        })?;
        Ok(Json { to: Some(Box::new(file)), name })
    }

    /// Nowhere.
    pub(crate) fn none() -> Json {
        Json { to: None, name: String::new() }
    }

    /// Whether stdout is taken.
    pub(crate) fn is_stdout(&self) -> bool {
        self.name == "-"
    }

    /// Writes everything, one key at a time.
    pub(crate) fn write(self, outcome: &mut Outcome) -> Result<(), Failure> {
        let Some(to) = self.to else { return Ok(()) };
        let mut to = BufWriter::new(to);
        let written = document(&mut to, outcome).and_then(|()| to.flush());
        match written {
            // A reader that went away (`| head`).
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
            other => other.map_err(|error| {
                Failure::failed(format!("--json {}: {error}; check the free space", self.name))
            }),
        }
    }
}

fn document(to: &mut impl Write, outcome: &mut Outcome) -> io::Result<()> {
    write!(to, "{{\"summary\":{}", serde_json::to_string(&outcome.summary)?)?;
    list(to, "differences", &mut outcome.differences, |difference| {
        let mut entry = key(difference);
        entry["kind"] = difference.what.name().into();
        entry["detail"] = difference.detail.as_str().into();
        entry
    })?;
    list(to, "in_motion", &mut outcome.in_motion, key)?;
    writeln!(to, "}}")
}

fn list(
    to: &mut impl Write,
    name: &str,
    findings: &mut Findings,
    entry: impl Fn(&Difference) -> Value,
) -> io::Result<()> {
    write!(to, ",\"{name}\":[")?;
    for (i, found) in findings.read()?.enumerate() {
        write!(to, "{}{}", if i == 0 { "\n" } else { ",\n" }, entry(&found?))?;
    }
    write!(to, "]")
}

/// Names as text, bytes that are no printable ASCII escaped; `key_hex` has them as they are where that matters.
fn key(difference: &Difference) -> Value {
    let named = &difference.named;
    let text = named.key.escape_ascii().to_string();
    let mut entry = json!({ "db": named.db, "key": text, "target_db": named.target_db });
    if text.as_bytes() != named.key.as_ref() {
        entry["key_hex"] = hex(&named.key).into();
    }
    if named.name != named.key {
        entry["target_key"] = named.name.escape_ascii().to_string().into();
    }
    entry
}

/// Two digits for each byte.
pub(super) fn hex(bytes: &[u8]) -> String {
    let digits: Vec<String> = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    digits.concat()
}

/// The first differences, what cannot be compared, and the summary line.
pub(super) fn text(outcome: &mut Outcome) -> Result<String, Failure> {
    let failed = |error: io::Error| Failure::failed(format!("the list of differences: {error}"));
    let mut text = String::new();
    for found in outcome.differences.read().map_err(failed)?.take(SHOWN) {
        let Difference { named, what, detail, .. } = found.map_err(failed)?;
        let (db, key) = (named.db, named.key.escape_ascii());
        // Writing into a String does not fail, here and below.
        let _ = writeln!(text, "{what:<8} db{db}:{key}  {detail}");
    }
    let summary = &outcome.summary;
    let more = summary.differences().saturating_sub(SHOWN as u64);
    if more > 0 {
        let _ = writeln!(text, "and {} more; --json FILE lists all", number(more));
    }
    for (kind, count) in &summary.not_comparable {
        let _ =
            writeln!(text, "not comparable: {} of type {kind}, which the target cannot hold", number(*count));
    }
    for (why, count) in &summary.skipped {
        let _ = writeln!(text, "skipped: {} keys that are not replicated ({why})", number(*count));
    }
    if summary.foreign > 0 {
        let _ = writeln!(
            text,
            "not ours: {} names on the target that no key would take",
            number(summary.foreign)
        );
    }
    if summary.in_motion > 0 {
        let _ = writeln!(text, "in motion: {} keys", number(summary.in_motion));
    }
    let _ = writeln!(text, "{summary}");
    Ok(text)
}

//! Comparing two contents.

use std::time::Duration;

use super::{Contents, Logical, Value};
use crate::client::readable;
use crate::wait;

/// How many differences a report spells out.
const SHOWN: usize = 20;

/// What is wrong with one key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum What {
    /// Expected and not there.
    Missing,
    /// There and not expected.
    Unexpected,
    /// Another type.
    Type,
    /// Same type, other value.
    Value,
    /// Other expiry.
    Expiry,
    /// Members or fields have lost their own TTL, or have one that is not expected.
    MemberTtl,
}

/// One difference. Several things wrong with a key are several differences.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Difference {
    /// Database, as named on both sides (expected contents are mapped before they are compared).
    pub db: u32,
    /// Key.
    pub key: Vec<u8>,
    /// What is wrong.
    pub what: What,
    /// Both sides in words, binary safe.
    pub detail: String,
}

impl std::fmt::Display for Difference {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "db {} key {}: {:?}: {}", self.db, readable(&self.key), self.what, self.detail)
    }
}

/// What `actual` lacks, has too much or has otherwise, sorted by name.
pub fn diff(expected: &Contents, actual: &Contents) -> Vec<Difference> {
    let mut found = Vec::new();
    for (name, wanted) in expected {
        let mut note =
            |what, detail| found.push(Difference { db: name.0, key: name.1.clone(), what, detail });
        let Some(present) = actual.get(name) else {
            note(What::Missing, format!("expected a {}", wanted.value.type_name()));
            continue;
        };
        compare(wanted, present, &mut note);
    }
    for (name, present) in actual.iter().filter(|(name, _)| !expected.contains_key(*name)) {
        let detail = format!("there is a {}", present.value.type_name());
        found.push(Difference { db: name.0, key: name.1.clone(), what: What::Unexpected, detail });
    }
    found.sort();
    found
}

fn compare(wanted: &Logical, present: &Logical, note: &mut impl FnMut(What, String)) {
    let (a, b) = (wanted.value.type_name(), present.value.type_name());
    if a != b {
        note(What::Type, format!("expected a {a}, is a {b}"));
    } else if wanted.value != present.value {
        note(What::Value, describe(&wanted.value, &present.value));
    }
    if wanted.expire_at_ms != present.expire_at_ms {
        let text = |at: Option<u64>| at.map_or("none".to_owned(), |at| format!("{at} ms"));
        let detail = format!("expected {}, is {}", text(wanted.expire_at_ms), text(present.expire_at_ms));
        note(What::Expiry, detail);
    }
    if wanted.member_ttls != present.member_ttls {
        let names =
            |logical: &Logical| -> Vec<_> { logical.member_ttls.iter().map(|m| readable(m)).collect() };
        let detail = format!("expected on {:?}, are on {:?}", names(wanted), names(present));
        note(What::MemberTtl, detail);
    }
}

/// The first thing in which two values of one type differ.
fn describe(wanted: &Value, present: &Value) -> String {
    match (wanted, present) {
        (Value::String(a), Value::String(b)) | (Value::Json(a), Value::Json(b)) => {
            let at = a.iter().zip(b).position(|(a, b)| a != b).unwrap_or(a.len().min(b.len()));
            let (from_a, from_b) = (&a[at.saturating_sub(16)..], &b[at.saturating_sub(16)..]);
            let (from_a, from_b) = (readable(from_a), readable(from_b));
            format!("{} bytes expected, {} there, differ at {at}: {from_a} / {from_b}", a.len(), b.len())
        }
        (Value::List(a), Value::List(b)) => {
            let at = a.iter().zip(b).position(|(a, b)| a != b).unwrap_or(a.len().min(b.len()));
            let item = |list: &[Vec<u8>]| list.get(at).map_or("nothing".to_owned(), |item| readable(item));
            format!(
                "{} items expected, {} there, differ at {at}: {} / {}",
                a.len(),
                b.len(),
                item(a),
                item(b)
            )
        }
        (Value::Set(a), Value::Set(b)) => {
            let lacking = a.difference(b).map(|member| readable(member));
            let extra = b.difference(a).map(|member| readable(member));
            members(a.len(), b.len(), lacking.collect(), extra.collect(), Vec::new())
        }
        (Value::Hash(a), Value::Hash(b)) => {
            let lacking = a.keys().filter(|field| !b.contains_key(*field)).map(|field| readable(field));
            let extra = b.keys().filter(|field| !a.contains_key(*field)).map(|field| readable(field));
            let other = a.iter().filter_map(|(field, value)| {
                let is = b.get(field).filter(|is| *is != value)?;
                Some(format!("{}={} / {}", readable(field), readable(value), readable(is)))
            });
            members(a.len(), b.len(), lacking.collect(), extra.collect(), other.collect())
        }
        (Value::Zset(a), Value::Zset(b)) => {
            let lacking = a.keys().filter(|member| !b.contains_key(*member)).map(|member| readable(member));
            let extra = b.keys().filter(|member| !a.contains_key(*member)).map(|member| readable(member));
            let other = a.iter().filter_map(|(member, score)| {
                let is = b.get(member).filter(|is| *is != score)?;
                Some(format!("{}={:?} / {:?}", readable(member), f64::from_bits(*score), f64::from_bits(*is)))
            });
            members(a.len(), b.len(), lacking.collect(), extra.collect(), other.collect())
        }
        (Value::Stream(a), Value::Stream(b)) => a.differences(b).join("; "),
        _ => "differs".to_owned(),
    }
}

fn members(a: usize, b: usize, lacking: Vec<String>, extra: Vec<String>, other: Vec<String>) -> String {
    let mut text = format!("{a} members expected, {b} there");
    for (what, names) in [("lacking", lacking), ("too many", extra), ("other", other)] {
        if !names.is_empty() {
            text.push_str(&format!("; {} {what}: {}", names.len(), names[..names.len().min(3)].join(", ")));
        }
    }
    text
}

/// The first differences and how many there are, for a panic message.
pub fn report(differences: &[Difference]) -> String {
    let mut text = format!("{} differences", differences.len());
    for difference in differences.iter().take(SHOWN) {
        text.push_str(&format!("\n  {difference}"));
    }
    if differences.len() > SHOWN {
        text.push_str(&format!("\n  ... and {} more", differences.len() - SHOWN));
    }
    text
}

/// Reads both sides until they are equal and returns how many keys there are; panics with the report when the
/// deadline has passed.
pub fn wait_equal(
    deadline: Duration,
    mut expected: impl FnMut() -> Contents,
    mut actual: impl FnMut() -> Contents,
) -> usize {
    let mut last = Vec::new();
    let equal = wait::try_until_some(deadline, &mut || {
        let wanted = expected();
        last = diff(&wanted, &actual());
        last.is_empty().then_some(wanted.len())
    });
    equal.unwrap_or_else(|| panic!("not equal after {deadline:?}: {}", report(&last)))
}

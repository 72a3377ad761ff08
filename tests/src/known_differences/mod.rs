//! Differences between a capture's contents and what a target can hold after it, by name.

mod list;

use std::collections::BTreeSet;

use crate::client::readable;
use crate::logical::{Difference, Name, What, report};

/// Which targets a known difference is seen on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum On {
    /// Standalone and cluster.
    Both,
    /// Only standalone.
    Standalone,
    /// Only cluster.
    Cluster,
}

/// A difference that is expected, and why.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Known {
    /// Releases of the captures, e.g. `v1.40.1`; empty means all.
    pub versions: &'static [&'static str],
    /// Scenarios, e.g. `commands`; empty means all.
    pub scenarios: &'static [&'static str],
    /// Targets.
    pub on: On,
    /// Database at the source.
    pub db: u32,
    /// Key at the source.
    pub key: &'static [u8],
    /// What is wrong.
    pub what: What,
    /// Why, with the place where it is explained.
    pub why: &'static str,
}

impl Known {
    fn applies(&self, version: &str, scenario: &str, cluster: bool) -> bool {
        let listed = |list: &[&str], item: &str| list.is_empty() || list.contains(&item);
        let here = match self.on {
            On::Both => true,
            On::Standalone => !cluster,
            On::Cluster => cluster,
        };
        here && listed(self.versions, version) && listed(self.scenarios, scenario)
    }
}

/// Every difference known. The list may only shrink.
pub const KNOWN: &[Known] = list::KNOWN;

/// The differences of `list` that one capture shows on one kind of target.
pub fn of(list: &[Known], version: &str, scenario: &str, cluster: bool) -> Vec<Known> {
    list.iter().filter(|known| known.applies(version, scenario, cluster)).copied().collect()
}

/// Panics unless exactly the known differences were found: one that is gone has to leave the list, a new one is
/// a failure. `map` gives the target's name of a source key.
pub fn assert_exactly(known: &[Known], found: &[Difference], map: impl Fn(&Name) -> Option<Name>) {
    if let Some(complaint) = complaint(known, found, map) {
        panic!("{complaint}");
    }
}

/// What [`assert_exactly`] would panic with, or nothing.
pub fn complaint(
    known: &[Known],
    found: &[Difference],
    map: impl Fn(&Name) -> Option<Name>,
) -> Option<String> {
    let target_name = |known: &Known| {
        let name = (known.db, known.key.to_vec());
        map(&name).unwrap_or_else(|| panic!("{} is not mapped", readable(known.key)))
    };
    let wanted: BTreeSet<_> = known.iter().map(|known| (target_name(known), known.what)).collect();
    assert_eq!(wanted.len(), known.len(), "the list names a difference twice");
    let present: BTreeSet<_> =
        found.iter().map(|found| ((found.db, found.key.clone()), found.what)).collect();
    let new: Vec<_> = found
        .iter()
        .filter(|found| !wanted.contains(&((found.db, found.key.clone()), found.what)))
        .cloned()
        .collect();
    let gone: Vec<_> = known
        .iter()
        .filter(|known| !present.contains(&(target_name(known), known.what)))
        .map(|known| {
            format!("\n  db {} key {}: {:?} ({})", known.db, readable(known.key), known.what, known.why)
        })
        .collect();
    let complain = !new.is_empty() || !gone.is_empty();
    complain.then(|| format!("new: {}\nlisted but not found: {}{}", report(&new), gone.len(), gone.concat()))
}

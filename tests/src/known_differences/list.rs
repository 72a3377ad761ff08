//! The list.

use super::{Known, On};
use crate::logical::What;

/// Captures with the data set of every type at their end.
const TYPES: &[&str] =
    &["types", "types-lzf", "types-raw", "types-untagged", "types-zstd", "commands", "resume"];

const COMMANDS: &[&str] = &["commands"];

const V1_40: &[&str] = &["v1.40.1"];

const BOTH: &[&str] = &[];

const NO_TYPE: &str = "the target has no such type";

const NO_MEMBER_TTL: &str = "Redis 7.0 has no expiry of single members";

pub(super) const KNOWN: &[Known] = &[
    known(BOTH, TYPES, b"bloom", What::Missing, NO_TYPE),
    known(BOTH, TYPES, b"json:arr", What::Missing, NO_TYPE),
    known(BOTH, TYPES, b"json:doc", What::Missing, NO_TYPE),
    known(V1_40, TYPES, b"cms", What::Missing, NO_TYPE),
    known(V1_40, TYPES, b"cuckoo", What::Missing, NO_TYPE),
    known(V1_40, TYPES, b"topk", What::Missing, NO_TYPE),
    known(BOTH, TYPES, b"hash:fieldttl", What::MemberTtl, NO_MEMBER_TTL),
    known(BOTH, TYPES, b"set:memberttl", What::MemberTtl, NO_MEMBER_TTL),
    // What the client did in the stable sync.
    known(BOTH, COMMANDS, b"j:bloom", What::Missing, NO_TYPE),
    known(BOTH, COMMANDS, b"j:json", What::Missing, NO_TYPE),
    known(BOTH, COMMANDS, b"j:json1", What::Missing, NO_TYPE),
    known(BOTH, COMMANDS, b"j:json2", What::Missing, NO_TYPE),
    known(V1_40, COMMANDS, b"j:cms", What::Missing, NO_TYPE),
    known(V1_40, COMMANDS, b"j:cuckoo", What::Missing, NO_TYPE),
    known(V1_40, COMMANDS, b"j:topk", What::Missing, NO_TYPE),
    known(BOTH, COMMANDS, b"j:h", What::MemberTtl, NO_MEMBER_TTL),
    known(BOTH, COMMANDS, b"j:hex", What::MemberTtl, NO_MEMBER_TTL),
    known(BOTH, COMMANDS, b"j:setttl", What::MemberTtl, NO_MEMBER_TTL),
];

/// In database 0, on both kinds of target.
const fn known(
    versions: &'static [&'static str],
    scenarios: &'static [&'static str],
    key: &'static [u8],
    what: What,
    why: &'static str,
) -> Known {
    Known { versions, scenarios, on: On::Both, db: 0, key, what, why }
}

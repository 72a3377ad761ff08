//! Expiries that are given later than they should be, and set right afterwards.
//!
//! A key that a snapshot brings may expire on the target long before the record comes that renews it. Until the end of the
//! snapshot it therefore gets a later expiry, a *lease*: still an expiry, so that `PERSIST` and `PTTL` find one.

use bytes::Bytes;

use crate::{
    Effect, TargetCommand,
    dialect::Dialect,
    rewrite::{decimal, integer},
};

/// `PEXPIREAT key at XX` for servers before 7.0, which do not know `XX`.
const RELEASE: &str = "if redis.call('PTTL',KEYS[1])<0 then return 0 end \
    return redis.call('PEXPIREAT',KEYS[1],ARGV[1])";

/// The absolute expiry (unix ms) that a command gives its key, and the argument that says so. `None` where it gives none,
/// or says it in another way than this crate writes it.
#[must_use]
pub fn given_expiry(args: &[Bytes]) -> Option<(usize, u64)> {
    let at = match &args.first()?[..] {
        b"PEXPIREAT" if args.len() == 3 => 2,
        b"RESTORE" if args.iter().skip(4).any(|word| word.eq_ignore_ascii_case(b"ABSTTL")) => 2,
        b"SET" => args.iter().skip(3).position(|word| word.eq_ignore_ascii_case(b"PXAT"))? + 4,
        _ => return None,
    };
    let at_ms = u64::try_from(integer(args.get(at)?)?).ok()?;
    (at_ms > 0).then_some((at, at_ms))
}

/// The same command with another expiry, which stands at `argument` ([`given_expiry`]).
#[must_use]
pub fn with_expiry(mut command: TargetCommand, argument: usize, at_ms: u64) -> TargetCommand {
    command.args[argument] = decimal(at_ms);
    command
}

impl Dialect {
    /// Whether an expiry can be set on a key only if it has one already: a key that was made again meanwhile must not
    /// get it.
    #[must_use]
    pub fn has_leases(&self) -> bool {
        self.at_least(7, 0) || self.has("EVAL")
    }

    /// Sets the expiry of a key if it has one. `of`: any command over this key, for its place.
    #[must_use]
    pub fn end_lease(&self, db: u32, slot: u16, key: Bytes, at_ms: u64) -> TargetCommand {
        let args = if self.at_least(7, 0) {
            vec![Bytes::from_static(b"PEXPIREAT"), key.clone(), decimal(at_ms), Bytes::from_static(b"XX")]
        } else {
            let script = [Bytes::from_static(b"EVAL"), RELEASE.into(), Bytes::from_static(b"1")];
            script.into_iter().chain([key.clone(), decimal(at_ms)]).collect()
        };
        TargetCommand { db, slot, args, key, effect: Effect::Repeatable }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Flavour;

    fn args(line: &str) -> Vec<Bytes> {
        line.split(' ').map(|word| Bytes::copy_from_slice(word.as_bytes())).collect()
    }

    #[test]
    fn finds_the_expiry_of_what_is_sent() {
        let cases = [
            ("SET a 1", None),
            ("SET a PXAT", None),
            ("SET PXAT PXAT PXAT 7", Some((4, 7))),
            ("SET a 1 XX pxat 5", Some((5, 5))),
            ("SET a 1 EXAT 5", None),
            ("RESTORE a 9 p REPLACE ABSTTL", Some((2, 9))),
            ("RESTORE a 0 p REPLACE ABSTTL", None),
            ("RESTORE a 9 p REPLACE", None),
            ("PEXPIREAT a 77", Some((2, 77))),
            ("PEXPIREAT a 77 NX", None),
            ("PEXPIREAT a -1", None),
            ("INCR a", None),
        ];
        for (line, expected) in cases {
            assert_eq!(given_expiry(&args(line)), expected, "{line}");
        }
    }

    #[test]
    fn ends_a_lease_only_where_there_is_one() {
        let new = Dialect::assumed(Flavour::Valkey, (8, 0, 0), false).end_lease(3, 0, "k".into(), 5);
        assert_eq!(new.args, args("PEXPIREAT k 5 XX"));
        let old = Dialect::assumed(Flavour::Redis, (6, 2, 0), true).end_lease(0, 9, "k".into(), 5);
        assert_eq!(
            (&old.args[0][..], &old.args[3][..], &old.args[4][..]),
            (&b"EVAL"[..], &b"k"[..], &b"5"[..])
        );
        assert!(!Dialect::new(Flavour::Redis, (6, 2, 0), false, ["SET"]).has_leases());
    }
}

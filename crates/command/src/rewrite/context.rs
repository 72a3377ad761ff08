//! What every translation needs to know.

use std::sync::Arc;

use bytes::Bytes;

use crate::{
    dialect::Dialect,
    mapping::{Mapping, Placement},
    slot::slot,
    target::{Effect, TargetCommand},
    treatment::{Place, SourceKey, Treatment},
    types::{JsonAs, MemberTtlAs, MemberTtls},
};

/// The mapping and what the target understands.
#[derive(Debug)]
pub(crate) struct Context {
    pub(crate) mapping: Mapping,
    pub(crate) dialect: Arc<Dialect>,
    /// What becomes of JSON documents.
    pub(crate) json: JsonAs,
    /// What becomes of the expiry of members that the target does not expire.
    pub(crate) member_ttls: MemberTtls,
    /// Values whose expiry has passed are written all the same.
    pub(crate) keep_expired: bool,
}

impl Context {
    /// The target name of a key that is about to be written.
    pub(crate) fn name(&self, db: u32, place: &Placement, key: &Bytes) -> Result<Bytes, Box<Treatment>> {
        let name = place.name(key);
        match self.mapping.check(db, place.db, &name) {
            Ok(()) => Ok(name),
            Err(collision) => Err(Box::new(Treatment::Collision(collision))),
        }
    }

    /// Whether a value need not be written any more, because its absolute expiry has passed.
    pub(crate) fn has_expired(&self, expire_at_ms: Option<u64>, now_ms: u64) -> bool {
        !self.keep_expired && expire_at_ms.is_some_and(|at| at <= now_ms)
    }

    /// Whether members of sets are removed in time by somebody else than the target.
    pub(crate) fn schedules_sets(&self) -> bool {
        self.member_ttls.sets == MemberTtlAs::Scheduled
    }

    /// The same for fields of hashes.
    pub(crate) fn schedules_fields(&self) -> bool {
        self.member_ttls.fields == MemberTtlAs::Scheduled && !self.dialect.has_hash_field_ttl()
    }

    /// Whether a scheduled member with this expiry (unix seconds) is written.
    pub(crate) fn keeps_member(&self, expire_at_s: Option<u64>, now_ms: u64) -> bool {
        let until = |at_s: u64| at_s.saturating_mul(1000).saturating_add(self.member_ttls.grace_ms);
        expire_at_s.is_none_or(|at_s| until(at_s) > now_ms)
    }

    /// The slot of a target name; 0 on a standalone target.
    pub(crate) fn slot(&self, name: &[u8]) -> u16 {
        if self.dialect.cluster { slot(name) } else { 0 }
    }

    /// A command over one key; `args` has `name` where it belongs.
    pub(crate) fn command(
        &self,
        place: &Placement,
        name: Bytes,
        args: Vec<Bytes>,
        effect: Effect,
    ) -> TargetCommand {
        TargetCommand { db: place.db, slot: self.slot(&name), args, key: name, effect }
    }

    /// Where a key of any database goes; `None` if its database is dropped.
    pub(crate) fn place(&self, source: SourceKey) -> Result<Option<Place>, Box<Treatment>> {
        let Some(place) = self.mapping.placement(source.db) else { return Ok(None) };
        let name = self.name(source.db, &place, &source.key)?;
        Ok(Some(Place { db: place.db, slot: self.slot(&name), name, source }))
    }
}

//! Records and values in, treatments out.

use std::{collections::HashMap, sync::Arc};

use bytes::Bytes;
use rdb::{Begin, Piece, Value};

use crate::{
    dialect::Dialect,
    mapping::{Mapping, Placement},
    rebuild::Rebuild,
    rewrite::{Call, Context, Outcome, plain},
    snapshot,
    table::Handling,
    target::Commands,
    touches::touches,
    treatment::{Ignored, Missing, MissingKind, Reason, SourceKey, Treatment},
    types::{JsonAs, MemberTtls},
};

/// Why a snapshot value cannot be translated.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The value's bytes do not decode.
    #[error(transparent)]
    Value(#[from] rdb::Error),
    /// A piece or end of a value that never began: a mistake of the caller.
    #[error("value {0} was not begun")]
    NotBegun(u64),
}

/// Translates the records and values of one flow. Each flow has its own translator, over clones of one [`Mapping`]:
/// ids of values in pieces are unique within a flow only.
#[derive(Debug)]
pub struct Translator {
    context: Context,
    /// The database of the last record or value, and where its keys go.
    current: Option<(u32, Option<Placement>)>,
    /// Values in pieces; `None` for those of which nothing is sent.
    open: HashMap<u64, Option<Rebuild>>,
}

/// A snapshot string, ready to be encoded without an argument vector: `SET key value [PXAT expire_at_ms]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StringEntry {
    /// Database to `SELECT` on a standalone target; 0 on a cluster.
    pub db: u32,
    /// Slot on a cluster; 0 on a standalone target.
    pub slot: u16,
    /// Target name.
    pub key: Bytes,
    /// The string.
    pub value: Bytes,
    /// Absolute expiry in unix ms.
    pub expire_at_ms: Option<u64>,
}

impl Translator {
    /// A translator without open values.
    #[must_use]
    pub fn new(mapping: Mapping, dialect: Arc<Dialect>) -> Self {
        Self {
            context: Context {
                mapping,
                dialect,
                keep_expired: false,
                json: JsonAs::default(),
                member_ttls: MemberTtls::default(),
            },
            current: None,
            open: HashMap::new(),
        }
    }

    /// The mapping.
    #[must_use]
    pub fn mapping(&self) -> &Mapping {
        &self.context.mapping
    }

    /// What the target understands.
    #[must_use]
    pub fn dialect(&self) -> &Dialect {
        &self.context.dialect
    }

    /// What becomes of JSON documents.
    pub fn set_json(&mut self, json: JsonAs) {
        self.context.json = json;
    }

    /// What becomes of the expiry of members that the target does not expire.
    pub fn set_member_ttls(&mut self, member_ttls: MemberTtls) {
        self.context.member_ttls = member_ttls;
    }

    /// Whether values whose expiry has passed are written all the same: a record may come that renews them.
    pub fn set_keep_expired(&mut self, keep: bool) {
        self.context.keep_expired = keep;
    }

    /// What a journal record means. `arrived_ms`: unix time at which it was read, from which relative times count.
    pub fn record(&mut self, record: journal::Record, arrived_ms: u64) -> Treatment {
        let Some(name) = record.args.first() else { return Treatment::Ignore(Ignored::NoEffect) };
        let Some((spec, available)) = self.context.dialect.find(name) else {
            return unknown(&record);
        };
        if spec.missing == MissingKind::Json && self.context.json != JsonAs::Module {
            return self.json_record(&record);
        }
        let keyless = match spec.handling {
            Handling::Ignore(reason) => return Treatment::Ignore(reason),
            Handling::OnlySent => return unknown(&record),
            Handling::Keyless(_) => spec.name != "FLUSHDB",
            _ => false,
        };
        let place = if keyless {
            Placement { db: 0, prefix: Bytes::new() }
        } else {
            match self.place(record.db) {
                Ok(Some(place)) => place,
                // what leaves a dropped database for a kept one is not dropped
                Ok(None) if spec.name == "MOVE" => Placement { db: 0, prefix: Bytes::new() },
                Ok(None) => return Treatment::Ignore(Ignored::DroppedDatabase),
                Err(treatment) => return *treatment,
            }
        };
        let call = Call { spec, available, db: record.db, place, args: record.args, arrived_ms };
        flatten(match spec.handling {
            Handling::Verbatim => plain::verbatim(&self.context, call),
            Handling::Split => plain::split(&self.context, call),
            Handling::Foreign => Ok(call.lacking(spec.missing)),
            Handling::Rewrite(rewrite) | Handling::Keyless(rewrite) => (rewrite.0)(&self.context, call),
            Handling::Ignore(reason) => Ok(Treatment::Ignore(reason)),
            Handling::OnlySent => Ok(call.not_in_sync(Reason::Malformed)),
        })
    }

    /// A record of a JSON command where the target has no documents.
    fn json_record(&mut self, record: &journal::Record) -> Treatment {
        match self.place(record.db) {
            Ok(None) => return Treatment::Ignore(Ignored::DroppedDatabase),
            Ok(Some(_)) => {}
            Err(treatment) => return *treatment,
        }
        let keys = touches(record.db, &record.args).keys;
        match self.context.json {
            JsonAs::Text => Treatment::NotInSync { keys, reason: Reason::AsText },
            _ => Treatment::Lacking(Missing { kind: MissingKind::Json, keys }),
        }
    }

    /// The fast way for a string that goes out as one `SET`. `None`: not a string, expired, dropped, or colliding;
    /// [`Translator::value`] tells.
    ///
    /// # Errors
    /// The string's encoding is broken.
    pub fn string(&mut self, value: &Value, now_ms: u64) -> Result<Option<StringEntry>, Error> {
        if value.kind != rdb::Kind::String || self.context.has_expired(value.meta.expire_at_ms, now_ms) {
            return Ok(None);
        }
        if self.current.as_ref().is_none_or(|(db, _)| *db != value.meta.db)
            && self.place(value.meta.db).is_err()
        {
            return Ok(None);
        }
        match &self.current {
            Some((_, Some(place))) => snapshot::string(&self.context, place, value),
            _ => Ok(None),
        }
    }

    /// What a complete snapshot value means: replace the key. `now_ms`: unix time; keys and members whose expiry has
    /// passed are removed instead.
    ///
    /// # Errors
    /// The value's bytes do not decode.
    pub fn value(&mut self, value: Value, now_ms: u64) -> Result<Treatment, Error> {
        match self.place(value.meta.db) {
            Ok(Some(place)) => snapshot::value(&self.context, &place, value, now_ms),
            Ok(None) => Ok(Treatment::Ignore(Ignored::DroppedDatabase)),
            Err(treatment) => Ok(*treatment),
        }
    }

    /// A value begins that comes in pieces: the key is removed.
    pub fn begin(&mut self, begin: Begin, now_ms: u64) -> Treatment {
        self.open.insert(begin.id, None);
        let place = match self.place(begin.meta.db) {
            Ok(Some(place)) => place,
            Ok(None) => return Treatment::Ignore(Ignored::DroppedDatabase),
            Err(treatment) => return *treatment,
        };
        let name = match self.context.name(begin.meta.db, &place, &begin.meta.key) {
            Ok(name) => name,
            Err(treatment) => return *treatment,
        };
        if self.context.has_expired(begin.meta.expire_at_ms, now_ms) {
            return Treatment::Send(snapshot::expire(&self.context, &place, name).into());
        }
        if let Some(kind) = snapshot::lacks(&self.context, begin.kind) {
            let key = SourceKey { db: begin.meta.db, key: begin.meta.key };
            return Treatment::Lacking(Missing { kind, keys: vec![key] });
        }
        let rebuild = Rebuild::new(&self.context, &place, name, &begin.meta, begin.kind);
        let first = rebuild.start();
        self.open.insert(begin.id, Some(rebuild));
        Treatment::Send(first.into())
    }

    /// A value begins that comes in pieces of which nothing is wanted.
    pub fn skip(&mut self, id: u64) {
        self.open.insert(id, None);
    }

    /// Some elements of an open value.
    ///
    /// # Errors
    /// [`Error::NotBegun`].
    pub fn piece(&mut self, id: u64, piece: Piece, now_ms: u64) -> Result<Treatment, Error> {
        let Some(rebuild) = self.open.get_mut(&id).ok_or(Error::NotBegun(id))? else {
            return Ok(Treatment::Ignore(Ignored::RestOfValue));
        };
        let commands = Commands::from(rebuild.piece(&self.context, piece, now_ms));
        Ok(rebuild.treatment(commands))
    }

    /// An open value is complete: its expiry is set.
    ///
    /// # Errors
    /// [`Error::NotBegun`].
    pub fn end(&mut self, id: u64) -> Result<Treatment, Error> {
        match self.open.remove(&id).ok_or(Error::NotBegun(id))? {
            None => Ok(Treatment::Ignore(Ignored::RestOfValue)),
            Some(mut rebuild) => Ok(Treatment::Send(rebuild.finish().into())),
        }
    }

    /// Forgets values that began and will not end: the stream is read anew from its beginning.
    pub fn restart(&mut self) {
        self.open.clear();
    }

    /// Where the keys of a database go, which thereby exists.
    fn place(&mut self, db: u32) -> Result<Option<Placement>, Box<Treatment>> {
        if let Some((current, place)) = &self.current
            && *current == db
        {
            return Ok(place.clone());
        }
        self.context.mapping.note_database(db).map_err(|c| Box::new(Treatment::Collision(c)))?;
        let place = self.context.mapping.placement(db);
        self.current = Some((db, place.clone()));
        Ok(place)
    }
}

fn flatten(outcome: Outcome) -> Treatment {
    outcome.unwrap_or_else(|treatment| *treatment)
}

fn unknown(record: &journal::Record) -> Treatment {
    let hint = record.args.get(1).map(|key| SourceKey { db: record.db, key: key.clone() });
    Treatment::NotInSync { keys: hint.into_iter().collect(), reason: Reason::Unknown(record.args[0].clone()) }
}

//! What the filter, and foreign keys that stay, leave of records and values.

use bytes::Bytes;
use command::{Excluded, Sieved, SourceKey};
use journal::Record;
use rdb::Kind;

use super::{End, FlowTask};
use crate::error::Error;
use crate::status::Filtered;

/// Why a key goes under repair that a record changes together with keys that are left out.
const BESIDE: &str = "its record also concerns keys, types or databases that are left out";

impl FlowTask {
    /// Whether a value is carried.
    pub(crate) fn wants(&mut self, db: u32, key: &Bytes, kind: Kind) -> Result<bool, End> {
        if self.sieve.is_open() {
            return Ok(true);
        }
        let Err(why) = self.sieve.value(db, key, kind) else { return Ok(true) };
        if why == Excluded::Existing && self.shared.mapping.stops_at_existing() {
            return Err(self.conflict(&SourceKey { db, key: key.clone() }));
        }
        self.shared.status.filtered(Filtered::Value, why);
        Ok(false)
    }

    /// What is left of the next record of the journal; one of which nothing is left is passed.
    pub(super) fn sieved(&mut self, record: Record) -> Result<Option<Record>, End> {
        if self.sieve.is_open() {
            return Ok(Some(record));
        }
        match self.sift(record)? {
            Sifted::Rest(record) => Ok(Some(record)),
            Sifted::Nothing => {
                self.pass_record();
                Ok(None)
            }
            Sifted::Read(keys) => {
                let origin = self.open_handed_over();
                // Rule 15: it is not sent, so no fence holds that it may lie in.
                self.repairs.moved(self.next, &keys, repair::Cause::Doubtful);
                self.repair_keys(keys, repair::Cause::Doubtful, BESIDE, Some(origin));
                Ok(None)
            }
        }
    }

    /// What is left of a record among the snapshot's entries.
    pub(crate) fn sieved_blob(&mut self, record: Record) -> Result<Option<Record>, End> {
        if self.sieve.is_open() {
            return Ok(Some(record));
        }
        match self.sift(record)? {
            Sifted::Rest(record) => Ok(Some(record)),
            Sifted::Nothing => Ok(None),
            Sifted::Read(keys) => {
                self.repair_keys(keys, repair::Cause::Doubtful, BESIDE, None);
                Ok(None)
            }
        }
    }

    fn sift(&mut self, record: Record) -> Result<Sifted, End> {
        let (sifted, why) = match self.sieve.record(record) {
            Sieved::Whole(record) => return Ok(Sifted::Rest(record)),
            Sieved::Part(record, why) => (Sifted::Rest(record), why),
            Sieved::Nothing(why) => (Sifted::Nothing, why),
            Sieved::Read(keys, why) => (Sifted::Read(keys), why),
            Sieved::Conflict(key) => return Err(self.conflict(&key)),
        };
        self.shared.status.filtered(Filtered::Record, why);
        Ok(sifted)
    }

    fn conflict(&self, key: &SourceKey) -> End {
        End::Fatal(Error::Conflict { db: key.db, key: key.key.escape_ascii().to_string() })
    }
}

enum Sifted {
    Rest(Record),
    Nothing,
    Read(Vec<SourceKey>),
}

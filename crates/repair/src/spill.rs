//! Items of one value in a file without a name: it vanishes with its handle, and with the process.
//!
//! Only this process reads what it wrote, so the form is the simplest there is: a tag, counts and lengths as u64 LE.

use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, BufWriter, Read, Seek, SeekFrom, Write};
use std::path::Path;

use bytes::Bytes;
use rdb::{Begin, Item, KeyMeta, Kind, Piece};

use crate::value::SpilledValue;

const BEGIN: u8 = 1;
const STRING: u8 = 2;
const LIST: u8 = 3;
const ZSET: u8 = 4;
const SET_TTL: u8 = 5;
const HASH_TTL: u8 = 6;
const END: u8 = 7;

/// Creates the directory, and removes what a crash left there: on file systems without unnamed files they have a name
/// for a moment.
pub(crate) fn prepare(directory: &Path) -> io::Result<()> {
    fs::create_dir_all(directory)?;
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        if entry.file_type()?.is_file() {
            fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}

/// A value on its way into a file.
#[derive(Debug)]
pub(crate) struct Spill {
    out: BufWriter<File>,
}

impl Spill {
    pub(crate) fn create(directory: &Path) -> io::Result<Spill> {
        Ok(Spill { out: BufWriter::new(tempfile::tempfile_in(directory)?) })
    }

    pub(crate) fn finish(self) -> io::Result<SpilledValue> {
        let mut file = self.out.into_inner().map_err(|error| error.into_error())?;
        let bytes = file.stream_position()?;
        file.seek(SeekFrom::Start(0))?;
        Ok(SpilledValue { file, bytes })
    }

    fn number(&mut self, n: u64) -> io::Result<()> {
        self.out.write_all(&n.to_le_bytes())
    }

    fn string(&mut self, string: &[u8]) -> io::Result<()> {
        self.number(string.len() as u64)?;
        self.out.write_all(string)
    }

    /// 0 stands for none: nothing expires in 1970.
    fn optional(&mut self, n: Option<u64>) -> io::Result<()> {
        self.number(n.unwrap_or(0))
    }

    fn head(&mut self, tag: u8, id: u64, count: usize) -> io::Result<()> {
        self.out.write_all(&[tag])?;
        self.number(id)?;
        self.number(count as u64)
    }

    pub(crate) fn write(&mut self, item: &Item) -> io::Result<()> {
        match item {
            Item::Begin(Begin { id, meta, kind }) => {
                self.head(BEGIN, *id, usize::from(kind.code()))?;
                self.number(u64::from(meta.db))?;
                self.optional(meta.expire_at_ms)?;
                self.string(&meta.key)
            }
            Item::Piece { id, piece: Piece::String(bytes) } => {
                self.head(STRING, *id, 1)?;
                self.string(bytes)
            }
            Item::Piece { id, piece: Piece::List(elements) } => {
                self.head(LIST, *id, elements.len())?;
                elements.iter().try_for_each(|element| self.string(element))
            }
            Item::Piece { id, piece: Piece::Zset(pairs) } => {
                self.head(ZSET, *id, pairs.len())?;
                pairs.iter().try_for_each(|(member, score)| {
                    self.string(member)?;
                    self.number(score.to_bits())
                })
            }
            Item::Piece { id, piece: Piece::SetTtl(members) } => {
                self.head(SET_TTL, *id, members.len())?;
                members.iter().try_for_each(|(member, expiry)| {
                    self.string(member)?;
                    self.optional(*expiry)
                })
            }
            Item::Piece { id, piece: Piece::HashTtl(fields) } => {
                self.head(HASH_TTL, *id, fields.len())?;
                fields.iter().try_for_each(|(field, value, expiry)| {
                    self.string(field)?;
                    self.string(value)?;
                    self.optional(*expiry)
                })
            }
            Item::End { id } => self.head(END, *id, 0),
            other => unreachable!("not part of a large value: {other:?}"),
        }
    }
}

/// Reads items back.
#[derive(Debug)]
pub(crate) struct Unspill {
    input: BufReader<File>,
}

impl Unspill {
    pub(crate) fn new(file: File) -> Unspill {
        Unspill { input: BufReader::new(file) }
    }

    fn number(&mut self) -> io::Result<u64> {
        let mut bytes = [0; 8];
        self.input.read_exact(&mut bytes)?;
        Ok(u64::from_le_bytes(bytes))
    }

    fn string(&mut self) -> io::Result<Bytes> {
        let len = self.number()?;
        let mut string = Vec::new();
        (&mut self.input).take(len).read_to_end(&mut string)?;
        if string.len() as u64 == len { Ok(string.into()) } else { Err(io::ErrorKind::UnexpectedEof.into()) }
    }

    fn optional(&mut self) -> io::Result<Option<u64>> {
        Ok(Some(self.number()?).filter(|n| *n > 0))
    }

    pub(crate) fn next(&mut self) -> io::Result<Option<Item>> {
        if self.input.fill_buf()?.is_empty() {
            return Ok(None);
        }
        let mut tag = [0];
        self.input.read_exact(&mut tag)?;
        let (id, count) = (self.number()?, self.number()?);
        let piece = match tag[0] {
            BEGIN => {
                let kind =
                    u8::try_from(count).ok().and_then(Kind::from_code).ok_or(io::ErrorKind::InvalidData)?;
                let db = u32::try_from(self.number()?).map_err(io::Error::other)?;
                let expire_at_ms = self.optional()?;
                let key = self.string()?;
                let meta = KeyMeta { db, key, expire_at_ms, sticky: false, mc_flags: None };
                return Ok(Some(Item::Begin(Begin { id, meta, kind })));
            }
            END => return Ok(Some(Item::End { id })),
            STRING => Piece::String(self.string()?),
            LIST => Piece::List((0..count).map(|_| self.string()).collect::<io::Result<_>>()?),
            ZSET => {
                let pair = |_| Ok((self.string()?, f64::from_bits(self.number()?)));
                Piece::Zset((0..count).map(pair).collect::<io::Result<_>>()?)
            }
            SET_TTL => {
                let member = |_| Ok((self.string()?, self.optional()?));
                Piece::SetTtl((0..count).map(member).collect::<io::Result<_>>()?)
            }
            HASH_TTL => {
                let field = |_| Ok((self.string()?, self.string()?, self.optional()?));
                Piece::HashTtl((0..count).map(field).collect::<io::Result<_>>()?)
            }
            _ => return Err(io::ErrorKind::InvalidData.into()),
        };
        Ok(Some(Item::Piece { id, piece }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_written_is_read() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("left"), b"over").unwrap();
        prepare(dir.path()).unwrap();
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
        let bytes = Bytes::from_static;
        let meta = KeyMeta {
            db: 3,
            key: bytes(b"k\0"),
            expire_at_ms: Some(1_795_188_651_000),
            sticky: false,
            mc_flags: None,
        };
        let piece = |piece| Item::Piece { id: 7, piece };
        let items = [
            Item::Begin(Begin { id: 7, meta, kind: Kind::Hash }),
            piece(Piece::String(bytes(b""))),
            piece(Piece::List(vec![bytes(b"a"), bytes(b"")])),
            piece(Piece::Zset(vec![(bytes(b"m"), -0.0), (bytes(b"n"), f64::INFINITY)])),
            piece(Piece::SetTtl(vec![(bytes(b"a"), None), (bytes(b"b"), Some(5))])),
            piece(Piece::HashTtl(vec![(bytes(b"f"), bytes(b"v"), Some(9))])),
            Item::End { id: 7 },
        ];
        let mut spill = Spill::create(dir.path()).unwrap();
        items.iter().for_each(|item| spill.write(item).unwrap());
        let value = spill.finish().unwrap();
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0, "the file has no name");
        let mut read = Vec::new();
        let mut spilled = value.items();
        while let Some(item) = spilled.next().unwrap() {
            read.push(item);
        }
        assert_eq!(read, items);
    }
}

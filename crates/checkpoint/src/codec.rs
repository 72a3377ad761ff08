//! Bytes of a record: little-endian numbers, texts behind their length, one frame around everything.
//!
//! Every record is `version:u8, body, crc32`. The checksum covers version and body and stays this way in every
//! format to come, so that damage and a newer format can be told apart.

use crc::{CRC_32_ISO_HDLC, Crc};

const CRC: Crc<u32> = Crc::<u32>::new(&CRC_32_ISO_HDLC);

/// Why bytes are no record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum DecodeError {
    /// Not what was written.
    Damaged(&'static str),
    /// Written by a later version.
    Newer(u8),
}

/// CRC-32 of `bytes`.
pub(crate) fn checksum(bytes: &[u8]) -> u32 {
    CRC.checksum(bytes)
}

/// Builds one record.
pub(crate) struct Encoder {
    bytes: Vec<u8>,
}

impl Encoder {
    pub(crate) fn new(version: u8) -> Encoder {
        Encoder { bytes: vec![version] }
    }

    pub(crate) fn u8(&mut self, value: u8) {
        self.bytes.push(value);
    }

    pub(crate) fn u32(&mut self, value: u32) {
        self.bytes.extend_from_slice(&value.to_le_bytes());
    }

    pub(crate) fn u64(&mut self, value: u64) {
        self.bytes.extend_from_slice(&value.to_le_bytes());
    }

    pub(crate) fn text(&mut self, value: &str) {
        self.u64(value.len() as u64);
        self.bytes.extend_from_slice(value.as_bytes());
    }

    pub(crate) fn u64s(&mut self, values: &[u64]) {
        self.u64(values.len() as u64);
        values.iter().for_each(|value| self.u64(*value));
    }

    pub(crate) fn texts(&mut self, values: &[String]) {
        self.u64(values.len() as u64);
        values.iter().for_each(|value| self.text(value));
    }

    /// The record with its checksum. `context` is covered by the checksum and not written: the key it stands under.
    pub(crate) fn finish(mut self, context: &[u8]) -> Vec<u8> {
        let mut digest = CRC.digest();
        digest.update(context);
        digest.update(&self.bytes);
        self.u32(digest.finalize());
        self.bytes
    }
}

/// Reads one record.
#[derive(Debug)]
pub(crate) struct Decoder<'b> {
    rest: &'b [u8],
}

impl<'b> Decoder<'b> {
    /// Checks the frame; `known` is the newest version this program reads. Returns the version and the body.
    pub(crate) fn open(bytes: &'b [u8], context: &[u8], known: u8) -> Result<(u8, Decoder<'b>), DecodeError> {
        let (record, stored) =
            bytes.split_last_chunk::<4>().ok_or(DecodeError::Damaged("a record is too short"))?;
        let mut digest = CRC.digest();
        digest.update(context);
        digest.update(record);
        if digest.finalize() != u32::from_le_bytes(*stored) {
            return Err(DecodeError::Damaged("a record's checksum does not match"));
        }
        match record.split_first() {
            None | Some((0, _)) => Err(DecodeError::Damaged("a record has no version")),
            Some((version, _)) if *version > known => Err(DecodeError::Newer(*version)),
            Some((version, rest)) => Ok((*version, Decoder { rest })),
        }
    }

    fn take(&mut self, length: u64) -> Result<&'b [u8], DecodeError> {
        let length = usize::try_from(length).ok().filter(|length| *length <= self.rest.len());
        let (taken, rest) =
            self.rest.split_at(length.ok_or(DecodeError::Damaged("a record ends too early"))?);
        self.rest = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], DecodeError> {
        let (taken, rest) =
            self.rest.split_first_chunk::<N>().ok_or(DecodeError::Damaged("a record ends too early"))?;
        self.rest = rest;
        Ok(*taken)
    }

    pub(crate) fn u8(&mut self) -> Result<u8, DecodeError> {
        self.array::<1>().map(|[byte]| byte)
    }

    pub(crate) fn u32(&mut self) -> Result<u32, DecodeError> {
        self.array().map(u32::from_le_bytes)
    }

    pub(crate) fn u64(&mut self) -> Result<u64, DecodeError> {
        self.array().map(u64::from_le_bytes)
    }

    pub(crate) fn text(&mut self) -> Result<String, DecodeError> {
        let length = self.u64()?;
        let bytes = self.take(length)?;
        String::from_utf8(bytes.to_vec()).map_err(|_| DecodeError::Damaged("a text is not UTF-8"))
    }

    pub(crate) fn u64s(&mut self) -> Result<Vec<u64>, DecodeError> {
        // Collected one by one: a wrong count ends the record, it does not reserve memory.
        (0..self.u64()?).map(|_| self.u64()).collect::<Result<Vec<_>, _>>()
    }

    pub(crate) fn texts(&mut self) -> Result<Vec<String>, DecodeError> {
        (0..self.u64()?).map(|_| self.text()).collect::<Result<Vec<_>, _>>()
    }

    /// Nothing may follow.
    pub(crate) fn end(self) -> Result<(), DecodeError> {
        if self.rest.is_empty() { Ok(()) } else { Err(DecodeError::Damaged("a record is too long")) }
    }
}

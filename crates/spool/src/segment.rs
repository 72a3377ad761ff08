//! One file of the spool.
//!
//! ```text
//! header: magic (8) version (4) number (8) nonce (8) crc of these (4)
//! frame:  length of the data (4) sequence number (8) crc of nonce, length, number, data (4) data
//! ```
//!
//! Integers are little-endian. The nonce is one worker's own, so that no frame of another file passes for one of this.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use crc::{CRC_32_ISCSI, Crc, Table};

use crate::Error;

const CRC: Crc<u32, Table<16>> = Crc::<u32, Table<16>>::new(&CRC_32_ISCSI);
const MAGIC: &[u8; 8] = b"df2spool";
const VERSION: u32 = 1;

/// Bytes before the first frame.
pub(crate) const HEADER: u64 = 32;
/// Bytes of a frame before its data.
pub(crate) const FRAME_HEADER: u64 = 16;

/// Name of segment `number`.
pub(crate) fn name(number: u64) -> String {
    format!("spool-{number:016x}.segment")
}

/// Whether a file of this name is a segment.
pub(crate) fn is_name(name: &str) -> bool {
    let number = name.strip_prefix("spool-").and_then(|rest| rest.strip_suffix(".segment"));
    number.is_some_and(|n| u64::from_str_radix(n, 16).is_ok_and(|number| self::name(number) == name))
}

/// What distinguishes a segment from all others.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Identity {
    pub(crate) number: u64,
    pub(crate) nonce: u64,
}

impl Identity {
    fn header(self) -> [u8; HEADER as usize] {
        let mut header = [0; HEADER as usize];
        header[..8].copy_from_slice(MAGIC);
        header[8..12].copy_from_slice(&VERSION.to_le_bytes());
        header[12..20].copy_from_slice(&self.number.to_le_bytes());
        header[20..28].copy_from_slice(&self.nonce.to_le_bytes());
        let crc = CRC.checksum(&header[..28]);
        header[28..].copy_from_slice(&crc.to_le_bytes());
        header
    }

    fn frame_crc(self, len_and_seq: &[u8], data: &[u8]) -> u32 {
        let mut digest = CRC.digest();
        digest.update(&self.nonce.to_le_bytes());
        digest.update(len_and_seq);
        digest.update(data);
        digest.finalize()
    }
}

/// Appends to one segment.
#[derive(Debug)]
pub(crate) struct Writer {
    file: File,
    identity: Identity,
    path: PathBuf,
}

impl Writer {
    /// Creates the segment, and its directory where that is missing. A file of that name is left alone:
    /// [`io::ErrorKind::AlreadyExists`].
    pub(crate) fn create(dir: &Path, identity: Identity) -> io::Result<Writer> {
        // Segments hold what the source's keys hold.
        DirBuilder::new().recursive(true).mode(0o700).create(dir)?;
        let path = dir.join(name(identity.number));
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path)?;
        if let Err(error) = file.write_all(&identity.header()) {
            // A leftover at worst; its name is ours.
            let _ = fs::remove_file(&path);
            return Err(error);
        }
        Ok(Writer { file, identity, path })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Appends one frame, of which `frame` holds room for the header and then the data. Returns the frame's length.
    pub(crate) fn append(&mut self, seq: u64, frame: &mut [u8]) -> io::Result<u64> {
        let (header, data) = frame.split_at_mut(FRAME_HEADER as usize);
        let len = u32::try_from(data.len()).expect("a frame is at most 256 KiB");
        header[..4].copy_from_slice(&len.to_le_bytes());
        header[4..12].copy_from_slice(&seq.to_le_bytes());
        let crc = self.identity.frame_crc(&header[..12], data);
        header[12..].copy_from_slice(&crc.to_le_bytes());
        self.file.write_all(frame)?;
        Ok(frame.len() as u64)
    }

    /// Gives back what was written behind `len`, if the disk lets us.
    pub(crate) fn cut(&self, len: u64) {
        let _ = self.file.set_len(len);
    }
}

/// Reads one segment from its beginning.
#[derive(Debug)]
pub(crate) struct Reader {
    file: File,
    identity: Identity,
    path: PathBuf,
    at: u64,
}

impl Reader {
    pub(crate) fn open(path: &Path, identity: Identity) -> Result<Reader, Error> {
        let failed = |source| Error::Read { file: path.to_owned(), source: Arc::new(source) };
        let file = File::open(path).map_err(failed)?;
        let mut header = [0; HEADER as usize];
        match file.read_exact_at(&mut header, 0) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                return Err(Error::Truncated { file: path.to_owned(), at: 0 });
            }
            Err(error) => return Err(failed(error)),
        }
        if header != identity.header() {
            return Err(Error::Corrupt { file: path.to_owned(), at: 0 });
        }
        Ok(Reader { file, identity, path: path.to_owned(), at: HEADER })
    }

    /// Offset of the next frame.
    pub(crate) fn at(&self) -> u64 {
        self.at
    }

    /// The next frame's data and that of as many after it as lie in one block of a frame's length. `written` is the
    /// end of the last frame that was written, `seq` the number of the first one.
    ///
    /// Not to be called where nothing is left.
    pub(crate) fn frames(&mut self, written: u64, frame: usize, seq: u64) -> Result<Vec<Bytes>, Error> {
        let most = FRAME_HEADER + frame as u64;
        let len = usize::try_from(most.min(written - self.at)).expect("a frame fits into memory");
        let block = self.block(len)?;
        let mut frames = Vec::new();
        let mut offset = 0;
        while let Some(header) = block.get(offset..offset + FRAME_HEADER as usize) {
            let field = |range: std::ops::Range<usize>| u32::from_le_bytes(array(&header[range]));
            let size = usize::try_from(field(0..4)).unwrap_or(usize::MAX);
            let start = offset + FRAME_HEADER as usize;
            let end = start.saturating_add(size);
            if end > len && offset > 0 {
                // Most likely it only ends behind this block; the next call begins with it and sees.
                break;
            }
            let at = self.at + offset as u64;
            if end > len || size == 0 {
                return Err(Error::Corrupt { file: self.path.clone(), at });
            }
            let Some(data) = block.get(start..end) else { break };
            let expected = seq + frames.len() as u64;
            if u64::from_le_bytes(array(&header[4..12])) != expected
                || field(12..16) != self.identity.frame_crc(&header[..12], data)
            {
                return Err(Error::Corrupt { file: self.path.clone(), at });
            }
            frames.push(block.slice(start..end));
            offset = end;
        }
        if frames.is_empty() {
            return Err(Error::Truncated { file: self.path.clone(), at: self.at });
        }
        self.at += offset as u64;
        Ok(frames)
    }

    /// The next `len` bytes, or as many as there are.
    fn block(&self, len: usize) -> Result<Bytes, Error> {
        let mut block = vec![0; len];
        let mut filled = 0;
        while filled < len {
            match self.file.read_at(&mut block[filled..], self.at + filled as u64) {
                Ok(0) => break,
                Ok(count) => filled += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => {
                    return Err(Error::Read { file: self.path.clone(), source: Arc::new(error) });
                }
            }
        }
        block.truncate(filled);
        Ok(block.into())
    }
}

fn array<const N: usize>(bytes: &[u8]) -> [u8; N] {
    bytes.try_into().expect("the caller cut as many bytes")
}

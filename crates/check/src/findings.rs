//! Keys that seem to differ: in memory while they are few, in an unnamed file beyond that.

use std::collections::HashSet;
use std::fs::File;
use std::hash::Hasher;
use std::io::{self, BufReader, BufWriter, Read, Seek, Write};

use bytes::Bytes;
use twox_hash::XxHash64;

use crate::verdict::{Named, What};

/// Bytes that are kept in memory.
const MEMORY: usize = 16 << 20;
/// Keys that are known again when they come a second time; beyond it one may be listed twice.
const KNOWN: usize = 1 << 20;

/// A key that differs, or seems to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// Which key, on both sides.
    pub named: Named,
    /// What is wrong.
    pub what: What,
    /// Both sides in words; no values.
    pub detail: String,
    /// Found by scanning the target.
    pub(crate) from_target: bool,
    /// Stands for what was seen at the source.
    pub(crate) print: u64,
}

impl Difference {
    fn bytes(&self) -> usize {
        self.named.key.len() + self.named.name.len() + self.detail.len() + 128
    }
}

/// A list of keys in bounded memory.
#[derive(Debug, Default)]
pub struct Findings {
    memory: Vec<Difference>,
    bytes: usize,
    file: Option<BufWriter<File>>,
    count: u64,
    known: HashSet<u64>,
}

impl Findings {
    /// An empty list.
    #[must_use]
    pub fn new() -> Findings {
        Findings::default()
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> u64 {
        self.count
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Adds a key, unless it is listed already. Whether it was added.
    ///
    /// # Errors
    /// The file's.
    pub fn push(&mut self, difference: Difference) -> io::Result<bool> {
        let hash = hash(&difference.named);
        if self.known.contains(&hash) {
            return Ok(false);
        }
        if self.known.len() < KNOWN {
            self.known.insert(hash);
        }
        self.count += 1;
        if self.file.is_none() && self.bytes + difference.bytes() <= MEMORY {
            self.bytes += difference.bytes();
            self.memory.push(difference);
            return Ok(true);
        }
        if self.file.is_none() {
            self.file = Some(BufWriter::new(tempfile::tempfile()?));
        }
        let file = self.file.as_mut().expect("made above");
        write(file, &difference)?;
        Ok(true)
    }

    /// Reads the list from its beginning; it stays as it is.
    ///
    /// # Errors
    /// The file's.
    pub fn read(&mut self) -> io::Result<Reading<'_>> {
        let file = match &mut self.file {
            None => None,
            Some(writer) => {
                writer.flush()?;
                writer.get_mut().rewind()?;
                Some(BufReader::new(writer.get_ref().try_clone()?))
            }
        };
        Ok(Reading { left: self.count, memory: self.memory.iter(), file })
    }
}

/// Goes through a list. Nothing may be added before it is done.
#[derive(Debug)]
pub struct Reading<'l> {
    left: u64,
    memory: std::slice::Iter<'l, Difference>,
    file: Option<BufReader<File>>,
}

impl Iterator for Reading<'_> {
    type Item = io::Result<Difference>;

    fn next(&mut self) -> Option<Self::Item> {
        self.left = self.left.checked_sub(1)?;
        match (self.memory.next(), &mut self.file) {
            (Some(difference), _) => Some(Ok(difference.clone())),
            (None, Some(file)) => Some(read(file)),
            (None, None) => None,
        }
    }
}

fn hash(named: &Named) -> u64 {
    let mut hasher = XxHash64::with_seed(u64::from(named.db));
    hasher.write(&named.key);
    hasher.write_u8(0);
    hasher.write_u32(named.target_db);
    hasher.write(&named.name);
    hasher.finish()
}

fn write(file: &mut impl Write, difference: &Difference) -> io::Result<()> {
    let Difference { named, what, detail, from_target, print } = difference;
    file.write_all(&named.db.to_le_bytes())?;
    file.write_all(&named.target_db.to_le_bytes())?;
    file.write_all(&print.to_le_bytes())?;
    let what = What::ALL.iter().position(|other| other == what).unwrap_or_default();
    file.write_all(&[what as u8, u8::from(*from_target)])?;
    for part in [named.key.as_ref(), named.name.as_ref(), detail.as_bytes()] {
        file.write_all(&(part.len() as u64).to_le_bytes())?;
        file.write_all(part)?;
    }
    Ok(())
}

fn read(file: &mut impl Read) -> io::Result<Difference> {
    let (db, target_db) = (u32::from_le_bytes(take(file)?), u32::from_le_bytes(take(file)?));
    let print = u64::from_le_bytes(take(file)?);
    let [what, from_target] = take(file)?;
    let mut part = || -> io::Result<Vec<u8>> {
        let length = u64::from_le_bytes(take(file)?);
        let mut part = Vec::new();
        file.take(length).read_to_end(&mut part)?;
        Ok(part)
    };
    let (key, name, detail) = (Bytes::from(part()?), Bytes::from(part()?), part()?);
    Ok(Difference {
        named: Named { db, key, target_db, name },
        what: What::ALL[usize::from(what) % What::ALL.len()],
        detail: String::from_utf8_lossy(&detail).into_owned(),
        from_target: from_target == 1,
        print,
    })
}

fn take<const N: usize>(file: &mut impl Read) -> io::Result<[u8; N]> {
    let mut bytes = [0; N];
    file.read_exact(&mut bytes)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn difference(n: usize) -> Difference {
        Difference {
            named: Named {
                db: n as u32 % 16,
                key: format!("key:{n}:{}", "x".repeat(n % 300)).into(),
                target_db: 0,
                name: format!("name:{n}").into(),
            },
            what: What::ALL[n % 5],
            detail: format!("detail {n}"),
            from_target: n.is_multiple_of(2),
            print: n as u64,
        }
    }

    #[test]
    fn what_goes_to_the_file_comes_back_in_order() {
        let mut findings = Findings::new();
        for n in 0..100_000 {
            assert!(findings.push(difference(n)).unwrap());
        }
        assert!(!findings.push(difference(5)).unwrap() && !findings.push(difference(99_999)).unwrap());
        assert!(findings.file.is_some() && findings.bytes <= MEMORY, "{}", findings.bytes);
        for _ in 0..2 {
            let read: Vec<Difference> = findings.read().unwrap().map(Result::unwrap).collect();
            assert_eq!(read.len() as u64, findings.len());
            assert!(read.iter().enumerate().all(|(n, found)| *found == difference(n)));
        }
    }

    #[test]
    fn few_stay_in_memory() {
        let mut findings = Findings::new();
        assert!(findings.is_empty() && findings.read().unwrap().next().is_none());
        findings.push(difference(1)).unwrap();
        assert!(findings.file.is_none());
        assert_eq!(findings.read().unwrap().next().unwrap().unwrap(), difference(1));
    }
}

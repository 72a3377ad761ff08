//! Where the records of a recorded journal begin.
//!
//! This reads just enough of the raw journal (v1.40.1 `journal/serializer.cc`) to pass over its records.

const SELECT: u8 = 6;
const EXPIRED: u8 = 9;
const COMMAND: u8 = 10;
const PING: u8 = 13;
const LSN: u8 = 15;

/// The offset of every record that takes an LSN, in order; `None` where the bytes are no whole journal.
pub(super) fn starts(journal: &[u8]) -> Option<Vec<usize>> {
    let mut reader = Reader { journal, at: 0 };
    let mut starts = Vec::new();
    // A SELECT belongs to the record behind it.
    let mut begun = None;
    while reader.at < journal.len() {
        let start = reader.at;
        match reader.byte()? {
            SELECT => {
                reader.number()?;
                begun.get_or_insert(start);
                continue;
            }
            COMMAND | EXPIRED => {
                reader.number()?;
                reader.number()?;
                let args = reader.number()?;
                reader.number()?;
                for _ in 0..args {
                    let len = reader.number()?;
                    reader.skip(len)?;
                }
                starts.push(begun.take().unwrap_or(start));
            }
            PING => starts.push(begun.take().unwrap_or(start)),
            LSN => drop(reader.number()?),
            _ => return None,
        }
    }
    begun.is_none().then_some(starts)
}

struct Reader<'a> {
    journal: &'a [u8],
    at: usize,
}

impl Reader<'_> {
    fn byte(&mut self) -> Option<u8> {
        let byte = *self.journal.get(self.at)?;
        self.at += 1;
        Some(byte)
    }

    fn skip(&mut self, len: u64) -> Option<()> {
        self.at = self.at.checked_add(usize::try_from(len).ok()?).filter(|&at| at <= self.journal.len())?;
        Some(())
    }

    /// A packed number: the two highest bits of its first byte tell its length.
    fn number(&mut self) -> Option<u64> {
        let first = self.byte()?;
        let (mut number, more) = match (first >> 6, first) {
            (0, _) => (u64::from(first), 0),
            (1, _) => (u64::from(first & 0x3F), 1),
            (_, 0x80) => (0, 4),
            (_, 0x81) => (0, 8),
            _ => return None,
        };
        for _ in 0..more {
            number = number << 8 | u64::from(self.byte()?);
        }
        Some(number)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::journal;

    #[test]
    fn records_begin_at_their_select_and_lsn_ops_take_no_place() {
        let mut bytes = Vec::new();
        let mut expected = Vec::new();
        let long = vec![b'x'; 20_000];
        for (i, value) in [&b"v"[..], &long, &[0; 70]].into_iter().enumerate() {
            expected.push(bytes.len());
            journal::command(&mut bytes, 300, u64::MAX - i as u64, &[b"SET", &b"k"[..], value]);
            journal::lsn(&mut bytes, i as u64);
            expected.push(bytes.len());
            journal::ping(&mut bytes, false);
            expected.push(bytes.len());
            journal::expired(&mut bytes, 0, b"k");
        }
        assert_eq!(starts(&bytes), Some(expected));
        assert_eq!(starts(b""), Some(Vec::new()));
        for end in 1..bytes.len() {
            // A part is a journal only if it ends with a whole record.
            let part = starts(&bytes[..end]);
            assert!(part.is_none_or(|part| part.iter().all(|&at| at < end)), "{end}");
        }
        assert_eq!(starts(&[SELECT, 0]), None);
        assert_eq!(starts(&[99]), None);
        assert_eq!(starts(&[COMMAND, 0xC0]), None);
    }
}

//! Listpacks: the compact arrays that small hashes, sorted sets, lists and stream nodes are written as.

use super::primitive::canonical_i64;

/// Header (u32 LE total size, u16 LE count) plus the end byte.
const OVERHEAD: usize = 7;

/// Builds one listpack, element by element.
#[derive(Debug)]
pub(crate) struct Listpack {
    bytes: Vec<u8>,
    count: usize,
}

impl Listpack {
    pub(crate) fn new() -> Self {
        Listpack { bytes: vec![0; 6], count: 0 }
    }

    /// Size so far, without the end byte.
    pub(crate) fn size(&self) -> usize {
        self.bytes.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Appends a string, as an integer where it is the canonical text of one.
    pub(crate) fn push(&mut self, s: &[u8]) {
        match canonical_i64(s) {
            Some(n) => self.push_int(n),
            None => self.push_text(s),
        }
    }

    /// Appends an integer in its shortest form.
    pub(crate) fn push_int(&mut self, n: i64) {
        let start = self.bytes.len();
        match n {
            0..=127 => self.bytes.push(n as u8),
            -4096..=4095 => {
                let u = (n as u16) & 0x1FFF;
                self.bytes.extend_from_slice(&[0xC0 | (u >> 8) as u8, u as u8]);
            }
            -32_768..=32_767 => {
                self.bytes.push(0xF1);
                self.bytes.extend_from_slice(&(n as i16).to_le_bytes());
            }
            -8_388_608..=8_388_607 => {
                self.bytes.push(0xF2);
                self.bytes.extend_from_slice(&(n as i32).to_le_bytes()[..3]);
            }
            -2_147_483_648..=2_147_483_647 => {
                self.bytes.push(0xF3);
                self.bytes.extend_from_slice(&(n as i32).to_le_bytes());
            }
            _ => {
                self.bytes.push(0xF4);
                self.bytes.extend_from_slice(&n.to_le_bytes());
            }
        }
        self.end_element(start);
    }

    fn push_text(&mut self, s: &[u8]) {
        let start = self.bytes.len();
        match s.len() {
            n @ 0..=63 => self.bytes.push(0x80 | n as u8),
            n @ 64..=4095 => self.bytes.extend_from_slice(&[0xE0 | (n >> 8) as u8, n as u8]),
            n => {
                self.bytes.push(0xF0);
                self.bytes.extend_from_slice(&(n as u32).to_le_bytes());
            }
        }
        self.bytes.extend_from_slice(s);
        self.end_element(start);
    }

    /// Appends the element's own length in 7-bit groups, most significant first, so that it can be read from
    /// the back: every byte but the first carries the high bit.
    fn end_element(&mut self, start: usize) {
        let n = self.bytes.len() - start;
        let groups = backlen_size(n);
        for i in (0..groups).rev() {
            let seven = ((n >> (7 * i)) & 127) as u8;
            self.bytes.push(if i == groups - 1 { seven } else { seven | 128 });
        }
        self.count += 1;
    }

    /// The finished listpack. The count field saturates at 65535, which means "unknown".
    pub(crate) fn finish(mut self) -> Vec<u8> {
        self.bytes.push(0xFF);
        let total = self.bytes.len() as u32;
        self.bytes[..4].copy_from_slice(&total.to_le_bytes());
        let count = u16::try_from(self.count).unwrap_or(u16::MAX);
        self.bytes[4..6].copy_from_slice(&count.to_le_bytes());
        self.bytes
    }
}

/// Bytes that an element's back length takes. The upper bounds are one short of what 7-bit groups could hold;
/// readers and writers of listpacks agree on that.
fn backlen_size(n: usize) -> usize {
    match n {
        0..=127 => 1,
        128..=16_382 => 2,
        16_383..=2_097_150 => 3,
        2_097_151..=268_435_454 => 4,
        _ => 5,
    }
}

/// Reads every element back as its text. `None` when the bytes are not a listpack.
pub(crate) fn elements(lp: &[u8]) -> Option<Vec<Vec<u8>>> {
    if lp.len() < OVERHEAD || u32::from_le_bytes(lp[..4].try_into().ok()?) as usize != lp.len() {
        return None;
    }
    let mut at = 6;
    let mut out = Vec::new();
    loop {
        let b = *lp.get(at)?;
        if b == 0xFF {
            return (at + 1 == lp.len()).then_some(out);
        }
        let (head, body) = match b {
            0..=0x7F => (1, Err(i64::from(b))),
            0x80..=0xBF => (1, Ok(usize::from(b & 0x3F))),
            0xC0..=0xDF => {
                let u = (i64::from(b & 0x1F) << 8) | i64::from(*lp.get(at + 1)?);
                (2, Err(if u >= 4096 { u - 8192 } else { u }))
            }
            0xE0..=0xEF => (2, Ok((usize::from(b & 0x0F) << 8) | usize::from(*lp.get(at + 1)?))),
            0xF0 => (5, Ok(u32::from_le_bytes(lp.get(at + 1..at + 5)?.try_into().ok()?) as usize)),
            0xF1 => (3, Err(i64::from(i16::from_le_bytes(lp.get(at + 1..at + 3)?.try_into().ok()?)))),
            0xF2 => {
                let b = lp.get(at + 1..at + 4)?;
                (4, Err(i64::from(i32::from_le_bytes([0, b[0], b[1], b[2]]) >> 8)))
            }
            0xF3 => (5, Err(i64::from(i32::from_le_bytes(lp.get(at + 1..at + 5)?.try_into().ok()?)))),
            0xF4 => (9, Err(i64::from_le_bytes(lp.get(at + 1..at + 9)?.try_into().ok()?))),
            _ => return None,
        };
        let size = match body {
            Ok(n) => {
                out.push(lp.get(at + head..at + head + n)?.to_vec());
                head + n
            }
            Err(n) => {
                out.push(n.to_string().into_bytes());
                head
            }
        };
        at += size + backlen_size(size);
    }
}

//! Ziplists: what releases up to 1.30 write in the place of listpacks (`rdb_save.cc` SaveListPackAsZiplist).

use super::listpack;
use super::primitive::canonical_i64;

/// Total size, offset of the last entry (both u32 LE), number of entries (u16 LE).
const HEADER: usize = 10;
/// Longest text that is looked at as a number.
const LONGEST_NUMBER: usize = 31;

/// The ziplist of a listpack's elements.
///
/// # Panics
/// The bytes are no listpack.
pub(crate) fn of_listpack(lp: &[u8]) -> Vec<u8> {
    let elements = listpack::elements(lp).expect("the caller has just made this listpack");
    let mut out = vec![0; HEADER];
    let (mut before, mut last) = (0, HEADER);
    for element in &elements {
        last = out.len();
        entry(&mut out, before, element);
        before = out.len() - last;
    }
    out.push(0xFF);
    let total = out.len() as u32;
    out[..4].copy_from_slice(&total.to_le_bytes());
    out[4..8].copy_from_slice(&(last as u32).to_le_bytes());
    out[8..10].copy_from_slice(&u16::try_from(elements.len()).unwrap_or(u16::MAX).to_le_bytes());
    out
}

/// One entry: the length of the one before, what it is, and its bytes.
fn entry(out: &mut Vec<u8>, before: usize, element: &[u8]) {
    if before < 254 {
        out.push(before as u8);
    } else {
        out.push(0xFE);
        out.extend_from_slice(&(before as u32).to_le_bytes());
    }
    let number = if element.len() <= LONGEST_NUMBER { canonical_i64(element) } else { None };
    match number {
        Some(n @ 0..=12) => out.push(0xF1 + n as u8),
        Some(n) => {
            let bytes = n.to_le_bytes();
            let (code, size) = match n {
                -0x80..=0x7F => (0xFE, 1),
                -0x8000..=0x7FFF => (0xC0, 2),
                -0x80_0000..=0x7F_FFFF => (0xF0, 3),
                -0x8000_0000..=0x7FFF_FFFF => (0xD0, 4),
                _ => (0xE0, 8),
            };
            out.push(code);
            out.extend_from_slice(&bytes[..size]);
        }
        None => {
            match element.len() {
                n @ 0..=63 => out.push(n as u8),
                n @ 64..=16_383 => out.extend_from_slice(&(0x4000 | n as u16).to_be_bytes()),
                n => {
                    out.push(0x80);
                    out.extend_from_slice(&(n as u32).to_be_bytes());
                }
            }
            out.extend_from_slice(element);
        }
    }
}

/// Reads every element back as its text. `None` when the bytes are not a ziplist.
pub(crate) fn elements(ziplist: &[u8]) -> Option<Vec<Vec<u8>>> {
    let total = u32::from_le_bytes(ziplist.get(..4)?.try_into().ok()?) as usize;
    let mut rest = ziplist.get(HEADER..).filter(|_| total == ziplist.len())?;
    let mut out = Vec::new();
    let take = |rest: &mut &[u8], n: usize| {
        let (head, tail) = rest.split_at_checked(n)?;
        *rest = tail;
        Some(head.to_vec())
    };
    loop {
        match *rest.first()? {
            0xFF => return (rest.len() == 1).then_some(out),
            0xFE => take(&mut rest, 5)?,
            _ => take(&mut rest, 1)?,
        };
        let first = take(&mut rest, 1)?[0];
        let size = match first {
            0..=0x3F => Some(usize::from(first)),
            0x40..=0x7F => Some(usize::from(first & 0x3F) << 8 | usize::from(take(&mut rest, 1)?[0])),
            0x80 => Some(u32::from_be_bytes(take(&mut rest, 4)?.try_into().ok()?) as usize),
            _ => None,
        };
        if let Some(size) = size {
            out.push(take(&mut rest, size)?);
            continue;
        }
        let width = match first {
            0xF1..=0xFD => {
                out.push((first - 0xF1).to_string().into_bytes());
                continue;
            }
            0xFE => 1,
            0xC0 => 2,
            0xF0 => 3,
            0xD0 => 4,
            0xE0 => 8,
            _ => return None,
        };
        let mut bytes = [0; 8];
        bytes[8 - width..].copy_from_slice(&take(&mut rest, width)?);
        out.push((i64::from_le_bytes(bytes) >> (64 - 8 * width)).to_string().into_bytes());
    }
}

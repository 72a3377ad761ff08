//! Slots of a Redis Cluster.

use crc16::{State, XMODEM};

/// Number of slots of a Redis Cluster.
pub const SLOTS: u16 = 16384;

/// The slot of a target name, 0 to 16383.
///
/// CRC16/XMODEM of the name, or of what stands between the first `{` and the next `}` when that is not empty
/// (Redis Cluster specification, "Hash tags").
#[must_use]
pub fn slot(name: &[u8]) -> u16 {
    State::<XMODEM>::calculate(hashed_part(name)) % SLOTS
}

fn hashed_part(name: &[u8]) -> &[u8] {
    let Some(open) = name.iter().position(|&b| b == b'{') else {
        return name;
    };
    let inside = &name[open + 1..];
    match inside.iter().position(|&b| b == b'}') {
        None | Some(0) => name,
        Some(close) => &inside[..close],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_vectors() {
        assert_eq!(slot(b"123456789"), 12739);
        assert_eq!(slot(b""), 0);
        assert_eq!(slot(b"foo"), 12182);
        assert_eq!(slot(b"bar"), 5061);
    }

    #[test]
    fn hash_tags() {
        assert_eq!(slot(b"{user1000}.following"), slot(b"user1000"));
        assert_eq!(slot(b"foo{bar}{zap}"), slot(b"bar"), "the first tag counts");
        assert_eq!(slot(b"foo{{bar}}zap"), slot(b"{bar"), "the tag ends at the first closing brace");
        assert_eq!(slot(b"}{a}"), slot(b"a"), "a closing brace in front does not count");
    }

    #[test]
    fn not_hash_tags() {
        for name in [&b"foo{}{bar}"[..], b"{}", b"{}a", b"foo{bar", b"foo}bar", b"{"] {
            assert_eq!(slot(name), State::<XMODEM>::calculate(name) % SLOTS, "{name:?} is hashed whole");
        }
    }
}

//! Whether two replies hold the same value, whatever order the servers keep them in.

use resp::Reply;

/// Sets: the same members.
pub(crate) fn sets(a: &Reply, b: &Reply) -> bool {
    a == b || sorted::<1>(a).is_some_and(|a| Some(a) == sorted::<1>(b))
}

/// Hashes: the same values under the same fields.
pub(crate) fn hashes(a: &Reply, b: &Reply) -> bool {
    a == b || sorted::<2>(a).is_some_and(|a| Some(a) == sorted::<2>(b))
}

/// Sorted sets: the same members with the same scores.
pub(crate) fn zsets(a: &Reply, b: &Reply) -> bool {
    if a == b {
        return true;
    }
    let (Some(a), Some(b)) = (sorted::<2>(a), sorted::<2>(b)) else { return false };
    let same = |(a, b): (&[&[u8]; 2], &[&[u8]; 2])| a[0] == b[0] && scores(a[1], b[1]);
    a.len() == b.len() && a.iter().zip(&b).all(same)
}

/// Groups of `N` strings in order of the first.
fn sorted<const N: usize>(reply: &Reply) -> Option<Vec<[&[u8]; N]>> {
    let items = reply.as_array()?;
    if !items.len().is_multiple_of(N) {
        return None;
    }
    let mut groups: Vec<[&[u8]; N]> = Vec::with_capacity(items.len() / N);
    for items in items.chunks_exact(N) {
        let mut group: [&[u8]; N] = [b""; N];
        for (place, item) in group.iter_mut().zip(items) {
            *place = bytes(item)?;
        }
        groups.push(group);
    }
    groups.sort_unstable();
    Some(groups)
}

fn bytes(reply: &Reply) -> Option<&[u8]> {
    reply.as_bytes().map(AsRef::as_ref)
}

/// The same number, bit for bit, however many digits it is written with; but for the sign of a zero, which Dragonfly
/// does not write (v1.40.1, seen on the wire).
pub(crate) fn scores(a: &[u8], b: &[u8]) -> bool {
    if a == b {
        return true;
    }
    match (number(a), number(b)) {
        (Some(a), Some(b)) => a.to_bits() == b.to_bits() || (a == 0.0 && b == 0.0),
        _ => false,
    }
}

fn number(text: &[u8]) -> Option<f64> {
    std::str::from_utf8(text).ok()?.parse().ok()
}

/// JSON documents: the same fields in any order, the same numbers however they are written.
pub(crate) fn documents(a: &Reply, b: &Reply) -> bool {
    if a == b {
        return true;
    }
    let parse = |reply: &Reply| serde_json::from_slice::<serde_json::Value>(bytes(reply)?).ok();
    match (parse(a), parse(b)) {
        (Some(a), Some(b)) => json(&a, &b),
        _ => false,
    }
}

fn json(a: &serde_json::Value, b: &serde_json::Value) -> bool {
    use serde_json::Value::{Array, Number, Object};
    match (a, b) {
        (Number(a), Number(b)) => a == b || a.as_f64() == b.as_f64() && (a.is_f64() || b.is_f64()),
        (Array(a), Array(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| json(a, b)),
        (Object(a), Object(b)) => {
            a.len() == b.len() && a.iter().all(|(k, a)| b.get(k).is_some_and(|b| json(a, b)))
        }
        (a, b) => a == b,
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    fn array(items: &[&'static str]) -> Reply {
        Reply::Array(items.iter().map(|item| bulk(item)).collect())
    }

    fn bulk(item: &'static str) -> Reply {
        Reply::Bulk(Bytes::from_static(item.as_bytes()))
    }

    #[test]
    fn order_does_not_count_where_there_is_none() {
        assert!(sets(&array(&["a", "b"]), &array(&["b", "a"])));
        assert!(!sets(&array(&["a", "b"]), &array(&["a", "c"])));
        assert!(!sets(&array(&["a"]), &array(&["a", "a"])));
        assert!(hashes(&array(&["f", "1", "g", "2"]), &array(&["g", "2", "f", "1"])));
        assert!(!hashes(&array(&["f", "1", "g", "2"]), &array(&["f", "2", "g", "1"])));
        assert!(!hashes(&array(&["f"]), &array(&["f", "1"])));
        assert!(!sets(&array(&["a"]), &Reply::Nil));
    }

    #[test]
    fn scores_are_numbers() {
        for (a, b) in [("1", "1.0"), ("0.1", "0.1000000000000000055"), ("inf", "+inf"), ("0", "-0")] {
            assert!(zsets(&array(&["m", a]), &array(&["m", b])), "{a} {b}");
        }
        for (a, b) in [("1", "2"), ("0.1", "0.10000000000000002"), ("inf", "-inf"), ("1", "x")] {
            assert!(!zsets(&array(&["m", a]), &array(&["m", b])), "{a} {b}");
        }
        assert!(zsets(&array(&["m", "1", "n", "1"]), &array(&["n", "1.0", "m", "1"])));
    }

    #[test]
    fn documents_are_what_they_mean() {
        for (a, b) in
            [(r#"{"a":1,"b":[1.50]}"#, r#"{"b":[1.5], "a":1}"#), ("1", "1.0"), ("\"\\u00e9\"", "\"é\"")]
        {
            assert!(documents(&bulk(a), &bulk(b)), "{a} {b}");
        }
        for (a, b) in [("[1,2]", "[2,1]"), (r#"{"a":1}"#, r#"{"a":1,"b":1}"#), ("1", "\"1\""), ("x", "y")] {
            assert!(!documents(&bulk(a), &bulk(b)), "{a} {b}");
        }
        assert!(!documents(&bulk("9007199254740993"), &bulk("9007199254740992")), "integers are exact");
    }
}

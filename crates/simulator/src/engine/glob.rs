//! Key patterns of KEYS and SCAN.

/// Whether `text` matches the pattern: `*`, `?`, `[a-c]`, `[^x]`, backslash escapes.
pub(crate) fn matches(pattern: &[u8], text: &[u8]) -> bool {
    let Some((&p, rest)) = pattern.split_first() else { return text.is_empty() };
    match p {
        b'*' => (0..=text.len()).any(|n| matches(rest, &text[n..])),
        b'?' => !text.is_empty() && matches(rest, &text[1..]),
        b'[' => {
            let Some((&c, after)) = text.split_first() else { return false };
            let Some(end) = rest.iter().skip(1).position(|&b| b == b']').map(|n| n + 1) else { return false };
            let (negated, set) = match rest[..end].split_first() {
                Some((b'^', set)) => (true, set),
                _ => (false, &rest[..end]),
            };
            class(set, c) != negated && matches(&rest[end + 1..], after)
        }
        b'\\' if !rest.is_empty() => text.first() == Some(&rest[0]) && matches(&rest[1..], &text[1..]),
        _ => text.first() == Some(&p) && matches(rest, &text[1..]),
    }
}

fn class(set: &[u8], c: u8) -> bool {
    let mut i = 0;
    while i < set.len() {
        if i + 2 < set.len() && set[i + 1] == b'-' {
            if (set[i]..=set[i + 2]).contains(&c) {
                return true;
            }
            i += 3;
        } else {
            if set[i] == c {
                return true;
            }
            i += 1;
        }
    }
    false
}

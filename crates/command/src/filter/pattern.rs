//! Patterns over key names, as `KEYS` and `SCAN MATCH` take them.

/// A compiled pattern: `*` any bytes, `?` one byte, `[a-c]` and `[^a-c]` one of several, `\` takes the next byte as it is.
/// A class that is not closed ends with the pattern.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pattern {
    parts: Vec<Part>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    Star,
    Any,
    Byte(u8),
    Class { negated: bool, ranges: Vec<(u8, u8)> },
}

impl Pattern {
    /// Compiles a pattern. Every text is one.
    #[must_use]
    pub fn new(text: &[u8]) -> Pattern {
        let mut parts = Vec::new();
        let mut rest = text;
        while let Some((&byte, after)) = rest.split_first() {
            rest = after;
            let part = match byte {
                // Several in a row mean the same as one.
                b'*' if parts.last() == Some(&Part::Star) => continue,
                b'*' => Part::Star,
                b'?' => Part::Any,
                b'[' => class(&mut rest),
                b'\\' => Part::Byte(take(&mut rest).unwrap_or(b'\\')),
                byte => Part::Byte(byte),
            };
            parts.push(part);
        }
        Pattern { parts }
    }

    /// Names that begin with this.
    #[must_use]
    pub fn prefix(prefix: &[u8]) -> Pattern {
        let bytes = prefix.iter().map(|byte| Part::Byte(*byte));
        Pattern { parts: bytes.chain([Part::Star]).collect() }
    }

    /// Whether the whole name fits. Takes time in proportion to pattern times name at worst.
    #[must_use]
    pub fn matches(&self, name: &[u8]) -> bool {
        let (mut part, mut at) = (0, 0);
        // Behind the last star, and where the name stood then: only the last one can need to take more.
        let mut retry: Option<(usize, usize)> = None;
        loop {
            match self.parts.get(part) {
                Some(Part::Star) => {
                    part += 1;
                    if part == self.parts.len() {
                        return true;
                    }
                    retry = Some((part, at));
                    continue;
                }
                Some(wanted) if name.get(at).is_some_and(|byte| wanted.takes(*byte)) => {
                    (part, at) = (part + 1, at + 1);
                    continue;
                }
                None if at == name.len() => return true,
                _ => {}
            }
            match &mut retry {
                Some((behind, from)) if *from < name.len() => {
                    *from += 1;
                    (part, at) = (*behind, *from);
                }
                _ => return false,
            }
        }
    }
}

impl Part {
    fn takes(&self, byte: u8) -> bool {
        match self {
            Part::Star | Part::Any => true,
            Part::Byte(own) => *own == byte,
            Part::Class { negated, ranges } => {
                ranges.iter().any(|(low, high)| (*low..=*high).contains(&byte)) != *negated
            }
        }
    }
}

fn take(rest: &mut &[u8]) -> Option<u8> {
    let (first, after) = rest.split_first()?;
    *rest = after;
    Some(*first)
}

/// What stands behind `[`.
fn class(rest: &mut &[u8]) -> Part {
    let negated = rest.first() == Some(&b'^');
    if negated {
        *rest = &rest[1..];
    }
    let mut ranges = Vec::new();
    while let Some(byte) = take(rest) {
        let low = match byte {
            b']' => break,
            b'\\' => take(rest).unwrap_or(b'\\'),
            byte => byte,
        };
        let high = match rest {
            [b'-', high, ..] if *high != b']' => {
                let high = *high;
                *rest = &rest[2..];
                high
            }
            _ => low,
        };
        ranges.push((low.min(high), low.max(high)));
    }
    Part::Class { negated, ranges }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fits(pattern: &str, name: &str) -> bool {
        Pattern::new(pattern.as_bytes()).matches(name.as_bytes())
    }

    #[test]
    fn as_redis_takes_them() {
        for (pattern, name) in [
            ("*", ""),
            ("*", "anything"),
            ("user:*", "user:"),
            ("user:*", "user:1:x"),
            ("h?llo", "hello"),
            ("h[ae]llo", "hallo"),
            ("h[^e]llo", "hallo"),
            ("h[a-c]llo", "hbllo"),
            ("h[c-a]llo", "hbllo"),
            ("a\\*b", "a*b"),
            ("*:*:x", "a:b:c:x"),
            ("a**b", "ab"),
            ("[\\]]", "]"),
            ("[a", "a"),
            ("x[a-]", "x-"),
            ("\\", "\\"),
        ] {
            assert!(fits(pattern, name), "{pattern} {name}");
        }
        for (pattern, name) in [
            ("", "x"),
            ("user:*", "user"),
            ("user:*", "a user:1"),
            ("h?llo", "hllo"),
            ("h[^e]llo", "hello"),
            ("a\\*b", "axb"),
            ("*:x", "a:xy"),
            ("a*b*c", "acb"),
        ] {
            assert!(!fits(pattern, name), "{pattern} {name}");
        }
    }

    #[test]
    fn a_prefix_is_taken_as_it_is() {
        let pattern = Pattern::prefix(b"a*[");
        assert!(pattern.matches(b"a*[x") && pattern.matches(b"a*["));
        assert!(!pattern.matches(b"ab["));
    }

    #[test]
    fn a_hostile_pattern_ends() {
        let name = "a".repeat(20_000);
        let hostile = |end: &str| format!("{}{end}", "*a".repeat(40));
        assert!(!fits(&hostile("b"), &name));
        assert!(fits(&hostile(""), &name));
    }
}

//! Patterns as `KEYS` and `SCAN … MATCH` take them.

use std::str::FromStr;

use bytes::Bytes;

/// Patterns of which a name has to fit one; all names fit where there is none.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Globs(Vec<Bytes>);

impl Globs {
    /// Whether a name fits.
    #[must_use]
    pub fn fits(&self, name: &[u8]) -> bool {
        self.0.is_empty() || self.0.iter().any(|glob| fits(glob, name))
    }

    /// The pattern, if there is just one: a server can look for it itself.
    #[must_use]
    pub fn single(&self) -> Option<&Bytes> {
        match self.0.as_slice() {
            [only] => Some(only),
            _ => None,
        }
    }
}

impl FromStr for Globs {
    type Err = String;

    /// Patterns with `|` between them; `\|` stands for the character.
    fn from_str(text: &str) -> Result<Globs, String> {
        let mut globs = vec![Vec::new()];
        let mut bytes = text.bytes();
        while let Some(byte) = bytes.next() {
            let last = globs.last_mut().expect("there is one from the beginning");
            match byte {
                b'|' => globs.push(Vec::new()),
                b'\\' => match bytes.next() {
                    Some(b'|') => last.push(b'|'),
                    Some(other) => last.extend([b'\\', other]),
                    None => return Err(format!("{text:?} ends with a single backslash")),
                },
                other => last.push(other),
            }
        }
        if globs.iter().any(Vec::is_empty) {
            return Err(format!("{text:?} has an empty pattern; use * for all keys"));
        }
        Ok(Globs(globs.into_iter().map(Bytes::from).collect()))
    }
}

/// Whether `name` fits one pattern: `*`, `?`, `[a-z]`, `[^a]`, `\` before a character that is meant as such.
#[must_use]
pub fn fits(glob: &[u8], name: &[u8]) -> bool {
    let (mut g, mut n) = (0, 0);
    // Where to go on when what follows the last star does not fit: the star takes one byte more.
    let mut back: Option<(usize, usize)> = None;
    loop {
        if n == name.len() && glob[g..].iter().all(|b| *b == b'*') {
            return true;
        }
        let step = match glob.get(g) {
            Some(b'*') => {
                back = Some((g + 1, n));
                g += 1;
                continue;
            }
            Some(_) if n < name.len() => one(&glob[g..], name[n]),
            _ => None,
        };
        match (step, back) {
            (Some(length), _) => (g, n) = (g + length, n + 1),
            (None, Some((after, from))) if from < name.len() => {
                back = Some((after, from + 1));
                (g, n) = (after, from + 1);
            }
            (None, _) => return false,
        }
    }
}

/// The length of the pattern's first item, if a byte fits it.
fn one(glob: &[u8], byte: u8) -> Option<usize> {
    match glob[0] {
        b'?' => Some(1),
        b'[' => class(glob, byte),
        b'\\' if glob.len() > 1 => (glob[1] == byte).then_some(2),
        plain => (plain == byte).then_some(1),
    }
}

/// `[...]`; one that does not end goes to the end of the pattern, as at a server.
fn class(glob: &[u8], byte: u8) -> Option<usize> {
    let mut at = 1;
    let not = glob.get(at) == Some(&b'^');
    at += usize::from(not);
    let mut found = false;
    while at < glob.len() && glob[at] != b']' {
        if glob[at] == b'\\' && at + 1 < glob.len() {
            at += 1;
            found |= glob[at] == byte;
        } else if glob.get(at + 1) == Some(&b'-') && at + 2 < glob.len() {
            let (a, b) = (glob[at], glob[at + 2]);
            found |= (a.min(b)..=a.max(b)).contains(&byte);
            at += 2;
        } else {
            found |= glob[at] == byte;
        }
        at += 1;
    }
    (found != not).then_some((at + 1).min(glob.len()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_as_servers_take_them() {
        let yes: [(&str, &str); 14] = [
            ("*", ""),
            ("*", "anything"),
            ("user:*", "user:"),
            ("user:*:name", "user:1:2:name"),
            ("h?llo", "hallo"),
            ("h[ae]llo", "hello"),
            ("h[^e]llo", "hallo"),
            ("h[a-c]llo", "hbllo"),
            ("h[c-a]llo", "hbllo"),
            (r"a\*b", "a*b"),
            (r"a[\]]b", "a]b"),
            ("*a*b*", "xxaxxbxx"),
            ("a**", "a"),
            ("[abc", "b"),
        ];
        let no: [(&str, &str); 9] = [
            ("", "a"),
            ("user:*", "user"),
            ("h?llo", "hllo"),
            ("h[ae]llo", "hillo"),
            ("h[^e]llo", "hello"),
            (r"a\*b", "axb"),
            ("*a*b", "xaxc"),
            ("a", "ab"),
            ("?", ""),
        ];
        for (glob, name) in yes {
            assert!(fits(glob.as_bytes(), name.as_bytes()), "{glob} fits {name}");
        }
        for (glob, name) in no {
            assert!(!fits(glob.as_bytes(), name.as_bytes()), "{glob} does not fit {name}");
        }
    }

    #[test]
    fn several_patterns() {
        let globs: Globs = "user:*|session:*".parse().unwrap();
        assert!(globs.fits(b"user:1") && globs.fits(b"session:") && !globs.fits(b"cache:1"));
        assert!(globs.single().is_none() && Globs::default().fits(b"x"));
        let escaped: Globs = r"a\|b".parse().unwrap();
        assert!(escaped.fits(b"a|b") && !escaped.fits(b"a"));
        for wrong in ["", "a|", "|a", "a||b", "a\\"] {
            assert!(wrong.parse::<Globs>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn many_stars_take_no_ages() {
        let name = vec![b'a'; 4000];
        assert!(!fits(b"*a*a*a*a*a*a*a*a*a*b", &name));
    }
}

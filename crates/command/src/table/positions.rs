//! Where the keys of a command stand among its arguments.

use bytes::Bytes;

/// Key specification of a command; argument 0 is the name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Keys {
    /// No keys.
    None,
    /// The argument at this index: 1 almost always, 2 after a subcommand.
    At(usize),
    /// Every `step`-th argument from `first` to the end; what lies between belongs to the key before it.
    Every {
        /// Index of the first key.
        first: usize,
        /// Distance of two keys.
        step: usize,
    },
    /// Arguments 1 and 2.
    Two,
    /// As many keys as the argument at `count` says, behind it.
    Counted {
        /// Index of the number of keys.
        count: usize,
        /// Whether argument 1 is a (destination) key as well.
        destination: bool,
    },
    /// Argument 1, and what follows `STORE` or `STOREDIST` (`SORT`, `GEORADIUS`).
    Store {
        /// Index from which `STORE` is looked for.
        from: usize,
    },
}

/// Iterator over the indices of a command's keys.
#[derive(Debug, Clone)]
pub struct Positions {
    head: Option<usize>,
    next: usize,
    end: usize,
    step: usize,
}

impl Keys {
    /// Indices of the keys among `args`, ascending; only indices that exist.
    #[must_use]
    pub fn positions(self, args: &[Bytes]) -> Positions {
        let all = args.len();
        let range =
            |next: usize, end: usize, step: usize| Positions { head: None, next, end: end.min(all), step };
        match self {
            Keys::None => range(0, 0, 1),
            Keys::At(index) => range(index, index + 1, 1),
            Keys::Every { first, step } => range(first, all, step),
            Keys::Two => range(1, 3, 1),
            Keys::Counted { count, destination } => {
                let listed: usize = args.get(count).and_then(|n| number(n)).unwrap_or(0);
                let first = count + 1;
                let head = (destination && all > 1).then_some(1);
                Positions { head, ..range(first, first.saturating_add(listed), 1) }
            }
            Keys::Store { from } => match store_at(args, from) {
                Some(index) => Positions { head: Some(1), ..range(index, index + 1, 1) },
                None => range(1, 2, 1),
            },
        }
    }
}

impl Iterator for Positions {
    type Item = usize;

    fn next(&mut self) -> Option<usize> {
        if let Some(head) = self.head.take() {
            return Some(head);
        }
        if self.next >= self.end {
            return None;
        }
        let position = self.next;
        self.next += self.step;
        Some(position)
    }
}

/// Index of the key behind the last `STORE` or `STOREDIST` from index `from` on.
pub(crate) fn store_at(args: &[Bytes], from: usize) -> Option<usize> {
    let is_store = |arg: &Bytes| arg.eq_ignore_ascii_case(b"STORE") || arg.eq_ignore_ascii_case(b"STOREDIST");
    let at = args.iter().skip(from).position(is_store)? + from + 1;
    (at < args.len()).then_some(at)
}

fn number<T: std::str::FromStr>(bytes: &[u8]) -> Option<T> {
    std::str::from_utf8(bytes).ok()?.parse().ok()
}

//! The repair rules by their numbers.
//!
//! The rules themselves, each with the failure that makes it necessary, are in docs/repair.md. The code that carries one
//! out asks [`Rules::on`] with its number, so that `rg 'on\(14\)'` finds the place, and a test can switch it off to show
//! that something fails without it. Without the feature `switches` every rule is on and the question costs nothing.

/// The last rule's number.
pub const LAST: u8 = 38;

/// Which rules are in force.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rules {
    #[cfg(feature = "switches")]
    off: u64,
}

impl Rules {
    /// All of them.
    #[must_use]
    pub const fn all() -> Rules {
        Rules {
            #[cfg(feature = "switches")]
            off: 0,
        }
    }

    /// All but one: only for tests that show what it is good for.
    #[cfg(feature = "switches")]
    #[must_use]
    pub const fn without(self, rule: u8) -> Rules {
        assert!(rule >= 1 && rule <= LAST);
        Rules { off: self.off | 1 << rule }
    }

    /// Whether a rule is in force.
    #[must_use]
    #[inline]
    pub const fn on(self, rule: u8) -> bool {
        debug_assert!(rule >= 1 && rule <= LAST);
        #[cfg(feature = "switches")]
        return self.off & 1 << rule == 0;
        #[cfg(not(feature = "switches"))]
        true
    }
}

impl Default for Rules {
    fn default() -> Self {
        Rules::all()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_rule_is_on() {
        assert!((1..=LAST).all(|rule| Rules::default().on(rule)));
    }

    #[cfg(feature = "switches")]
    #[test]
    fn a_rule_can_be_switched_off() {
        let rules = Rules::all().without(9);
        assert!(!rules.on(9) && rules.on(8) && rules.on(10));
    }
}

//! stdout.

use std::io::Write;

/// Writes to stdout. A reader that went away (`| head`) is no error of ours.
pub(crate) fn say(text: &str) {
    let mut stdout = std::io::stdout().lock();
    let _ = stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush());
}

/// A number with its thousands apart: `1 234 567`.
pub(crate) fn number(n: u64) -> String {
    let digits = n.to_string();
    let mut out = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            out.push(' ');
        }
        out.push(digit);
    }
    out
}

/// A number of bytes: `512 B`, `1.5 MiB`.
pub(crate) fn bytes(n: u64) -> String {
    const UNITS: [&str; 4] = ["KiB", "MiB", "GiB", "TiB"];
    if n < 1024 {
        return format!("{n} B");
    }
    let mut value = n as f64 / 1024.0;
    let mut unit = 0;
    while value >= 1024.0 && unit + 1 < UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    format!("{value:.1} {}", UNITS[unit])
}

/// A span of time in the two largest units: `2 d 3 h`, `4 min 10 s`.
pub(crate) fn seconds(s: u64) -> String {
    match s {
        0..60 => format!("{s} s"),
        60..3600 => format!("{} min {} s", s / 60, s % 60),
        3600..86_400 => format!("{} h {} min", s / 3600, s % 3600 / 60),
        _ => format!("{} d {} h", s / 86_400, s % 86_400 / 3600),
    }
}

/// Seconds since a moment in Unix milliseconds.
pub(crate) fn seconds_since(ms: u64) -> u64 {
    replica::ledger::now_ms().saturating_sub(ms) / 1000
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantities_read_well() {
        assert_eq!([0, 999, 1000, 1_234_567].map(number), ["0", "999", "1 000", "1 234 567"]);
        assert_eq!(
            [0, 1023, 1024, 1 << 20, 3 << 39].map(bytes),
            ["0 B", "1023 B", "1.0 KiB", "1.0 MiB", "1.5 TiB"]
        );
        assert_eq!([59, 61, 3700, 90_000].map(seconds), ["59 s", "1 min 1 s", "1 h 1 min", "1 d 1 h"]);
    }
}

//! Benchmarks of the whole program: `make bench`.
//!
//! Times on a shared machine mean little by themselves. Every round runs the program and the yardstick one after the
//! other on the same data, and what is quoted is the median of the rounds' ratios.

pub mod process;
pub mod proxy;
pub mod scene;
pub mod writers;

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use bytes::Bytes;

/// Writes the commands that load `pairs`, as `redis-cli --pipe` takes them.
///
/// # Errors
/// The file cannot be written.
pub fn write_commands(file: &Path, pairs: impl Iterator<Item = (Bytes, Bytes)>) -> std::io::Result<()> {
    use std::io::Write;
    let mut out = std::io::BufWriter::new(std::fs::File::create(file)?);
    for (key, value) in pairs {
        write!(out, "*3\r\n$3\r\nSET\r\n${}\r\n", key.len())?;
        out.write_all(&key)?;
        write!(out, "\r\n${}\r\n", value.len())?;
        out.write_all(&value)?;
        out.write_all(b"\r\n")?;
    }
    out.flush()
}

/// Loads a file of commands into the server on `port` with `redis-cli --pipe` and tells how long that took.
///
/// # Panics
/// When redis-cli cannot be started or reports errors.
pub fn pipe(port: u16, file: &Path) -> Duration {
    let input = std::fs::File::open(file).unwrap_or_else(|e| panic!("{}: {e}", file.display()));
    let begin = Instant::now();
    let output = Command::new("redis-cli")
        .args(["-p", &port.to_string(), "--pipe"])
        .stdin(input)
        .stdout(Stdio::piped())
        .output()
        .unwrap_or_else(|e| panic!("redis-cli: {e}; apt-get install redis-tools"));
    let took = begin.elapsed();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && text.contains("errors: 0"), "redis-cli --pipe: {text}");
    took
}

/// The middle of some numbers.
pub fn median(mut numbers: Vec<f64>) -> f64 {
    numbers.sort_by(f64::total_cmp);
    match numbers.len() {
        0 => f64::NAN,
        n if n % 2 == 1 => numbers[n / 2],
        n => (numbers[n / 2 - 1] + numbers[n / 2]) / 2.0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_the_middle() {
        assert_eq!(median(vec![3.0, 1.0, 2.0]), 2.0);
        assert_eq!(median(vec![4.0, 1.0, 2.0, 3.0]), 2.5);
        assert!(median(Vec::new()).is_nan());
    }
}

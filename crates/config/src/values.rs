//! Sizes and durations.

use std::time::Duration;

/// Bytes: `268435456`, `256MiB`, `8GB`.
///
/// # Errors
/// What is wrong with the text.
pub(crate) fn size(text: &str) -> Result<u64, String> {
    let (number, unit) = split(text);
    let factor: u64 = match unit.to_ascii_lowercase().as_str() {
        "" | "b" => 1,
        "kib" => 1 << 10,
        "mib" => 1 << 20,
        "gib" => 1 << 30,
        "tib" => 1 << 40,
        "kb" => 1_000,
        "mb" => 1_000_000,
        "gb" => 1_000_000_000,
        "tb" => 1_000_000_000_000,
        _ => return Err(format!("not a size: \"{}\"", crate::reader::printable(text))),
    };
    let number: u64 =
        number.parse().map_err(|_| format!("not a size: \"{}\"", crate::reader::printable(text)))?;
    number.checked_mul(factor).ok_or_else(|| "too large".to_owned())
}

/// A duration: `5` and `2.5` (seconds), `500ms`, `5s`, `1m`, `1h`.
///
/// # Errors
/// What is wrong with the text.
pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    let wrong = || format!("not a duration: \"{}\"", crate::reader::printable(text));
    let (number, unit) = split(text);
    let seconds_per_unit = match unit {
        "ms" => 0.001,
        "" | "s" => 1.0,
        "m" | "min" => 60.0,
        "h" => 3600.0,
        _ => return Err(wrong()),
    };
    let number: f64 = number.parse().map_err(|_| wrong())?;
    Duration::try_from_secs_f64(number * seconds_per_unit).map_err(|_| wrong())
}

fn split(text: &str) -> (&str, &str) {
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    (number, unit.trim_start())
}

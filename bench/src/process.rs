//! What a process costs, from the outside.

use std::path::Path;

/// Ticks of `/proc/<pid>/stat` in a second (`USER_HZ`, 100 on every Linux).
const TICKS: f64 = 100.0;

/// Processor seconds that a process has used so far, in user and kernel mode; 0 where it has ended.
pub fn cpu_seconds(pid: u32) -> f64 {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    // The name in brackets may hold blanks; behind it the state is the first field, and the times are the 12th and 13th.
    let fields: Vec<&str> = stat.rsplit(") ").next().unwrap_or_default().split(' ').collect();
    let ticks = |at: usize| fields.get(at).and_then(|field| field.parse::<f64>().ok()).unwrap_or_default();
    (ticks(11) + ticks(12)) / TICKS
}

/// Durable writes of a checkpoint so far: the generation in its guard file, which goes up by one with each.
pub fn commits(checkpoint: &Path) -> u64 {
    let guard = std::fs::read(checkpoint.join("guard")).unwrap_or_default();
    // magic[8], version, generation in little-endian order
    guard.get(9..17).and_then(|bytes| bytes.try_into().ok()).map_or(0, u64::from_le_bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn work_costs_time() {
        let before = cpu_seconds(std::process::id());
        let begin = std::time::Instant::now();
        let mut sum = 0u64;
        while begin.elapsed().as_millis() < 300 {
            sum = std::hint::black_box(sum.wrapping_add(1));
        }
        assert!(cpu_seconds(std::process::id()) > before);
    }
}

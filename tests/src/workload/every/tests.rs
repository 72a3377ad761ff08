use std::collections::BTreeSet;

use super::*;

fn drawn(seed: u64, count: usize) -> Vec<Command> {
    let mut everything = Everything::new(seed);
    (0..count).flat_map(|_| everything.step().commands).collect()
}

/// Words that are moments in time are left out: they differ from run to run.
fn without_moments(commands: Vec<Command>) -> Vec<Command> {
    let moment = |word: &Vec<u8>| word.len() >= 10 && word.iter().all(u8::is_ascii_digit);
    commands.into_iter().map(|command| command.into_iter().filter(|word| !moment(word)).collect()).collect()
}

#[test]
fn a_seed_gives_the_same_steps() {
    assert!(without_moments(drawn(3, 400)) == without_moments(drawn(3, 400)));
    assert!(without_moments(drawn(3, 400)) != without_moments(drawn(4, 400)));
}

#[test]
fn options_are_combined() {
    let sets: Vec<Command> = drawn(1, 30_000).into_iter().filter(|command| command[0] == b"SET").collect();
    let with = |option: &str| sets.iter().filter(|set| set[3..].contains(&option.into())).count();
    for option in ["EX", "PX", "EXAT", "PXAT", "KEEPTTL", "NX", "XX", "GET", "STICK"] {
        assert!(with(option) > 3, "{option}");
    }
}

#[test]
fn names_share_slots_and_do_not_and_hold_any_bytes() {
    let words: Vec<Vec<u8>> = drawn(1, 2_000).into_iter().flatten().collect();
    assert!(words.iter().any(|word| word.starts_with(b"{w1:}")));
    assert!(words.iter().any(|word| word.starts_with(b"w1:") && word.contains(&0)));
}

#[test]
fn a_script_declares_its_keys() {
    let evals: Vec<Command> = drawn(1, 2_000).into_iter().filter(|command| command[0] == b"EVAL").collect();
    assert!(evals.len() > 20);
    for eval in evals {
        let keys: usize = std::str::from_utf8(&eval[2]).unwrap().parse().unwrap();
        assert!(eval[3..3 + keys].iter().all(|key| key.windows(3).any(|part| part == b"w1:")));
    }
}

#[test]
fn values_are_of_every_size_up_to_16_mib() {
    let mut sizes = BTreeSet::new();
    for seed in 0..25 {
        sizes.extend(drawn(seed, 300).into_iter().flatten().map(|word| word.len()));
    }
    assert!(sizes.contains(&0), "an empty one");
    for (from, to) in [(1, 8), (100, 2_000), (2_001, 20_000), (1 << 20, 2 << 20)] {
        assert!(sizes.range(from..to).next().is_some(), "none of {from} to {to} bytes");
    }
    assert_eq!(sizes.last(), Some(&(16 << 20)));
    for seeds in [0..25, 25..50] {
        let huge = |seed: &u64| drawn(*seed, 300).iter().flatten().any(|word| word.len() == 16 << 20);
        assert!(seeds.clone().filter(huge).count() >= 2, "{seeds:?}");
    }
}

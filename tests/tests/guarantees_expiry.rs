//! "A key expires on the target's clock before a record that keeps it alive arrives": while df2redis is down or stopped the
//! source changes keys that are about to expire; the target expires them by itself; afterwards both are equal.
#![allow(clippy::unwrap_used)]

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use scenarios::client::{Client, as_error};
use scenarios::observe::wait_all_in_sync;
use scenarios::program::{Df2redis, binary};
use scenarios::source::Source;
use scenarios::target::Target;
use scenarios::wait;

const READY: Duration = Duration::from_secs(60);

/// What the source does with a key that is about to expire, and what keeps it alive then.
const CASES: &[(&str, &str, &str)] = &[
    ("persist", "SET k v", "PERSIST k"),
    ("longer", "SET k v", "PEXPIREAT k FAR"),
    ("keepttl", "SET k v", "SET k w KEEPTTL|PERSIST k"),
    ("append", "SET k 1", "APPEND k 2|PEXPIREAT k FAR"),
    ("append_persist", "SET k 1", "APPEND k 2|PERSIST k"),
    ("append_in_vain", "SET k 1", "APPEND k 2"),
    ("setrange", "SET k abcdef", "SETRANGE k 2 X|PERSIST k"),
    ("incr", "SET k 41", "INCR k|PEXPIREAT k FAR"),
    ("incr_persist", "SET k 41", "INCR k|PERSIST k"),
    ("incrby", "SET k 40", "INCRBY k 2|PERSIST k"),
    ("setbit", "SET k abc", "SETBIT k 7 1|PERSIST k"),
    ("getex", "SET k v", "GETEX k PERSIST"),
    ("rename", "SET k v", "RENAME k k2|PERSIST k2"),
    ("rename_longer", "RPUSH k a b", "RENAME k k2|PEXPIREAT k2 FAR"),
    ("rename_over", "SET k v|SET k2 old", "RENAME k k2|PERSIST k2"),
    ("copy", "SET k v", "PERSIST k|COPY k k2"),
    ("lpop", "RPUSH k a b c", "LPOP k|PERSIST k"),
    ("rpop_longer", "RPUSH k a b c", "RPOP k|PEXPIREAT k FAR"),
    ("rpush", "RPUSH k a", "RPUSH k b|PERSIST k"),
    ("rpushx", "RPUSH k a", "RPUSHX k b|PERSIST k"),
    ("lset", "RPUSH k a b", "LSET k 1 c|PERSIST k"),
    ("ltrim", "RPUSH k a b c", "LTRIM k 0 1|PERSIST k"),
    ("linsert", "RPUSH k a c", "LINSERT k BEFORE c b|PERSIST k"),
    ("lmove", "RPUSH k a b|RPUSH k2 z", "LMOVE k k2 LEFT RIGHT|PERSIST k"),
    ("sadd", "SADD k a", "SADD k b|PEXPIREAT k FAR"),
    ("srem", "SADD k a b", "SREM k a|PERSIST k"),
    ("spop", "SADD k a b c", "SPOP k|PERSIST k"),
    ("smove", "SADD k a b", "SMOVE k k2 a|PERSIST k"),
    ("hset", "HSET k f 1", "HSET k g 2|PERSIST k"),
    ("hincrby", "HSET k f 1", "HINCRBY k f 1|PEXPIREAT k FAR"),
    ("hdel", "HSET k f 1 g 2", "HDEL k f|PERSIST k"),
    ("hsetnx", "HSET k f 1", "HSETNX k f 2|PERSIST k"),
    ("zadd", "ZADD k 1 a", "ZADD k 2 b|PERSIST k"),
    ("zincrby", "ZADD k 1 a", "ZINCRBY k 1.5 a|PEXPIREAT k FAR"),
    ("zpopmin", "ZADD k 1 a 2 b", "ZPOPMIN k|PERSIST k"),
    ("zrem", "ZADD k 1 a 2 b", "ZREM k a|PERSIST k"),
    ("xadd", "XADD k 1-1 f v", "XADD k 2-1 f w|PERSIST k"),
    ("setnx", "SET k v", "SETNX k w|PERSIST k"),
    ("sunionstore", "SADD k a b", "SUNIONSTORE k2 k|PERSIST k"),
    ("move", "SET k v", "MOVE k 3"),
    ("two_steps", "SET k 1", "PEXPIREAT k LATER|APPEND k 2|PERSIST k"),
];

/// How df2redis is kept from seeing it in time.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Away {
    Terminated,
    Killed,
    Stopped,
}

fn now_ms() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis() as u64
}

fn queue(client: &mut Client, case: &str, commands: &str, later: u64) {
    let far = (now_ms() + 100_000_000).to_string();
    for command in commands.split('|') {
        let word = |word: &str| match word {
            "k" => format!("{{{case}}}k"),
            "k2" => format!("{{{case}}}k2"),
            "FAR" => far.clone(),
            "LATER" => later.to_string(),
            word => word.to_owned(),
        };
        client.queue(&command.split(' ').map(word).collect::<Vec<_>>());
    }
}

fn flush(client: &mut Client) {
    let refused: Vec<_> = client.flush().unwrap().iter().filter_map(as_error).collect();
    assert!(refused.is_empty(), "{refused:?}");
}

fn kept_alive_while(away: Away, test: &str) {
    for source in Source::each(test, 2) {
        for target in Target::both() {
            let mut client = source.client();
            client.call(&["FLUSHALL"]);
            let mut program = Df2redis::replicate(target.settings(&source));
            program.wait_ready(READY);
            for (case, before, _) in CASES {
                queue(&mut client, case, before, 0);
            }
            flush(&mut client);
            // Everything lives and is on the target before the daemon goes, and lives still when it has gone.
            let expiry = now_ms() + 4_000;
            for (case, ..) in CASES {
                client.queue(&["PEXPIREAT".to_owned(), format!("{{{case}}}k"), expiry.to_string()]);
            }
            flush(&mut client);
            target.assert_equal(&source);
            match away {
                Away::Terminated => assert_eq!(program.terminate().code(), 0),
                Away::Killed => drop(program.kill()),
                Away::Stopped => program.signal("STOP"),
            }
            for (case, _, changes) in CASES {
                queue(&mut client, case, changes, expiry + 500);
            }
            flush(&mut client);
            assert!(now_ms() < expiry, "too slow a machine: the keys expired at the source as well");
            // The target's clock passes it.
            wait::until(READY, "the expiry", || now_ms() > expiry + 700);
            match away {
                Away::Stopped => program.signal("CONT"),
                Away::Terminated | Away::Killed => program.again(),
            }
            program.wait_ready(READY);
            println!("{} {away:?}", source.name());
            let keys = target.assert_equal(&source);
            assert!(keys >= CASES.len() - 1, "{keys} keys are left");
            wait_all_in_sync(&mut program, READY);
        }
    }
}

#[test]
fn persisted_while_df2redis_was_down() {
    kept_alive_while(Away::Terminated, "persisted_while_df2redis_was_down");
}

#[test]
fn persisted_after_df2redis_was_killed() {
    kept_alive_while(Away::Killed, "persisted_after_df2redis_was_killed");
}

#[test]
fn persisted_while_df2redis_stood_still() {
    kept_alive_while(Away::Stopped, "persisted_while_df2redis_stood_still");
}

/// What may happen to a key besides, while a snapshot is slow; the last ones are not renewed.
const IN_A_SNAPSHOT: &[(&str, &str, &str)] = &[
    ("made_again", "RPUSH k a", "LPOP k|RPUSH k b"),
    ("set_again", "SET k v", "SET k w"),
    ("deleted", "SET k v", "DEL k|SADD k m"),
    ("for_long", "SET k v", "PEXPIREAT k FAR|PERSIST k"),
    ("renamed_over", "SET k v|RPUSH k2 b a", "RENAME k2 k"),
    ("not_renewed", "SET k v", ""),
    ("list_not_renewed", "RPUSH k a b", "RPUSH k c"),
];

/// Keys of a slow snapshot whose time runs out on the way: those whose renewal comes behind live on, the others go. Nothing
/// has to be repaired for it.
#[test]
fn a_slow_snapshot_takes_no_key_its_life() {
    // Built before the clock runs.
    let _ = binary();
    for target in Target::both() {
        let source = Source::simulated(simulator::Release::V1_40, 2);
        let Source::Simulated(simulated) = &source else { unreachable!("made above") };
        let mut client = source.client();
        let cases = || CASES.iter().chain(IN_A_SNAPSHOT);
        for (case, before, _) in cases() {
            queue(&mut client, case, before, 0);
        }
        flush(&mut client);
        let expiry = now_ms() + 5_000;
        for (case, ..) in cases() {
            client.queue(&["PEXPIREAT".to_owned(), format!("{{{case}}}k"), expiry.to_string()]);
        }
        flush(&mut client);
        // One flow comes to its end before the expiry, the other does not come at all.
        simulated.handle().faults().stall_flow(1);
        let mut program = Df2redis::replicate(target.settings(&source));
        wait::until(READY, "keys on the target", || !target.read().is_empty());
        simulated.handle().faults().stall_flow(0);
        for (case, _, changes) in cases().filter(|(_, _, changes)| !changes.is_empty()) {
            queue(&mut client, case, changes, expiry + 500);
        }
        flush(&mut client);
        assert!(now_ms() < expiry, "too slow a machine: the keys expired at the source as well");
        wait::until(READY, "the expiry", || now_ms() > expiry + 700);
        assert!(!target.read().is_empty(), "the target let keys expire before their records came");
        simulated.handle().faults().resume_all_flows();
        program.wait_ready(READY);
        let keys = target.assert_equal(&source);
        assert!(keys >= CASES.len() - 1, "{keys} keys are left");
        let status = wait_all_in_sync(&mut program, READY);
        let expired = &status["repair"]["done_by_cause"]["expired on the target first"];
        assert!(expired.is_null(), "{}", status["repair"]);
    }
}

//! "A member of a set or a field of a hash expires at the source, and the target has no such thing": with the policy
//! `expire` it goes on the target as well, whatever happens to df2redis in between.
#![allow(clippy::unwrap_used)]

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use scenarios::client::{Client, as_error};
use scenarios::observe::wait_all_in_sync;
use scenarios::program::{Df2redis, Settings, number};
use scenarios::servers::{Cluster, ClusterOptions, RedisOptions, RedisServer};
use scenarios::source::Source;
use scenarios::target::Target;
use scenarios::wait;

const READY: Duration = Duration::from_secs(60);
/// Seconds that members live.
const TTL: u64 = 9;

fn expiring(target: &Target, source: &Source) -> Settings {
    let settings = target.settings(source).set("types.set_member_ttl", "expire");
    settings.set("types.hash_field_ttl", "expire")
}

fn now_s() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}

/// Commands separated by `|`; `TTL` is a number of seconds.
fn play(client: &mut Client, commands: &str) {
    for command in commands.split('|') {
        client.queue(&command.replace("TTL", &TTL.to_string()).split(' ').collect::<Vec<_>>());
    }
    let refused: Vec<_> = client.flush().unwrap().iter().filter_map(as_error).collect();
    assert!(refused.is_empty(), "{refused:?}");
}

/// Members of a set, and fields of a hash, as a client sees them.
fn count(client: &mut Client, key: &str) -> usize {
    let kind = client.text(&["TYPE", key]);
    let list: Vec<String> = match kind.as_str() {
        "set" => redis_list(client, &["SMEMBERS", key]),
        "hash" => redis_list(client, &["HKEYS", key]),
        _ => Vec::new(),
    };
    list.len()
}

fn redis_list(client: &mut Client, args: &[&str]) -> Vec<String> {
    redis::from_redis_value(client.call(args)).unwrap()
}

/// What a key of the source has before anything expires: in the snapshot, and by records.
const SNAPSHOT: &str = "SADDEX s:set TTL a b|SADD s:set stays|HSETEX s:hash TTL f 1 g 2|HSET s:hash stays 3|\
    SADDEX s:all TTL a b|SADDEX s:later 4000 a|SADD s:later stays";
const RECORDS: &str = "SADDEX r:set TTL a b|SADD r:set stays|HSETEX r:hash TTL f 1|HSET r:hash stays 2|\
    SADD r:fieldexpire a b stays|FIELDEXPIRE r:fieldexpire TTL a b|HSET r:hexpire f 1 stays 2|\
    HEXPIRE r:hexpire TTL FIELDS 1 f|SADDEX r:all TTL a|\
    SADDEX {1}from TTL a|SADD {1}from stays|RENAME {1}from {1}to|\
    SADDEX {2}from TTL a|SADD {2}from stays|RENAME {2}from {2}to|\
    SADDEX {3}from TTL a|SADD {3}from stays|RENAME {3}from {3}to|\
    SADDEX {4}from TTL a|SADD {4}from stays|COPY {4}from {4}to|\
    SADDEX moved TTL a|SADD moved stays|MOVE moved 3|\
    SADDEX {5}from TTL a b|SADD {5}from stays|SMOVE {5}from {5}to a|\
    SADDEX renewed TTL a|SADD renewed stays|FIELDEXPIRE renewed 4000 a|\
    SADDEX again TTL a|SADD again stays|SREM again a|SADD again a|\
    SADDEX gone TTL a|DEL gone|SET gone string|\
    SELECT 5|SADDEX flushed TTL a|FLUSHDB|SELECT 0";
/// Keys of the source that have lost a member in the end.
const SHRINK: &[(&str, usize)] = &[
    ("s:set", 1),
    ("s:hash", 1),
    ("s:all", 0),
    ("r:set", 1),
    ("r:hash", 1),
    ("r:fieldexpire", 1),
    ("r:hexpire", 1),
    ("r:all", 0),
    ("{1}to", 1),
    ("{2}to", 1),
    ("{3}to", 1),
    ("{4}from", 1),
    ("{4}to", 1),
    ("{5}from", 1),
];

#[test]
fn members_expire_on_the_target_although_df2redis_is_killed_and_away_meanwhile() {
    let test = "members_expire_on_the_target_although_df2redis_is_killed_and_away_meanwhile";
    for source in Source::each(test, 2) {
        let mut client = source.client();
        let targets = [
            Target::Standalone(RedisServer::start(RedisOptions::default())),
            Target::Cluster(Cluster::start(ClusterOptions::default())),
        ];
        play(&mut client, SNAPSHOT);
        let began = now_s();
        let mut programs: Vec<Df2redis> =
            targets.iter().map(|target| Df2redis::replicate(expiring(target, &source))).collect();
        programs.iter_mut().for_each(|program| program.wait_ready(READY));
        play(&mut client, RECORDS);
        let last = now_s() + TTL;
        for target in &targets {
            target.assert_equal(&source);
        }
        let present = SHRINK.iter().filter(|(key, left)| count(&mut client, key) > *left).count();
        assert!(now_s() < began + TTL, "too slow a machine: members expired before they were on the target");
        assert_eq!(present, SHRINK.len());
        // Killed twice, and away while they expire.
        for program in &mut programs {
            program.kill();
            program.again();
            program.wait_ready(READY);
            program.kill();
        }
        wait::until(READY, "the members to expire", || now_s() > last);
        for (key, left) in SHRINK {
            assert_eq!(count(&mut client, key), *left, "{key} at the source");
        }
        let before: Vec<_> =
            targets.iter().map(|target| target.read() == target.expected(&source.endpoint())).collect();
        assert_eq!(before, [false, false], "the targets still have what expired");
        for (target, program) in targets.iter().zip(&mut programs) {
            program.again();
            program.wait_ready(READY);
            let back = Instant::now();
            target.assert_equal(&source);
            println!("{}: equal {:?} after the return", source.name(), back.elapsed());
            // While it runs as well.
            play(
                &mut client,
                "SADDEX live 2 a|SADD live stays|HSETEX live:hash 2 f 1|HSET live:hash stays 2",
            );
            target.assert_equal(&source);
            wait::until(READY, "the members to expire", || count(&mut client, "live") == 1);
            let expired = Instant::now();
            target.assert_equal(&source);
            println!("{}: equal {:?} after an expiry", source.name(), expired.elapsed());
            // Those that live for 4000 s are all that is left to look at.
            let status = program.wait_until(READY, "the schedule to shrink", |status| {
                number(&status["members"], "scheduled") == 2
            });
            assert!(number(&status["members"], "next_due_ms") / 1000 > now_s() + 3_000, "{status}");
            wait_all_in_sync(program, READY);
        }
    }
}

/// Members that expire one second after the other: the set is read again about once a second, not for each of them.
#[test]
fn a_large_set_whose_members_all_expire_is_read_again_now_and_then() {
    const MEMBERS: u64 = 20_000;
    const SECONDS: u64 = 6;
    let test = "a_large_set_whose_members_all_expire_is_read_again_now_and_then";
    for source in Source::each(test, 2) {
        let target = Target::Standalone(RedisServer::start(RedisOptions::default()));
        let mut client = source.client();
        let mut program = Df2redis::replicate(expiring(&target, &source));
        program.wait_ready(READY);
        for n in 0..MEMBERS {
            let ttl = 3 + n % SECONDS;
            client.queue(&["SADDEX".to_owned(), "large".to_owned(), ttl.to_string(), format!("member:{n}")]);
        }
        client.queue(&["SADD", "large", "stays"]);
        assert!(client.flush().unwrap().iter().all(|reply| as_error(reply).is_none()));
        let begin = Instant::now();
        wait::until(READY, "the members to expire", || count(&mut client, "large") == 1);
        target.assert_equal(&source);
        let took = begin.elapsed().as_secs() + 1;
        let status = wait_all_in_sync(&mut program, READY);
        let done = number(&status["repair"]["done_by_cause"], "members of it expire");
        println!("{}: read {done} times in {took} s", source.name());
        assert!(done >= 2, "{status}");
        assert!(done <= took + 1, "read {done} times in {took} s");
        let status = program.wait_until(READY, "the schedule to empty", |status| {
            number(&status["members"], "scheduled") == 0
        });
        assert_eq!(status["not_in_sync_count"], 0);
    }
}

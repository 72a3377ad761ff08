//! Targets that forbid `CLIENT KILL` and `CLIENT LIST`: how long the program waits at a start after SIGKILL, after its
//! connections were closed by the server, and after they broke in a way that the server has not noticed.
//! `ROUNDS` (default 3); in the last case up to `LONGEST` (default 45) seconds are waited.

use std::time::{Duration, Instant};

use bench::median;
use bench::proxy::Proxy;
use bench::scene::{DEADLINE, repaired, run_for, setting, source, sum, wait_for, written};
use bench::writers::{Load, Writers};
use scenarios::program::{Df2redis, Settings};
use scenarios::servers::{RedisOptions, RedisServer};
use scenarios::source::Source;

fn main() {
    let rounds = setting("ROUNDS", 3);
    let longest = Duration::from_secs(setting("LONGEST", 45));
    println!("2 000 INCR/s; seconds until what was written at the fault is applied, medians of {rounds}");
    for (what, rights) in [
        ("everything allowed", "+@all"),
        ("no CLIENT KILL", "+@all -client|kill"),
        ("no CLIENT KILL, no CLIENT LIST", "+@all -client|kill -client|list"),
    ] {
        let source = source(what);
        let users = vec![format!("mover on >secret ~* &* {rights}")];
        let server = RedisServer::start(RedisOptions { users, ..RedisOptions::default() });
        let proxy = Proxy::start(server.addr()).expect("a port for the proxy");
        let settings = Settings::replicate(&source.addr(), "redis-standalone", &[proxy.addr()]);
        let settings = settings.set("target.username", "mover").set("target.password", "secret");
        let mut program = Df2redis::replicate(settings);
        program.wait_ready(DEADLINE);
        let load = Load { connections: 2, per_second: 2_000, pipeline: 4 };
        let writers = Writers::start(&source.endpoint(), load, |n, client| {
            client.queue(&["INCR", &format!("counter:{}", n % 1_000)]);
        });
        run_for(Duration::from_secs(1));
        let mut took = [Vec::new(), Vec::new(), Vec::new()];
        for _ in 0..rounds {
            took[0].push(recover(&mut program, &source, &mut |program| {
                program.kill();
                program.again();
                program.wait_ready(DEADLINE);
            }));
            took[1].push(recover(&mut program, &source, &mut |_| {
                server.client().call(&["CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes"]);
            }));
            run_for(Duration::from_secs(1));
        }
        // The server goes on with its ends of the connections until it is told otherwise, or they are dropped.
        let kept = proxy.cut();
        let (lsns, begin) = (written(&source.endpoint()), Instant::now());
        let applied =
            |program: &Df2redis| program.status().is_ok_and(|status| sum(&status, "applied_lsn") >= lsns);
        while begin.elapsed() < longest && !applied(&program) {
            run_for(Duration::from_millis(50));
        }
        let waited = applied(&program).then(|| begin.elapsed().as_secs_f64());
        for server in &kept {
            // One that was killed is closed already.
            let _ = server.shutdown(std::net::Shutdown::Both);
        }
        wait_for(&mut program, "applied_lsn", lsns);
        let in_the_end = begin.elapsed().as_secs_f64();
        writers.stop();
        wait_for(&mut program, "applied_lsn", written(&source.endpoint()));
        let repairs = repaired(&mut program);
        println!("{what:<32} start after SIGKILL {:.2} s", median(took[0].clone()));
        println!("{:<32} connections closed by the server {:.2} s", "", median(took[1].clone()));
        match waited {
            Some(waited) => println!("{:<32} broken unnoticed {waited:.2} s", ""),
            None => println!(
                "{:<32} broken unnoticed: not within {} s; {in_the_end:.1} s, once the server noticed",
                "",
                longest.as_secs()
            ),
        }
        let same = (0..1_000).all(|n| {
            let key = format!("counter:{n}");
            source.client().text(&["GET", &key]) == server.client().text(&["GET", &key])
        });
        println!("{:<32} {repairs} repairs since the last start; counters equal: {same}", "");
        assert_eq!(program.terminate().code(), 0);
    }
}

/// Seconds until everything is applied that was written when `fault` had begun.
fn recover(program: &mut Df2redis, source: &Source, fault: &mut dyn FnMut(&mut Df2redis)) -> f64 {
    let begin = Instant::now();
    fault(program);
    wait_for(program, "applied_lsn", written(&source.endpoint()));
    begin.elapsed().as_secs_f64()
}

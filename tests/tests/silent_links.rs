//! "Source silent, half-open connections", in a network that loses packets without a word. The simulator's own way to play
//! dead is in `guarantees_source`: there the kernel still acknowledges.
#![allow(clippy::unwrap_used)]

use std::time::{Duration, Instant};

use scenarios::observe::wait_all_in_sync;
use scenarios::program::{Df2redis, Settings, number};
use scenarios::servers::{Dragonfly, DragonflyOptions, Lost, Network, RedisOptions, RedisServer, Simulated};
use scenarios::source::Source;
use scenarios::target::Target;
use scenarios::workload::{Mode, Options, Workload, seed};
use simulator::Simulator;

const READY: Duration = Duration::from_secs(60);
/// What is promised.
const NOTICED: Duration = Duration::from_secs(15);
const TEST: &str = "a_dead_link_is_noticed_whether_anything_is_written_or_not";
/// Reached from every address.
const ANYWHERE: &str = "0.0.0.0";

fn sources() -> impl Iterator<Item = Source> {
    let simulated = Simulated::start_with(Simulator::builder().bind(format!("{ANYWHERE}:0")));
    let flags = vec![format!("--bind={ANYWHERE}"), "--journal_omit_redundant_writes=false".to_owned()];
    let options = DragonflyOptions { flags, ..DragonflyOptions::default() };
    let dragonfly = Dragonfly::start_or_skip(&format!("{TEST} with a real Dragonfly"), options);
    let dragonfly = dragonfly.map(|dragonfly| Source::Real(Box::new(dragonfly)));
    [Some(Source::Simulated(simulated)), dragonfly].into_iter().flatten()
}

fn target() -> RedisServer {
    let extra = ["--bind", ANYWHERE, "--protected-mode", "no"].map(str::to_owned);
    RedisServer::start(RedisOptions { extra: extra.into(), ..RedisOptions::default() })
}

fn port(addr: &str) -> &str {
    addr.rsplit_once(':').unwrap().1
}

/// The link is lost, with or without writes at the source, noticed, and mended; nothing is lost or doubled.
fn noticed_and_mended(lost: Lost, writing: bool) {
    for source in sources() {
        let Some(network) = Network::start_or_skip(TEST) else { return };
        let server = target();
        let seen = |host: String, addr: &str| format!("{host}:{}", port(addr));
        let from = seen(network.source(), &source.addr());
        let settings =
            Settings::replicate(&from, "redis-standalone", &[seen(network.others(), &server.addr())])
                .set("checkpoint.interval", 1);
        let target = Target::Standalone(server);
        let mut program = Df2redis::replicate_in(&network, settings);
        program.wait_ready(READY);
        let mut client = source.client();
        for _ in 0..100 {
            client.call(&["INCR", "counter"]);
        }
        target.assert_equal(&source);
        let seed = seed();
        let writer = writing.then(|| {
            let options = Options { rate: Some(500), ..Options::new(Mode::Full, seed) };
            Workload::start(&source.endpoint(), options)
        });
        if let Some(writer) = &writer {
            writer.wait_for(500);
        }
        network.lose(lost);
        let began = Instant::now();
        program.wait_until(READY, "the silence to be noticed", |status| status["ready"] == false);
        let took = began.elapsed();
        println!("{}, {lost:?}, writes {writing}: noticed after {took:?}", source.name());
        assert!(took <= NOTICED, "noticed after {took:?}:\n{}", program.output());
        // What is written meanwhile is missed and comes later.
        client.call(&["RPUSH", "list", "meanwhile"]);
        if lost == Lost::Everything {
            network.heal();
        }
        program.wait_ready(READY);
        if let Some(writer) = writer {
            writer.stop().assert_no_surprise();
        }
        target.assert_equal(&source);
        let status = wait_all_in_sync(&mut program, READY);
        assert_eq!(
            (number(&status, "full_syncs"), number(&status, "partial_syncs")),
            (1, 1),
            "{status}\n{}",
            program.output()
        );
        assert_eq!(program.terminate().code(), 0);
    }
}

/// All of it at the same time: each waits for most of its time.
#[test]
fn a_dead_link_is_noticed_whether_anything_is_written_or_not() {
    std::thread::scope(|scope| {
        for lost in [Lost::Everything, Lost::OldConnections] {
            for writing in [false, true] {
                scope.spawn(move || noticed_and_mended(lost, writing));
            }
        }
    });
}

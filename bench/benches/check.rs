//! `df2redis check` against a bare client that asks both servers for nothing but names, types, lengths and expiries, in the
//! same run: how much of what the servers can serve a comparison reaches, and what memory it takes.
//! `CHECK_KEYS` (default 300 000) keys of mixed types, `CHECK_ROUNDS` (default 3) measurements of each.

use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use bench::median;
use bench::process::cpu_seconds;
use bench::scene::setting;
use scenarios::client::Endpoint;
use scenarios::program::{Df2redis, Settings};
use scenarios::servers::{RedisOptions, RedisServer};
use scenarios::wait;
use scenarios::workload::fill;

/// What a check may take.
const MOST_MEMORY: u64 = 256 << 20;
const DEADLINE: Duration = Duration::from_secs(3600);

fn main() {
    let (keys, rounds) = (setting("CHECK_KEYS", 300_000), setting("CHECK_ROUNDS", 3));
    let servers = [(); 2].map(|()| RedisServer::start(RedisOptions::default()));
    servers.iter().for_each(|server| fill(&server.endpoint(), keys, &[0], 1));
    println!(
        "{keys} keys on both sides, two redis-servers; keys/s, and of the check MiB and CPU s per million keys"
    );
    println!("mode       bare client        check   ratio     MiB   CPU s");
    for mode in ["length", "outline", "full"] {
        let mut ratios = Vec::new();
        let (mut bares, mut checks, mut most, mut cpus) = (Vec::new(), Vec::new(), 0, Vec::new());
        for _ in 0..rounds {
            let bare = keys as f64 / bare(&servers).as_secs_f64();
            let (took, memory, cpu) = check(&servers, mode);
            let rate = keys as f64 / took.as_secs_f64();
            ratios.push(rate / bare);
            bares.push(bare);
            checks.push(rate);
            cpus.push(cpu * 1e6 / keys as f64);
            most = most.max(memory);
        }
        println!(
            "{mode:<8} {:>13.0} {:>12.0} {:>7.2} {:>7.0} {:>7.1}",
            median(bares),
            median(checks),
            median(ratios),
            most as f64 / f64::from(1 << 20),
            median(cpus)
        );
        assert!(most < MOST_MEMORY, "{most} bytes");
    }
}

/// Wall time, peak memory in bytes, CPU seconds.
fn check(servers: &[RedisServer; 2], mode: &str) -> (Duration, u64, f64) {
    let settings = Settings::replicate(&servers[0].addr(), "redis-standalone", &[servers[1].addr()])
        .set("dashboard.addr", "")
        .set("logging.level", "warn");
    let begin = Instant::now();
    let mut program = Df2redis::spawn("check", settings, &["--mode", mode]);
    let (mut memory, mut cpu, mut took) = (0, 0.0, Duration::ZERO);
    while program.is_running() {
        memory = memory.max(program.peak_resident_bytes().unwrap_or_default());
        cpu = cpu_seconds(program.pid()).max(cpu);
        took = begin.elapsed();
        wait::pace(Duration::from_millis(5));
    }
    let output = program.wait_exit(DEADLINE);
    assert_eq!(output.code(), 0, "{output:?}");
    (took, memory, cpu)
}

/// Both servers at the same time, each over one connection.
fn bare(servers: &[RedisServer; 2]) -> Duration {
    let begin = Instant::now();
    std::thread::scope(|scope| {
        let clients = servers.each_ref().map(|server| scope.spawn(|| go_through(&server.endpoint())));
        let keys = clients.map(|client| client.join().expect("the servers live"));
        assert_eq!(keys[0], keys[1], "both hold the same");
    });
    begin.elapsed()
}

/// SCAN, and for each key TYPE, its length and PTTL: every reply is one line.
fn go_through(endpoint: &Endpoint) -> u64 {
    let mut to = TcpStream::connect(&endpoint.addr).expect("the server listens");
    to.set_nodelay(true).expect("a socket takes it");
    let mut from = BufReader::with_capacity(256 << 10, to.try_clone().expect("a socket can be cloned"));
    let (mut cursor, mut keys, mut out) = (b"0".to_vec(), 0, Vec::new());
    loop {
        out.clear();
        command(&mut out, &[b"SCAN", &cursor, b"COUNT", b"1000"]);
        to.write_all(&out).expect("the server lives");
        let page = page(&mut from);
        out.clear();
        for key in &page[1..] {
            let length: &[u8] = match key[0] {
                b'h' => b"HLEN",
                b'l' => b"LLEN",
                b'e' => b"SCARD",
                b'z' => b"ZCARD",
                _ => b"STRLEN",
            };
            [&b"TYPE"[..], length, b"PTTL"].into_iter().for_each(|word| command(&mut out, &[word, key]));
        }
        to.write_all(&out).expect("the server lives");
        let mut lines = (page.len() - 1) * 3;
        while lines > 0 {
            let buffer = from.fill_buf().expect("the server lives");
            let length = buffer.len();
            lines -= buffer.iter().filter(|byte| **byte == b'\n').count();
            from.consume(length);
        }
        keys += page.len() as u64 - 1;
        cursor.clone_from(&page[0]);
        if cursor == b"0" {
            return keys;
        }
    }
}

fn command(out: &mut Vec<u8>, args: &[&[u8]]) {
    // Writing into memory does not fail.
    let _ = write!(out, "*{}\r\n", args.len());
    for arg in args {
        let _ = write!(out, "${}\r\n", arg.len());
        out.extend_from_slice(arg);
        out.extend_from_slice(b"\r\n");
    }
}

/// The cursor, then the names.
fn page(from: &mut impl BufRead) -> Vec<Vec<u8>> {
    assert_eq!(number(from), 2);
    let mut parts = vec![bulk(from)];
    let names = number(from);
    parts.extend((0..names).map(|_| bulk(from)));
    parts
}

fn bulk(from: &mut impl BufRead) -> Vec<u8> {
    let mut bytes = vec![0; number(from) + 2];
    from.read_exact(&mut bytes).expect("the server lives");
    bytes.truncate(bytes.len() - 2);
    bytes
}

/// The number behind a type byte.
fn number(from: &mut impl BufRead) -> usize {
    let mut line = String::new();
    from.read_line(&mut line).expect("the server lives");
    line[1..].trim().parse().unwrap_or_else(|_| panic!("no number: {line}"))
}

//! A network that loses packets: the program in a network namespace of its own, with a router between it and the servers.
//!
//! ```text
//!  program ── router ── servers (this process's own namespace; the source under one address, all else under another)
//! ```
//!
//! What the router drops is dropped without a word: no connection is closed, no host is reported as unreachable.

use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

/// What the names of all our namespaces begin with; the process's id follows.
const NAME: &str = "df2redis-test-";

/// What gets lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lost {
    /// Everything between the program and the source.
    Everything,
    /// What belongs to connections that exist now; new ones work. A firewall that was restarted does this.
    OldConnections,
}

/// The network of one test. It is gone on drop.
#[derive(Debug)]
pub struct Network {
    program: String,
    router: String,
    /// The first three numbers of all its addresses.
    net: String,
}

impl Network {
    /// Lays it out, or prints `SKIPPED <test name>: ` with the reason where this process may not.
    pub fn start_or_skip(test_name: &str) -> Option<Self> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let (pid, count) = (std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        remove_leftovers();
        // A private block, one of its networks for each; two processes seldom meet, and then the second says so.
        let number = pid.wrapping_mul(8).wrapping_add(count) % (128 * 256);
        let net = format!("10.{}.{}", 128 + number / 256, number % 256);
        let name = format!("{NAME}{pid}-{count}");
        let network = Network { program: format!("{name}-program"), router: format!("{name}-router"), net };
        let made = Command::new("ip").args(["netns", "add", &network.program]).output();
        let why = match made {
            Ok(made) if made.status.success() => {
                network.lay_out();
                return Some(network);
            }
            Ok(made) => String::from_utf8_lossy(&made.stderr).trim().to_owned(),
            Err(error) => format!("ip: {error}"),
        };
        eprintln!("SKIPPED {test_name}: no network namespaces here: {why}");
        std::mem::forget(network);
        None
    }

    fn lay_out(&self) {
        let (p, r, net) = (&self.program, &self.router, &self.net);
        // One name for each network; at most 15 characters are allowed.
        let end = format!("d{}", net.replace('.', ""));
        let own = std::process::id();
        for words in [
            format!("netns add {r}"),
            format!("-n {r} link add upper type veth peer name eth netns {p}"),
            format!("-n {r} link add lower type veth peer name {end} netns {own}"),
            format!("-n {r} addr add {net}.1/30 dev upper"),
            format!("-n {p} addr add {net}.2/30 dev eth"),
            format!("-n {r} addr add {net}.129/28 dev lower"),
            format!("addr add {net}.130/28 dev {end}"),
            format!("addr add {net}.131/28 dev {end}"),
            format!("-n {p} link set lo up"),
            format!("-n {p} link set eth up"),
            format!("-n {r} link set upper up"),
            format!("-n {r} link set lower up"),
            format!("link set {end} up"),
            format!("-n {p} route add default via {net}.1"),
            format!("route add {net}.0/30 via {net}.129"),
        ] {
            ip(&words);
        }
        run(&["ip", "netns", "exec", r, "sh", "-c", "echo 1 >/proc/sys/net/ipv4/ip_forward"]);
    }

    /// The words in front of a command that makes it run at the program's end.
    pub fn entrance(&self) -> [&str; 4] {
        ["ip", "netns", "exec", &self.program]
    }

    /// The program's address, as the servers see it.
    pub fn program(&self) -> String {
        format!("{}.2", self.net)
    }

    /// The address under which the program finds the source.
    pub fn source(&self) -> String {
        format!("{}.131", self.net)
    }

    /// The address under which the program finds everything else. It is the first one of this end, and so that from which
    /// connections to the program come.
    pub fn others(&self) -> String {
        format!("{}.130", self.net)
    }

    /// Loses packets between the program and the source from now on.
    pub fn lose(&self, what: Lost) {
        let (router, program, source) = (&self.router, self.program(), self.source());
        match what {
            Lost::Everything => {
                for (from, to) in [(&program, &source), (&source, &program)] {
                    ip(&format!("-n {router} rule add from {from} to {to} blackhole"));
                }
            }
            Lost::OldConnections => {
                let ports = self.connections();
                assert!(!ports.is_empty(), "no connection to the source");
                for port in ports {
                    let tcp = format!("-n {router} rule add ipproto tcp");
                    ip(&format!("{tcp} from {program} to {source} sport {port} blackhole"));
                    ip(&format!("{tcp} from {source} to {program} dport {port} blackhole"));
                }
            }
        }
    }

    /// Loses nothing any more.
    pub fn heal(&self) {
        // Without a rule left the command fails.
        while Command::new("ip")
            .args(["-n", &self.router, "rule", "del", "blackhole"])
            .stderr(std::process::Stdio::null())
            .status()
            .expect("ip was there before")
            .success()
        {}
    }

    /// The program's ports of its connections to the source.
    fn connections(&self) -> Vec<u16> {
        let source = self.source();
        let [ip, netns, exec, program] = self.entrance();
        let listed = run(&[ip, netns, exec, program, "ss", "-Htn", "dst", &source]);
        let local = |line: &str| line.split_whitespace().nth(3)?.rsplit_once(':')?.1.parse().ok();
        listed.lines().filter_map(local).collect()
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        for name in [&self.program, &self.router] {
            // A test may already be failing, and the other one has to go as well.
            let _ = Command::new("ip").args(["netns", "del", name]).status();
        }
    }
}

/// Networks of processes that were killed.
fn remove_leftovers() {
    let Ok(listed) = Command::new("ip").args(["netns", "list"]).output() else { return };
    for name in String::from_utf8_lossy(&listed.stdout).lines().filter_map(|line| line.split(' ').next()) {
        let pid = name.strip_prefix(NAME).and_then(|rest| rest.split('-').next());
        if pid.is_some_and(|pid| !std::path::Path::new("/proc").join(pid).exists()) {
            // Another process may be doing the same.
            let _ = Command::new("ip").args(["netns", "del", name]).output();
        }
    }
}

fn ip(words: &str) -> String {
    let words: Vec<&str> = std::iter::once("ip").chain(words.split_whitespace()).collect();
    run(&words)
}

/// Runs a command that has to succeed, and returns what it printed.
fn run(words: &[&str]) -> String {
    let output = Command::new(words[0]).args(&words[1..]).output();
    let output = output.unwrap_or_else(|e| panic!("{}: {e}", words[0]));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{}: {}", words.join(" "), said.trim());
    String::from_utf8_lossy(&output.stdout).into_owned()
}

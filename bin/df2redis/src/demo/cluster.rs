//! A real Redis Cluster of three masters, formed by CLUSTER ADDSLOTSRANGE and MEET.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use resp::{ConnectOptions, Connection, Reply};
use tokio::process::{Child, Command};
use tokio::time::{Instant, sleep};

use super::ports::Ports;

const MASTERS: usize = 3;
const SLOTS: usize = 16_384;
/// How long the servers may take to start and to agree.
const PATIENCE: Duration = Duration::from_secs(20);
const LOOK: Duration = Duration::from_millis(50);

/// The running servers. They are killed with it.
#[derive(Debug, Default)]
pub(crate) struct Cluster {
    nodes: Vec<Node>,
    version: String,
}

#[derive(Debug)]
struct Node {
    server: Child,
    port: u16,
    bus: u16,
}

/// The version of `redis-server`, if it can carry the demo.
pub(crate) async fn version() -> Result<String> {
    const INSTALL: &str = "install Redis 7.0 or later, for example by `apt-get install redis-server`";
    let output = match Command::new("redis-server").arg("--version").output().await {
        Ok(output) => String::from_utf8_lossy(&output.stdout).into_owned(),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            bail!("redis-server is not on the PATH; {INSTALL}")
        }
        Err(error) => bail!("redis-server does not start: {error}; {INSTALL}"),
    };
    let version = output.split_whitespace().find_map(|word| word.strip_prefix("v=")).unwrap_or("unknown");
    let major = version.split('.').next().and_then(|major| major.parse::<u32>().ok());
    ensure!(major >= Some(7), "redis-server is of version {version}; {INSTALL}");
    Ok(version.to_owned())
}

impl Cluster {
    /// Starts the servers in `dir` and waits until they serve every slot.
    pub(crate) async fn start(&mut self, dir: &Path, ports: &mut Ports) -> Result<()> {
        self.version = version().await?;
        for index in 0..MASTERS {
            self.nodes.push(Node::start(dir, index, ports)?);
        }
        for (index, node) in self.nodes.iter_mut().enumerate() {
            node.wait_answering().await?;
            let mut connection = node.connect().await?;
            // Distinct epochs from the start spare the nodes their collision resolution.
            ok(&mut connection, &["CLUSTER", "SET-CONFIG-EPOCH", &(index + 1).to_string()]).await?;
            let (first, last) = (SLOTS * index / MASTERS, SLOTS * (index + 1) / MASTERS - 1);
            ok(&mut connection, &["CLUSTER", "ADDSLOTSRANGE", &first.to_string(), &last.to_string()]).await?;
        }
        let mut first = self.nodes[0].connect().await?;
        for node in &self.nodes[1..] {
            let (port, bus) = (node.port.to_string(), node.bus.to_string());
            ok(&mut first, &["CLUSTER", "MEET", "127.0.0.1", &port, &bus]).await?;
        }
        self.wait_ok().await
    }

    /// `host:port` of every master.
    pub(crate) fn addrs(&self) -> Vec<String> {
        self.nodes.iter().map(Node::addr).collect()
    }

    /// Version of the servers.
    pub(crate) fn version(&self) -> &str {
        &self.version
    }

    /// SIGKILL to every server; waits for their end.
    pub(crate) async fn kill(&mut self) {
        for node in &mut self.nodes {
            // One that has ended by itself is as good.
            let _ = node.server.kill().await;
        }
        self.nodes.clear();
    }

    /// Every node says that the cluster is up, and knows all owners.
    async fn wait_ok(&self) -> Result<()> {
        let deadline = Instant::now() + PATIENCE;
        for node in &self.nodes {
            let mut connection = node.connect().await?;
            loop {
                let info = connection.call(&["CLUSTER", "INFO"]).await?;
                let info = info.as_str().unwrap_or_default();
                let size = format!("cluster_size:{MASTERS}");
                let has = |line: &str| info.lines().any(|l| l.trim_end() == line);
                if has("cluster_state:ok") && has(&size) {
                    break;
                }
                ensure!(Instant::now() < deadline, "the Redis Cluster did not form within {PATIENCE:?}");
                sleep(LOOK).await;
            }
        }
        Ok(())
    }
}

impl Node {
    fn start(dir: &Path, index: usize, ports: &mut Ports) -> Result<Node> {
        let (port, bus) = (ports.free()?, ports.free()?);
        let dir = dir.join(format!("redis-{index}"));
        std::fs::create_dir(&dir).with_context(|| format!("cannot create {}", dir.display()))?;
        let mut command = Command::new("redis-server");
        // Nothing is saved: the servers are gone at the end.
        for (name, value) in [
            ("--bind", "127.0.0.1"),
            ("--port", &port.to_string()),
            ("--cluster-port", &bus.to_string()),
            ("--cluster-enabled", "yes"),
            ("--cluster-node-timeout", "5000"),
            ("--save", ""),
            ("--appendonly", "no"),
            ("--logfile", "redis.log"),
        ] {
            command.args([name, value]);
        }
        command.current_dir(&dir).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let server = command.kill_on_drop(true).spawn().context("redis-server does not start")?;
        Ok(Node { server, port, bus })
    }

    fn addr(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    async fn connect(&self) -> Result<Connection> {
        Ok(Connection::open(&ConnectOptions::new(self.addr())).await?)
    }

    async fn wait_answering(&mut self) -> Result<()> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(status) = self.server.try_wait()? {
                bail!("redis-server on port {} ended at once: {status}", self.port);
            }
            if let Ok(mut connection) = self.connect().await
                && connection.call(&["PING"]).await.is_ok()
            {
                return Ok(());
            }
            ensure!(Instant::now() < deadline, "redis-server on port {} does not answer", self.port);
            sleep(LOOK).await;
        }
    }
}

async fn ok(connection: &mut Connection, args: &[&str]) -> Result<()> {
    match connection.call(args).await? {
        Reply::Error(line) => bail!("{}: {}", args.join(" "), resp::printable(&line)),
        _ => Ok(()),
    }
}

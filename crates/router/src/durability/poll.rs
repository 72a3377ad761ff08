//! The connection that asks one node, again and again.

use std::sync::{Arc, Weak};
use std::time::Duration;

use resp::Connection;
use tokio::time::{Instant, sleep, timeout};
use tracing::{debug, warn};

use crate::durability::NodeWatch;
use crate::durability::ask::{self, Answer};
use crate::durability::shared::Shared;
use crate::error::Error;
use crate::target::NodeId;

/// Between two polls while writes wait to be settled.
const BUSY: Duration = Duration::from_millis(50);
/// Between two polls otherwise, and between two looks at the disk.
const IDLE: Duration = Duration::from_secs(1);
/// Between two looks at what the cluster knows about replicas.
const REPLICAS: Duration = Duration::from_secs(10);
/// How long a node may take for one poll.
const LIMIT: Duration = Duration::from_secs(5);
/// First and longest pause before a node that does not answer is asked again.
const BACK_OFF: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(1));

/// Asks the node until the watch is gone or the node serves nothing any more.
pub(crate) async fn run(watch: Weak<NodeWatch>, node: NodeId, shared: Arc<Shared>) {
    let mut pause = BACK_OFF.0;
    loop {
        let opened = match watch.upgrade() {
            Some(watch) => timeout(LIMIT, open(&watch, node, &shared)).await,
            None => return,
        };
        let trouble = match opened {
            Ok(Ok(connection)) => {
                pause = BACK_OFF.0;
                match poll(&watch, node, &shared, connection).await {
                    Ok(()) => return,
                    Err(trouble) => trouble,
                }
            }
            Ok(Err(error)) => error.to_string(),
            Err(_) => "no answer in time".to_owned(),
        };
        let Some(strong) = watch.upgrade() else { return };
        debug!(node = strong.address(node), trouble, "node not asked");
        strong.in_trouble(node, &shared);
        if strong.is_done_with(node, &shared) {
            return;
        }
        drop(strong);
        sleep(pause).await;
        pause = (pause * 2).min(BACK_OFF.1);
    }
}

async fn open(watch: &Arc<NodeWatch>, node: NodeId, shared: &Shared) -> Result<Connection, Error> {
    let mut connection = watch.connect(node).await?;
    watch.look(node, &mut connection).await?;
    let fsync = ask::fsync(&mut connection).await?;
    let replicas = match watch.is_cluster() {
        true => ask::has_replicas(&mut connection).await?,
        false => false,
    };
    watch.update(shared, |node| {
        node.fsync = fsync;
        node.has_replicas = replicas;
    });
    Ok(connection)
}

/// Polls on one connection. Ends well when nobody watches any more, else with what is wrong.
async fn poll(
    watch: &Weak<NodeWatch>,
    node: NodeId,
    shared: &Arc<Shared>,
    mut connection: Connection,
) -> Result<(), String> {
    let mut last = Instant::now();
    let (mut disk, mut replicas_asked) = (last, last);
    loop {
        due(shared, last).await;
        let Some(watch) = watch.upgrade() else { return Ok(()) };
        last = Instant::now();
        let look_at_disk = last.duration_since(disk) >= IDLE;
        if look_at_disk {
            disk = last;
        }
        let (number, online, denied) = watch.update(shared, |node| {
            let online = node.known.as_ref().map_or(0, |known| known.replication.online());
            (node.begin(), online, node.denied)
        });
        if denied {
            watch.update(shared, |node| node.passed(number, last, Instant::now()));
            // The connection tells nothing else; whether it lives, this does.
            call(&mut connection, ask::fsync).await?;
            continue;
        }
        let online = if shared.is_wanted() { online } else { 0 };
        let polled = match timeout(LIMIT, ask::poll(&mut connection, online, look_at_disk)).await {
            Ok(Ok(Answer::Told(polled))) => polled,
            Ok(Ok(Answer::Denied)) => {
                warn!(
                    node = watch.address(node),
                    "INFO is not allowed any more: only time tells what is safe"
                );
                watch.update(shared, |node| node.denied = true);
                continue;
            }
            Ok(Err(error)) => return Err(error.to_string()),
            Err(_) => return Err("no answer in time".into()),
        };
        let same = watch.update(shared, |node| {
            let now = Instant::now();
            let same = node.polled(number, last, &polled.before, polled.after, now);
            if same && let Some((persistence, keys)) = polled.disk {
                node.saved(number, persistence, keys, now);
            }
            same
        });
        if !same {
            // Another history, or a replica now: everything is read anew.
            return Err("it is not what it was".into());
        }
        if watch.is_cluster() && last.duration_since(replicas_asked) >= REPLICAS {
            replicas_asked = last;
            let found = call(&mut connection, ask::has_replicas).await?;
            watch.update(shared, |node| node.has_replicas = found);
        }
    }
}

async fn call<T>(
    connection: &mut Connection,
    question: impl AsyncFnOnce(&mut Connection) -> Result<T, Error>,
) -> Result<T, String> {
    match timeout(LIMIT, question(connection)).await {
        Ok(answer) => answer.map_err(|error| error.to_string()),
        Err(_) => Err("no answer in time".into()),
    }
}

/// Waits for the time of the next poll.
async fn due(shared: &Shared, last: Instant) {
    loop {
        let pause = if shared.is_wanted() { BUSY } else { IDLE };
        let at = last + pause;
        if Instant::now() >= at {
            return;
        }
        tokio::select! {
            biased;
            () = tokio::time::sleep_until(at) => {}
            () = shared.wake.notified() => {}
        }
    }
}

//! Before the first byte is written: is this the target the checkpoint knows, and may we write to it.

use checkpoint::{Kept, NodeMark, State, TargetIdentity};
use command::Mapping;
use config::ExistingData;
use router::durability::{self, Mark};
use router::side::Side;
use router::{Identity, Retired, Target};
use tracing::{info, warn};

use crate::error::Error;
use crate::global;
use crate::settings::Settings;

/// The target's identity in the checkpoint's form.
pub fn identity(target: &Target) -> TargetIdentity {
    match target.identity() {
        Identity::Standalone { address, run_id } => TargetIdentity::Standalone { address, run_id },
        Identity::Cluster { node_ids } => TargetIdentity::Cluster { node_ids },
    }
}

fn describe(identity: &TargetIdentity) -> String {
    match identity {
        TargetIdentity::Standalone { address, .. } => format!("the server {address}"),
        TargetIdentity::Cluster { node_ids } => {
            let first = node_ids.first().map(String::as_str).unwrap_or("none");
            format!("the cluster of {} nodes with node {first}", node_ids.len())
        }
    }
}

/// Compares the target with the one that the checkpoint names.
///
/// # Errors
/// [`Error::OtherTarget`].
pub fn check_identity(settings: &Settings, state: Option<&State>, target: &Target) -> Result<(), Error> {
    let found = identity(target);
    match state {
        Some(state) if !state.target.same_target(&found) => Err(Error::OtherTarget {
            dir: settings.checkpoint_dir.display().to_string(),
            stored: describe(&state.target),
            found: describe(&found),
        }),
        _ => Ok(()),
    }
}

/// Before the first full sync of a checkpoint: what to do with data that is there already. Returns whether there is any
/// that stays. From here on the target is named: what a crash leaves behind is ours.
///
/// # Errors
/// [`Error::ForeignData`] unless the configuration says otherwise; the target's.
pub async fn first_contact(
    settings: &Settings,
    target: &std::sync::Arc<Target>,
    mapping: &Mapping,
) -> Result<bool, Error> {
    let mut side = Side::new(target.clone());
    let keys = router::sweep::count(&mut side).await?;
    if keys == 0 {
        return Ok(false);
    }
    match settings.on_existing_data {
        ExistingData::Refuse => {
            let addr = settings.target.seeds.iter().map(|s| s.addr.clone()).collect::<Vec<_>>().join(",");
            Err(Error::ForeignData { addr, keys })
        }
        ExistingData::Merge => {
            warn!(
                keys,
                "the target holds data; it is written over and otherwise left (on_existing_data: merge)"
            );
            Ok(true)
        }
        ExistingData::Reconcile => {
            warn!(keys, "the target holds data; it is written over (on_existing_data: reconcile)");
            Ok(true)
        }
        ExistingData::Flush => {
            warn!(keys, "the target holds data; it is removed (on_existing_data: flush)");
            global::execute(&mut side, mapping, &command::Global::FlushAll).await?;
            info!("target emptied");
            Ok(false)
        }
    }
}

/// A node as the checkpoint keeps it.
pub fn stored_mark(mark: Mark) -> NodeMark {
    NodeMark {
        address: mark.address,
        run_id: mark.run_id,
        replication_id: mark.replid,
        offset: mark.offset,
        kept: match mark.kept {
            durability::Kept::Part => Kept::Part,
            durability::Kept::All => Kept::All,
            durability::Kept::Always => Kept::Always,
        },
        keys: mark.keys,
        taken_ms: mark.taken_ms,
    }
}

/// A node as the target's watch knows it.
pub fn mark(stored: &NodeMark) -> Mark {
    Mark {
        address: stored.address.clone(),
        run_id: stored.run_id.clone(),
        replid: stored.replication_id.clone(),
        offset: stored.offset,
        kept: match stored.kept {
            Kept::Part => durability::Kept::Part,
            Kept::All => durability::Kept::All,
            Kept::Always => durability::Kept::Always,
        },
        keys: stored.keys,
        taken_ms: stored.taken_ms,
    }
}

/// Says what became of the connections of an earlier run.
pub fn tell_retired(retired: &Retired) {
    match retired {
        Retired::Gone { killed: 0 } => {}
        Retired::Gone { killed } => {
            info!(killed, "connections of an earlier run were still open on the target")
        }
        Retired::Unknown { nodes } => warn!(
            nodes = nodes.join(","),
            "the target's user may neither list nor kill clients: commands of an earlier run that still wait in a socket cannot \
             be ruled out"
        ),
    }
}

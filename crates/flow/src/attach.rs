//! Greeting a master and opening its flows.

use std::fmt;
use std::future::Future;

use handshake::{
    Control, FlowKind, FlowStart, Greeting, Identity, ResumeStyle, request_flow, request_flow_after,
};
use resp::{ConnectOptions, Connection};
use tokio::task::JoinSet;
use tracing::{debug, info};

use crate::attachment::{Attachment, SourceOptions};
use crate::error::AttachError;
use crate::socket::FlowSocket;
use crate::takeover::{self, Parting};

/// Where to go on: the state of an earlier attachment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resume {
    /// Replication id of the master that the LSNs belong to.
    pub replid: String,
    /// Per flow, the LSN of the next record wanted.
    pub lsns: Vec<u64>,
}

/// What follows on the flows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// A snapshot, then the journal.
    Full(FullReason),
    /// The journal from the LSNs that were asked for, on every flow.
    Partial,
}

/// Why there is a snapshot and not the journal from where it was left.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FullReason {
    /// Nothing was asked for.
    NotAsked,
    /// The master has another replication id: it was restarted, or is another server.
    OtherReplid {
        /// Replication id of the LSNs we have.
        ours: String,
        /// Replication id of the master.
        theirs: String,
    },
    /// The master has another number of flows.
    OtherFlowCount {
        /// LSNs we have.
        ours: usize,
        /// Flows of the master.
        theirs: usize,
    },
    /// Another master answers, and it is not certain that it has everything that was received from the former one.
    InDoubt {
        /// Replication id of the LSNs we have.
        ours: String,
        /// Replication id of the master.
        theirs: String,
        /// What is missing to be certain.
        doubt: &'static str,
    },
    /// The master's release cannot resume, or did not understand the request.
    Unsupported,
    /// The master does not hold the records any more, for any flow.
    Gone,
    /// The master still holds the records of some flows only.
    Mixed {
        /// Flows that it would have resumed.
        partial: usize,
        /// All flows.
        flows: usize,
    },
}

impl fmt::Display for FullReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            FullReason::NotAsked => write!(f, "no earlier position"),
            FullReason::OtherReplid { ours, theirs } => {
                write!(f, "the source was restarted or is another one (replication id {theirs}, ours {ours})")
            }
            FullReason::OtherFlowCount { ours, theirs } => {
                write!(f, "the source has {theirs} flows, the stored position has {ours}")
            }
            FullReason::InDoubt { ours, theirs, doubt } => write!(
                f,
                "another source (replication id {theirs}) may lack or have changed what {ours} sent: {doubt}"
            ),
            FullReason::Unsupported => write!(f, "this release of the source cannot resume"),
            FullReason::Gone => write!(f, "the source no longer holds the records since the stored position"),
            FullReason::Mixed { partial, flows } => {
                write!(f, "the source still holds the missed records of {partial} of {flows} flows only")
            }
        }
    }
}

/// Times that a master may be found restarted between its greeting and its flows before that is an error.
const RESTARTS: usize = 2;

/// Greets the master and opens all its flows at once. `resume` is used where the master allows it; otherwise, and if
/// the flows are answered differently, all of them start with a snapshot, and [`Answer::Full`] says why.
///
/// # Errors
/// Everything that was opened is closed again.
pub async fn attach(options: &SourceOptions, resume: Option<&Resume>) -> Result<Attachment, AttachError> {
    attach_after(options, resume, None).await
}

/// [`attach`], perhaps to a replica that has taken over from the master that `resume` belongs to. `parting` is how that
/// one ended, if the process that asks was attached to it until then.
///
/// Rule 22: a master with another replication id is asked to go on at these LSNs only if all of this holds; else it is
/// asked for a snapshot and [`FullReason::InDoubt`] says why. A replica promoted while behind numbers its own records
/// from where it stood, and answers PARTIAL for any number it has come to.
///
/// * The former master said that it was being taken over, and its last record on every flow was the PING it writes then.
/// * The new one is of release 1.34 or later and has the same number of flows.
/// * On every flow the record in front of ours is a PING there, too: the replica had started its journal before it asked
///   for the takeover, so a PING it received has its LSN. This is looked at on an attachment of its own.
///
/// # Errors
/// As of [`attach`].
pub async fn attach_after(
    options: &SourceOptions,
    resume: Option<&Resume>,
    parting: Option<&Parting>,
) -> Result<Attachment, AttachError> {
    // The master that was found to go on with the former one's records.
    let mut heir: Option<String> = None;
    // Once a resume has failed, the reason; no LSN is sent any more.
    let mut refused: Option<FullReason> = None;
    let mut restarts = 0;
    loop {
        let control = greet(options).await?;
        let plan = match (&refused, resume) {
            (Some(reason), _) => Err(reason.clone()),
            (None, None) => Err(FullReason::NotAsked),
            (None, Some(resume)) => match (plan(control.greeting(), resume), parting) {
                (Err(FullReason::OtherReplid { ours, theirs }), Some(parting)) => {
                    if heir.as_ref() == Some(&theirs) || !options.rules.on(22) {
                        Ok(Start::After(resume))
                    } else {
                        match takeover::doubt(options, control, resume, parting).await? {
                            Some(doubt) => refused = Some(FullReason::InDoubt { ours, theirs, doubt }),
                            None => heir = Some(theirs),
                        }
                        continue;
                    }
                }
                (plan, _) => plan.map(Start::Lsns),
            },
        };
        let opened =
            open_flows(options, control.greeting(), plan.as_ref().copied().unwrap_or(Start::Snapshot)).await;
        let flows = match opened {
            Ok(flows) => flows,
            Err(error) => {
                drop(control);
                match error.cause() {
                    // The process behind the address changed between the greeting and the flows.
                    Some(handshake::Error::BadMasterId { .. } | handshake::Error::SyncIdNotFound { .. })
                        if restarts < RESTARTS =>
                    {
                        restarts += 1;
                        info!(%error, "source changed while attaching, greeting again");
                        continue;
                    }
                    // Releases before 1.11 take no LSN; seen only where the release is not known.
                    Some(handshake::Error::Refused { .. }) if plan.is_ok() => {
                        debug!(%error, "flow with an lsn refused");
                        refused = Some(FullReason::Unsupported);
                        continue;
                    }
                    _ => return Err(error),
                }
            }
        };
        let took_over = matches!(plan, Ok(Start::After(_)));
        let partial = flows.iter().filter(|f| f.kind == FlowKind::Partial).count();
        let answer = match plan {
            Ok(_) if partial == flows.len() => Answer::Partial,
            Ok(_) if partial == 0 => Answer::Full(FullReason::Gone),
            Ok(_) => {
                // The attachment cannot be used; control first, so that the master ends it as a whole.
                control.close(options.timeouts.close).await;
                refused = Some(FullReason::Mixed { partial, flows: flows.len() });
                continue;
            }
            Err(_) if partial > 0 => {
                return Err(AttachError::UnaskedPartial { addr: control.addr().to_owned() });
            }
            Err(reason) => Answer::Full(reason),
        };
        let greeting = control.greeting().clone();
        let kind = if answer == Answer::Partial { "partial" } else { "full" };
        info!(
            addr = control.addr(),
            flows = flows.len(),
            sync_id = greeting.sync_id,
            answer = kind,
            "attached"
        );
        let took_over = took_over && answer == Answer::Partial;
        let (timeouts, connect) = (options.timeouts, options.connect.clone());
        return Ok(Attachment { greeting, answer, took_over, flows, control, timeouts, connect });
    }
}

/// Who answers there: greets the master, and lets it go again.
///
/// # Errors
/// As of [`attach`].
pub async fn look(options: &SourceOptions) -> Result<Greeting, AttachError> {
    let control = greet(options).await?;
    let greeting = control.greeting().clone();
    control.close(options.timeouts.close).await;
    Ok(greeting)
}

/// Gives up when the whole takes too long: a master that answers each request slowly is as good as none.
async fn within<T>(
    options: &SourceOptions,
    what: &'static str,
    opening: impl Future<Output = Result<T, handshake::Error>>,
) -> Result<T, handshake::Error> {
    let after = options.timeouts.opening;
    match tokio::time::timeout(after, opening).await {
        Ok(result) => result,
        Err(_) => Err(resp::Error::Timeout { addr: options.connect.addr.clone(), what, after }.into()),
    }
}

/// What the flows are asked for.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Start<'a> {
    Snapshot,
    Lsns(&'a [u64]),
    /// The records of a former master.
    After(&'a Resume),
}

pub(crate) async fn greet(options: &SourceOptions) -> Result<Control, AttachError> {
    let identity = Identity { listening_port: options.listening_port, client_id: options.client_id.clone() };
    let greeting = Control::greet(&options.connect, &identity, options.known_release);
    Ok(within(options, "the greeting", greeting).await?)
}

/// The LSNs to ask for, or why none.
fn plan<'a>(greeting: &Greeting, resume: &'a Resume) -> Result<&'a [u64], FullReason> {
    if greeting.replid != resume.replid {
        let (ours, theirs) = (resume.replid.clone(), greeting.replid.clone());
        return Err(FullReason::OtherReplid { ours, theirs });
    }
    if greeting.flows != resume.lsns.len() {
        return Err(FullReason::OtherFlowCount { ours: resume.lsns.len(), theirs: greeting.flows });
    }
    match greeting.resume_style() {
        ResumeStyle::None => Err(FullReason::Unsupported),
        ResumeStyle::Journal | ResumeStyle::Rdb => Ok(&resume.lsns),
    }
}

/// Opens all flows concurrently; the first failure ends the others.
pub(crate) async fn open_flows(
    options: &SourceOptions,
    greeting: &Greeting,
    start: Start<'_>,
) -> Result<Vec<FlowSocket>, AttachError> {
    let mut opening = JoinSet::new();
    for id in 0..greeting.flows {
        let start = match start {
            Start::Snapshot => Ok(FlowStart::Snapshot),
            Start::Lsns(lsns) => Ok(FlowStart::Lsn(lsns[id])),
            Start::After(former) => Err(former.clone()),
        };
        let (options, greeting) = (options.clone(), greeting.clone());
        opening.spawn(async move {
            let opened = open_flow(&options.connect, &greeting, id, start.as_ref());
            let flow = within(&options, "DFLY FLOW", opened).await;
            flow.map_err(|source| AttachError::Flow { flow: id, source })
        });
    }
    let mut flows = Vec::with_capacity(greeting.flows);
    while let Some(opened) = opening.join_next().await {
        flows.push(opened.expect("no task of this set is cancelled or panics")?);
    }
    flows.sort_by_key(|f| f.id);
    Ok(flows)
}

async fn open_flow(
    connect: &ConnectOptions,
    greeting: &Greeting,
    id: usize,
    start: Result<&FlowStart, &Resume>,
) -> Result<FlowSocket, handshake::Error> {
    let mut connection = Connection::open(connect).await?;
    let reply = match start {
        Ok(&start) => request_flow(&mut connection, greeting, id, start).await?,
        Err(former) => {
            request_flow_after(&mut connection, greeting, id, &former.replid, &former.lsns).await?
        }
    };
    Ok(FlowSocket::new(id, reply.kind, reply.eof_token, connection))
}

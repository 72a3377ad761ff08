//! One client connection's state, and the commands that are about it.

mod identity;
mod replication;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::time::Instant;

use crate::attach::FlowLink;
use crate::commands::{self, Outcome, is};
use crate::engine::{Engine, Renamed};
use crate::info;
use crate::outbox::Outbox;
use crate::reply::Reply;

/// What the connection does after a request was looked at.
#[derive(Debug)]
pub(crate) enum Step {
    Reply(Reply),
    /// Nothing is answered.
    Silent,
    /// Answer and close.
    Close(Reply),
    /// Not now: try the same request again when something has changed.
    Later,
    /// The connection becomes a flow.
    Flow(FlowLink, Reply),
    /// Run the snapshots of this attachment.
    Sync(u32),
    /// End the full sync of this attachment, once its snapshots are through.
    Stable(u32),
    /// Wait until this many replicas have acknowledged these LSNs.
    Wait {
        replicas: usize,
        targets: Vec<u64>,
        timeout: Option<Duration>,
    },
    /// A write went over the limit of a flow: answer when it has drained.
    Saturated(Reply, u32, Arc<Outbox>),
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum User {
    Nobody,
    Default,
    /// May only run PING, REPLCONF and DFLY.
    Replication(String),
}

/// The state of one connection.
#[derive(Debug)]
pub(crate) struct Session {
    pub(crate) id: u64,
    /// Which life of the master it belongs to; see [`Engine::life`].
    pub(crate) life: u64,
    peer: String,
    user: User,
    db: u16,
    pub(crate) resp3: bool,
    queue: Option<Vec<Vec<Bytes>>>,
    queue_failed: bool,
    /// The attachment this is the control connection of.
    pub(crate) attachment: Option<u32>,
    port: u16,
    name: Bytes,
    /// When a blocking command gives up.
    blocked_until: Option<Option<Instant>>,
}

const OK: Step = Step::Reply(Reply::OK);

fn fail(text: &str) -> Step {
    Step::Reply(Reply::Error(text.to_owned()))
}

impl Session {
    pub(crate) fn new(id: u64, peer: String, engine: &Engine) -> Session {
        let user = if engine.settings.password.is_some() { User::Nobody } else { User::Default };
        Session {
            id,
            life: engine.life,
            peer,
            user,
            db: 0,
            resp3: false,
            queue: None,
            queue_failed: false,
            attachment: None,
            port: 0,
            name: Bytes::new(),
            blocked_until: None,
        }
    }

    /// Looks at one request.
    pub(crate) fn step(&mut self, engine: &mut Engine, args: &[Bytes]) -> Step {
        let Some(name) = args.first() else { return Step::Silent };
        let upper = String::from_utf8_lossy(name).to_ascii_uppercase();
        // Before the login is looked at (v1.40.1 `main_service.cc` VerifyCommandState).
        if engine.taken_over && !matches!(upper.as_str(), "PING" | "REPLCONF" | "DFLY" | "CONFIG") {
            return loading();
        }
        match (&self.user, upper.as_str()) {
            (_, "AUTH") => return self.auth(engine, &args[1..]),
            (_, "QUIT") => return Step::Close(Reply::OK),
            (User::Nobody, "HELLO") => {}
            (User::Nobody, _) => return fail("NOAUTH Authentication required."),
            (User::Replication(_), "PING" | "REPLCONF" | "DFLY") => {}
            (User::Replication(user), _) => {
                return Step::Reply(Reply::Error(format!("NOPERM {user} has no ACL permissions")));
            }
            (User::Default, _) => {}
        }
        if engine.faults.denies(args) {
            let user = match &self.user {
                User::Replication(user) => user,
                _ => "default",
            };
            return Step::Reply(Reply::Error(format!("NOPERM {user} has no ACL permissions")));
        }
        if self.queue.is_some()
            && !matches!(upper.as_str(), "EXEC" | "DISCARD" | "MULTI" | "REPLCONF" | "DFLY")
        {
            return self.enqueue(&upper, args);
        }
        match upper.as_str() {
            "PING" => Step::Reply(args.get(1).map_or(Reply::Simple("PONG"), |m| Reply::Bulk(m.clone()))),
            "ECHO" if args.len() == 2 => Step::Reply(Reply::Bulk(args[1].clone())),
            "HELLO" => self.hello(engine, &args[1..]),
            "SELECT" => self.select(&args[1..]),
            "CLIENT" => self.client(engine, &args[1..]),
            "COMMAND" => match args.get(1) {
                Some(w) if is(w, "COUNT") => Step::Reply(Reply::Int(0)),
                Some(w) if is(w, "INFO") => {
                    let told = |name: &&Bytes| {
                        let of = |r: &&Renamed| r.told && name.eq_ignore_ascii_case(r.name.as_bytes());
                        engine.renamed.iter().find(of)
                    };
                    let info = |name: &Bytes| told(&name).map_or(Reply::NilArray, info::command);
                    Step::Reply(Reply::Array(args[2..].iter().map(info).collect()))
                }
                _ => Step::Reply(Reply::Array(Vec::new())),
            },
            "CONFIG" => Step::Reply(info::config(engine, &args[1..])),
            "INFO" => Step::Reply(Reply::bulk(info::info(engine, &args[1..]))),
            "ROLE" => Step::Reply(info::role(engine)),
            "CLUSTER" => Step::Reply(info::cluster(engine, &args[1..])),
            "TIME" => Step::Reply(info::time(&engine.settings.clock)),
            "REPLCONF" => self.replconf(engine, &args[1..]),
            "DFLY" => self.dfly(engine, &args[1..]),
            "WAIT" => Self::wait(engine, &args[1..]),
            "MULTI" => {
                if self.queue.is_some() {
                    return fail("ERR MULTI calls can not be nested");
                }
                self.queue = Some(Vec::new());
                self.queue_failed = false;
                OK
            }
            "DISCARD" => match self.queue.take() {
                Some(_) => OK,
                None => fail("ERR DISCARD without MULTI"),
            },
            "WATCH" | "UNWATCH" => OK,
            "EXEC" => self.exec(engine),
            _ => self.data(engine, &upper, args),
        }
    }

    fn data(&mut self, engine: &mut Engine, name: &str, args: &[Bytes]) -> Step {
        let lacks = matches!(name, "PEXPIRETIME" | "EXPIRETIME") && !engine.profile().pexpiretime;
        let Some(spec) = engine.command(name.as_bytes()).filter(|_| !lacks) else {
            return Step::Reply(Reply::Error(format!("ERR unknown command `{name}`")));
        };
        if engine.is_loading() {
            return loading();
        }
        if engine.replica && spec.write {
            return fail("READONLY You can't write against a read only replica.");
        }
        if engine.guard > 0 || engine.paused().is_some_and(|p| spec.write || !p.writes_only) {
            return Step::Later;
        }
        match commands::run(engine, self.db, 0, spec, args) {
            Outcome::Done(reply) => {
                self.blocked_until = None;
                match engine.saturated() {
                    Some((id, outbox)) if spec.write => Step::Saturated(reply, id, outbox),
                    _ => Step::Reply(reply),
                }
            }
            Outcome::Blocked => self.block(args),
        }
    }

    /// A blocking command: its last argument, or its second for the MPOP family, is the timeout in seconds.
    fn block(&mut self, args: &[Bytes]) -> Step {
        let until = *self.blocked_until.get_or_insert_with(|| {
            let at = if args[0].to_ascii_uppercase().ends_with(b"MPOP") { 1 } else { args.len() - 1 };
            let seconds: f64 = String::from_utf8_lossy(&args[at]).parse().unwrap_or(0.0);
            (seconds > 0.0).then(|| Instant::now() + Duration::from_secs_f64(seconds))
        });
        if until.is_some_and(|t| t <= Instant::now()) {
            self.blocked_until = None;
            return Step::Reply(Reply::NilArray);
        }
        Step::Later
    }

    fn enqueue(&mut self, name: &str, args: &[Bytes]) -> Step {
        let known = match commands::find(name.as_bytes()) {
            Some(spec) if spec.accepts(args.len()) => Ok(()),
            Some(spec) => Err(commands::wrong_arity(spec.name)),
            None if matches!(name, "PING" | "ECHO" | "SELECT" | "INFO" | "TIME") => Ok(()),
            None => Err(Reply::Error(format!("ERR unknown command `{name}`"))),
        };
        match (known, &mut self.queue) {
            (Ok(()), Some(queue)) => {
                queue.push(args.to_vec());
                Step::Reply(Reply::Simple("QUEUED"))
            }
            (Err(e), _) => {
                self.queue_failed = true;
                Step::Reply(e)
            }
            (Ok(()), None) => Step::Silent,
        }
    }

    /// All records of one transaction carry the same non-zero id on every flow; nothing else marks them.
    fn exec(&mut self, engine: &mut Engine) -> Step {
        let Some(queue) = &self.queue else { return fail("ERR EXEC without MULTI") };
        if self.queue_failed {
            self.queue = None;
            return fail("EXECABORT Transaction discarded because of previous errors.");
        }
        if engine.is_loading() {
            self.queue = None;
            return loading();
        }
        if !queue.is_empty() && (engine.guard > 0 || engine.paused().is_some()) {
            return Step::Later;
        }
        let queue = self.queue.take().unwrap_or_default();
        let txid = engine.next_txid();
        let mut replies = Vec::with_capacity(queue.len());
        for args in &queue {
            replies.push(match commands::find(&args[0]) {
                Some(spec) => match commands::run(engine, self.db, txid, spec, args) {
                    Outcome::Done(reply) => reply,
                    Outcome::Blocked => Reply::Nil,
                },
                None => match self.step(engine, args) {
                    Step::Reply(reply) => reply,
                    _ => Reply::Nil,
                },
            });
        }
        engine.end_transaction(txid);
        match engine.saturated() {
            Some((id, outbox)) => Step::Saturated(Reply::Array(replies), id, outbox),
            None => Step::Reply(Reply::Array(replies)),
        }
    }
}

fn loading() -> Step {
    fail("LOADING Dragonfly is loading the dataset in memory")
}

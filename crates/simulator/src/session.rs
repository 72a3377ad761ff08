//! One client connection's state, and the commands that are about it.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;

use crate::attach::FlowLink;
use crate::commands::{self, Outcome, is};
use crate::engine::Engine;
use crate::engine::shard::DBS;
use crate::info;
use crate::outbox::Outbox;
use crate::reply::Reply;

/// What the connection does after a request was looked at.
#[derive(Debug)]
pub(crate) enum Step {
    Reply(Reply),
    /// Scripted bytes instead of a reply.
    Raw(Bytes),
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
    id: u64,
    /// Which life of the master it belongs to; see [`Engine::life`].
    pub(crate) life: u64,
    peer: SocketAddr,
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
    pub(crate) fn new(id: u64, peer: SocketAddr, engine: &Engine) -> Session {
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
        if let Some(raw) = engine.faults.take_reply(args) {
            return Step::Raw(raw);
        }
        let upper = String::from_utf8_lossy(name).to_ascii_uppercase();
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
                _ => Step::Reply(Reply::Array(Vec::new())),
            },
            "CONFIG" => Step::Reply(info::config(engine, &args[1..])),
            "INFO" => Step::Reply(Reply::bulk(info::info(engine, &args[1..]))),
            "ROLE" => Step::Reply(info::role(engine)),
            "TIME" => {
                let ms = crate::engine::now_ms();
                let part = |n: u64| Reply::bulk(n.to_string());
                Step::Reply(Reply::Array(vec![part(ms / 1000), part(ms % 1000 * 1000)]))
            }
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
        let Some(spec) = commands::find(name.as_bytes()) else {
            return Step::Reply(Reply::Error(format!("ERR unknown command `{name}`")));
        };
        if engine.loading {
            return loading();
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
        if engine.loading {
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
        match engine.saturated() {
            Some((id, outbox)) => Step::Saturated(Reply::Array(replies), id, outbox),
            None => Step::Reply(Reply::Array(replies)),
        }
    }

    fn auth(&mut self, engine: &Engine, args: &[Bytes]) -> Step {
        let settings = &engine.settings;
        let user = match args {
            [password] => {
                settings.password.as_ref().filter(|p| p.as_bytes() == password).map(|_| User::Default)
            }
            [user, password] if user == "default" => match &settings.password {
                Some(p) => (p.as_bytes() == password).then_some(User::Default),
                None => Some(User::Default),
            },
            [user, password] => settings
                .replication_user
                .as_ref()
                .filter(|(u, p)| u.as_bytes() == user && p.as_bytes() == password)
                .map(|(u, _)| User::Replication(u.clone())),
            _ => return fail("ERR wrong number of arguments for 'auth' command"),
        };
        match user {
            Some(user) => {
                self.user = user;
                OK
            }
            None => fail("WRONGPASS invalid username-password pair or user is disabled."),
        }
    }

    fn hello(&mut self, engine: &Engine, args: &[Bytes]) -> Step {
        let mut args = args.iter();
        let mut resp3 = self.resp3;
        if let Some(version) = args.next() {
            resp3 = match &version[..] {
                b"2" => false,
                b"3" => true,
                _ => return fail("NOPROTO unsupported protocol version"),
            };
        }
        while let Some(option) = args.next() {
            match option {
                w if is(w, "AUTH") => {
                    let (Some(user), Some(password)) = (args.next(), args.next()) else {
                        return fail("ERR syntax error");
                    };
                    let refused = self.auth(engine, &[user.clone(), password.clone()]);
                    if !matches!(refused, Step::Reply(Reply::Simple(_))) {
                        return refused;
                    }
                }
                w if is(w, "SETNAME") => drop(args.next()),
                _ => return fail("ERR syntax error"),
            }
        }
        match &self.user {
            User::Nobody => return fail("NOAUTH HELLO must be called with the client already authenticated"),
            User::Replication(user) => {
                return Step::Reply(Reply::Error(format!("NOPERM {user} has no ACL permissions")));
            }
            User::Default => {}
        }
        self.resp3 = resp3;
        let text = |k: &str, v: &str| (Reply::bulk(k), Reply::bulk(v));
        Step::Reply(Reply::Map(vec![
            text("server", "redis"),
            text("version", "7.4.0"),
            text("dragonfly_version", engine.settings.release.version()),
            (Reply::bulk("proto"), Reply::Int(if resp3 { 3 } else { 2 })),
            (Reply::bulk("id"), Reply::Int(self.id as i64)),
            text("mode", "standalone"),
            text("role", "master"),
        ]))
    }

    fn select(&mut self, args: &[Bytes]) -> Step {
        let db = args.first().and_then(|a| std::str::from_utf8(a).ok()).and_then(|a| a.parse().ok());
        match db {
            Some(db) if db < DBS => {
                self.db = db;
                OK
            }
            _ => fail("ERR DB index is out of range"),
        }
    }

    fn client(&mut self, engine: &mut Engine, args: &[Bytes]) -> Step {
        match args {
            [w, name] if is(w, "SETNAME") => {
                self.name = name.clone();
                OK
            }
            [w] if is(w, "GETNAME") => Step::Reply(Reply::Bulk(self.name.clone())),
            [w] if is(w, "ID") => Step::Reply(Reply::Int(self.id as i64)),
            [w, ..] if is(w, "SETINFO") || is(w, "REPLY") || is(w, "NO-EVICT") || is(w, "NO-TOUCH") => OK,
            [w] if is(w, "LIST") || is(w, "INFO") => {
                let name = String::from_utf8_lossy(&self.name);
                Step::Reply(Reply::bulk(format!(
                    "id={} addr={} name={name} db={}\n",
                    self.id, self.peer, self.db
                )))
            }
            [w, ms, rest @ ..] if is(w, "PAUSE") => {
                let Some(ms) = std::str::from_utf8(ms).ok().and_then(|s| s.parse().ok()) else {
                    return fail("ERR timeout is not an integer or out of range");
                };
                let writes_only = rest.first().is_some_and(|w| is(w, "WRITE"));
                engine.pause = Some(crate::engine::Pause {
                    until: Instant::now() + Duration::from_millis(ms),
                    writes_only,
                });
                OK
            }
            [w] if is(w, "UNPAUSE") => {
                engine.pause = None;
                OK
            }
            _ => fail("ERR syntax error"),
        }
    }

    fn replconf(&mut self, engine: &mut Engine, args: &[Bytes]) -> Step {
        if args.is_empty() || args.len() % 2 == 1 {
            return fail("ERR syntax error");
        }
        for (i, pair) in args.chunks_exact(2).enumerate() {
            let value = &pair[1];
            match &pair[0] {
                w if is(w, "capa") => {
                    // Lower case and alone, or it is ignored (flows start only then; seen on the wire).
                    if value == "dragonfly" && args.len() == 2 && i == 0 {
                        let (id, greeting) = engine.greet(self.peer, self.port);
                        if let Some(old) = self.attachment.replace(id) {
                            engine.cancel(old);
                        }
                        return Step::Reply(greeting);
                    }
                }
                w if is(w, "listening-port") => {
                    match std::str::from_utf8(value).ok().and_then(|s| s.parse().ok()) {
                        Some(port) => self.port = port,
                        None => return fail("ERR value is not an integer or out of range"),
                    }
                }
                w if is(w, "ip-address") => {}
                w if is(w, "client-id") => {
                    if let Some(a) = self.attachment.and_then(|id| engine.attachments.get_mut(&id)) {
                        a.client_id = Some(String::from_utf8_lossy(value).into_owned());
                    }
                }
                w if is(w, "client-version") => {
                    if self.attachment.and_then(|id| engine.attachments.get(&id)).is_none() {
                        // A real master dies of this (SIGSEGV, v1.11 to v1.40.1); here it is loud instead.
                        tracing::error!(
                            "client-version without a live attachment would have crashed the master"
                        );
                        engine.crashes += 1;
                        return Step::Close(Reply::Error("ERR the master crashed".to_owned()));
                    }
                }
                w if is(w, "ack") => return Step::Silent,
                _ => return fail("ERR syntax error"),
            }
        }
        OK
    }

    fn dfly(&mut self, engine: &mut Engine, args: &[Bytes]) -> Step {
        if args.first().is_some_and(|w| is(w, "REPLICAOFFSET")) {
            return Step::Reply(Reply::Array(
                engine.offsets().into_iter().map(|n| Reply::Int(n as i64)).collect(),
            ));
        }
        if engine.loading {
            return loading();
        }
        match args {
            [w, rest @ ..] if is(w, "FLOW") => match engine.open_flow(rest) {
                Ok((link, reply)) => Step::Flow(link, reply),
                Err(reply) => Step::Reply(reply),
            },
            [w, token] if is(w, "SYNC") => {
                match engine.sync_id(token).and_then(|id| engine.start_full_sync(id).map(|()| id)) {
                    Ok(id) => Step::Sync(id),
                    Err(reply) => Step::Reply(reply),
                }
            }
            [w, token] if is(w, "STARTSTABLE") => match engine.sync_id(token) {
                Ok(id) => Step::Stable(id),
                Err(reply) => Step::Reply(reply),
            },
            _ => fail("ERR syntax error"),
        }
    }

    fn wait(engine: &mut Engine, args: &[Bytes]) -> Step {
        let number = |s: &Bytes| std::str::from_utf8(s).ok().and_then(|s| s.parse::<u64>().ok());
        let [Some(replicas), Some(ms)] = args.iter().map(number).collect::<Vec<_>>()[..] else {
            return fail("ERR value is not an integer or out of range");
        };
        let targets = engine.ping_all();
        let timeout = (ms > 0).then(|| Duration::from_millis(ms));
        Step::Wait { replicas: replicas as usize, targets, timeout }
    }
}

fn loading() -> Step {
    fail("LOADING Dragonfly is loading the dataset in memory")
}

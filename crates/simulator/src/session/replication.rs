//! What replicas say: REPLCONF, DFLY, and WAIT on the other side.

use std::time::Duration;

use bytes::Bytes;

use super::{OK, Session, Step, fail, loading};
use crate::commands::is;
use crate::engine::Engine;
use crate::reply::Reply;

impl Session {
    pub(super) fn replconf(&mut self, engine: &mut Engine, args: &[Bytes]) -> Step {
        let profile = engine.profile();
        if engine.replica && profile.replica_refuses {
            return fail("ERR Replicating a replica is unsupported");
        }
        if args.len() % 2 == 1 {
            return fail("ERR syntax error");
        }
        for (i, pair) in args.chunks_exact(2).enumerate() {
            let value = &pair[1];
            match &pair[0] {
                w if is(w, "capa") => {
                    // Lower case and alone, or it is ignored (flows start only then; seen on the wire).
                    if value == "dragonfly" && args.len() == 2 && i == 0 {
                        let (id, greeting) = engine.greet(self.peer.clone(), self.port);
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
                w if is(w, "ip-address") && profile.ip_address => {}
                w if is(w, "client-id") => {
                    if let Some(a) = self.attachment.and_then(|id| engine.attachments.get_mut(&id)) {
                        a.client_id = Some(String::from_utf8_lossy(value).into_owned());
                    }
                }
                w if is(w, "client-version") && profile.ordinal > 0 => {
                    let Some(version) = std::str::from_utf8(value).ok().and_then(|s| s.parse().ok()) else {
                        return fail("ERR value is not an integer or out of range");
                    };
                    let attachment = self.attachment.and_then(|id| engine.attachments.get_mut(&id));
                    if let Some(attachment) = attachment {
                        attachment.client_version = version;
                    } else {
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

    pub(super) fn dfly(&mut self, engine: &mut Engine, args: &[Bytes]) -> Step {
        if args.first().is_some_and(|w| is(w, "REPLICAOFFSET")) {
            return Step::Reply(Reply::Array(
                engine.offsets().into_iter().map(|n| Reply::Int(n as i64)).collect(),
            ));
        }
        if engine.is_loading() {
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

    pub(super) fn wait(engine: &mut Engine, args: &[Bytes]) -> Step {
        let number = |s: &Bytes| std::str::from_utf8(s).ok().and_then(|s| s.parse::<u64>().ok());
        let [Some(replicas), Some(ms)] = args.iter().map(number).collect::<Vec<_>>()[..] else {
            return fail("ERR value is not an integer or out of range");
        };
        let targets = engine.ping_all();
        let timeout = (ms > 0).then(|| Duration::from_millis(ms));
        Step::Wait { replicas: replicas as usize, targets, timeout }
    }
}

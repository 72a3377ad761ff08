//! Who the client is: AUTH, HELLO, SELECT, CLIENT.

use std::time::Duration;

use bytes::Bytes;
use tokio::time::Instant;

use super::{OK, Session, Step, User, fail};
use crate::commands::is;
use crate::engine::shard::DBS;
use crate::engine::{Engine, Pause};
use crate::reply::Reply;

impl Session {
    pub(super) fn auth(&mut self, engine: &Engine, args: &[Bytes]) -> Step {
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

    pub(super) fn hello(&mut self, engine: &Engine, args: &[Bytes]) -> Step {
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

    pub(super) fn select(&mut self, args: &[Bytes]) -> Step {
        let db = args.first().and_then(|a| std::str::from_utf8(a).ok()).and_then(|a| a.parse().ok());
        match db {
            Some(db) if db < DBS => {
                self.db = db;
                OK
            }
            _ => fail("ERR DB index is out of range"),
        }
    }

    pub(super) fn client(&mut self, engine: &mut Engine, args: &[Bytes]) -> Step {
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
                    return fail("ERR value is not an integer or out of range");
                };
                let writes_only = rest.first().is_some_and(|w| is(w, "WRITE"));
                engine.pause = Some(Pause { until: Instant::now() + Duration::from_millis(ms), writes_only });
                OK
            }
            [w] if is(w, "UNPAUSE") => {
                engine.pause = None;
                OK
            }
            _ => fail("ERR syntax error"),
        }
    }
}

//! A replica that applies what it reads to a real redis-server, with the project's decoders and nothing else.

use bytes::Bytes;
use journal::{Entry, Record};
use rdb::{Item, KeyMeta, Piece};

use super::{Client, Replica, until};

/// One flow being decoded.
pub struct Follower {
    snapshot: Option<rdb::Decoder>,
    journal: journal::Decoder,
    read: usize,
    open: Vec<(u64, KeyMeta)>,
    pub token: Option<String>,
    pub cut: bool,
    pub blobs: usize,
    pub blobs_after_cut: usize,
    pub offset: Option<u64>,
    pub next: u64,
    /// Values that came in pieces, and those among them with something else in between.
    pub split: usize,
    pub interleaved: usize,
    pub flushes: usize,
    pub entries_after_flush: usize,
    last_was_open: bool,
    /// What has to be done to the target, in order: database and command.
    pub actions: Vec<(u32, Vec<Bytes>)>,
}

fn b(s: &str) -> Bytes {
    Bytes::copy_from_slice(s.as_bytes())
}

impl Follower {
    /// For a full sync (or the RDB-style partial sync of 1.34).
    pub fn full() -> Follower {
        Follower::new(Some(rdb::Decoder::new(rdb::Limits::default())), 0)
    }

    /// For a journal-style partial sync from `next`.
    pub fn partial(next: u64) -> Follower {
        Follower::new(None, next)
    }

    fn new(snapshot: Option<rdb::Decoder>, next: u64) -> Follower {
        Follower {
            snapshot,
            journal: journal::Decoder::new(journal::Limits::default()),
            read: 0,
            open: Vec::new(),
            token: None,
            cut: false,
            blobs: 0,
            blobs_after_cut: 0,
            offset: None,
            next,
            split: 0,
            interleaved: 0,
            flushes: 0,
            entries_after_flush: 0,
            last_was_open: false,
            actions: Vec::new(),
        }
    }

    /// Decodes whatever has come in since the last time.
    pub fn poll(&mut self, replica: &Replica, flow: usize) {
        let fresh = {
            let log = replica.flows[flow].lock().unwrap();
            let fresh = Bytes::copy_from_slice(&log.bytes[self.read..]);
            self.read = log.bytes.len();
            fresh
        };
        match &mut self.snapshot {
            Some(d) => d.feed(fresh),
            None => self.journal.feed(fresh),
        }
        while let Some(d) = &mut self.snapshot {
            let Some(item) = d.next().unwrap() else { return };
            let end = matches!(item, Item::Eof { .. });
            self.item(item);
            if end {
                let rest = self.snapshot.take().unwrap().into_rest();
                self.journal.feed(rest);
            }
        }
        while let Some(entry) = self.journal.next().unwrap() {
            match entry {
                Entry::Lsn(n) => assert_eq!(n, self.next - 1, "LSN op on flow {flow}"),
                Entry::Ping => self.next += 1,
                Entry::Record(r) => {
                    self.next += 1;
                    self.record(r);
                }
                other => panic!("unexpected {other:?}"),
            }
        }
    }

    fn record(&mut self, r: Record) {
        if r.args[0] == "FLUSHALL" || r.args[0] == "FLUSHDB" {
            self.flushes += 1;
        }
        self.actions.push((r.db, r.args));
    }

    fn item(&mut self, item: Item) {
        let continues = matches!(item, Item::Piece { .. } | Item::End { .. });
        if self.last_was_open && !self.open.is_empty() && !continues && !matches!(item, Item::SelectDb(_)) {
            self.interleaved += 1;
        }
        self.last_was_open = continues || matches!(item, Item::Begin(_));
        match item {
            Item::Header { version } => assert_eq!(version, 9),
            Item::Aux { .. } | Item::SelectDb(_) => {}
            Item::Value(v) => {
                self.entries_after_flush += usize::from(self.flushes > 0);
                let payload = rdb::dump::payload(v.kind, &v.payload);
                let at = v.meta.expire_at_ms.unwrap_or(0).to_string();
                let args = vec![b("RESTORE"), v.meta.key, b(&at), payload, b("ABSTTL"), b("REPLACE")];
                self.actions.push((v.meta.db, args));
            }
            Item::Begin(begin) => {
                self.split += 1;
                self.entries_after_flush += usize::from(self.flushes > 0);
                self.actions.push((begin.meta.db, vec![b("DEL"), begin.meta.key.clone()]));
                self.open.push((begin.id, begin.meta));
            }
            Item::Piece { id, piece } => {
                let meta = self.open.iter().find(|(i, _)| *i == id).unwrap().1.clone();
                let key = meta.key;
                let args = match piece {
                    Piece::String(s) => vec![b("APPEND"), key, s],
                    Piece::List(items) => [vec![b("RPUSH"), key], items].concat(),
                    Piece::Set(items) => [vec![b("SADD"), key], items].concat(),
                    Piece::Hash(pairs) => {
                        let mut args = vec![b("HSET"), key];
                        pairs.into_iter().for_each(|(f, v)| args.extend([f, v]));
                        args
                    }
                    Piece::Zset(pairs) => {
                        let mut args = vec![b("ZADD"), key];
                        pairs.into_iter().for_each(|(m, s)| args.extend([b(&format!("{s:?}")), m]));
                        args
                    }
                    other => panic!("unexpected {other:?}"),
                };
                self.actions.push((meta.db, args));
            }
            Item::End { id } => {
                let i = self.open.iter().position(|(i, _)| *i == id).unwrap();
                let (_, meta) = self.open.remove(i);
                if let Some(at) = meta.expire_at_ms {
                    self.actions.push((meta.db, vec![b("PEXPIREAT"), meta.key, b(&at.to_string())]));
                }
            }
            Item::JournalBlob(blob) => {
                self.blobs += 1;
                self.blobs_after_cut += usize::from(self.cut);
                match journal::decode_blob(blob).unwrap() {
                    Entry::Record(r) => self.record(r),
                    other => panic!("unexpected {other:?}"),
                }
            }
            Item::FullSyncEnd => {
                assert!(self.open.is_empty());
                self.cut = true;
            }
            Item::JournalOffset(n) => {
                self.offset = Some(n);
                self.next = n;
            }
            Item::Eof { token } => self.token = Some(String::from_utf8(token.to_vec()).unwrap()),
        }
    }
}

/// Polls all followers until `holds` for each.
pub async fn until_all(
    what: &str,
    replica: &Replica,
    followers: &mut [Follower],
    holds: impl Fn(usize, &Follower) -> bool,
) {
    until(what, || {
        followers.iter_mut().enumerate().all(|(i, f)| {
            f.poll(replica, i);
            holds(i, f)
        })
    })
    .await;
}

/// Executes everything gathered on the target; errors are collected.
pub async fn apply(target: &mut Client, followers: &mut [Follower]) -> Vec<String> {
    let mut errors = Vec::new();
    let mut db = u32::MAX;
    for f in followers {
        for batch in std::mem::take(&mut f.actions).chunks(200) {
            let mut sent = Vec::new();
            for (at, args) in batch {
                if *at != db {
                    db = *at;
                    target.send(&["SELECT", &db.to_string()]).await;
                    sent.push("SELECT".to_owned());
                }
                target.send(args).await;
                sent.push(format!("{:?}", &args[..2.min(args.len())]));
            }
            for what in sent {
                let reply = target.reply().await.unwrap();
                if reply.is_error() {
                    errors.push(format!("{what}: {}", reply.text()));
                }
            }
        }
    }
    errors
}

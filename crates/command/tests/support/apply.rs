//! A capture's flows, translated and executed on a real server through an independent client.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use bytes::Bytes;
use command::{Commands, Dialect, Mapping, MissingKind, SourceKey, Translator, Treatment};
use journal::Entry;
use rdb::{Item, Limits};
use scenarios::{captures::Capture, client::Client, servers::RedisServer};

/// What happened besides the commands.
#[derive(Debug, Default)]
pub(crate) struct Applied {
    /// Commands that the server refused, with its error.
    pub(crate) refused: Vec<(Vec<Bytes>, String)>,
    /// Keys by what the target lacks; those of which a part arrived are in `reduced`.
    pub(crate) lacking: BTreeMap<MissingKind, BTreeSet<SourceKey>>,
    pub(crate) reduced: BTreeMap<MissingKind, BTreeSet<SourceKey>>,
    /// Keys of records that were not executed, with the reason.
    pub(crate) not_in_sync: Vec<(SourceKey, String)>,
    /// Names of the commands that were sent.
    pub(crate) sent: BTreeMap<String, usize>,
    /// Elements of the largest command, and the bytes of its arguments.
    pub(crate) largest: (usize, usize),
}

/// Sends to one server.
pub(crate) struct Target {
    client: Client,
    db: u32,
    queued: Vec<Vec<Bytes>>,
    pub(crate) applied: Applied,
}

/// What the server says that it has.
pub(crate) fn ask(server: &RedisServer) -> Arc<Dialect> {
    let mut client = server.client();
    let (flavour, version) = Dialect::identify(&client.text(&["INFO", "server"])).unwrap();
    let has = |name: &&&str| !format!("{:?}", client.call(&["COMMAND", "INFO", **name])).contains("[nil]");
    let known: Vec<_> = Dialect::wanted_commands().iter().filter(has).collect();
    Arc::new(Dialect::new(flavour, version, false, known))
}

impl Target {
    pub(crate) fn new(server: &RedisServer) -> Self {
        Self { client: server.client(), db: 0, queued: Vec::new(), applied: Applied::default() }
    }

    pub(crate) fn take(&mut self, treatment: Treatment) {
        match treatment {
            Treatment::Send(commands) => self.send(commands),
            Treatment::Reduced { commands, missing } => {
                self.send(commands);
                self.applied.reduced.entry(missing.kind).or_default().extend(missing.keys);
            }
            Treatment::Lacking(missing) => {
                self.applied.lacking.entry(missing.kind).or_default().extend(missing.keys);
            }
            Treatment::NotInSync { keys, reason } => {
                self.applied.not_in_sync.extend(keys.into_iter().map(|key| (key, reason.to_string())));
            }
            Treatment::Broadcast(args) => self.queue(args),
            Treatment::Ignore(_) => {}
            other => panic!("not for one server: {other:?}"),
        }
        if self.queued.len() >= 1000 {
            self.flush();
        }
    }

    fn send(&mut self, commands: Commands) {
        for command in commands {
            assert_eq!(command.slot, 0, "a standalone target has no slots");
            if command.db != self.db {
                self.db = command.db;
                self.queue(vec!["SELECT".into(), command.db.to_string().into()]);
            }
            let bytes: usize = command.args.iter().map(Bytes::len).sum();
            self.applied.largest = self.applied.largest.max((command.args.len(), bytes));
            self.queue(command.args);
        }
    }

    fn queue(&mut self, args: Vec<Bytes>) {
        *self.applied.sent.entry(String::from_utf8(args[0].to_vec()).unwrap()).or_default() += 1;
        self.client.queue(&args);
        self.queued.push(args);
    }

    pub(crate) fn flush(&mut self) {
        let replies = self.client.flush().unwrap();
        for (args, reply) in self.queued.drain(..).zip(replies) {
            if let Some(error) = scenarios::client::as_error(&reply) {
                self.applied.refused.push((args, error));
            }
        }
    }
}

/// Executes the snapshots of all flows; returns what follows each: the journal.
pub(crate) fn snapshot(
    capture: &Capture,
    target: &mut Target,
    mapping: &Mapping,
    dialect: &Arc<Dialect>,
    limits: &Limits,
) -> Vec<(Translator, Bytes)> {
    let mut journals = Vec::new();
    for flow in &capture.flows {
        let mut translator = Translator::new(mapping.clone(), dialect.clone());
        let mut decoder = rdb::Decoder::new(limits.clone());
        decoder.feed(Bytes::copy_from_slice(flow));
        while let Some(item) = decoder.next().unwrap() {
            target.take(match item {
                Item::Value(value) => match translator.string(&value, super::NOW_MS).unwrap() {
                    Some(entry) => {
                        let treatment = translator.value(value, super::NOW_MS).unwrap();
                        let Treatment::Send(commands) = &treatment else { panic!("the fast way differs") };
                        let command = &commands.as_slice()[0];
                        let fast = (entry.db, entry.slot, &entry.key, &entry.value);
                        assert_eq!((command.db, command.slot, &command.key, &command.args[2]), fast);
                        assert_eq!(command.args.len(), if entry.expire_at_ms.is_some() { 5 } else { 3 });
                        treatment
                    }
                    None => translator.value(value, super::NOW_MS).unwrap(),
                },
                Item::Begin(begin) => translator.begin(begin, super::NOW_MS),
                Item::Piece { id, piece } => translator.piece(id, piece, super::NOW_MS).unwrap(),
                Item::End { id } => translator.end(id).unwrap(),
                Item::JournalBlob(blob) => match journal::decode_blob(blob).unwrap() {
                    Entry::Record(record) => translator.record(record, super::NOW_MS),
                    _ => continue,
                },
                _ => continue,
            });
        }
        assert!(decoder.finished());
        journals.push((translator, decoder.into_rest()));
    }
    target.flush();
    journals
}

/// All records of a journal.
pub(crate) fn records(bytes: Bytes) -> Vec<journal::Record> {
    let mut decoder = journal::Decoder::new(journal::Limits::default());
    decoder.feed(bytes);
    let mut records = Vec::new();
    while let Some(entry) = decoder.next().unwrap() {
        if let Entry::Record(record) = entry {
            records.push(record);
        }
    }
    records
}

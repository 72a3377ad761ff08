//! A server that answers by rules and keeps a log of what was said to it.
#![allow(dead_code, reason = "each test program that includes this file uses its part of it")]

use std::sync::Arc;

use bytes::Bytes;
use resp::{Limits, RequestDecoder};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, watch};
use tokio::time::Instant;

/// Something that happened at the server.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Event {
    /// The connection; they are numbered in the order they were accepted.
    pub(crate) connection: usize,
    pub(crate) at: Instant,
    pub(crate) what: What,
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) enum What {
    /// A command, its words joined by blanks.
    Command(String),
    /// The client closed its side.
    Closed,
}

/// What the server does about a command.
pub(crate) enum Action {
    /// Sends these bytes.
    Send(Vec<u8>),
    /// Sends these bytes, and tells others when they are written.
    SendThen(Vec<u8>, Arc<Notify>),
    /// Sends these bytes once told so.
    SendAfter(Arc<Notify>, Vec<u8>),
    /// Closes this connection.
    Close,
}

/// A line of RESP, its end added.
pub(crate) fn line(text: &str) -> Action {
    Action::Send(format!("{text}\r\n").into_bytes())
}

/// How a command begins, and the reply to it without its last line end.
pub(crate) type Rules = Vec<(String, String)>;

pub(crate) fn rules(pairs: &[(&str, &str)]) -> Rules {
    pairs.iter().map(|(command, reply)| (command.to_string(), reply.to_string())).collect()
}

pub(crate) struct Peer {
    pub(crate) addr: String,
    events: watch::Receiver<Vec<Event>>,
}

impl Peer {
    /// Answers by the first matching rule, and with an error where there is none.
    pub(crate) async fn ruled(rules: Rules) -> Peer {
        Self::start(move |_, command| {
            let rule = rules.iter().find(|(words, _)| command.starts_with(words.as_str()));
            line(rule.map_or("-ERR unknown command", |(_, reply)| reply.as_str()))
        })
        .await
    }

    pub(crate) async fn start(answer: impl Fn(usize, &str) -> Action + Send + Sync + 'static) -> Peer {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap().to_string();
        let (log, events) = watch::channel(Vec::new());
        let (log, answer) = (Arc::new(log), Arc::new(answer));
        tokio::spawn(async move {
            for number in 0.. {
                let Ok((mut stream, _)) = listener.accept().await else { return };
                let (log, answer) = (log.clone(), answer.clone());
                tokio::spawn(async move {
                    // A reset is a close too.
                    let _ = serve(number, &mut stream, &log, &*answer).await;
                    // Logged before this side closes, so that a client that sees the close finds it in the log.
                    note(&log, number, What::Closed);
                });
            }
        });
        Peer { addr, events }
    }

    /// Waits until the log is as `condition` wants it.
    pub(crate) async fn wait_for(&mut self, condition: impl FnMut(&Vec<Event>) -> bool) -> Vec<Event> {
        let limit = std::time::Duration::from_secs(20);
        let waited = tokio::time::timeout(limit, self.events.wait_for(condition)).await;
        let waited = waited.map(|events| events.unwrap().clone());
        waited.unwrap_or_else(|_| panic!("never happened; so far {:#?}", self.commands()))
    }

    /// All commands so far.
    pub(crate) fn commands(&self) -> Vec<String> {
        let command = |event: &Event| match &event.what {
            What::Command(words) => Some(words.clone()),
            What::Closed => None,
        };
        self.events.borrow().iter().filter_map(command).collect()
    }
}

fn note(log: &watch::Sender<Vec<Event>>, connection: usize, what: What) {
    log.send_modify(|events| events.push(Event { connection, at: Instant::now(), what }));
}

async fn serve(
    number: usize,
    stream: &mut TcpStream,
    log: &watch::Sender<Vec<Event>>,
    answer: &(dyn Fn(usize, &str) -> Action + Send + Sync),
) -> std::io::Result<()> {
    let mut requests = RequestDecoder::new(Limits::default());
    loop {
        while let Some(command) = requests.next().map_err(std::io::Error::other)? {
            let words: Vec<_> = command.iter().map(|word: &Bytes| String::from_utf8_lossy(word)).collect();
            let words = words.join(" ");
            note(log, number, What::Command(words.clone()));
            match answer(number, &words) {
                Action::Send(bytes) => stream.write_all(&bytes).await?,
                Action::SendThen(bytes, written) => {
                    stream.write_all(&bytes).await?;
                    written.notify_one();
                }
                Action::SendAfter(told, bytes) => {
                    told.notified().await;
                    stream.write_all(&bytes).await?;
                }
                Action::Close => return Ok(()),
            }
        }
        if stream.read_buf(requests.buffer_mut()).await? == 0 {
            return Ok(());
        }
    }
}

//! One link to a server that has authenticated.

use std::future::Future;
use std::io;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use secrecy::ExposeSecret;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::{self, pki_types::ServerName};

use crate::error::{Error, printable};
use crate::network::{Network, Stream};
use crate::password::Password;
use crate::reply::{Limits, Reply, ReplyDecoder};
use crate::request::write_command;
use crate::socket::{self, Reader, Writer};
use crate::tls::Tls;

const CONNECTING: &str = "the connection request";

/// Where to connect, as whom, and how long to wait.
#[derive(Clone, Debug)]
pub struct ConnectOptions {
    /// host:port; an IPv6 address in brackets.
    pub addr: String,
    /// ACL user; the server's default user without it. Ignored without a password.
    pub username: Option<String>,
    /// Password; no AUTH is sent without it.
    pub password: Password,
    /// TLS instead of plain TCP.
    pub tls: Option<Tls>,
    /// For each of: TCP connect, TLS session, AUTH.
    pub connect_timeout: Duration,
    /// For the replies of one [`Connection::call`] or [`Connection::pipeline`].
    pub reply_timeout: Duration,
    /// How long the other side's host may acknowledge nothing, neither what was sent nor probes of an idle link, before
    /// a TCP connection counts as broken. Whole seconds.
    pub silence: Duration,
    /// What a reply may be at most.
    pub limits: Limits,
    /// What carries the bytes.
    pub network: Network,
}

impl ConnectOptions {
    /// Plain TCP, no login, 5 s to connect, 30 s for replies, broken after 15 s of silence.
    pub fn new(addr: impl Into<String>) -> Self {
        ConnectOptions {
            addr: addr.into(),
            username: None,
            password: Password::default(),
            tls: None,
            connect_timeout: Duration::from_secs(5),
            reply_timeout: Duration::from_secs(30),
            silence: Duration::from_secs(15),
            limits: Limits::default(),
            network: Network::tcp(),
        }
    }
}

/// A link to one server, authenticated if a password is configured.
///
/// After an error, a timeout or a dropped call the replies that are still under way belong to nobody: the connection
/// refuses further calls and the caller opens a new one. The same holds when bytes arrive that answer nothing, which
/// happens when a server echoes a key with a line end in an error text.
#[derive(Debug)]
pub struct Connection {
    addr: String,
    reader: Reader,
    writer: Writer,
    decoder: ReplyDecoder,
    reply_timeout: Duration,
    usable: bool,
    /// What a close before the first answer most probably means; nothing once there was one.
    suspicion: Option<&'static str>,
}

impl Connection {
    /// Connects, opens the TLS session, and sends AUTH if a password is configured.
    ///
    /// # Errors
    /// Without a password and TLS nothing is said to the server yet; whether it wants either shows in the first reply
    /// (see [`Error::from_error_line`]). The same holds for a client certificate: under TLS 1.3 a server refuses it
    /// after the session is open.
    pub async fn open(options: &ConnectOptions) -> Result<Connection, Error> {
        let addr = options.addr.clone();
        let limit = options.connect_timeout;
        let unreachable = |source| Error::Unreachable { addr: addr.clone(), source };
        let (reader, writer) = match (options.network.dialer(), &options.tls) {
            (None, tls) => {
                let stream = within(&addr, CONNECTING, limit, TcpStream::connect(&addr))
                    .await?
                    .map_err(unreachable)?;
                socket::tune(&stream, options.silence).map_err(unreachable)?;
                match tls {
                    None => socket::plain(stream),
                    Some(tls) => socket::encrypted(encrypt(&addr, tls, limit, stream).await?),
                }
            }
            (Some(dialer), tls) => {
                let stream =
                    within(&addr, CONNECTING, limit, dialer.dial(&addr)).await?.map_err(unreachable)?;
                socket::any(match tls {
                    None => stream,
                    Some(tls) => Box::new(encrypt(&addr, tls, limit, stream).await?),
                })
            }
        };
        let decoder = ReplyDecoder::new(options.limits);
        let reply_timeout = options.reply_timeout;
        let suspicion = Some(match options.tls {
            None => "does the port expect TLS?",
            Some(_) => "does it want a client certificate?",
        });
        let mut connection =
            Connection { addr, reader, writer, decoder, reply_timeout, usable: true, suspicion };
        connection.authenticate(options).await?;
        Ok(connection)
    }

    /// host:port as configured.
    pub fn addr(&self) -> &str {
        &self.addr
    }

    /// Whether another call can be made.
    pub fn is_usable(&self) -> bool {
        self.usable
    }

    /// Sends one command and waits for its reply. An error line is `Ok(Reply::Error(..))`.
    pub async fn call<A: AsRef<[u8]>>(&mut self, args: &[A]) -> Result<Reply, Error> {
        let limit = self.reply_timeout;
        self.call_within(limit, args).await
    }

    /// [`Connection::call`] with a time limit of its own.
    pub async fn call_within<A: AsRef<[u8]>>(&mut self, limit: Duration, args: &[A]) -> Result<Reply, Error> {
        let mut out = BytesMut::new();
        write_command(&mut out, args);
        let mut reply = None;
        self.exchange(limit, &out, 1, |r| reply = Some(r)).await?;
        Ok(reply.expect("exchange returns Ok only after it passed on every reply"))
    }

    /// Sends all commands at once and returns as many replies, in order.
    pub async fn pipeline(&mut self, commands: &[Vec<Bytes>]) -> Result<Vec<Reply>, Error> {
        let mut out = BytesMut::new();
        for args in commands {
            write_command(&mut out, args);
        }
        let mut replies = Vec::with_capacity(commands.len());
        self.exchange(self.reply_timeout, &out, commands.len(), |r| replies.push(r)).await?;
        Ok(replies)
    }

    /// Sends `count` commands that are encoded already ([`write_command`]), and hands on each reply as it arrives, in
    /// order: for many small commands, whose arguments need no allocation of their own then.
    pub async fn pipeline_encoded(
        &mut self,
        commands: &[u8],
        count: usize,
        sink: impl FnMut(Reply),
    ) -> Result<(), Error> {
        self.exchange(self.reply_timeout, commands, count, sink).await
    }

    /// The two halves, and the bytes that arrived but were not read yet.
    pub fn into_parts(self) -> (Reader, Writer, BytesMut) {
        (self.reader, self.writer, self.decoder.into_rest())
    }

    /// Closes the sending side and waits, at most `limit`, until the server has closed its own: it has noticed then.
    /// Replies still under way are thrown away.
    pub async fn shutdown(mut self, limit: Duration) {
        let notice = async {
            self.writer.shutdown().await?;
            let mut last_words = BytesMut::new();
            while self.reader.read_chunk(&mut last_words).await? > 0 {
                last_words.clear();
            }
            io::Result::Ok(())
        };
        // Whether it went well makes no difference: the connection ends here.
        let _ = tokio::time::timeout(limit, notice).await;
    }

    async fn authenticate(&mut self, options: &ConnectOptions) -> Result<(), Error> {
        let Some(password) = options.password.current() else { return Ok(()) };
        let password = password.expose_secret();
        let reply = match &options.username {
            Some(user) => self.call_within(options.connect_timeout, &["AUTH", user, password]).await?,
            None => self.call_within(options.connect_timeout, &["AUTH", password]).await?,
        };
        match reply {
            Reply::Simple(_) => Ok(()),
            Reply::Error(line) => Err(match Error::from_error_line(&self.addr, &line) {
                Some(
                    error
                    @ (Error::Loading { .. } | Error::TooManyClients { .. } | Error::TlsExpected { .. }),
                ) => error,
                _ => Error::AuthRejected {
                    addr: self.addr.clone(),
                    user: options.username.clone(),
                    message: printable(&line),
                },
            }),
            other => Err(Error::Protocol {
                addr: self.addr.clone(),
                reason: format!("AUTH answered with {other:?}"),
            }),
        }
    }

    /// Writes `out` and reads `count` replies at the same time, so that neither side waits for a full buffer.
    async fn exchange(
        &mut self,
        limit: Duration,
        out: &[u8],
        count: usize,
        mut sink: impl FnMut(Reply),
    ) -> Result<(), Error> {
        if !self.usable {
            let reason = "an earlier exchange on it did not end".to_owned();
            return Err(Error::Closed { addr: self.addr.clone(), reason });
        }
        // Set again only at the end: a dropped future leaves it false.
        self.usable = false;
        if !self.decoder.is_empty() {
            let reason = "bytes arrived that answer no request".to_owned();
            return Err(Error::Protocol { addr: self.addr.clone(), reason });
        }
        let Connection { addr, reader, writer, decoder, .. } = self;
        let write = async {
            writer.write_all(out).await?;
            writer.flush().await
        };
        let read = async {
            for _ in 0..count {
                sink(next_reply(addr, reader, decoder).await?);
            }
            Ok::<_, Error>(())
        };
        let both = async {
            tokio::pin!(write, read);
            let mut writing = true;
            let mut write_error = None;
            loop {
                tokio::select! {
                    // A server that refuses us says why before it closes: its last words count more than our
                    // failed write, so reading goes on after one.
                    biased;
                    done = &mut read => {
                        return match (done, write_error) {
                            (Err(Error::Closed { .. }), Some(e)) => Err(Error::from_io(addr, &e)),
                            (done, _) => done,
                        };
                    }
                    done = &mut write, if writing => {
                        writing = false;
                        write_error = done.err();
                    }
                }
            }
        };
        let done = within(addr, "a request", limit, both).await?;
        if let (Err(Error::Closed { addr, reason }), Some(suspicion)) = (&done, self.suspicion) {
            let reason = format!("{reason}, before its first answer: {suspicion}");
            return Err(Error::Closed { addr: addr.clone(), reason });
        }
        done?;
        self.suspicion = None;
        self.usable = true;
        Ok(())
    }
}

/// The TLS session over a stream that is open.
async fn encrypt<S: Stream>(
    addr: &str,
    tls: &Tls,
    limit: Duration,
    stream: S,
) -> Result<TlsStream<S>, Error> {
    let name = server_name(addr, tls)?;
    let session = TlsConnector::from(tls.config.clone()).connect(name, stream);
    let stream = within(addr, "the TLS greeting (does it speak TLS?)", limit, session).await?;
    stream.map_err(|e| tls_error(addr, &e))
}

async fn next_reply(addr: &str, reader: &mut Reader, decoder: &mut ReplyDecoder) -> Result<Reply, Error> {
    loop {
        if let Some(reply) = decoder.next().map_err(|e| Error::protocol(addr, &e))? {
            return Ok(reply);
        }
        let n = reader.read_chunk(decoder.buffer_mut()).await.map_err(|e| Error::from_io(addr, &e))?;
        if n == 0 {
            return Err(Error::Closed { addr: addr.to_owned(), reason: "end of stream".to_owned() });
        }
    }
}

async fn within<T>(
    addr: &str,
    what: &'static str,
    limit: Duration,
    work: impl Future<Output = T>,
) -> Result<T, Error> {
    tokio::time::timeout(limit, work).await.map_err(|_| Error::Timeout {
        addr: addr.to_owned(),
        what,
        after: limit,
    })
}

/// The configured name, else the host of the address.
fn server_name(addr: &str, tls: &Tls) -> Result<ServerName<'static>, Error> {
    if let Some(name) = &tls.server_name {
        return Ok(name.clone());
    }
    let host = addr.rsplit_once(':').map_or(addr, |(host, _)| host);
    let host = host.trim_start_matches('[').trim_end_matches(']');
    ServerName::try_from(host.to_owned()).map_err(|_| Error::TlsSettings {
        reason: format!("{host:?} is no name that a certificate can carry; set tls.server_name"),
    })
}

fn tls_error(addr: &str, error: &io::Error) -> Error {
    match error.get_ref().and_then(|e| e.downcast_ref::<rustls::Error>()) {
        Some(tls) => Error::from_tls(addr, tls),
        // Nothing but TLS has been said: a server without it closes at the first byte it does not understand.
        None => Error::Tls {
            addr: addr.to_owned(),
            reason: format!("{error} during the greeting; does it speak TLS?"),
        },
    }
}

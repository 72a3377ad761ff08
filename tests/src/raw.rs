//! A client that takes any bytes in an error line: the source echoes names in them, and the `redis` crate wants text.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use crate::client::Endpoint;

/// What became of a command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// An error, as far as it is text.
    Refused(String),
    /// The replies of a transaction, or an array of anything.
    Each(Vec<Answer>),
    /// Any other reply.
    Done,
}

/// One connection without a login.
#[derive(Debug)]
pub struct Raw {
    stream: BufReader<TcpStream>,
    queued: Vec<u8>,
    count: usize,
}

impl Raw {
    /// Connects. A reply may take 60 s, then everything panics.
    pub fn open(endpoint: &Endpoint) -> Raw {
        let stream = TcpStream::connect(&endpoint.addr).unwrap_or_else(|e| panic!("{}: {e}", endpoint.addr));
        stream.set_nodelay(true).expect("a TCP option");
        stream.set_read_timeout(Some(Duration::from_secs(60))).expect("a timeout above zero");
        Raw { stream: BufReader::with_capacity(1 << 16, stream), queued: Vec::new(), count: 0 }
    }

    /// Adds a command to the pipeline.
    pub fn queue<A: AsRef<[u8]>>(&mut self, args: &[A]) {
        self.queued.extend(format!("*{}\r\n", args.len()).into_bytes());
        for arg in args {
            self.queued.extend(format!("${}\r\n", arg.as_ref().len()).into_bytes());
            self.queued.extend_from_slice(arg.as_ref());
            self.queued.extend(b"\r\n");
        }
        self.count += 1;
    }

    /// Sends the pipeline and reads the replies.
    pub fn flush(&mut self) -> Vec<Answer> {
        let count = std::mem::take(&mut self.count);
        // Written from another thread, so that neither side waits for the other to read.
        let mut to = self.stream.get_ref().try_clone().expect("a socket");
        let queued = std::mem::take(&mut self.queued);
        let writer = std::thread::spawn(move || to.write_all(&queued));
        let answers = (0..count).map(|_| self.answer()).collect();
        writer.join().expect("does not panic").unwrap_or_else(|e| panic!("writing to the source: {e}"));
        answers
    }

    fn answer(&mut self) -> Answer {
        let mut line = Vec::new();
        self.stream.read_until(b'\n', &mut line).unwrap_or_else(|e| panic!("no reply: {e}"));
        assert!(line.ends_with(b"\r\n"), "the connection ended: {}", String::from_utf8_lossy(&line));
        let text = String::from_utf8_lossy(&line[1..line.len() - 2]).into_owned();
        let length = || text.parse::<i64>().unwrap_or_else(|_| panic!("no length: {text}"));
        match line[0] {
            b'-' => Answer::Refused(text),
            b'+' | b':' => Answer::Done,
            b'$' => {
                if let Ok(length) = u64::try_from(length()) {
                    let mut rest = Read::take(&mut self.stream, length + 2);
                    std::io::copy(&mut rest, &mut std::io::sink())
                        .unwrap_or_else(|e| panic!("no reply: {e}"));
                }
                Answer::Done
            }
            b'*' => match usize::try_from(length()) {
                Ok(length) => Answer::Each((0..length).map(|_| self.answer()).collect()),
                Err(_) => Answer::Done,
            },
            other => panic!("not RESP: {:?} {text}", char::from(other)),
        }
    }
}

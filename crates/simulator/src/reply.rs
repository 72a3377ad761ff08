//! Replies and how they are written for a client.

use std::io::Write;

use bytes::Bytes;

/// A reply as the engine gives it, before it is encoded for a client.
#[derive(Debug, Clone, PartialEq)]
pub enum Reply {
    /// A simple string.
    Simple(&'static str),
    /// A simple string made at run time.
    Status(String),
    /// An error line, without the leading minus.
    Error(String),
    /// An integer.
    Int(i64),
    /// A double: a bulk string in RESP2.
    Double(f64),
    /// A bulk string.
    Bulk(Bytes),
    /// No value.
    Nil,
    /// No array (RESP2 `*-1`).
    NilArray,
    /// An array.
    Array(Vec<Reply>),
    /// A map: a flat array in RESP2.
    Map(Vec<(Reply, Reply)>),
    /// A set: an array in RESP2.
    Set(Vec<Reply>),
    /// Members with scores: pairs in RESP3, one flat array in RESP2.
    Scored(Vec<(Bytes, f64)>),
}

impl Reply {
    /// `+OK`.
    pub const OK: Reply = Reply::Simple("OK");

    /// A bulk string from anything made of bytes.
    pub fn bulk(s: impl AsRef<[u8]>) -> Reply {
        Reply::Bulk(Bytes::copy_from_slice(s.as_ref()))
    }

    /// A bulk string, or nil.
    pub(crate) fn maybe(s: Option<Bytes>) -> Reply {
        s.map_or(Reply::Nil, Reply::Bulk)
    }

    /// An array of bulk strings.
    pub(crate) fn list(items: impl IntoIterator<Item = Bytes>) -> Reply {
        Reply::Array(items.into_iter().map(Reply::Bulk).collect())
    }

    /// Whether this is an error line.
    pub fn is_error(&self) -> bool {
        matches!(self, Reply::Error(_))
    }

    /// Appends the reply in RESP3 or RESP2.
    pub(crate) fn write(&self, out: &mut Vec<u8>, resp3: bool) {
        let mut number = itoa::Buffer::new();
        match self {
            Reply::Simple(s) => line(out, b'+', s.as_bytes()),
            Reply::Status(s) => line(out, b'+', s.as_bytes()),
            Reply::Error(s) => line(out, b'-', s.as_bytes()),
            Reply::Int(n) => line(out, b':', number.format(*n).as_bytes()),
            Reply::Double(d) if resp3 => line(out, b',', score(*d).as_bytes()),
            Reply::Double(d) => bulk(out, score(*d).as_bytes()),
            Reply::Bulk(b) => bulk(out, b),
            Reply::Nil | Reply::NilArray if resp3 => out.extend_from_slice(b"_\r\n"),
            Reply::Nil => out.extend_from_slice(b"$-1\r\n"),
            Reply::NilArray => out.extend_from_slice(b"*-1\r\n"),
            Reply::Array(items) => {
                line(out, b'*', number.format(items.len()).as_bytes());
                items.iter().for_each(|i| i.write(out, resp3));
            }
            Reply::Set(items) => {
                line(out, if resp3 { b'~' } else { b'*' }, number.format(items.len()).as_bytes());
                items.iter().for_each(|i| i.write(out, resp3));
            }
            Reply::Scored(pairs) => {
                let n = if resp3 { pairs.len() } else { pairs.len() * 2 };
                line(out, b'*', number.format(n).as_bytes());
                for (member, score) in pairs {
                    if resp3 {
                        out.extend_from_slice(b"*2\r\n");
                    }
                    bulk(out, member);
                    Reply::Double(*score).write(out, resp3);
                }
            }
            Reply::Map(pairs) => {
                let n = if resp3 { pairs.len() } else { pairs.len() * 2 };
                line(out, if resp3 { b'%' } else { b'*' }, number.format(n).as_bytes());
                for (k, v) in pairs {
                    k.write(out, resp3);
                    v.write(out, resp3);
                }
            }
        }
    }
}

fn line(out: &mut Vec<u8>, kind: u8, s: &[u8]) {
    out.push(kind);
    out.extend_from_slice(s);
    out.extend_from_slice(b"\r\n");
}

fn bulk(out: &mut Vec<u8>, s: &[u8]) {
    let _ = write!(out, "${}\r\n", s.len());
    out.extend_from_slice(s);
    out.extend_from_slice(b"\r\n");
}

/// A score or float as text: the shortest that reads back the same; whole numbers without a point, `inf`, exponent
/// form for the very large and very small. A zero has no sign (v1.40.1 `reply_builder.cc` `kConvFlags`).
pub(crate) fn score(d: f64) -> String {
    if d.is_infinite() {
        return if d > 0.0 { "inf" } else { "-inf" }.to_owned();
    }
    if d == 0.0 {
        return "0".to_owned();
    }
    let magnitude = d.abs();
    if (1e-5..1e21).contains(&magnitude) { format!("{d}") } else { exponent(&format!("{d:e}")) }
}

/// `1e-300` and `1e+300`: an exponent has a sign and at least two digits.
fn exponent(s: &str) -> String {
    match s.split_once('e') {
        Some((m, e)) => match e.strip_prefix('-') {
            Some(e) => format!("{m}e-{e:0>2}"),
            None => format!("{m}e+{e:0>2}"),
        },
        None => s.to_owned(),
    }
}

/// A score with six significant digits, as `%g` prints it: what rewritten ZADD records carry (v1.40.1
/// `zset_family.cc OpAdd`; seen in the `commands` capture).
pub(crate) fn six_digits(d: f64) -> String {
    if d == 0.0 && d.is_sign_negative() {
        return "-0".to_owned();
    }
    if d == 0.0 || !d.is_finite() {
        return score(d);
    }
    let e = format!("{d:.5e}");
    let (mantissa, exp) = e.split_once('e').unwrap_or((&e, "0"));
    let exp: i32 = exp.parse().unwrap_or(0);
    let trim = |s: &str| {
        if s.contains('.') { s.trim_end_matches('0').trim_end_matches('.').to_owned() } else { s.to_owned() }
    };
    if (-4..6).contains(&exp) {
        trim(&format!("{d:.*}", (5 - exp).max(0) as usize))
    } else {
        exponent(&format!("{}e{exp}", trim(mantissa)))
    }
}

//! What `source` and `target` have in common: addresses, credentials, TLS.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use secrecy::SecretString;

use super::credential;
use crate::document::Content;
use crate::keys;
use crate::reader::{Place, Reader, printable};
use crate::{Address, Tls};

/// Which of the two sections.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Side {
    Source,
    Target,
}

impl Side {
    /// The environment variable that carries the password.
    pub(crate) fn password_variable(self) -> &'static str {
        match self {
            Side::Source => "DF2REDIS_SOURCE_PASSWORD",
            Side::Target => "DF2REDIS_TARGET_PASSWORD",
        }
    }

    /// The credential that carries the password.
    pub(crate) fn credential(self) -> &'static str {
        match self {
            Side::Source => "source_password",
            Side::Target => "target_password",
        }
    }

    fn key(self, name: &str) -> String {
        match self {
            Side::Source => format!("source.{name}"),
            Side::Target => format!("target.{name}"),
        }
    }
}

/// The common part of a section.
pub(crate) struct Endpoint {
    pub(crate) addrs: Vec<Address>,
    pub(crate) username: Option<String>,
    pub(crate) password: Option<SecretString>,
    pub(crate) tls: Option<Tls>,
}

/// Reads the common part of a section.
pub(crate) fn endpoint(
    reader: &mut Reader<'_>,
    side: Side,
    env: &dyn Fn(&str) -> Option<String>,
) -> Endpoint {
    Endpoint {
        addrs: addresses(reader, &side.key("addr")),
        username: reader.scalar(&side.key("username")).map(|s| s.text).filter(|name| !name.is_empty()),
        password: password(reader, side, env),
        tls: tls(reader, &side.key("tls")),
    }
}

/// One address, a list, or several with commas between them.
fn addresses(reader: &mut Reader<'_>, key: &str) -> Vec<Address> {
    const HINT: &str = "write host:port, for example 127.0.0.1:6379";
    let Some(found) = reader.get(key) else {
        reader.missing(key, HINT);
        return Vec::new();
    };
    let texts = match &found.node.content {
        Content::Scalar(text) => text.split(',').map(|part| (found.place.clone(), part.to_owned())).collect(),
        Content::List(nodes) => {
            let mut texts = Vec::new();
            for (i, node) in nodes.iter().enumerate() {
                match &node.content {
                    Content::Scalar(text) => {
                        texts.push((found.place.below(&i.to_string(), node), text.clone()))
                    }
                    _ => reader.problem(
                        &found.place.below(&i.to_string(), node),
                        "not an address".into(),
                        Some(HINT),
                    ),
                }
            }
            if nodes.is_empty() {
                reader.problem(&found.place, "no address".into(), Some(HINT));
            }
            texts
        }
        Content::Map(_) | Content::Null => {
            reader.problem(&found.place, "expected one address or a list of them".into(), Some(HINT));
            Vec::new()
        }
    };
    let mut addresses: Vec<Address> = Vec::new();
    for (place, text) in texts {
        match text.parse::<Address>() {
            Ok(address) if !addresses.contains(&address) => addresses.push(address),
            Ok(_) => {}
            Err(wrong) => reader.problem(&place, wrong.to_string(), Some(HINT)),
        }
    }
    addresses
}

/// The environment comes first, then `password` or `password_file`, then a credential. An empty password is none.
fn password(
    reader: &mut Reader<'_>,
    side: Side,
    env: &dyn Fn(&str) -> Option<String>,
) -> Option<SecretString> {
    let written = reader.scalar(&side.key("password")).filter(|s| !s.text.is_empty());
    let file = reader.scalar(&side.key("password_file")).filter(|s| !s.text.is_empty());
    if let (Some(written), Some(_)) = (&written, &file) {
        reader.problem(&written.place, "both password and password_file are given".into(), Some("keep one"));
        return None;
    }
    if let Some(password) = env(side.password_variable()).filter(|password| !password.is_empty()) {
        return Some(SecretString::from(password));
    }
    if let Some(file) = file {
        return match password_from(Path::new(&file.text)) {
            Ok(password) => Some(password),
            Err(message) => {
                reader.problem(&file.place, message, Some("the file holds the password and nothing else"));
                None
            }
        };
    }
    if let Some(written) = written {
        return Some(SecretString::from(written.text));
    }
    credential(side, env).unwrap_or_else(|message| {
        let hint = "the credential is the password and nothing else";
        reader.problem_beside(&side.key("password"), message, hint);
        None
    })
}

pub(super) fn password_from(file: &Path) -> Result<SecretString, String> {
    let shown = printable(&file.display().to_string());
    let mut text = fs::read_to_string(file).map_err(|error| match error.kind() {
        io::ErrorKind::InvalidData => format!("{shown}: not UTF-8"),
        _ => format!("{shown}: {}", reason(&error)),
    })?;
    if text.ends_with('\n') {
        text.pop();
        if text.ends_with('\r') {
            text.pop();
        }
    }
    if text.is_empty() {
        return Err(format!("{shown}: the file is empty"));
    }
    Ok(SecretString::from(text))
}

/// `false`, `true`, or a map.
fn tls(reader: &mut Reader<'_>, key: &str) -> Option<Tls> {
    const KEYS: &[&str] = &["enabled", "ca_file", "cert_file", "key_file", "server_name"];
    let found = reader.get(key)?;
    let entries = match &found.node.content {
        Content::Scalar(text) => {
            return switch(reader, &found.place, text).unwrap_or(false).then(Tls::default);
        }
        Content::Map(entries) => entries,
        Content::List(_) | Content::Null => {
            reader.problem(&found.place, "expected true, false or a map".into(), None);
            return None;
        }
    };
    let mut enabled = None;
    let mut tls = Tls::default();
    let mut files = Vec::new();
    for (name, node) in entries {
        let place = found.place.below(name, node);
        if !KEYS.contains(&name.as_str()) {
            let nearest = keys::nearest_of(name, KEYS);
            reader.problem(
                &place,
                "unknown key".into(),
                Some(&format!("the nearest known key is {key}.{nearest}")),
            );
            continue;
        }
        let Some(scalar) = reader.as_scalar(place.clone(), node).filter(|s| !s.text.is_empty()) else {
            continue;
        };
        let file = || Some(PathBuf::from(&scalar.text));
        match name.as_str() {
            "enabled" => enabled = switch(reader, &place, &scalar.text),
            "server_name" => tls.server_name = Some(scalar.text),
            "ca_file" => tls.ca_file = file(),
            "cert_file" => tls.cert_file = file(),
            _ => tls.key_file = file(),
        }
        if name.ends_with("_file") {
            files.push((place, node_path(node)));
        }
    }
    // A map that says nothing about `enabled` is there to be used.
    if enabled == Some(false) {
        return None;
    }
    for (place, file) in files {
        if let Err(error) = fs::File::open(&file).and_then(|f| f.metadata()).and_then(not_a_directory) {
            let message = format!("{}: {}", printable(&file.display().to_string()), reason(&error));
            reader.problem(&place, message, Some("give a readable file in PEM form"));
        }
    }
    if tls.cert_file.is_some() != tls.key_file.is_some() {
        let message = "a client certificate needs cert_file and key_file";
        reader.problem(&found.place, message.into(), Some("give both or neither"));
    }
    Some(tls)
}

fn node_path(node: &crate::document::Node) -> PathBuf {
    match &node.content {
        Content::Scalar(text) => PathBuf::from(text),
        _ => PathBuf::new(),
    }
}

fn not_a_directory(metadata: fs::Metadata) -> io::Result<()> {
    if metadata.is_dir() { Err(io::ErrorKind::IsADirectory.into()) } else { Ok(()) }
}

fn switch(reader: &mut Reader<'_>, place: &Place, text: &str) -> Option<bool> {
    match text.to_ascii_lowercase().as_str() {
        "true" => Some(true),
        "false" => Some(false),
        _ => {
            reader.problem(place, format!("not true or false: \"{}\"", printable(text)), None);
            None
        }
    }
}

/// An I/O error without its number.
pub(crate) fn reason(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::NotFound => "no such file".into(),
        io::ErrorKind::PermissionDenied => "permission denied".into(),
        io::ErrorKind::IsADirectory => "is a directory".into(),
        io::ErrorKind::NotADirectory => "a part of the path is not a directory".into(),
        _ => error.to_string(),
    }
}

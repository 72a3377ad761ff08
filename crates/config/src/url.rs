//! `--source URL --target URL`.

use secrecy::SecretString;

use crate::read::{Side, credential};
use crate::{
    Address, Config, ExistingData, Mapping, Problem, Problems, Source, Target, TargetType, Tls, address,
};

const DEFAULT_PORT: u16 = 6379;
const HINT: &str = "write redis://user:password@host:port, rediss:// for TLS, redis+cluster:// for a cluster";

impl Config {
    /// The configuration that two URLs stand for (`--source URL --target URL`): `redis://`, `rediss://` (TLS) and, for
    /// the target, `redis+cluster://` and `rediss+cluster://`, each `[[user]:password@]host[:port][,host[:port]...]`, user and
    /// password percent-encoded. A target named by `redis://` may turn out to be either kind. Everything else has its
    /// default; a password in the environment comes before the URL's.
    ///
    /// # Errors
    /// All problems of both URLs at once. No message repeats a URL: it may hold a password.
    pub fn from_urls(
        source: &str,
        target: &str,
        env: &dyn Fn(&str) -> Option<String>,
    ) -> Result<Config, Problems> {
        let mut problems = Vec::new();
        let mut parsed = |name: &str, text: &str, side: Side| {
            parse(text, side, env).map_err(|message| {
                problems.push(Problem {
                    path: name.to_owned(),
                    line: None,
                    message,
                    hint: Some(HINT.to_owned()),
                });
            })
        };
        let source = parsed("--source", source, Side::Source);
        let target = parsed("--target", target, Side::Target);
        let failed = |problems| Err(Problems { file: "command line".to_owned(), problems });
        let (Ok(source), Ok(target)) = (source, target) else {
            return failed(problems);
        };
        if let Some(both) = target.addrs.iter().find(|addr| source.addrs.contains(addr)) {
            return failed(vec![Problem {
                path: "--target".to_owned(),
                line: None,
                message: format!("{both} is also the source"),
                hint: Some("source and target must be different servers".to_owned()),
            }]);
        }
        Ok(Config {
            source: Source {
                addrs: source.addrs,
                username: source.username,
                password: source.password,
                tls: source.tls,
                listening_port: None,
                backlog_records: None,
            },
            target: Target {
                kind: if target.cluster { TargetType::Cluster } else { TargetType::Auto },
                addrs: target.addrs,
                username: target.username,
                password: target.password,
                tls: target.tls,
                on_existing_data: ExistingData::Refuse,
                loss_window: Target::LOSS_WINDOW,
            },
            filter: crate::Filter::default(),
            conflict: crate::Conflict::default(),
            limits: crate::Limits::default(),
            task_name: None,
            status_file: None,
            mapping: Mapping::default(),
            checkpoint: Default::default(),
            spool: Default::default(),
            repair: Default::default(),
            types: Default::default(),
            dashboard: Default::default(),
            logging: Default::default(),
            warnings: Vec::new(),
        })
    }
}

struct Url {
    addrs: Vec<Address>,
    username: Option<String>,
    password: Option<SecretString>,
    tls: Option<Tls>,
    cluster: bool,
}

fn parse(text: &str, side: Side, env: &dyn Fn(&str) -> Option<String>) -> Result<Url, String> {
    let (scheme, rest) = text.split_once("://").ok_or("not a URL: `redis://` is missing")?;
    let (tls, cluster) = match scheme.to_ascii_lowercase().as_str() {
        "redis" => (false, false),
        "rediss" => (true, false),
        "redis+cluster" => (false, true),
        "rediss+cluster" => (true, true),
        _ => return Err("unknown scheme".into()),
    };
    if cluster && side == Side::Source {
        return Err("a source is one Dragonfly, not a cluster".into());
    }
    // A password may contain anything but must then be percent-encoded; the last `@` is the separator in any case.
    let (user_info, rest) = match rest.rsplit_once('@') {
        Some((user_info, rest)) => (Some(user_info), rest),
        None => (None, rest),
    };
    let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
    if path.contains('?') || authority.contains('?') {
        return Err("options behind `?` are not known".into());
    }
    if !matches!(path, "" | "0") {
        return Err("a database cannot be chosen: all of them are replicated".into());
    }
    let mut addrs = Vec::new();
    for part in authority.split(',') {
        let address = address::parse(part, Some(DEFAULT_PORT)).map_err(|wrong| wrong.to_string())?;
        if !addrs.contains(&address) {
            addrs.push(address);
        }
    }
    let (username, password) = match user_info.map(|info| info.split_once(':').unwrap_or((info, ""))) {
        Some((user, password)) => (decode(user)?, decode(password)?),
        None => (String::new(), String::new()),
    };
    let password = env(side.password_variable()).filter(|p| !p.is_empty()).unwrap_or(password);
    let password = match password.as_str() {
        "" => credential(side, env)?,
        _ => Some(SecretString::from(password)),
    };
    Ok(Url {
        addrs,
        username: Some(username).filter(|name| !name.is_empty()),
        password,
        tls: tls.then(Tls::default),
        cluster,
    })
}

fn decode(text: &str) -> Result<String, String> {
    const WRONG: &str = "user or password is not percent-encoded correctly";
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let mut digit = || rest.next().and_then(|b| char::from(b).to_digit(16)).ok_or(WRONG);
        let value = digit()? * 16 + digit()?;
        bytes.push(u8::try_from(value).map_err(|_| WRONG)?);
    }
    String::from_utf8(bytes).map_err(|_| WRONG.to_owned())
}

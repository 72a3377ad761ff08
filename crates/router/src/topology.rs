//! Reads what a cluster says about itself.

use resp::Reply;

/// A range of slots and the master that serves it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Range {
    pub(crate) first: u16,
    pub(crate) last: u16,
    /// `host:port`.
    pub(crate) master: String,
    /// The node ids of the master and of its replicas.
    pub(crate) ids: Vec<String>,
}

/// Reads the reply of `CLUSTER SLOTS`, asked at `asked` (`host:port`): a node that does not know its own name gives
/// none, and then the name it was asked under stands for it.
pub(crate) fn ranges(reply: &Reply, asked: &str) -> Option<Vec<Range>> {
    reply.as_array()?.iter().map(|entry| range(entry, asked)).collect()
}

fn range(entry: &Reply, asked: &str) -> Option<Range> {
    let [first, last, master, replicas @ ..] = entry.as_array()? else { return None };
    let [host, port, ..] = master.as_array()? else { return None };
    let id = |node: &Reply| Some(node.as_array()?.get(2)?.as_str()?.to_owned());
    let ids = std::iter::once(master).chain(replicas).filter_map(id).collect();
    let (first, last) = (slot(first)?, slot(last)?);
    if first > last {
        return None;
    }
    let port = u16::try_from(port.as_integer()?).ok()?;
    Some(Range { first, last, master: address(host.as_str().unwrap_or_default(), port, asked), ids })
}

fn slot(reply: &Reply) -> Option<u16> {
    u16::try_from(reply.as_integer()?).ok().filter(|slot| *slot < command::slot::SLOTS)
}

/// `host:port`, with the host of `asked` where the node gives none.
pub(crate) fn address(host: &str, port: u16, asked: &str) -> String {
    if host.is_empty() || host == "?" {
        let host = asked.rsplit_once(':').map_or(asked, |(host, _)| host);
        return format!("{host}:{port}");
    }
    if host.contains(':') && !host.starts_with('[') {
        return format!("[{host}]:{port}");
    }
    format!("{host}:{port}")
}

/// One field of an INFO reply.
pub(crate) fn info_field<'a>(info: &'a str, name: &str) -> Option<&'a str> {
    info.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    fn text(s: &'static str) -> Reply {
        Reply::Bulk(Bytes::from_static(s.as_bytes()))
    }

    fn entry(first: i64, last: i64, host: Reply, port: i64) -> Reply {
        let master = Reply::Array(vec![host, Reply::Integer(port), text("id-1"), Reply::Array(vec![])]);
        let replica = Reply::Array(vec![text("10.0.0.9"), Reply::Integer(1), text("id-2")]);
        Reply::Array(vec![Reply::Integer(first), Reply::Integer(last), master, replica])
    }

    #[test]
    fn the_first_node_of_a_range_is_its_master() {
        let reply = Reply::Array(vec![entry(0, 5460, text("10.0.0.1"), 7000)]);
        let ids = vec!["id-1".into(), "id-2".into()];
        let expected = Range { first: 0, last: 5460, master: "10.0.0.1:7000".into(), ids };
        assert_eq!(ranges(&reply, "seed:1").unwrap(), [expected]);
    }

    #[test]
    fn a_node_without_a_name_is_reached_under_the_name_that_was_asked() {
        let reply = Reply::Array(vec![entry(1, 1, Reply::Nil, 7001), entry(2, 2, text("::1"), 7002)]);
        let ranges = ranges(&reply, "seed.example:7000").unwrap();
        assert_eq!(ranges[0].master, "seed.example:7001");
        assert_eq!(ranges[1].master, "[::1]:7002");
    }

    #[test]
    fn nonsense_is_no_slot_map() {
        assert_eq!(ranges(&Reply::Nil, "a:1"), None);
        assert_eq!(ranges(&Reply::Array(vec![entry(0, 16384, text("h"), 1)]), "a:1"), None);
        assert_eq!(ranges(&Reply::Array(vec![entry(9, 8, text("h"), 1)]), "a:1"), None);
        assert_eq!(ranges(&Reply::Array(vec![entry(0, 1, text("h"), 70000)]), "a:1"), None);
    }

    #[test]
    fn info_fields() {
        let info = "# Server\r\nredis_version:7.0.15\r\nredis_mode:standalone\r\n";
        assert_eq!(info_field(info, "redis_version"), Some("7.0.15"));
        assert_eq!(info_field(info, "redis_mod"), None);
    }
}

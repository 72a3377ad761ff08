//! What the source's write commands look like in its journal, one line a command: docs/commands.md is made from it.

/// A write command of the source.
#[derive(Debug)]
pub struct Recorded {
    /// Name in upper case.
    pub command: &'static str,
    /// Its records, as examples: words separated by blanks. `a`, `b`, `c` are keys, of which no two share a slot; `<dump>` is a
    /// payload. Records of one transaction are separated by ` ; `.
    pub records: &'static [&'static str],
    /// First release that has it, or that records it, where that is later than the others.
    pub since: &'static str,
}

/// A heading, and the commands under it.
#[derive(Debug)]
pub struct Family {
    /// The heading.
    pub name: &'static str,
    /// The commands.
    pub commands: &'static [Recorded],
}

const fn own(command: &'static str, records: &'static [&'static str]) -> Recorded {
    Recorded { command, records, since: "" }
}

const fn since(since: &'static str, command: &'static str, records: &'static [&'static str]) -> Recorded {
    Recorded { command, records, since }
}

/// Every command of Dragonfly 1.40.1 that writes to its journal, as it is found there.
pub static FAMILIES: &[Family] = &[
    Family {
        name: "Strings",
        commands: &[
            own("SET", &["SET a v", "SET a v PXAT 1900000000000 KEEPTTL STICK _MCFLAGS 5"]),
            own("SETEX", &["SET a v PXAT 1900000000000", "SETEX a 100 v"]),
            own("PSETEX", &["SET a v PXAT 1900000000000", "PSETEX a 100 v"]),
            own("SETNX", &["SETNX a v"]),
            own("GETSET", &["GETSET a v"]),
            own("GETDEL", &["GETDEL a"]),
            own("GETEX", &["PEXPIREAT a 1900000000000", "PERSIST a", "GETEX a EX 100"]),
            own("GAT", &["PEXPIREAT a 1900000000000", "DEL a"]),
            own("MSET", &["MSET a v b w"]),
            own("MSETNX", &["MSET a v b w", "MSETNX a v b w"]),
            own("APPEND", &["APPEND a v"]),
            own("PREPEND", &["PREPEND a v"]),
            own("SETRANGE", &["SETRANGE a 5 v"]),
            own("INCR", &["INCR a"]),
            own("INCRBY", &["INCRBY a 5"]),
            own("INCRBYFLOAT", &["INCRBYFLOAT a 0.1"]),
            own("DECR", &["DECR a"]),
            own("DECRBY", &["DECRBY a 5"]),
            own("SETBIT", &["SETBIT a 7 1"]),
            own("BITFIELD", &["BITFIELD a SET u8 0 5", "BITFIELD a INCRBY u8 0 5"]),
            own("BITOP", &["SET a v ; PING", "DEL a", "BITOP AND a b c"]),
            own("CL.THROTTLE", &["CL.THROTTLE a 5 10 60"]),
        ],
    },
    Family {
        name: "Keys of any type",
        commands: &[
            own("DEL", &["DEL a b"]),
            own("UNLINK", &["DEL a b", "UNLINK a b"]),
            since("1.37", "DELEX", &["DELEX a", "DELEX a IFEQ v"]),
            since("1.38", "RM", &["DEL a"]),
            own("RENAME", &["RENAME a b", "DEL a", "RESTORE b 0 <dump> REPLACE ABSTTL STICK"]),
            own("RENAMENX", &["RENAMENX a b", "DEL a", "RESTORE b 0 <dump> REPLACE ABSTTL"]),
            own("COPY", &["RESTORE b 0 <dump> REPLACE ABSTTL", "COPY a b REPLACE"]),
            own("MOVE", &["MOVE a 1"]),
            own(
                "RESTORE",
                &["RESTORE a 0 <dump>", "RESTORE a 1900000000000 <dump> ABSTTL", "RESTORE a 5000 <dump>"],
            ),
            own("SORT", &["SORT a STORE b", "SORT a DESC", "SORT STORE"]),
            own("STICK", &["STICK a b"]),
            since("1.36", "SHRINK", &["SHRINK a"]),
            own("TOUCH", &["TOUCH a"]),
            own("EXPIRE", &["PEXPIREAT a 1900000000000", "DEL a", "EXPIRE a 100"]),
            own("PEXPIRE", &["PEXPIREAT a 1900000000000", "DEL a", "PEXPIRE a 100"]),
            own("EXPIREAT", &["PEXPIREAT a 1900000000000", "DEL a", "EXPIREAT a 1900000000"]),
            own("PEXPIREAT", &["PEXPIREAT a 1900000000000", "DEL a"]),
            own("PERSIST", &["PERSIST a"]),
        ],
    },
    Family {
        name: "Lists",
        commands: &[
            own("LPUSH", &["LPUSH a v"]),
            own("LPUSHX", &["LPUSHX a v"]),
            own("RPUSH", &["RPUSH a v"]),
            own("RPUSHX", &["RPUSHX a v"]),
            own("LPOP", &["LPOP a", "LPOP a 2"]),
            own("RPOP", &["RPOP a", "RPOP a 2"]),
            own("LSET", &["LSET a 0 v"]),
            own("LTRIM", &["LTRIM a 0 5"]),
            own("LREM", &["LREM a 0 v"]),
            own("LINSERT", &["LINSERT a BEFORE v w"]),
            own("LMOVE", &["LPOP a ; RPUSH b v", "LMOVE a b LEFT RIGHT"]),
            own("BLMOVE", &["LPOP a ; RPUSH b v"]),
            own("RPOPLPUSH", &["RPOP a ; LPUSH b v", "RPOPLPUSH a b"]),
            own("BRPOPLPUSH", &["RPOP a ; LPUSH b v"]),
            own("BLPOP", &["LPOP a"]),
            own("BRPOP", &["RPOP a"]),
            own("LMPOP", &["LPOP a ; PING"]),
            own("BLMPOP", &["RPOP a ; PING"]),
        ],
    },
    Family {
        name: "Sets",
        commands: &[
            own("SADD", &["SADD a m"]),
            own("SADDEX", &["SADDEX a 100 m"]),
            own("SREM", &["SREM a m"]),
            own("SPOP", &["SREM a m", "DEL a"]),
            own("SMOVE", &["SREM a m ; SADD b m", "SMOVE a b m"]),
            own("SUNIONSTORE", &["DEL a ; SADD a m", "SUNIONSTORE a b c"]),
            own("SINTERSTORE", &["DEL a ; SADD a m", "SINTERSTORE a b c"]),
            own("SDIFFSTORE", &["DEL a ; SADD a m", "SDIFFSTORE a b c"]),
        ],
    },
    Family {
        name: "Hashes",
        commands: &[
            own("HSET", &["HSET a f v"]),
            own("HMSET", &["HMSET a f v"]),
            own("HSETNX", &["HSETNX a f v"]),
            own("HDEL", &["HDEL a f"]),
            own("HINCRBY", &["HINCRBY a f 5"]),
            own("HINCRBYFLOAT", &["HINCRBYFLOAT a f 0.1"]),
            own("HSETEX", &["HSETEX a 100 f v", "HSETEX a NX 100 f v", "HSETEX a FNX EX 100 FIELDS 1 f v"]),
            since(
                "1.40",
                "HGETEX",
                &["HGETEX a EX 100 FIELDS 1 f", "HGETEX a PERSIST FIELDS 1 f", "HGETEX a FIELDS 1 f"],
            ),
            since("1.24", "HEXPIRE", &["HEXPIRE a 100 FIELDS 1 f"]),
            since("1.24", "FIELDEXPIRE", &["FIELDEXPIRE a 100 f"]),
        ],
    },
    Family {
        name: "Sorted sets",
        commands: &[
            own("ZADD", &["ZADD a NX CH 1.5 m", "ZADD a GT 1.5 m", "ZADD a INCR 1.5 m"]),
            own("ZINCRBY", &["ZINCRBY a 1.5 m"]),
            own("ZREM", &["ZREM a m"]),
            own("ZREMRANGEBYRANK", &["ZREMRANGEBYRANK a 0 1"]),
            own("ZREMRANGEBYSCORE", &["ZREMRANGEBYSCORE a 0 (1"]),
            own("ZREMRANGEBYLEX", &["ZREMRANGEBYLEX a [m (n"]),
            own("ZPOPMIN", &["ZPOPMIN a", "ZPOPMIN a 2"]),
            own("ZPOPMAX", &["ZPOPMAX a", "ZPOPMAX a 2"]),
            own("BZPOPMIN", &["ZPOPMIN a"]),
            own("BZPOPMAX", &["ZPOPMAX a"]),
            own("ZMPOP", &["ZPOPMIN a 2"]),
            own("BZMPOP", &["ZPOPMAX a 2"]),
            own("ZUNIONSTORE", &["DEL a ; ZADD a 1.5 m", "ZUNIONSTORE a 2 b c"]),
            own("ZINTERSTORE", &["DEL a ; ZADD a 1.5 m", "ZINTERSTORE a 2 b c"]),
            own("ZDIFFSTORE", &["DEL a ; ZADD a 1.5 m", "ZDIFFSTORE a 2 b c"]),
            own("ZRANGESTORE", &["DEL a ; ZADD a 1.5 m", "ZRANGESTORE a b 0 5"]),
            own("ZINTER", &["ZINTER 2 a b"]),
            own("GEOADD", &["GEOADD a 1.5 2.5 m"]),
            own("GEORADIUS", &["GEORADIUS a 1 2 5 km STORE b", "GEORADIUS a"]),
            own("GEORADIUSBYMEMBER", &["GEORADIUSBYMEMBER a m 5 km STORE b", "GEORADIUSBYMEMBER a"]),
            own("GEOSEARCHSTORE", &["GEOSEARCHSTORE a b FROMMEMBER m BYRADIUS 5 km"]),
        ],
    },
    Family {
        name: "HyperLogLogs",
        commands: &[
            own("PFADD", &["PFADD a m"]),
            own("PFMERGE", &["SET a v ; PING", "PFMERGE a b"]),
            own("PFCOUNT", &["PFCOUNT a b"]),
        ],
    },
    Family {
        name: "Streams",
        commands: &[
            own("XADD", &["XADD a MINID 1-1 5-1 f v", "XADD a MAXLEN ~ 10 * f v"]),
            own("XTRIM", &["XTRIM a MINID 1-1", "XTRIM a MAXLEN 0", "XTRIM a MAXLEN ~ 10"]),
            own("XDEL", &["XDEL a 1-1"]),
            own("XACK", &["XACK a g 1-1"]),
            own("XCLAIM", &["XCLAIM a g c 0 1-1"]),
            own("XAUTOCLAIM", &["XAUTOCLAIM a g c 0 0"]),
            own(
                "XGROUP",
                &[
                    "XGROUP CREATE a g $ MKSTREAM",
                    "XGROUP CREATE a g 0 ENTRIESREAD 4",
                    "XGROUP SETID a g 1-1",
                    "XGROUP CREATECONSUMER a g c",
                    "XGROUP DELCONSUMER a g c",
                    "XGROUP DESTROY a g",
                ],
            ),
            since(
                "1.37",
                "XREADGROUP",
                &[
                    "XGROUP CREATECONSUMER a g c",
                    "XCLAIM a g c 0 1-1 TIME 1800000000000 RETRYCOUNT 1 FORCE JUSTID LASTID 1-1",
                    "XGROUP SETID a g 1-1 ENTRIESREAD 1",
                ],
            ),
            own("XSETID", &["XSETID a 5-1", "XSETID a 5-1 ENTRIESADDED 5 MAXDELETEDID 1-1"]),
        ],
    },
    Family {
        name: "Documents",
        commands: &[
            own("JSON.SET", &["JSON.SET a $ 1", "JSON.SET a $ 1 NX"]),
            own("JSON.MSET", &["JSON.MSET a $ 1 b $ 2", "PING"]),
            own("JSON.MERGE", &["JSON.MERGE a $ 1"]),
            own("JSON.DEL", &["JSON.DEL a $.x"]),
            own("JSON.FORGET", &["JSON.FORGET a $.x"]),
            own("JSON.CLEAR", &["JSON.CLEAR a $.x"]),
            own("JSON.NUMINCRBY", &["JSON.NUMINCRBY a $.x 1"]),
            own("JSON.NUMMULTBY", &["JSON.NUMMULTBY a $.x 2"]),
            own("JSON.STRAPPEND", &["JSON.STRAPPEND a $.x \"y\""]),
            own("JSON.TOGGLE", &["JSON.TOGGLE a $.x"]),
            own("JSON.ARRAPPEND", &["JSON.ARRAPPEND a $.x 1"]),
            own("JSON.ARRINSERT", &["JSON.ARRINSERT a $.x 0 1"]),
            own("JSON.ARRPOP", &["JSON.ARRPOP a $.x 0"]),
            own("JSON.ARRTRIM", &["JSON.ARRTRIM a $.x 0 1"]),
        ],
    },
    Family {
        name: "Sketches",
        commands: &[
            since("1.16", "BF.RESERVE", &["BF.RESERVE a 0.01 100"]),
            since("1.16", "BF.ADD", &["BF.ADD a m"]),
            since("1.16", "BF.MADD", &["BF.MADD a m n"]),
            since("1.16", "BF.INSERT", &["BF.INSERT a ITEMS m"]),
            since("1.17", "BF.LOADCHUNK", &["BF.LOADCHUNK a 1 chunk"]),
            since("1.40", "CF.RESERVE", &["CF.RESERVE a 100"]),
            since("1.40", "CF.ADD", &["CF.ADD a m"]),
            since("1.40", "CF.ADDNX", &["CF.ADDNX a m"]),
            since("1.40", "CF.INSERT", &["CF.INSERT a ITEMS m"]),
            since("1.40", "CF.INSERTNX", &["CF.INSERTNX a ITEMS m"]),
            since("1.40", "CF.DEL", &["CF.DEL a m"]),
            since("1.40", "CF.COMPACT", &["CF.COMPACT a"]),
            since("main", "CF.LOADCHUNK", &["CF.LOADCHUNK a 1 chunk"]),
            since("1.38", "CMS.INITBYDIM", &["CMS.INITBYDIM a 20 3"]),
            since("1.38", "CMS.INITBYPROB", &["CMS.INITBYPROB a 0.1 0.1"]),
            since("1.38", "CMS.INCRBY", &["CMS.INCRBY a m 1"]),
            since("1.38", "CMS.MERGE", &["CMS.MERGE a 2 b c", "CMS.MERGE a b"]),
            since("1.38", "TOPK.RESERVE", &["TOPK.RESERVE a 3"]),
            since("1.38", "TOPK.ADD", &["TOPK.ADD a m"]),
            since("1.38", "TOPK.INCRBY", &["TOPK.INCRBY a m 1"]),
        ],
    },
    Family {
        name: "Later releases",
        commands: &[
            since("main", "HPEXPIRE", &["HPEXPIRE a 100 FIELDS 1 f"]),
            since("main", "HEXPIREAT", &["HEXPIREAT a 1900000000 FIELDS 1 f"]),
            since("main", "HPEXPIREAT", &["HPEXPIREAT a 1900000000000 FIELDS 1 f"]),
            since("main", "HPERSIST", &["HPERSIST a FIELDS 1 f"]),
            since("main", "HGETDEL", &["HGETDEL a FIELDS 1 f"]),
        ],
    },
    Family {
        name: "Without keys",
        commands: &[
            own("FLUSHALL", &["FLUSHALL"]),
            own("FLUSHDB", &["FLUSHDB"]),
            own("DFLYCLUSTER", &["DFLYCLUSTER FLUSHSLOTS 0 100"]),
            own("SCRIPT", &["SCRIPT LOAD script", "SCRIPT FLAGS sha flag"]),
            own("PING", &["PING"]),
            own("FT.CREATE", &["FT.CREATE index"]),
            own("FT.ALTER", &["FT.ALTER index"]),
            own("FT.DROPINDEX", &["FT.DROPINDEX index"]),
            own("FT.SYNUPDATE", &["FT.SYNUPDATE index"]),
            own("FT.CONFIG", &["FT.CONFIG SET x y"]),
        ],
    },
];

use journal::RecordKind;

use super::*;

fn record(txid: u64, line: &str) -> Record {
    let args = line.split(' ').map(|word| Bytes::copy_from_slice(word.as_bytes())).collect();
    Record { db: 0, txid, kind: RecordKind::Command, args }
}

/// Keys and reasons of a stream, quiet at its end.
fn doubts(stream: &[(u64, &str)]) -> Vec<(String, DoubtfulWhy)> {
    let mut doubts = Doubts::new();
    let mut found: Vec<Doubt> =
        stream.iter().flat_map(|(txid, line)| doubts.record(&record(*txid, line))).collect();
    found.extend(doubts.quiet());
    found.into_iter().map(|d| (String::from_utf8(d.key.key.to_vec()).unwrap(), d.why)).collect()
}

#[test]
fn a_stored_sorted_set_has_rounded_scores() {
    use DoubtfulWhy::RoundedScores;
    // as in the capture
    assert_eq!(
        doubts(&[(23, "DEL j:zu"), (23, "ZADD j:zu 15 q 3.37037 a")]),
        [("j:zu".into(), RoundedScores)]
    );
    let perhaps = [("z".into(), DoubtfulWhy::PerhapsRounded)];
    assert_eq!(doubts(&[(0, "DEL z"), (0, "ZADD z 1 a")]), perhaps, "in a script over one shard");
    assert_eq!(doubts(&[(0, "DEL z"), (0, "ZADD z 7.22973e+06 a 0.00123456 b")]), perhaps);
    assert_eq!(doubts(&[(0, "DEL z"), (0, "ZADD z 1.234567 a")]), [], "not rounded to six digits");
    assert_eq!(doubts(&[(0, "DEL y"), (0, "ZADD z 1 a")]), []);
    assert_eq!(doubts(&[(5, "DEL z"), (6, "ZADD z 1 a")]), []);
    assert_eq!(doubts(&[(5, "DEL y"), (5, "ZADD z 1 a")]), []);
    assert_eq!(doubts(&[(5, "ZADD z 1 a")]), [], "a client's own in MULTI");
}

#[test]
fn a_pop_in_steps_may_be_of_several() {
    use DoubtfulWhy::PopsUncounted;
    assert_eq!(doubts(&[(0, "LPOP l"), (0, "RPOP l 2")]), []);
    assert_eq!(doubts(&[(7, "LPOP l")]), [("l".into(), PopsUncounted)]);
    assert_eq!(doubts(&[(7, "RPOP l"), (0, "SET a 1")]), [("l".into(), PopsUncounted)]);
    assert_eq!(doubts(&[(7, "RPOP l"), (7, "LPUSH m e")]), [], "LMOVE");
    assert_eq!(doubts(&[(7, "RPOP l"), (8, "LPUSH m e")]), [("l".into(), PopsUncounted)]);
}

#[test]
fn a_plain_set_in_steps_may_have_kept_the_expiry() {
    assert_eq!(doubts(&[(5, "SET bitop v")]), [("bitop".into(), DoubtfulWhy::ExpiryKept)]);
    assert_eq!(doubts(&[(0, "SET a v"), (5, "SET a v KEEPTTL"), (5, "SET a v PXAT 5")]), []);
}

/// XADD and XTRIM came as the client sent them up to 1.26.
#[test]
fn a_stream_record_may_leave_something_to_the_server() {
    let why = |line: &str| doubtful(0, &record(0, line).args).map(|doubt| doubt.why);
    for line in [
        "XADD s * f v",
        "XADD s 5-* f v",
        "XADD s NOMKSTREAM maxlen 10 * f v",
        "XADD s MAXLEN ~ 10 5-1 f v",
        "XADD s NOMKSTREAM MINID ~ 1-1 LIMIT 5 5-1 f v",
        "XTRIM s MAXLEN ~ 10",
        "XTRIM s minid ~ 1-1 LIMIT 100",
    ] {
        assert_eq!(why(line), Some(DoubtfulWhy::LeftToServer), "{line}");
    }
    for line in [
        "XADD s 5-1 f *",
        "XADD s NOMKSTREAM MAXLEN 10 5-1 f v",
        "XADD s MINID = 1-1 5-1 ~ *",
        "XADD s",
        "XTRIM s MAXLEN 10",
        "XTRIM s MINID = 1-1",
    ] {
        assert_eq!(why(line), None, "{line}");
    }
    assert!(DoubtfulWhy::LeftToServer.is_likely());
}

/// RENAME over two shards was logged as SET up to 1.19, of whatever type the key was.
#[test]
fn a_set_in_an_old_transaction_may_be_a_rename() {
    let multi = |line: &str| Record { kind: RecordKind::Multi, ..record(7, line) };
    let why = |record: &Record| Doubts::new().record(record).into_iter().map(|d| d.why).collect::<Vec<_>>();
    assert_eq!(why(&multi("SET k v")), [DoubtfulWhy::PerhapsRenamed]);
    assert_eq!(why(&multi("SET k v KEEPTTL")), []);
    assert_eq!(why(&record(7, "SET k v")), [DoubtfulWhy::ExpiryKept]);
    assert!(DoubtfulWhy::PerhapsRenamed.is_likely());
}

#[test]
fn what_one_record_shows() {
    let why = |line: &str| doubtful(0, &record(0, line).args).map(|doubt| doubt.why);
    assert_eq!(why("INCRBYFLOAT a 1.5"), Some(DoubtfulWhy::FloatDigits));
    assert_eq!(why("HINCRBYFLOAT h f 1"), Some(DoubtfulWhy::FloatDigits));
    assert_eq!(why("ZADD z CH gt 1 a"), Some(DoubtfulWhy::Condition));
    assert_eq!(why("ZADD z LT 1 a"), Some(DoubtfulWhy::Condition));
    assert_eq!(why("ZADD z 1 GT"), None, "a member of that name");
    assert_eq!(why("ZADD z NX 1 a"), None);
    assert_eq!(why("RESTORE a 5 p"), Some(DoubtfulWhy::RelativeExpiry));
    assert_eq!(why("RESTORE a 5 p REPLACE ABSTTL"), None);
    assert_eq!(why("RESTORE a 0 p REPLACE"), None);
    assert_eq!(why("RESTORE a 0 \x15x REPLACE ABSTTL"), Some(DoubtfulWhy::GroupCounters));
    assert_eq!(why("XGROUP CREATE x g 0 ENTRIESREAD 4"), Some(DoubtfulWhy::GroupCounters));
    assert_eq!(why("XGROUP SETID x g 0 ENTRIESREAD 4"), None);
    assert_eq!(why("SORT l"), None, "cut off, or nothing but a read");
    assert_eq!(doubts(&[(0, "SORT l DESC STORE d")]), [("d".into(), DoubtfulWhy::Recomputed)]);
    assert_eq!(doubts(&[(0, "GEORADIUS g 1 2 3 km STORE d")]), [("d".into(), DoubtfulWhy::Recomputed)]);
    assert_eq!(doubts(&[(0, "INCRBYFLOAT a 1")]), [("a".into(), DoubtfulWhy::FloatDigits)]);
    assert!(DoubtfulWhy::FloatDigits.is_likely() && !DoubtfulWhy::PopsUncounted.is_likely());
}

#[test]
fn where_reads_of_groups_leave_no_record_those_that_follow_are_doubted() {
    let lines = ["XACK x g 1-1", "XAUTOCLAIM x g c 0 0", "XGROUP SETID x g 5-1", "XADD x 5-1 f v"];
    let found = |mut doubts: Doubts| -> Vec<Doubt> {
        lines.iter().flat_map(|line| doubts.record(&record(0, line))).collect()
    };
    let x = Doubt { key: SourceKey { db: 0, key: "x".into() }, why: DoubtfulWhy::GroupReads };
    assert_eq!(found(Doubts::new().with_silent_reads(true)), vec![x; 3]);
    assert_eq!(found(Doubts::new()), []);
}

#[test]
fn an_expiry_further_away_than_the_source_allows_counts_from_an_unknown_moment() {
    let now_ms = 1_700_000_000_000;
    let longest = ((1 << 28) - 1) * 1_000;
    let found = |expiry: u64, options: &str| {
        let mut doubts = Doubts::new();
        doubts.at(now_ms);
        doubts.record(&record(0, &format!("RESTORE k {expiry} payload REPLACE {options}")))
    };
    let doubt = Doubt { key: SourceKey { db: 0, key: "k".into() }, why: DoubtfulWhy::RelativeExpiry };
    assert_eq!(found(now_ms + longest, "ABSTTL"), std::slice::from_ref(&doubt));
    assert_eq!(found(4_102_444_800_000, "ABSTTL STICK"), [doubt]);
    assert_eq!(found(now_ms + longest / 2, "ABSTTL"), []);
    assert_eq!(found(0, ""), []);
}

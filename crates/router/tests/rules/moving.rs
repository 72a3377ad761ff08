//! Rule 11: a doubtful key that is moved makes others doubtful.

use bytes::Bytes;
use router::Cause;
use rules::Rules;
use scenarios::servers::RedisServer;

use crate::support::{Bed, repairing, server, text};

const CHAIN: [&str; 4] = ["RENAME a b", "RENAME x y", "LMOVE b c LEFT LEFT", "COPY z a"];

async fn bed(server: &RedisServer, rules: Rules) -> Bed {
    let mut client = server.client();
    client.call(&["FLUSHALL"]);
    client.call(&["SET", "x", "1"]);
    client.call(&["SET", "a", "text"]);
    Bed::on(&server.addr(), repairing(rules)).await
}

fn contaminated(bed: &Bed, name: &'static str, after: Option<u64>) -> Vec<String> {
    let found = bed.router.contaminated(0, &[Bytes::from_static(name.as_bytes())], after);
    found.iter().map(|(_, name)| text(name)).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_out_ties_keys_together_in_order() {
    let server = server();
    let mut bed = bed(&server, Rules::all()).await;
    CHAIN.iter().for_each(|line| bed.record(&[line]));
    assert_eq!(contaminated(&bed, "a", None), ["b", "c", "z"]);
    assert_eq!(contaminated(&bed, "x", None), ["y"]);
    assert_eq!(contaminated(&bed, "c", None), ["b"], "a was moved before");
    assert_eq!(contaminated(&bed, "a", Some(1)), ["z"]);
    assert_eq!(contaminated(&bed, "q", None), [""; 0]);
    bed.settle().await;
    assert_eq!(contaminated(&bed, "a", None), [""; 0], "nothing is out any more");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refused_command_and_what_was_sent_behind_it() {
    let server = server();
    let mut bed = bed(&server, Rules::all()).await;
    bed.record(&["LPUSH a x"]);
    bed.record(&["RENAME a b"]);
    bed.record(&["RENAME b c"]);
    bed.record(&["RENAME x y"]);
    bed.settle().await;
    let report = bed.reports.remove(0);
    assert_eq!(
        (report.cause, report.keys, report.contaminated),
        (Cause::Refused, vec!["a".into()], vec!["b".into(), "c".into()])
    );
    assert_eq!(bed.failed(), []);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_sent_before_the_failure_is_taken_belongs_to_it() {
    let server = server();
    let mut bed = bed(&server, Rules::all()).await;
    bed.record(&["LPUSH a x"]);
    bed.router.flush();
    while bed.router.counters().failures == 0 {
        bed.router.next_event().await;
    }
    bed.record(&["RENAME a b"]);
    bed.record(&["MOVE b 3"]);
    bed.router.flush();
    while bed.router.counters().executed < 2 {
        bed.router.next_event().await;
    }
    let failures = bed.router.take_failures();
    let b = |db| (db, Bytes::from_static(b"b"));
    assert_eq!(failures[0].contaminated, [b(0), b(3)]);
    bed.router.settle_failures(failures);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_rule_11_a_wrong_value_moves_on_unseen() {
    let server = server();
    let mut bed = bed(&server, Rules::all().without(11)).await;
    bed.record(&["LPUSH a x"]);
    bed.record(&["RENAME a b"]);
    assert_eq!(contaminated(&bed, "a", None), [""; 0]);
    bed.settle().await;
    assert_eq!(bed.reports[0].contaminated, [""; 0]);
    assert_eq!(server.client().text(&["GET", "b"]), "text");
}

//! Rules 10, 31 and 32: what the replies of a target say about the two sides.

use bytes::Bytes;
use router::{Cause, RouterOptions};
use rules::Rules;
use scenarios::servers::{Cluster, ClusterOptions};

use crate::support::{Bed, repairing, server};

fn alone(cause: Cause, key: &str) -> Vec<(Cause, String)> {
    vec![(cause, key.to_owned())]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rule_10_an_error_reply_is_reported_once_and_holds_the_record_back() {
    let server = server();
    server.client().call(&["SET", "s", "text"]);
    let mut bed = Bed::on(&server.addr(), repairing(Rules::all())).await;
    bed.record(&["LPUSH s x"]);
    bed.record(&["SET t 1"]);
    bed.router.flush();
    while bed.router.counters().failures == 0 {
        bed.router.next_event().await;
    }
    assert_eq!(bed.router.applied(), 0, "the record is open until its keys are written down");
    bed.settle().await;
    assert_eq!(bed.failed(), alone(Cause::Refused, "s"));
    assert_eq!(bed.router.applied(), 2);

    let mut bed = Bed::on(&server.addr(), repairing(Rules::all().without(10))).await;
    bed.record(&["LPUSH s x"]);
    bed.settle().await;
    assert_eq!(bed.failed(), []);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rule_31_a_reply_that_contradicts_the_source_is_reported() {
    let server = server();
    let mut client = server.client();
    client.call(&["SADD", "set", "m"]);
    client.call(&["SET", "plain", "1"]);
    let cases = [
        "LPOP missing",
        "RPOP missing",
        "LPOP missing 2",
        "ZPOPMIN missing",
        "PERSIST missing",
        "PERSIST plain",
        "PEXPIREAT missing 99999999999999",
        "RENAMENX plain set",
        "SETNX plain 2",
        "LINSERT missing BEFORE a b",
        "SMOVE set other no",
        "LMOVE missing other LEFT LEFT",
        "XADD missing NOMKSTREAM 1-1 f v",
    ];
    let harmless =
        ["SREM set no", "DEL missing", "GETDEL missing", "LPUSHX missing x", "HDEL missing f", "SADD set m"];

    let mut bed = Bed::on(&server.addr(), repairing(Rules::all())).await;
    bed.router.set_ttl_history(true);
    for line in cases {
        bed.record(&[line]);
        bed.settle().await;
        let causes: Vec<Cause> = bed.failed().into_iter().map(|(cause, _)| cause).collect();
        assert_eq!(causes, [Cause::Contradicted], "{line}");
    }
    for line in harmless {
        bed.record(&[line]);
        bed.settle().await;
        assert_eq!(bed.failed(), [], "{line}");
    }
    // In one pipeline with others, each is told apart.
    bed.record(&["SET a 1"]);
    bed.record(&["LPOP missing"]);
    bed.record(&["DEL nothing"]);
    bed.record(&["PERSIST a"]);
    bed.record(&["SET b 1"]);
    bed.settle().await;
    assert_eq!(bed.failed(), [(Cause::Contradicted, "missing".into()), (Cause::Contradicted, "a".into())]);

    for options in [repairing(Rules::all().without(31)), RouterOptions::default()] {
        let mut bed = Bed::on(&server.addr(), options).await;
        bed.record(&["LPOP missing"]);
        bed.settle().await;
        assert_eq!(bed.failed(), []);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rule_32_an_expiry_on_a_key_that_lost_its_own_is_reported() {
    let server = server();
    let mut client = server.client();
    let later = "99999999999999";
    let expire = format!("PEXPIREAT k {later}");

    let mut bed = Bed::on(&server.addr(), repairing(Rules::all())).await;
    client.call(&["SET", "k", "1"]);
    bed.record(&[&expire]);
    bed.settle().await;
    assert_eq!(bed.failed(), alone(Cause::Contradicted, "k"), "any key may have had an expiry before");
    assert!(client.number(&["PTTL", "k"]) > 0, "it is executed all the same");
    bed.record(&[&expire]);
    bed.record(&["SET other 1"]);
    bed.settle().await;
    assert_eq!(bed.failed(), [], "it has one now");

    // The source gives an expiry, the key expires here, and is made again by a record that found it there.
    bed.record(&["SET k 1 PX 1"]);
    bed.settle().await;
    let gone = || server.client().number(&["EXISTS", "k"]) == 0;
    scenarios::wait::until(crate::support::DEADLINE, "k expires", gone);
    bed.record(&["APPEND k 2"]);
    bed.record(&[&expire]);
    bed.settle().await;
    assert_eq!(bed.failed(), alone(Cause::Contradicted, "k"));

    for cleared in ["SET k 1", "DEL k"] {
        bed.record(&[cleared]);
        bed.record(&["APPEND k 2"]);
        bed.record(&[&expire]);
        bed.settle().await;
        assert_eq!(bed.failed(), [], "{cleared} leaves no doubt");
    }

    let mut known = Bed::on(&server.addr(), repairing(Rules::all())).await;
    known.router.set_ttl_history(true);
    client.call(&["SET", "k", "1"]);
    known.record(&[&expire]);
    known.settle().await;
    assert_eq!(known.failed(), []);

    client.call(&["SET", "k", "1"]);
    let mut bed = Bed::on(&server.addr(), repairing(Rules::all().without(32))).await;
    bed.record(&[&expire]);
    bed.settle().await;
    assert_eq!(bed.failed(), []);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rule_32_holds_while_a_slot_migrates() {
    let cluster = Cluster::start(ClusterOptions::default());
    let slot = cluster.slot_of(b"{t}");
    let from = cluster.master_of(slot);
    let to = (from + 1) % 3;
    let mut owner = cluster.client_for(b"{t}");
    owner.call(&["SET", "{t}bare", "1"]);
    owner.call(&["SET", "{t}timed", "1", "PX", "100000"]);
    cluster.begin_slot_migration(slot, to);
    cluster.move_keys(slot, from, to, 10);

    let mut bed = Bed::on(&cluster.seeds()[from], repairing(Rules::all())).await;
    bed.record(&["PEXPIREAT {t}bare 99999999999999"]);
    bed.record(&["PEXPIREAT {t}timed 99999999999999"]);
    bed.settle().await;
    assert_eq!(bed.failed(), alone(Cause::Contradicted, "{t}bare"));
    assert!(bed.router.counters().redirects >= 2);

    cluster.finish_slot_migration(slot, from, to);
    bed.record(&["PEXPIREAT {t}timed 99999999999998"]);
    bed.record(&["PEXPIREAT {t}gone 99999999999998"]);
    bed.settle().await;
    assert_eq!(bed.failed(), alone(Cause::Contradicted, "{t}gone"));
    let mut owner = cluster.client_for(b"{t}");
    assert_eq!(owner.number(&["PEXPIRETIME", "{t}timed"]), 99_999_999_999_998);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_repaired_value_is_settled_with_its_last_command_unless_one_failed() {
    let server = server();
    let mut bed = Bed::on(&server.addr(), repairing(Rules::all())).await;
    bed.repair(7, "SET good 1");
    assert_eq!(bed.router.take_settled_repairs(), [0u64; 0], "it was not even sent");
    bed.settle().await;
    assert_eq!(bed.router.take_settled_repairs(), [7]);
    assert_eq!((bed.router.take_settled_repairs().len(), bed.router.applied()), (0, 0));

    bed.repair(8, "RESTORE bad 0 nonsense REPLACE");
    bed.repair(9, "DEL other");
    bed.settle().await;
    assert_eq!(bed.router.take_settled_repairs(), [9]);
    assert_eq!(bed.failed(), alone(Cause::Refused, "bad"));
    assert_eq!(bed.router.contaminated(0, &[Bytes::from_static(b"bad")], None), []);
}

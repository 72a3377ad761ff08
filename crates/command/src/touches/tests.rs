use super::*;

fn args(line: &str) -> Vec<Bytes> {
    line.split(' ').map(|word| Bytes::copy_from_slice(word.as_bytes())).collect()
}

fn found(line: &str) -> (String, Shape) {
    let touches = touches(3, &args(line));
    let keys: Vec<String> =
        touches.keys.iter().map(|k| format!("{}:{}", k.db, String::from_utf8_lossy(&k.key))).collect();
    (keys.join(" "), touches.shape)
}

#[test]
fn every_shape() {
    let cases = [
        ("APPEND a 1", "3:a", Shape::One),
        ("DEL a", "3:a", Shape::One),
        ("DEL a b a", "3:a 3:b 3:a", Shape::List),
        ("MSET a 1 b 2", "3:a 3:b", Shape::List),
        ("JSON.MSET a $ 1 b $ 2", "3:a 3:b", Shape::List),
        ("STICK a b", "3:a 3:b", Shape::List),
        ("MSETNX a 1 b 2", "3:a 3:b", Shape::Moving),
        ("RENAME a b", "3:a 3:b", Shape::Moving),
        ("MOVE a 5", "3:a 5:a", Shape::Moving),
        ("SORT a", "3:a", Shape::One),
        ("SORT a STORE b", "3:a 3:b", Shape::Moving),
        ("CMS.MERGE d 2 a b", "3:d 3:a 3:b", Shape::Moving),
        ("XGROUP CREATE s g $", "3:s", Shape::One),
        ("FLUSHALL", "", Shape::Global),
        ("FLUSHDB", "", Shape::Global),
        ("DFLYCLUSTER FLUSHSLOTS 1 2", "", Shape::Global),
        ("SCRIPT LOAD x", "", Shape::Keyless),
        ("PING", "", Shape::Keyless),
        ("FT.CREATE i", "", Shape::Keyless),
        ("NOSUCH a b", "3:a", Shape::Unknown),
        ("NOSUCH", "", Shape::Unknown),
    ];
    for (line, keys, shape) in cases {
        assert_eq!(found(line), (keys.to_owned(), shape), "{line}");
    }
}

#[test]
fn a_list_is_taken_apart() {
    let kept = |line: &str, names: &str| {
        let kept = keep_keys(&args(line), &|key| names.as_bytes().contains(&key[0]));
        kept.map(|args| {
            args.iter().map(|a| String::from_utf8_lossy(a).into_owned()).collect::<Vec<_>>().join(" ")
        })
    };
    assert_eq!(kept("DEL a b c a", "a").as_deref(), Some("DEL a a"));
    assert_eq!(kept("MSET a 1 b 2 c 3", "ac").as_deref(), Some("MSET a 1 c 3"));
    assert_eq!(kept("JSON.MSET a $ 1 b . 2", "b").as_deref(), Some("JSON.MSET b . 2"));
    assert_eq!(kept("MSET a 1", "b"), None);
    assert_eq!(kept("RENAME a b", "a"), None, "cannot be taken apart");
    assert_eq!(kept("NOSUCH a b", "a"), None);
}

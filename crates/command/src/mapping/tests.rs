use super::*;

fn key(text: &'static str) -> Bytes {
    Bytes::from_static(text.as_bytes())
}

fn source(db: u32, text: &'static str) -> SourceKey {
    SourceKey { db, key: key(text) }
}

fn rules<const N: usize>(rules: [(u32, Rule); N]) -> BTreeMap<u32, Rule> {
    BTreeMap::from(rules)
}

fn prefix(text: &'static str) -> Rule {
    Rule::Prefix(key(text))
}

#[test]
fn both_directions() {
    let custom = rules([(1, prefix("app1:")), (2, Rule::Drop), (3, prefix("a*[b]:"))]);
    let cases = [
        (Mapping::keep(), 0, "a", Some((0, "a"))),
        (Mapping::keep(), 7, "a", Some((7, "a"))),
        (Mapping::prefixed(), 0, "a", Some((0, "a"))),
        (Mapping::prefixed(), 7, "a", Some((0, "db7:a"))),
        (Mapping::prefixed(), 15, "", Some((0, "db15:"))),
        (Mapping::with_rules(custom.clone(), true).unwrap(), 1, "a", Some((0, "app1:a"))),
        (Mapping::with_rules(custom.clone(), true).unwrap(), 2, "a", None),
        (Mapping::with_rules(custom.clone(), true).unwrap(), 3, "a", Some((0, "a*[b]:a"))),
        (Mapping::with_rules(custom.clone(), true).unwrap(), 4, "a", Some((0, "db4:a"))),
        (Mapping::with_rules(custom.clone(), false).unwrap(), 1, "a", Some((0, "app1:a"))),
        (Mapping::with_rules(custom, false).unwrap(), 4, "a", Some((4, "a"))),
    ];
    for (mapping, db, from, to) in cases {
        let to = to.map(|(db, name)| (db, key(name)));
        assert_eq!(mapping.target_name(db, &key(from)), to, "database {db}, {from:?}");
        if let Some((target_db, name)) = to {
            mapping.note_database(db).unwrap();
            assert_eq!(mapping.source_name(target_db, &name), Some(source(db, from)), "{name:?} back");
        }
    }
}

#[test]
fn prefixes_of_unknown_databases_are_plain_names() {
    let mapping = Mapping::prefixed();
    assert_eq!(mapping.source_name(0, &key("db7:a")), Some(source(0, "db7:a")));
    mapping.note_database(7).unwrap();
    assert_eq!(mapping.source_name(0, &key("db7:a")), Some(source(7, "a")));
    for plain in ["db07:a", "db0:a", "db7", "db:a", "dbx:a", "db99999999:a", "DB7:a", "db-7:a", "db+7:a"] {
        assert_eq!(mapping.source_name(0, &key(plain)), Some(source(0, plain)), "{plain}");
    }
}

#[test]
fn foreign_names() {
    let mapping = Mapping::with_rules(rules([(0, prefix("zero:")), (1, Rule::Drop)]), false).unwrap();
    assert_eq!(mapping.source_name(0, &key("zero:a")), Some(source(0, "a")));
    assert_eq!(mapping.source_name(0, &key("other")), None);
    assert_eq!(mapping.source_name(1, &key("a")), None, "a dropped database owns nothing");
    assert_eq!(mapping.source_name(2, &key("a")), Some(source(2, "a")));
}

#[test]
fn scans() {
    let mapping = Mapping::with_rules(rules([(1, prefix("a*[b]:")), (2, Rule::Drop)]), true).unwrap();
    assert_eq!(mapping.scan(0), Some((0, None)));
    assert_eq!(mapping.scan(1), Some((0, Some(key("a\\*\\[b\\]:*")))));
    assert_eq!(mapping.scan(2), None);
    assert_eq!(mapping.scan(3), Some((0, Some(key("db3:*")))));
}

#[test]
fn collision_when_the_database_is_known_first() {
    let mapping = Mapping::prefixed();
    let name = key("db1:a");
    mapping.check(0, 0, &name).unwrap();
    assert_eq!(mapping.collides(0, &name), None, "database 1 is not known to exist");

    let mapping = Mapping::prefixed();
    mapping.note_database(1).unwrap();
    let collision = mapping.check(0, 0, &name).unwrap_err();
    assert_eq!(collision.plain, source(0, "db1:a"));
    assert_eq!(collision.prefixed, source(1, "a"));
    assert_eq!((collision.prefix.clone(), collision.name.clone()), (key("db1:"), name.clone()));
    let text = collision.to_string();
    assert_eq!(
        text,
        "the keys db1:a of database 0 and a of database 1 would both be named db1:a on the target"
    );
    assert_eq!(mapping.collides(0, &name), Some((1, key("db1:"))));
    mapping.check(1, 0, &name).unwrap();
    mapping.check(0, 0, &key("db2:a")).unwrap();
}

#[test]
fn collision_when_the_key_is_seen_first() {
    let mapping = Mapping::prefixed();
    mapping.check(0, 0, &key("db1:a")).unwrap();
    mapping.check(0, 0, &key("db1:b")).unwrap();
    mapping.clone().note_database(2).unwrap();
    let collision = mapping.note_database(1).unwrap_err();
    assert_eq!(collision.plain, source(0, "db1:a"), "clones share what was seen, the first key is shown");
    assert_eq!(collision.prefixed, source(1, "a"));
}

#[test]
fn nested_prefixes_collide() {
    let mapping = Mapping::with_rules(rules([(1, prefix("a:")), (2, prefix("a:b:"))]), true).unwrap();
    mapping.note_database(1).unwrap();
    mapping.note_database(2).unwrap();
    let collision = mapping.check(1, 0, &key("a:b:x")).unwrap_err();
    assert_eq!((collision.plain, collision.prefixed), (source(1, "b:x"), source(2, "x")));
    mapping.check(2, 0, &key("a:b:x")).unwrap();
    assert_eq!(mapping.source_name(0, &key("a:b:x")), Some(source(2, "x")), "the longest prefix counts");
}

#[test]
fn dropped_databases_collide_with_nothing() {
    let mapping = Mapping::with_rules(rules([(1, Rule::Drop)]), true).unwrap();
    mapping.check(0, 0, &key("db1:a")).unwrap();
    mapping.note_database(1).unwrap();
    mapping.check(0, 0, &key("db1:a")).unwrap();
}

#[test]
fn kept_databases_collide_only_with_prefixes_in_database_0() {
    let mapping = Mapping::with_rules(rules([(1, prefix("x:"))]), false).unwrap();
    mapping.note_database(1).unwrap();
    mapping.check(2, 2, &key("x:a")).unwrap();
    assert!(mapping.check(0, 0, &key("x:a")).is_err());
}

#[test]
fn impossible_rules() {
    let cases = [
        (rules([(1, Rule::Keep)]), true, MappingError::KeepOnCluster(1)),
        (rules([(1, prefix("x:")), (2, prefix("x:"))]), true, MappingError::SameNames(1, 2)),
        (rules([(1, prefix(""))]), true, MappingError::SameNames(0, 1)),
        (rules([(1, prefix("db2:"))]), true, MappingError::SameNames(2, 1)),
        (rules([(1, prefix(""))]), false, MappingError::SameNames(0, 1)),
    ];
    for (rules, cluster, expected) in cases {
        assert_eq!(Mapping::with_rules(rules.clone(), cluster).unwrap_err(), expected, "{rules:?}");
    }
    Mapping::with_rules(rules([(0, Rule::Drop), (1, prefix(""))]), true).unwrap();
    Mapping::with_rules(rules([(1, prefix("db2:")), (2, Rule::Drop)]), true).unwrap();
    Mapping::with_rules(rules([(1, prefix("db2:"))]), false).unwrap();
}

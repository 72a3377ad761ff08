use super::*;

#[test]
fn releases_are_read_from_what_servers_print() {
    for (text, expected) in [
        ("df-v1.40.1", Some((1, 40, 1))),
        ("df-v1.40.1-0f3c2a", Some((1, 40, 1))),
        ("v1.28.32+dirty", Some((1, 28, 32))),
        ("1.7", Some((1, 7, 0))),
        (" df-v2.0.0\r", Some((2, 0, 0))),
        ("df-dev", None),
        ("df-0123abc", None),
        ("df-v1", None),
        ("df-v1.2.3.4", None),
        ("df-v1.x.0", None),
        ("df-v99999999999.0.0", None),
        ("", None),
    ] {
        assert_eq!(Release::parse(text), expected.map(|(a, b, c)| Release::new(a, b, c)), "{text:?}");
    }
    assert_eq!(Release::new(1, 9, 2).to_string(), "1.9.2");
    assert!(Release::new(1, 9, 2) < Release::new(1, 10, 0));
}

#[test]
fn what_is_kept_for_a_resume_changes_where_the_releases_did() {
    for (text, backlog) in [
        ("1.11.0", Some(1_024)),
        ("1.14.0", Some(1_024)),
        ("1.14.1", Some(0)),
        ("1.20.1", Some(0)),
        ("1.28.2", Some(0)),
        ("1.28.32", Some(1_024)),
        ("1.30.3", Some(0)),
        ("1.31.0", Some(1_024)),
        ("1.33.1", Some(1_024)),
        ("1.34.0", Some(8_192)),
        ("1.40.1", Some(8_192)),
        ("1.41.0", None),
        ("2.0.0", None),
    ] {
        assert_eq!(Release::parse(text).unwrap().default_backlog(), backlog, "{text}");
    }
    assert!(Release::OLDEST.is_supported() && !Release::new(1, 10, 9).is_supported());
}

#[test]
fn resume_styles_change_where_the_releases_did() {
    use ResumeStyle::{Journal, None, Rdb};
    let expected = [
        ("1.0.0", None),
        ("1.10.9", None),
        ("1.11.0", Rdb),
        ("1.14.1", Rdb),
        ("1.20.1", Rdb),
        ("1.21.0", None),
        ("1.27.2", None),
        ("1.28.0", None),
        ("1.28.2", None),
        ("1.28.30", None),
        ("1.28.31", None),
        ("1.28.32", Rdb),
        ("1.28.33", Rdb),
        ("1.29.0", None),
        ("1.30.3", None),
        ("1.31.0", Rdb),
        ("1.34.9", Rdb),
        ("1.35.0", Journal),
        ("1.40.1", Journal),
        ("1.99.0", Journal),
        ("2.0.0", Journal),
    ];
    for (text, style) in expected {
        assert_eq!(Release::parse(text).unwrap().resume_style(), style, "{text}");
    }
    let by_ordinal: Vec<_> = [Option::None, Some(1), Some(2), Some(3), Some(4), Some(5), Some(6)]
        .map(ResumeStyle::from_ordinal)
        .to_vec();
    assert_eq!(by_ordinal, [None, None, Rdb, None, Journal, Journal, Journal]);
}

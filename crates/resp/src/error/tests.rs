use super::*;

fn line(text: &str) -> Option<Error> {
    Error::from_error_line("db:6379", text.as_bytes())
}

#[test]
fn error_lines_that_concern_the_connection() {
    assert!(matches!(line("NOAUTH Authentication required."), Some(Error::AuthRequired { .. })));
    assert!(matches!(line("WRONGPASS invalid username-password pair"), Some(Error::AuthRejected { .. })));
    assert!(matches!(line("NOPERM sync has no ACL permissions"), Some(Error::NoPermission { .. })));
    assert!(matches!(
        line("LOADING Dragonfly is loading the dataset in memory"),
        Some(Error::Loading { .. })
    ));
    assert!(matches!(line("ERR max number of clients reached"), Some(Error::TooManyClients { .. })));
    let tls = line("ERR Bad TLS header, double check if you enabled TLS for your client.");
    assert!(matches!(tls, Some(Error::TlsExpected { .. })));
    assert!(line("ERR syntax error").is_none());
    assert!(line("NOAUTHORITY over this").is_none(), "the code word is compared as a whole");
    assert!(line("").is_none());
}

#[test]
fn every_error_is_one_line_with_the_address_and_has_a_class() {
    let addr = || "db:6379".to_owned();
    let io = || io::Error::other("broken");
    let text = || "why".to_owned();
    let all = [
        (Error::Unreachable { addr: addr(), source: io() }, Class::Retry),
        (Error::Timeout { addr: addr(), what: "a request", after: Duration::from_secs(3) }, Class::Retry),
        (Error::NoTls { addr: addr() }, Class::AskOperator),
        (Error::TlsExpected { addr: addr() }, Class::AskOperator),
        (Error::UntrustedCertificate { addr: addr(), reason: text() }, Class::AskOperator),
        (Error::ClientCertificate { addr: addr(), reason: text() }, Class::AskOperator),
        (Error::Tls { addr: addr(), reason: text() }, Class::AskOperator),
        (Error::AuthRejected { addr: addr(), user: Some("u".into()), message: text() }, Class::AskOperator),
        (Error::AuthRequired { addr: addr() }, Class::AskOperator),
        (Error::NoPermission { addr: addr(), message: text() }, Class::AskOperator),
        (Error::Loading { addr: addr() }, Class::Retry),
        (Error::TooManyClients { addr: addr(), message: text() }, Class::Retry),
        (Error::Closed { addr: addr(), reason: text() }, Class::Retry),
        (Error::Protocol { addr: addr(), reason: text() }, Class::Retry),
    ];
    for (error, class) in all {
        let text = error.to_string();
        assert!(text.contains("db:6379") && !text.contains('\n') && text.contains("; "), "{text}");
        assert_eq!(error.class(), class, "{text}");
    }
}

#[test]
fn text_of_the_other_side_cannot_break_the_line() {
    assert_eq!(printable(b"ERR a\r\nb \x1b[31m\xff"), "ERR a\\r\\nb \\u{1b}[31m\u{fffd}");
    assert_eq!(printable(&[b'x'; 1000]).chars().count(), 201);
}

//! Connections and logins on a real redis-server without TLS.

use crate::redis_server::RedisServer;
use bytes::Bytes;
use resp::{Class, ConnectOptions, Connection, Error, Reply};

fn login(server: &RedisServer, user: Option<&str>, password: &str) -> ConnectOptions {
    ConnectOptions {
        username: user.map(str::to_owned),
        password: password.into(),
        ..ConnectOptions::new(&server.addr)
    }
}

#[tokio::test]
async fn calls_and_pipelines_larger_than_every_buffer() {
    let server = RedisServer::plain::<&str>(&[]);
    let mut connection = Connection::open(&ConnectOptions::new(&server.addr)).await.unwrap();
    assert_eq!(connection.call(&["PING"]).await.unwrap(), Reply::Simple("PONG".into()));
    assert_eq!(connection.call(&["GET", "nothing"]).await.unwrap(), Reply::Nil);
    let error = connection.call(&["NONSENSE"]).await.unwrap();
    assert!(error.as_error().is_some_and(|e| e.starts_with(b"ERR unknown command")));

    let value = |n: usize| Bytes::from(vec![b'a' + (n % 26) as u8; 1 << 20]);
    let mut commands = Vec::new();
    for n in 0..40 {
        commands.push(vec![Bytes::from_static(b"SET"), Bytes::from(format!("k{n}")), value(n)]);
        commands.push(vec![Bytes::from_static(b"GET"), Bytes::from(format!("k{n}"))]);
    }
    let replies = connection.pipeline(&commands).await.unwrap();
    assert_eq!(replies.len(), 80);
    for (n, pair) in replies.chunks(2).enumerate() {
        assert!(pair[0].is_ok());
        assert_eq!(pair[1], Reply::Bulk(value(n)));
    }
    assert_eq!(connection.pipeline(&[]).await.unwrap(), vec![]);
}

#[tokio::test]
async fn password_right_wrong_absent_and_needless() {
    let server = RedisServer::plain(&["--requirepass", "geheim"]);
    let mut connection = Connection::open(&login(&server, None, "geheim")).await.unwrap();
    assert!(connection.call(&["SET", "a", "1"]).await.unwrap().is_ok());

    let error = Connection::open(&login(&server, None, "falsch")).await.unwrap_err();
    assert!(matches!(&error, Error::AuthRejected { user: None, .. }), "{error:?}");
    assert_eq!(error.class(), Class::AskOperator);
    let text = error.to_string();
    assert!(text.contains(&server.addr) && text.contains("check username and password"), "{text}");
    assert!(!text.contains("falsch") && !format!("{error:?}").contains("falsch"));

    // Without a password nothing is sent, so the first call tells.
    let mut connection = Connection::open(&ConnectOptions::new(&server.addr)).await.unwrap();
    let reply = connection.call(&["PING"]).await.unwrap();
    let error = Error::from_error_line(&server.addr, reply.as_error().unwrap()).unwrap();
    assert!(matches!(error, Error::AuthRequired { .. }), "{error:?}");

    let open = RedisServer::plain::<&str>(&[]);
    let error = Connection::open(&login(&open, None, "x")).await.unwrap_err();
    assert!(
        matches!(&error, Error::AuthRejected { message, .. } if message.contains("without any password"))
    );
}

#[tokio::test]
async fn acl_users() {
    let server = RedisServer::plain(&["--user", "sync", "on", ">pass", "+ping"]);
    let mut connection = Connection::open(&login(&server, Some("sync"), "pass")).await.unwrap();
    assert_eq!(connection.call(&["PING"]).await.unwrap(), Reply::Simple("PONG".into()));
    let reply = connection.call(&["GET", "k"]).await.unwrap();
    let error = Error::from_error_line(&server.addr, reply.as_error().unwrap()).unwrap();
    assert!(matches!(&error, Error::NoPermission { .. }), "{error:?}");
    assert_eq!(error.class(), Class::AskOperator);

    for (user, password) in [("sync", "wrong"), ("nobody", "pass")] {
        let error = Connection::open(&login(&server, Some(user), password)).await.unwrap_err();
        assert!(error.to_string().contains(&format!("user {user}")), "{error}");
    }
}

#[tokio::test]
async fn a_password_is_never_printed() {
    let server = RedisServer::plain(&["--requirepass", "geheim"]);
    let options = login(&server, None, "geheim");
    let connection = Connection::open(&options).await.unwrap();
    assert!(!format!("{options:?} {connection:?}").contains("geheim"));
}

#[tokio::test]
async fn no_free_client_slot() {
    let server = RedisServer::plain(&["--maxclients", "1"]);
    let mut first = Connection::open(&ConnectOptions::new(&server.addr)).await.unwrap();
    first.call(&["PING"]).await.unwrap();
    let mut second = Connection::open(&ConnectOptions::new(&server.addr)).await.unwrap();
    let reply = second.call(&["PING"]).await.unwrap();
    let error = Error::from_error_line(&server.addr, reply.as_error().unwrap()).unwrap();
    assert!(matches!(error, Error::TooManyClients { .. }), "{error:?}");
}

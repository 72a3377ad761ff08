//! JSON documents, as far as tests need a type that plain Redis lacks: whole documents only.

use bytes::Bytes;

use crate::engine::value::Value;
use crate::engine::{Failure, Tx};
use crate::reply::Reply;

type Done = Result<Reply, Failure>;

/// `JSON.SET key $ text`, journaled as it came.
pub(super) fn json_set(tx: &mut Tx<'_>, a: &[Bytes]) -> Done {
    if a[2] != "$" && a[2] != "." {
        return Err(Failure::err("only whole documents can be set here"));
    }
    let has = |word: &str| a[4..].iter().any(|w| w.eq_ignore_ascii_case(word.as_bytes()));
    // Journaled all the same (v1.40.1, on the wire).
    if has("NX") && tx.exists(&a[1]) || has("XX") && !tx.exists(&a[1]) {
        return Ok(Reply::Nil);
    }
    let document: serde_json::Value =
        serde_json::from_slice(&a[3]).map_err(|_| Failure::err("failed to parse JSON"))?;
    tx.put(&a[1], Value::Json(Bytes::from(document.to_string())), None);
    Ok(Reply::OK)
}

/// `JSON.GET key`.
pub(super) fn json_get(tx: &mut Tx<'_>, a: &[Bytes]) -> Done {
    match tx.peek(&a[1]).map(|e| &e.value) {
        None => Ok(Reply::Nil),
        Some(Value::Json(text)) => Ok(Reply::Bulk(text.clone())),
        Some(_) => Err(Failure::wrong_type()),
    }
}

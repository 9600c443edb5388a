//! Writing: buffered, and stored when it returns.

use cloakroom::{Session, SessionError};
use serde_json::Value;

use crate::answer::{self, Answer};
use crate::call::value as parse;

pub(super) fn set(session: &Session, key: &str, value: &str) -> Result<Answer, SessionError> {
    session.set(key, parse(value))?;
    Ok(answer::ok())
}

pub(super) fn remove(session: &Session, key: &str) -> Result<Answer, SessionError> {
    session.remove(key)?;
    Ok(answer::ok())
}

pub(super) fn clear(session: &Session) -> Result<Answer, SessionError> {
    session.clear()?;
    Ok(answer::ok())
}

pub(super) fn take(session: &Session, key: &str) -> Result<Answer, SessionError> {
    Ok(answer::found(session.take::<Value>(key)?))
}

pub(super) async fn save(session: &Session, key: &str, value: &str) -> Result<Answer, SessionError> {
    session.set(key, parse(value))?;
    session.save().await?;
    Ok(answer::json(&session.get::<Value>(key)?))
}

pub(super) async fn reload(session: &Session, key: &str, value: &str) -> Result<Answer, SessionError> {
    session.set(key, parse(value))?;
    session.reload().await?;
    Ok(answer::json(&session.get::<Value>(key)?))
}

pub(super) async fn put(session: &Session, key: &str, value: &str) -> Result<Answer, SessionError> {
    session.put(key, parse(value)).await?;
    Ok(answer::ok())
}

pub(super) async fn incr(session: &Session, key: &str) -> Result<Answer, SessionError> {
    let n = session.update(key, |n: Option<i64>| n.unwrap_or(0).saturating_add(1)).await?;
    Ok(answer::json(&n))
}

/// Nobody hands this function a session.
pub(super) async fn ambient(key: &str, value: &str) -> Result<Answer, SessionError> {
    cloakroom::current()?.open().await?.set(key, parse(value))?;
    Ok(answer::ok())
}

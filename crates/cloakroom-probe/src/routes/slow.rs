//! Routes that sleep between opening the session and writing to it: what other requests do meanwhile is the test.

use cloakroom::SessionError;

use crate::answer::{self, Answer};
use crate::call::{Call, value as parse};

/// A read, then a buffered write that rests on it.
pub(super) async fn count(call: &Call, key: &str) -> Result<Answer, SessionError> {
    let session = call.open().await?;
    let n = session.get::<i64>(key)?.unwrap_or(0).saturating_add(1);
    call.sleep().await;
    session.set(key, n)?;
    Ok(answer::json(&n))
}

pub(super) async fn set(call: &Call, key: &str, value: &str) -> Result<Answer, SessionError> {
    let session = call.open().await?;
    call.sleep().await;
    session.set(key, parse(value))?;
    Ok(answer::ok())
}

pub(super) async fn put(call: &Call, key: &str, value: &str) -> Result<Answer, SessionError> {
    let session = call.open().await?;
    call.sleep().await;
    session.put(key, parse(value)).await?;
    Ok(answer::ok())
}

pub(super) async fn regenerate(call: &Call) -> Result<Answer, SessionError> {
    let session = call.open().await?;
    call.sleep().await;
    session.regenerate().await?;
    Ok(answer::ok())
}

pub(super) async fn destroy(call: &Call) -> Result<Answer, SessionError> {
    let session = call.open().await?;
    call.sleep().await;
    session.destroy().await?;
    Ok(answer::ok())
}

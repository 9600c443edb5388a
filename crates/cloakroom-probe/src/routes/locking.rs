//! The lock, and giving the lease of exclusive mode back early.

use cloakroom::{Session, SessionError};

use crate::answer::{self, Answer};
use crate::call::{Call, value as parse};

pub(super) async fn count(call: &Call, key: &str) -> Result<Answer, SessionError> {
    let session = call.open().await?;
    let mut guard = session.lock().await?;
    let n = guard.get::<i64>(key)?.unwrap_or(0).saturating_add(1);
    call.sleep().await;
    guard.set(key, n)?;
    guard.commit().await?;
    Ok(answer::json(&n))
}

pub(super) async fn drop_guard(session: &Session, key: &str, value: &str) -> Result<Answer, SessionError> {
    let mut guard = session.lock().await?;
    guard.set(key, parse(value))?;
    drop(guard);
    Ok(answer::ok())
}

pub(super) async fn rollback(session: &Session, key: &str, value: &str) -> Result<Answer, SessionError> {
    let mut guard = session.lock().await?;
    guard.set(key, parse(value))?;
    guard.rollback().await;
    Ok(answer::ok())
}

pub(super) async fn release(call: &Call, key: &str, value: &str) -> Result<Answer, SessionError> {
    let session = call.open().await?;
    session.set(key, parse(value))?;
    session.save().await?;
    session.release();
    call.sleep().await;
    Ok(answer::ok())
}

//! A user's sessions: listed, and ended from elsewhere.

use cloakroom::{Session, SessionError, SessionManager};
use serde_json::{Value, json};

use crate::answer::{self, Answer};

/// Times are in seconds since 1970.
pub(super) async fn list(session: &Session) -> Result<Answer, SessionError> {
    let seconds = |t: cloakroom::clock::Timestamp| t.as_millis() as f64 / 1000.0;
    let devices: Vec<Value> = session
        .devices()
        .await?
        .iter()
        .map(|device| {
            json!({
                "handle": device.handle.as_str(),
                "created": seconds(device.created),
                "last_seen": seconds(device.last_seen),
                "current": device.current,
            })
        })
        .collect();
    Ok(answer::json(&devices))
}

pub(super) async fn revoke(session: &Session, handle: &str) -> Result<Answer, SessionError> {
    Ok(answer::json(&session.revoke(handle).await?))
}

pub(super) async fn revoke_others(session: &Session) -> Result<Answer, SessionError> {
    Ok(answer::json(&session.revoke_others().await?))
}

/// What an administrator does: it needs no session of its own.
pub(super) async fn revoke_user(manager: &SessionManager, user: &str) -> Result<Answer, SessionError> {
    Ok(answer::json(&manager.revoke_user(user).await?))
}

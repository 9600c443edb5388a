//! Reading.

use cloakroom::{ReadOnlySession, Session, SessionError};
use serde::{Serialize, Serializer};
use serde_json::{Value, json};

use crate::answer::{self, Answer};
use crate::call::Call;

pub(crate) fn get(session: &Session, key: &str) -> Result<Answer, SessionError> {
    Ok(answer::found(session.get::<Value>(key)?))
}

pub(super) fn all(session: &Session) -> Result<Answer, SessionError> {
    let all: Result<Vec<(String, Value)>, SessionError> =
        session.iter().map(|(key, value)| Ok((key, value.decode()?))).collect();
    Ok(answer::json(&InOrder(all?)))
}

/// An object whose members stand in the order of insertion.
struct InOrder(Vec<(String, Value)>);

impl Serialize for InOrder {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(key, value)| (key, value)))
    }
}

/// What is known of the session without reading a value of it. Times are in seconds.
pub(super) fn state(session: &Session, mode: &str) -> Result<Answer, SessionError> {
    let left = session.time_left();
    Ok(answer::json(&json!({
        "present": session.exists(),
        "empty": session.is_empty(),
        "len": session.len(),
        "user": session.user().map(|user| user.as_str().to_owned()),
        "mode": mode,
        "locked": session.is_locked(),
        "idle_left": left.map(|(idle, _)| idle.as_secs_f64()),
        "absolute_left": left.map(|(_, absolute)| absolute.as_secs_f64()),
    })))
}

pub(crate) fn read_only(session: &ReadOnlySession, key: &str) -> Result<Answer, SessionError> {
    Ok(answer::found(session.get::<Value>(key)?))
}

pub(crate) fn peek(session: Option<&Session>) -> Answer {
    answer::json(&json!({ "present": session.is_some() }))
}

/// A request that is no sign of life.
pub(super) async fn background(call: &Call) -> Result<Answer, SessionError> {
    call.handle.mark_background();
    call.open().await?;
    Ok(answer::ok())
}

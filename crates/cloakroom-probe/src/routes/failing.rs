//! Handlers that end badly.

use cloakroom::{Session, SessionError};
use http::StatusCode;

use crate::answer::{self, Answer};
use crate::call::value as parse;

pub(super) fn fail(session: &Session, key: &str, value: &str) -> Result<Answer, SessionError> {
    session.set(key, parse(value))?;
    Ok(failed())
}

#[expect(clippy::panic, reason = "a panicking handler is what this route is for")]
pub(super) fn panic(session: &Session, key: &str, value: &str) -> Result<Answer, SessionError> {
    session.set(key, parse(value))?;
    panic!("a handler that panics");
}

pub(super) async fn login_then_fail(session: &Session, user: &str) -> Result<Answer, SessionError> {
    session.login(user).await?;
    Ok(failed())
}

#[expect(clippy::panic, reason = "a panicking handler is what this route is for")]
pub(super) async fn login_then_panic(session: &Session, user: &str) -> Result<Answer, SessionError> {
    session.login(user).await?;
    panic!("a handler that panics");
}

fn failed() -> Answer {
    answer::error(StatusCode::INTERNAL_SERVER_ERROR, "failed_on_purpose")
}

//! Messages that are shown once.

use cloakroom::{Session, SessionError};
use serde_json::Value;

use crate::answer::{self, Answer};
use crate::call::value as parse;

pub(super) fn add(session: &Session, message: &str) -> Result<Answer, SessionError> {
    session.flash(parse(message))?;
    Ok(answer::ok())
}

pub(super) fn show(session: &Session) -> Result<Answer, SessionError> {
    Ok(answer::json(&session.flashes::<Value>()?))
}

//! A session of a given size, and the counters.

use cloakroom::{Session, SessionError, SessionManager};
use http::StatusCode;

use crate::answer::{self, Answer};

/// More than any session may take; what is asked for beyond is not even made.
const MOST: usize = 128 << 20;

pub(super) fn big(session: &Session, bytes: &str) -> Result<Answer, SessionError> {
    let Ok(bytes) = bytes.parse::<usize>() else {
        return Ok(answer::error(StatusCode::BAD_REQUEST, "not_a_number"));
    };
    session.set("big", "x".repeat(bytes.min(MOST)))?;
    Ok(answer::ok())
}

pub(super) fn metrics(manager: &SessionManager) -> Answer {
    answer::text("text/plain; version=0.0.4", manager.metrics_text())
}

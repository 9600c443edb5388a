//! A session of a given size, and the counters.

use cloakroom::{Session, SessionError, SessionManager};
use http::StatusCode;

use crate::answer::{self, Answer};
use crate::call::{self, pauses};

/// More than any session may take; what is asked for beyond is not even made.
const MOST: usize = 128 << 20;

pub(super) fn big(session: &Session, bytes: &str) -> Result<Answer, SessionError> {
    let Ok(bytes) = bytes.parse::<usize>() else {
        return Ok(answer::error(StatusCode::BAD_REQUEST, "not_a_number"));
    };
    session.set("big", "x".repeat(bytes.min(MOST)))?;
    Ok(answer::ok())
}

/// Ends the pauses of all requests: who waits for what comes of them has seen enough.
pub(super) fn wake() -> Answer {
    call::wake();
    answer::ok()
}

/// The library's, and the one of the probe: by that a test sees that a request has come to where it sleeps.
pub(super) fn metrics(manager: &SessionManager) -> Answer {
    let pauses = format!(
        "# HELP cloakroom_probe_pauses_total Pauses (`?ms=`) that requests have begun.\n\
         # TYPE cloakroom_probe_pauses_total counter\n\
         cloakroom_probe_pauses_total {}\n",
        pauses()
    );
    answer::text("text/plain; version=0.0.4", manager.metrics_text() + &pauses)
}

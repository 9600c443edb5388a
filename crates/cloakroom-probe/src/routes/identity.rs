//! Whose session it is, and under which id.

use cloakroom::{Session, SessionError};

use crate::answer::{self, Answer};
use crate::call::Call;

pub(super) async fn regenerate(call: &Call) -> Result<Answer, SessionError> {
    let session = call.open().await?;
    session.regenerate_keeping_old_for(call.millis("keep_old_ms")).await?;
    Ok(answer::ok())
}

pub(super) async fn destroy(session: &Session) -> Result<Answer, SessionError> {
    session.destroy().await?;
    Ok(answer::ok())
}

pub(super) async fn login(session: &Session, user: &str) -> Result<Answer, SessionError> {
    session.login(user).await?;
    Ok(answer::ok())
}

pub(super) async fn bind(session: &Session, user: &str) -> Result<Answer, SessionError> {
    session.bind_user(user).await?;
    Ok(answer::ok())
}

pub(super) fn whoami(session: &Session) -> Result<Answer, SessionError> {
    Ok(answer::found(session.user().map(|user| user.as_str().to_owned())))
}

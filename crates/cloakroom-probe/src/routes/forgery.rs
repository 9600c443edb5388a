//! Cross-site request forgery: the token, and a route that needs it.

use cloakroom::{CsrfConfig, ErrorKind, Session, SessionError};
use http::{Method, StatusCode};

use crate::answer::{self, Answer};
use crate::call::Call;

pub(super) async fn token(session: &Session) -> Result<Answer, SessionError> {
    Ok(answer::json(&session.csrf_token().await?))
}

/// With `POST`, wants the token whatever else the request says of where it comes from.
pub(super) async fn protected(call: &Call) -> Result<Answer, SessionError> {
    if call.method != Method::POST {
        return Ok(answer::ok());
    }
    let session = call.open().await?;
    let presented = call.headers.get(CsrfConfig::default().header).and_then(|value| value.to_str().ok());
    let refused = || answer::error(StatusCode::FORBIDDEN, ErrorKind::CrossSite.as_str());
    let Some(token) = presented else { return Ok(refused()) };
    session.verify_csrf_token(token)?;
    Ok(answer::ok())
}

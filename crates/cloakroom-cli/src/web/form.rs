//! A form that was posted, with the session it was posted in.

use axum::body::Bytes;
use axum::extract::{Form, FromRequest, FromRequestParts, Request};
use cloakroom::{Session, SessionHandle};
use http::StatusCode;
use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::refusal::Refusal;

/// A form's fields and the session of whoever sent it, after its token was checked.
///
/// That the request comes from this site's own pages was established before, by the session layer: from what the browser
/// says of itself. The token is the second lock on the same door. A page that was shown to a visitor without a session
/// carries none, because asking for one would have started a session; so it may be missing, but never be wrong, and never
/// be missing where somebody is logged in.
pub(crate) struct Posted<T> {
    pub(crate) session: Session,
    pub(crate) form: T,
}

#[derive(Deserialize)]
struct Token {
    csrf_token: Option<String>,
}

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for Posted<T> {
    type Rejection = Refusal;

    async fn from_request(request: Request, state: &S) -> Result<Self, Refusal> {
        let (mut parts, body) = request.into_parts();
        let handle = SessionHandle::from_request_parts(&mut parts, state).await?;
        let body = Request::from_parts(parts.clone(), body);
        let body = Bytes::from_request(body, state).await.map_err(|e| Refusal::Form(e.status()))?;
        let again = || Request::from_parts(parts.clone(), body.clone().into());
        let Form(token) = Form::<Token>::from_request(again(), state).await.map_err(unreadable)?;
        let session = handle.open().await?;
        match token.csrf_token.as_deref().filter(|token| !token.is_empty()) {
            Some(token) if session.exists() => session.verify_csrf_token(token)?,
            None if session.user().is_some() => return Err(Refusal::Token),
            _ => {}
        }
        let Form(form) = Form::<T>::from_request(again(), state).await.map_err(unreadable)?;
        Ok(Posted { session, form })
    }
}

fn unreadable(rejection: axum::extract::rejection::FormRejection) -> Refusal {
    let status = rejection.status();
    // 422 for a field that is missing: a form of this shop that somebody changed.
    Refusal::Form(if status.is_client_error() { status } else { StatusCode::BAD_REQUEST })
}

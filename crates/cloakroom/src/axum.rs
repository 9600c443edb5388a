//! Extractors for axum handlers. They need [`SessionLayer`](crate::SessionLayer) around the router.
//!
//! | extractor | opens the session | without a session |
//! |---|---|---|
//! | [`Session`] | yes | an empty one, made by the first write |
//! | `Option<Session>` | yes | `None` |
//! | [`ReadOnlySession`] | yes, never waits for a lease | an empty one |
//! | [`SessionHandle`] | when [`open`](SessionHandle::open) is called | |

use ::http::request::Parts;
use axum_core::body::Body;
use axum_core::extract::{FromRequestParts, OptionalFromRequestParts};
use axum_core::response::{IntoResponse, Response};

use crate::error::{ErrorKind, SessionError};
use crate::manager::error_response;
use crate::session::{ReadOnlySession, Session, SessionHandle};

fn handle(parts: &Parts) -> Result<&SessionHandle, SessionError> {
    parts.extensions.get::<SessionHandle>().ok_or_else(|| SessionError::new(ErrorKind::NoLayer))
}

impl<S: Sync> FromRequestParts<S> for SessionHandle {
    type Rejection = SessionError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Self::Rejection> {
        handle(parts).cloned()
    }
}

impl<S: Sync> FromRequestParts<S> for Session {
    type Rejection = SessionError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Self::Rejection> {
        handle(parts)?.open().await
    }
}

impl<S: Sync> OptionalFromRequestParts<S> for Session {
    type Rejection = SessionError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Option<Self>, Self::Rejection> {
        handle(parts)?.open_existing().await
    }
}

impl<S: Sync> FromRequestParts<S> for ReadOnlySession {
    type Rejection = SessionError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Self::Rejection> {
        handle(parts)?.read_only().await
    }
}

/// The error's kind as JSON, with its status: what a handler answers that uses `?`.
impl IntoResponse for SessionError {
    fn into_response(self) -> Response {
        tracing::debug!(target: "cloakroom", error = %self, "a handler answered with a session error");
        error_response(&self).map(Body::from)
    }
}

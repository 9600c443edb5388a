//! What routes answer with.

use bytes::Bytes;
use cloakroom::SessionError;
use http::header::{CONTENT_TYPE, HeaderValue};
use http::{Response, StatusCode};
use http_body::Body;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full};
use serde::Serialize;

/// One type of body for every route and both frameworks.
pub(crate) type AnswerBody = UnsyncBoxBody<Bytes, SessionError>;

/// What a route answers with.
pub(crate) type Answer = Response<AnswerBody>;

/// The bare word `ok`.
pub(crate) fn ok() -> Answer {
    with_body(StatusCode::OK, "text/plain", "ok".into())
}

/// A value as JSON.
pub(crate) fn json<T: Serialize + ?Sized>(value: &T) -> Answer {
    match serde_json::to_vec(value) {
        Ok(text) => with_body(StatusCode::OK, "application/json", text.into()),
        Err(_) => error(StatusCode::INTERNAL_SERVER_ERROR, "encode"),
    }
}

/// A value as JSON, or 404.
pub(crate) fn found<T: Serialize>(value: Option<T>) -> Answer {
    value.as_ref().map_or_else(|| error(StatusCode::NOT_FOUND, "not_found"), json)
}

/// Text of another kind.
pub(crate) fn text(content_type: &'static str, text: String) -> Answer {
    with_body(StatusCode::OK, content_type, text.into())
}

/// `{"error":"kind"}`: no id, no key, no address.
pub(crate) fn error(status: StatusCode, kind: &str) -> Answer {
    with_body(status, "application/json", format!("{{\"error\":\"{kind}\"}}").into())
}

/// The status and the kind that the library gives an error.
pub(crate) fn session_error(refused: &SessionError) -> Answer {
    error(refused.status(), refused.kind().as_str())
}

/// A body that comes in pieces.
pub(crate) fn streamed<B>(body: B) -> Answer
where
    B: Body<Data = Bytes, Error = SessionError> + Send + 'static,
{
    Response::new(body.boxed_unsync())
}

fn with_body(status: StatusCode, content_type: &'static str, body: Bytes) -> Answer {
    let mut answer = Response::new(Full::new(body).map_err(|never| match never {}).boxed_unsync());
    *answer.status_mut() = status;
    answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    answer
}

//! Responses of which the application says that everyone may keep them.

use cloakroom::SessionError;
use http::header::{CACHE_CONTROL, HeaderValue};
use serde_json::Value;

use crate::answer::{self, Answer};
use crate::call::Call;

pub(super) async fn cached(call: &Call, key: &str) -> Result<Answer, SessionError> {
    let value = call.open().await?.get::<Value>(key)?;
    Ok(public(answer::json(&value)))
}

pub(super) fn cached_plain() -> Answer {
    public(answer::ok())
}

fn public(mut answer: Answer) -> Answer {
    answer.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("public, max-age=604800"));
    answer
}

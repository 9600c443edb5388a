//! A response that writes to the session after its head has left.

use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use cloakroom::{Session, SessionError};
use http_body::{Body, Frame};
use serde_json::Value;

use crate::answer::{self, Answer};
use crate::call::{Call, pause, value as parse};

pub(super) async fn stream(call: &Call, key: &str, value: &str) -> Result<Answer, SessionError> {
    Ok(answer::streamed(TwoChunks {
        session: call.open().await?,
        key: key.to_owned(),
        value: parse(value),
        pause: call.millis("ms"),
        stage: Stage::First,
    }))
}

/// A chunk, a pause, a buffered write, another chunk. The write is committed before the end of the body is told.
struct TwoChunks {
    session: Session,
    key: String,
    value: Value,
    pause: Duration,
    stage: Stage,
}

enum Stage {
    First,
    Pausing(Pin<Box<dyn Future<Output = ()> + Send>>),
    Over,
}

impl Body for TwoChunks {
    type Data = Bytes;
    type Error = SessionError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, SessionError>>> {
        match &mut self.stage {
            Stage::First => {
                self.stage = Stage::Pausing(Box::pin(pause(self.pause)));
                Poll::Ready(Some(Ok(Frame::data(Bytes::from_static(b"one\n")))))
            }
            Stage::Pausing(pause) => {
                ready!(pause.as_mut().poll(cx));
                self.stage = Stage::Over;
                let written = self.session.set(self.key.as_str(), &self.value);
                Poll::Ready(Some(match written {
                    Ok(()) => Ok(Frame::data(Bytes::from_static(b"two\n"))),
                    Err(error) => {
                        tracing::error!(%error, "a write after the head was refused");
                        Err(error)
                    }
                }))
            }
            Stage::Over => Poll::Ready(None),
        }
    }
}

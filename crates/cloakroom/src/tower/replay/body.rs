use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use ::http::HeaderMap;
use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use parking_lot::Mutex;

/// The body of a request that may be run again; see [`ReplayLayer`](super::ReplayLayer).
///
/// It gives what was recorded in an earlier run, then what the client still sends, and records that.
pub struct ReplayBody<B> {
    /// Recorded in an earlier run.
    again: Option<Bytes>,
    /// What the client still sends; `None` when all of it was recorded.
    source: Option<B>,
    trailers: Option<HeaderMap>,
    tape: Option<Arc<Mutex<Tape<B>>>>,
}

/// What was read of a body so far. A handler may leave the rest unread: it comes back when the body is dropped.
pub(super) struct Tape<B> {
    limit: usize,
    read: Vec<u8>,
    trailers: Option<HeaderMap>,
    rest: Rest<B>,
}

enum Rest<B> {
    /// The handler has it.
    Out,
    /// Nobody reads it at the moment.
    Back(B),
    /// All of it was recorded.
    Nothing,
    /// It broke off, or is over the limit.
    Lost,
}

/// What a run left of its request's body.
pub(super) enum Recording<B> {
    /// There never was one.
    Empty,
    Tape(Arc<Mutex<Tape<B>>>),
}

impl<B> ReplayBody<B> {
    /// The body as it is, not recorded.
    pub(super) fn passing(body: B) -> Self {
        ReplayBody { again: None, source: Some(body), trailers: None, tape: None }
    }
}

impl<B: Body<Data = Bytes> + Unpin> ReplayBody<B> {
    /// The body, recorded up to `limit` bytes. Nothing is allocated for one that is empty.
    pub(super) fn recorded(body: B, limit: usize) -> (Self, Recording<B>) {
        if body.is_end_stream() {
            return (Self::passing(body), Recording::Empty);
        }
        let tape = Tape { limit, read: Vec::new(), trailers: None, rest: Rest::Out };
        let tape = Arc::new(Mutex::new(tape));
        let body = ReplayBody { again: None, source: Some(body), trailers: None, tape: Some(tape.clone()) };
        (body, Recording::Tape(tape))
    }
}

impl<B> Recording<B> {
    /// The body for another run, if all of it is here or still to come.
    pub(super) fn rewind(&self) -> Option<ReplayBody<B>> {
        let Recording::Tape(shared) = self else {
            return Some(ReplayBody { again: None, source: None, trailers: None, tape: None });
        };
        let mut tape = shared.lock();
        let source = match std::mem::replace(&mut tape.rest, Rest::Out) {
            Rest::Back(rest) => Some(rest),
            Rest::Nothing => {
                tape.rest = Rest::Nothing;
                None
            }
            lost @ (Rest::Out | Rest::Lost) => {
                tape.rest = lost;
                return None;
            }
        };
        let again = (!tape.read.is_empty()).then(|| Bytes::copy_from_slice(&tape.read));
        let trailers = if source.is_none() { tape.trailers.clone() } else { None };
        drop(tape);
        Some(ReplayBody { again, source, trailers, tape: Some(Arc::clone(shared)) })
    }
}

impl<B> Tape<B> {
    fn lose(&mut self) {
        self.rest = Rest::Lost;
        self.read = Vec::new();
    }

    fn record(&mut self, frame: &Frame<Bytes>) {
        if matches!(self.rest, Rest::Lost) {
            return;
        }
        if let Some(data) = frame.data_ref() {
            if self.read.len().saturating_add(data.len()) > self.limit {
                self.lose();
            } else {
                self.read.extend_from_slice(data);
            }
        } else if let Some(trailers) = frame.trailers_ref() {
            // The last frame there is.
            self.trailers = Some(trailers.clone());
            self.rest = Rest::Nothing;
        }
    }

    fn ended(&mut self) {
        if !matches!(self.rest, Rest::Lost) {
            self.rest = Rest::Nothing;
        }
    }
}

impl<B: Body<Data = Bytes> + Unpin> Body for ReplayBody<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        let this = &mut *self;
        if let Some(again) = this.again.take() {
            return Poll::Ready(Some(Ok(Frame::data(again))));
        }
        let Some(source) = &mut this.source else {
            return Poll::Ready(this.trailers.take().map(|trailers| Ok(Frame::trailers(trailers))));
        };
        let frame = ready!(Pin::new(source).poll_frame(cx));
        if let Some(tape) = &this.tape {
            let mut tape = tape.lock();
            match &frame {
                Some(Ok(frame)) => tape.record(frame),
                Some(Err(_)) => tape.lose(),
                None => tape.ended(),
            }
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.again.is_none()
            && self.trailers.is_none()
            && self.source.as_ref().is_none_or(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        let again = self.again.as_ref().map_or(0, |again| again.len() as u64);
        let Some(source) = &self.source else { return SizeHint::with_exact(again) };
        let rest = source.size_hint();
        let mut hint = SizeHint::new();
        hint.set_lower(rest.lower().saturating_add(again));
        if let Some(upper) = rest.upper().and_then(|upper| upper.checked_add(again)) {
            hint.set_upper(upper);
        }
        hint
    }
}

impl<B> Drop for ReplayBody<B> {
    fn drop(&mut self) {
        if let (Some(rest), Some(tape)) = (self.source.take(), &self.tape) {
            let mut tape = tape.lock();
            // What has ended or broke off needs no end.
            if matches!(tape.rest, Rest::Out) {
                tape.rest = Rest::Back(rest);
            }
        }
    }
}

impl<B> std::fmt::Debug for ReplayBody<B> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ReplayBody")
    }
}

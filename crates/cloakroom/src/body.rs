//! The body of a response whose session may still change while it streams.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;

use crate::engine::Detached;
use crate::manager::SessionManager;
use crate::session::{Lent, SessionHandle, Shared};

type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// Why a body broke off: an error of the inner body, or what it changed could not be committed (then the
/// [`source`](std::error::Error::source) is a [`SessionError`](crate::SessionError)).
///
/// A type of its own, not a boxed error: where a connection with a boxed error in it is spawned, rustc cannot prove the
/// conversion of the box to itself "general enough".
#[derive(Debug)]
pub struct BodyError(BoxError);

impl std::fmt::Display for BodyError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("the response body broke off")
    }
}

impl std::error::Error for BodyError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&*self.0)
    }
}

pin_project! {
    /// The body of a response with a session.
    ///
    /// Where something still holds the session while the body streams, what it changes is committed before the end of the
    /// body is told; a failure aborts the body. Dropped early, it discards them. Otherwise it is the inner body, and as large:
    /// a response is moved from layer to layer, and one that is larger for its body is moved that much slower.
    pub struct SessionBody<R> {
        #[pin]
        kind: Kind<R>,
    }
}

pin_project! {
    // Two of them, so that what tells them apart needs no room beside a body that is behind a pointer.
    #[project = KindProj]
    enum Kind<R> {
        Plain { #[pin] inner: R },
        Rare { rare: Pin<Box<Rare<R>>> },
    }
}

pin_project! {
    #[project = RareProj]
    enum Rare<R> {
        Streaming { #[pin] inner: R, stream: Stream },
        Text { text: Option<Bytes> },
    }
}

// Nothing is added to a body that is behind a pointer, as axum's is.
const _: () = {
    type Boxed = Pin<Box<dyn Send>>;
    assert!(size_of::<SessionBody<Boxed>>() == size_of::<Boxed>());
};

impl<R> From<Rare<R>> for SessionBody<R> {
    fn from(rare: Rare<R>) -> Self {
        SessionBody { kind: Kind::Rare { rare: Box::pin(rare) } }
    }
}

/// A session that may change while the body streams.
struct Stream {
    handle: SessionHandle,
    /// The same, as it is lent to `current` while the body is polled.
    lent: Option<SessionHandle>,
    commit: Option<Detached<()>>,
    /// The last frame of a body of known length, or its trailers, wait for the commit: they end the response.
    held_back: Option<Frame<Bytes>>,
    /// Behind the bytes that were held back, the inner body has trailers.
    trailers: bool,
    over: bool,
}

impl Drop for Stream {
    fn drop(&mut self) {
        if !self.over {
            self.handle.0.abandon();
        }
    }
}

impl SessionManager {
    /// The body to send with a response that [`close`](SessionManager::close) was called for.
    ///
    /// Where the body itself still holds the session (a stream that writes to it), what it changes is committed before the
    /// end of the body is told, and discarded when the body is dropped early. Call it when nothing but the adapter and
    /// the body holds the session any more: for all other bodies it then costs nothing.
    pub fn wrap_body<R>(&self, handle: &SessionHandle, body: R) -> SessionBody<R> {
        SessionBody::around(body, handle)
    }
}

/// A body of these bytes: what [`replace`](SessionManager::replace) answers with.
impl<R> From<Bytes> for SessionBody<R> {
    fn from(text: Bytes) -> Self {
        Rare::Text { text: Some(text).filter(|t| !t.is_empty()) }.into()
    }
}

impl<R> SessionBody<R> {
    /// The inner body, as it is.
    #[cfg(feature = "tower")]
    pub(crate) fn plain(inner: R) -> Self {
        SessionBody { kind: Kind::Plain { inner } }
    }

    /// Watches over `inner` if anything besides the adapter still holds the session.
    fn around(inner: R, handle: &SessionHandle) -> Self {
        if Arc::strong_count(&handle.0) == 1 {
            return SessionBody { kind: Kind::Plain { inner } };
        }
        let lent = Some(handle.clone());
        let stream = Stream {
            handle: handle.clone(),
            lent,
            commit: None,
            held_back: None,
            trailers: false,
            over: false,
        };
        Rare::Streaming { inner, stream }.into()
    }
}

impl Stream {
    /// Commits what was changed since the head left.
    fn poll_commit(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BodyError>> {
        let shared: &Arc<Shared> = &self.handle.0;
        let commit =
            self.commit.get_or_insert_with(|| shared.engine().tasks.detach(Arc::clone(shared).finish_body()));
        let committed = ready!(Pin::new(commit).poll(cx));
        self.over = true;
        Poll::Ready(committed.map_err(|error| {
            tracing::error!(target: "cloakroom", %error, "changes made while the body streamed were not committed");
            BodyError(error.into())
        }))
    }
}

impl<R> Body for SessionBody<R>
where
    R: Body<Data = Bytes>,
    R::Error: Into<BoxError>,
{
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Self::Data>, Self::Error>>> {
        match self.project().kind.project() {
            KindProj::Plain { inner } => inner.poll_frame(cx).map_err(|e| BodyError(e.into())),
            KindProj::Rare { rare } => rare.as_mut().poll_frame(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.kind {
            Kind::Plain { inner } => inner.is_end_stream(),
            Kind::Rare { rare } => rare.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.kind {
            Kind::Plain { inner } => inner.size_hint(),
            Kind::Rare { rare } => rare.size_hint(),
        }
    }
}

impl<R> Rare<R>
where
    R: Body<Data = Bytes>,
    R::Error: Into<BoxError>,
{
    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        match self.project() {
            RareProj::Text { text } => Poll::Ready(text.take().map(|t| Ok(Frame::data(t)))),
            RareProj::Streaming { mut inner, stream } => {
                if stream.over {
                    if !std::mem::take(&mut stream.trailers) {
                        return Poll::Ready(None);
                    }
                    let frame = inner.poll_frame(cx).map_err(|e| BodyError(e.into()));
                    stream.trailers = frame.is_pending();
                    return frame;
                }
                if stream.held_back.is_none() && stream.commit.is_none() {
                    let frame = {
                        let _current = Lent::new(&mut stream.lent);
                        ready!(inner.as_mut().poll_frame(cx))
                    };
                    match frame {
                        Some(Err(error)) => return Poll::Ready(Some(Err(BodyError(error.into())))),
                        Some(Ok(frame)) => {
                            // Trailers are the end of the stream; nothing is asked for behind them.
                            let ends = frame.is_trailers()
                                || inner.is_end_stream()
                                || inner.size_hint().exact() == Some(0);
                            if !ends {
                                return Poll::Ready(Some(Ok(frame)));
                            }
                            stream.trailers = frame.is_data() && !inner.is_end_stream();
                            stream.held_back = Some(frame);
                        }
                        None => {}
                    }
                }
                if let Err(error) = ready!(stream.poll_commit(cx)) {
                    stream.trailers = false;
                    return Poll::Ready(Some(Err(error)));
                }
                Poll::Ready(stream.held_back.take().map(Ok))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Rare::Text { text } => text.is_none(),
            // Not before the changes are committed; an empty body has nobody left to change anything.
            Rare::Streaming { inner, stream } => {
                let idle = || stream.commit.is_none() && !stream.handle.0.has_changes();
                if stream.over { !stream.trailers } else { inner.is_end_stream() && idle() }
            }
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Rare::Text { text } => SizeHint::with_exact(text.as_ref().map_or(0, |t| t.len() as u64)),
            Rare::Streaming { inner, stream } => match &stream.held_back {
                None => inner.size_hint(),
                Some(frame) => SizeHint::with_exact(frame.data_ref().map_or(0, |d| d.len() as u64)),
            },
        }
    }
}

impl<R> std::fmt::Debug for SessionBody<R> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SessionBody")
    }
}

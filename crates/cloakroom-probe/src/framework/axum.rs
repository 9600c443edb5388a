//! The routes behind axum: the tower layer around a router, extractors in the handlers.

use std::net::SocketAddr;
use std::time::Duration;

use axum::Router;
use axum::extract::{ConnectInfo, Path, Request, State};
use axum::response::{IntoResponse, Response};
use axum::routing::any;
use axum::serve::ListenerExt;
use cloakroom::{ReadOnlySession, Session, SessionError, SessionHandle, SessionLayer};
use http::StatusCode;
use tokio::net::TcpListener;
use tokio::sync::watch;

use crate::answer::{self, Answer};
use crate::call::{Call, MalformedPath};
use crate::routes::{Probe, reading};

pub(crate) fn router(probe: Probe) -> Router {
    let sessions = SessionLayer::of(probe.manager.clone())
        .peer_from(|extensions| extensions.get::<ConnectInfo<SocketAddr>>().map(|peer| peer.0));
    Router::new()
        // One route for each extractor; all others share their functions with hyper.
        .route("/get/{key}", any(get))
        .route("/read-only/{key}", any(read_only))
        .route("/peek", any(peek))
        .fallback(everything_else)
        .with_state(probe)
        .layer(sessions)
}

pub(crate) async fn serve(
    listener: TcpListener,
    probe: Probe,
    stop: impl Future<Output = ()> + Send + 'static,
    drain: Duration,
) {
    let app = router(probe);
    let (stopping, stopped) = watch::channel(());
    let stop = async move {
        stop.await;
        drop(stopping);
    };
    let until = |mut stopped: watch::Receiver<()>| async move { while stopped.changed().await.is_ok() {} };
    let listener = listener.tap_io(|connection| {
        let _ = connection.set_nodelay(true);
    });
    let serving = axum::serve(listener, app.into_make_service_with_connect_info::<SocketAddr>())
        .with_graceful_shutdown(until(stopped.clone()));
    let serving = async move {
        if let Err(error) = serving.await {
            tracing::error!(%error, "serving ended");
        }
    };
    tokio::spawn(stop);
    super::at_most_after(drain, until(stopped), serving).await;
}

async fn get(Path(key): Path<String>, session: Session) -> Result<Response, SessionError> {
    reading::get(&session, &key).map(IntoResponse::into_response)
}

async fn read_only(Path(key): Path<String>, session: ReadOnlySession) -> Result<Response, SessionError> {
    reading::read_only(&session, &key).map(IntoResponse::into_response)
}

async fn peek(session: Option<Session>) -> Response {
    reading::peek(session.as_ref()).into_response()
}

async fn everything_else(State(probe): State<Probe>, session: SessionHandle, request: Request) -> Answer {
    let (parts, _) = request.into_parts();
    match Call::new(parts.method, &parts.uri, parts.headers, session) {
        Ok(call) => probe.answer(&call).await,
        Err(MalformedPath) => answer::error(StatusCode::BAD_REQUEST, "malformed_path"),
    }
}

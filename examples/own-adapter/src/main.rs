//! A counter behind plain hyper: `cargo run -p own-adapter`, then ask for `/` a few times.
//!
//! `adapter.rs` is what an adapter for another framework takes; here are the application and the server.

mod adapter;

use std::convert::Infallible;
use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use cloakroom::{MemoryStore, SessionConfig, SessionError, SessionHandle, SessionManager};
use http::{Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpListener;

/// The application. It knows sessions, and nothing of how they come to it.
async fn application(request: Request<Incoming>, session: SessionHandle) -> Response<Full<Bytes>> {
    let answered = match request.uri().path() {
        "/" => count(&session).await,
        "/logout" => log_out(&session).await,
        _ => Ok((StatusCode::NOT_FOUND, "there is / and /logout\n".to_owned())),
    };
    let (status, text) = answered.unwrap_or_else(|error| (error.status(), format!("{error}\n")));
    let mut response = Response::new(Full::from(text));
    *response.status_mut() = status;
    response
}

async fn count(session: &SessionHandle) -> Result<(StatusCode, String), SessionError> {
    let visits = session.open().await?.increment("visits", 1).await?;
    Ok((StatusCode::OK, format!("visit {visits}\n")))
}

async fn log_out(session: &SessionHandle) -> Result<(StatusCode, String), SessionError> {
    session.open().await?.destroy().await?;
    Ok((StatusCode::OK, "goodbye\n".to_owned()))
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let sessions =
        SessionManager::new(MemoryStore::new(), SessionConfig::new().idle(Duration::from_secs(3600)))?;
    let address: SocketAddr = std::env::args().nth(1).as_deref().unwrap_or("127.0.0.1:0").parse()?;
    let listener = TcpListener::bind(address).await?;
    println!("listening on http://{}", listener.local_addr()?);
    loop {
        let (stream, peer) = listener.accept().await?;
        let sessions = sessions.clone();
        let service = service_fn(move |request| {
            let sessions = sessions.clone();
            async move { Ok::<_, Infallible>(adapter::serve(&sessions, request, peer, application).await) }
        });
        let connection =
            http1::Builder::new().timer(TokioTimer::new()).serve_connection(TokioIo::new(stream), service);
        tokio::spawn(async move {
            if let Err(error) = connection.await {
                eprintln!("a connection ended early: {error}");
            }
        });
    }
}

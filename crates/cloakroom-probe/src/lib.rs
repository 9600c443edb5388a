//! `cloakroom-probe`: every public operation of Cloakroom behind a fixed HTTP route.
//!
//! A fixture and a worked example. It uses the public API only and holds no logic of its own, so that whatever is seen
//! through it is the library's doing. `framework/hyper.rs` shows how an adapter is written on the seam alone.
//!
//! The program is a thin shell around [`start`]; [`router`] and [`answer`] put the routes over any store, for tests in the
//! same process.

mod answer;
mod call;
mod framework;
mod options;
mod routes;
mod store;

use std::net::SocketAddr;
use std::process::ExitCode;
use std::time::Duration;

use bytes::Bytes;
use cloakroom::{Mode, SessionManager};
use http::{Request, Response};
use http_body::Body;
use tokio::net::{TcpListener, TcpSocket};
use tokio::signal::unix::{SignalKind, signal};

use self::options::{Framework, Refused, Setup};

/// Connections that are still busy this long after SIGTERM are cut.
const DRAIN: Duration = Duration::from_secs(5);

/// The program: reads the command line, serves until SIGTERM, exits.
pub fn start() -> ExitCode {
    let setup = match options::from_command_line() {
        Ok(setup) => setup,
        Err(refused) => return refused.exit(),
    };
    tracing_subscriber::fmt()
        .with_env_filter(tracing_subscriber::EnvFilter::from_default_env())
        .with_writer(std::io::stderr)
        .init();
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return Refused::start("the runtime cannot be started", &error).exit(),
    };
    match runtime.block_on(run(setup)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(refused) => refused.exit(),
    }
}

/// The routes as an axum router, over the sessions of `manager`.
pub fn router(manager: SessionManager, mode: Mode) -> axum::Router {
    framework::axum::router(routes::Probe::new(manager, mode))
}

/// One request through the adapter for hyper, over the sessions of `manager`; without its connection, for tests in the same
/// process.
pub async fn answer<B>(
    manager: SessionManager,
    mode: Mode,
    request: Request<B>,
    peer: SocketAddr,
) -> Response<impl Body<Data = Bytes, Error: std::error::Error + Send + Sync> + Send> {
    framework::hyper::handle(routes::Probe::new(manager, mode), request, peer).await
}

/// Serves until SIGTERM; then lets requests, commits and the store come to their end.
async fn run(setup: Setup) -> Result<(), Refused> {
    let store = store::open(&setup.store, setup.near_cache, setup.layout).await?;
    let manager = SessionManager::over(store.shared(), setup.sessions)
        .map_err(|error| Refused::start("the options contradict each other", &error))?;
    let listener =
        listen(setup.listen).map_err(|error| Refused::start("cannot listen on that address", &error))?;
    let address = listener.local_addr().map_err(|error| Refused::start("no local address", &error))?;
    let stop = stop_signal().map_err(|error| Refused::start("signals cannot be received", &error))?;
    println!("listening on http://{address}");

    let probe = routes::Probe::new(manager.clone(), setup.mode);
    match setup.framework {
        Framework::Axum => framework::axum::serve(listener, probe, stop, DRAIN).await,
        Framework::Hyper => framework::hyper::serve(listener, probe, stop, DRAIN).await,
    }
    manager.shutdown().await;
    store.close().await;
    Ok(())
}

/// As `TcpListener::bind`, which leaves room for 128 connections that wait to be accepted. Where a larger crowd comes at once, the kernel
/// answers those behind them with cookies, and resets some of them later.
fn listen(address: SocketAddr) -> std::io::Result<TcpListener> {
    const WAITING: u32 = 4_096;
    let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(WAITING)
}

/// Completes at SIGTERM or Ctrl-C.
fn stop_signal() -> std::io::Result<impl Future<Output = ()> + Send + 'static> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    })
}

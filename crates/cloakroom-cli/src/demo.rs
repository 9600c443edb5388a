//! From options to a running shop, and to a clean end.

use std::io::Write;
use std::net::SocketAddr;
use std::time::Duration;

use axum::Router;
use axum::extract::ConnectInfo;
use cloakroom::config::{Configuration, Environment};
use cloakroom::{SessionLayer, SessionManager};

use crate::admin::{self, Admin, Token};
use crate::listen::{self, Bound};
use crate::options::DemoOptions;
use crate::stop::Stop;
use crate::storage::Storage;
use crate::{Trouble, shop, web};

/// Requests that are under way when the program is told to stop get this long.
const PATIENCE: Duration = Duration::from_secs(10);

/// Runs the demo until it is told to stop.
pub(crate) async fn run(options: DemoOptions) -> Result<(), Trouble> {
    let configuration = match &options.config {
        Some(path) => Configuration::read(path, &Environment::of_process())?,
        None => Configuration::load()?,
    };
    let mut bound = listen::bind(options.listen).await?;
    bound.notes.extend(configuration.notes().iter().cloned());
    let storage = Storage::open(&options, &configuration).await?;
    let sessions =
        SessionManager::over(storage.store.clone(), shop::session_config(&configuration.settings)?)?;
    // An address alone would be the same on every machine that listens on all of its own.
    let instance = format!("{}, process {}", bound.address, std::process::id());
    let token = Token::of_environment()?;
    let admin = Admin::start(sessions.clone(), storage.staff.clone(), token, instance)?;

    // Whoever has read the announcement may tell it to stop.
    let stop = Stop::listen()?;
    announce(&bound, &storage, &admin);
    if options.open {
        open_browser(&format!("http://{}/", reachable(bound.address)));
    }
    let app = app(&sessions, &admin).into_make_service_with_connect_info::<SocketAddr>();
    serve(bound, app, stop).await?;

    admin.stop().await;
    sessions.shutdown().await;
    storage.close().await
}

/// The whole site. The shop and the admin page have a session cookie each; assets and unknown paths have none.
fn app(sessions: &SessionManager, admin: &Admin) -> Router {
    let shop = shop::routes().layer(with_address(sessions));
    let back_office = admin::routes(admin).layer(with_address(admin.own_sessions()));
    web::finish(Router::new().merge(shop).nest("/admin", back_office).merge(web::assets::routes()))
}

fn with_address(sessions: &SessionManager) -> SessionLayer {
    SessionLayer::of(sessions.clone())
        .peer_from(|extensions| extensions.get::<ConnectInfo<SocketAddr>>().map(|info| info.0))
}

async fn serve(
    bound: Bound,
    app: axum::extract::connect_info::IntoMakeServiceWithConnectInfo<Router, SocketAddr>,
    mut stop: Stop,
) -> Result<(), Trouble> {
    let (told, mut stopping) = tokio::sync::watch::channel(false);
    let server = axum::serve(bound.listener, app).with_graceful_shutdown(async move {
        let _ = stopping.wait_for(|stop| *stop).await;
    });
    let mut server = std::pin::pin!(server.into_future());
    tokio::select! {
        ended = &mut server => return Ok(ended?),
        () = stop.told() => {}
    }
    let _ = told.send(true);
    tokio::select! {
        ended = &mut server => ended?,
        // A page that never ends, or a second Ctrl-C.
        () = tokio::time::sleep(PATIENCE) => {}
        () = stop.told() => {}
    }
    Ok(())
}

/// The only place where the admin's token is ever written.
fn announce(bound: &Bound, storage: &Storage, admin: &Admin) {
    let at = reachable(bound.address);
    let mut text = format!(
        "listening on http://{at}\n\n  \
         The shop         http://{at}/\n  \
         The admin page   http://{at}/admin\n  \
         Its token        {}\n  \
         Sessions         {}\n\n",
        admin.token().announcement(),
        storage.place,
    );
    for note in &bound.notes {
        text.push_str(&format!("  Note: {note}.\n"));
    }
    text.push_str("  Ctrl-C stops it.\n");
    // Nobody may be listening any more; the shop opens all the same.
    let mut out = std::io::stdout().lock();
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}

/// An address that can be typed into a browser: "any address" is this machine.
fn reachable(address: SocketAddr) -> SocketAddr {
    use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
    let ip = match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, address.port())
}

fn open_browser(url: &str) {
    let opener = if cfg!(target_os = "macos") {
        "open"
    } else if cfg!(windows) {
        "explorer"
    } else {
        "xdg-open"
    };
    let mut command = std::process::Command::new(opener);
    let quiet = std::process::Stdio::null;
    if let Err(error) = command.arg(url).stdin(quiet()).stdout(quiet()).stderr(quiet()).spawn() {
        tracing::warn!(%error, opener, "the browser could not be opened; open the address yourself");
    }
}

//! The Rust half: at first the basket and the account, in the end every route of the shop.

use std::path::Path;

use axum::Router;
use axum::extract::{ConnectInfo, Form};
use axum::http::StatusCode;
use axum::response::{Html, IntoResponse, Redirect, Response};
use axum::routing::{get, post};
use cloakroom::config::{Configuration, Drivers, Environment};
use cloakroom::{Session, SessionError, SessionLayer, SessionManager};
use serde::Deserialize;
use std::net::SocketAddr;

use crate::goods::{Basket, title};
use crate::page::{self, Visitor};
use crate::{Trouble, processes};

const BASKET: &str = "basket";
const VISIT: &str = "visit";

/// What PHP's object `Visit` is to a reader. It stays PHP's: nobody makes one here.
#[derive(Deserialize)]
struct Visit {
    since: PhpTime,
}

/// A `DateTimeImmutable`.
#[derive(Deserialize)]
struct PhpTime {
    /// As in `2026-11-29 09:31:05.000000`.
    date: String,
}

impl Visit {
    fn time(&self) -> Option<String> {
        let (_, time) = self.since.date.split_once(' ')?;
        Some(time.split('.').next()?.to_owned())
    }
}

/// Serves on a free port of this machine until it is told to stop.
pub(crate) async fn serve(configuration: String) -> Result<(), Trouble> {
    tracing_subscriber::fmt()
        .with_max_level(tracing_subscriber::filter::LevelFilter::WARN)
        .with_writer(std::io::stderr)
        .init();
    let environment = Environment::of_process();
    let read = Configuration::read(Path::new(&configuration), &environment)?;
    // php.ini says where PHP has its sessions, how, and by which cookie.
    let drivers = Drivers::none().with(cloakroom_redis::driver(&environment));
    let (store, config) = drivers.open_with_config(&read).await?;
    let sessions = SessionManager::over(store, config)?;
    let layer = SessionLayer::of(sessions.clone())
        .peer_from(|extensions| extensions.get::<ConnectInfo<SocketAddr>>().map(|info| info.0));
    let app = routes().layer(layer).into_make_service_with_connect_info::<SocketAddr>();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    let stop = processes::stop_signal()?;
    println!("listening on {}", listener.local_addr()?);
    axum::serve(listener, app).with_graceful_shutdown(stop).await?;
    sessions.shutdown().await;
    Ok(())
}

fn routes() -> Router {
    Router::new()
        // Ours from the first day.
        .route("/basket", get(basket).post(change))
        .route("/account", get(account))
        .route("/account/logout", post(logout))
        // PHP's, until nginx sends them here.
        .route("/", get(goods))
        .route("/add", post(add))
        .route("/login", get(login_page).post(login))
        .route("/logout", post(logout))
        .fallback(nothing)
}

fn visitor(session: &Session) -> Result<Visitor, SessionError> {
    let visit: Option<Visit> = session.get(VISIT)?;
    Ok(Visitor {
        user: session.user().map(|user| user.as_str().to_owned()),
        basket: session.get(BASKET)?.unwrap_or_default(),
        since: visit.and_then(|visit| visit.time()),
    })
}

async fn goods(session: Session) -> Result<Html<String>, SessionError> {
    Ok(page::goods(&visitor(&session)?))
}

async fn basket(session: Session) -> Result<Html<String>, SessionError> {
    Ok(page::basket(&visitor(&session)?))
}

async fn account(session: Session) -> Result<Response, SessionError> {
    let visitor = visitor(&session)?;
    Ok(match visitor.user {
        None => Redirect::to("/login").into_response(),
        Some(_) => page::account(&visitor).into_response(),
    })
}

async fn login_page(session: Session) -> Result<Html<String>, SessionError> {
    Ok(page::login(&visitor(&session)?))
}

#[derive(Deserialize)]
struct Added {
    good: String,
}

async fn add(session: Session, Form(added): Form<Added>) -> Result<Redirect, SessionError> {
    count(&session, &added.good, true).await?;
    Ok(Redirect::to("/"))
}

#[derive(Deserialize)]
struct Changed {
    more: Option<String>,
    less: Option<String>,
}

async fn change(session: Session, Form(changed): Form<Changed>) -> Result<Redirect, SessionError> {
    if let Some(good) = changed.more {
        count(&session, &good, true).await?;
    }
    if let Some(good) = changed.less {
        count(&session, &good, false).await?;
    }
    Ok(Redirect::to("/basket"))
}

/// One more or one less, whatever PHP does to the basket meanwhile.
async fn count(session: &Session, good: &str, more: bool) -> Result<(), SessionError> {
    if title(good).is_none() {
        return Ok(());
    }
    let changed = session.update(BASKET, |basket: Option<Basket>| {
        let mut basket = basket.unwrap_or_default();
        let count = basket.entry(good.to_owned()).or_default();
        *count = if more { count.saturating_add(1) } else { count.saturating_sub(1) };
        basket.retain(|_, count| *count > 0);
        basket
    });
    changed.await.map(drop)
}

#[derive(Deserialize)]
struct Login {
    name: String,
}

async fn login(session: Session, Form(login): Form<Login>) -> Result<Redirect, SessionError> {
    let name = login.name.trim();
    if name.is_empty() || name.len() > 40 {
        return Ok(Redirect::to("/login"));
    }
    session.login(name).await?;
    Ok(Redirect::to("/"))
}

async fn logout(session: Session) -> Result<Redirect, SessionError> {
    session.destroy().await?;
    Ok(Redirect::to("/"))
}

async fn nothing(session: Session) -> Result<impl IntoResponse, SessionError> {
    Ok((StatusCode::NOT_FOUND, page::nothing(&visitor(&session)?)))
}

//! The demo shop: a boutique whose visitors have sessions. Each file is one thing a visitor does.

mod account;
mod basket;
mod browse;
mod catalog;
mod checkout;
mod counter;
mod devices;

use axum::Router;
use axum::extract::FromRequestParts;
use axum::response::Redirect;
use axum::routing::{get, post};
use cloakroom::config::Settings;
use cloakroom::{Session, SessionConfig, SessionError, SessionHandle};
use http::request::Parts;

use crate::web::page::Page;
use crate::web::refusal::{self, Refusal};

/// The sessions of the shop: the user's settings, with cross-site requests refused and errors as pages.
pub(crate) fn session_config(settings: &Settings) -> Result<SessionConfig, SessionError> {
    Ok(settings.session_config()?.csrf(settings.csrf_config()?).on_failure(refusal::instead))
}

pub(crate) fn routes() -> Router {
    Router::new()
        .route("/", get(browse::all))
        .route("/goods/{slug}", get(browse::one))
        .route("/basket", get(basket::show))
        .route("/basket/add", post(basket::add))
        .route("/basket/quantity", post(basket::quantity))
        .route("/basket/remove", post(basket::remove))
        .route("/basket/empty", post(basket::empty))
        .route("/checkout", post(checkout::buy))
        .route("/receipt", get(checkout::receipt))
        .route("/login", get(account::form).post(account::log_in))
        .route("/logout", post(account::log_out))
        .route("/goodbye", get(account::goodbye))
        .route("/devices", get(devices::list))
        .route("/devices/revoke", post(devices::revoke))
        .route("/devices/revoke-others", post(devices::revoke_others))
        .route("/counter", get(counter::show))
        .route("/counter/{way}", post(counter::work))
}

/// A visitor: the session of the request, whose errors are pages. Nothing is stored for one who only looks.
struct Visitor(Session);

impl<S: Sync> FromRequestParts<S> for Visitor {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Refusal> {
        let handle = SessionHandle::from_request_parts(parts, state).await?;
        Ok(Visitor(handle.open().await?))
    }
}

impl Visitor {
    /// A page of the shop, with the number of things in the basket.
    async fn page(&self, title: &str, here: &'static str) -> Result<Page, Refusal> {
        let mut page = Page::of(&self.0, title, here).await?;
        page.in_basket = self.0.get(basket::BASKET)?.unwrap_or_default().count();
        Ok(page)
    }
}

/// After a form: reloading the next page repeats nothing.
fn go(to: &str) -> Redirect {
    Redirect::to(to)
}

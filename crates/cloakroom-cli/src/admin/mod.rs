//! The admin page: what the shop's sessions do, and ending them. Behind a token that is printed at start.
//!
//! It has a session cookie of its own, kept by a second [`SessionManager`] in a store of its own: whoever is logged in here
//! is not so in the shop, and the other way round. That store is memory, so that a restart logs everybody out, unless several
//! instances are behind one address: then it is as common to them as the shop's, and so must the token be.
//!
//! Sessions are listed and ended for the whole store. Counters are this instance's own, and the page names it.

mod chart;
mod door;
mod gate;
mod numbers;
mod overview;
mod sampler;
mod sessions;
mod token;

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::routing::{get, post};
use cloakroom::store::Store;
use cloakroom::{CookieConfig, CsrfConfig, SameSite, SessionConfig, SessionManager};

use self::gate::Gate;
use self::sampler::Sampler;
pub(crate) use self::token::Token;
use crate::Trouble;
use crate::web::refusal;

/// The user that a session which showed the token is bound to.
const STAFF: &str = "staff";

/// Everything the admin page needs to know.
#[derive(Clone)]
pub(crate) struct Admin(Arc<Inner>);

struct Inner {
    shop: SessionManager,
    own: SessionManager,
    token: Token,
    gate: Gate,
    sampler: Sampler,
    instance: String,
}

impl Admin {
    /// An admin page over the shop's sessions, with its own in `store`. From now on the shop's are sampled every second.
    /// `instance` is what the page calls the program whose counters it shows.
    pub(crate) fn start(
        shop: SessionManager,
        store: Arc<dyn Store>,
        token: Token,
        instance: String,
    ) -> Result<Self, Trouble> {
        let own = SessionManager::over(store, own_config())?;
        let sampler = Sampler::start(shop.clone());
        Ok(Admin(Arc::new(Inner { shop, own, token, gate: Gate::default(), sampler, instance })))
    }

    /// The sessions of the admin page itself.
    pub(crate) fn own_sessions(&self) -> &SessionManager {
        &self.0.own
    }

    pub(crate) fn token(&self) -> &Token {
        &self.0.token
    }

    /// Samples no longer.
    pub(crate) async fn stop(&self) {
        self.0.sampler.stop();
        self.0.own.shutdown().await;
    }

    fn instance(&self) -> &str {
        &self.0.instance
    }

    fn shop(&self) -> &SessionManager {
        &self.0.shop
    }
}

/// Half an hour without a click, or a working day; never sent along when another site links here.
fn own_config() -> SessionConfig {
    SessionConfig::new()
        .cookie(CookieConfig::new().name("__Host-admin").same_site(SameSite::Strict))
        .idle(Duration::from_secs(30 * 60))
        .absolute(Duration::from_secs(8 * 60 * 60))
        .csrf(CsrfConfig::default())
        .on_failure(refusal::instead)
}

/// Below `/admin`.
pub(crate) fn routes(admin: &Admin) -> Router {
    Router::new()
        .route("/", get(overview::show))
        .route("/enter", get(door::form).post(door::enter))
        .route("/leave", post(door::leave))
        .route("/numbers", get(numbers::json))
        .route("/metrics", get(numbers::prometheus))
        .route("/revoke", post(sessions::revoke))
        .route("/revoke-user", post(sessions::revoke_user))
        .route("/revoke-everybody", post(sessions::revoke_everybody))
        .with_state(admin.clone())
}

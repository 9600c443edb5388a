//! The admin page: what the shop's sessions do, and ending them. Behind a token that is printed at start.
//!
//! It has a session cookie of its own, kept in memory by a second [`SessionManager`]: whoever is logged in here is not so
//! in the shop, and the other way round, and a restart logs everybody out.

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
use cloakroom::{CookieConfig, CsrfConfig, MemoryStore, SameSite, SessionConfig, SessionManager};

use self::gate::Gate;
use self::sampler::Sampler;
use self::token::Token;
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
}

impl Admin {
    /// An admin page over the shop's sessions. From now on they are sampled every second.
    pub(crate) fn start(shop: SessionManager) -> Result<Self, Trouble> {
        let store = MemoryStore::builder().max_sessions(10_000).build();
        let own = SessionManager::new(store, own_config())?;
        let sampler = Sampler::start(shop.clone());
        Ok(Admin(Arc::new(Inner { shop, own, token: Token::generate()?, gate: Gate::default(), sampler })))
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

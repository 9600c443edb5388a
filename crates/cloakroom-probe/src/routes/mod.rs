//! The routes, by idea. Each is a function from a request's session to an answer and calls one public operation.

mod bulk;
mod caching;
mod devices;
mod failing;
mod flash;
mod forgery;
mod identity;
mod locking;
pub(crate) mod reading;
mod slow;
mod streaming;
mod writing;

use cloakroom::{Mode, SessionError, SessionManager};
use http::StatusCode;

use crate::answer::{self, Answer};
use crate::call::Call;

/// What all requests share.
#[derive(Clone)]
pub(crate) struct Probe {
    pub(crate) manager: SessionManager,
    mode: &'static str,
}

impl Probe {
    pub(crate) fn new(manager: SessionManager, mode: Mode) -> Self {
        let mode = match mode {
            Mode::Merge => "merge",
            Mode::Exclusive => "exclusive",
        };
        Probe { manager, mode }
    }

    /// Answers a request. An error of the session is answered with its kind.
    pub(crate) async fn answer(&self, call: &Call) -> Answer {
        match self.route(call).await {
            Ok(answer) => answer,
            Err(error) => answer::session_error(&error),
        }
    }

    async fn route(&self, call: &Call) -> Result<Answer, SessionError> {
        let segments: Vec<&str> = call.segments.iter().map(String::as_str).collect();
        match segments.as_slice() {
            ["plain"] => Ok(answer::ok()),
            ["get", key] => reading::get(&call.open().await?, key),
            ["all"] => reading::all(&call.open().await?),
            ["state"] => reading::state(&call.open().await?, self.mode),
            ["read-only", key] => reading::read_only(&call.handle.read_only().await?, key),
            ["peek"] => Ok(reading::peek(call.handle.open_existing().await?.as_ref())),
            ["background"] => reading::background(call).await,

            ["set", key, value] => writing::set(&call.open().await?, key, value),
            ["remove", key] => writing::remove(&call.open().await?, key),
            ["clear"] => writing::clear(&call.open().await?),
            ["take", key] => writing::take(&call.open().await?, key),
            ["save", key, value] => writing::save(&call.open().await?, key, value).await,
            ["reload", key, value] => writing::reload(&call.open().await?, key, value).await,
            ["put", key, value] => writing::put(&call.open().await?, key, value).await,
            ["incr", key] => writing::incr(&call.open().await?, key).await,
            ["ambient", key, value] => writing::ambient(key, value).await,

            ["count", key] => slow::count(call, key).await,
            ["slow-set", key, value] => slow::set(call, key, value).await,
            ["slow-put", key, value] => slow::put(call, key, value).await,
            ["slow-regenerate"] => slow::regenerate(call).await,
            ["slow-destroy"] => slow::destroy(call).await,

            ["lock-count", key] => locking::count(call, key).await,
            ["lock-drop", key, value] => locking::drop_guard(&call.open().await?, key, value).await,
            ["lock-rollback", key, value] => locking::rollback(&call.open().await?, key, value).await,
            ["release", key, value] => locking::release(call, key, value).await,

            ["regenerate"] => identity::regenerate(call).await,
            ["destroy" | "logout"] => identity::destroy(&call.open().await?).await,
            ["login", user] => identity::login(&call.open().await?, user).await,
            ["bind", user] => identity::bind(&call.open().await?, user).await,
            ["whoami"] => identity::whoami(&call.open().await?),

            ["devices"] => devices::list(&call.open().await?).await,
            ["revoke", handle] => devices::revoke(&call.open().await?, handle).await,
            ["revoke-others"] => devices::revoke_others(&call.open().await?).await,
            ["revoke-user", user] => devices::revoke_user(&self.manager, user).await,

            ["flash", message] => flash::add(&call.open().await?, message),
            ["flash"] => flash::show(&call.open().await?),

            ["fail", key, value] => failing::fail(&call.open().await?, key, value),
            ["panic", key, value] => failing::panic(&call.open().await?, key, value),
            ["login-then-fail", user] => failing::login_then_fail(&call.open().await?, user).await,
            ["login-then-panic", user] => failing::login_then_panic(&call.open().await?, user).await,

            ["stream", key, value] => streaming::stream(call, key, value).await,
            ["cached", key] => caching::cached(call, key).await,
            ["cached-plain"] => Ok(caching::cached_plain()),
            ["csrf"] => forgery::token(&call.open().await?).await,
            ["protected"] => forgery::protected(call).await,
            ["big", bytes] => bulk::big(&call.open().await?, bytes),
            ["metrics"] => Ok(bulk::metrics(&self.manager)),
            ["wake"] => Ok(bulk::wake()),
            _ => Ok(answer::error(StatusCode::NOT_FOUND, "no_route")),
        }
    }
}

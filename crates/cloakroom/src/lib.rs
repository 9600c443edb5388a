//! HTTP sessions that are correct under concurrency, safe by default and nearly free.
//!
//! A visitor's browser carries an unguessable id in a cookie, a [store](store::Store) keeps the data. A handler asks for
//! its [`Session`] and reads and changes it.
//!
//! **What is not `async` is buffered; what you `.await` is stored when it returns.** What is buffered is committed, all or
//! nothing, before the response's head leaves; where that fails an error response leaves instead.
//!
#![cfg_attr(all(feature = "axum", feature = "memory"), doc = "```")]
#![cfg_attr(not(all(feature = "axum", feature = "memory")), doc = "```ignore")]
//! use axum::{Router, routing::post};
//! use cloakroom::{MemoryStore, Session, SessionError, SessionLayer};
//!
//! async fn visit(session: Session) -> Result<String, SessionError> {
//!     let visits = session.update("visits", |n: Option<u32>| n.unwrap_or(0) + 1).await?;   // atomic, stored
//!     session.flash("Welcome back.")?;                                                     // buffered
//!     Ok(format!("visit {visits}"))
//! }
//!
//! let app: Router = Router::new().route("/", post(visit)).layer(SessionLayer::new(MemoryStore::new()));
//! ```
//!
//! # Where to look
//!
//! | for | see |
//! |---|---|
//! | what a handler can do | [`Session`], [`LockGuard`], [`ReadOnlySession`], [`SessionHandle`], [`current`] |
//! | what can be set | [`SessionConfig`]; the module `config` for a file and the environment |
//! | what can go wrong | [`SessionError`], [`ErrorKind`] |
//! | an adapter for another framework | [`SessionManager`] |
//! | a store of one's own | [`store`] |
//! | what happens meanwhile | [`SessionConfig::subscribe`], [`SessionManager::metrics`] |
//!
//! # Features
//!
//! | feature | default | brings |
//! |---|---|---|
//! | `tower` | yes | `SessionLayer` and `ReplayLayer`, for everything that speaks tower |
//! | `axum` | yes | the extractors; needs `tower` |
//! | `memory` | yes | `MemoryStore`, sessions in this process |
//! | `body` | with `tower` | `SessionManager::wrap_body`: sessions that change while a response streams |
//! | `config` | no | the module `config` |

#[cfg(feature = "axum")]
mod axum;
#[cfg(feature = "body")]
mod body;
pub mod clock;
mod codec;
#[cfg(feature = "config")]
pub mod config;
mod engine;
mod error;
#[cfg(fuzzing)]
#[doc(hidden)]
pub mod fuzzing;
mod http;
mod ids;
mod key;
mod manager;
#[cfg(feature = "memory")]
mod memory;
mod near;
pub mod payload;
pub mod record;
mod request;
mod session;
mod settings;
pub mod store;
#[cfg(feature = "tower")]
mod tower;

#[cfg(feature = "body")]
pub use self::body::{BodyError, SessionBody};
pub use self::codec::Codec;
pub use self::engine::{Event, MetricsSnapshot, Subscriber, TimingSnapshot};
pub use self::error::{ErrorKind, SessionError};
pub use self::http::cache_limiter::CacheLimiter;
pub use self::http::cookie::{CookieConfig, CookieError, CookieLifetime, CookiePolicy, SameSite, Secure};
pub use self::http::csrf::trusted_origins::{MalformedOrigin, TrustedOrigins};
pub use self::http::transport::Transport;
pub use self::http::trusted_proxies::{MalformedProxy, TrustedProxies};
pub use self::http::word::UnknownWord;
pub use self::key::{Key, KeyOf};
pub use self::manager::{CsrfConfig, Discarded, FailureHook, Outcome, SessionConfig, SessionManager};
pub use self::request::RequestHead;
pub use self::session::{
    DeviceHandle, DeviceSession, LockGuard, RawValue, ReadOnlySession, Session, SessionHandle, current,
};
pub use self::settings::{Limits, Locking, Mode, OnConflict, OnObsoleteId, OnUnavailable};
#[cfg(feature = "tower")]
pub use self::tower::{
    ReplayBody, ReplayFuture, ReplayLayer, ReplayService, ResponseFuture, SessionLayer, SessionService,
};
pub use ids::{
    Candidate, ID_LEN, IdEnvelope, IdRules, MalformedId, OpId, PlainId, PlainIds, RecordId, SessionId,
    StoreKey, UserId,
};
#[cfg(feature = "memory")]
pub use memory::{MemoryStore, MemoryStoreBuilder};
pub use near::{NearCache, NearCacheBuilder, NearCacheCounts};

/// The examples of the README compile and run.
#[cfg(all(doctest, feature = "axum", feature = "memory"))]
#[doc = include_str!("../../../README.md")]
pub struct ReadmeExamples;

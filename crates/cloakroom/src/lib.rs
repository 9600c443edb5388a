//! HTTP sessions that are correct under concurrency, safe by default and nearly free.

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
pub use ids::{Candidate, ID_LEN, MalformedId, OpId, RecordId, SessionId, StoreKey, UserId};
#[cfg(feature = "memory")]
pub use memory::{MemoryStore, MemoryStoreBuilder};
pub use near::{NearCache, NearCacheBuilder, NearCacheCounts};

/// The examples of the README compile and run.
#[cfg(all(doctest, feature = "axum", feature = "memory"))]
#[doc = include_str!("../../../README.md")]
pub struct ReadmeExamples;

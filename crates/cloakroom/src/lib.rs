//! HTTP sessions that are correct under concurrency, safe by default and nearly free.

pub mod clock;
#[cfg(feature = "config")]
pub mod config;
// Called by the engine and by the adapters.
#[allow(dead_code)]
mod http;
mod ids;
#[cfg(feature = "memory")]
mod memory;
pub mod payload;
pub mod record;
pub mod store;

pub use self::http::cache_limiter::CacheLimiter;
pub use self::http::cookie::{CookieConfig, CookieError, CookieLifetime, CookiePolicy, SameSite, Secure};
pub use self::http::transport::Transport;
pub use self::http::trusted_proxies::{MalformedProxy, TrustedProxies};
pub use self::http::word::UnknownWord;
pub use ids::{Candidate, ID_LEN, MalformedId, OpId, RecordId, SessionId, StoreKey, UserId};
#[cfg(feature = "memory")]
pub use memory::{MemoryStore, MemoryStoreBuilder};

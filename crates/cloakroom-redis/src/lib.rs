//! Sessions in Redis or Valkey: one store for many processes and machines.
//!
//! ```no_run
//! # async fn f() -> Result<(), Box<dyn std::error::Error>> {
//! use cloakroom_redis::RedisStore;
//!
//! let store = RedisStore::new("redis://localhost:6379/0")?;
//! store.ping().await?; // optional: it connects by itself when a session is first asked for
//! // hand it to the session layer
//! # Ok(()) }
//! ```
//!
//! # What it promises
//!
//! - **One atomic step for each operation**, across every process that uses the same server: versions, leases, ends and
//!   the index of a user's sessions change together or not at all. In a cluster the index is on another node than the sessions, and
//!   changes around them: a revocation still misses no login that it raced.
//! - **One round trip** to open a session, one to commit it; two for changes of id and logins.
//! - **No operation has two effects.** Nothing is sent twice by itself but reads; a write whose answer was lost is reported as
//!   [`Unknown`](cloakroom::store::StoreErrorKind::Unknown), and asked again it is recognised.
//! - **No call hangs.** Each has a deadline. While the server is away, calls are refused at once, and a task looks
//!   for it: service is back within a second of the server.
//! - **Unavailable is not absent**, and no error, log line or `Debug` shows a key, a value or a password.
//! - **Every key has an expiry.** Nothing is left behind for ever, and nothing needs purging.
//!
//! - **Opt-in, a near cache**: [`NearCache::new`](cloakroom::NearCache::new) before the store answers warm reads from memory. The
//!   server tells of changes ([`PushStore`](cloakroom::store::PushStore)).
//!
//! - **Opt-in, waiting for replicas and disks** ([`Durability`]), for all writes or for logins and ends.
//!
//! It is as durable as the server is configured to be: see the manual of the Redis store (`docs/redis.md`) for what to
//! configure, and for what a failover can lose.
//!
//! Needs Redis 7 or later, or any Valkey. A single server, the primary that sentinels name, followed through failovers, or a
//! cluster; over TCP or TLS (feature `tls`), a single server also over a socket in the file system.

mod apart;
mod asking;
mod builder;
mod cluster;
#[cfg(feature = "config")]
mod config;
mod digits;
mod durability;
mod error;
mod expiry;
mod greeting;
mod group;
mod host;
mod invocation;
mod layout;
mod link;
mod names;
mod node;
mod packed;
mod permissions;
#[cfg(feature = "php")]
pub mod php;
mod pipe;
mod redis_url;
mod replace;
mod route;
mod scripts;
mod sentinels;
mod sessions;
mod shared;
mod signals;
mod standstill;
mod step;
mod store;
mod time;
mod tls;
mod together;
mod tracking;
mod upkeep;

pub use builder::{BuildError, RedisBuilder};
#[cfg(feature = "config")]
pub use config::driver;
pub use durability::Durability;
pub use redis_url::{InvalidRedisUrl, RedisUrl};
pub use store::RedisStore;
pub use tls::TlsError;

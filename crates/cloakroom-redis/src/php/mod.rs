//! Sessions of a running PHP application: read and written where PHP has them, under the lock that PHP takes.
//!
//! ```no_run
//! # fn f() -> Result<(), Box<dyn std::error::Error>> {
//! use cloakroom::SessionManager;
//! use cloakroom_redis::{RedisStore, php::{Layout, PhpServer, PhpStore}};
//!
//! let layout = Layout::phpredis().user_variable("user_id");
//! let config = layout.session_config();
//! let server = PhpServer::new(RedisStore::builder("redis://localhost:6379/0")?)?;
//! let store = PhpStore::new(server, layout);
//! let sessions = SessionManager::new(store, config)?; // into SessionLayer::of
//! # Ok(()) }
//! ```
//!
//! PHP's variables are the session's keys: `session.get::<Basket>("basket")` reads `$_SESSION['basket']`, and what is set here PHP
//! finds there.
//!
//! # How it works
//!
//! Nothing of ours is in PHP's value. What has to be kept beside it (versions, deadlines, what ended) is in keys of our own, each with
//! an expiry; without them a session is read all the same.
//!
//! | key | whose | |
//! |---|---|---|
//! | `PHPREDIS_SESSION:ID` | PHP's | the variables, in `session.serialize_handler`'s format |
//! | `PHPREDIS_SESSION:ID_LOCK` | PHP's | the lock: who holds it, with an expiry |
//! | `cloakroom:php-lock:DIGEST` | ours | the lock, in the layouts in which PHP takes none |
//! | `cloakroom:php:DIGEST` | ours | what is beside the session: its version and the digest of the bytes that it belongs to |
//!
//! In a cluster PHP's begins with `PHPREDIS_CLUSTER_SESSION:`, and before DIGEST stands a tag in braces that leads to the slot of PHP's key, so that
//! all about one id is on one node.
//!
//! A write is one script: it writes if PHP's value is, to the byte, what the change was decided on, and if nobody holds the lock, or we do.
//! Redis runs nothing else meanwhile, so that is PHP's lock, held for as long as the script takes: no lock is left behind by whatever
//! happens to this process. A value that PHP wrote is another version, and the change is decided again on it. `lock` and exclusive mode take
//! the lock as phpredis does (`SET NX PX`) and give it back by comparing and deleting.
//!
//! Where writes are to be waited for ([`Durability`](crate::Durability)), `WAIT` stands behind that script on the same connection; nothing that PHP writes
//! is waited for, and nothing in a cluster.

pub(crate) mod ini;
mod lock;
mod server;
mod servers;
mod spread;

pub use cloakroom_php::Compression;
pub use cloakroom_php::layout::{Layout, LayoutError, PhpSettingsError, Stage, UnknownStage};
#[cfg(feature = "laravel")]
pub use cloakroom_php::{AppKey, Cipher, Encrypter, InvalidAppKey, layout::LaravelApp};

pub use ini::PhpSettings;
pub use server::PhpServer;
pub use servers::PhpServers;

/// A PHP application's sessions in Redis: on a [`PhpServer`], or on several or in a cluster ([`PhpServers`]).
pub type PhpStore<G = PhpServer> = cloakroom_php::layout::PhpSessions<G>;

/// A PHP application's sessions in Redis, on a [`PhpServer`] or on several ([`PhpServers`]), on their way to another store. Moving out of a
/// cluster is not built yet, and neither is moving into one: no id could change there before [`Stage::Done`].
///
/// ```no_run
/// # fn f() -> Result<(), Box<dyn std::error::Error>> {
/// use std::sync::Arc;
/// use cloakroom::SessionManager;
/// use cloakroom_redis::{RedisStore, php::{Layout, MovingStore, PhpServer, PhpStore, Stage}};
///
/// let redis = RedisStore::builder("redis://localhost:6379/0")?;
/// let layout = Layout::phpredis().user_variable("user_id");
/// let config = layout.session_config();
/// let php = PhpStore::new(PhpServer::new(redis.clone())?, layout);
/// let store = MovingStore::new(php, Arc::new(redis.build()?), Stage::Move);
/// let sessions = SessionManager::new(store, config)?; // into SessionLayer::of
/// # Ok(()) }
/// ```
pub type MovingStore<G = PhpServer> = cloakroom_php::layout::Moving<G>;

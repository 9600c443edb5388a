//! Sessions of a running PHP application that keeps them in a cache on SQLite: mini.
//!
//! ```no_run
//! # async fn f() -> Result<(), Box<dyn std::error::Error>> {
//! use cloakroom::SessionManager;
//! use cloakroom_sqlite::php::{Layout, PhpCache, PhpCacheStore};
//!
//! let layout = Layout::mini().user_variable("user_id");
//! let config = layout.session_config();
//! let cache = PhpCache::open("/tmp/mini-cache.sqlite3")?; // below PHP's sys_get_temp_dir()
//! let store = PhpCacheStore::new(cache, layout);
//! let sessions = SessionManager::new(store, config)?; // into SessionLayer::of
//! # Ok(()) }
//! ```
//!
//! mini's values are the session's keys: `session.get::<Basket>("basket")` reads what `session()->set('basket', …)` set.
//!
//! # How it works
//!
//! | table | whose | |
//! |---|---|---|
//! | `cache` | mini's | the entry `session.ID`: the values as `serialize()` text, and the second in which it ends |
//! | `cloakroom_php` | ours | what is beside: versions, deadlines, leases, what ended, by digests of ids |
//!
//! A write is one transaction, which no other process is in: it writes if mini's value is, to the byte, what the change was decided on. How the file keeps
//! its transactions (`journal_mode`) stays as mini has it. The process has to run as the user that PHP runs as.

mod cache;
mod rows;

pub use cloakroom_php::layout::{Layout, LayoutError, Stage, UnknownStage};

pub use cache::PhpCache;

/// A PHP application's sessions in a cache on SQLite.
pub type PhpCacheStore = cloakroom_php::layout::PhpSessions<PhpCache>;

/// A PHP application's sessions in a cache on SQLite, on their way to another store: of whichever kind.
///
/// ```no_run
/// # async fn f() -> Result<(), Box<dyn std::error::Error>> {
/// use std::sync::Arc;
/// use cloakroom::SessionManager;
/// use cloakroom_sqlite::{SqliteStore, php::{Layout, MovingStore, PhpCache, PhpCacheStore, Stage}};
///
/// let layout = Layout::mini().user_variable("user_id");
/// let config = layout.session_config();
/// let php = PhpCacheStore::new(PhpCache::open("/tmp/mini-cache.sqlite3")?, layout);
/// let new = SqliteStore::open("/var/lib/shop/sessions.db").await?;
/// let store = MovingStore::new(php, Arc::new(new), Stage::Move);
/// let sessions = SessionManager::new(store, config)?; // into SessionLayer::of
/// # Ok(()) }
/// ```
pub type MovingStore = cloakroom_php::layout::Moving<PhpCache>;

//! Sessions in one SQLite file: Cloakroom's embedded default.
//!
//! ```no_run
//! # async fn f() -> Result<(), Box<dyn std::error::Error>> {
//! use cloakroom_sqlite::SqliteStore;
//!
//! let store = SqliteStore::open("sessions.db").await?;
//! // hand it to the session layer; at the end of the program:
//! store.close().await?;
//! # Ok(()) }
//! ```
//!
//! # What it promises
//!
//! - **An acknowledged write is on the disk.** The file is in WAL mode with `synchronous=FULL`, and an answer is given
//!   only after `COMMIT` returned. [`Durability`] has the weaker choice.
//! - **Several processes may use one file at once**, on one machine: versions and leases hold across them. Network file
//!   systems are refused as far as SQLite notices them.
//! - **`kill -9` at any moment** loses nothing that was acknowledged and leaves nothing to repair.
//! - **Unavailable is not absent.** A full disk, a lock held by somebody else, an I/O error are errors; the store
//!   goes on by itself when the trouble is over.
//! - **A damaged record is an error for that record**: each one carries a checksum bound to its key. It is neither
//!   served nor deleted.
//! - **Lost commits are noticed**: see [`SqliteStore::lost_commits`].
//!
//! # How it works
//!
//! One thread owns the only connection that writes. Requests queue up for it; it takes whatever is in the queue
//! into one transaction, so that all of them share one flush of the disk (*group commit*). One writer alone gets a
//! transaction of its own and waits for nobody.
//!
//! Point lookups ([`load`](cloakroom::store::Store::load)) are answered on the calling thread from a small pool of
//! read connections: finding one row among pages the operating system holds in memory takes a few microseconds, less
//! than handing the question to another thread and the answer back. Where it turns out to take longer (a cold file
//! on a slow disk, all connections in use, another process recovering the log) lookups go to reader threads
//! instead, so that no thread of the async runtime is held up. Scans and listings always do.
//!
//! # What is on the disk
//!
//! | file | |
//! |---|---|
//! | `sessions.db` | the database: one table of entries, one row of counters |
//! | `sessions.db-wal`, `sessions.db-shm` | SQLite's write-ahead log and its index; gone after a clean close |
//! | `sessions.db-commits` | how many commits were acknowledged, to notice a log that lost its end |
//!
//! All are created readable and writable by their owner only. To back a live store up use SQLite's own means (`VACUUM
//! INTO`, `.backup`): copying the files one by one while they change is not a backup.
//!
//! # Features
//!
//! - `config`: the driver `sqlite` for `cloakroom.toml`.
//! - `php`: the sessions of a running PHP application that keeps them in a cache on SQLite.

mod batch;
mod builder;
mod commit_count;
#[cfg(feature = "config")]
mod config;
mod error;
mod open;
mod pace;
#[cfg(feature = "php")]
pub mod php;
mod purge;
mod queue;
mod read;
mod readers;
mod schema;
mod step;
mod store;
mod writer;

pub use builder::{Durability, SqliteBuilder};
#[cfg(feature = "config")]
pub use config::{driver, driver_with_home};
pub use error::{OpenError, OpenErrorKind};
pub use store::SqliteStore;

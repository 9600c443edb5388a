//! Sessions as plain files in one directory.
//!
//! ```no_run
//! # async fn f() -> Result<(), Box<dyn std::error::Error>> {
//! use cloakroom_file::FileStore;
//!
//! let store = FileStore::open("/var/lib/shop/sessions").await?;
//! // hand it to the session layer; at the end of the program:
//! store.close().await;
//! # Ok(()) }
//! ```
//!
//! For small sites that want to see their sessions with `ls` and need no database. Where many visitors write at the same
//! time, `cloakroom-sqlite` is faster: it makes one flush of the disk serve all of them.
//!
//! # What it promises
//!
//! - **An acknowledged write is on the disk**: the file was flushed, put in place by a rename, and its directory flushed.
//!   [`Durability`] has the weaker choice.
//! - **A session is old or new, never a mixture.** A step over several sessions (a change of id, a revocation) is written
//!   down before it is done; whoever comes next finishes what a killed process had begun.
//! - **Several processes may use one directory at once**, on one machine. Locks are the operating system's (`flock`), so
//!   those of a killed process are free at once.
//! - **Unavailable is not absent.** A full disk, a directory that cannot be read or is gone are errors.
//! - **A damaged file is an error for its session alone.** It is neither served nor deleted.
//!
//! # How it works
//!
//! Reading a session is opening and reading one file, on the calling thread while the operating system has it in memory,
//! else on a thread of the store's. Whatever writes runs on threads of the store's and holds the lock of each
//! directory that it reads or changes a session in: the lock is on the directory itself, which is never replaced, so
//! it cannot be lost by replacing the file. The rules are [`cloakroom::store::protocol`]'s.
//!
//! # What is on the disk
//!
//! | | |
//! |---|---|
//! | `format` | what this directory is, and in which version of this layout |
//! | `entries/00` … `entries/3f` | a file for each session, named by the digest of its id: no id can lead elsewhere |
//! | `users/00` … `users/1f` | for each user a directory, named by a digest, with an empty file for each of their sessions |
//! | `redo` | empty, or what a step over several files is about to do |
//!
//! Files have mode 0600, directories 0700. A file's time of modification is when it may be removed. Files whose name
//! begins with `.new-` are not sessions: what a killed process leaves is never read, and purged. To back it up, copy the
//! directory: each file is whole at any moment.
//!
//! Unix only, and local file systems only.
//!
//! # Features
//!
//! - `config`: the driver `file` for `cloakroom.toml`.
//! - `php`: the sessions of a running PHP application that keeps them in files.

#[cfg(not(unix))]
compile_error!("cloakroom-file needs a Unix: flock, modes of files, directories that can be flushed");

mod builder;
#[cfg(feature = "config")]
mod config;
mod error;
mod files;
mod layout;
mod open;
#[cfg(feature = "php")]
pub mod php;
mod pool;
mod purge;
mod reading;
mod redo;
mod scan;
mod step;
mod store;
mod stripes;
mod table;
mod turns;
mod users;

pub use builder::{Durability, FileBuilder};
#[cfg(feature = "config")]
pub use config::driver;
pub use error::{OpenError, OpenErrorKind};
pub use store::FileStore;

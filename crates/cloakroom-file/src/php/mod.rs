//! Sessions of a running PHP application that keeps them in files: `session.save_handler = files`, PHP's default, or mini with its cache in files.
//!
//! ```no_run
//! # async fn f() -> Result<(), Box<dyn std::error::Error>> {
//! use cloakroom::SessionManager;
//! use cloakroom_file::php::{Layout, PhpFileStore, PhpFiles};
//!
//! let layout = Layout::php_files().user_variable("user_id");
//! let config = layout.session_config();
//! let files = PhpFiles::open("/var/lib/php/sessions").await?;
//! let store = PhpFileStore::new(files, layout);
//! let sessions = SessionManager::new(store, config)?; // into SessionLayer::of
//! # Ok(()) }
//! ```
//!
//! PHP's variables are the session's keys: `session.get::<Basket>("basket")` reads `$_SESSION['basket']`, and what is set here PHP
//! finds there. The process has to run as the user that PHP runs as, for PHP refuses files of other users.
//!
//! # How it works
//!
//! | | whose | |
//! |---|---|---|
//! | `sess_ID` | PHP's | the variables, in `session.serialize_handler`'s format; its time of modification is when it was last used |
//! | an exclusive `flock` on it | PHP's | the lock: PHP holds it from `session_start` until the session is written |
//! | `.cloakroom-UID/` | ours | what is beside: versions, deadlines, what ended, by digests of ids. PHP's garbage collection looks at names with `sess_` alone |
//!
//! A write is made in place, under that lock: PHP goes by the file that it has opened, not by its name. It is made if the value is, to
//! the byte, what the change was decided on. Before the first byte is written over, the old and the new value are on the disk
//! beside; if the process is killed meanwhile, the next one of ours that looks completes the write. A PHP request that comes
//! in between finds what it would find if PHP itself had been killed while it wrote.
//!
//! A lease is the lock, held by this process: it is free at once when the process dies, and is given back when the lease ends. PHP
//! and other processes wait for it.
//!
//! Reading takes the lock for as long as it takes to read. While somebody holds it, a value that has been as it is for a while
//! is read all the same; one that is being changed is waited for.
//!
//! # mini
//!
//! ```no_run
//! # async fn f() -> Result<(), Box<dyn std::error::Error>> {
//! use cloakroom_file::php::{Layout, PhpFileStore, PhpFiles};
//!
//! // Below PHP's sys_get_temp_dir(). mini makes it when it is first needed.
//! let files = PhpFiles::builder("/tmp/mini-cache").create(true).open().await?;
//! let store = PhpFileStore::new(files, Layout::mini().user_variable("user_id"));
//! # Ok(()) }
//! ```
//!
//! A file there is an entry of a cache, which says itself when it ends. mini has its lock for as long as it writes, and reads without one. So a file that is
//! written here takes the place of the one before, and a lease is kept beside.

mod apply;
mod builder;
mod form;
mod ground;
mod ini;
mod intent;
mod kept;
mod leases;
mod look;
mod places;
mod purge;
mod recover;
mod trouble;
mod value;

pub use cloakroom_php::layout::{Layout, LayoutError, PhpSettingsError, Stage, UnknownStage};

pub use builder::PhpFilesBuilder;
pub use ground::PhpFiles;
pub use ini::PhpSettings;

/// A PHP application's sessions in files.
pub type PhpFileStore = cloakroom_php::layout::PhpSessions<PhpFiles>;

/// A PHP application's sessions in files, on their way to another store: of whichever kind.
///
/// ```no_run
/// # async fn f() -> Result<(), Box<dyn std::error::Error>> {
/// use std::sync::Arc;
/// use cloakroom::SessionManager;
/// use cloakroom_file::{FileStore, php::{Layout, MovingStore, PhpFileStore, PhpFiles, Stage}};
///
/// let layout = Layout::php_files().user_variable("user_id");
/// let config = layout.session_config();
/// let php = PhpFileStore::new(PhpFiles::open("/var/lib/php/sessions").await?, layout);
/// let new = FileStore::open("/var/lib/shop/sessions").await?;
/// let store = MovingStore::new(php, Arc::new(new), Stage::Move);
/// let sessions = SessionManager::new(store, config)?; // into SessionLayer::of
/// # Ok(()) }
/// ```
pub type MovingStore = cloakroom_php::layout::Moving<PhpFiles>;

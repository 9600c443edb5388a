//! Sessions that a running PHP application has as well: where it keeps them, in which format, under which lock, by which ids.
//!
//! A [`Layout`] is all of that as one value, chosen by name. [`PhpSessions`] is the store over it, wherever the sessions are: a
//! [`Ground`] is the server or the directory. It is not used by itself: the crates `cloakroom-redis`, `cloakroom-file` and `cloakroom-sqlite` have one each.
//!
//! PHP's variables are the session's keys: `session.get::<Basket>("basket")` reads `$_SESSION['basket']`, and what is set here PHP
//! finds there.
//!
//! # How it works
//!
//! Nothing of ours is in PHP's value. What has to be kept beside it (versions, deadlines, what ended) is in a place of its own, and
//! for a while only; without it a session is read all the same. A value that PHP wrote is known by its digest, and is another version: what
//! was decided on the one before is decided again.

mod bags;
mod beside;
mod coding;
mod error;
mod ground;
mod ini;
mod moment;
mod moving;
mod named;
mod picture;
mod record;
mod scheme;
mod settings;
mod store;
mod values;
mod variables;

pub use error::LayoutError;
pub use ground::{Change, DataChange, Ground, Held, LockChange, Matter, Seen, View};
#[cfg(feature = "config")]
pub use moving::Move;
pub use moving::{Moving, Stage, UnknownStage};
#[cfg(feature = "laravel")]
pub use named::LaravelApp;
pub use scheme::{InFile, Layout};
pub use settings::PhpSettingsError;
pub use store::PhpSessions;

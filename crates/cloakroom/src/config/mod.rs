//! Settings from `cloakroom.toml` and the environment.
//!
//! Three layers, the later over the earlier: the [defaults](Settings::default), the file, the environment. Every
//! setting has one key in the file and one variable in the environment; `docs/cloakroom.toml` in the repository
//! shows them all with their defaults.
//!
//! ```
//! use cloakroom::config::{Configuration, Environment};
//!
//! let file = "[session]\nidle = \"1h\"\n";
//! let env = Environment::of([("SESSION_LIFETIME", "30")]); // minutes, as Laravel and Phenix count
//! let read = Configuration::parse("cloakroom.toml", file.as_bytes(), &env).unwrap();
//! assert_eq!(read.settings.session.idle.as_secs(), 30 * 60);
//!
//! let wrong = Configuration::parse("cloakroom.toml", b"[session]\nidel = \"1h\"\n", &Environment::empty());
//! assert_eq!(
//!     wrong.unwrap_err().to_string(),
//!     "cloakroom.toml:2:1: session.idel is not a setting; did you mean session.idle?"
//! );
//! ```
//!
//! # How values are written
//!
//! | sort | in the file | in the environment |
//! |---|---|---|
//! | duration | text: a whole number and one of `ms`, `s`, `m`, `h`, `d`: `"90s"`, `"3h"` | the same; `SESSION_LIFETIME` and `SESSION_CACHE_EXPIRE` take a bare number as minutes |
//! | size | a whole number of bytes, or text with `KiB` or `MiB`: `65536`, `"64KiB"` | the same |
//! | number | a whole number | the same |
//! | switch | `true`, `false` | `true`, `false`, `1`, `0` |
//! | choice | text | the same |
//! | list | an array of text | separated by commas |
//!
//! A variable that is set but empty counts as not set. Variables that begin with `SESSION_` and are no setting are
//! left alone (desktops set `SESSION_MANAGER`), but one that looks like a misspelt setting is
//! [noted](Configuration::notes).
//!
//! # Errors
//!
//! All that is wrong is reported at once, each problem with its place (file, line and column, or the variable),
//! what was found, and what is accepted. Values of connection tables are never repeated in an error or by `Debug`:
//! they may be secrets.

mod connection;
mod drivers;
mod environment;
mod error;
#[cfg(feature = "memory")]
mod memory;
mod place;
mod read;
mod session;
mod settings;
mod suggest;
mod table;
#[cfg(test)]
mod tests;
mod value;

pub use connection::{Connection, built_without};
pub use drivers::{Driver, Drivers, OpenError, Opened};
pub use environment::Environment;
pub use error::{ConfigError, Problem};
pub use place::Place;
pub use read::{Configuration, FILE_NAME, MAX_FILE_BYTES};
pub use settings::{
    CacheLimiterSetting, CacheSettings, CodecSetting, ConcurrencySettings, ConflictSetting, CookieSettings,
    CsrfSettings, LogoutSettings, ModeSetting, ProxySettings, SameSiteSetting, SecureSetting,
    SessionSettings, Settings, TransportSetting, TransportSettings,
};

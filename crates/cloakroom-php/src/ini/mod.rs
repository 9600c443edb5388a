//! PHP's own configuration of its sessions: read where PHP reads it, and judged.
//!
//! A team that moves from PHP has these settings in force already, whether anybody knows them or not. [`PhpIni`] reads the files,
//! [`SessionIni`] says what they mean, and its [findings](SessionIni::findings) which of them make PHP lose data or
//! sessions, each with the line to write instead.
//!
//! ```
//! use cloakroom_php::ini::{PhpIni, Severity};
//!
//! let mut ini = PhpIni::default();
//! ini.add("php.ini", b"session.save_handler = redis\nsession.save_path = \"tcp://10.0.0.5:6379?prefix=shop:\"\n");
//! let session = ini.session();
//!
//! assert_eq!(session.servers().unwrap()[0].prefix.as_deref(), Some("shop:"));
//! let findings = session.findings();
//! let locking = findings.iter().find(|f| f.setting == "redis.session.locking_enabled").unwrap();
//! assert_eq!(locking.severity, Severity::Loses);
//! assert_eq!(locking.change, "redis.session.locking_enabled = 1");
//! ```
//!
//! Sources: PHP's manual on the [session settings](https://www.php.net/manual/en/session.configuration.php), phpredis' on its
//! [locking](https://github.com/phpredis/phpredis#session-locking).

mod cluster_path;
mod findings;
mod options;
mod read;
mod save_path;
mod session;
mod syntax;

pub use cluster_path::ClusterPath;
pub use findings::{Finding, Severity};
pub use read::{IniError, MAX_FILE_BYTES, PhpIni};
pub use save_path::{Address, FilesPath, RedisServer, SavePathError};
pub use session::{CookieIni, IdFormat, LockIni, SaveHandler, SessionIni};

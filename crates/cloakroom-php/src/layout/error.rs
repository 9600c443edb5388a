//! Settings of PHP's that do not do, each with what to change.

use std::fmt;

use super::scheme::Layout;
use crate::Compression;

/// A setting of PHP's that does not do.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum LayoutError {
    /// There is no layout of this name.
    Name(String),
    /// The layout of this name begins with the application's key, not with its name alone.
    NeedsKey(&'static str),
    /// `session.sid_length` and `session.sid_bits_per_character` make ids that can be guessed.
    ShortIds {
        /// How many bits they would have.
        bits: u32,
    },
    /// `session.sid_length` beyond what PHP takes.
    SidLength(usize),
    /// `session.sid_bits_per_character` is 4, 5 or 6.
    SidBits(u32),
    /// `session.serialize_handler` is none that is known.
    SerializeHandler(String),
    /// The layout of this name is not one for a cluster.
    Cluster(&'static str),
    /// `redis.session.compression` is this, and the feature is off.
    NeedsCompression(Compression),
    /// `session.gc_maxlifetime` is nothing.
    MaxLifetime,
    /// The application that has this layout does not go by this setting of php.ini.
    Fixed {
        /// The layout.
        layout: &'static str,
        /// The setting.
        setting: &'static str,
    },
}

impl fmt::Display for LayoutError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            LayoutError::Name(name) => {
                let known: Vec<&str> = Layout::names().collect();
                write!(f, "there is no PHP layout {name:?}; there is: {}", known.join(", "))
            }
            LayoutError::NeedsKey(name) => write!(
                f,
                "the PHP layout {name} needs the application's key, for its cookies are encrypted: begin with Layout::laravel and \
                 APP_KEY (cloakroom-php's feature laravel)"
            ),
            LayoutError::ShortIds { bits } => write!(
                f,
                "ids of {bits} bits can be guessed, at least 128 are needed: raise session.sid_length in php.ini (26 with \
                 session.sid_bits_per_character = 5, 32 with 4, 22 with 6)"
            ),
            LayoutError::SidLength(length) => {
                write!(f, "session.sid_length is {length}; PHP takes from 22 to 256")
            }
            LayoutError::SidBits(bits) => {
                write!(f, "session.sid_bits_per_character is {bits}; PHP takes 4, 5 or 6")
            }
            LayoutError::SerializeHandler(name) => write!(
                f,
                "session.serialize_handler is {name:?}; known are php, php_serialize, php_binary, igbinary and msgpack"
            ),
            LayoutError::Cluster(name) => write!(
                f,
                "sessions of the PHP layout {name} cannot be shared in a Redis Cluster, only those of phpredis' own handler \
                 (session.save_handler = rediscluster): take the layout phpredis or symfony-phpredis, or a single server"
            ),
            LayoutError::NeedsCompression(by) => write!(
                f,
                "redis.session.compression is {by}, and this was built without what that takes: switch on the feature php-compression of \
                 cloakroom-redis (compression of cloakroom-php), or write redis.session.compression = none"
            ),
            LayoutError::MaxLifetime => f.write_str("session.gc_maxlifetime must be at least a second"),
            LayoutError::Fixed { layout, setting } => {
                write!(f, "sessions of the layout {layout} do not go by {setting}: leave it out")
            }
        }
    }
}

impl std::error::Error for LayoutError {}

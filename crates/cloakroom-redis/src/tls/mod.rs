//! TLS over a socket: the server's certificate is verified always, and nothing is ever sent in the clear instead.

use std::fmt;
use std::path::PathBuf;

#[cfg(feature = "tls")]
mod client;
#[cfg(not(feature = "tls"))]
mod missing;

#[cfg(feature = "tls")]
pub(crate) use client::{Tls, refused};
#[cfg(not(feature = "tls"))]
pub(crate) use missing::{Tls, refused};

/// What TLS to a server needs and does not have. Names files, and never shows what is in them.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum TlsError {
    /// The program was built without the feature `tls` of this crate.
    NotBuilt,
    /// A file cannot be read, or holds something else.
    File {
        /// Which.
        path: PathBuf,
        /// The end of a sentence about it.
        why: String,
    },
    /// A certificate without its key, or a key without its certificate.
    HalfAnIdentity,
    /// The operating system has no certificates of authorities, and no others are given.
    NoAuthorities,
}

impl fmt::Display for TlsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            TlsError::NotBuilt => f.write_str(
                "this program was built without TLS: rediss:// needs the feature `tls` of cloakroom-redis",
            ),
            TlsError::File { path, why } => write!(f, "the file {} {why}", path.display()),
            TlsError::HalfAnIdentity => {
                f.write_str("certificate and key of a TLS client go together: give both of them or neither")
            }
            TlsError::NoAuthorities => f.write_str(
                "the operating system has no certificates of authorities that a Redis server's could be verified by: install \
                 them (Debian: ca-certificates), or name a file of them (ca)",
            ),
        }
    }
}

impl std::error::Error for TlsError {}

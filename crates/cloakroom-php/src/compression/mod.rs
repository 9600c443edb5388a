//! `redis.session.compression`: how phpredis 6 compresses what it stores of a session.
//!
//! | | what is stored |
//! |---|---|
//! | [`Lzf`](Compression::Lzf) | an LZF stream, with nothing around it |
//! | [`Lz4`](Compression::Lz4) | a checksum of the length, the length, and an LZ4 block |
//! | [`Zstd`](Compression::Zstd) | a Zstandard frame that tells its length |
//!
//! phpredis takes a value that it cannot decompress for one that is not compressed. So sessions from before the setting was switched on go on, and a
//! damaged one is a session of nonsense to PHP. Here, what begins as a compressed value and is none is an error.
//!
//! Source: `redis_compress` and `redis_uncompress` in phpredis 6.2.0's `library.c`.

use std::fmt;

#[cfg(feature = "compression")]
mod lz4;
#[cfg(feature = "compression")]
mod lzf;
#[cfg(feature = "compression")]
mod pack;
#[cfg(feature = "compression")]
mod zstd;

/// A value of `redis.session.compression` but for `none`.
///
/// ```
/// use cloakroom_php::Compression;
///
/// assert_eq!(Compression::of_setting("LZ4"), Ok(Some(Compression::Lz4)));
/// assert_eq!(Compression::of_setting("none"), Ok(None));
/// assert!(Compression::of_setting("brotli").is_err());
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Compression {
    /// `lzf`
    Lzf,
    /// `lz4`
    Lz4,
    /// `zstd`
    Zstd,
}

impl Compression {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Lzf, Self::Lz4, Self::Zstd];

    /// PHP's name for it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Lzf => "lzf",
            Self::Lz4 => "lz4",
            Self::Zstd => "zstd",
        }
    }

    /// What phpredis takes this setting for: by how it begins, in capitals or not. `None` is for `none`, and for no setting.
    ///
    /// # Errors
    ///
    /// phpredis knows no such compression; it says so in PHP's log, and does not compress.
    pub fn of_setting(setting: &str) -> Result<Option<Self>, UnknownCompression> {
        let begins_with = |name: &str| {
            let beginning = setting.as_bytes().get(..name.len());
            beginning.is_some_and(|beginning| beginning.eq_ignore_ascii_case(name.as_bytes()))
        };
        if setting.is_empty() || begins_with("none") {
            return Ok(None);
        }
        Self::ALL.into_iter().find(|known| begins_with(known.name())).map(Some).ok_or(UnknownCompression)
    }
}

/// `redis.session.compression` is something else than `none`, `lzf`, `lz4` and `zstd`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("redis.session.compression is none, lzf, lz4 or zstd")]
pub struct UnknownCompression;

impl fmt::Display for Compression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

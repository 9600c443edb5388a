//! Compressing and decompressing, whichever the algorithm.

use std::borrow::Cow;

use super::{Compression, lz4, lzf, zstd};
use crate::error::{DecodeError, DecodeErrorKind, EncodeError};
use crate::limits::Limits;

/// What a stored value is.
pub(super) enum Stored {
    /// Nothing that was compressed: what is read is the value itself.
    Plain,
    /// This, compressed.
    Packed(Vec<u8>),
}

impl Compression {
    /// What phpredis stores of these bytes. PHP reads any compression of them, so the bytes may differ from PHP's.
    ///
    /// ```
    /// use cloakroom_php::{Compression, Limits};
    ///
    /// let text = b"basket|s:60:\"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\";";
    /// let stored = Compression::Lz4.compress(text)?;
    /// assert!(stored.len() < text.len());
    /// assert_eq!(&*Compression::Lz4.decompress(&stored, Limits::default())?, text);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`EncodeError::Memory`] for more than could be read again, and [`EncodeError::Unverified`] where it does not read back the same.
    pub fn compress(self, plain: &[u8]) -> Result<Vec<u8>, EncodeError> {
        let limits = Limits::default();
        if plain.len() > limits.memory() {
            return Err(EncodeError::Memory(limits.memory()));
        }
        let stored = match self {
            Self::Lzf => lzf::compress(plain),
            Self::Lz4 => lz4::compress(plain),
            Self::Zstd => zstd::compress(plain).ok_or(EncodeError::Unverified)?,
        };
        match self.decompress(&stored, limits) {
            Ok(read) if *read == *plain => Ok(stored),
            _ => Err(EncodeError::Unverified),
        }
    }

    /// What phpredis reads from a stored value: what was compressed, or the value as it is where nothing was.
    ///
    /// # Errors
    ///
    /// [`DecodeErrorKind::Envelope`] where it begins as a compressed value and is none, [`DecodeErrorKind::Memory`] where it would be longer than the limits
    /// allow.
    pub fn decompress(self, stored: &[u8], limits: Limits) -> Result<Cow<'_, [u8]>, DecodeError> {
        let read = match self {
            Self::Lzf => lzf::decompress(stored, limits),
            Self::Lz4 => lz4::decompress(stored, limits),
            Self::Zstd => zstd::decompress(stored, limits),
        };
        match read {
            Ok(Stored::Plain) => Ok(Cow::Borrowed(stored)),
            Ok(Stored::Packed(plain)) => Ok(Cow::Owned(plain)),
            Err(kind) => Err(DecodeError::new(kind, 0)),
        }
    }
}

/// Whether a length that is told can be: `most` bytes from each that is there, and no more than there is memory.
pub(super) fn length_is_possible(
    length: usize,
    packed: usize,
    most: usize,
    limits: Limits,
) -> Result<bool, DecodeErrorKind> {
    if length > packed.saturating_mul(most) {
        return Ok(false);
    }
    if length > limits.memory() { Err(DecodeErrorKind::Memory(limits.memory())) } else { Ok(true) }
}

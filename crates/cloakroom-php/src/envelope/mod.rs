//! What frameworks put around a session before they store it.
//!
//! [`Amp`] compresses, [`Laravel`] serializes twice and may encrypt. Either opens a payload into a [`Session`](crate::Session) and puts one back; the session in
//! between is of the format `php_serialize`. [`CacheEntry`] is an entry of a cache in files, and knows nothing of sessions.

#[cfg(any(feature = "amp", feature = "laravel"))]
use crate::{DecodeError, DecodeErrorKind, Format, Limits, Session};

#[cfg(feature = "amp")]
mod amp;
#[cfg(feature = "layout")]
mod cache_entry;
#[cfg(feature = "laravel")]
mod laravel;

#[cfg(feature = "amp")]
pub use amp::Amp;
#[cfg(feature = "layout")]
pub use cache_entry::CacheEntry;
#[cfg(feature = "laravel")]
pub use laravel::{AppKey, Cipher, Encrypter, InvalidAppKey, Laravel};

/// What was in an envelope. There, an empty text is no empty session: PHP reads nothing from it.
#[cfg(any(feature = "amp", feature = "laravel"))]
fn session(text: Vec<u8>, limits: Limits) -> Result<Session, DecodeError> {
    if text.is_empty() {
        return Err(DecodeError::new(DecodeErrorKind::End, 0));
    }
    // PHP's session module takes null for a session without variables; a framework gets null.
    let is_null = text.starts_with(b"N;");
    let session = Session::decode_within(Format::PhpSerialize, text, limits)?;
    if is_null { Err(DecodeError::new(DecodeErrorKind::NotASession, 0)) } else { Ok(session) }
}

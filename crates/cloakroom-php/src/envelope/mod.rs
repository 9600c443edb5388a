//! What frameworks put around a session before they store it.
//!
//! [`Amp`] compresses, [`Laravel`] serializes twice and may encrypt. Either opens a payload into a [`Session`](crate::Session) and puts one back; the session in
//! between is of the format `php_serialize`.

use crate::error::{DecodeError, DecodeErrorKind};
use crate::format::Format;
use crate::limits::Limits;
use crate::session::Session;

#[cfg(feature = "amp")]
mod amp;
#[cfg(feature = "laravel")]
mod laravel;

#[cfg(feature = "amp")]
pub use amp::Amp;
#[cfg(feature = "laravel")]
pub use laravel::{AppKey, Cipher, Encrypter, InvalidAppKey, Laravel};

/// What was in an envelope. There, an empty text is no empty session: PHP reads nothing from it.
fn session(text: Vec<u8>, limits: Limits) -> Result<Session, DecodeError> {
    if text.is_empty() {
        return Err(DecodeError::new(DecodeErrorKind::End, 0));
    }
    Session::decode_within(Format::PhpSerialize, text, limits)
}

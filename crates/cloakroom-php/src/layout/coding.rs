//! How a layout has a session's variables as bytes.

use crate::{DecodeError, EncodeError, Format, Session};

/// A format, and what is around it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Coding {
    /// One of `session.serialize_handler`.
    Handler(Format),
    /// Laravel's envelope.
    #[cfg(feature = "laravel")]
    Laravel(crate::Laravel),
}

impl Coding {
    pub(super) fn decode(&self, bytes: &[u8]) -> Result<Session, DecodeError> {
        match self {
            Coding::Handler(format) => Session::decode(*format, bytes),
            #[cfg(feature = "laravel")]
            Coding::Laravel(laravel) => laravel.decode(bytes),
        }
    }

    pub(super) fn encode(&self, session: &Session) -> Result<Vec<u8>, EncodeError> {
        match self {
            Coding::Handler(_) => session.encode(),
            #[cfg(feature = "laravel")]
            Coding::Laravel(laravel) => laravel.encode(session),
        }
    }

    /// A session without variables.
    pub(super) fn empty(&self) -> Session {
        match self {
            Coding::Handler(format) => Session::new(*format),
            #[cfg(feature = "laravel")]
            Coding::Laravel(_) => Session::new(Format::PhpSerialize),
        }
    }
}

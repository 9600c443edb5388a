use serde::de::DeserializeOwned;

use crate::codec::Values;
use crate::error::SessionError;

/// A value that has not been decoded.
#[derive(Clone, PartialEq, Eq)]
pub struct RawValue {
    pub(crate) bytes: Vec<u8>,
    pub(crate) codec: Values,
}

impl RawValue {
    /// Decodes it.
    ///
    /// # Errors
    /// [`Decode`](crate::ErrorKind::Decode) when it is not a `T`.
    pub fn decode<T: DeserializeOwned>(&self) -> Result<T, SessionError> {
        self.codec.decode(&self.bytes)
    }

    /// The encoded bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }
}

impl std::fmt::Debug for RawValue {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "RawValue({} bytes)", self.bytes.len())
    }
}

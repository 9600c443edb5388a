//! How values become bytes. Each value is encoded by itself, so that reading one does not decode the others.

mod nesting;
mod tree;
mod values;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::error::{ErrorKind, SessionError};
use crate::store::{ForeignCodec, ForeignError};

pub(crate) use values::Values;

/// The encoding of values. Changing it makes stored sessions unreadable; choose it once.
#[derive(Debug, Clone, Copy, Default)]
#[non_exhaustive]
pub enum Codec {
    /// MessagePack with named fields: compact, quick, and fields can be added later.
    #[default]
    MessagePack,
    /// JSON: larger, readable in the store by hand.
    Json,
    /// As another system has its values. A store that says so ([`Store::conventions`](crate::store::Store::conventions))
    /// sees to it; there is no need to choose it.
    Foreign(&'static dyn ForeignCodec),
}

impl PartialEq for Codec {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Codec::Foreign(one), Codec::Foreign(other)) => one.name() == other.name(),
            (one, other) => std::mem::discriminant(one) == std::mem::discriminant(other),
        }
    }
}

impl Eq for Codec {}

impl Codec {
    pub(crate) fn encode<T: Serialize + ?Sized>(self, value: &T) -> Result<Vec<u8>, SessionError> {
        let (bytes, fits) = match self {
            Codec::Foreign(codec) => {
                let bytes = codec.encode(&value).map_err(|e| SessionError::caused(ErrorKind::Encode, e))?;
                (bytes, true)
            }
            Codec::MessagePack => {
                let bytes =
                    rmp_serde::to_vec_named(value).map_err(|e| SessionError::caused(ErrorKind::Encode, e))?;
                let fits = nesting::messagepack_fits(&bytes);
                (bytes, fits)
            }
            Codec::Json => {
                let bytes =
                    serde_json::to_vec(value).map_err(|e| SessionError::caused(ErrorKind::Encode, e))?;
                let fits = nesting::json_fits(&bytes);
                (bytes, fits)
            }
        };
        if fits {
            return Ok(bytes);
        }
        Err(SessionError::because(
            ErrorKind::Encode,
            format!("it nests deeper than {} levels and could not be read again", nesting::MAX_DEPTH),
        ))
    }

    pub(crate) fn decode<T: DeserializeOwned>(self, bytes: &[u8]) -> Result<T, SessionError> {
        // The decoder's own message may quote the value: only the type that was asked for is told.
        let refused = |_| {
            SessionError::because(
                ErrorKind::Decode,
                format!("a value is not a {} in {self:?}", std::any::type_name::<T>()),
            )
        };
        match self {
            Codec::MessagePack if !nesting::messagepack_fits(bytes) => Err(refused(())),
            Codec::MessagePack => rmp_serde::from_slice(bytes).map_err(|_| refused(())),
            Codec::Json => serde_json::from_slice(bytes).map_err(|_| refused(())),
            Codec::Foreign(codec) => {
                let mut value = None;
                let mut take = |source: &mut dyn erased_serde::Deserializer<'_>| {
                    value = Some(erased_serde::deserialize(source).map_err(|_| ForeignError)?);
                    Ok(())
                };
                codec.decode(bytes, &mut take).map_err(|_| refused(()))?;
                value.ok_or_else(|| refused(()))
            }
        }
    }
}

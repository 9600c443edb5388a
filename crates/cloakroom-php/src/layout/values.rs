//! Values of a session between Rust types and PHP: each is the text that `serialize()` would give for it.

use ::serde::de::{DeserializeSeed, Deserializer, Error};
use cloakroom::store::{ForeignCodec, ForeignError, ForeignValue};

use crate::serde::from_value_seed;
use crate::{Document, Encoding};

/// See [`Conventions`](cloakroom::store::Conventions).
#[derive(Debug)]
pub(super) struct PhpValues;

impl ForeignCodec for PhpValues {
    fn name(&self) -> &'static str {
        "php"
    }

    fn encode(&self, value: &ForeignValue<'_>) -> Result<Vec<u8>, Box<dyn std::error::Error + Send + Sync>> {
        Ok(Document::from_serde(value)?.encode(Encoding::Serialize)?)
    }

    fn decode(
        &self,
        bytes: &[u8],
        take: &mut dyn FnMut(&mut dyn erased_serde::Deserializer<'_>) -> Result<(), ForeignError>,
    ) -> Result<(), ForeignError> {
        let document = Document::decode(Encoding::Serialize, bytes).map_err(|_| ForeignError)?;
        from_value_seed(Taking(take), document.root()).map_err(|_| ForeignError)
    }
}

/// Hands the deserializer on.
struct Taking<'t>(&'t mut dyn FnMut(&mut dyn erased_serde::Deserializer<'_>) -> Result<(), ForeignError>);

impl<'d> DeserializeSeed<'d> for Taking<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'d>>(self, deserializer: D) -> Result<(), D::Error> {
        (self.0)(&mut <dyn erased_serde::Deserializer<'_>>::erase(deserializer)).map_err(D::Error::custom)
    }
}

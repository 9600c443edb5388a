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

    /// `serialize()` begins with a letter, and `:` or `;` behind it. Nothing of this library's does: in MessagePack a letter is a number of that
    /// one byte, and JSON has no such text.
    fn is_foreign(&self, bytes: &[u8]) -> bool {
        matches!(bytes, [sort, b':' | b';', ..] if sort.is_ascii_alphabetic())
    }

    /// Whether an array is a list or a map is decided here by the type that it is read as, and elsewhere by how it was written: so not where it
    /// can be both.
    fn is_plain(&self, bytes: &[u8]) -> bool {
        Document::decode(Encoding::Serialize, bytes).is_ok_and(|document| document.is_plain())
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_serialize_wrote_is_told_from_what_this_library_writes() {
        for (text, plain) in [
            ("N;", true),
            ("b:1;", true),
            ("i:-7;", true),
            ("d:0.5;", true),
            ("s:0:\"\";", true),
            ("a:1:{s:1:\"k\";a:2:{i:0;N;i:1;N;}}", true),
            // A list for a `Vec`, a map for a `HashMap`.
            ("a:0:{}", false),
            ("a:1:{s:1:\"k\";a:0:{}}", false),
            ("a:1:{i:0;a:1:{i:3;N;}}", false),
            ("a:2:{i:1;N;i:0;N;}", false),
            ("a:2:{i:0;N;s:1:\"k\";N;}", false),
            ("O:1:\"N\":0:{}", false),
            ("a:1:{i:0;O:1:\"N\":0:{}}", false),
            ("E:4:\"S:Up\";", false),
            ("a:2:{i:0;i:1;i:1;R:2;}", false),
            // Nobody can read these; they are PHP's all the same.
            ("a:1:{", false),
            ("x:1;", false),
        ] {
            assert!(PhpValues.is_foreign(text.as_bytes()), "{text}");
            assert_eq!(PhpValues.is_plain(text.as_bytes()), plain, "{text}");
        }
        for own in ["i", "\u{1}", "", "true", "[1]", "\"s:1\"", "12"] {
            assert!(!PhpValues.is_foreign(own.as_bytes()), "{own}");
        }
        for first in 0x80..=0xff_u8 {
            assert!(!PhpValues.is_foreign(&[first, b':', b';']));
        }
    }
}

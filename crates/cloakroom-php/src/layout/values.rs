//! Values of a session between Rust types and PHP: each is the text that `serialize()` would give for it.

use ::serde::de::{DeserializeSeed, Deserializer, Error};
use cloakroom::store::{ForeignCodec, ForeignError, ForeignValue};

use crate::serde::{DEPTH, from_value_seed};
use crate::{Document, EncodeError, Encoding, Limits};

/// See [`Conventions`](cloakroom::store::Conventions).
#[derive(Debug)]
pub(super) struct PhpValues;

impl ForeignCodec for PhpValues {
    fn name(&self) -> &'static str {
        "php"
    }

    fn encode(&self, value: &ForeignValue<'_>) -> Result<Vec<u8>, Box<dyn std::error::Error + Send + Sync>> {
        let limits = Limits::default().with_depth(DEPTH as usize);
        match Document::from_serde_within(value, limits) {
            Ok(document) => Ok(document.encode(Encoding::Serialize)?),
            Err(EncodeError::Depth(levels)) => Err(TooDeep(levels).into()),
            Err(error) => Err(error.into()),
        }
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

/// PHP could keep it; nothing here could read it, nor put it into PHP's session.
#[derive(Debug, thiserror::Error)]
#[error(
    "it is nested deeper than {0} levels and could not be read again: keep what is deeper as text of its own, such as JSON"
)]
struct TooDeep(usize);

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
    use cloakroom::payload::PayloadBuilder;

    use super::*;
    use crate::Format;
    use crate::layout::coding::{Coding, Form};
    use crate::layout::variables::write;

    /// So many lists, each in the one around it.
    struct Nested(usize);

    impl ::serde::Serialize for Nested {
        fn serialize<S: ::serde::Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
            match self.0 {
                0 => to.serialize_i64(7),
                levels => [Nested(levels - 1)].serialize(to),
            }
        }
    }

    /// At `set`, where whoever sets it is told, and not at the commit.
    #[test]
    fn s63_what_could_not_be_read_again_is_refused_where_it_is_set_with_the_depth_and_what_to_do() {
        let told = PhpValues.encode(&&Nested(129)).unwrap_err().to_string();
        assert!(told.contains("deeper than 128 levels") && told.contains("as text of its own"), "{told}");
        let text = PhpValues.encode(&&Nested(128)).unwrap();
        let mut taken = false;
        PhpValues
            .decode(&text, &mut |from| {
                taken = erased_serde::deserialize::<serde_json::Value>(from).is_ok();
                Ok(())
            })
            .unwrap();
        assert!(taken);
        // And every format of PHP's takes it.
        let mut entries = PayloadBuilder::default();
        entries.push("deep", &text);
        let wanted = entries.finish();
        for format in Format::ALL {
            let coding = Coding::from(Form::Handler(*format));
            write(&coding, None, &wanted, false, Default::default()).unwrap();
        }
    }

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

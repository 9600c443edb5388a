//! The formats, by PHP's own names.

use std::str::FromStr;

use crate::error::{DecodeError, DecodeErrorKind as Wrong, EncodeError};
use crate::limits::Limits;
use crate::value::{Builder, Document, Value, same, with_cells_where_needed};
use crate::{igbinary, msgpack, serialize};

/// How PHP writes a session: the values of
/// [`session.serialize_handler`](https://www.php.net/manual/en/session.configuration.php#ini.session.serialize-handler).
///
/// ```
/// use cloakroom_php::Format;
///
/// assert_eq!("php_binary".parse(), Ok(Format::PhpBinary));
/// assert_eq!(Format::Igbinary.to_string(), "igbinary");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Format {
    /// `php`, PHP's default: name, `|`, serialized value, and so on.
    Php,
    /// `php_serialize`: the whole `$_SESSION`, serialized.
    PhpSerialize,
    /// `php_binary`: length of the name in a byte, name, serialized value, and so on.
    PhpBinary,
    /// `igbinary`, of the [extension](https://www.php.net/manual/en/book.igbinary.php) of this name.
    Igbinary,
    /// `msgpack`, of the [extension](https://pecl.php.net/package/msgpack) of this name.
    Msgpack,
}

impl Format {
    /// All of them.
    pub const ALL: &[Self] = &[Self::Php, Self::PhpSerialize, Self::PhpBinary, Self::Igbinary, Self::Msgpack];

    /// PHP's name for it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Php => "php",
            Self::PhpSerialize => "php_serialize",
            Self::PhpBinary => "php_binary",
            Self::Igbinary => "igbinary",
            Self::Msgpack => "msgpack",
        }
    }
}

impl std::fmt::Display for Format {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

/// A name that is none of [`Format`]'s.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("unknown session format; known are php, php_serialize, php_binary, igbinary and msgpack")]
pub struct UnknownFormat;

impl FromStr for Format {
    type Err = UnknownFormat;

    fn from_str(name: &str) -> Result<Self, UnknownFormat> {
        Self::ALL.iter().find(|format| format.name() == name).copied().ok_or(UnknownFormat)
    }
}

/// How PHP writes one value, outside of its session extension.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Encoding {
    /// [`serialize()`](https://www.php.net/manual/en/function.serialize.php)
    Serialize,
    /// `igbinary_serialize()`
    Igbinary,
    /// `msgpack_pack()`
    Msgpack,
}

impl Document {
    /// Reads one value, within the usual [`Limits`].
    ///
    /// # Errors
    ///
    /// Anything but exactly one value, with nothing after it.
    pub fn decode(encoding: Encoding, bytes: impl Into<Vec<u8>>) -> Result<Self, DecodeError> {
        Self::decode_within(encoding, bytes, Limits::default())
    }

    /// Reads one value within these limits.
    ///
    /// # Errors
    ///
    /// As [`Document::decode`].
    pub fn decode_within(
        encoding: Encoding,
        bytes: impl Into<Vec<u8>>,
        limits: Limits,
    ) -> Result<Self, DecodeError> {
        let text = bytes.into();
        let (mut document, extra) = match encoding {
            Encoding::Serialize => serialize_value(&text, limits),
            Encoding::Igbinary => igbinary::read(&text, limits).and_then(|read| {
                all_of(&text, read.end)?;
                Ok((read.doc, Vec::new()))
            }),
            Encoding::Msgpack => msgpack::read(&text, limits).and_then(|read| {
                all_of(&text, read.end)?;
                Ok((read.doc, read.extra))
            }),
        }?;
        document.text = text;
        document.text.extend_from_slice(&extra);
        Ok(document)
    }

    /// Writes the value, reads it again and compares before it hands the bytes out.
    ///
    /// # Errors
    ///
    /// [`EncodeError::Value`] for what the encoding cannot carry, [`EncodeError::Memory`] where arrays that share memory would become
    /// too much text.
    pub fn encode(&self, encoding: Encoding) -> Result<Vec<u8>, EncodeError> {
        let limits = Limits::default();
        let bytes = match encoding {
            Encoding::Serialize => {
                let mut writer = serialize::Writer::new(self, limits);
                writer.value(self.root)?;
                writer.out
            }
            Encoding::Igbinary => igbinary::write(self, true, limits)?,
            Encoding::Msgpack => msgpack::write(self, false, limits)?,
        };
        match Self::decode_within(encoding, bytes.as_slice(), limits) {
            Ok(read) if same(self, &read) => Ok(bytes),
            _ => Err(EncodeError::Unverified),
        }
    }

    /// A document that holds what a Rust value serializes as.
    ///
    /// ```
    /// use cloakroom_php::{Document, Encoding};
    ///
    /// let document = Document::from_serde(&("a", 1))?;
    /// assert_eq!(document.encode(Encoding::Serialize)?, b"a:2:{i:0;s:1:\"a\";i:1;i:1;}");
    /// # Ok::<(), cloakroom_php::EncodeError>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`EncodeError::Type`] for what PHP has no counterpart of.
    pub fn from_serde<T: ::serde::Serialize + ?Sized>(value: &T) -> Result<Self, EncodeError> {
        Self::from_serde_within(value, Limits::default())
    }

    pub(crate) fn from_serde_within<T: ::serde::Serialize + ?Sized>(
        value: &T,
        limits: Limits,
    ) -> Result<Self, EncodeError> {
        let mut document = Self::default();
        document.root = crate::serde::append(&mut document, value, limits)?;
        Ok(document)
    }
}

impl Value<'_> {
    /// This value alone, as `serialize()` would write it: what it shares with values beside it is written out.
    ///
    /// ```
    /// use cloakroom_php::{Format, Session};
    ///
    /// let session = Session::decode(Format::Php, b"a|i:1;b|a:1:{i:0;R:1;}")?;
    /// assert_eq!(session.get("b").unwrap().to_serialized()?, b"a:1:{i:0;i:1;}");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`EncodeError::Memory`] where arrays that share memory would become too much text.
    pub fn to_serialized(self) -> Result<Vec<u8>, EncodeError> {
        let mut writer = serialize::Writer::new(self.document(), Limits::default());
        writer.value(self.node())?;
        Ok(writer.out)
    }
}

/// Whether the value takes the whole of the text.
const fn all_of(text: &[u8], end: usize) -> Result<(), DecodeError> {
    if end < text.len() { Err(DecodeError::new(Wrong::Trailing, end)) } else { Ok(()) }
}

pub(crate) fn serialize_value(text: &[u8], limits: Limits) -> Result<(Document, Vec<u8>), DecodeError> {
    with_cells_where_needed(|wrap| {
        let mut reader = serialize::Reader::new(text);
        let mut builder = Builder::new(text, 20, limits).map_err(|excess| reader.excess(excess))?;
        if wrap {
            builder.wrap();
        }
        let read = reader.value(&mut builder);
        if reader.wants_cells {
            return Ok(None);
        }
        read?;
        if !reader.cursor.is_at_end() {
            return reader.cursor.wrong(Wrong::Trailing);
        }
        Ok(Some(builder.finish()))
    })
}

//! The variables of a session as `serialize()` text, each alone: what an entry of a key-value map is made of.

use std::borrow::Cow;
use std::collections::HashSet;

use super::{Session, php, php_binary, verify};
use crate::error::{DecodeError, EncodeError};
use crate::format::Format;
use crate::limits::Limits;
use crate::serialize::TextSkim;
use crate::skim::{Elements, Skim};
use crate::value::{Key, Value, key};

/// A variable's name, and its value as `serialize()` text.
type Variable<'v> = (Key<'v>, Result<Cow<'v, [u8]>, EncodeError>);

/// All variables of a payload, each as `serialize()` text that stands alone.
///
/// In `php`, `php_serialize` and `php_binary` that is what PHP wrote, to the byte, unless something there refers to values by their number; then, and in
/// the other formats, it is written anew. Where nothing has to be, the payload is looked through and not decoded, which takes a third of the time.
///
/// ```
/// use cloakroom_php::{Format, Key, Variables};
///
/// let variables = Variables::read(Format::Php, b"user|i:7;price|d:9.50;")?;
/// let texts: Vec<_> = variables.iter().map(|(name, text)| (name, text.unwrap())).collect();
/// assert_eq!(texts[0], (Key::Bytes(b"user"), b"i:7;"[..].into()));
/// assert_eq!(texts[1], (Key::Bytes(b"price"), b"d:9.50;"[..].into()));
/// # Ok::<(), cloakroom_php::DecodeError>(())
/// ```
pub struct Variables<'p>(Read<'p>);

enum Read<'p> {
    /// Where they stand in the payload.
    Texts(Vec<(Key<'p>, &'p [u8])>),
    Session(Box<Session>),
}

impl std::fmt::Debug for Variables<'_> {
    /// Their number only: what a session holds does not belong in a log.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Variables").field("len", &self.len()).finish_non_exhaustive()
    }
}

impl<'p> Variables<'p> {
    /// Reads a session, within the usual [`Limits`].
    ///
    /// # Errors
    ///
    /// As [`Session::decode`].
    pub fn read(format: Format, payload: &'p [u8]) -> Result<Self, DecodeError> {
        Self::read_within(format, payload, Limits::default())
    }

    /// Reads a session within these limits.
    ///
    /// # Errors
    ///
    /// As [`Session::decode`].
    pub fn read_within(format: Format, payload: &'p [u8], limits: Limits) -> Result<Self, DecodeError> {
        limits.hold(payload)?;
        Ok(Self(match texts(format, payload, limits) {
            Some(texts) => Read::Texts(texts),
            None => Read::Session(Box::new(Session::decode_within(format, payload, limits)?)),
        }))
    }

    /// The same where nothing has to be decoded, within the usual [`Limits`].
    #[cfg(feature = "layout")]
    pub(crate) fn as_they_stand(format: Format, payload: &'p [u8]) -> Option<Self> {
        texts(format, payload, Limits::default()).map(|texts| Self(Read::Texts(texts)))
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        match &self.0 {
            Read::Texts(texts) => texts.len(),
            Read::Session(session) => session.len(),
        }
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// They, in the order of `$_SESSION`. The same as [`Session::serialized`] has for this payload.
    pub fn iter(&self) -> impl Iterator<Item = (Key<'_>, Result<Cow<'_, [u8]>, EncodeError>)> {
        let (texts, session) = match &self.0 {
            Read::Texts(texts) => (Some(texts), None),
            Read::Session(session) => (None, Some(session)),
        };
        let texts = texts.into_iter().flatten().map(|(name, text)| (*name, Ok(Cow::Borrowed(*text))));
        texts.chain(session.into_iter().flat_map(|session| session.serialized()))
    }
}

impl Session {
    /// Every variable as `serialize()` text that stands alone. In the formats that are made of such text it is the payload's own where nothing was
    /// changed and nothing refers to values by their number.
    ///
    /// # Errors
    ///
    /// Each text as [`Value::to_serialized`].
    pub fn serialized(&self) -> impl Iterator<Item = (Key<'_>, Result<Cow<'_, [u8]>, EncodeError>)> {
        let one = |(index, entry): (usize, &crate::value::Entry)| -> Variable<'_> {
            let text = match self.source.own_text(index) {
                Some(span) => Ok(Cow::Borrowed(self.doc.bytes(span))),
                None => Value::new(&self.doc, entry.node).to_serialized().map(Cow::Owned),
            };
            (key(&self.doc, entry.name), text)
        };
        self.entries().iter().enumerate().map(one)
    }
}

/// The variables as they stand in a payload that is made of `serialize()` text. `None` in doubt: then the whole is to be decoded.
fn texts(format: Format, payload: &[u8], limits: Limits) -> Option<Vec<(Key<'_>, &[u8])>> {
    if payload.len() >= limits.memory() / verify::BYTE {
        return None;
    }
    let read = match format {
        Format::Php => Some(php::name as fn(&mut _) -> _),
        Format::PhpBinary => Some(php_binary::name as fn(&mut _) -> _),
        Format::PhpSerialize => None,
        _ => return None,
    };
    let mut skim = TextSkim::new(payload);
    // The session itself is a level.
    let depth = limits.depth().checked_sub(1)?;
    let mut texts = Vec::new();
    let mut left = match read {
        Some(_) => None,
        None => match skim.array()? {
            Elements::Of(count) => Some(count),
            Elements::None => return None,
        },
    };
    while left.map_or(!skim.is_at_end(), |left| left > 0) {
        left = left.map(|left| left - 1);
        let name = match read {
            Some(read) => Key::Bytes(skim.name(read)?),
            None => skim.array_key()?,
        };
        let start = skim.place();
        skim.value(depth)?;
        texts.push((name, payload.get(start..skim.place())?));
    }
    if left.is_some() {
        skim.end()?;
    }
    let mut names = HashSet::with_capacity_and_hasher(texts.len(), foldhash::fast::RandomState::default());
    texts.iter().all(|(name, _)| names.insert(*name)).then_some(texts)
}

#[cfg(test)]
mod tests {
    use super::*;

    const FORMATS: [Format; 3] = [Format::Php, Format::PhpSerialize, Format::PhpBinary];

    fn agrees(format: Format, payload: &[u8]) -> bool {
        let Some(texts) = texts(format, payload, Limits::default()) else { return false };
        let session = Session::decode(format, payload)
            .unwrap_or_else(|error| panic!("{format}: {error}: {}", payload.escape_ascii()));
        let whole: Vec<_> = session.serialized().map(|(name, text)| (name, text.unwrap())).collect();
        assert!(whole.iter().all(|(_, text)| matches!(text, Cow::Borrowed(_))));
        let found: Vec<_> = texts.iter().map(|(name, text)| (*name, Cow::Borrowed(*text))).collect();
        assert_eq!(found, whole, "{format}: {}", payload.escape_ascii());
        true
    }

    fn payload(format: Format) -> Vec<u8> {
        let text = "a|a:2:{s:1:\"n\";a:1:{i:0;d:0.5;}i:5;s:0:\"\";}o|O:4:\"User\":1:{s:1:\"n\";E:6:\"Suit:H\";}n|i:-1;x|N;";
        Session::decode(Format::Php, text).unwrap().encode_as(format).unwrap()
    }

    #[test]
    fn every_variable_is_the_text_that_the_whole_session_has_for_it() {
        for format in FORMATS {
            let payload = payload(format);
            assert!(agrees(format, &payload), "{format}");
            let (mut tried, mut taken) = (0, 0);
            let mut damaged = |damaged: &[u8]| {
                tried += 1;
                taken += usize::from(agrees(format, damaged));
            };
            for at in 0..payload.len() {
                damaged(&payload[..at]);
                damaged(&[&payload[..at], &payload[at + 1..]].concat());
                let mut other = payload.clone();
                for byte in 0..=255 {
                    other[at] = byte;
                    damaged(&other);
                }
            }
            assert!(tried > 10_000 && taken > 1_000, "{format}: {taken} of {tried}");
        }
    }

    #[test]
    fn what_refers_to_another_variable_is_written_out() {
        let variables = Variables::read(Format::Php, b"a|a:1:{i:0;d:0.50;}b|R:1;").unwrap();
        let texts: Vec<_> = variables.iter().map(|(_, text)| text.unwrap().into_owned()).collect();
        assert_eq!(texts, [b"a:1:{i:0;d:0.5;}", b"a:1:{i:0;d:0.5;}"]);
    }

    #[test]
    fn a_variable_that_stands_there_twice_is_there_once() {
        for (format, payload) in
            [(Format::Php, "a|i:1;a|i:2;"), (Format::PhpSerialize, "a:2:{i:5;i:1;s:1:\"5\";i:2;}")]
        {
            assert!(!agrees(format, payload.as_bytes()));
            let variables = Variables::read(format, payload.as_bytes()).unwrap();
            let texts: Vec<_> = variables.iter().map(|(_, text)| text.unwrap().into_owned()).collect();
            assert_eq!(texts, [b"i:2;"]);
        }
    }
}

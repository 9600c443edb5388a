//! A whole session: an ordered map of variables, in one of PHP's formats.

#[cfg(feature = "layout")]
pub(crate) mod nested;
mod one;
mod path;
mod php;
mod php_binary;
mod text;
mod variables;
mod verify;

pub use variables::Variables;

use crate::error::{DecodeError, DecodeErrorKind as Wrong, EncodeError, ReadOnly};
use crate::format::Format;
use crate::limits::Limits;
use crate::value::{ArrayId, Document, Entry, Key, Name, Node, Span, Value, holders, integer_key, key};
use crate::{igbinary, msgpack};

const INTEGER_NAME: &str = "it is an integer, which PHP drops here";
const NUMBER_AS_TEXT: &str = "it is a number as text, which PHP would make an integer";

fn integer_refusal(name: &[u8]) -> Option<&'static str> {
    integer_key(name).map(|_| INTEGER_NAME)
}

/// A session as PHP stored it: variables by name, in the order of `$_SESSION`.
///
/// What is not changed is written as it was read, to the byte. See the [crate's page](crate) for an example.
///
/// # Changing what PHP has references in
///
/// A back reference (`R:`, `r:`) goes by the number of a value in the payload. When a variable before it grows or shrinks, the number is moved
/// with it. Where a variable shares a value with another one, replacing it is refused as [`ReadOnly::Tied`].
#[derive(Clone)]
pub struct Session {
    format: Format,
    doc: Document,
    root: ArrayId,
    /// How much of the document's text is the payload.
    payload: usize,
    source: text::Source,
    changed: bool,
    /// Whether igbinary told a string by its number.
    compact: bool,
    limits: Limits,
}

impl std::fmt::Debug for Session {
    /// Sizes only: what a session holds does not belong in a log.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Session")
            .field("format", &self.format)
            .field("variables", &self.len())
            .field("payload", &self.payload)
            .field("changed", &self.changed)
            .finish_non_exhaustive()
    }
}

impl Session {
    /// A session without variables.
    #[must_use]
    pub fn new(format: Format) -> Self {
        let root = ArrayId(0);
        let doc = Document {
            arrays: vec![crate::value::Run::default()],
            root: Node::Array(root),
            ..Document::default()
        };
        let (source, limits) = (text::Source::default(), Limits::default());
        Self { format, doc, root, payload: 0, source, changed: true, compact: true, limits }
    }

    /// Reads a session, within the usual [`Limits`].
    ///
    /// An empty payload is an empty session. What PHP ignores behind a `php_serialize` payload is ignored here.
    ///
    /// # Errors
    ///
    /// See [`DecodeErrorKind`](crate::DecodeErrorKind). PHP would delete most of these sessions; they are better left alone.
    pub fn decode(format: Format, payload: impl Into<Vec<u8>>) -> Result<Self, DecodeError> {
        Self::decode_within(format, payload, Limits::default())
    }

    /// Reads a session within these limits.
    ///
    /// # Errors
    ///
    /// As [`Session::decode`].
    pub fn decode_within(
        format: Format,
        payload: impl Into<Vec<u8>>,
        limits: Limits,
    ) -> Result<Self, DecodeError> {
        let text = payload.into();
        limits.hold(&text)?;
        let (mut doc, extra, source, compact) = match format {
            Format::Php | Format::PhpSerialize | Format::PhpBinary => {
                let (doc, extra, source) = text::decode(format, &text, limits)?;
                (doc, extra, source, true)
            }
            // An empty payload is an empty session, in any format.
            _ if text.is_empty() => return Ok(Self { changed: false, limits, ..Self::new(format) }),
            Format::Igbinary => {
                let read = igbinary::read(&text, limits)?;
                if matches!(read.doc.root, Node::Ref(_)) {
                    // PHP refuses that too.
                    return Err(DecodeError::new(Wrong::NotASession, 4));
                }
                let mut source = text::Source { end: read.end, ..Default::default() };
                let Document { shared, cells, objects, .. } = &read.doc;
                if read.refers_to_root {
                    source.read_only = Some(ReadOnly::Root);
                } else if read.duplicates && (*shared || !cells.is_empty() || !objects.is_empty()) {
                    source.read_only = Some(ReadOnly::Duplicate);
                }
                (read.doc, Vec::new(), source, read.compact)
            }
            Format::Msgpack => {
                let read = msgpack::read(&text, limits)?;
                let read_only = read.refers.then_some(ReadOnly::MsgpackReferences);
                let source = text::Source { read_only, ..Default::default() };
                (read.doc, read.extra, source, true)
            }
        };
        doc.root = doc.resolve(doc.root);
        let Node::Array(root) = doc.root else { return Err(DecodeError::new(Wrong::NotASession, 0)) };
        let payload = text.len();
        doc.text = text;
        doc.text.extend_from_slice(&extra);
        Ok(Self { format, doc, root, payload, source, changed: false, compact, limits })
    }

    /// Reads a session that is stored as one value alone, with nothing behind it and not as nothing: what `serialize()` or
    /// `igbinary_serialize()` makes of an array.
    #[cfg(feature = "layout")]
    pub(crate) fn decode_alone(format: Format, payload: impl Into<Vec<u8>>) -> Result<Self, DecodeError> {
        let session = Self::decode(format, payload)?;
        match session.source.end {
            0 => Err(DecodeError::new(Wrong::End, 0)),
            end if end < session.payload => Err(DecodeError::new(Wrong::Trailing, end)),
            _ => Ok(session),
        }
    }

    /// The format that it was read in, and is written in.
    #[must_use]
    pub const fn format(&self) -> Format {
        self.format
    }

    /// Whether something was changed since it was read.
    #[must_use]
    pub const fn is_changed(&self) -> bool {
        self.changed
    }

    /// Why nothing in it can be changed, if so. It can still be read, and written as it is.
    #[must_use]
    pub const fn read_only(&self) -> Option<ReadOnly> {
        self.source.read_only
    }

    fn entries(&self) -> &[Entry] {
        self.doc.array(self.root)
    }

    /// How many variables there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.entries().len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The variables, in the order of `$_SESSION`.
    pub fn iter(&self) -> impl Iterator<Item = (Key<'_>, Value<'_>)> + Clone {
        self.entries().iter().map(|entry| (key(&self.doc, entry.name), Value::new(&self.doc, entry.node)))
    }

    /// The variable of this name.
    pub fn get(&self, name: impl AsRef<[u8]>) -> Option<Value<'_>> {
        let entry = self.entries().get(self.find(name.as_ref())?)?;
        Some(Value::new(&self.doc, entry.node))
    }

    fn find(&self, name: &[u8]) -> Option<usize> {
        let number = integer_key(name);
        self.entries().iter().position(|entry| match entry.name {
            Name::Str(span) => self.doc.bytes(span) == name,
            Name::Int(n) => number == Some(n),
            Name::Hole => false,
        })
    }

    /// All variables as one value: an array.
    #[must_use]
    pub const fn document(&self) -> &Document {
        &self.doc
    }

    fn may_change(&self) -> Result<(), EncodeError> {
        self.source.read_only.map_or(Ok(()), |reason| Err(EncodeError::ReadOnly(reason)))
    }

    /// Gives a variable this value. A new one goes to the end.
    ///
    /// # Errors
    ///
    /// [`EncodeError::Name`] where the format cannot carry the name, [`EncodeError::ReadOnly`] where the payload cannot be changed safely, and what the
    /// value's `Serialize` says. Nothing has changed then.
    pub fn set<T: serde::Serialize + ?Sized>(
        &mut self,
        name: impl AsRef<[u8]>,
        value: &T,
    ) -> Result<(), EncodeError> {
        self.may_change()?;
        let name = name.as_ref();
        let found = self.find(name);
        match found {
            Some(index) => self.may_replace(index)?,
            None => check_name(self.format, name)?,
        }
        let node = crate::serde::append(&mut self.doc, value, self.limits)?;
        let mut entries = self.entries().to_vec();
        match found {
            Some(index) => {
                if let Some(entry) = entries.get_mut(index) {
                    entry.node = node;
                }
                if let Some(raw) = self.source.raws.get_mut(index) {
                    *raw = None;
                }
            }
            None => {
                let name = match integer_key(name) {
                    Some(n) => Name::Int(n),
                    None => Name::Str(self.text(name)?),
                };
                entries.push(Entry { name, node });
                self.source.raws.push(None);
            }
        }
        self.doc.replace_entries(self.root, &entries);
        self.changed = true;
        Ok(())
    }

    /// Whether a variable can be given another value and nothing else in the session changes with it.
    fn may_replace(&self, index: usize) -> Result<(), EncodeError> {
        self.source.may_replace(index)?;
        // In the text formats it is the payload that tells; elsewhere the model does.
        let cell = match self.entries().get(index).map(|entry| entry.node) {
            Some(Node::Ref(cell)) if self.source.raws.is_empty() => cell,
            _ => return Ok(()),
        };
        match holders(&self.doc).get(cell.0 as usize) {
            Some(0 | 1) => Ok(()),
            _ => Err(EncodeError::ReadOnly(ReadOnly::Tied)),
        }
    }

    fn text(&mut self, text: &[u8]) -> Result<Span, EncodeError> {
        let (at, end) = (self.doc.text.len(), self.doc.text.len() + text.len());
        let fits = end <= self.limits.memory() && u32::try_from(end).is_ok();
        if !fits {
            return Err(EncodeError::Memory(self.limits.memory()));
        }
        self.doc.text.extend_from_slice(text);
        Ok(Span { at: at as u32, len: text.len() as u32 })
    }

    /// Takes a variable away, and says whether it was there.
    ///
    /// # Errors
    ///
    /// [`EncodeError::ReadOnly`] where another variable refers to values in this one.
    pub fn remove(&mut self, name: impl AsRef<[u8]>) -> Result<bool, EncodeError> {
        self.may_change()?;
        let Some(index) = self.find(name.as_ref()) else { return Ok(false) };
        self.source.may_remove(index)?;
        let mut entries = self.entries().to_vec();
        entries.remove(index);
        if index < self.source.raws.len() {
            self.source.raws.remove(index);
        }
        self.doc.replace_entries(self.root, &entries);
        self.changed = true;
        Ok(true)
    }

    /// The session as PHP reads it. As it was read if nothing was changed; otherwise the bytes are read again and compared before they are handed out.
    ///
    /// # Errors
    ///
    /// [`EncodeError`]; nothing is handed out then.
    pub fn encode(&self) -> Result<Vec<u8>, EncodeError> {
        if !self.changed {
            return Ok(self.doc.text.get(..self.payload).unwrap_or_default().to_vec());
        }
        self.verified(self.format, false)
    }

    /// The session in this format, every value written anew.
    ///
    /// For what PHP wrote with its default settings and the same format this gives the same bytes.
    ///
    /// ```
    /// use cloakroom_php::{Format, Session};
    ///
    /// let session = Session::decode(Format::Php, b"n|i:1;")?;
    /// assert_eq!(session.encode_as(Format::PhpSerialize)?, b"a:1:{s:1:\"n\";i:1;}");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`EncodeError::Name`] for a name that this format cannot carry, and as [`Session::encode`].
    pub fn encode_as(&self, format: Format) -> Result<Vec<u8>, EncodeError> {
        for entry in self.entries() {
            match entry.name {
                // Formats without integer names carry such a name as text, out of reach for PHP code.
                Name::Str(span)
                    if format == Format::PhpSerialize && integer_key(self.doc.bytes(span)).is_some() =>
                {
                    return Err(EncodeError::Name { format: format.name(), reason: NUMBER_AS_TEXT });
                }
                Name::Str(span) => check_name(format, self.doc.bytes(span))?,
                Name::Int(_) if format == Format::PhpSerialize => {}
                _ => return Err(EncodeError::Name { format: format.name(), reason: INTEGER_NAME }),
            }
        }
        self.verified(format, true)
    }
}

fn check_name(format: Format, name: &[u8]) -> Result<(), EncodeError> {
    let refusal = match format {
        Format::Php => php::refusal(name),
        Format::PhpBinary => php_binary::refusal(name),
        Format::PhpSerialize => None,
        Format::Igbinary | Format::Msgpack => integer_refusal(name),
    };
    refusal.map_or(Ok(()), |reason| Err(EncodeError::Name { format: format.name(), reason }))
}

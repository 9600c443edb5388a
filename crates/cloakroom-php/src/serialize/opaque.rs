//! `Serializable` data: bytes that only their class can read, and that may hold values which count all the same.

use super::read::Reader;
use crate::error::{DecodeError, DecodeErrorKind as Wrong};
use crate::value::{ArrayId, Body, Builder, Name, Node, Span};

/// How often Serializable data may hold Serializable data whose values count.
const OPAQUE_DEPTH: u32 = 16;

impl Reader<'_> {
    /// `Serializable` data. A call of `serialize()` inside of it goes on counting: where the data is made of serialized values
    /// altogether, they have numbers too.
    pub(super) fn opaque(&mut self, b: &mut Builder<'_>) -> Result<(), DecodeError> {
        let class = self.cursor.class()?;
        self.cursor.expect(b':', "a colon")?;
        let len = self.cursor.unsigned(b':', "a length")?;
        self.cursor.expect(b'{', "an opening brace")?;
        let data = self.cursor.raw(usize::try_from(len).unwrap_or(usize::MAX))?;
        self.has_opaque = true;
        let bytes = self.cursor.text(data);
        let refers = |tag: &[u8]| memchr::memmem::find(bytes, tag).is_some();
        self.opaque_refers |= refers(b"r:") || refers(b"R:");
        let object = b.new_object(class, Body::Data(data, None)).map_err(|excess| self.excess(excess))?;
        self.put(b, Node::Object(object))?;
        if b.wraps() {
            let inner = self.inner(b, data)?;
            b.set_body(object, Body::Data(data, inner));
        }
        self.cursor.expect(b'}', "a closing brace")
    }

    fn inner(&mut self, b: &mut Builder<'_>, data: Span) -> Result<Option<ArrayId>, DecodeError> {
        if self.opaque >= OPAQUE_DEPTH {
            return self.cursor.wrong(Wrong::Depth(OPAQUE_DEPTH as usize));
        }
        let (around, slot, references) = (self.cursor, self.slot, self.back_references.len());
        let mark = b.mark();
        let until = data.at as usize + data.len as usize;
        self.cursor.input = around.input.get(..until).unwrap_or_default();
        self.cursor.at = data.at as usize;
        self.opaque += 1;
        let mut read = || {
            let list = b.new_array().map_err(|excess| self.excess(excess))?;
            b.enter_array(list, 0).map_err(|excess| self.excess(excess))?;
            let mut n = 0;
            while !self.cursor.is_at_end() {
                b.name(Name::Int(n));
                n += 1;
                self.value(b)?;
            }
            b.end();
            Ok::<_, DecodeError>(Some(list).filter(|_| n > 0))
        };
        let list = read();
        self.opaque -= 1;
        self.cursor = around;
        match list {
            Ok(list) => Ok(list),
            Err(error) if matches!(error.kind(), Wrong::Memory(_) | Wrong::Depth(_)) => Err(error),
            Err(_) => {
                b.back_to(&mark);
                self.slot = slot;
                self.slots.truncate(slot as usize);
                self.back_references.truncate(references);
                Ok(None)
            }
        }
    }
}

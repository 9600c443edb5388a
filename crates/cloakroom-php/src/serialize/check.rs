//! Reading what was written against what was to be written, without building it a second time.
//!
//! Only for what is a tree of arrays and plain values, as most sessions are. Everything else, and everything in doubt, is decoded and compared.

use super::cursor::Cursor;
use crate::error::DecodeError;
use crate::value::{Document, Entry, Name, Node, Span, integer_key};

/// What was written, as far as it is not found to be the document yet.
pub(crate) struct Check<'b, 'd> {
    doc: &'d Document,
    rest: &'b [u8],
}

impl<'b, 'd> Check<'b, 'd> {
    pub(crate) const fn new(doc: &'d Document, text: &'b [u8]) -> Self {
        Self { doc, rest: text }
    }

    /// What a session's own format reads.
    pub(crate) fn taken<T>(
        &mut self,
        read: impl FnOnce(&mut Cursor<'b>) -> Result<T, DecodeError>,
    ) -> Option<T> {
        let mut cursor = Cursor::new(self.rest);
        let taken = read(&mut cursor).ok();
        self.rest = cursor.rest();
        taken
    }

    /// Whether a name of a session's own format is read here as this one.
    pub(crate) fn is_name(
        &mut self,
        read: impl FnOnce(&mut Cursor<'b>) -> Result<Span, DecodeError>,
        name: Span,
    ) -> bool {
        let text = self.rest;
        let found = self.taken(read);
        found.is_some_and(|found| Cursor::new(text).text(found) == self.doc.bytes(name))
    }

    pub(crate) const fn is_at_end(&self) -> bool {
        self.rest.is_empty()
    }

    /// Whether an array of this length begins here.
    pub(crate) fn begins(&mut self, len: usize) -> bool {
        let count = match self.rest {
            [b'a', b':', digit @ b'0'..=b'9', b':', b'{', rest @ ..] => {
                self.rest = rest;
                Some(u32::from(digit - b'0'))
            }
            [b'a', b':', rest @ ..] => {
                self.rest = rest;
                self.taken(Cursor::count)
            }
            _ => None,
        };
        count.is_some_and(|count| count as usize == len)
    }

    /// Whether it ends here.
    pub(crate) const fn ends(&mut self) -> bool {
        let [b'}', rest @ ..] = self.rest else { return false };
        self.rest = rest;
        true
    }

    /// Whether a key is read here as this name.
    #[inline(always)]
    pub(crate) fn is_key(&mut self, name: Name) -> bool {
        match name {
            Name::Str(span) => {
                // What looks like an integer would be read as one.
                let text = self.doc.bytes(span);
                let may_be_integer = matches!(text.first(), Some(b'-' | b'0'..=b'9'));
                (!may_be_integer || integer_key(text).is_none()) && self.is_string(span)
            }
            Name::Int(n) => self.is_integer(n),
            Name::Hole => false,
        }
    }

    /// Whether this value, nested no deeper, is read here. Sometimes no where it is.
    pub(crate) fn is_value(&mut self, node: Node, depth: usize) -> bool {
        let Node::Array(array) = node else { return self.is_plain(node) };
        let mut around: Vec<std::slice::Iter<'d, Entry>> = Vec::new();
        let mut entries = self.doc.array(array).iter();
        if depth == 0 || !self.begins(entries.len()) {
            return false;
        }
        loop {
            let Some(entry) = entries.next() else {
                if !self.ends() {
                    return false;
                }
                let Some(outer) = around.pop() else { return true };
                entries = outer;
                continue;
            };
            if !self.is_key(entry.name) {
                return false;
            }
            let is_value = match entry.node {
                Node::Array(inner) => {
                    let inner = self.doc.array(inner).iter();
                    let begins = around.len() + 1 < depth && self.begins(inner.len());
                    around.push(std::mem::replace(&mut entries, inner));
                    begins
                }
                node => self.is_plain(node),
            };
            if !is_value {
                return false;
            }
        }
    }

    #[inline(always)]
    fn is_plain(&mut self, node: Node) -> bool {
        match node {
            Node::Str(span) => self.is_string(span),
            Node::Int(n) => self.is_integer(n),
            Node::Float(bits) => self.is_float(bits),
            Node::Bool(b) => match self.rest {
                [b'b', b':', bit @ (b'0' | b'1'), b';', rest @ ..] => {
                    self.rest = rest;
                    (*bit == b'1') == b
                }
                _ => false,
            },
            Node::Null => match self.rest {
                [b'N', b';', rest @ ..] => {
                    self.rest = rest;
                    true
                }
                _ => false,
            },
            Node::Array(_) | Node::Object(_) | Node::Ref(_) => false,
        }
    }

    #[inline(always)]
    fn is_string(&mut self, span: Span) -> bool {
        let digit = |byte: u8| usize::from(byte - b'0');
        let (len, rest) = match self.rest {
            [b's', b':', a @ b'0'..=b'9', b':', b'"', rest @ ..] => (digit(*a), rest),
            [b's', b':', a @ b'0'..=b'9', b @ b'0'..=b'9', b':', b'"', rest @ ..] => {
                (10 * digit(*a) + digit(*b), rest)
            }
            _ => return self.is_long_string(span),
        };
        match rest.get(len..) {
            Some([b'"', b';', behind @ ..]) => {
                self.rest = behind;
                len == span.len as usize && self.doc.begins(span, rest)
            }
            _ => false,
        }
    }

    fn is_long_string(&mut self, span: Span) -> bool {
        let [b's', b':', rest @ ..] = self.rest else { return false };
        self.rest = rest;
        let found = self.taken(Cursor::string);
        found.is_some_and(|found| Cursor::new(rest).text(found) == self.doc.bytes(span))
    }

    #[inline(always)]
    fn is_integer(&mut self, n: i64) -> bool {
        match self.rest {
            [b'i', b':', digit @ b'0'..=b'9', b';', rest @ ..] => {
                self.rest = rest;
                i64::from(digit - b'0') == n
            }
            [b'i', b':', rest @ ..] => {
                self.rest = rest;
                self.taken(Cursor::integer) == Some(n)
            }
            _ => false,
        }
    }

    fn is_float(&mut self, bits: u64) -> bool {
        let [b'd', b':', rest @ ..] = self.rest else { return false };
        self.rest = rest;
        self.taken(Cursor::double).is_some_and(|found| found.to_bits() == bits)
    }
}

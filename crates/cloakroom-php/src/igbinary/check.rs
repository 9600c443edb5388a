//! Reading what was written against what was to be written, without building it a second time.
//!
//! Only for what is a tree of arrays and plain values, as most sessions are. Everything else, and everything in doubt, is decoded and compared.

use super::cursor::Cursor;
use super::tag;
use crate::error::DecodeError;
use crate::limits::Limits;
use crate::value::{Document, Entry, Name, Node, Span};

/// Whether this text is read as this document. Sometimes no where it is.
pub(crate) fn is(doc: &Document, text: &[u8], limits: Limits) -> bool {
    let Node::Array(root) = doc.root else { return false };
    let Ok(cursor) = Cursor::after_header(text) else { return false };
    let strings = Vec::with_capacity((text.len() / 12).min(1024));
    let mut check = Check { doc, rest: cursor.rest(), strings };
    check.is_array(root, limits.depth()) && check.rest.is_empty()
}

struct Check<'b, 'd> {
    doc: &'d Document,
    rest: &'b [u8],
    /// What each number of the string table was found to be, as a place in the document: if it was not, all has ended.
    strings: Vec<Span>,
}

impl<'d> Check<'_, 'd> {
    fn is_array(&mut self, root: crate::value::ArrayId, depth: usize) -> bool {
        let mut around: Vec<std::slice::Iter<'d, Entry>> = Vec::with_capacity(8);
        let mut entries = self.doc.array(root).iter();
        if depth == 0 || !self.begins(entries.len()) {
            return false;
        }
        loop {
            let Some(entry) = entries.next() else {
                let Some(outer) = around.pop() else { return true };
                entries = outer;
                continue;
            };
            let is_key = match entry.name {
                Name::Str(span) => self.is_string(span),
                Name::Int(n) => self.is_integer(n),
                Name::Hole => false,
            };
            let is_value = is_key
                && match entry.node {
                    Node::Str(span) => self.is_string(span),
                    Node::Int(n) => self.is_integer(n),
                    Node::Null => self.is_byte(tag::NULL),
                    Node::Bool(b) => self.is_byte(if b { tag::TRUE } else { tag::FALSE }),
                    Node::Float(bits) => self.is_float(bits),
                    Node::Array(inner) => {
                        let inner = self.doc.array(inner).iter();
                        let begins = around.len() + 1 < depth && self.begins(inner.len());
                        around.push(std::mem::replace(&mut entries, inner));
                        begins
                    }
                    Node::Object(_) | Node::Ref(_) => false,
                };
            if !is_value {
                return false;
            }
        }
    }

    fn begins(&mut self, len: usize) -> bool {
        let Some((tag @ tag::ARRAY..tag::OBJECT, _)) = self.rest.split_first() else { return false };
        self.taken(|cursor| cursor.count(1 << (tag - tag::ARRAY))).is_some_and(|count| count as usize == len)
    }

    /// What is read behind the tag that is next.
    #[inline]
    fn taken<T>(&mut self, read: impl FnOnce(&mut Cursor<'_>) -> Result<T, DecodeError>) -> Option<T> {
        let mut cursor = Cursor { input: self.rest, at: 1 };
        let taken = read(&mut cursor).ok();
        self.rest = cursor.rest();
        taken
    }

    #[inline(always)]
    fn is_byte(&mut self, byte: u8) -> bool {
        match self.rest.split_first() {
            Some((found, rest)) => {
                self.rest = rest;
                *found == byte
            }
            None => false,
        }
    }

    #[inline(always)]
    fn is_float(&mut self, bits: u64) -> bool {
        let is_tag = self.is_byte(tag::FLOAT);
        match self.rest.split_first_chunk() {
            Some((found, rest)) => {
                self.rest = rest;
                is_tag && u64::from_be_bytes(*found) == bits
            }
            None => false,
        }
    }

    #[inline(always)]
    fn is_integer(&mut self, n: i64) -> bool {
        if let [tag::INT, small, rest @ ..] = self.rest {
            self.rest = rest;
            return i64::from(*small) == n;
        }
        self.is_long_integer(n)
    }

    fn is_long_integer(&mut self, n: i64) -> bool {
        let Some(tag) = self.rest.first().copied() else { return false };
        self.taken(|cursor| cursor.integer(tag)) == Some(Some(n))
    }

    #[inline(always)]
    fn is_string(&mut self, span: Span) -> bool {
        match self.rest {
            // Most strings are told by number again and again.
            [tag::STRING_ID, number, rest @ ..] => {
                self.rest = rest;
                self.is_known((*number).into(), span)
            }
            [tag::STRING, len, rest @ ..] if u32::from(*len) == span.len => {
                self.strings.push(span);
                match rest.get(usize::from(*len)..) {
                    Some(behind) => {
                        self.rest = behind;
                        self.doc.begins(span, rest)
                    }
                    None => false,
                }
            }
            _ => self.is_long_string(span),
        }
    }

    #[inline(always)]
    fn is_known(&self, number: usize, span: Span) -> bool {
        match self.strings.get(number) {
            Some(known) => *known == span || self.doc.bytes(*known) == self.doc.bytes(span),
            None => false,
        }
    }

    fn is_long_string(&mut self, span: Span) -> bool {
        let Some(tag) = self.rest.first().copied() else { return false };
        match tag {
            tag::EMPTY => self.is_byte(tag::EMPTY) && span.len == 0,
            tag::STRING_ID..tag::STRING => {
                let number = self.taken(|cursor| cursor.number(1 << (tag - tag::STRING_ID)));
                number.is_some_and(|number| {
                    usize::try_from(number).is_ok_and(|number| self.is_known(number, span))
                })
            }
            tag::STRING..tag::ARRAY => {
                self.strings.push(span);
                let text = self.doc.bytes(span);
                let len = self.taken(|cursor| cursor.number(1 << (tag - tag::STRING)));
                match self.rest.split_at_checked(text.len()) {
                    Some((found, rest)) => {
                        self.rest = rest;
                        len == Some(text.len() as u64) && found == text
                    }
                    None => false,
                }
            }
            _ => false,
        }
    }
}

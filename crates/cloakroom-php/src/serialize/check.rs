//! Reading what was written against what was to be written, without building it a second time.
//!
//! Only for what is a tree of arrays and plain values, as most sessions are. Everything else, and everything in doubt, is decoded and compared.

use super::cursor::Cursor;
use super::float;
use crate::value::{Document, Entry, Name, Node, integer_key};

impl Cursor<'_> {
    /// Whether the array begins here that is the whole session.
    pub(crate) fn is_root(&mut self, len: usize) -> bool {
        self.expect(b'a', "").is_ok()
            && self.expect(b':', "").is_ok()
            && self.count().is_ok_and(|count| count as usize == len)
    }

    /// Whether the array ends here, and the text with it.
    pub(crate) fn is_end(&mut self) -> bool {
        self.expect(b'}', "").is_ok() && self.is_at_end()
    }

    /// Whether a key is read here as this name. Sometimes no where it is: of a text that looks like an integer, say.
    #[inline(always)]
    pub(crate) fn is_key(&mut self, doc: &Document, name: Name) -> bool {
        let rest = self.rest();
        match name {
            Name::Str(span) => {
                let text = doc.bytes(span);
                let looks_like_integer = matches!(text.first(), Some(b'-' | b'0'..=b'9'));
                (!looks_like_integer || integer_key(text).is_none())
                    && self.quick_string(rest).is_some_and(|found| self.text(found) == text)
            }
            Name::Int(n) => self.quick_integer(rest) == Some(n),
            Name::Hole => false,
        }
    }

    /// Whether this value, nested no deeper, is read here. Sometimes no where it is.
    pub(crate) fn is_value(&mut self, doc: &Document, node: Node, depth: usize) -> bool {
        let mut open: Vec<std::slice::Iter<'_, Entry>> = Vec::new();
        let mut node = node;
        loop {
            if let Node::Array(array) = node {
                let entries = doc.array(array);
                let begins = open.len() < depth
                    && self.expect(b'a', "").is_ok()
                    && self.expect(b':', "").is_ok()
                    && self.count().is_ok_and(|count| count as usize == entries.len());
                if !begins {
                    return false;
                }
                open.push(entries.iter());
            } else if !self.is_plain(doc, node) {
                return false;
            }
            loop {
                let Some(entries) = open.last_mut() else { return true };
                match entries.next() {
                    Some(entry) if self.is_key(doc, entry.name) => {
                        node = entry.node;
                        break;
                    }
                    Some(_) => return false,
                    None => {
                        if self.expect(b'}', "").is_err() {
                            return false;
                        }
                        open.pop();
                    }
                }
            }
        }
    }

    #[inline(always)]
    fn is_plain(&mut self, doc: &Document, node: Node) -> bool {
        match (self.quick_value(), node) {
            (Some(Node::Str(found)), Node::Str(span)) => self.text(found) == doc.bytes(span),
            (Some(Node::Int(found)), Node::Int(n)) => found == n,
            (Some(Node::Bool(found)), Node::Bool(b)) => found == b,
            (None, node) => self.is_long(doc, node),
            _ => false,
        }
    }

    fn is_long(&mut self, doc: &Document, node: Node) -> bool {
        let Ok(tag) = self.byte() else { return false };
        match (tag, node) {
            (b'N', Node::Null) => self.expect(b';', "").is_ok(),
            (_, Node::Null) => false,
            _ if self.expect(b':', "").is_err() => false,
            (b's', Node::Str(span)) => self.string().is_ok_and(|found| self.text(found) == doc.bytes(span)),
            (b'i', Node::Int(n)) => self.integer() == Ok(n),
            (b'd', Node::Float(bits)) => {
                let Some(len) = memchr::memchr(b';', self.rest()) else { return false };
                let text = self.rest().get(..len).unwrap_or_default();
                let found = float::read(text).map(f64::to_bits);
                let (Ok(_), Ok(_)) = (self.raw(len), self.byte()) else { return false };
                found == Some(bits)
            }
            _ => false,
        }
    }
}
